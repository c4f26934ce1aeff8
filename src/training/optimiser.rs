//! Update rules: stochastic gradient descent with momentum, and Adam. Both follow `PyTorch`'s arithmetic, and both
//! visit only the positions of a parameter's support.

use super::parameters::{Parameter, Parameters, Role};
use rayon::prelude::*;

/// Values that one task updates.
const BLOCK: usize = 1 << 14;

/// How gradients become updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `v ← momentum·v + g; w ← w − rate·v`, with weight decay added to g (L2).
    Sgd {
        /// Share of the last velocity that is kept; 0 is plain gradient descent.
        momentum: f32,
    },
    /// Adam with bias correction (Kingma and Ba, ICLR 2015) and decoupled weight decay (Loshchilov and Hutter, ICLR 2019).
    Adam {
        /// Decay of the mean gradient, commonly 0.9.
        beta1: f32,
        /// Decay of the mean squared gradient, commonly 0.999.
        beta2: f32,
        /// Added to the root, commonly 1e-8.
        eps: f32,
    },
}

/// A rule and its weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimiserOptions {
    /// The rule.
    pub rule: Rule,
    /// Weight decay, on weights only: biases, gains, shifts and tables have none.
    pub weight_decay: f32,
}

impl OptimiserOptions {
    /// Adam with its customary constants.
    #[must_use]
    pub const fn adam(weight_decay: f32) -> Self {
        Self {
            rule: Rule::Adam {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
            },
            weight_decay,
        }
    }

    /// Gradient descent with momentum.
    #[must_use]
    pub const fn sgd(momentum: f32, weight_decay: f32) -> Self {
        Self {
            rule: Rule::Sgd { momentum },
            weight_decay,
        }
    }
}

/// Running state of one parameter.
#[derive(Debug, Clone, Default)]
struct Moments {
    /// Velocity, or mean gradient.
    first: Vec<f32>,
    /// Mean squared gradient; empty for gradient descent.
    second: Vec<f32>,
    /// The positions of the support; `None` means all.
    alive: Option<Vec<u32>>,
}

/// An update rule with its running state for the parameters of one network.
#[derive(Debug, Clone)]
pub struct Optimiser {
    options: OptimiserOptions,
    moments: Vec<Moments>,
    steps: u32,
}

/// What one update needs besides values: constants of this step, already combined.
#[derive(Debug, Clone, Copy)]
enum Update {
    Sgd {
        momentum: f32,
        rate: f32,
        decay: f32,
    },
    Adam {
        beta1: f32,
        beta2: f32,
        eps: f32,
        rate: f32,
        root: f32,
        shrink: f32,
    },
}

impl Update {
    #[inline(always)] // takes the vector instructions of the loop around it
    #[allow(clippy::inline_always)]
    fn apply(self, w: &mut f32, g: f32, first: &mut f32, second: &mut f32) {
        match self {
            Self::Sgd {
                momentum,
                rate,
                decay,
            } => {
                *first = momentum * *first + (g + decay * *w);
                *w -= rate * *first;
            }
            Self::Adam {
                beta1,
                beta2,
                eps,
                rate,
                root,
                shrink,
            } => {
                *w *= shrink;
                *first += (1.0 - beta1) * (g - *first);
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                *w -= rate * (*first / (second.sqrt() / root + eps));
            }
        }
    }
}

impl Optimiser {
    /// State for these parameters and their present supports.
    #[must_use]
    pub fn new(options: OptimiserOptions, parameters: &Parameters) -> Self {
        let moments = parameters
            .list
            .iter()
            .map(|p| Moments::new(options.rule, p))
            .collect();
        Self {
            options,
            moments,
            steps: 0,
        }
    }

    /// Forgets all moments, as after a change of the objective.
    pub fn reset(&mut self) {
        self.steps = 0;
        for m in &mut self.moments {
            m.first.fill(0.0);
            m.second.fill(0.0);
        }
    }

    /// One update of all trained parameters at a learning rate. Running statistics and positions outside a support
    /// are left alone.
    ///
    /// # Panics
    /// When `parameters` or `gradients` differ in number or size from the parameters that this optimiser was made for.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: &[Vec<f32>], rate: f32) {
        assert_eq!(
            (parameters.list.len(), gradients.len()),
            (self.moments.len(), self.moments.len()),
            "one gradient per parameter"
        );
        self.steps = self.steps.saturating_add(1);
        for ((parameter, gradient), moments) in
            parameters.list.iter_mut().zip(gradients).zip(&mut self.moments)
        {
            assert_eq!(
                (parameter.values.len(), gradient.len()),
                (moments.first.len(), moments.first.len()),
                "`{}` keeps its size",
                parameter.name
            );
            if parameter.role == Role::Statistic {
                continue;
            }
            let decay = if parameter.role == Role::Weight {
                self.options.weight_decay
            } else {
                0.0
            };
            moments.update(
                update(self.options.rule, decay, rate, self.steps),
                &mut parameter.values,
                gradient,
            );
        }
    }
}

/// The constants of step `steps` (from 1); bias corrections are computed in double precision, as `PyTorch` does.
fn update(rule: Rule, decay: f32, rate: f32, steps: u32) -> Update {
    match rule {
        Rule::Sgd { momentum } => Update::Sgd {
            momentum,
            rate,
            decay,
        },
        Rule::Adam { beta1, beta2, eps } => {
            let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(steps));
            let rate64 = f64::from(rate);
            Update::Adam {
                beta1,
                beta2,
                eps,
                rate: (rate64 / correction(beta1)) as f32,
                root: correction(beta2).sqrt() as f32,
                shrink: (1.0 - rate64 * f64::from(decay)) as f32,
            }
        }
    }
}

impl Moments {
    fn new(rule: Rule, parameter: &Parameter) -> Self {
        let len = parameter.values.len();
        let second = if matches!(rule, Rule::Adam { .. }) {
            vec![0.0; len]
        } else {
            Vec::new()
        };
        let alive = parameter
            .support
            .as_ref()
            .map(|s| (0..len).filter(|&i| s.get(i)).map(|i| i as u32).collect());
        Self {
            first: vec![0.0; len],
            second,
            alive,
        }
    }

    fn update(&mut self, update: Update, values: &mut [f32], gradient: &[f32]) {
        // gradient descent has no second moments
        let none = &mut 0.0;
        if let Some(alive) = &self.alive {
            for &i in alive {
                let i = i as usize;
                update.apply(
                    &mut values[i],
                    gradient[i],
                    &mut self.first[i],
                    self.second.get_mut(i).unwrap_or(none),
                );
            }
            return;
        }
        let tasks = values
            .par_chunks_mut(BLOCK)
            .zip(gradient.par_chunks(BLOCK))
            .zip(self.first.par_chunks_mut(BLOCK));
        match update {
            Update::Sgd { .. } => tasks.for_each(|((w, g), first)| {
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for ((w, &g), first) in w.iter_mut().zip(g).zip(first) {
                            update.apply(w, g, first, &mut 0.0);
                        }
                    },
                );
            }),
            Update::Adam { .. } => {
                tasks
                    .zip(self.second.par_chunks_mut(BLOCK))
                    .for_each(|(((w, g), first), second)| {
                        pulp::Arch::new().dispatch(
                            #[inline(always)]
                            || {
                                for (((w, &g), first), second) in w.iter_mut().zip(g).zip(first).zip(second) {
                                    update.apply(w, g, first, second);
                                }
                            },
                        );
                    });
            }
        }
    }
}
