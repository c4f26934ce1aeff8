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
//! E output positions, K products per output, F output channels. Groups of a convolution run one after another.
//! A dense array multiplies zeros like any other weight, so all its multiplications count as useful.
//!
//! Deviation from SCALE-Sim: [`Folds::cycles`] counts cycles; its report prints the index of the last one
//! ([`Folds::scalesim_total_cycles`]), one less. Its output-stationary SRAM write count has an extra
//! folds·(h + w), which is not copied.

use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::{Dataflow, Systolic};
use crate::network::LoopNest;
use crate::simulate::count::fit;
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, product};

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
        run(*self, work).map_err(SimulateError::overflow(work))
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }

    fn formula(&self, work: &LayerWork, array: &ArrayRun) -> Vec<String> {
        let gemm = work.nest.gemm();
        let folds = Folds::new(*self, gemm.m, gemm.k, gemm.n);
        let (h, w, g) = (self.rows, self.cols, work.nest.g);
        let (row, column, time, load) = match self.dataflow {
            Dataflow::WeightStationary => ("K", "F", "E", 2),
            Dataflow::InputStationary => ("K", "E", "F", 2),
            Dataflow::OutputStationary => ("E", "F", "K", 1),
        };
        let lead = if load == 2 { "2h" } else { "h" };
        vec![
            format!(
                "E = {} output positions, K = {} products an output, F = {} output channels, {g} groups",
                gemm.m, gemm.k, gemm.n
            ),
            format!(
                "folds = ceil({row} / h) · ceil({column} / w) = ceil({} / {h}) · ceil({} / {w}) = {} · {}",
                folds.sr,
                folds.sc,
                folds.row_folds(),
                folds.col_folds()
            ),
            format!(
                "cycles a fold = {lead} + w + {time} − 2 = {} + {w} + {} − 2",
                load * u64::from(h),
                folds.t
            ),
            format!("array cycles = groups · folds · cycles a fold = {}", array.cycles),
            format!(
                "mapping efficiency = {row} · {column} / (folds · h · w) = {:.1} %",
                100.0 * folds.mapping_efficiency()
            ),
        ]
    }
}

#[inline]
fn run(array: Systolic, work: &LayerWork) -> Result<ArrayRun, Overflow> {
    let LoopNest { g, .. } = work.nest;
    let gemm = work.nest.gemm();
    let folds = Folds::new(array, gemm.m, gemm.k, gemm.n);
    let peak = array.pes();
    let macs = work.nest.macs();
    let cycles = product(&[g, folds.cycles()?])?;
    let streaming = product(&[g, folds.count()?, folds.t])?;
    let compute = macs / peak;
    let causes = Causes {
        compute,
        unused: streaming - compute,
        fill_drain: cycles - streaming,
        ..Causes::default()
    };
    let words = folds.accesses()?;
    let (weight_bits, act_bits) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
    let outputs = product(&[g, words.ofmap_writes, act_bits])?;
    // partial sums of all row folds but the first are added to what the folds before left
    let finished = product(&[g, gemm.m, gemm.n, act_bits])?;
    Ok(ArrayRun {
        cycles,
        causes,
        macs,
        decoded: 0,
        // per multiplication one moving operand goes on to the neighbour, and one partial sum or second operand
        hops: product(&[2, macs])?,
        stored: StoredBits {
            weights: product(&[work.nest.weights(), weight_bits])?,
            indices: 0,
        },
        bits: ArrayBits {
            weights: product(&[g, words.filter_reads, weight_bits])?,
            indices: 0,
            inputs: product(&[g, words.ifmap_reads, act_bits])?,
            outputs_written: outputs,
            outputs_read: outputs - finished,
        },
        peak,
        ..ArrayRun::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
