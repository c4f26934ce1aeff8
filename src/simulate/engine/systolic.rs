//! Dense systolic arrays, in the closed forms of SCALE-Sim v3.
//!
//! An array of h rows and w columns covers the plane Sr × Sc of a matrix product in folds, one after another:
//!
//! | dataflow | Sr | Sc | time T | cycles a fold |
//! |---|---|---|---|---|
//! | weight stationary | K | F | E | 2h + w + T − 2 |
//! | input stationary | K | E | F | 2h + w + T − 2 |
//! | output stationary | E | F | K | h + w + T − 2 |
//!
//! E output positions, K products per output, F output channels.
//!
//! Weight- and input-stationary arrays run several groups of a convolution at once, on blocks along their diagonal
//! ([`Diagonal`]); a weight-stationary one also several parts of the output positions, each with a copy of the weights,
//! as every row has a feed of its own. The folds are then those of a block's rows and columns, for ceil(G / groups)
//! packs and ceil(E / positions) positions, and take the time of the whole array. Of an output-stationary array the
//! rows are positions already and an input passes all columns, so that its groups run one after another.
//!
//! A dense array multiplies zeros like any other weight, so all its multiplications count as useful.
//!
//! Deviation from SCALE-Sim: [`Folds::cycles`] counts cycles; its report prints the index of the last one
//! ([`Folds::scalesim_total_cycles`]), one less. Its output-stationary SRAM write count has an extra
//! folds·(h + w), which is not copied.

use super::diagonal::Diagonal;
use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::{Dataflow, Systolic};
use crate::network::LoopNest;
use crate::simulate::count::fit;
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, add, mul, product};

/// How one matrix product falls onto an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folds {
    /// Extent mapped to rows.
    pub sr: u64,
    /// Extent mapped to columns.
    pub sc: u64,
    /// Extent that runs in time.
    pub t: u64,
    array: Systolic,
}

/// Words between the array and its SRAMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accesses {
    /// Input features read.
    pub ifmap_reads: u64,
    /// Weights read.
    pub filter_reads: u64,
    /// Outputs written, every partial sum that leaves the array included. Also SCALE-Sim's DRAM writes.
    pub ofmap_writes: u64,
}

/// K' of layer-wise N:M sparsity: products left of `products` when `n` of every `m` survive.
///
/// # Errors
/// Never for `n <= m`; overflow otherwise.
pub fn nm_products(products: u64, n: u64, m: u64) -> Result<u64, Overflow> {
    let m = m.max(1);
    fit(u128::from(n) * u128::from(products / m) + u128::from(n.min(products % m)))
}

/// K' of row-wise sparsity in SCALE-Sim (`OptimizedMapping`) with blocks of `block`: half of the products in
/// whole blocks, whatever the weights are.
///
/// # Errors
/// On overflow.
pub fn row_wise_products(products: u64, block: u64) -> Result<u64, Overflow> {
    let block = block.max(1);
    let pair = u128::from(block) * 2;
    fit(u128::from(block) * u128::from(products).div_ceil(pair))
}

impl Folds {
    /// The folds of a product with E `positions`, K `products` and F `channels`. No argument may be zero.
    #[must_use]
    pub fn new(array: Systolic, positions: u64, products: u64, channels: u64) -> Self {
        let (sr, sc, t) = match array.dataflow {
            Dataflow::WeightStationary => (products, channels, positions),
            Dataflow::InputStationary => (products, positions, channels),
            Dataflow::OutputStationary => (positions, channels, products),
        };
        Self { sr, sc, t, array }
    }

    fn row_folds(&self) -> u64 {
        self.sr.div_ceil(u64::from(self.array.rows))
    }

    fn col_folds(&self) -> u64 {
        self.sc.div_ceil(u64::from(self.array.cols))
    }

    /// Folds in all.
    ///
    /// # Errors
    /// On overflow.
    pub fn count(&self) -> Result<u64, Overflow> {
        product(&[self.row_folds(), self.col_folds()])
    }

    /// Cycles of one fold.
    ///
    /// # Errors
    /// On overflow.
    pub fn cycles_per_fold(&self) -> Result<u64, Overflow> {
        let (h, w) = (u128::from(self.array.rows), u128::from(self.array.cols));
        let load = if self.array.dataflow == Dataflow::OutputStationary {
            0
        } else {
            h
        };
        fit(load + h + w + u128::from(self.t) - 2)
    }

    /// Cycles of all folds, one after another.
    ///
    /// # Errors
    /// On overflow.
    pub fn cycles(&self) -> Result<u64, Overflow> {
        product(&[self.count()?, self.cycles_per_fold()?])
    }

    /// The "Total Cycles" of a SCALE-Sim report without stalls: the index of the last cycle.
    ///
    /// # Errors
    /// On overflow.
    pub fn scalesim_total_cycles(&self) -> Result<u64, Overflow> {
        Ok(self.cycles()? - 1)
    }

    /// Portion of the array that holds work, mean over folds, in (0, 1].
    #[must_use]
    pub fn mapping_efficiency(&self) -> f64 {
        let [sr, sc, rf, cf] = [self.sr, self.sc, self.row_folds(), self.col_folds()].map(|v| v as f64);
        sr * sc / (rf * cf * f64::from(self.array.rows) * f64::from(self.array.cols))
    }

    /// SRAM accesses in words.
    ///
    /// # Errors
    /// On overflow.
    pub fn accesses(&self) -> Result<Accesses, Overflow> {
        let (sr, sc, t) = (self.sr, self.sc, self.t);
        let (rf, cf) = (self.row_folds(), self.col_folds());
        Ok(match self.array.dataflow {
            Dataflow::WeightStationary => Accesses {
                ifmap_reads: product(&[t, sr, cf])?,
                filter_reads: product(&[sr, sc])?,
                ofmap_writes: product(&[t, sc, rf])?,
            },
            Dataflow::InputStationary => Accesses {
                ifmap_reads: product(&[sc, sr])?,
                filter_reads: product(&[sr, t, cf])?,
                ofmap_writes: product(&[sc, t, rf])?,
            },
            Dataflow::OutputStationary => Accesses {
                ifmap_reads: product(&[sr, t, cf])?,
                filter_reads: product(&[t, sc, rf])?,
                ofmap_writes: product(&[sr, sc])?,
            },
        })
    }
}

impl ArrayEngine for Systolic {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, _: &str) -> Result<ArrayRun, SimulateError> {
        spatial::run(self.room(work), work, |split| run(*self, work, split))
    }

    fn room(&self, work: &LayerWork) -> Room {
        let copies = self.dataflow == Dataflow::WeightStationary;
        match self.dataflow {
            Dataflow::OutputStationary => Room::NONE,
            _ => Diagonal::room(&work.nest, self.rows.into(), self.cols.into(), copies),
        }
    }

    fn splits(&self) -> bool {
        true
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }

    fn formula(&self, work: &LayerWork, array: &ArrayRun) -> Vec<String> {
        let gemm = work.nest.gemm();
        let split = array.spatial;
        let (folds, steps) = split_folds(*self, work, split);
        let g = work.nest.g;
        let (row, column, time, load) = match self.dataflow {
            Dataflow::WeightStationary => ("K", "F", "E", 2),
            Dataflow::InputStationary => ("K", "E", "F", 2),
            Dataflow::OutputStationary => ("E", "F", "K", 1),
        };
        let lead = if load == 2 { "2h" } else { "h" };
        let blocks = split.blocks();
        // rows and columns of a block, the steps of a part, what runs one after another
        let (h, w, t, runs) = if blocks > 1 {
            ("h'", "w'", "T", "packs")
        } else {
            ("h", "w", time, "groups")
        };
        let mut lines = vec![format!(
            "E = {} output positions, K = {} products an output, F = {} output channels, {g} groups",
            gemm.m, gemm.k, gemm.n
        )];
        if blocks > 1 {
            lines.push(format!(
                "{blocks} blocks along the diagonal = {} groups · {} parts of the positions, each of h' · w' = {} · {} PEs",
                split.groups, split.positions, folds.array.rows, folds.array.cols
            ));
            lines.push(format!(
                "packs = ceil({g} / {}) = {}; steps of a part T = ceil({time} / {}) = {steps}",
                split.groups,
                g.div_ceil(split.groups),
                split.positions
            ));
        }
        let whole = f64::from(self.rows) * f64::from(self.cols);
        let block = f64::from(folds.array.rows) * f64::from(folds.array.cols) * blocks as f64;
        lines.extend([
            format!(
                "folds = ceil({row} / {h}) · ceil({column} / {w}) = ceil({} / {}) · ceil({} / {}) = {} · {}",
                folds.sr,
                folds.array.rows,
                folds.sc,
                folds.array.cols,
                folds.row_folds(),
                folds.col_folds()
            ),
            format!(
                "cycles a fold = {lead} + w + {t} − 2 = {} + {} + {steps} − 2",
                load * u64::from(self.rows),
                self.cols
            ),
            format!("array cycles = {runs} · folds · cycles a fold = {}", array.cycles),
            format!(
                "mapping efficiency = {}{row} · {column} / (folds · h · w) = {:.1} %",
                if blocks > 1 { "blocks · " } else { "" },
                100.0 * folds.mapping_efficiency() * block / whole
            ),
        ]);
        lines
    }
}

/// The folds of a group on its blocks: rows and columns of a block, the time of the whole array.
fn split_folds(array: Systolic, work: &LayerWork, split: Spatial) -> (Folds, u64) {
    let gemm = work.nest.gemm();
    let diagonal = Diagonal::new(&work.nest, split);
    let share = |extent: u32| diagonal.share(extent.into()) as u32; // no more than the extent
    let block = Systolic {
        rows: share(array.rows),
        cols: share(array.cols),
        ..array
    };
    let folds = Folds::new(block, gemm.m, gemm.k, gemm.n);
    let time = if array.dataflow == Dataflow::WeightStationary {
        folds.t.div_ceil(split.positions)
    } else {
        folds.t
    };
    (folds, time)
}

#[inline]
fn run(array: Systolic, work: &LayerWork, split: Spatial) -> Result<ArrayRun, Overflow> {
    let LoopNest { g, .. } = work.nest;
    let gemm = work.nest.gemm();
    let diagonal = Diagonal::new(&work.nest, split);
    let (folds, time) = split_folds(array, work, split);
    let steps = product(&[diagonal.packs(), folds.count()?])?;
    let whole = Folds {
        t: time,
        array,
        ..folds
    };
    let peak = array.pes();
    let macs = work.nest.macs();
    let cycles = product(&[steps, whole.cycles_per_fold()?])?;
    let streaming = product(&[steps, time])?;
    let compute = macs / peak;
    let causes = Causes {
        compute,
        unused: streaming - compute,
        fill_drain: cycles - streaming,
        ..Causes::default()
    };
    let words = folds.accesses()?;
    let weight_bits = u64::from(work.weight_bits);
    let widths = work.activation_bits;
    // partial sums of all row folds but the first are added to what the folds before left
    let finished = product(&[g, gemm.m, gemm.n])?;
    let sums = product(&[mul(g, words.ofmap_writes)? - finished, widths.partial_sum.into()])?;
    Ok(ArrayRun {
        cycles,
        causes,
        macs,
        decoded: 0,
        // per multiplication one moving operand goes on to the neighbour, and one partial sum or second operand
        hops: add(
            product(&[2, macs])?,
            product(&[
                folds.col_folds(),
                diagonal.passing(folds.sr, folds.t, folds.array.cols.into())?,
            ])?,
        )?,
        stored: StoredBits {
            weights: product(&[work.nest.weights(), weight_bits])?,
            indices: 0,
        },
        bits: ArrayBits {
            weights: product(&[g, words.filter_reads, diagonal.copies(folds.t), weight_bits])?,
            indices: 0,
            inputs: product(&[g, words.ifmap_reads, widths.input.into()])?,
            outputs_written: add(sums, mul(finished, widths.output.into())?)?,
            outputs_read: sums,
        },
        peak,
        spatial: split,
        ..ArrayRun::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{ActivationBits, Weights};

    /// A 2×2 array, E = 3 positions, K = 3 products, F = 2 channels, weight stationary: ceil(3/2) = 2 row folds,
    /// 1 column fold; a fold loads 2 rows of weights and streams 3 positions through 2 + 2 − 1 skewed cycles:
    /// 2·2 + 2 + 3 − 2 = 7 cycles.
    #[test]
    fn two_by_two_by_hand() {
        let array = Systolic {
            rows: 2,
            cols: 2,
            dataflow: Dataflow::WeightStationary,
        };
        let folds = Folds::new(array, 3, 3, 2);
        assert_eq!(folds.count(), Ok(2));
        assert_eq!(folds.cycles_per_fold(), Ok(7));
        assert_eq!(folds.cycles(), Ok(14));
        assert_eq!(folds.scalesim_total_cycles(), Ok(13));
        assert_eq!(
            folds.accesses(),
            Ok(Accesses {
                ifmap_reads: 9,
                filter_reads: 6,
                ofmap_writes: 12
            })
        );
        assert!((folds.mapping_efficiency() - 0.75).abs() < 1e-12);
    }

    /// Three groups of K = 2, F = 1, E = 3 on 4×4, two at once: blocks of 2×2, a pack of two and one of one, each
    /// 2·4 + 4 + 3 − 2 = 13 cycles. Of the 18 multiplications each moves an operand and a sum; the 2 · 3 operands of the
    /// second block pass the 2 columns of the first.
    #[test]
    fn two_groups_at_once_by_hand() {
        let array = Systolic {
            rows: 4,
            cols: 4,
            dataflow: Dataflow::WeightStationary,
        };
        let nest = LoopNest {
            n: 1,
            g: 3,
            k: 1,
            c: 2,
            p: 3,
            q: 1,
            r: 1,
            s: 1,
            stride: [1, 1],
            dilation: [1, 1],
        };
        let work = LayerWork {
            name: "layer",
            nest,
            weights: Weights::Density(1.0),
            weight_bits: 8,
            activation_bits: ActivationBits::all(8),
            activation_density: 1.0,
            output_density: 1.0,
            input_elements: 18,
            output_elements: 9,
            input_from_dram: true,
            output_to_dram: true,
            mapping: None,
            fused: None,
        };
        let pair = run(array, &work, Spatial::groups(2)).expect("no overflow");
        assert_eq!((pair.cycles, pair.macs, pair.hops), (26, 18, 2 * 18 + 12));
        let alone = run(array, &work, Spatial::ONE).expect("no overflow");
        assert_eq!((alone.cycles, alone.macs, alone.hops), (39, 18, 36));
        assert_eq!(alone.bits, pair.bits);
        // the engine takes the faster
        assert_eq!(array.run(&work, None, "array"), Ok(pair));
    }

    #[test]
    fn sparse_products() {
        assert_eq!(nm_products(147, 2, 4), Ok(2 * 36 + 2));
        assert_eq!(nm_products(147, 4, 4), Ok(147));
        assert_eq!(row_wise_products(147, 4), Ok(76));
    }

    #[test]
    fn huge_extents_overflow_as_an_error() {
        let array = Systolic {
            rows: 1,
            cols: 1,
            dataflow: Dataflow::OutputStationary,
        };
        assert_eq!(Folds::new(array, 1 << 40, 1 << 40, 1).cycles(), Err(Overflow));
    }
}
