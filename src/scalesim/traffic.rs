//! One layer: its cycles, its words at SRAM and DRAM with first and last cycle, and the use of the array.

use super::Mode;
use super::calc::{self, Access, Known};
use super::config::{Config, Interface};
use super::error::ScaleSimError;
use super::halves::Halves;
use super::replay::{self, Fetching, ReadBuffer};
use super::runs;
use super::sparsity::{self, Pattern, Storage};
use super::streams::{self, Operand};
use super::tiling::{Flow, Tiling};
use super::topology::Layer;
use super::writes::WriteBuffer;
use crate::hardware::Dataflow;
use crate::simulate::Folds;
use crate::units::{Overflow, add, mul, product};

/// Addresses of an operand in a replay.
const MOST_WORDS: u64 = 1 << 28;
/// Cycles, and words written, of a replay row by row: minutes.
const MOST_REQUESTS: u64 = 1 << 34;
/// Folds whose portions SCALE-Sim adds one by one; of more, their sum is taken in closed form.
const MOST_ADDED: u64 = 1 << 20;

/// Everything a report says of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerRun {
    /// Cycles from the first DRAM read to the last DRAM write.
    pub(super) overall_cycles: i64,
    pub(super) total_cycles: i64,
    pub(super) stall_cycles: i64,
    /// Percent.
    pub(super) overall_utilisation: f64,
    pub(super) mapping_efficiency: f64,
    pub(super) compute_utilisation: f64,
    /// Ifmap, filter, ofmap.
    pub(super) sram: [SramAccess; 3],
    pub(super) dram: [Access; 3],
    pub(super) storage: Option<Storage>,
    /// Index words read from SRAM.
    pub(super) metadata_reads: Option<f64>,
}

/// First and last cycle at an SRAM, and the words moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SramAccess {
    pub(super) start: i64,
    pub(super) stop: i64,
    pub(super) words: Words,
}

/// A count of words, which the ratio of N:M weights may make a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Words {
    Whole(u64),
    Portion(f64),
}

impl Words {
    pub(super) fn value(self) -> f64 {
        match self {
            Self::Whole(words) => words as f64,
            Self::Portion(words) => words,
        }
    }
}

/// A layer on the array.
struct Job<'a> {
    config: &'a Config,
    layer: &'a Layer,
    mode: Mode,
    pattern: Pattern,
    tiling: Tiling,
    /// E, K and F.
    positions: u64,
    products: u64,
    storage: Option<Storage>,
}

/// What of the words between array and memories depends on the interface.
struct Moved {
    stalls: i64,
    last: i64,
    sram: [(i64, i64); 3],
    dram: [Access; 3],
}

pub(super) fn layer(config: &Config, layer: &Layer, mode: Mode) -> Result<LayerRun, ScaleSimError> {
    let job = Job::new(config, layer, mode)?;
    let moved = job.moved()?;
    if mode == Mode::Compatible && moved.last == 0 {
        return Err(ScaleSimError::Unsupported {
            layer: layer.name.clone(),
            message: "it takes one cycle, which SCALE-Sim counts as 0 and divides by".into(),
            help: "leave `--scalesim-compat` out, or take a larger array".into(),
        });
    }
    job.finish(&moved).map_err(|e| overflow(layer, e))
}

fn overflow(layer: &Layer, source: Overflow) -> ScaleSimError {
    ScaleSimError::Overflow {
        layer: layer.name.clone(),
        source,
    }
}

fn pattern(config: &Config, layer: &Layer, mode: Mode) -> Result<Pattern, ScaleSimError> {
    let Some(sparse) = &config.sparse else {
        return Ok(Pattern::Dense);
    };
    let unsupported = |message: String, help: &str| ScaleSimError::Unsupported {
        layer: layer.name.clone(),
        message,
        help: help.into(),
    };
    let [n, m] = layer.ratio;
    match sparse.row_wise {
        // random weights of at most half of a block are no one's weights: the topology's N:M is taken instead
        Some((block, seed)) if mode == Mode::Compatible => {
            if config.array.dataflow != Dataflow::WeightStationary {
                return Err(unsupported(
                    "`OptimizedMapping` is for weight stationary arrays only".into(),
                    "write `Dataflow : ws`, or `OptimizedMapping : false`",
                ));
            }
            if block % 2 == 1 || u64::from(config.array.rows) * 2 % block != 0 {
                return Err(unsupported(
                    format!(
                        "blocks of {block} weights do not fill two tiles of {} rows",
                        config.array.rows
                    ),
                    "take an even `BlockSize` that divides twice `ArrayHeight`",
                ));
            }
            if layer.filters > MOST_WORDS {
                return Err(too_large(layer, "filter", layer.filters));
            }
            Ok(sparsity::row_wise(block, seed, layer.filters))
        }
        _ => Ok(Pattern::LayerWise { n, m }),
    }
}

fn too_large(layer: &Layer, operand: &'static str, words: u64) -> ScaleSimError {
    ScaleSimError::TooLarge {
        layer: layer.name.clone(),
        operand,
        words,
        most: MOST_WORDS,
    }
}

impl<'a> Job<'a> {
    fn new(config: &'a Config, layer: &'a Layer, mode: Mode) -> Result<Self, ScaleSimError> {
        let pattern = pattern(config, layer, mode)?;
        let shaped = || {
            let positions = product(&layer.extents()?.out)?;
            let products = layer.products()?;
            let tiling = Tiling::new(
                config.array,
                positions,
                pattern.products(products)?,
                layer.filters,
            )?;
            let storage = config
                .sparse
                .map(|sparse| sparsity::storage(&sparse, &pattern, layer))
                .transpose()?;
            Ok((positions, products, tiling, storage))
        };
        let (positions, products, tiling, storage) = shaped().map_err(|e| overflow(layer, e))?;
        Ok(Self {
            config,
            layer,
            mode,
            pattern,
            tiling,
            positions,
            products,
            storage,
        })
    }

    fn ifmap(&self) -> Result<Operand, ScaleSimError> {
        let layer = self.layer;
        let sizes = || {
            let covered = product(&[product(&layer.extents()?.covered)?, layer.channels])?;
            Ok(covered.max(self.positions).max(self.products))
        };
        let words = sizes().map_err(|e| overflow(layer, e))?;
        if words > MOST_WORDS {
            return Err(too_large(layer, "ifmap", words));
        }
        streams::ifmap(layer, &self.pattern, &self.tiling).map_err(|e| overflow(layer, e))
    }

    fn filter(&self) -> Result<Operand, ScaleSimError> {
        let layer = self.layer;
        let words = self
            .pattern
            .products(self.products)
            .and_then(|rows| mul(rows.max(self.products), layer.filters))
            .map_err(|e| overflow(layer, e))?;
        if words > MOST_WORDS {
            return Err(too_large(layer, "filter", words));
        }
        streams::filter(layer, &self.pattern, &self.tiling).map_err(|e| overflow(layer, e))
    }

    fn moved(&self) -> Result<Moved, ScaleSimError> {
        match self.config.interface {
            Interface::Calc => self.calc(),
            Interface::User(bandwidth) => self.user(bandwidth),
        }
    }

    fn user(&self, bandwidth: [u64; 3]) -> Result<Moved, ScaleSimError> {
        let sram_words = self.config.sram_words;
        let requests = self.tiling.words(Flow::Outputs);
        if requests.max(self.tiling.cycles) > MOST_REQUESTS {
            return Err(ScaleSimError::Unsupported {
                layer: self.layer.name.clone(),
                message: format!(
                    "it runs {} cycles and writes {requests} words; a replay with `USER` goes up to {MOST_REQUESTS}",
                    self.tiling.cycles
                ),
                help: "write `InterfaceBandwidth : CALC`, or split the layer in the topology".into(),
            });
        }
        let operands = [self.ifmap()?, self.filter()?];
        let by_ref = [&operands[0], &operands[1]];
        let run = match self.mode {
            Mode::Compatible => {
                let banks = self.config.banks.ok_or_else(|| ScaleSimError::Unsupported {
                    layer: self.layer.name.clone(),
                    message: "SCALE-Sim takes the read bandwidth from `[layout]`, which the cfg file does not have".into(),
                    help: "add `[layout]` with `IfmapSRAMBankBandwidth` and `FilterSRAMBankBandwidth`, or leave `--scalesim-compat` out".into(),
                })?;
                for (operand, name) in by_ref.into_iter().zip(["ifmap", "filter"]) {
                    if operand.prefetch_length() > MOST_WORDS {
                        return Err(too_large(self.layer, name, operand.prefetch_length()));
                    }
                }
                let buffer = |which: usize, bandwidth| {
                    let fetching = Fetching {
                        sram_words: sram_words[which],
                        bandwidth,
                    };
                    ReadBuffer::new(by_ref[which], fetching)
                };
                let writes = WriteBuffer::new(sram_words[2], bandwidth[0], self.mode);
                replay::replay(
                    by_ref,
                    [buffer(0, banks.ifmap), buffer(1, banks.filter)],
                    writes,
                    &self.tiling,
                )
            }
            Mode::Corrected => {
                let buffer = |which: usize, indices| {
                    let (_, reads) = self.calc_reads(which)?;
                    let words = reads.words;
                    Ok(Halves::new(
                        by_ref[which],
                        sram_words[which],
                        words,
                        bandwidth[which],
                        indices,
                    ))
                };
                let buffers = [buffer(0, (0, 1))?, buffer(1, self.indices())?];
                let writes = WriteBuffer::new(sram_words[2], bandwidth[2], self.mode);
                replay::replay(by_ref, buffers, writes, &self.tiling)
            }
        };
        Ok(Moved {
            stalls: run.stalls,
            last: run.last,
            sram: run.sram.map(Option::unwrap_or_default),
            dram: run.dram,
        })
    }

    /// Index words that DRAM delivers with so many weights.
    fn indices(&self) -> (u64, u64) {
        match (self.mode, &self.storage) {
            (Mode::Corrected, Some(storage)) => {
                let weights = self.tiling_weights().max(1);
                (storage.metadata.ceil() as u64, weights)
            }
            _ => (0, 1),
        }
    }

    /// Rows of weights in memory × filters.
    fn tiling_weights(&self) -> u64 {
        match self.tiling.dataflow {
            Dataflow::WeightStationary => self.tiling.sr * self.tiling.sc,
            Dataflow::InputStationary => self.tiling.sr * self.tiling.t,
            Dataflow::OutputStationary => self.tiling.t * self.tiling.sc,
        }
    }

    fn calc(&self) -> Result<Moved, ScaleSimError> {
        let tiling = &self.tiling;
        let (ifmap, mut ifmap_dram) = self.calc_reads(0)?;
        let (filter, mut filter_dram) = self.calc_reads(1)?;
        let (indices, weights) = self.indices();
        let extra = (u128::from(filter_dram.words) * u128::from(indices)).div_ceil(u128::from(weights));
        filter_dram.words = u64::try_from(extra)
            .map_err(|_| Overflow)
            .and_then(|extra| add(filter_dram.words, extra))
            .map_err(|e| overflow(self.layer, e))?;
        let buffer = || WriteBuffer::new(self.config.sram_words[2], tiling.w, self.mode);
        let words = tiling.words(Flow::Outputs);
        let ofmap = [0, words - 1].map(|n| tiling.cycle_of(Flow::Outputs, n) as i64);
        let reads = [ifmap, filter].map(|(first, last)| (first + 1, last + 1));
        if let Some(ofmap_dram) = calc::writes(buffer(), tiling) {
            return Ok(Moved {
                stalls: 0,
                last: tiling.cycles as i64 - 1,
                sram: [reads[0], reads[1], (ofmap[0], ofmap[1])],
                dram: [ifmap_dram, filter_dram, ofmap_dram],
            });
        }
        let waits = calc::slow_writes(buffer(), tiling);
        let late = |cycle: i64| cycle + waits.before(cycle);
        for dram in [&mut ifmap_dram, &mut filter_dram] {
            if dram.stop >= 0 {
                dram.stop = late(dram.stop - 1) + 1;
            }
        }
        let stalls = waits.all();
        Ok(Moved {
            stalls,
            last: tiling.cycles as i64 - 1 + stalls,
            sram: [
                (late(reads[0].0 - 1) + 1, late(reads[0].1 - 1) + 1),
                (late(reads[1].0 - 1) + 1, late(reads[1].1 - 1) + 1),
                (ofmap[0], ofmap[1] + stalls),
            ],
            dram: [ifmap_dram, filter_dram, waits.dram],
        })
    }

    /// First and last cycle in which the array asks for ifmap (0) or filter (1), and the DRAM reads.
    fn calc_reads(&self, which: usize) -> Result<((i64, i64), Access), ScaleSimError> {
        let (tiling, layer) = (&self.tiling, self.layer);
        let sram_words = self.config.sram_words[which];
        let flow = match (which, tiling.dataflow) {
            (0, Dataflow::InputStationary) | (1, Dataflow::WeightStationary) => Flow::Stationary,
            (1, Dataflow::OutputStationary) => Flow::ByColumn,
            _ => Flow::ByRow,
        };
        let known = self.known(which).map_err(|e| overflow(layer, e))?;
        if let Some(known) = known
            && !calc::needs_walk(known, flow, tiling, sram_words)
            && (known.once || which == 0 && layer.fits().map_err(|e| overflow(layer, e))?)
        {
            let first = tiling.cycle_of(flow, 0) as i64;
            let last = tiling.cycle_of(flow, tiling.words(flow) - 1) as i64;
            let dram = calc::closed(known, flow, tiling, sram_words, first);
            return Ok(((first, last), dram));
        }
        let operand = if which == 0 { self.ifmap()? } else { self.filter()? };
        let (first, last) = calc::first_and_last(&operand, tiling);
        let dram = match known {
            Some(known) if !calc::needs_walk(known, flow, tiling, sram_words) => {
                calc::closed(known, flow, tiling, sram_words, first)
            }
            _ if runs::has_runs(&operand) => runs::walked(&operand, tiling, sram_words, first),
            _ => calc::walked(&operand, tiling, sram_words, first),
        };
        Ok(((first, last), dram))
    }

    /// What is known of an operand without its words.
    fn known(&self, which: usize) -> Result<Option<Known>, Overflow> {
        Ok(match (&self.pattern, which) {
            (Pattern::RowWise { .. }, 1) => None,
            (_, 1) => Some(Known {
                distinct: self.pattern.weights(self.products, self.layer.filters)?,
                once: true,
                folds_apart: 0,
            }),
            // with all weights of every window, or windows apart, the words of the layer can be counted
            (pattern, _) => {
                let apart = self.layer.windows_are_apart()?;
                match pattern {
                    Pattern::Dense => Some(Known {
                        distinct: self.layer.distinct_inputs()?,
                        once: apart,
                        folds_apart: self.input_folds_apart()?,
                    }),
                    Pattern::LayerWise { .. } if apart => Some(Known {
                        distinct: mul(self.positions, pattern.products(self.products)?)?,
                        once: true,
                        folds_apart: 0,
                    }),
                    Pattern::LayerWise { .. } | Pattern::RowWise { .. } => None,
                }
            }
        })
    }

    /// [`Known::folds_apart`] of dense inputs: the blocks of channels, where every fold lies in one and no window reaches
    /// into the padding.
    fn input_folds_apart(&self) -> Result<u64, Overflow> {
        let (tiling, channels) = (&self.tiling, self.layer.channels);
        let by_products = tiling.dataflow != Dataflow::OutputStationary;
        if by_products && channels % tiling.h == 0 && self.layer.fits()? {
            Ok(channels / tiling.h)
        } else {
            Ok(0)
        }
    }

    fn finish(&self, moved: &Moved) -> Result<LayerRun, Overflow> {
        let (tiling, layer) = (&self.tiling, self.layer);
        let compatible = self.mode == Mode::Compatible;
        // SCALE-Sim prints the index of the last cycle
        let total = moved.last + i64::from(!compatible);
        let pes = mul(tiling.h, tiling.w)?;
        let dense = product(&[self.positions, self.products, layer.filters])?;
        let multiplications = if compatible {
            dense
        } else {
            mul(
                self.positions,
                self.pattern.weights(self.products, layer.filters)?,
            )?
        };
        let [mapping, compute] = self.portions()?;
        let words = self.sram_words()?;
        let sram = [0, 1, 2].map(|i| SramAccess {
            start: moved.sram[i].0,
            stop: moved.sram[i].1,
            words: words[i],
        });
        // indices are read as often as the weights that they belong to
        let again = if compatible {
            1.0
        } else {
            sram[1].words.value() / self.tiling_weights() as f64
        };
        let metadata_reads = self.storage.map(|storage| storage.metadata * again);
        let [ifmap, filter, ofmap] = moved.dram;
        let first = ifmap.start.min(filter.start);
        Ok(LayerRun {
            overall_cycles: ofmap.stop - first + i64::from(!compatible),
            total_cycles: total,
            stall_cycles: moved.stalls,
            overall_utilisation: mul(multiplications, 100)? as f64 / (total as f64 * pes as f64),
            mapping_efficiency: mapping * 100.0,
            compute_utilisation: compute * 100.0,
            sram,
            dram: moved.dram,
            storage: self.storage,
            metadata_reads,
        })
    }

    /// Words at the SRAMs of ifmap, filter and ofmap.
    fn sram_words(&self) -> Result<[Words; 3], Overflow> {
        let (tiling, layer) = (&self.tiling, self.layer);
        let compatible = self.mode == Mode::Compatible;
        let folds = Folds::new(
            self.config.array,
            self.positions,
            self.pattern.products(self.products)?,
            layer.filters,
        );
        let accesses = folds.accesses()?;
        let count = folds.count()?;
        let whole = Words::Whole;
        let ifmap = match &self.pattern {
            // every row of the array reads a whole block, through the rows of the skew
            Pattern::RowWise { block, .. } => {
                whole(product(&[count, add(tiling.t, tiling.h - 1)?, tiling.h, *block])?)
            }
            // an input is chosen among M by each of N rows
            Pattern::LayerWise { n, m } if tiling.dataflow == Dataflow::WeightStationary => {
                let [n, m] = [*n, *m];
                if compatible {
                    Words::Portion(self.chosen_inputs(n, m))
                } else {
                    whole(mul(accesses.ifmap_reads, m)?.div_ceil(n))
                }
            }
            _ => whole(accesses.ifmap_reads),
        };
        let artefact = if compatible && tiling.dataflow == Dataflow::OutputStationary {
            mul(count, add(tiling.h, tiling.w)?)?
        } else {
            0
        };
        Ok([
            ifmap,
            whole(accesses.filter_reads),
            whole(add(accesses.ofmap_writes, artefact)?),
        ])
    }

    /// Input words read when each counts M/N times, summed fold by fold as SCALE-Sim does.
    fn chosen_inputs(&self, n: u64, m: u64) -> f64 {
        let tiling = &self.tiling;
        let factor = m as f64 / n as f64;
        let folds = tiling.rf * tiling.cf;
        if folds > MOST_ADDED {
            return (tiling.t * tiling.sr) as f64 * tiling.cf as f64 * factor;
        }
        (0..folds).fold(0.0, |sum, fold| {
            sum + (tiling.t * tiling.rows(fold % tiling.rf)) as f64 * factor
        })
    }

    /// Mean portion of the array that is mapped, and of its time that is used, over the folds.
    fn portions(&self) -> Result<[f64; 2], Overflow> {
        let tiling = &self.tiling;
        let pes = mul(tiling.h, tiling.w)?;
        let compatible = self.mode == Mode::Compatible;
        // the tool's folds of ws and is are w - 1 cycles too long here
        let late = if compatible && tiling.dataflow != Dataflow::OutputStationary {
            tiling.w - 1
        } else {
            0
        };
        let cycles = add(tiling.fold, late)?;
        let folds = tiling.rf * tiling.cf;
        let held = self.held();
        if !compatible || folds > MOST_ADDED {
            let mapped = held.as_ref().map_or_else(
                || tiling.sr as f64 * tiling.sc as f64,
                |held| held.iter().sum::<u64>() as f64,
            );
            let mapping = mapped / (folds as f64 * pes as f64);
            let used = tiling.sr as f64 * tiling.sc as f64 / (folds as f64 * pes as f64);
            return Ok([mapping, used * tiling.t as f64 / cycles as f64]);
        }
        let mut sums = [0.0; 2];
        let time = pes as f64 * cycles as f64;
        for fc in 0..tiling.cf {
            for fr in 0..tiling.rf {
                let used = tiling.rows(fr) * tiling.cols(fc);
                let mapped = held
                    .as_ref()
                    .map_or(used, |held| held[(fc * tiling.rf + fr) as usize]);
                sums[0] += mapped as f64 / pes as f64;
                sums[1] += (used * tiling.t) as f64 / time;
            }
        }
        Ok(sums.map(|sum| sum / folds as f64))
    }

    /// Weights in each fold where rows hold different numbers of them.
    fn held(&self) -> Option<Vec<u64>> {
        let Pattern::RowWise { block, kept } = &self.pattern else {
            return None;
        };
        let tiling = &self.tiling;
        let mut folds = Vec::new();
        for columns in kept.chunks(tiling.w as usize) {
            for fr in 0..tiling.rf {
                let rows = (fr * tiling.h..).take(tiling.rows(fr) as usize);
                let held = rows
                    .filter(|&row| self.pattern.product_at(row, self.products).is_some())
                    .map(|row| {
                        columns
                            .iter()
                            .filter(|&&n| row % (block / 2) < u64::from(n))
                            .count() as u64
                    });
                folds.push(held.sum());
            }
        }
        Some(folds)
    }
}

impl Layer {
    /// Whether no window reaches beyond the input.
    fn fits(&self) -> Result<bool, Overflow> {
        let covered = self.extents()?.covered;
        Ok(covered[0] <= self.ifmap[0] && covered[1] <= self.ifmap[1])
    }
}
