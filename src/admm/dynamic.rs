//! Dynamic regularisation: a penalty that rises on whatever exceeds a budget, and nowhere else.

use super::cut::{cut, train_survivors};
use super::options::Retrain;
use super::penalty::{GroupPenalty, Measure, PenaltyStep, layers_of};
use super::prune::{MEMORY, weights_fisher};
use super::record::{Phase, Record};
use super::rounds::Rounds;
use super::solve::{Assignment, Problem, support};
use crate::compression::structure::{Structure, WholeGroups};
use crate::compression::{Mask, SharedBudget, TotalGroups};
use crate::network::Network;
use crate::training::{Executor, FitOptions, Parameters, Term, TrainingError, executor_for};
use std::sync::Arc;

/// A rising penalty, the cut and masked retraining.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicOptions {
    /// Rounds of training, after each of which the coefficients move.
    pub rounds: u32,
    /// The training of one round.
    pub round: FitOptions,
    /// What the coefficient of a group over the budget rises by in every round.
    pub rise: f32,
    /// No coefficient exceeds this.
    pub most: f32,
    /// Training of the survivors.
    pub retrain: Retrain,
}

/// Prunes to a number of weights over all penalised layers without a target for any of them. Every group has a
/// coefficient ρ of its own in Σ ρ/2·‖W‖². Before each round the groups are ranked over all layers by their saliency
/// per weight ([`TotalGroups`]): ρ rises for those that the budget leaves out, and falls to zero for those that it
/// holds, so that a group that proves important comes back before the cut (growing regularisation: Wang et al., ICLR
/// 2021, arXiv 2012.09243; here with a ranking that is taken anew). The penalty acts in proximal steps, W/(1 + rate·ρ).
///
/// `structures` are as those of [`super::reweight`]; `keep` counts the weights of layers that have one. Saliency is v²
/// times the diagonal of the Fisher information, which starts from `batches` mini-batches and follows the training.
///
/// # Errors
/// As [`super::reweight`].
#[allow(
    clippy::too_many_arguments,
    reason = "those of `reweight`, and what saliency is measured on"
)]
pub fn dynamic(
    network: &Network,
    parameters: Parameters,
    structures: &[Option<Structure>],
    keep: usize,
    batches: usize,
    problem: &Problem<'_>,
    options: &DynamicOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let layers = layers_of(&parameters, structures)?;
    let penalised: Vec<usize> = layers.iter().map(|l| l.parameter).collect();
    let fisher = weights_fisher(network, &parameters, &penalised, batches, problem, &options.round)?;
    let mut rising = Rising {
        budget: TotalGroups {
            keep,
            partitions: layers.iter().map(|l| Arc::clone(&l.partition)).collect(),
            fisher,
            decay: MEMORY,
        },
        supports: penalised.iter().map(|&i| support(&parameters.list[i])).collect(),
        penalty: GroupPenalty {
            measure: Measure::Square,
            step: PenaltyStep::Proximal,
            layers,
        },
    };
    let share = options
        .retrain
        .share_after(f64::from(options.rounds) * options.round.epochs);
    let mut executor = executor_for(network, parameters)?;
    let (sets, records) = rising.rounds(&mut *executor, problem, options, step, &mut |f| tick(share * f))?;
    let mut parameters = executor.parameters().clone();
    drop(executor);
    cut(&mut parameters, &sets);
    let parameters = train_survivors(network, parameters, problem, &options.retrain, &mut |f| {
        tick(share + (1.0 - share) * f);
    })?;
    Ok((parameters, records))
}

/// The penalty and the budget that moves its coefficients.
#[derive(Debug)]
struct Rising {
    budget: TotalGroups,
    supports: Vec<Mask>,
    penalty: GroupPenalty,
}

impl Term for Rising {
    fn gradient(&mut self, _: &Parameters, gradients: &mut [Vec<f32>]) {
        for (i, (layer, support)) in self.penalty.layers.iter().zip(&self.supports).enumerate() {
            self.budget.observe(i, &gradients[layer.parameter], support);
        }
    }

    fn proximal(&mut self, parameters: &mut Parameters, rate: f32) {
        self.penalty.proximal(parameters, rate);
    }
}

impl Rising {
    /// The groups that the budget holds now.
    fn held(&self, parameters: &Parameters) -> Vec<WholeGroups> {
        let layers = self.penalty.layers.iter();
        let values: Vec<&[f32]> = layers
            .map(|l| parameters.list[l.parameter].values.as_slice())
            .collect();
        self.budget
            .choose(&values, &self.supports.iter().collect::<Vec<_>>())
    }

    /// Raises the coefficients of groups that are left out; the others fall to zero.
    fn raise(&mut self, held: &[WholeGroups], options: &DynamicOptions) {
        for (layer, held) in self.penalty.layers.iter_mut().zip(held) {
            for (g, c) in layer.coefficients.iter_mut().enumerate() {
                *c = if held.stays(g) {
                    0.0
                } else {
                    (*c + options.rise).min(options.most)
                };
            }
        }
    }

    fn rounds(
        &mut self,
        executor: &mut dyn Executor,
        problem: &Problem<'_>,
        options: &DynamicOptions,
        step: &str,
        tick: &mut dyn FnMut(f64),
    ) -> Result<(Vec<Assignment>, Vec<Record>), TrainingError> {
        let mut records = Rounds::new(step, Phase::Dynamic, problem.validation);
        let mut held = self.held(executor.parameters());
        let share = 1.0 / f64::from(options.rounds.max(1));
        for round in 0..options.rounds {
            self.raise(&held, options);
            let mut training = options.round;
            training.seed = training
                .seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(u64::from(round) + 1);
            problem.fit_with(executor, &training, self, &mut |p| {
                tick(share * (f64::from(round) + p.step as f64 / p.steps.max(1) as f64));
            })?;
            held = self.held(executor.parameters());
            let largest = |i: usize| {
                let coefficients = self.penalty.layers[i].coefficients.iter();
                f64::from(coefficients.fold(0.0f32, |m, &c| m.max(c)))
            };
            records.end(executor, &self.assigned(held.clone()), largest)?;
        }
        Ok((self.assigned(held), records.records))
    }

    fn assigned(&self, held: Vec<WholeGroups>) -> Vec<Assignment> {
        let layers = self.penalty.layers.iter();
        layers
            .zip(held)
            .map(|(layer, set)| Assignment {
                parameter: layer.parameter,
                set: Box::new(set),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bowl::{Bowl, descent, sample};
    use super::*;
    use crate::training::Plain;

    fn run(bowl: &mut Bowl, fisher: Vec<Vec<f32>>, keep: usize, rounds: u32) -> (Rising, Vec<Record>) {
        let structure = Some(Structure::BlockRow { cols: 2 });
        let structures = vec![structure; bowl.parameters().list.len()];
        let layers = layers_of(bowl.parameters(), &structures).expect("segments are groups");
        let mut rising = Rising {
            budget: TotalGroups {
                keep,
                partitions: layers.iter().map(|l| Arc::clone(&l.partition)).collect(),
                fisher,
                decay: 1.0,
            },
            supports: bowl.parameters().list.iter().map(support).collect(),
            penalty: GroupPenalty {
                measure: Measure::Square,
                step: PenaltyStep::Proximal,
                layers,
            },
        };
        let options = DynamicOptions {
            rounds,
            round: descent(200, 0.1),
            rise: 2.0,
            most: 50.0,
            retrain: descent(0, 0.1).into(),
        };
        let data = sample();
        let problem = Problem {
            train: &data,
            teacher: None,
            validation: &data,
            aim: &Plain,
        };
        let (_, records) = rising
            .rounds(bowl, &problem, &options, "test", &mut |_| {})
            .expect("a bowl has a loss");
        (rising, records)
    }

    /// On ½‖W − T‖² a group with coefficient ρ rests at T/(1 + ρ): the outcome of every round is known.
    #[test]
    fn coefficients_rise_for_what_exceeds_the_budget_alone() {
        let (a, b): (&[f32], &[f32]) = (&[3.0, 4.0, 0.3, 0.4], &[0.6, 0.8, 1.8, 2.4]);
        for rounds in 1..=4u32 {
            let mut bowl = Bowl::at(&[a, b]);
            let (rising, records) = run(&mut bowl, Vec::new(), 4, rounds);
            let rho = 2.0 * rounds as f32;
            assert_eq!(rising.penalty.layers[0].coefficients, [0.0, rho]);
            assert_eq!(rising.penalty.layers[1].coefficients, [rho, 0.0]);
            assert!((bowl.weights(0)[3] - 0.4 / (1.0 + rho)).abs() < 1e-5);
            assert!((bowl.weights(1)[0] - 0.6 / (1.0 + rho)).abs() < 1e-5);
            assert!((bowl.weights(0)[1] - 4.0).abs() < 1e-5 && (bowl.weights(1)[3] - 2.4).abs() < 1e-5);
            // what leaves falls round by round
            let residuals: Vec<f64> = records
                .iter()
                .filter(|r| r.layer == "fc1")
                .map(|r| r.primal)
                .collect();
            assert!(residuals.is_sorted_by(|a, b| a > b), "{residuals:?}");
            assert_eq!(records.last().map(|r| (r.rho, r.kept)), Some((f64::from(rho), 2)));
        }
    }

    /// Saliency decides, not size; and no coefficient exceeds the most.
    #[test]
    fn importance_decides_over_all_layers() {
        let (a, b): (&[f32], &[f32]) = (&[3.0, 4.0, 3.0, 4.0], &[0.6, 0.8, 0.3, 0.3]);
        let fisher = vec![vec![0.01; 4], vec![4.0, 4.0, 10.0, 10.0]];
        let mut bowl = Bowl::at(&[a, b]);
        let (rising, _) = run(&mut bowl, fisher, 6, 30);
        assert_eq!(rising.penalty.layers[0].coefficients, [0.0, 50.0]);
        assert_eq!(rising.penalty.layers[1].coefficients, [0.0, 0.0]);
    }

    /// A group whose weights grow in training comes back, and its coefficient falls to zero.
    #[test]
    fn what_proves_important_comes_back() {
        let mut bowl = Bowl::at(&[&[2.0, 2.0, 1.0, 1.0, 8.0, 8.0]]);
        bowl.parameters_mut().list[0].values = vec![2.0, 2.0, 1.0, 1.0, 0.5, 0.5];
        let (rising, records) = run(&mut bowl, Vec::new(), 2, 3);
        assert_eq!(rising.penalty.layers[0].coefficients, [4.0, 6.0, 0.0]);
        assert!((bowl.weights(0)[4] - 8.0).abs() < 1e-4);
        assert_eq!(records[0].kept, 2);
    }
}
