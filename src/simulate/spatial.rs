//! The spatial split: what of a layer shares the array at once.

use super::engine::ArrayRun;
use super::error::SimulateError;
use super::work::{LayerWork, Mapping};
use crate::units::Overflow;
use std::fmt;

/// What shares the array at once, beside what the engine's own dataflow unrolls. A layer with 1 of each runs one group
/// after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spatial {
    /// Groups, each on its own block along the array's diagonal.
    pub groups: u64,
    /// Parts of the output positions, each on its own block with a copy of the weights.
    pub positions: u64,
    /// Columns of the kernel, side by side on the lanes of input channels.
    pub columns: u64,
}

impl Spatial {
    /// One group after another.
    pub const ONE: Self = Self {
        groups: 1,
        positions: 1,
        columns: 1,
    };

    /// So many groups at once.
    #[must_use]
    pub const fn groups(groups: u64) -> Self {
        Self { groups, ..Self::ONE }
    }

    /// Blocks along the diagonal.
    pub(super) const fn blocks(self) -> u64 {
        self.groups.saturating_mul(self.positions)
    }

    /// The parts with the keys of mapping files.
    const fn parts(self) -> [(&'static str, u64); 3] {
        [
            ("groups", self.groups),
            ("positions", self.positions),
            ("kernel-columns", self.columns),
        ]
    }
}

impl Default for Spatial {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Spatial {
    /// What is more than one, in the keys of mapping files; empty for [`Spatial::ONE`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (key, count) in self.parts().into_iter().filter(|(_, count)| *count > 1) {
            write!(f, "{gap}{key}={count}")?;
            gap = " ";
        }
        Ok(())
    }
}

/// The splits of a layer that an engine's data paths allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// The most of each alone.
    pub(super) most: Spatial,
    /// The most blocks along the diagonal.
    pub(super) blocks: u64,
}

impl Room {
    /// One group after another.
    pub(super) const NONE: Self = Self {
        most: Spatial::ONE,
        blocks: 1,
    };

    /// Every split, one group after another first.
    pub(super) fn all(self) -> impl Iterator<Item = Spatial> {
        let Self { most, blocks } = self;
        (1..=most.groups.min(blocks)).flat_map(move |groups| {
            (1..=most.positions.min(blocks / groups)).flat_map(move |positions| {
                (1..=most.columns).map(move |columns| Spatial {
                    groups,
                    positions,
                    columns,
                })
            })
        })
    }

    /// The first key of a split that is too large, with the most that it may be.
    fn over(self, split: Spatial) -> Option<(&'static str, u64, u64)> {
        let room = [
            self.most.groups.min(self.blocks),
            self.most
                .positions
                .min(self.blocks / split.groups.clamp(1, self.blocks)),
            self.most.columns,
        ];
        let parts = split.parts().into_iter().zip(room);
        parts
            .map(|((key, count), most)| (key, count, most))
            .find(|&(_, count, most)| count == 0 || count > most)
    }

    /// Whether a split that was asked for fits the layer and the engine.
    pub(super) fn check(self, split: Spatial, work: &LayerWork, engine: &str) -> Result<(), SimulateError> {
        let Some((key, count, most)) = self.over(split) else {
            return Ok(());
        };
        Err(SimulateError::Mapping {
            layer: work.name.into(),
            engine: engine.into(),
            key,
            message: format!("`{key}` is {count}, but the layer and the array allow {most} at once"),
            cure: if most > 1 {
                format!("write 1 to {most}")
            } else {
                format!("leave `{key}` out")
            },
        })
    }
}

/// The most groups that an unpinned split has: tiles that are pinned hold at least those that run at once.
pub(super) fn most_groups(room: Room, work: &LayerWork) -> u64 {
    let held = match work.mapping.and_then(Mapping::tiling) {
        Some(tiling) => tiling.channels / work.nest.k,
        None => u64::MAX,
    };
    room.most.groups.min(room.blocks).min(held)
}

/// A layer in the split that is pinned, or else in that with the fewest array cycles, of equals the fewest groups:
/// output positions and kernel columns are split by [`Mapping::Searched`] or a pinned split alone.
pub(super) fn run(
    room: Room,
    work: &LayerWork,
    run: impl Fn(Spatial) -> Result<ArrayRun, Overflow>,
) -> Result<ArrayRun, SimulateError> {
    let overflow = SimulateError::overflow(work);
    if let Some(split) = work.mapping.and_then(Mapping::spatial) {
        return run(split).map_err(overflow);
    }
    let mut best = run(Spatial::ONE).map_err(overflow)?;
    for groups in 2..=most_groups(room, work) {
        // a count that overflows is no candidate
        if let Ok(found) = run(Spatial::groups(groups))
            && found.cycles < best.cycles
        {
            best = found;
        }
    }
    Ok(best)
}
