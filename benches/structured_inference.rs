//! `AlexNet`'s convolutions, one picture at a time: all weights against the rows and columns that structured pruning
//! leaves, both on every core. `cargo bench --bench structured_inference`
//!
//! Dense and pruned take turns, so that a change of the machine's load meets both; the least time of the turns is
//! printed, which is that of an undisturbed one.
//! Which rows and columns are left is drawn at random; how many is `StructADMM`'s: the rows of arXiv:1807.11091 (first
//! version), Table 2, 13.2x, and its columns, scaled to the 15.0x on CONV2-5 of the third version, which prints no
//! counts of its own. The published speed, 11.93x on a CPU, is of that version; the first version's 10.5x is the mean of
//! the four layers' in Table 2. "With conv1" prunes the first layer too, since it alone takes a sixth of the dense
//! network's multiplications: half of its rows and two fifths of its columns are left. No accuracy is known for it.

#![allow(clippy::print_stdout, reason = "the bench prints its own table")]

use cosparse::compression::Mask;
use cosparse::network::{Network, NetworkBuilder, Workload};
use cosparse::training::{DenseExecutor, Executor, Parameters};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

const LAYERS: [&str; 5] = ["conv1", "conv2", "conv3", "conv4", "conv5"];

/// Portions of rows and columns left in each layer.
const STRUCT_ADMM: [[f64; 2]; 5] = [
    [0.906, 1.0],
    [0.871, 0.129 * SCALE],
    [0.594, 0.100 * SCALE],
    [0.531, 0.100 * SCALE],
    [1.0, 0.119 * SCALE],
];
const WITH_CONV1: [[f64; 2]; 5] = [
    [0.5, 0.4],
    STRUCT_ADMM[1],
    STRUCT_ADMM[2],
    STRUCT_ADMM[3],
    STRUCT_ADMM[4],
];

/// Takes Table 2's columns from 13.1x to 15.0x.
const SCALE: f64 = 0.875;

/// Turns of each side.
const TURNS: usize = 200;

/// Random rows and columns; columns are the same in all groups, as the set of whole GEMM columns has them.
fn support(rows: usize, columns: usize, left: [f64; 2], random: &mut ChaCha8Rng) -> Mask {
    let mut chosen = |all: usize, portion: f64| {
        let mut alive = vec![false; all];
        alive[..(all as f64 * portion).round() as usize].fill(true);
        alive.shuffle(random);
        alive
    };
    let (alive_rows, alive_columns) = (chosen(rows, left[0]), chosen(columns, left[1]));
    let mut mask = Mask::empty(rows, columns);
    (0..rows * columns)
        .filter(|i| alive_rows[i / columns] && alive_columns[i % columns])
        .for_each(|i| mask.set(i, true));
    mask
}

/// The network with the portions of its layers left; `None` leaves all.
fn executor(network: &Network, left: Option<&[[f64; 2]; 5]>) -> DenseExecutor {
    let mut parameters = Parameters::init(network, 1);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    if let Some(left) = left {
        for (layer, &left) in LAYERS.iter().zip(left) {
            let Some(weight) = parameters.weight_mut(layer) else {
                continue;
            };
            let (rows, columns) = weight.matrix();
            weight.support = Some(support(rows, columns, left, &mut random));
        }
    }
    DenseExecutor::new(network, parameters).expect("its own parameters fit")
}

/// The least times of both sides in microseconds.
fn race(network: &Network, left: &[[f64; 2]; 5]) -> [f64; 2] {
    let elements = network.layer(network.input()).output.elements();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let picture: Vec<f32> = (0..elements).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut sides = [executor(network, None), executor(network, Some(left))];
    let mut least = [f64::INFINITY; 2];
    for _ in 0..TURNS {
        for (side, least) in sides.iter_mut().zip(&mut least) {
            let start = Instant::now();
            side.infer(&picture, 1).expect("it fits");
            *least = least.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    least
}

fn main() {
    let alexnet = Workload::find("alexnet").expect("AlexNet is shipped").network;
    for (name, left) in [("StructADMM, 15x", &STRUCT_ADMM), ("with conv1", &WITH_CONV1)] {
        println!("{name}: portion of weights, dense us, structured us, times as fast");
        let mut sums = [0.0; 2];
        let mut speeds = Vec::new();
        for (i, layer) in LAYERS.iter().enumerate() {
            let layer = alexnet.layer(alexnet.find(layer).expect("AlexNet has it"));
            let input = alexnet.layer(layer.inputs[0]).output.clone();
            let one = NetworkBuilder::new()
                .input("image", input)
                .layer(&layer.name, layer.op.clone(), &["image"])
                .build()
                .expect("one layer");
            let [dense, structured] = race(&one, left);
            let portion = left[i][0] * left[i][1];
            let times = dense / structured;
            println!(
                "  {}: {portion:.4}, {dense:.0}, {structured:.0}, {times:.2}",
                layer.name
            );
            sums = [sums[0] + dense, sums[1] + structured];
            speeds.push(times);
        }
        let mean = speeds[1..].iter().sum::<f64>() / 4.0;
        println!("  conv2 to conv5, mean of the layers' speeds: {mean:.2}");
        println!(
            "  conv1 to conv5, sum of the times: {:.0}, {:.0}, {:.2}",
            sums[0],
            sums[1],
            sums[0] / sums[1]
        );
        let [dense, structured] = race(&trunk(&alexnet), left);
        println!(
            "  conv1 to pool5 as one network: {dense:.0}, {structured:.0}, {:.2}",
            dense / structured
        );
    }
}

/// `AlexNet` up to its last pooling.
fn trunk(alexnet: &Network) -> Network {
    let mut builder = NetworkBuilder::new();
    let mut before = String::new();
    for (id, layer) in alexnet.layers() {
        if id == alexnet.input() {
            builder.input(&layer.name, layer.output.clone());
        } else {
            builder.layer(&layer.name, layer.op.clone(), &[&before]);
        }
        before.clone_from(&layer.name);
        if layer.name == "pool5" {
            break;
        }
    }
    builder.build().expect("the front of AlexNet")
}
