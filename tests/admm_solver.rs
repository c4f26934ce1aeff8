//! The solver's steps by hand, and what pruning and levels leave behind.
#![allow(clippy::float_cmp)] // the numbers are exact in binary, and levels exact multiples

use cosparse::admm::{
    AdmmOptions, Assignment, Phase, Problem, PruneOptions, QuantiseOptions, Snapping, prune, quantise, solve,
};
use cosparse::compression::precision::{Precision, Scale};
use cosparse::compression::structure::{Structure, TensorShape};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::data::Samples;
use cosparse::training::{
    Executor, FitOptions, Loss, OptimiserOptions, Parameter, Parameters, Plain, Role, Schedule, Step,
    TrainingError, executor_for, measure,
};

/// A network whose loss is `pull`/2·‖w − target‖², whatever the samples are.
struct Bowl {
    parameters: Parameters,
    target: Vec<Vec<f32>>,
    pull: f32,
}

impl Bowl {
    fn new(weights: &[f32], target: &[f32], pull: f32) -> Self {
        let parameter = |name: &str, role, values: &[f32]| Parameter {
            name: name.into(),
            layer: "fc".into(),
            role,
            shape: vec![1, values.len()],
            values: values.to_vec(),
            support: None,
        };
        Self {
            parameters: Parameters {
                list: vec![
                    parameter("fc.weight", Role::Weight, weights),
                    parameter("fc.bias", Role::Bias, &[7.0]),
                ],
            },
            target: vec![target.to_vec(), vec![7.0]],
            pull,
        }
    }

    fn weights(&self) -> &[f32] {
        &self.parameters.list[0].values
    }
}

impl Executor for Bowl {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn gradients(&mut self, _: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        for ((g, p), t) in gradients.iter_mut().zip(&self.parameters.list).zip(&self.target) {
            for ((g, &w), &t) in g.iter_mut().zip(&p.values).zip(t) {
                *g = self.pull * (w - t);
            }
        }
        Ok(0.0)
    }

    fn infer(&mut self, _: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        Ok(vec![0.0; 2 * samples])
    }
}

fn samples(count: usize) -> Samples {
    // class by the brightest of the first three of four pixels, which all differ
    let pixel = |i: usize, k: usize| ((i * 7 + k * 5) % 11) as f32 / 11.0;
    let label = |i: usize| (0..3).fold(0, |best, k| if pixel(i, k) > pixel(i, best) { k } else { best });
    Samples {
        inputs: (0..count)
            .flat_map(|i| (0..4).map(move |k| pixel(i, k)))
            .collect(),
        labels: (0..count).map(|i| label(i) as u32).collect(),
        shape: vec![1, 2, 2],
    }
}

/// One gradient step of this rate on the one sample there is.
fn one_step(rate: f32) -> FitOptions {
    FitOptions {
        epochs: 1.0,
        batch: 1,
        optimiser: OptimiserOptions::sgd(0.0, 0.0),
        schedule: Schedule::Constant { rate },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed: 1,
    }
}

fn keep_one(bowl: &mut Bowl, options: &AdmmOptions) -> Vec<[f64; 3]> {
    let data = samples(1);
    let problem = Problem {
        train: &data,
        teacher: None,
        validation: &data,
        aim: &Plain,
    };
    let mut sets = vec![Assignment {
        parameter: 0,
        set: Structure::Unstructured.set(TensorShape::matrix(1, 2), 1),
    }]
    .into();
    let records = solve(
        bowl,
        &mut sets,
        &problem,
        options,
        "test",
        Phase::Prune,
        &mut |_| {},
    )
    .expect("a bowl has a loss");
    records.iter().map(|r| [r.rho, r.primal, r.dual]).collect()
}

/// Two iterations, ρ 0.5 then 1, rate 0.5, W from (3, 1) towards (0, 4) with one weight to stay. Every number is
/// exact in binary.
///
/// ```text
/// Z = (3, 0), U = 0
/// 1: gradient (3, −3) + 0.5·((3, 1) − (3, 0))       = (3, −2.5)      W = (1.5, 2.25)
///    W + U = (1.5, 2.25)   Z = (0, 2.25)   U = (1.5, 0)   primal 1.5    dual 0.5·|(−3, 2.25)| = 1.875
///    ρ doubles, U halves: (0.75, 0)
/// 2: gradient (1.5, −1.75) + (1.5, 0) + (0.75, 0)   = (3.75, −1.75)  W = (−0.375, 3.125)
///    W + U = (0.375, 3.125)   Z = (0, 3.125)              primal 0.375  dual 1·0.875
/// ```
#[test]
fn steps_by_hand() {
    let mut bowl = Bowl::new(&[3.0, 1.0], &[0.0, 4.0], 1.0);
    let options = AdmmOptions {
        iterations: 2,
        w_step: one_step(0.5),
        rho: 0.5,
        rho_growth: 2.0,
        rho_max: 8.0,
    };
    let records = keep_one(&mut bowl, &options);
    assert_eq!(records, [[0.5, 1.5, 1.875], [1.0, 0.375, 0.875]]);
    assert_eq!(bowl.weights(), [-0.375, 3.125]);
    assert_eq!(bowl.parameters.list[1].values, [7.0], "biases are left alone");
}

/// With no loss, a weight off its set is pulled by ρ times its distance: ten times as far, ten times as much. The
/// gradient of the norm itself would pull both alike.
#[test]
fn the_penalty_is_the_square() {
    let moved = |scale: f32| {
        let mut bowl = Bowl::new(&[3.0 * scale, scale], &[0.0, 0.0], 0.0);
        let options = AdmmOptions {
            iterations: 1,
            w_step: one_step(0.5),
            rho: 0.25,
            rho_growth: 1.0,
            rho_max: 1.0,
        };
        keep_one(&mut bowl, &options);
        assert_eq!(
            bowl.weights()[0],
            3.0 * scale,
            "what lies on the set is not pulled"
        );
        scale - bowl.weights()[1]
    };
    assert_eq!((moved(1.0), moved(16.0)), (0.125, 2.0));
}

/// ρ stops at its limit, and the multiplier ρU is not changed by growth that did not happen.
#[test]
fn rho_stops_at_its_limit() {
    let mut bowl = Bowl::new(&[3.0, 1.0], &[0.0, 4.0], 1.0);
    let options = AdmmOptions {
        iterations: 4,
        w_step: one_step(0.125),
        rho: 0.5,
        rho_growth: 2.0,
        rho_max: 1.5,
    };
    let rho: Vec<f64> = keep_one(&mut bowl, &options).iter().map(|r| r[0]).collect();
    assert_eq!(rho, [0.5, 1.0, 1.5, 1.5]);
}

fn linear() -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(vec![1, 2, 2]));
    builder.layer("flat", Op::Flatten, &["image"]);
    let fc = Op::Linear {
        out_features: 3,
        bias: true,
    };
    builder.layer("fc", fc, &["flat"]);
    builder.build().expect("a network")
}

fn training(epochs: f64, rate: f32) -> FitOptions {
    FitOptions {
        epochs,
        batch: 8,
        optimiser: OptimiserOptions::adam(0.0),
        ..one_step(rate)
    }
}

fn admm(iterations: u32) -> AdmmOptions {
    AdmmOptions {
        iterations,
        w_step: training(1.0, 0.02),
        rho: 0.01,
        rho_growth: 2.0,
        rho_max: 1.0,
    }
}

fn pruned(network: &Network, from: Parameters, keep: usize, data: &Samples) -> Parameters {
    let problem = Problem {
        train: data,
        teacher: None,
        validation: data,
        aim: &Plain,
    };
    let options = PruneOptions {
        admm: admm(4),
        retrain: training(2.0, 0.02).into(),
    };
    let keep = [(Structure::Unstructured, keep)];
    let (parameters, records) =
        prune(network, from, &keep, &problem, &options, "test", &mut |_| {}).expect("it trains");
    assert_eq!(records.len(), 4, "a record per iteration and layer");
    assert!(
        records
            .iter()
            .all(|r| r.kept <= keep[0].1 && (0.0..=100.0).contains(&r.accuracy_at_cut_pct))
    );
    parameters
}

/// Counts are met, zeros stay zero through retraining, and a second cut chooses among the survivors of the first.
#[test]
fn pruning_keeps_its_counts_and_never_grows() {
    let (network, data) = (linear(), samples(88));
    let first = pruned(&network, Parameters::init(&network, 3), 8, &data);
    let second = pruned(&network, first.clone(), 5, &data);
    let support = |p: &Parameters| p.list[0].support.clone().expect("pruned");
    assert_eq!((support(&first).count(), support(&second).count()), (8, 5));
    assert!(support(&second).is_subset_of(&support(&first)));
    for parameters in [&first, &second] {
        let (values, alive) = (&parameters.list[0].values, support(parameters));
        assert!((0..12).all(|i| alive.get(i) || values[i] == 0.0));
    }
}

/// Training through binary levels: all weights end at one magnitude, their signs have learnt, and the loss is lower than
/// where the same weights are only snapped.
#[test]
fn training_through_levels_ends_on_levels() {
    let (network, data) = (linear(), samples(88));
    let from = Parameters::init(&network, 3);
    let problem = Problem {
        train: &data,
        teacher: None,
        validation: &data,
        aim: &Plain,
    };
    let run = |through: Option<FitOptions>| {
        let options = QuantiseOptions {
            admm: admm(1),
            through,
            snapping: Snapping::AtOnce,
            retrain: training(0.0, 0.05).into(),
        };
        let precisions = [Precision::Binary {
            scale: Scale::PerTensor,
        }];
        let mut tick = |_| {};
        quantise(
            &network,
            from.clone(),
            &precisions,
            &problem,
            &options,
            "test",
            &mut tick,
        )
        .expect("it trains")
    };
    let loss = |q: &cosparse::admm::Quantised| {
        let mut executor = executor_for(&network, q.parameters.clone()).expect("they belong together");
        measure(&mut *executor, &data, 88).expect("outputs").loss
    };
    let (snapped, trained) = (run(None), run(Some(training(20.0, 0.05))));
    let alpha = trained.levels[0].scale_of(0);
    assert!(trained.parameters.list[0].values.iter().all(|w| w.abs() == alpha));
    assert!(
        loss(&trained) < loss(&snapped),
        "{} {}",
        loss(&trained),
        loss(&snapped)
    );
}

/// Survivors lie on ±q or ±2q at 2 bits, zeros stay, and biases alone are trained afterwards.
#[test]
fn levels_are_multiples_of_their_interval() {
    let (network, data) = (linear(), samples(88));
    let from = pruned(&network, Parameters::init(&network, 3), 7, &data);
    let problem = Problem {
        train: &data,
        teacher: None,
        validation: &data,
        aim: &Plain,
    };
    let run = |retrain: f64| {
        let options = QuantiseOptions {
            admm: admm(3),
            through: None,
            snapping: Snapping::AtOnce,
            retrain: training(retrain, 0.05).into(),
        };
        quantise(
            &network,
            from.clone(),
            &[Precision::equal_interval(2)],
            &problem,
            &options,
            "test",
            &mut |_| {},
        )
        .expect("it trains")
    };
    let (snapped, trained) = (run(0.0), run(3.0));
    let q = trained.levels[0].scale_of(0);
    for (i, &w) in trained.parameters.list[0].values.iter().enumerate() {
        let level = if from.list[0].support.as_ref().is_some_and(|s| s.get(i)) {
            [-2.0, -1.0, 1.0, 2.0].iter().any(|l| l * q == w)
        } else {
            w == 0.0
        };
        assert!(level, "weight {i} is {w}, q is {q}");
    }
    assert_eq!(
        snapped.parameters.list[0], trained.parameters.list[0],
        "levels are frozen"
    );
    assert_ne!(
        snapped.parameters.list[1], trained.parameters.list[1],
        "biases are not"
    );
}
