//! Learning rates over a run.

/// The learning rate at every step of a run of known length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The same rate throughout.
    Constant {
        /// The rate.
        rate: f32,
    },
    /// A linear rise to `peak`, then half a cosine down to `last`.
    Cosine {
        /// The highest rate.
        peak: f32,
        /// The rate at the end.
        last: f32,
        /// The portion of the run that rises, in [0, 1).
        warm_up: f32,
    },
    /// Multiplied by `factor` at regular intervals.
    Step {
        /// The first rate.
        rate: f32,
        /// What the rate is multiplied by.
        factor: f32,
        /// The portion of the run between two multiplications, in (0, 1].
        every: f32,
    },
}

impl Schedule {
    /// The rate of step `step` (from 0) in a run of `steps`.
    ///
    /// ```
    /// # use cosparse::training::Schedule;
    /// let schedule = Schedule::Cosine { peak: 2.0, last: 0.0, warm_up: 0.5 };
    /// assert_eq!(schedule.rate(0, 8), 0.5); // a quarter of the way up: the first step is not wasted on 0
    /// assert_eq!(schedule.rate(3, 8), 2.0);
    /// assert_eq!(schedule.rate(6, 8), 1.0); // half way down
    /// ```
    #[must_use]
    pub fn rate(&self, step: u64, steps: u64) -> f32 {
        let (step, steps) = (step as f64, steps.max(1) as f64);
        match *self {
            Self::Constant { rate } => rate,
            Self::Cosine { peak, last, warm_up } => {
                let rise = (f64::from(warm_up) * steps).floor();
                if step < rise {
                    return (f64::from(peak) * (step + 1.0) / rise) as f32;
                }
                let done = ((step - rise) / (steps - rise).max(1.0)).min(1.0);
                let share = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                (f64::from(last) + f64::from(peak - last) * share) as f32
            }
            Self::Step { rate, factor, every } => {
                let drops = (step / (f64::from(every) * steps).max(1.0)).floor();
                (f64::from(rate) * f64::from(factor).powf(drops)) as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_fall_at_their_intervals() {
        let schedule = Schedule::Step {
            rate: 1.0,
            factor: 0.5,
            every: 0.25,
        };
        let rates: Vec<f32> = (0..8).map(|s| schedule.rate(s, 8)).collect();
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    }

    proptest! {
        /// A cosine rises to its peak, falls from there, and never leaves [0, peak].
        #[test]
        fn cosine_rises_then_falls(steps in 1..200u64, warm_up in 0.0..0.9f32, last in 0.0..1.0f32) {
            let schedule = Schedule::Cosine { peak: 1.0, last, warm_up };
            let rates: Vec<f32> = (0..steps).map(|s| schedule.rate(s, steps)).collect();
            let top = (f64::from(warm_up) * steps as f64).floor() as usize;
            prop_assert!(rates[..top.max(1)].is_sorted(), "rises");
            prop_assert!(rates[top..].is_sorted_by(|a, b| a >= b), "falls");
            prop_assert!(rates.iter().all(|&r| (0.0..=1.0).contains(&r)));
            prop_assert!((rates[top] - 1.0).abs() < 1e-6, "the peak is reached");
        }
    }
}
