//! Optimisers.

use super::parameters::{Parameters, Role};
use serde::Serialize;

/// The update rules, with PyTorch's semantics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Optimiser {
    /// v ← μv + g; w ← w − lr·v.
    Sgd {
        /// Momentum μ.
        momentum: f32,
    },
    /// Adam (Kingma and Ba, ICLR 2015) with bias correction; weight decay is decoupled (AdamW).
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        eps: f32,
    },
}

impl Optimiser {
    /// Adam with its usual constants 0.9, 0.999, 1e-8.
    #[must_use]
    pub const fn adam() -> Self {
        Self::Adam {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }

    /// Fresh state for parameters: moments are zero.
    #[must_use]
    pub fn start(self, parameters: &Parameters) -> OptimiserState {
        let slots = parameters
            .list
            .iter()
            .map(|p| {
                let active = p
                    .support
                    .as_ref()
                    .map(|m| m.ones().map(|i| i as u32).collect::<Vec<u32>>());
                let n = if p.role == Role::Statistic {
                    0
                } else {
                    active.as_ref().map_or(p.values.len(), Vec::len)
                };
                let second = if matches!(self, Self::Adam { .. }) { n } else { 0 };
                Slot {
                    active,
                    first: vec![0.0; n],
                    second: vec![0.0; second],
                }
            })
            .collect();
        OptimiserState {
            rule: self,
            step: 0,
            slots,
        }
    }
}

#[derive(Debug, Clone)]
struct Slot {
    /// Positions of the support; `None` means all. Moments are as long as the support.
    active: Option<Vec<u32>>,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// An optimiser's moments. They live on the supports: pruned positions are never visited.
#[derive(Debug, Clone)]
pub struct OptimiserState {
    rule: Optimiser,
    step: i32,
    slots: Vec<Slot>,
}

impl OptimiserState {
    /// One update. Decoupled weight decay acts on weights alone: w ← w − lr·decay·w (for SGD it is added to the
    /// gradient, as in PyTorch). Running statistics are left alone.
    pub fn update(
        &mut self,
        parameters: &mut Parameters,
        gradients: &[Vec<f32>],
        learning_rate: f32,
        weight_decay: f32,
    ) {
        self.step = self.step.saturating_add(1);
        for ((p, g), slot) in parameters.list.iter_mut().zip(gradients).zip(&mut self.slots) {
            if p.role == Role::Statistic {
                continue;
            }
            let decay = if p.role == Role::Weight { weight_decay } else { 0.0 };
            let rule = Rule {
                optimiser: self.rule,
                step: self.step,
                learning_rate,
                decay,
            };
            let (w, first, second) = (&mut p.values, &mut slot.first, &mut slot.second);
            pulp::Arch::new().dispatch(|| match &slot.active {
                Some(active) => rule.on_support(active, w, g, first, second),
                None => rule.on_all(w, g, first, second),
            });
        }
    }
}

#[derive(Clone, Copy)]
struct Rule {
    optimiser: Optimiser,
    step: i32,
    learning_rate: f32,
    decay: f32,
}

impl Rule {
    #[inline(always)]
    fn on_all(self, w: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32]) {
        match self.optimiser {
            Optimiser::Sgd { momentum } => {
                for ((w, &g), m) in w.iter_mut().zip(g).zip(first) {
                    self.sgd(momentum, w, g, m);
                }
            }
            Optimiser::Adam { beta1, beta2, eps } => {
                let adam = self.adam(beta1, beta2, eps);
                for (((w, &g), m), v) in w.iter_mut().zip(g).zip(first).zip(second) {
                    adam.update(w, g, m, v);
                }
            }
        }
    }

    #[inline(always)]
    fn on_support(self, active: &[u32], w: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32]) {
        match self.optimiser {
            Optimiser::Sgd { momentum } => {
                for (&i, m) in active.iter().zip(first) {
                    self.sgd(momentum, &mut w[i as usize], g[i as usize], m);
                }
            }
            Optimiser::Adam { beta1, beta2, eps } => {
                let adam = self.adam(beta1, beta2, eps);
                for ((&i, m), v) in active.iter().zip(first).zip(second) {
                    adam.update(&mut w[i as usize], g[i as usize], m, v);
                }
            }
        }
    }

    #[inline(always)]
    fn sgd(self, momentum: f32, w: &mut f32, g: f32, m: &mut f32) {
        *m = momentum * *m + (g + self.decay * *w);
        *w -= self.learning_rate * *m;
    }

    fn adam(self, beta1: f32, beta2: f32, eps: f32) -> Adam {
        let (c1, c2) = (1.0 - beta1.powi(self.step), 1.0 - beta2.powi(self.step));
        Adam {
            beta1,
            beta2,
            eps,
            rate: self.learning_rate / c1,
            root: 1.0 / c2.sqrt(),
            shrink: 1.0 - self.learning_rate * self.decay,
        }
    }
}

#[derive(Clone, Copy)]
struct Adam {
    beta1: f32,
    beta2: f32,
    eps: f32,
    rate: f32,
    root: f32,
    shrink: f32,
}

impl Adam {
    #[inline(always)]
    fn update(self, w: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        *m = self.beta1 * *m + (1.0 - self.beta1) * g;
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *w = *w * self.shrink - self.rate * *m / (v.sqrt() * self.root + self.eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::Mask;
    use crate::training::Parameter;

    fn one(values: Vec<f32>, support: Option<Mask>) -> Parameters {
        let shape = vec![1, values.len()];
        Parameters {
            list: vec![Parameter {
                name: "a.weight".into(),
                layer: "a".into(),
                role: Role::Weight,
                shape,
                values,
                support,
            }],
        }
    }

    /// Adam's first step has the size of the learning rate, whatever the gradient.
    #[test]
    fn first_adam_step_is_the_learning_rate() {
        let mut p = one(vec![1.0, -1.0], None);
        Optimiser::adam()
            .start(&p)
            .update(&mut p, &[vec![1e-3, -40.0]], 0.1, 0.0);
        assert!((p.list[0].values[0] - 0.9).abs() < 1e-5, "{:?}", p.list[0].values);
        assert!((p.list[0].values[1] + 0.9).abs() < 1e-5, "{:?}", p.list[0].values);
    }

    /// v1 = g, w = 1 − 0.1·1; v2 = 0.9 + 1, w = 0.9 − 0.19.
    #[test]
    fn momentum_accumulates() {
        let mut p = one(vec![1.0], None);
        let mut state = Optimiser::Sgd { momentum: 0.9 }.start(&p);
        state.update(&mut p, &[vec![1.0]], 0.1, 0.0);
        state.update(&mut p, &[vec![1.0]], 0.1, 0.0);
        assert!((p.list[0].values[0] - 0.71).abs() < 1e-6);
    }

    /// Positions outside the support are never moved.
    #[test]
    fn pruned_positions_stay_zero() {
        let mut mask = Mask::empty(1, 3);
        mask.set(1, true);
        let mut p = one(vec![0.0, 1.0, 0.0], Some(mask));
        for rule in [Optimiser::adam(), Optimiser::Sgd { momentum: 0.9 }] {
            rule.start(&p).update(&mut p, &[vec![1.0; 3]], 0.1, 0.1);
            assert_eq!((p.list[0].values[0], p.list[0].values[2]), (0.0, 0.0));
        }
        assert!(p.list[0].values[1] < 1.0);
    }
}
