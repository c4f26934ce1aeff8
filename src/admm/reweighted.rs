//! Reweighted penalties: how many weights a layer keeps emerges from one parameter.

use super::cut::{cut, train_survivors};
use super::options::Retrain;
use super::penalty::{GroupPenalty, Layer, Measure, PenaltyStep, layers_of};
use super::record::{Phase, Record};
use super::rounds::Rounds;
use super::solve::{Assignment, Problem, support};
use crate::compression::structure::{Structure, WholeGroups};
use crate::compression::{Mask, SharedBudget, TotalGroups};
use crate::network::Network;
use crate::training::{Executor, FitOptions, Parameters, TrainingError, executor_for};
use std::sync::Arc;

/// Which groups leave after a penalty.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupCut {
    /// Those whose norm fell below this. How many stay in each layer is nobody's target; the heaviest of each layer
    /// stays in any case.
    Below(f64),
    /// All but those of the largest mean square over all penalised layers together, of at most this many weights.
    Total(usize),
    /// In each layer all but the heaviest, of at most this many weights: one count per penalised layer, in order.
    Each(Vec<usize>),
}

/// A reweighted penalty, the cut and masked retraining.
#[derive(Debug, Clone, PartialEq)]
pub struct ReweightOptions {
    /// Rounds; each begins with fresh coefficients and runs the learning-rate schedule from its start.
    pub rounds: u32,
    /// The training of one round.
    pub round: FitOptions,
    /// λ, the penalty's parameter, the same for all layers.
    pub lambda: f32,
    /// Added to norms below the fraction.
    pub eps: f32,
    /// How the penalty acts.
    pub step: PenaltyStep,
    /// Which groups leave.
    pub cut: GroupCut,
    /// Training of the survivors.
    pub retrain: Retrain,
}

/// Prunes by the loss + λ·Σ R·‖W‖₂ over groups, R = 1/(‖W‖₂ + eps) being held through a round and then taken anew (reweighted
/// group lasso: METHODS §7, arXiv 2004.05531; §8, arXiv 2009.08065), then cuts and trains the survivors. `structures`
/// says for each weight parameter, in the order of [`Parameters::weights`], what its groups are; the penalty passes over
/// those without a structure, which keep what they have. A group of one weight makes it the reweighted ℓ₁ penalty.
///
/// As R is large where a norm is small, light groups vanish and heavy ones are hardly drawn in: the penalty counts
/// groups, much as the hard constraint does, without a count per layer.
///
/// Returns the parameters with their supports set to the survivors, and one record per round and penalised layer.
///
/// # Errors
/// When a structure has no groups or the counts of [`GroupCut::Each`] are not one per penalised layer, the network holds
/// an operation that cannot be trained, or the loss stops being a number.
pub fn reweight(
    network: &Network,
    parameters: Parameters,
    structures: &[Option<Structure>],
    problem: &Problem<'_>,
    options: &ReweightOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let layers = layers_of(&parameters, structures)?;
    let structures: Vec<Structure> = structures.iter().copied().flatten().collect();
    let share = options
        .retrain
        .share_after(f64::from(options.rounds) * options.round.epochs);
    let mut executor = executor_for(network, parameters)?;
    let (sets, records) = rounds(
        &mut *executor,
        layers,
        &structures,
        problem,
        options,
        step,
        &mut |f| {
            tick(share * f);
        },
    )?;
    let mut parameters = executor.parameters().clone();
    drop(executor);
    cut(&mut parameters, &sets);
    let parameters = train_survivors(network, parameters, problem, &options.retrain, &mut |f| {
        tick(share + (1.0 - share) * f);
    })?;
    Ok((parameters, records))
}

/// The rounds, and the sets of the cut after the last.
fn rounds(
    executor: &mut dyn Executor,
    layers: Vec<Layer>,
    structures: &[Structure],
    problem: &Problem<'_>,
    options: &ReweightOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Vec<Assignment>, Vec<Record>), TrainingError> {
    let mut penalty = GroupPenalty {
        measure: Measure::Norm,
        step: options.step,
        layers,
    };
    let mut records = Rounds::new(step, Phase::Reweight, problem.validation);
    let mut sets = chosen(executor.parameters(), &penalty.layers, structures, &options.cut)?;
    let share = 1.0 / f64::from(options.rounds.max(1));
    for round in 0..options.rounds {
        refresh(&mut penalty.layers, executor.parameters(), options);
        let mut training = options.round;
        training.seed = training
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(u64::from(round) + 1);
        problem.fit_with(executor, &training, &mut penalty, &mut |p| {
            tick(share * (f64::from(round) + p.step as f64 / p.steps.max(1) as f64));
        })?;
        sets = chosen(executor.parameters(), &penalty.layers, structures, &options.cut)?;
        records.end(executor, &sets, |_| f64::from(options.lambda))?;
    }
    Ok((sets, records.records))
}

/// λ·R from the norms as they are.
fn refresh(layers: &mut [Layer], parameters: &Parameters, options: &ReweightOptions) {
    for layer in layers {
        let p = &parameters.list[layer.parameter];
        let norms = layer.partition.norms(&p.values, &support(p));
        for (c, norm) in layer.coefficients.iter_mut().zip(norms) {
            *c = (f64::from(options.lambda) / (norm + f64::from(options.eps))) as f32;
        }
    }
}

/// The sets that a cut of the weights as they are leaves.
fn chosen(
    parameters: &Parameters,
    layers: &[Layer],
    structures: &[Structure],
    cut: &GroupCut,
) -> Result<Vec<Assignment>, TrainingError> {
    let supports: Vec<Mask> = layers
        .iter()
        .map(|l| support(&parameters.list[l.parameter]))
        .collect();
    let values: Vec<&[f32]> = layers
        .iter()
        .map(|l| parameters.list[l.parameter].values.as_slice())
        .collect();
    let sets = match cut {
        GroupCut::Below(least) => (layers.iter().zip(&values).zip(&supports))
            .map(|((layer, values), support)| {
                let partition = Arc::clone(&layer.partition);
                Box::new(WholeGroups::above(partition, values, support, *least)) as _
            })
            .collect(),
        GroupCut::Total(keep) => {
            let budget = TotalGroups {
                keep: *keep,
                partitions: layers.iter().map(|l| Arc::clone(&l.partition)).collect(),
                fisher: Vec::new(),
                decay: 1.0,
            };
            budget.share(&values, &supports.iter().collect::<Vec<_>>())
        }
        GroupCut::Each(keep) if keep.len() == layers.len() => (layers.iter().zip(structures).zip(keep))
            .map(|((layer, structure), &keep)| {
                structure.set(parameters.list[layer.parameter].tensor_shape(), keep)
            })
            .collect(),
        GroupCut::Each(keep) => {
            return Err(TrainingError::Option {
                option: "density",
                message: format!(
                    "is given for {} layers, {} are penalised",
                    keep.len(),
                    layers.len()
                ),
            });
        }
    };
    let assignments = layers.iter().zip(sets).map(|(layer, set)| Assignment {
        parameter: layer.parameter,
        set,
    });
    Ok(assignments.collect())
}

#[cfg(test)]
mod tests {
    use super::super::bowl::{Bowl, descent, sample};
    use super::*;
    use crate::training::Plain;
    use proptest::prelude::*;

    const SEGMENTS: Structure = Structure::BlockRow { cols: 2 };

    fn options(rounds: u32, lambda: f32, step: PenaltyStep, cut: GroupCut) -> ReweightOptions {
        ReweightOptions {
            rounds,
            round: descent(400, 0.05),
            lambda,
            eps: 1e-3,
            step,
            cut,
            retrain: descent(0, 0.1).into(),
        }
    }

    fn run(
        bowl: &mut Bowl,
        structure: Structure,
        options: &ReweightOptions,
    ) -> (Vec<Assignment>, Vec<Record>) {
        let data = sample();
        let problem = Problem {
            train: &data,
            teacher: None,
            validation: &data,
            aim: &Plain,
        };
        let structures = vec![Some(structure); bowl.parameters().list.len()];
        let layers = layers_of(bowl.parameters(), &structures).expect("they have groups");
        let structures: Vec<Structure> = structures.into_iter().flatten().collect();
        rounds(bowl, layers, &structures, &problem, options, "test", &mut |_| {}).expect("a bowl has a loss")
    }

    fn stays(set: &Assignment, values: &[f32]) -> Vec<bool> {
        let mut z = values.to_vec();
        let support = Mask::full(1, values.len());
        set.set.project(&mut z, &support);
        z.iter().map(|&v| v != 0.0).collect()
    }

    /// On ½‖W − T‖² a group of norm t settles at t − λ/(n + eps), n its norm when the coefficients were last taken, or at
    /// zero where that is not positive.
    #[test]
    fn coefficients_are_taken_anew_in_every_round() {
        let target: &[f32] = &[3.0, 4.0, 0.6, 0.8, 0.3, 0.4]; // norms 5, 1 and 0.5
        let lambda = 0.24;
        let mut expected = [5.0f64, 1.0, 0.5];
        for rounds in 1..=3 {
            expected = expected.map(|n| n.max(0.0));
            for (n, t) in expected.iter_mut().zip([5.0, 1.0, 0.5]) {
                *n = (t - f64::from(lambda) / (*n + 1e-3)).max(0.0);
            }
            let mut bowl = Bowl::at(&[target]);
            let options = options(rounds, lambda, PenaltyStep::Proximal, GroupCut::Below(1e-3));
            let (_, records) = run(&mut bowl, SEGMENTS, &options);
            let norm = |g: usize| f64::from(bowl.weights(0)[2 * g].hypot(bowl.weights(0)[2 * g + 1]));
            for (g, &n) in expected.iter().enumerate() {
                assert!(
                    (norm(g) - n).abs() < 1e-3,
                    "round {rounds}, group {g}: {} for {n}",
                    norm(g)
                );
            }
            assert_eq!(records.len(), rounds as usize);
        }
        // 1 → 0.760 → 0.685 → 0.650: on its way to (1 + √(1 − 4λ))/2 = 0.6; 0.5 → 0.021 → 0
        assert_eq!(expected[2], 0.0);
        assert!((expected[1] - 0.65).abs() < 0.01, "{expected:?}");
    }

    /// Groups of t² < 4λ have no other resting point than zero.
    #[test]
    fn the_groups_that_vanish_are_those_below_twice_the_root_of_lambda() {
        let target: &[f32] = &[0.9, 0.0, 0.0, 1.1, 0.3, 0.1, 2.0, 2.0]; // 2·√0.25 = 1
        let mut bowl = Bowl::at(&[target]);
        let options = options(25, 0.25, PenaltyStep::Proximal, GroupCut::Below(1e-3));
        let (sets, records) = run(&mut bowl, SEGMENTS, &options);
        assert_eq!(
            stays(&sets[0], bowl.weights(0)),
            [false, false, false, true, false, false, true, true]
        );
        assert_eq!(bowl.weights(0)[..2], [0.0, 0.0]);
        assert_eq!(records[24].set, "block 1 x 2, 2 of 4");
        assert!(records[24].primal < 1e-6, "what leaves is zero before the cut");
    }

    #[test]
    fn the_gradient_swings_where_the_proximal_step_arrives() {
        let target: &[f32] = &[0.3, 0.1, 2.0, 2.0];
        let run_with = |step| {
            let mut bowl = Bowl::at(&[target]);
            run(&mut bowl, SEGMENTS, &options(6, 0.25, step, GroupCut::Total(2)));
            bowl.weights(0).to_vec()
        };
        let (prox, gradient) = (run_with(PenaltyStep::Proximal), run_with(PenaltyStep::Gradient));
        assert_eq!(prox[..2], [0.0, 0.0]);
        assert!(gradient[0] != 0.0, "{gradient:?}");
        // the heavy group feels little of it either way
        assert!(
            (prox[2] - gradient[2]).abs() < 1e-3 && prox[2] > 1.9,
            "{prox:?} {gradient:?}"
        );
    }

    #[test]
    fn cuts_by_totals_and_by_layers() {
        let (a, b): (&[f32], &[f32]) = (&[3.0, 3.0, 2.0, 2.0], &[0.5, 0.5, 0.1, 0.1, 2.5, 2.5]);
        let with = |cut| {
            let mut bowl = Bowl::at(&[a, b]);
            let (sets, _) = run(&mut bowl, SEGMENTS, &options(1, 1e-4, PenaltyStep::Proximal, cut));
            let kept = |i: usize| stays(&sets[i], bowl.weights(i)).iter().filter(|&&s| s).count();
            (kept(0), kept(1))
        };
        assert_eq!(with(GroupCut::Total(4)), (2, 2));
        assert_eq!(with(GroupCut::Total(6)), (4, 2));
        assert_eq!(with(GroupCut::Each(vec![2, 4])), (2, 4));
        assert_eq!(with(GroupCut::Below(0.5)), (4, 4));
        // the heaviest of a layer stays in any case
        assert_eq!(with(GroupCut::Below(100.0)), (2, 2));
        let bowl = Bowl::at(&[a, b]);
        let layers = layers_of(bowl.parameters(), &[Some(SEGMENTS), Some(SEGMENTS)]).expect("groups");
        assert!(
            chosen(
                bowl.parameters(),
                &layers,
                &[SEGMENTS; 2],
                &GroupCut::Each(vec![2])
            )
            .is_err()
        );
    }

    proptest! {
        /// A larger λ never leaves more groups (no slack: on the bowl every group is on its own).
        #[test]
        fn larger_lambdas_leave_fewer_groups(
            target in prop::collection::vec(-2.0f32..2.0, 12),
            low in 0.001f32..0.5,
            more in 0.0f32..0.5,
            structure in prop_oneof![Just(Structure::Unstructured), Just(SEGMENTS), Just(Structure::Shape)],
        ) {
            let count = |lambda: f32| {
                let mut bowl = Bowl::at(&[&target]);
                let mut options = options(5, lambda, PenaltyStep::Proximal, GroupCut::Below(1e-3));
                options.round = descent(60, 0.1);
                let (sets, _) = run(&mut bowl, structure, &options);
                stays(&sets[0], bowl.weights(0)).iter().filter(|&&s| s).count()
            };
            prop_assert!(count(low + more) <= count(low));
        }
    }
}
