//! Robust training: exact projections, attacks that stay where they may, weights that find the hardest domain.

use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::data::Samples;
use cosparse::training::robust::{
    Attack, AttackLoss, Change, Domain, DomainWeights, Effort, Keep, LossName, MinMax, MinMaxAttack, Norm,
    Pixels, Robustness, Transform, project_onto_simplex, robust_accuracy,
};
use cosparse::training::{
    Aim, DenseExecutor, Executor, FitOptions, Loss, OptimiserOptions, Parameters, Plain, Role, Schedule,
    SparseExecutor, Step, Term, fit_for, measure,
};
use proptest::prelude::*;
use std::num::NonZeroU32;

const NORMS: [Norm; 3] = [Norm::Linf, Norm::L2, Norm::L1];

proptest! {
    /// Feasible, idempotent, and nearest by the conditions of Karush, Kuhn and Tucker: all positive entries lie one μ below
    /// what they were, and no other was above μ.
    #[test]
    fn the_simplex_projection_is_the_nearest(values in prop::collection::vec(-3.0..3.0f64, 1..9)) {
        let mut once = values.clone();
        project_onto_simplex(&mut once);
        prop_assert!((once.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(once.iter().all(|&w| w >= 0.0));
        let mut twice = once.clone();
        project_onto_simplex(&mut twice);
        prop_assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-12));
        let positive = once.iter().zip(&values).filter(|(w, _)| **w > 0.0);
        let mus: Vec<f64> = positive.map(|(w, v)| v - w).collect();
        prop_assert!(mus.iter().all(|mu| (mu - mus[0]).abs() < 1e-12));
        let zero = once.iter().zip(&values).filter(|(w, _)| **w <= 0.0);
        prop_assert!(zero.into_iter().all(|(_, v)| *v <= mus[0] + 1e-12));
    }

    /// Feasible, idempotent, and nearest: seen from the projection, no feasible point lies on the side of what was
    /// projected.
    #[test]
    fn the_ball_projection_is_the_nearest(
        entries in prop::collection::vec((-1.0..1.0f32, 0.0..=1.0f32, 0.0..1.0f32), 1..12),
        radius in 0.01..1.5f32,
        scales in prop::collection::vec(0.0..1.0f32, 4),
    ) {
        let wanted: Vec<f32> = entries.iter().map(|e| e.0).collect();
        let point: Vec<f32> = entries.iter().map(|e| e.1).collect();
        for norm in NORMS {
            let mut once = wanted.clone();
            norm.project(&mut once, &point, radius);
            prop_assert!(norm.of(&once) <= f64::from(radius) * (1.0 + 1e-6), "{norm:?}");
            let in_box = |delta: &[f32]| delta.iter().zip(&point).all(|(d, x)| (0.0..=1.0).contains(&(x + d)));
            prop_assert!(in_box(&once), "{norm:?}: {once:?} at {point:?}");
            let mut twice = once.clone();
            norm.project(&mut twice, &point, radius);
            prop_assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-6), "{norm:?}");
            for scale in &scales {
                // any point of the box, drawn in towards the middle of the ball as far as need be
                let mut other: Vec<f32> = entries.iter().map(|e| e.2 - e.1).collect();
                let shrink = scale * (f64::from(radius) / norm.of(&other).max(1e-9)).min(1.0) as f32;
                for o in &mut other {
                    *o *= shrink;
                }
                let turn: f64 = wanted.iter().zip(&once).zip(&other)
                    .map(|((&v, &p), &q)| f64::from(v - p) * f64::from(q - p)).sum();
                prop_assert!(turn <= 1e-5, "{norm:?}: {other:?} is nearer, by {turn}");
            }
        }
    }
}

fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..len).map(|_| next()).collect()
}

/// Convolution, normalisation by running statistics, a smooth activation, mean pooling, dropout: all that behaves
/// differently in training or by layout.
fn pictures() -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![2, 6, 6]));
    let conv = Conv2d {
        out_channels: 5,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::same(1),
        dilation: [1, 1],
        groups: 1,
        bias: true,
    };
    builder.layer("conv", Op::Conv2d(conv), &["x"]);
    builder.layer("norm", Op::BatchNorm { eps: 1e-5 }, &["conv"]);
    builder.layer("gelu", Op::Activation(Activation::Gelu), &["norm"]);
    let pool = Pool {
        kind: PoolKind::Average,
        kernel: [2, 2],
        stride: [2, 2],
        padding: Padding::same(0),
        ceil: false,
    };
    builder.layer("pool", Op::Pool(pool), &["gelu"]);
    builder.layer("flat", Op::Flatten, &["pool"]);
    builder.layer("drop", Op::Dropout { rate: 0.5 }, &["flat"]);
    let linear = Op::Linear {
        out_features: 3,
        bias: true,
    };
    builder.layer("out", linear, &["drop"]);
    builder.build().expect("the shapes fit")
}

fn picture_parameters(network: &Network) -> Parameters {
    let mut parameters = Parameters::init(network, 3);
    for p in &mut parameters.list {
        let noise = values(p.values.len() as u64, p.values.len());
        match p.role {
            Role::Statistic => p.values.iter_mut().zip(noise).for_each(|(v, n)| *v += 0.5 * n),
            Role::Bias | Role::Shift => p.values.iter_mut().zip(noise).for_each(|(v, n)| *v = n - 0.5),
            _ => {}
        }
    }
    parameters
}

/// The gradient by the inputs is that of evaluation mode: central differences of the outputs agree, and nothing changes in
/// the network.
#[test]
fn input_gradients_agree_with_differences() {
    let network = pictures();
    let parameters = picture_parameters(&network);
    let mut executor = DenseExecutor::new(&network, parameters.clone()).expect("its own parameters");
    let inputs = values(1, 2 * 72);
    let weights = values(2, 6);
    let mut gradient = Vec::new();
    executor
        .input_gradient(
            &inputs,
            2,
            &mut |outputs, slopes| {
                assert_eq!(outputs.len(), 6);
                slopes.copy_from_slice(&weights);
            },
            &mut gradient,
        )
        .expect("the network runs");
    assert_eq!(gradient.len(), inputs.len());
    assert_eq!(executor.parameters(), &parameters);
    let mut at = |place: usize, delta: f32| -> f64 {
        let mut moved = inputs.clone();
        moved[place] += delta;
        let outputs = executor.infer(&moved, 2).expect("the network runs");
        outputs
            .iter()
            .zip(&weights)
            .map(|(&o, &w)| f64::from(o) * f64::from(w))
            .sum()
    };
    for place in (0..inputs.len()).step_by(5) {
        let numeric = (at(place, 2e-2) - at(place, -2e-2)) / 4e-2;
        let analytic = f64::from(gradient[place]);
        assert!(
            (numeric - analytic).abs() < 1e-3 + 1e-2 * numeric.abs(),
            "input {place}: {analytic} against {numeric}"
        );
    }
}

fn flat(inputs: usize, classes: usize) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![1, 1, inputs]));
    builder.layer("flat", Op::Flatten, &["x"]);
    let linear = Op::Linear {
        out_features: classes,
        bias: true,
    };
    builder.layer("out", linear, &["flat"]);
    builder.build().expect("the shapes fit")
}

/// Both executors give the same derivative by the input.
#[test]
fn pruned_networks_are_derived_by_their_input_too() {
    let network = flat(12, 3);
    let mut parameters = Parameters::init(&network, 1);
    let weight = parameters.weight_mut("out").expect("a layer with weights");
    let mut mask = cosparse::compression::Mask::full(3, 12);
    (0..36).filter(|i| i % 3 > 0).for_each(|i| mask.set(i, false));
    mask.apply(&mut weight.values);
    weight.support = Some(mask);
    let inputs = values(5, 24);
    let derived = |executor: &mut dyn Executor| {
        let mut gradient = Vec::new();
        executor
            .input_gradient(&inputs, 2, &mut |o, s| s.copy_from_slice(o), &mut gradient)
            .expect("the network runs");
        gradient
    };
    let dense = derived(&mut DenseExecutor::new(&network, parameters.clone()).expect("its own parameters"));
    let sparse = derived(&mut SparseExecutor::new(&network, parameters).expect("a chain"));
    assert_eq!(dense, sparse);
    assert!(dense.iter().filter(|g| **g != 0.0).count() >= 8);
}

fn domain(name: &str, change: Change) -> Domain {
    Domain {
        name: name.into(),
        train: true,
        change,
    }
}

fn pgd(norm: Norm, radius: f32) -> Change {
    Change::Pgd {
        norm,
        radius,
        step_size: radius / 2.0,
        steps: NonZeroU32::new(3).expect("three"),
        test_steps: NonZeroU32::new(10),
        random_start: true,
        loss: LossName::CrossEntropy,
        confidence: 50.0,
    }
}

/// Attacks raise the loss, stay in the ball and the box in pixels, whatever the data's scale, and repeat themselves.
#[test]
fn attacks_raise_the_loss_and_stay_where_they_may() {
    let network = pictures();
    let labels: Vec<u32> = (0..40).map(|i| i % 3).collect();
    let raw = values(9, 40 * 72);
    for pixels in [
        Pixels::default(),
        Pixels::new(&[0.4, 0.6], &[0.25, 0.5], &[2, 6, 6]),
    ] {
        let inputs = pixels.inputs(&raw);
        let samples = Samples {
            inputs: inputs.clone(),
            labels: labels.clone(),
            shape: vec![2, 6, 6],
        };
        let mut executor =
            DenseExecutor::new(&network, picture_parameters(&network)).expect("its own parameters");
        let clean = measure(&mut executor, &samples, 16)
            .expect("the network runs")
            .loss;
        for (norm, radius) in NORMS.into_iter().zip([0.1, 0.8, 4.0]) {
            for loss in [AttackLoss::CrossEntropy, AttackLoss::Margin { confidence: 50.0 }] {
                let attack = Attack {
                    norm,
                    radius,
                    step_size: radius / 4.0,
                    steps: 8,
                    random_start: true,
                    loss,
                };
                let mut run = |seed, keep| {
                    attack
                        .run(&mut executor, &pixels, &inputs, &labels, seed, keep)
                        .expect("the network runs")
                };
                let attacked = run(1, Keep::Worst);
                assert_eq!(attacked, run(1, Keep::Worst));
                assert_ne!(attacked, run(2, Keep::Worst));
                let moved = pixels.of(&attacked);
                for (x, y) in pixels.of(&inputs).chunks(72).zip(moved.chunks(72)) {
                    let delta: Vec<f32> = x.iter().zip(y).map(|(x, y)| y - x).collect();
                    assert!(
                        norm.of(&delta) <= f64::from(radius) * 1.0001,
                        "{norm:?}: {}",
                        norm.of(&delta)
                    );
                    assert!(y.iter().all(|p| (0.0..=1.0).contains(p)));
                }
                let against = Samples {
                    inputs: attacked,
                    ..samples.clone()
                };
                let found = measure(&mut executor, &against, 16)
                    .expect("the network runs")
                    .loss;
                assert!(found > clean + 0.1, "{norm:?}, {loss:?}: {found} after {clean}");
            }
        }
        // one step of the whole radius raises the loss, several raise it further
        let fgsm = Attack::fgsm(Norm::Linf, 0.1);
        let strong = Attack {
            steps: 10,
            step_size: 0.025,
            ..fgsm
        };
        let mut loss = |attack: Attack| {
            let inputs = attack
                .run(&mut executor, &pixels, &inputs, &labels, 1, Keep::Last)
                .expect("the network runs");
            let against = Samples {
                inputs,
                ..samples.clone()
            };
            measure(&mut executor, &against, 16)
                .expect("the network runs")
                .loss
        };
        let (one, many) = (loss(fgsm), loss(strong));
        assert!(one > clean && many >= one, "{clean}, {one}, {many}");
    }
}

#[test]
fn weights_go_to_the_hardest_domain() {
    let after = |gamma, losses: &[f64]| {
        let mut weights = DomainWeights::uniform(losses.len(), gamma, 0.1);
        for _ in 0..2000 {
            weights.ascend(losses);
        }
        weights.values().to_vec()
    };
    assert_eq!(after(0.0, &[0.3, 0.9, 0.5]), [0.0, 1.0, 0.0]);
    let mild = after(1.0, &[0.3, 0.9, 0.5]);
    // the best answer in closed form: the projection of 1/K + F/γ
    let mut best: Vec<f64> = [0.3, 0.9, 0.5].iter().map(|f| 1.0 / 3.0 + f).collect();
    project_onto_simplex(&mut best);
    assert!(
        mild.iter().zip(&best).all(|(a, b)| (a - b).abs() < 1e-9),
        "{mild:?} is not {best:?}"
    );
    assert!(mild[1] > mild[2] && mild[2] > mild[0]);
    let strong = after(1e6, &[0.3, 0.9, 0.5]);
    assert!(strong.iter().all(|w| (w - 1.0 / 3.0).abs() < 1e-5), "{strong:?}");
}

/// Two classes told by one strong pixel in two samples of three, and by fifteen weak ones in all: clean samples ask for the
/// weak pixels, which an attack of radius 0.2 turns round.
fn toy(count: usize, seed: u64) -> Samples {
    let noise = values(seed, count * 17);
    let mut inputs = Vec::new();
    let mut labels = Vec::new();
    for (i, noise) in noise.chunks(17).enumerate() {
        let side = if i % 2 == 0 { 1.0 } else { -1.0 };
        let strong = if noise[16] < 0.68 { side } else { -side };
        inputs.push(0.5 + 0.5 * strong);
        inputs.extend(noise[1..16].iter().map(|n| 0.5 + 0.1 * side + 0.1 * (n - 0.5)));
        labels.push((i % 2) as u32);
    }
    Samples {
        inputs,
        labels,
        shape: vec![1, 1, 16],
    }
}

fn options() -> FitOptions {
    FitOptions {
        epochs: 20.0,
        batch: 50,
        optimiser: OptimiserOptions::adam(0.0),
        schedule: Schedule::Constant { rate: 0.05 },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed: 1,
    }
}

/// Three domains that are nearly the same and easy, and an attack.
fn robustness(gamma: f64) -> Robustness {
    Robustness {
        source: "made up for this test".into(),
        gamma,
        step: 0.1,
        domain: vec![
            domain("clean", Change::Clean {}),
            domain("paler", Change::Contrast { factor: 0.95 }),
            domain("harsher", Change::Contrast { factor: 1.05 }),
            domain("attack", pgd(Norm::Linf, 0.2)),
        ],
    }
}

/// No term beside the loss.
struct Nothing;

impl Term for Nothing {}

fn trained(aim: &dyn Aim) -> DenseExecutor {
    let network = flat(16, 2);
    let mut executor =
        DenseExecutor::new(&network, Parameters::init(&network, 1)).expect("its own parameters");
    fit_for(
        aim,
        &mut executor,
        &toy(1000, 1),
        None,
        &options(),
        &mut Nothing,
        &mut |_| {},
    )
    .expect("it trains");
    executor
}

fn worst(executor: &mut DenseExecutor, robustness: &Robustness) -> f64 {
    let how = (100, 1, Effort::Test);
    let pixels = Pixels::default();
    robust_accuracy(executor, &toy(1000, 2), &robustness.domain, &pixels, how)
        .expect("the network runs")
        .worst
}

/// Min-max training holds the worst domain better than training on the mean of all, and that better than clean training.
#[test]
fn the_worst_domain_gains() {
    let shape = [1, 1, 16];
    let aims = |gamma| MinMax::new(&robustness(gamma), Pixels::default(), &shape, 1);
    let (min_max, mean) = (aims(0.01), aims(1e6));
    let test = robustness(0.0);
    let of = |aim: &dyn Aim| worst(&mut trained(aim), &test);
    let (hard, average, plain) = (of(&min_max), of(&mean), of(&Plain));
    assert!(hard >= average + 0.2, "{hard} against {average}");
    assert!(hard >= 0.6, "{hard}");
    assert!(plain < 0.5, "{plain}");
    let weights = min_max.weights();
    assert!(
        weights[3] > 0.5,
        "the attack's weight is the largest: {weights:?}"
    );
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(mean.weights().iter().all(|w| (w - 0.25).abs() < 1e-3));
    let periods = min_max.end_period();
    assert_eq!(periods.len(), 4);
    assert!(periods.iter().all(|p| p.loss > 0.0 && p.accuracy.is_none()));
    min_max.reset();
    assert_eq!(min_max.weights(), [0.25; 4]);
}

/// With all weight on clean samples the gradient is that of the samples as they are.
#[test]
fn one_clean_domain_is_plain_training() {
    let mut one = robustness(1.0);
    one.domain.truncate(1);
    let min_max = MinMax::new(&one, Pixels::default(), &[1, 1, 16], 1);
    assert_eq!(trained(&min_max).parameters(), trained(&Plain).parameters());
}

/// The gradient of a step is the weighted sum of the domains' gradients.
#[test]
fn gradients_are_weighted_sums() {
    let data = toy(20, 3);
    let mut executor = trained(&Plain);
    let step = Step {
        inputs: &data.inputs,
        labels: &data.labels,
        teacher: None,
        loss: Loss::CrossEntropy,
        seed: 5,
    };
    let mut two = robustness(1.0);
    two.domain.truncate(2);
    let min_max = MinMax::new(&two, Pixels::default(), &[1, 1, 16], 1);
    let mut sum = executor.parameters().zeros();
    let loss = min_max
        .gradients(&mut executor, &step, &mut sum)
        .expect("it runs");
    let mut of = |inputs: &[f32]| {
        let mut own = executor.parameters().zeros();
        let loss = executor
            .gradients(&Step { inputs, ..step }, &mut own)
            .expect("it runs");
        (loss, own)
    };
    let paler = Transform::Contrast { factor: 0.95 };
    let (a, b) = (
        of(&data.inputs),
        of(&paler.apply(&data.inputs, &[1, 1, 16], 1).expect("any shape")),
    );
    assert!((loss - f32::midpoint(a.0, b.0)).abs() < 1e-6);
    for ((sum, a), b) in sum
        .iter()
        .flatten()
        .zip(a.1.iter().flatten())
        .zip(b.1.iter().flatten())
    {
        assert!((sum - f32::midpoint(*a, *b)).abs() < 1e-6);
    }
}

#[test]
fn the_same_on_any_number_of_threads() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            let mut spec = robustness(0.1);
            spec.domain
                .push(domain("noisy", Change::Noise { deviation: 0.05 }));
            spec.domain.push(domain("l2", pgd(Norm::L2, 0.3)));
            spec.domain.push(domain("l1", pgd(Norm::L1, 0.5)));
            let min_max = MinMax::new(&spec, Pixels::default(), &[1, 1, 16], 1);
            let mut executor = trained(&min_max);
            let worst = worst(&mut executor, &spec);
            (executor.parameters().clone(), min_max.weights(), worst)
        })
    };
    assert_eq!(on(1), on(2));
}

/// A model of one weight vector: class 1 where w·x is above the threshold.
fn linear(weights: &[f32], threshold: f32) -> DenseExecutor {
    let network = flat(weights.len(), 2);
    let mut parameters = Parameters::init(&network, 1);
    for p in &mut parameters.list {
        if p.role == Role::Weight {
            p.values.fill(0.0);
            p.values[weights.len()..].copy_from_slice(weights);
        } else {
            p.values.copy_from_slice(&[threshold, 0.0]);
        }
    }
    DenseExecutor::new(&network, parameters).expect("its own parameters")
}

fn generation(gamma: f64, radius: f32) -> MinMaxAttack {
    MinMaxAttack {
        attack: Attack {
            norm: Norm::L2,
            radius,
            step_size: radius / 20.0,
            steps: 200,
            random_start: false,
            loss: AttackLoss::Margin { confidence: 50.0 },
        },
        gamma,
        weight_step: 0.05,
    }
}

/// Two models that look at one pixel each, the second from further away: the mean of both pays for whichever is steeper, the
/// worst case moves the pixels so that both models are wrong.
#[test]
fn an_ensemble_is_attacked_where_it_is_hardest() {
    let (mut steep, mut far) = (linear(&[4.0, 0.0], 2.4), linear(&[0.0, 1.0], 0.7));
    // class 0 for both: 4·0.5 − 2.4 = −0.4 and 0.5 − 0.7 = −0.2; both are fooled beyond (0.6, 0.7)
    let (inputs, labels) = ([0.5, 0.5], [0]);
    let mut against = |gamma| {
        generation(gamma, 0.25)
            .against_models(
                &mut [&mut steep, &mut far],
                &Pixels::default(),
                (&inputs, &labels),
                1,
            )
            .expect("they run")
    };
    let worst = against(0.0);
    assert_eq!(worst.fooled, [[true, true]], "{worst:?}");
    let mean = against(1e6);
    assert_eq!(mean.fooled, [[true, false]], "{mean:?}");
    assert!(mean.weights[0].iter().all(|w| (w - 0.5).abs() < 1e-3));
    // the model that is harder to fool has the weight
    assert!(against(0.05).weights[0][1] > 0.5);
}

/// One perturbation for three samples: those far from the border hold the weight, and all are fooled at last.
#[test]
fn a_universal_perturbation_weighs_the_hardest_sample() {
    let mut model = linear(&[1.0, 1.0], 1.0);
    let inputs = [0.45, 0.5, 0.4, 0.5, 0.3, 0.4];
    let found = generation(0.0, 0.3)
        .against_samples(&mut model, &Pixels::default(), (&inputs, &[0, 0, 0]), 1)
        .expect("it runs");
    assert_eq!(found.fooled, [true; 3]);
    assert!(found.weights[2] > 0.9, "{:?}", found.weights);
    assert!(Norm::L2.of(&found.delta) <= 0.3001);
}
