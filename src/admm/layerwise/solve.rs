//! One layer by one method, and the better of two answers.

use super::alps::alps;
use super::error::LayerwiseError;
use super::exchange::exchange;
use super::fixed_mask::fixed_mask;
use super::masks::{magnitude, magnitude_refit, wanda};
use super::obc::obc;
use super::pattern::Pattern;
use super::problem::Problem;
use super::quality::Quality;
use super::solution::Solution;
use super::sparsegpt::sparsegpt;
use crate::compression::ConstraintSet;
use crate::compression::structure::{Structure, TensorShape};
use serde::{Deserialize, Serialize};

/// How a layer's zeros are chosen and its weights adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The largest weights as they are.
    Magnitude,
    /// The largest weights, refitted.
    MagnitudeRefit,
    /// The largest |w|·‖x‖ as they are.
    Wanda,
    /// One sweep with error feedback.
    #[serde(rename = "sparsegpt")]
    SparseGpt,
    /// ADMM under a mask that grows.
    FixedMask,
    /// Exact greedy removal.
    Obc,
    /// ADMM, refitted; never worse than magnitude and refit.
    Alps,
    /// The better of ADMM and exact greedy removal, where that is defined and the layer has 1,024 inputs or less.
    Best,
}

/// Inputs up to which [`Method::Best`] runs exact greedy removal.
const OBC_INPUTS: usize = 1024;

impl Method {
    /// The method's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::MagnitudeRefit => "magnitude-refit",
            Self::Wanda => "wanda",
            Self::SparseGpt => "sparsegpt",
            Self::FixedMask => "fixed-mask",
            Self::Obc => "obc",
            Self::Alps => "alps",
            Self::Best => "best",
        }
    }
}

/// Compresses one layer to `keep` weights of a structure. Also names the method whose answer it is: that of
/// [`Method::Alps`] may be magnitude and refit, where that is better.
///
/// # Errors
/// [`LayerwiseError::Structure`] where the layer cannot have the structure; [`LayerwiseError::Unsupported`] for `SparseGPT` or OBC on a set that they have no form for.
pub fn solve(
    problem: &Problem,
    structure: Structure,
    shape: TensorShape,
    keep: usize,
    method: Method,
    quality: Quality,
) -> Result<(Solution, Method), LayerwiseError> {
    structure.fits(shape, keep)?;
    let set = structure.set(shape, keep);
    let set: &dyn ConstraintSet = &*set;
    let pattern = Pattern::of(structure, shape, keep);
    let need = |method| {
        pattern.ok_or_else(|| LayerwiseError::Unsupported {
            method,
            known: "unstructured and n-m sets",
            set: set.describe(),
        })
    };
    if keep >= problem.alive().count() && pattern == Some(Pattern::Count(keep)) {
        // nothing to choose
        let all = problem.alive().clone();
        let found = match method {
            Method::Magnitude | Method::Wanda | Method::SparseGpt => {
                Solution::masked(problem, problem.dense(), all)
            }
            _ => Solution::refitted(problem, all),
        };
        return Ok((found, method));
    }
    let found = match method {
        Method::Magnitude => magnitude(problem, set),
        Method::MagnitudeRefit => magnitude_refit(problem, set),
        Method::Wanda => wanda(problem, set),
        Method::SparseGpt => sparsegpt(problem, need("SparseGPT")?, None),
        Method::Obc => obc(problem, need("OBC")?),
        Method::FixedMask => {
            let (total, density) = (
                shape.weights() as f64,
                keep as f64 / shape.weights().max(1) as f64,
            );
            let sets = |portion: f64| {
                // the last step asks for the density itself, up to rounding
                let count = if portion <= density * (1.0 + 1e-9) {
                    keep
                } else {
                    (portion * total) as usize
                };
                structure.set(shape, count)
            };
            fixed_mask(problem, density, &sets)
        }
        Method::Alps => return Ok(safe(problem, set, quality)),
        Method::Best => {
            let (ours, by) = safe(problem, set, quality);
            let Some(pattern) = pattern.filter(|_| problem.inputs() <= OBC_INPUTS) else {
                return Ok((ours, by));
            };
            let exact = obc(problem, pattern);
            return Ok(if exact.objective < ours.objective {
                (exact, Method::Obc)
            } else {
                (ours, by)
            });
        }
    };
    Ok((found, method))
}

/// The better of ADMM and magnitude with refit.
fn safe(problem: &Problem, set: &dyn ConstraintSet, quality: Quality) -> (Solution, Method) {
    let ((mut ours, _), plain) = rayon::join(
        || alps(problem, set, &quality.schedule()),
        || magnitude_refit(problem, set),
    );
    let by = if plain.objective < ours.objective {
        ours = plain;
        Method::MagnitudeRefit
    } else {
        Method::Alps
    };
    (exchange(problem, set, ours, quality.schedule().exchange), by)
}
