//! A relative-index chain, written entry by entry and read back.

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
