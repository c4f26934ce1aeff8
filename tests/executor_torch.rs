//! The dense executor and the optimisers against `PyTorch`, on the fixtures that
//! `tests/scripts/make_torch_goldens.py` makes. Together the three networks hold every operation but dropout,
//! whose random numbers differ.

use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::{
    DenseExecutor, Executor, Loss, Optimiser, OptimiserOptions, Parameters, Role, Step,
};
use serde_json::Value;

/// Single precision against double: sums of a few hundred products, each off by 6e-8, through up to a dozen layers.
const TOLERANCE: f64 = 5e-6;

/// Adam divides by the root of a gradient's square, so that a tiny gradient's rounding shows in full: 3 steps of
/// 0.01 times a relative error of 1e-3 at most.
const ADAM_TOLERANCE: f64 = 3e-5;

fn golden(name: &str) -> Value {
    let path = format!("{}/tests/data/torch/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture is there"))
        .expect("the fixture is JSON")
}

fn whole(v: &Value) -> usize {
    v.as_u64().expect("a whole number") as usize
}

fn wholes<const N: usize>(v: &Value) -> [usize; N] {
    std::array::from_fn(|i| whole(&v[i]))
}

fn numbers(v: &Value) -> Vec<f32> {
    v.as_array()
        .expect("numbers")
        .iter()
        .map(|v| v.as_f64().expect("a number") as f32)
        .collect()
}

fn op(layer: &Value) -> Op {
    let flag = |key: &str| layer[key].as_bool().expect("a flag");
    let eps = || layer["eps"].as_f64().expect("a number") as f32;
    match layer["kind"].as_str().expect("a kind") {
        "conv" => {
            let [top, bottom, left, right] = wholes(&layer["padding"]);
            Op::Conv2d(Conv2d {
                out_channels: whole(&layer["out"]),
                kernel: wholes(&layer["kernel"]),
                stride: wholes(&layer["stride"]),
                padding: Padding {
                    top,
                    bottom,
                    left,
                    right,
                },
                dilation: wholes(&layer["dilation"]),
                groups: whole(&layer["groups"]),
                bias: flag("bias"),
            })
        }
        "linear" => Op::Linear {
            out_features: whole(&layer["out"]),
            bias: flag("bias"),
        },
        "matmul" => Op::MatMul {
            transpose_b: flag("transpose_b"),
        },
        "pool" => Op::Pool(Pool {
            kind: if layer["mode"] == "max" {
                PoolKind::Max
            } else {
                PoolKind::Average
            },
            kernel: wholes(&layer["kernel"]),
            stride: wholes(&layer["stride"]),
            padding: Padding::same(whole(&layer["padding"])),
            ceil: flag("ceil"),
        }),
        "global-average-pool" => Op::GlobalAveragePool,
        "activation" => {
            let function: Activation =
                serde_json::from_value(layer["function"].clone()).expect("a known function");
            Op::Activation(function)
        }
        "batch-norm" => Op::BatchNorm { eps: eps() },
        "layer-norm" => Op::LayerNorm { eps: eps() },
        "add" => Op::Add,
        "concat" => Op::Concat {
            axis: whole(&layer["axis"]),
        },
        "flatten" => Op::Flatten,
        "softmax" => Op::Softmax,
        "embedding" => Op::Embedding {
            vocabulary: whole(&layer["vocabulary"]),
            features: whole(&layer["features"]),
        },
        other => panic!("the fixture has a layer of kind {other}"),
    }
}

fn network(golden: &Value) -> Network {
    let mut builder = NetworkBuilder::new();
    let shape = golden["input"]
        .as_array()
        .expect("a shape")
        .iter()
        .map(whole)
        .collect();
    builder.input("in", Shape(shape));
    for layer in golden["layers"].as_array().expect("layers") {
        let inputs: Vec<&str> = layer["inputs"]
            .as_array()
            .expect("inputs")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        builder.layer(layer["name"].as_str().expect("a name"), op(layer), &inputs);
    }
    builder.build().expect("the fixture is a network")
}

/// The fixture's network with its parameters.
fn executor(golden: &Value) -> DenseExecutor {
    let network = network(golden);
    let mut parameters = Parameters::init(&network, 0);
    let given = golden["parameters"].as_object().expect("parameters");
    assert_eq!(
        parameters.list.len(),
        given.len(),
        "both have the same parameters"
    );
    for p in &mut parameters.list {
        let shape: Vec<usize> = given[&p.name]["shape"]
            .as_array()
            .expect("a shape")
            .iter()
            .map(whole)
            .collect();
        assert_eq!(p.shape, shape, "{}", p.name);
        p.values = numbers(&given[&p.name]["values"]);
    }
    DenseExecutor::new(&network, parameters).expect("the parameters fit")
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let (g, w) = (f64::from(g), f64::from(w));
        assert!(
            (g - w).abs() <= tolerance * (1.0 + w.abs()),
            "{what}[{i}] is {g}, PyTorch has {w}"
        );
    }
}

/// Outputs, loss, gradients and running statistics of one mini-batch.
fn compare_step(name: &str) {
    let golden = golden(name);
    let mut executor = executor(&golden);
    let inputs = numbers(&golden["batch"]["inputs"]);
    let labels: Vec<u32> = golden["batch"]["labels"]
        .as_array()
        .expect("labels")
        .iter()
        .map(|v| whole(v) as u32)
        .collect();
    let outputs = executor.infer(&inputs, labels.len()).expect("the batch fits");
    close(
        "output in evaluation",
        &outputs,
        &numbers(&golden["evaluated"]),
        TOLERANCE,
    );
    let mut gradients = executor.parameters().zeros();
    let step = Step {
        inputs: &inputs,
        labels: &labels,
        teacher: None,
        loss: Loss::CrossEntropy,
        seed: 0,
    };
    let loss = executor.gradients(&step, &mut gradients).expect("the batch fits");
    close(
        "loss",
        &[loss],
        &[golden["loss"].as_f64().expect("a loss") as f32],
        TOLERANCE,
    );
    for (p, gradient) in executor.parameters().list.iter().zip(&gradients) {
        if p.role == Role::Statistic {
            assert!(gradient.iter().all(|&g| g == 0.0), "{} is not trained", p.name);
            close(
                &p.name,
                &p.values,
                &numbers(&golden["statistics"][&p.name]),
                TOLERANCE,
            );
        } else {
            close(
                &p.name,
                gradient,
                &numbers(&golden["gradients"][&p.name]),
                TOLERANCE,
            );
        }
    }
}

/// All parameters after three steps.
fn compare_steps(name: &str, rule: &str, options: OptimiserOptions, rate: f32, tolerance: f64) {
    let golden = golden(name);
    let mut executor = executor(&golden);
    let inputs = numbers(&golden["batch"]["inputs"]);
    let labels: Vec<u32> = golden["batch"]["labels"]
        .as_array()
        .expect("labels")
        .iter()
        .map(|v| whole(v) as u32)
        .collect();
    let mut gradients = executor.parameters().zeros();
    let mut optimiser = Optimiser::new(options, executor.parameters());
    // a first step on other values that `reset` must make forgotten
    let noise: Vec<Vec<f32>> = gradients.iter().map(|g| vec![0.5; g.len()]).collect();
    optimiser.step(&mut executor.parameters().clone(), &noise, rate);
    optimiser.reset();
    for _ in 0..3 {
        let step = Step {
            inputs: &inputs,
            labels: &labels,
            teacher: None,
            loss: Loss::CrossEntropy,
            seed: 0,
        };
        executor.gradients(&step, &mut gradients).expect("the batch fits");
        optimiser.step(executor.parameters_mut(), &gradients, rate);
    }
    for p in &executor.parameters().list {
        close(
            &format!("{} after {rule}", p.name),
            &p.values,
            &numbers(&golden[rule][&p.name]),
            tolerance,
        );
    }
}

#[test]
fn convolutions_match() {
    compare_step("convolutions");
}

#[test]
fn residual_matches() {
    compare_step("residual");
}

#[test]
fn attention_matches() {
    compare_step("attention");
}

#[test]
fn three_steps_of_momentum_match() {
    for name in ["convolutions", "residual", "attention"] {
        compare_steps(name, "sgd", OptimiserOptions::sgd(0.9, 0.0), 0.05, TOLERANCE);
    }
}

#[test]
fn three_steps_of_adam_match() {
    for name in ["convolutions", "residual", "attention"] {
        compare_steps(name, "adam", OptimiserOptions::adam(0.1), 0.01, ADAM_TOLERANCE);
    }
}

/// Gradients, running statistics and outputs of the three networks are the same bits on 1, 2 and 4 threads.
#[test]
fn threads_change_nothing() {
    for name in ["convolutions", "residual", "attention"] {
        let golden = golden(name);
        let few = numbers(&golden["batch"]["inputs"]);
        // 54 samples, each input times its own factor where inputs are not tokens
        let factor = |i: usize| {
            if name == "attention" {
                1.0
            } else {
                1.0 + (i % 13) as f32 * 0.05
            }
        };
        let inputs: Vec<f32> = (0..9 * few.len())
            .map(|i| few[i % few.len()] * factor(i))
            .collect();
        let labels: Vec<u32> = (0..54).map(|i| i % 3).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads start");
            pool.install(|| {
                let mut executor = executor(&golden);
                let mut gradients = executor.parameters().zeros();
                let step = Step {
                    inputs: &inputs,
                    labels: &labels,
                    teacher: None,
                    loss: Loss::CrossEntropy,
                    seed: 0,
                };
                executor.gradients(&step, &mut gradients).expect("the batch fits");
                gradients.push(executor.infer(&inputs, 54).expect("the batch fits"));
                gradients.extend(executor.parameters().list.iter().map(|p| p.values.clone()));
                gradients
                    .iter()
                    .flatten()
                    .map(|v| v.to_bits())
                    .collect::<Vec<u32>>()
            })
        };
        let one = run(1);
        assert!(one == run(2), "{name}: two threads give other bits than one");
        assert!(one == run(4), "{name}: four threads give other bits than one");
    }
}
