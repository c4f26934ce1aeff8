//! Index streams, written entry by entry: relative-index chains are read back as well.

use cosparse::compression::encoding::Encoding;
use std::collections::BTreeSet;
use std::ops::Range;

/// One stored entry: the zeros skipped before it, and the position of its non-zero; `None` for a filler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) run: usize,
    pub(crate) position: Option<usize>,
}

/// Encodes the positions at which `alive` holds. `bits` is the index width; `None` stores no fillers.
pub(crate) fn encode(alive: &[bool], bits: Option<u8>) -> Vec<Entry> {
    let longest = bits.map_or(usize::MAX, |b| (1 << b) - 1);
    let mut entries = Vec::new();
    let (mut run, mut kept) = (0, 0);
    for (position, &one) in alive.iter().enumerate() {
        if one {
            entries.push(Entry {
                run,
                position: Some(position),
            });
            run = 0;
            kept = entries.len();
        } else if run == longest {
            // a zero that the run length cannot count is stored
            entries.push(Entry { run, position: None });
            run = 0;
        } else {
            run += 1;
        }
    }
    // what was stored after the last non-zero says nothing
    entries.truncate(kept);
    assert_eq!(decode(&entries, alive.len()), alive, "the chain reads back");
    entries
}

fn decode(entries: &[Entry], len: usize) -> Vec<bool> {
    let mut alive = vec![false; len];
    let mut at = 0;
    for entry in entries {
        at += entry.run;
        alive[at] = entry.position.is_some();
        at += 1;
    }
    alive
}

/// What one PE holds of a run of row-major positions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    /// Its entries in order: their place, and whether there is a weight; fillers have no place.
    pub(crate) entries: Vec<(Option<usize>, bool)>,
    /// Index bits that travel with each entry.
    pub(crate) entry_bits: usize,
    /// Index bits beside them.
    pub(crate) beside: usize,
    /// Pointers read at every output position.
    pub(crate) pointers: usize,
}

/// Bits that write the numbers below `count`.
pub(crate) fn bits_for(count: usize) -> usize {
    (0..64).find(|&bits| 1usize << bits >= count).expect("a width")
}

/// The place of every block with a weight.
fn live_blocks(alive: &[bool], cols: usize, (high, wide): (usize, usize)) -> BTreeSet<(usize, usize)> {
    (0..alive.len())
        .filter(|&at| alive[at])
        .map(|at| (at / cols / high, at % cols / wide))
        .collect()
}

/// The positions that an encoding stores as entries with a place.
pub(crate) fn stored(alive: &[bool], cols: usize, encoding: Option<Encoding>) -> Vec<bool> {
    match encoding {
        None | Some(Encoding::Dense) => vec![true; alive.len()],
        Some(Encoding::BlockMap { rows, cols: wide }) => {
            let size = (rows as usize, wide as usize);
            let live = live_blocks(alive, cols, size);
            let block = |at: usize| (at / cols / size.0, at % cols / size.1);
            (0..alive.len()).map(|at| live.contains(&block(at))).collect()
        }
        Some(_) => alive.to_vec(),
    }
}

/// The gaps of a chain, and what they take in Golomb-Rice code with parameter `k`, bit by bit.
pub(crate) fn gaps(alive: &[bool]) -> Vec<usize> {
    let chain = encode(alive, None);
    chain.iter().map(|entry| entry.run).collect()
}

pub(crate) fn rice_code(gap: usize, k: usize) -> usize {
    let mut bits = Vec::new();
    let mut left = gap;
    while left >= 1 << k {
        bits.push(true);
        left -= 1 << k;
    }
    bits.push(false);
    bits.extend((0..k).map(|i| left >> i & 1 == 1));
    bits.len()
}

/// The parameter that makes all these gaps shortest.
pub(crate) fn best_rice(gaps: &[usize]) -> usize {
    (0..20)
        .min_by_key(|&k| gaps.iter().map(|&gap| rice_code(gap, k)).sum::<usize>())
        .expect("a parameter")
}

/// The streams of PEs that hold these runs of positions of a matrix of `cols` columns.
pub(crate) fn streams(
    alive: &[bool],
    cols: usize,
    runs: &[Range<usize>],
    encoding: Option<Encoding>,
) -> Vec<Stream> {
    let rows = alive.len() / cols;
    let kept = stored(alive, cols, encoding);
    let touched = |run: &Range<usize>| run.clone().map(|at| at / cols).collect::<BTreeSet<_>>().len();
    let most_rows = runs.iter().map(touched).max().unwrap_or(0);
    let weights = |run: &Range<usize>| run.clone().filter(|&at| alive[at]).count();
    let pointer = bits_for(runs.iter().map(weights).max().unwrap_or(0) + 1);
    let all_gaps: Vec<usize> = runs.iter().flat_map(|run| gaps(&alive[run.clone()])).collect();
    let k = best_rice(&all_gaps);
    runs.iter()
        .map(|run| {
            let bits = match encoding {
                Some(Encoding::RelativeIndex { bits }) => Some(bits),
                _ => None,
            };
            let entries = encode(&kept[run.clone()], bits)
                .iter()
                .map(|e| {
                    let place = e.position.map(|p| p + run.start);
                    let dense = matches!(encoding, None | Some(Encoding::Dense));
                    (place, place.is_some_and(|at| dense || alive[at]))
                })
                .collect();
            let columns = run.clone().map(|at| at % cols).collect::<BTreeSet<_>>().len();
            let pointers_of = |lines: usize| if lines > 0 { (lines + 1) * pointer } else { 0 };
            let (entry_bits, beside, pointers) = match encoding {
                None | Some(Encoding::Dense) => (0, 0, 0),
                Some(Encoding::Bitmap) => (0, run.len(), 0),
                Some(Encoding::RelativeIndex { bits }) => (bits.into(), 0, 0),
                Some(Encoding::Csr) => (bits_for(cols), pointers_of(touched(run)), touched(run)),
                Some(Encoding::Csc) => (bits_for(most_rows), pointers_of(columns), columns),
                Some(Encoding::Coordinate) => (bits_for(rows) + bits_for(cols), 0, 0),
                Some(Encoding::BlockMap { rows, cols: wide }) => {
                    let block = |at: usize| (at / cols / rows as usize, at % cols / wide as usize);
                    (0, run.clone().map(block).collect::<BTreeSet<_>>().len(), 0)
                }
                Some(Encoding::GolombRice) => {
                    let code = |gap: &usize| rice_code(*gap, k);
                    (0, gaps(&alive[run.clone()]).iter().map(code).sum(), 0)
                }
                Some(other) => panic!("no slices engine reads {other:?}"),
            };
            Stream {
                entries,
                entry_bits,
                beside,
                pointers,
            }
        })
        .collect()
}
