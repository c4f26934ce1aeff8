//! The supports that the one-pass reference methods are defined for.

use crate::compression::Mask;
use crate::compression::structure::{Structure, TensorShape};

/// A pattern of zeros whose pieces can be chosen one weight at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// So many weights of the layer, anywhere.
    Count(usize),
    /// `keep` weights of every `of` adjacent inputs of an output; a last short group of t keeps ⌈t·keep/of⌉.
    Groups {
        /// Weights kept of a group.
        keep: usize,
        /// Inputs of a group.
        of: usize,
    },
}

impl Pattern {
    /// Weights that a group of `len` inputs keeps.
    pub(super) fn kept_of(keep: usize, of: usize, len: usize) -> usize {
        (keep * len).div_ceil(of.max(1)).min(len)
    }

    /// Weights that a layer keeps.
    #[must_use]
    pub fn kept(self, outputs: usize, inputs: usize) -> usize {
        match self {
            Self::Count(keep) => keep.min(outputs * inputs),
            Self::Groups { keep, of } => {
                let of = of.max(1);
                let whole = inputs / of * Self::kept_of(keep, of, of);
                outputs * (whole + Self::kept_of(keep, of, inputs % of))
            }
        }
    }

    /// Whether a mask has the pattern.
    #[must_use]
    pub fn holds(self, mask: &Mask) -> bool {
        match self {
            Self::Count(keep) => mask.count() <= keep,
            Self::Groups { keep, of } => {
                let (of, n) = (of.max(1), mask.cols());
                (0..mask.rows()).all(|row| {
                    (0..n).step_by(of).all(|from| {
                        let len = of.min(n - from);
                        let at = row * n + from;
                        mask.count_in(at..at + len) <= Self::kept_of(keep, of, len)
                    })
                })
            }
        }
    }
}

impl Pattern {
    /// The pattern of a structure with `keep` weights, where it has one: N:M has one where it keeps N of every group.
    #[must_use]
    pub fn of(structure: Structure, shape: TensorShape, keep: usize) -> Option<Self> {
        match structure {
            Structure::Unstructured => Some(Self::Count(keep)),
            Structure::NM { keep: n, group } if keep >= structure.most(shape) => Some(Self::Groups {
                keep: n as usize,
                of: group as usize,
            }),
            _ => None,
        }
    }
}
