//! How accurate a network is in every domain.

use super::form::{Domain, Effort};
use super::pixels::Pixels;
use crate::training::data::Samples;
use crate::training::fit::{elements_of, largest};
use crate::training::loss::cross_entropy;
use crate::training::{Executor, TrainingError};

/// A network in one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainAccuracy {
    /// The domain.
    pub domain: String,
    /// The portion of samples that are right.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
}

/// A network in all domains.
#[derive(Debug, Clone, PartialEq)]
pub struct RobustAccuracy {
    /// One after the other.
    pub domains: Vec<DomainAccuracy>,
    /// The lowest accuracy of a domain.
    pub worst: f64,
    /// The portion of samples that are right in every domain.
    pub every: f64,
}

/// Measures a network in evaluation mode in every domain, `batch` samples at a time. The same seed draws the same
/// perturbations.
///
/// # Errors
/// As [`crate::training::measure`], and what a domain cannot do with the samples.
pub fn robust_accuracy(
    executor: &mut dyn Executor,
    samples: &Samples,
    domains: &[Domain],
    pixels: &Pixels,
    (batch, seed, effort): (usize, u64, Effort),
) -> Result<RobustAccuracy, TrainingError> {
    let elements = elements_of(samples, batch)?;
    let mut right = vec![0u64; domains.len()];
    let mut losses = vec![0.0; domains.len()];
    let mut every = 0u64;
    let batches = samples
        .inputs
        .chunks(batch * elements)
        .zip(samples.labels.chunks(batch));
    for (index, (inputs, labels)) in batches.enumerate() {
        let mut always = vec![true; labels.len()];
        for (d, domain) in domains.iter().enumerate() {
            let seed = seed_of(seed.wrapping_add(index as u64), d);
            let seen = domain.inputs(executor, (pixels, &samples.shape), (inputs, labels), seed, effort)?;
            let outputs = executor.infer(&seen, labels.len())?;
            let classes = outputs.len() / labels.len();
            for ((z, &label), always) in outputs.chunks(classes).zip(labels).zip(&mut always) {
                let hit = largest(z) == label as usize;
                right[d] += u64::from(hit);
                *always &= hit;
            }
            losses[d] += cross_entropy(&outputs, labels);
        }
        every += always.iter().filter(|a| **a).count() as u64;
    }
    let count = samples.len() as f64;
    let domains: Vec<DomainAccuracy> = domains
        .iter()
        .zip(right.iter().zip(&losses))
        .map(|(domain, (&right, &loss))| DomainAccuracy {
            domain: domain.name.clone(),
            accuracy: right as f64 / count,
            loss: loss / count,
        })
        .collect();
    Ok(RobustAccuracy {
        worst: domains.iter().map(|d| d.accuracy).fold(1.0, f64::min),
        every: every as f64 / count,
        domains,
    })
}

/// The seed of a domain among those of a mini-batch.
pub(super) fn seed_of(seed: u64, domain: usize) -> u64 {
    // an odd multiplier is a bijection of u64
    (seed ^ (domain as u64 + 1).rotate_right(16)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
