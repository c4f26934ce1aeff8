//! Ports of the buffers: what crosses a buffer in a step, and how long its ports take for it.
//!
//! A buffer has two sides. On the inner side are the words that the array reads and writes there or, in an intermediate
//! level, the tiles on their way to and from the next memory inwards; on the outer side are the tiles on their way from
//! and to the DRAM. A word is as wide as the port, and a port moves one a cycle.
//!
//! * A buffer whose profile says nothing of ports has one port for its inner side; its outer side takes no time.
//! * With two ports each side has its own: the longer of the two counts.
//! * One port in each of b banks is shared. The inner side comes first. While it moves its R words, each b-th cycle the
//!   word of the outer side lies in the bank that is busy, and waits: F words of the outer side take F + ⌊R / b⌋ cycles, or
//!   hide behind R. With one bank that is R + F.

use super::{Route, TENSORS};
use crate::hardware::{Memory, MemoryKind, Ports};
use crate::units::{Overflow, add};

/// A buffer that transfers take time in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crossing {
    /// Tensors that pass through to a memory further in.
    pub(super) inwards: [bool; 4],
    /// Tensors whose transfers cross the outer side, where that takes time.
    pub(super) outwards: [bool; 4],
    ports: Option<Ports>,
    width: u64,
}

impl Crossing {
    /// That of memory `m`; `None` if only what the array reads and writes takes time there.
    pub(super) fn of(memory: &Memory, m: usize, routes: &[Route; 4]) -> Option<Self> {
        if !matches!(memory.kind, MemoryKind::Buffer { .. }) {
            return None;
        }
        let holds = TENSORS.map(|tensor| memory.holds.contains(&tensor));
        let crossing = Self {
            inwards: std::array::from_fn(|t| holds[t] && routes[t].inner != m),
            outwards: holds.map(|holds| holds && memory.ports.is_some()),
            ports: memory.ports,
            width: memory.bits_per_cycle.value.max(1),
        };
        (crossing.inwards.contains(&true) || crossing.outwards.contains(&true)).then_some(crossing)
    }

    /// Cycles for so many bits on each side.
    pub(super) fn cycles(&self, inner: u64, outer: u64) -> Result<u64, Overflow> {
        let (inner, outer) = (inner.div_ceil(self.width), outer.div_ceil(self.width));
        Ok(match self.ports {
            None => inner,
            Some(Ports::Separate) => inner.max(outer),
            Some(Ports::Shared { banks }) => inner.max(add(outer, inner / banks.max(1))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crossing(ports: Option<Ports>) -> Crossing {
        Crossing {
            inwards: [false; 4],
            outwards: [true; 4],
            ports,
            width: 8,
        }
    }

    /// Cycle by cycle: the inner side moves a word; the outer side moves one if its bank is free.
    fn stepped(banks: u64, mut inner: u64, mut outer: u64) -> u64 {
        let (mut cycles, mut met) = (0, 0);
        while inner > 0 || outer > 0 {
            cycles += 1;
            let mut waits = false;
            if inner > 0 {
                inner -= 1;
                met += 1;
                waits = met % banks == 0;
            }
            if outer > 0 && !waits {
                outer -= 1;
            }
        }
        cycles
    }

    proptest! {
        #[test]
        fn sharing_is_as_stepped(inner in 0u64..500, outer in 0u64..500, banks in 1u64..20) {
            let shared = crossing(Some(Ports::Shared { banks }));
            prop_assert_eq!(shared.cycles(8 * inner, 8 * outer), Ok(stepped(banks, inner, outer)));
        }

        /// From one port over more banks to two ports to no outer side, never slower.
        #[test]
        fn more_ports_are_never_slower(inner in 0u64..5000, outer in 0u64..5000, banks in 1u64..20) {
            let cycles = |ports| crossing(ports).cycles(inner, outer).expect("small");
            let shared = |banks| cycles(Some(Ports::Shared { banks }));
            prop_assert_eq!(shared(1), inner.div_ceil(8) + outer.div_ceil(8));
            prop_assert!(shared(banks + 1) <= shared(banks));
            prop_assert!(cycles(Some(Ports::Separate)) <= shared(banks));
            prop_assert!(cycles(None) <= cycles(Some(Ports::Separate)));
        }
    }
}
