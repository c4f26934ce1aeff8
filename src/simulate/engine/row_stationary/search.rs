//! The free mapper: of all legal mappings the one with the fewest cycles, of those the one that moves least energy.
//!
//! Every n, e, p, q, r, t, g is tried, large ones first, but for those whose multiplications alone take longer than the
//! best so far. Of m it takes the largest that the banks allow: m changes nothing but how often inputs come from DRAM,
//! which falls as m grows. Energy is counted by the relative costs of Chen et al., ISCA 2016, Table IV: 200 a DRAM
//! word, 6 + 2 a word between buffer and array. Features count uncompressed, so that the mapping does not follow
//! densities. Of equals the first in the order of the loops below.

use super::dram_words;
use super::mapping::{Banks, Misfit, RowStationaryMapping, kernel_misfit, sets};
use super::passes::{Totals, run};
use crate::hardware::RowStationary;
use crate::network::LoopNest;
use crate::simulate::LayerWork;
use crate::units::{Overflow, add, mul, product};

/// Costs relative to a multiplication.
const DRAM_WORD: u64 = 200;
const BUFFER_WORD: u64 = 8;
/// After so many candidates (about a second) the best so far stands; the shipped networks on Eyeriss stay far below.
const MOST_CANDIDATES: u64 = 1 << 26;

/// The best legal mapping of a layer, or why there is none.
pub(super) fn best(
    engine: &RowStationary,
    work: &LayerWork,
) -> Result<Result<RowStationaryMapping, Misfit>, Overflow> {
    let nest = &work.nest;
    if let Some(misfit) = kernel_misfit(engine, nest) {
        return Ok(Err(misfit));
    }
    let mut search = Search {
        engine,
        work,
        tried: 0,
        best: None,
    };
    // a wider set than all bands of the array together does not fit however it is folded
    let widest = u64::from(engine.rows) / nest.r * u64::from(engine.cols);
    for e in (1..=nest.p.min(widest)).rev() {
        search.shapes(e)?;
    }
    if let Some((_, mapping)) = search.best {
        return Ok(Ok(mapping));
    }
    // the smallest mapping says what is short
    let smallest = RowStationaryMapping {
        m: 1,
        n: 1,
        e: 1,
        p: 1,
        q: 1,
        r: 1,
        t: 1,
        g: 1,
    };
    Ok(match smallest.check(engine, work)? {
        Err(misfit) => Err(misfit),
        Ok(()) => Ok(smallest),
    })
}

struct Search<'a> {
    engine: &'a RowStationary,
    work: &'a LayerWork<'a>,
    tried: u64,
    /// Cycles and energy of the best so far.
    best: Option<((u64, u64), RowStationaryMapping)>,
}

impl Search<'_> {
    fn shapes(&mut self, e: u64) -> Result<(), Overflow> {
        let nest = &self.work.nest;
        let sets = sets(self.engine, nest, e);
        let (filter_words, input_words, psum_words) = (
            u64::from(self.engine.filter_words),
            u64::from(self.engine.input_words),
            u64::from(self.engine.psum_words),
        );
        for q in (1..=nest.c.min(input_words / nest.s)).rev() {
            for p in (1..=nest.k.min(psum_words).min(filter_words / (q * nest.s))).rev() {
                for r in (1..=sets.min(nest.c.div_ceil(q))).rev() {
                    for t in (1..=(sets / r).min(nest.k.div_ceil(p))).rev() {
                        for g in 1..=(sets / (r * t)).min(nest.g) {
                            let mapping = RowStationaryMapping {
                                m: p * t,
                                n: 1,
                                e,
                                p,
                                q,
                                r,
                                t,
                                g,
                            };
                            self.tried += 1;
                            if self.tried > MOST_CANDIDATES {
                                return Ok(());
                            }
                            if let Some(((cycles, _), _)) = self.best
                                && floor(nest, &mapping)? > cycles
                            {
                                continue;
                            }
                            for n in (1..=nest.n).rev() {
                                self.tried += 1;
                                if self.tried > MOST_CANDIDATES {
                                    return Ok(());
                                }
                                self.weigh(RowStationaryMapping { n, ..mapping })?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a mapping, with the largest m that fits, if it is better.
    fn weigh(&mut self, mut mapping: RowStationaryMapping) -> Result<(), Overflow> {
        let nest = &self.work.nest;
        let Some(m) = largest_m(self.engine, self.work, &mapping)? else {
            return Ok(());
        };
        mapping.m = m;
        let totals = run(self.engine, nest, &mapping)?;
        let cycles = totals.cycles()?;
        if self.best.is_some_and(|((least, _), _)| cycles > least) {
            return Ok(());
        }
        let cost = (cycles, relative_energy(self.work, &mapping, &totals)?);
        if self.best.is_none_or(|(least, _)| cost < least) {
            self.best = Some((cost, mapping));
        }
        Ok(())
    }
}

/// Cycles below which no mapping of this p, q, r, t, g comes: the busiest PE's multiplications.
fn floor(nest: &LoopNest, mapping: &RowStationaryMapping) -> Result<u64, Overflow> {
    let busiest = |extent: u64, step: u64, each: u64| extent / step * each + (extent % step).min(each);
    let filters = busiest(nest.k, mapping.p * mapping.t, mapping.p);
    let channels = busiest(nest.c, mapping.q * mapping.r, mapping.q);
    let strips = nest.p.div_ceil(mapping.e);
    let packs = nest.g.div_ceil(mapping.g);
    product(&[packs, strips, nest.n, filters, channels, nest.s, nest.q])
}

/// The largest m, a multiple of p·t, whose partial sums fit beside the inputs.
fn largest_m(
    engine: &RowStationary,
    work: &LayerWork,
    mapping: &RowStationaryMapping,
) -> Result<Option<u64>, Overflow> {
    let banks = Banks::of(engine, work, mapping)?;
    let all = u64::from(engine.banks);
    if add(banks.psums, banks.inputs)? > all {
        return Ok(None);
    }
    let bits = mul(all - banks.inputs, engine.bank.bits())?;
    let one = product(&[
        mapping.g,
        mapping.n,
        mapping.e,
        work.nest.q,
        work.activation_bits.partial_sum.into(),
    ])?;
    let at_once = mapping.p * mapping.t;
    let fits = bits / one / at_once * at_once;
    Ok(Some(fits.min(work.nest.k.next_multiple_of(at_once))))
}

/// Energy of what a mapping moves, in multiplications; those themselves are the same in all mappings.
pub(super) fn relative_energy(
    work: &LayerWork,
    mapping: &RowStationaryMapping,
    totals: &Totals,
) -> Result<u64, Overflow> {
    let dram = dram_words(work, mapping, totals)?;
    let edge = [totals.inputs, totals.psums_in, totals.psums_out, totals.weights];
    let edge = edge.into_iter().try_fold(0, add)?;
    let dram = dram.into_iter().try_fold(0, add)?;
    add(mul(DRAM_WORD, dram)?, mul(BUFFER_WORD, edge)?)
}
