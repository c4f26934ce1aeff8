//! How a layer lies on a row-stationary array, and whether it can.

use crate::hardware::RowStationary;
use crate::network::LoopNest;
use crate::simulate::LayerWork;
use crate::units::{Overflow, add, mul, product};
use std::fmt;

/// A row-stationary mapping in the letters of Chen et al., JSSC 2017, Table IV, and g.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowStationaryMapping {
    /// Output channels of a group whose partial sums stay in the buffer: a multiple of p·t.
    pub m: u64,
    /// Samples of a pass.
    pub n: u64,
    /// Output rows of a strip: the columns of PEs that one set takes.
    pub e: u64,
    /// Filters that a PE interleaves.
    pub p: u64,
    /// Channels that a PE interleaves.
    pub q: u64,
    /// Sets of PEs that work on other channels.
    pub r: u64,
    /// Sets of PEs that work on other filters.
    pub t: u64,
    /// Sets of PEs that work on other groups; the chip's own mappings have 1.
    pub g: u64,
}

impl fmt::Display for RowStationaryMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            m,
            n,
            e,
            p,
            q,
            r,
            t,
            g,
        } = self;
        write!(f, "m={m} n={n} e={e} p={p} q={q} r={r} t={t}")?;
        if *g > 1 { write!(f, " g={g}") } else { Ok(()) }
    }
}

/// Why a mapping cannot run: the letter to change, what is wrong, and the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) key: &'static str,
    pub(super) message: String,
    pub(super) cure: String,
}

impl Misfit {
    fn new(key: &'static str, message: String, cure: impl Into<String>) -> Self {
        Self {
            key,
            message,
            cure: cure.into(),
        }
    }
}

/// Input rows under `outputs` output rows.
pub(super) fn window_rows(nest: &LoopNest, outputs: u64) -> Result<u64, Overflow> {
    window(outputs, nest.stride[0], nest.r, nest.dilation[0])
}

/// Input columns under all output columns.
pub(super) fn window_cols(nest: &LoopNest) -> Result<u64, Overflow> {
    window(nest.q, nest.stride[1], nest.s, nest.dilation[1])
}

fn window(outputs: u64, stride: u64, kernel: u64, dilation: u64) -> Result<u64, Overflow> {
    add(add(mul(outputs - 1, stride)?, mul(kernel - 1, dilation)?)?, 1)
}

/// Sets of PEs, kernel rows × `e` columns each, that the array holds at once. A set wider than the array is folded:
/// its parts lie below each other.
pub(super) fn sets(engine: &RowStationary, nest: &LoopNest, e: u64) -> u64 {
    let (rows, cols) = (u64::from(engine.rows), u64::from(engine.cols));
    let bands = rows / nest.r;
    if e <= cols {
        bands * (cols / e)
    } else {
        bands / e.div_ceil(cols)
    }
}

/// Banks that inputs and partial sums of a mapping take. A bank holds words of one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Banks {
    pub(super) psums: u64,
    pub(super) inputs: u64,
}

impl Banks {
    /// What stays on chip whole takes its whole size.
    pub(super) fn of(
        engine: &RowStationary,
        work: &LayerWork,
        mapping: &RowStationaryMapping,
    ) -> Result<Self, Overflow> {
        let nest = &work.nest;
        let RowStationaryMapping { m, n, e, q, r, g, .. } = *mapping;
        let bank = engine.bank.bits();
        let widths = work.activation_bits;
        let [input, output, sum] = [widths.input, widths.output, widths.partial_sum].map(u64::from);
        let mut psums = product(&[g, m, n, e, nest.q, sum])?;
        if !work.output_to_dram {
            psums = psums.max(product(&[nest.n, work.output_elements, output])?);
        }
        let channels = mul(q, r)?.min(nest.c);
        let mut inputs = product(&[g, n, channels, window_rows(nest, e)?, window_cols(nest)?, input])?;
        if !work.input_from_dram {
            inputs = inputs.max(product(&[nest.n, work.input_elements, input])?);
        }
        if let Some(fused) = work.fused {
            inputs = add(
                inputs,
                product(&[nest.n, fused.added_on_chip, fused.added_bits.into()])?,
            )?;
        }
        Ok(Self {
            psums: psums.div_ceil(bank),
            inputs: inputs.div_ceil(bank),
        })
    }
}

impl RowStationaryMapping {
    /// PEs that have work in a whole pass.
    ///
    /// # Errors
    /// On overflow.
    pub fn active_pes(&self, nest: &LoopNest) -> Result<u64, Overflow> {
        product(&[nest.r, self.e, self.r, self.t, self.g])
    }

    /// Whether the mapping fits the layer, the array, its registers and its banks; the first thing that does not.
    pub(super) fn check(
        &self,
        engine: &RowStationary,
        work: &LayerWork,
    ) -> Result<Result<(), Misfit>, Overflow> {
        Ok(match self.misfit(engine, work) {
            Some(misfit) => Err(misfit),
            None => self.banks_misfit(engine, work)?.map_or(Ok(()), Err),
        })
    }

    fn misfit(&self, engine: &RowStationary, work: &LayerWork) -> Option<Misfit> {
        let nest = &work.nest;
        let Self {
            m,
            n,
            e,
            p,
            q,
            r,
            t,
            g,
        } = *self;
        let zero = [
            ("m", m),
            ("n", n),
            ("e", e),
            ("p", p),
            ("q", q),
            ("r", r),
            ("t", t),
            ("g", g),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, value)| *value == 0) {
            return Some(Misfit::new(key, format!("`{key}` is 0"), "write at least 1"));
        }
        if let Some(misfit) = kernel_misfit(engine, nest) {
            return Some(misfit);
        }
        let limits = [
            ("g", g, nest.g, "groups"),
            ("n", n, nest.n, "samples in the batch"),
            ("e", e, nest.p, "output rows"),
            ("p", p, nest.k, "filters in a group"),
            ("q", q, nest.c, "channels in a group"),
            ("r", r, nest.c.div_ceil(q), "sets for all channels of a group"),
            ("t", t, nest.k.div_ceil(p), "sets for all filters of a group"),
            (
                "m",
                m,
                nest.k.next_multiple_of(p * t),
                "filters in a group, rounded up to passes",
            ),
        ];
        if let Some((key, value, most, what)) = limits.into_iter().find(|(_, value, most, _)| value > most) {
            let cure = if key == "n" {
                format!("write at most {most}, or run a larger batch (`--batch`)")
            } else {
                format!("write at most {most}")
            };
            return Some(Misfit::new(
                key,
                format!("`{key}` is {value}, but there are {most} {what}"),
                cure,
            ));
        }
        if m % (p * t) != 0 {
            return Some(Misfit::new(
                "m",
                format!("`m` is {m}, which is no multiple of p·t = {}", p * t),
                format!("write {}", m.next_multiple_of(p * t)),
            ));
        }
        let registers = [
            ("q", q * nest.s, engine.input_words, "q·S", "input"),
            ("p", p * q * nest.s, engine.filter_words, "p·q·S", "filter"),
            ("p", p, engine.psum_words, "p", "partial-sum"),
        ];
        for (key, words, held, formula, file) in registers {
            if words > u64::from(held) {
                return Some(Misfit::new(
                    key,
                    format!("{formula} = {words} words, but the {file} registers of a PE hold {held}"),
                    format!("lower `{key}`"),
                ));
            }
        }
        let (want, have) = (r * t * g, sets(engine, nest, e));
        (want > have).then(|| {
            Misfit::new(
                match (have, g) {
                    (0, _) => "e",
                    (_, 1) => "t",
                    _ => "g",
                },
                format!(
                    "{} = {want} sets of {} x {e} PEs, but {} x {} PEs hold {have}",
                    if g > 1 { "r·t·g" } else { "r·t" },
                    nest.r,
                    engine.rows,
                    engine.cols
                ),
                match (have, g) {
                    (0, _) => "lower `e`",
                    (_, 1) => "lower `t`, `r` or `e`",
                    _ => "lower `g`, `t`, `r` or `e`",
                },
            )
        })
    }

    fn banks_misfit(&self, engine: &RowStationary, work: &LayerWork) -> Result<Option<Misfit>, Overflow> {
        let banks = Banks::of(engine, work, self)?;
        let have = u64::from(engine.banks);
        Ok((add(banks.psums, banks.inputs)? > have).then(|| {
            Misfit::new(
                "m",
                format!(
                    "partial sums take {} banks and inputs {}, but there are {have}",
                    banks.psums, banks.inputs
                ),
                "lower `m`, `n`, `e`, `q` or `r`",
            )
        }))
    }
}

/// A kernel that no mapping makes fit.
pub(super) fn kernel_misfit(engine: &RowStationary, nest: &LoopNest) -> Option<Misfit> {
    if nest.r > u64::from(engine.rows) {
        return Some(Misfit::new(
            "",
            format!(
                "the kernel has {} rows, but the array {} rows of PEs",
                nest.r, engine.rows
            ),
            "take a smaller kernel, or an array with more rows",
        ));
    }
    let held = engine.input_words.min(engine.filter_words);
    (nest.s > u64::from(held)).then(|| {
        Misfit::new(
            "",
            format!(
                "a kernel row has {} words, but the registers of a PE hold {held}",
                nest.s
            ),
            "take a narrower kernel, or larger registers",
        )
    })
}
