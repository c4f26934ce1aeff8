//! Penalties on groups of weights, each group with a coefficient of its own.

use super::solve::support;
use crate::compression::Mask;
use crate::compression::structure::{Partition, Structure};
use crate::training::{Parameters, Term, TrainingError};
use std::sync::Arc;

/// How a penalty acts in a step of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyStep {
    /// After the optimiser's update every group moves to the minimiser of ½‖W − V‖² + rate · penalty from where it is: a
    /// group whose pull is too weak becomes exactly zero, whatever the optimiser's own scaling.
    Proximal,
    /// The penalty's gradient is added to the loss's, as in the code that accompanies arXiv 2004.05531. Adam divides it
    /// by the root of the gradients' mean square: groups come near zero and swing about it.
    Gradient,
}

/// What of a group is penalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Its norm: Σ c·‖W‖₂.
    Norm,
    /// Half its square: Σ c/2·‖W‖₂².
    Square,
}

/// The groups of one weight tensor.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Index of the parameter.
    pub(super) parameter: usize,
    /// Its groups.
    pub(super) partition: Arc<Partition>,
    /// The coefficient of each group.
    pub(super) coefficients: Vec<f32>,
}

/// A penalty on the groups of several tensors.
#[derive(Debug)]
pub(super) struct GroupPenalty {
    pub(super) measure: Measure,
    pub(super) step: PenaltyStep,
    pub(super) layers: Vec<Layer>,
}

/// The groups of each weight tensor that has a structure (one entry per weight, in the order of
/// [`Parameters::weights`]), coefficients zero.
pub(super) fn layers_of(
    parameters: &Parameters,
    structures: &[Option<Structure>],
) -> Result<Vec<Layer>, TrainingError> {
    let weights = parameters.weight_indices();
    if weights.len() != structures.len() {
        return Err(TrainingError::Option {
            option: "structure",
            message: format!(
                "is given for {} layers, the network has {} with weights",
                structures.len(),
                weights.len()
            ),
        });
    }
    let chosen = weights.into_iter().zip(structures);
    chosen
        .filter_map(|(parameter, structure)| Some((parameter, (*structure)?)))
        .map(|(parameter, structure)| {
            let p = &parameters.list[parameter];
            let partition = structure
                .partition(p.tensor_shape())
                .ok_or_else(|| TrainingError::Option {
                    option: "structure",
                    message: format!(
                        "of layer `{}` has no groups that a penalty could drive out; take single weights, filters, channels, \
                         shapes, blocks or segments",
                        p.layer
                    ),
                })?;
            Ok(Layer {
                parameter,
                coefficients: vec![0.0; partition.groups()],
                partition: partition.into(),
            })
        })
        .collect()
}

/// Calls `f` with every position of a support.
fn each(support: Option<&Mask>, len: usize, mut f: impl FnMut(usize)) {
    match support {
        Some(mask) => mask.ones().for_each(f),
        None => (0..len).for_each(&mut f),
    }
}

impl GroupPenalty {
    /// The penalty's value.
    #[cfg(test)]
    fn value(&self, parameters: &Parameters) -> f64 {
        let of = |layer: &Layer| -> f64 {
            let p = &parameters.list[layer.parameter];
            let norms = layer.partition.norms(&p.values, &support(p));
            let pairs = norms.iter().zip(&layer.coefficients);
            pairs
                .map(|(&n, &c)| {
                    f64::from(c)
                        * match self.measure {
                            Measure::Norm => n,
                            Measure::Square => n * n / 2.0,
                        }
                })
                .sum()
        };
        self.layers.iter().map(of).sum()
    }

    /// What each group's weights are multiplied by, in the gradient or in the proximal step.
    fn factors(&self, layer: &Layer, norms: impl FnOnce() -> Vec<f64>, rate: f32) -> Vec<f32> {
        let coefficients = layer.coefficients.iter().map(|&c| f64::from(c));
        let rate = f64::from(rate);
        let factors = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f32> {
            match self.measure {
                Measure::Norm => {
                    let norms = norms();
                    coefficients.zip(norms).map(|(c, n)| of(c, n) as f32).collect()
                }
                Measure::Square => coefficients.map(|c| of(c, 1.0) as f32).collect(),
            }
        };
        match (self.step, self.measure) {
            // at zero the norm has no gradient; zero is one of its subgradients
            (PenaltyStep::Gradient, _) => factors(&|c, n| if n > 0.0 { c / n } else { 0.0 }),
            (PenaltyStep::Proximal, Measure::Norm) => {
                factors(&|c, n| if n > rate * c { 1.0 - rate * c / n } else { 0.0 })
            }
            (PenaltyStep::Proximal, Measure::Square) => factors(&|c, _| 1.0 / (1.0 + rate * c)),
        }
    }
}

impl Term for GroupPenalty {
    fn gradient(&mut self, parameters: &Parameters, gradients: &mut [Vec<f32>]) {
        if self.step != PenaltyStep::Gradient {
            return;
        }
        for layer in &self.layers {
            let p = &parameters.list[layer.parameter];
            let factors = self.factors(layer, || layer.partition.norms(&p.values, &support(p)), 0.0);
            let g = &mut gradients[layer.parameter];
            each(p.support.as_ref(), p.values.len(), |i| {
                g[i] += factors[layer.partition.group_of(i)] * p.values[i];
            });
        }
    }

    fn proximal(&mut self, parameters: &mut Parameters, rate: f32) {
        if self.step != PenaltyStep::Proximal {
            return;
        }
        for layer in &self.layers {
            let p = &mut parameters.list[layer.parameter];
            let factors = self.factors(layer, || layer.partition.norms(&p.values, &support(p)), rate);
            let len = p.values.len();
            let values = &mut p.values;
            each(p.support.as_ref(), len, |i| {
                values[i] *= factors[layer.partition.group_of(i)];
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::{Parameter, Role};
    use proptest::prelude::*;

    fn parameters(values: &[f32], alive: &[bool]) -> Parameters {
        let mut mask = Mask::full(2, values.len() / 2);
        alive.iter().enumerate().for_each(|(i, &a)| mask.set(i, a));
        let mut values = values.to_vec();
        mask.apply(&mut values);
        Parameters {
            list: vec![Parameter {
                name: "fc.weight".into(),
                layer: "fc".into(),
                role: Role::Weight,
                shape: vec![2, values.len() / 2],
                values,
                support: Some(mask),
            }],
        }
    }

    fn penalty(parameters: &Parameters, measure: Measure, step: PenaltyStep, c: &[f32]) -> GroupPenalty {
        let structure = Some(Structure::Block { rows: 2, cols: 2 });
        let mut layers = layers_of(parameters, &[structure]).expect("blocks are groups");
        let groups = layers[0].partition.groups();
        layers[0].coefficients.copy_from_slice(&c[..groups]);
        GroupPenalty {
            measure,
            step,
            layers,
        }
    }

    fn measures() -> impl Strategy<Value = Measure> {
        prop_oneof![Just(Measure::Norm), Just(Measure::Square)]
    }

    proptest! {
        /// The gradient agrees with central differences of the value, over the support.
        #[test]
        fn gradient_is_the_derivative(
            w in prop::collection::vec(prop_oneof![-2.0f32..-0.1, 0.1f32..2.0], 10),
            alive in prop::collection::vec(prop::bool::weighted(0.8), 10),
            c in prop::collection::vec(0.0f32..3.0, 3),
            measure in measures(),
        ) {
            let at = parameters(&w, &alive);
            let mut term = penalty(&at, measure, PenaltyStep::Gradient, &c);
            let mut gradients = at.zeros();
            term.gradient(&at, &mut gradients);
            for i in 0..w.len() {
                if !alive[i] {
                    prop_assert_eq!(gradients[0][i], 0.0);
                    continue;
                }
                let value = |d: f32| {
                    let mut moved = at.clone();
                    moved.list[0].values[i] += d;
                    term.value(&moved)
                };
                let numeric = (value(1e-2) - value(-1e-2)) / 2e-2;
                prop_assert!((numeric - f64::from(gradients[0][i])).abs() < 0.02,
                    "weight {}: {} against {}", i, numeric, gradients[0][i]);
            }
        }

        /// No point near the outcome of a proximal step has a smaller ½‖W − V‖² + rate · penalty.
        #[test]
        fn the_proximal_step_is_a_minimum(
            w in prop::collection::vec(-2.0f32..2.0, 10),
            c in prop::collection::vec(0.0f32..6.0, 3),
            rate in 0.01f32..1.0,
            towards in prop::collection::vec(-1.0f32..1.0, 10),
            measure in measures(),
        ) {
            let from = parameters(&w, &[true; 10]);
            let mut term = penalty(&from, measure, PenaltyStep::Proximal, &c);
            let mut to = from.clone();
            term.proximal(&mut to, rate);
            let objective = |p: &Parameters| {
                let moved = p.list[0].values.iter().zip(&w);
                let distance: f64 = moved.map(|(&x, &w)| f64::from(x - w).powi(2)).sum();
                distance / 2.0 + f64::from(rate) * term.value(p)
            };
            let least = objective(&to);
            prop_assert!(least <= objective(&from) + 1e-6);
            for scale in [1e-1, 1e-2, -1e-2, -1e-1] {
                let mut near = to.clone();
                for (x, t) in near.list[0].values.iter_mut().zip(&towards) {
                    *x += scale * t;
                }
                prop_assert!(least <= objective(&near) + 1e-6, "{least} against {}", objective(&near));
            }
        }
    }

    #[test]
    fn a_weak_group_becomes_zero_and_stays_a_number() {
        let mut at = parameters(&[0.3, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0], &[true; 8]);
        // the norm is 0.5 and the step 0.5: exactly enough; the other group is zero already
        penalty(&at, Measure::Norm, PenaltyStep::Proximal, &[5.0, 5.0]).proximal(&mut at, 0.1);
        assert_eq!(at.list[0].values, [0.0; 8]);
        let mut gradients = at.zeros();
        penalty(&at, Measure::Norm, PenaltyStep::Gradient, &[5.0, 5.0]).gradient(&at, &mut gradients);
        assert_eq!(gradients[0], [0.0; 8]);
    }

    #[test]
    fn structures_without_groups_are_refused() {
        let at = parameters(&[1.0; 8], &[true; 8]);
        let fault = layers_of(&at, &[Some(Structure::BalancedRows)]).expect_err("no groups");
        assert!(fault.to_string().contains("layer `fc`"), "{fault}");
        assert!(layers_of(&at, &[]).is_err());
        assert!(layers_of(&at, &[None]).expect("nothing penalised").is_empty());
    }
}
