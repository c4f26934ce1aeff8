//! How the learning rate moves over a training run.

use serde::Serialize;

/// A factor on the peak learning rate over the run's progress in [0, 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the peak.
    Constant,
    /// A linear rise over the first `warm_up` portion, then half a cosine from 1 down to `end`.
    Cosine {
        /// Portion of the run that rises.
        warm_up: f32,
        /// Factor at the end.
        end: f32,
    },
    /// Multiplied by `factor` after every `every` portion of the run.
    Step {
        /// Portion of the run between drops.
        every: f32,
        /// Factor of a drop.
        factor: f32,
    },
}

impl Schedule {
    /// The factor at a step of `steps`, both counted from 0.
    #[must_use]
    pub fn factor(self, step: u64, steps: u64) -> f32 {
        let progress = step as f32 / steps.max(1) as f32;
        match self {
            Self::Constant => 1.0,
            Self::Cosine { warm_up, .. } if progress < warm_up => {
                (step + 1) as f32 / (warm_up * steps as f32).max(1.0)
            }
            Self::Cosine { warm_up, end } => {
                let t = (progress - warm_up) / (1.0 - warm_up).max(f32::EPSILON);
                end + (1.0 - end) * 0.5 * (1.0 + (std::f32::consts::PI * t).cos())
            }
            Self::Step { every, factor } => factor.powi((progress / every.max(f32::EPSILON)) as i32),
        }
        .clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rises_then_falls_to_its_end() {
        let s = Schedule::Cosine {
            warm_up: 0.1,
            end: 0.25,
        };
        assert!((s.factor(0, 100) - 0.1).abs() < 1e-6);
        assert!((s.factor(10, 100) - 1.0).abs() < 1e-6);
        assert!((s.factor(55, 100) - 0.625).abs() < 1e-6);
        assert!(s.factor(99, 100) < 0.251);
    }

    #[test]
    fn steps_drop_by_their_factor() {
        let s = Schedule::Step {
            every: 0.25,
            factor: 0.1,
        };
        let at: Vec<f32> = [0, 24, 25, 50].iter().map(|&i| s.factor(i, 100)).collect();
        assert_eq!(at[..2], [1.0, 1.0]);
        assert!((at[2] - 0.1).abs() < 1e-7 && (at[3] - 0.01).abs() < 1e-8);
    }
}
