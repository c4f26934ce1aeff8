//! The scatter engine against its tick model, and the laws it obeys. `COSPARSE_CASES=10000 cargo test --test
//! simulate_tick_scatter` runs so many cases of each.

mod common;
mod tick;

use common::{engine, profile, random_mask, work};
use cosparse::compression::Mask;
use cosparse::hardware::{EngineKind, Profile, Scatter, zoo};
use cosparse::network::LoopNest;
use cosparse::simulate::{ArrayRun, LayerWork, SimulateError, Weights, array};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

fn on(scatter: Scatter) -> Profile {
    profile(vec![engine(
        "scatter",
        1000.0,
        9000.0,
        EngineKind::Scatter(scatter),
    )])
}

fn scatter() -> impl Strategy<Value = Scatter> {
    (
        (1..4u32, 1..4u32),
        (1..5u32, 1..5u32),
        (1..12u32, 0..4u32),
        (1..6u32, 0..4u32),
        1..5u8,
    )
        .prop_map(
            |((rows, cols), (weights, activations), (banks, queue_depth), (channels, spare), index_bits)| {
                Scatter {
                    rows,
                    cols,
                    weights,
                    activations,
                    banks,
                    queue_depth,
                    // from just enough for a channel of any plane of these tests to all of them
                    accumulators: 100 + 100 * spare,
                    output_channels: channels,
                    index_bits,
                }
            },
        )
}

/// The shipped engine.
fn scnn() -> Scatter {
    let profile = zoo::find("scnn-like-16nm")
        .expect("shipped")
        .profile()
        .expect("valid");
    match profile.engines[0].kind {
        EngineKind::Scatter(scatter) => scatter,
        _ => panic!("scatter"),
    }
}

fn nest() -> impl Strategy<Value = LoopNest> {
    (
        (1..3u64, 1..3u64, 1..7u64, 1..4u64),
        (1..7u64, 1..7u64, 1..4u64, 1..4u64),
        ([1..4u64, 1..4u64], [1..3u64, 1..3u64]),
    )
        .prop_map(|((n, g, k, c), (p, q, r, s), (stride, dilation))| LoopNest {
            n,
            g,
            k,
            c,
            p,
            q,
            r,
            s,
            stride,
            dilation,
        })
}

/// A mask of the layer's weights: uniform, or with rows that keep from nothing to almost all.
fn weights_of(nest: &LoopNest, density: f64, skewed: bool, seed: u64) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (rows, cols) = ((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
    let mut mask = Mask::empty(rows, cols);
    for row in 0..rows {
        let factor: f64 = if skewed { rng.random_range(0.0..2.0) } else { 1.0 };
        for col in 0..cols {
            mask.set(row * cols + col, rng.random_bool((density * factor).min(1.0)));
        }
    }
    mask
}

fn plane(nest: &LoopNest) -> [u64; 2] {
    [
        (nest.p - 1) * nest.stride[0] + (nest.r - 1) * nest.dilation[0] + 1,
        (nest.q - 1) * nest.stride[1] + (nest.s - 1) * nest.dilation[1] + 1,
    ]
}

/// The layer, with `ring` elements of padding on every side.
fn padded(nest: LoopNest, ring: u64, weights: Weights<'_>) -> LayerWork<'_> {
    let [height, width] = plane(&nest);
    LayerWork {
        input_elements: nest.g * nest.c * (height - 2 * ring) * (width - 2 * ring),
        ..work(nest, weights)
    }
}

/// The padding of a layer whose plane and kernel leave room for it, and whose size tells it from none.
fn ring_of(nest: &LoopNest, wanted: bool) -> u64 {
    let [height, width] = plane(nest);
    let kernels = [
        (nest.r - 1) * nest.dilation[0] + 1,
        (nest.s - 1) * nest.dilation[1] + 1,
    ];
    u64::from(wanted && height > 2 && width > 2 && kernels == [3, 3])
}

/// Output channels that fit the accumulators together, counted output by output.
fn together(engine: Scatter, nest: &LoopNest, ring: u64) -> u64 {
    let largest = |outputs: u64, length: u64, pes: u32, kernel: u64, stride: u64, dilation: u64| {
        let used = u64::from(pes).min(length);
        (0..used)
            .map(|pe| {
                let (from, to) = (ring + pe * length / used, ring + (pe + 1) * length / used);
                (0..outputs)
                    .filter(|o| o * stride < to && o * stride + (kernel - 1) * dilation >= from)
                    .count() as u64
            })
            .max()
            .expect("a PE")
    };
    let [height, width] = plane(nest);
    let rows = largest(
        nest.p,
        height - 2 * ring,
        engine.rows,
        nest.r,
        nest.stride[0],
        nest.dilation[0],
    );
    let cols = largest(
        nest.q,
        width - 2 * ring,
        engine.cols,
        nest.s,
        nest.stride[1],
        nest.dilation[1],
    );
    (u64::from(engine.accumulators) / (rows * cols).max(1))
        .min(engine.output_channels.into())
        .min(nest.k)
}

/// A value that is never zero.
fn value(i: u64) -> i64 {
    i64::try_from(i * 7 % 11).expect("below 11") + 1
}

/// Whether an element is active: by sample, PE (rows, columns), channel of all groups, row and column.
type Active<'a> = &'a dyn Fn(u64, &Range<u64>, &Range<u64>, u64, u64, u64) -> bool;

/// Steps every sample and group, checks the outputs against a direct convolution, and compares all counts.
fn compare(
    scatter: Scatter,
    layer: &LayerWork,
    ring: u64,
    mask: &Mask,
    pattern: Option<&Mask>,
    active: Active,
) -> Result<ArrayRun, TestCaseError> {
    let nest = layer.nest;
    let together = together(scatter, &nest, ring);
    let run = array(layer, &on(scatter), 0, pattern);
    if together == 0 {
        let error = run.expect_err("no room").to_string();
        prop_assert!(error.contains("raise `accumulators`"), "{}", error);
        return Ok(ArrayRun::default());
    }
    let run = run.expect("a run");
    let mut sum = tick::scatter::Ticked::default();
    let kernel = nest.r * nest.s;
    for sample in 0..nest.n {
        for group in 0..nest.g {
            let weight = |k: u64, c: u64, r: u64, s: u64| {
                let at = (group * nest.k + k) as usize * mask.cols() + (c * kernel + r * nest.s + s) as usize;
                i64::from(mask.get(at)) * value(at as u64)
            };
            let held = std::cell::RefCell::new(std::collections::BTreeMap::new());
            let input = |rows: &Range<u64>, cols: &Range<u64>, c: u64, y: u64, x: u64| {
                let alive = active(sample, rows, cols, group * nest.c + c, y, x);
                let element = i64::from(alive) * value(c + 3 * y + 5 * x + sample);
                held.borrow_mut().insert((c, y, x), element);
                element
            };
            let ticked = tick::scatter::run(scatter, &nest, ring, together, &weight, &input);
            let held = held.into_inner();
            for k in 0..nest.k {
                for p in 0..nest.p {
                    for q in 0..nest.q {
                        let mut dot = 0;
                        for c in 0..nest.c {
                            for r in 0..nest.r {
                                for s in 0..nest.s {
                                    let y = p * nest.stride[0] + r * nest.dilation[0];
                                    let x = q * nest.stride[1] + s * nest.dilation[1];
                                    dot += weight(k, c, r, s) * held.get(&(c, y, x)).copied().unwrap_or(0);
                                }
                            }
                        }
                        let output = ticked.output.get(&(k, p, q)).copied().unwrap_or(0);
                        prop_assert_eq!(output, dot, "the array computes the convolution");
                    }
                }
            }
            sum.cycles += ticked.cycles;
            sum.made += ticked.made;
            sum.useful += ticked.useful;
            sum.started += ticked.started;
            sum.held += ticked.held;
            sum.waited += ticked.waited;
            sum.entries += ticked.entries;
            sum.inputs += ticked.inputs;
            sum.halo += ticked.halo;
        }
    }
    let pes = u64::from(scatter.rows * scatter.cols);
    let [height, width] = plane(&nest).map(|l| l - 2 * ring);
    let idle = pes - u64::from(scatter.rows).min(height) * u64::from(scatter.cols).min(width);
    prop_assert_eq!(run.cycles, sum.cycles);
    prop_assert_eq!(run.causes.total(), Ok(run.cycles));
    prop_assert_eq!(run.macs, sum.made);
    prop_assert_eq!(run.hops, sum.useful + sum.halo);
    prop_assert_eq!(run.causes.compute, sum.useful / run.peak);
    prop_assert_eq!(
        run.causes.compute + run.causes.unused,
        (sum.started + idle * sum.cycles) / pes
    );
    prop_assert_eq!(
        run.causes.compute + run.causes.unused + run.causes.feature_port,
        (sum.started + sum.held + idle * sum.cycles) / pes
    );
    // a waiting PE has a tile, and nothing else is charged to it
    prop_assert_eq!(run.causes.imbalance, sum.waited.div_ceil(pes));
    prop_assert_eq!(run.bits.weights, 16 * sum.entries);
    prop_assert_eq!(run.bits.indices, u64::from(scatter.index_bits) * sum.entries);
    prop_assert_eq!(run.stored.weights * nest.n, run.bits.weights);
    prop_assert_eq!(run.bits.inputs, (16 + u64::from(scatter.index_bits)) * sum.inputs);
    prop_assert!(run.cycles >= run.macs.div_ceil(run.peak), "the roofline");
    Ok(run)
}

proptest! {
    #![proptest_config(common::cases(500))]

    /// Activations by density: of each PE's elements, in the order channel, row, column, the first
    /// ceil(n·d) of n are the evenly spread ones.
    #[test]
    fn real_weights(
        nest in nest(),
        scatter in scatter(),
        d in 0.05..1.0f64,
        sixteenths in 1..17u64,
        wanted in any::<bool>(),
        skewed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let ring = ring_of(&nest, wanted);
        let mask = weights_of(&nest, d, skewed, seed);
        let layer = LayerWork { activation_density: sixteenths as f64 / 16.0, ..padded(nest, ring, Weights::Pattern(&mask)) };
        let upto = |n: u64| (n * sixteenths).div_ceil(16);
        let active = |_: u64, rows: &Range<u64>, cols: &Range<u64>, channel: u64, y: u64, x: u64| {
            let place = (channel * (rows.end - rows.start) + y - rows.start) * (cols.end - cols.start) + x - cols.start;
            upto(place + 1) > upto(place)
        };
        compare(scatter, &layer, ring, &mask, None, &active)?;
    }

    /// Real activations, given as the rows of the matrix product.
    #[test]
    fn real_weights_and_activations(
        nest in nest(),
        scatter in scatter(),
        (d, e) in (0.05..1.0f64, 0.05..1.0f64),
        wanted in any::<bool>(),
        skewed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let ring = ring_of(&nest, wanted);
        let mask = weights_of(&nest, d, skewed, seed);
        let layer = padded(nest, ring, Weights::Pattern(&mask));
        let [height, width] = plane(&nest);
        let (channels, kernel) = (nest.g * nest.c, nest.r * nest.s);
        let element = |sample, c, y, x| (((sample * channels + c) * height + y) * width + x) as usize;
        let inside = |y: u64, x: u64| y >= ring && x >= ring && y + ring < height && x + ring < width;
        let real = random_mask(1, (nest.n * channels * height * width) as usize, e, seed ^ 1);
        let mut pattern = Mask::empty((nest.n * nest.p * nest.q) as usize, (channels * kernel) as usize);
        let mut read = Mask::empty(1, real.len());
        for n in 0..nest.n {
            for p in 0..nest.p {
                for q in 0..nest.q {
                    for c in 0..channels {
                        for (r, s) in (0..kernel).map(|place| (place / nest.s, place % nest.s)) {
                            let (y, x) = (p * nest.stride[0] + r * nest.dilation[0], q * nest.stride[1] + s * nest.dilation[1]);
                            let alive = inside(y, x) && real.get(element(n, c, y, x));
                            let row = (n * nest.p + p) * nest.q + q;
                            let at = row * channels * kernel + c * kernel + r * nest.s + s;
                            pattern.set(at as usize, alive);
                            if alive {
                                read.set(element(n, c, y, x), true);
                            }
                        }
                    }
                }
            }
        }
        let active = |sample: u64, _: &Range<u64>, _: &Range<u64>, c: u64, y: u64, x: u64| read.get(element(sample, c, y, x));
        compare(scatter, &layer, ring, &mask, Some(&pattern), &active)?;
    }

    /// With queues as deep as a group has products the multipliers never wait, and whatever weight is taken away,
    /// nothing comes later. Shallower ones give no such law: fewer weights share their steps differently.
    #[test]
    fn fewer_weights_are_never_slower_behind_deep_queues(
        nest in nest(),
        scatter in scatter(),
        d in 0.1..1.0f64,
        taken in 0.1..1.0f64,
        seed in any::<u64>(),
    ) {
        let deep = Scatter { queue_depth: 65_536, accumulators: 65_536, ..scatter };
        let mask = weights_of(&nest, d, true, seed);
        let away = random_mask(mask.rows(), mask.cols(), taken, seed ^ 1);
        let mut fewer = mask.clone();
        for i in away.ones() {
            fewer.set(i, false);
        }
        let cycles = |mask: &Mask| array(&work(nest, Weights::Pattern(mask)), &on(deep), 0, None).expect("a run").cycles;
        prop_assert!(cycles(&fewer) <= cycles(&mask));
    }

    /// A place more in the queues never loses; without weights there is nothing to do.
    #[test]
    fn deeper_queues_are_never_slower(nest in nest(), scatter in scatter(), d in 0.1..1.0f64, seed in any::<u64>()) {
        let scatter = Scatter { accumulators: 65_536, ..scatter };
        let mask = weights_of(&nest, d, false, seed);
        let cycles = |queue_depth| {
            let engine = Scatter { queue_depth, ..scatter };
            array(&work(nest, Weights::Pattern(&mask)), &on(engine), 0, None).expect("a run").cycles
        };
        prop_assert!(cycles(scatter.queue_depth + 1) <= cycles(scatter.queue_depth));
        let none = Mask::empty(mask.rows(), mask.cols());
        let run = array(&work(nest, Weights::Pattern(&none)), &on(scatter), 0, None).expect("a run");
        prop_assert_eq!((run.cycles, run.macs, run.bits.inputs), (0, 0, 0));
    }
}

/// The convolutions of `AlexNet`: input channels, output channels, kernel, output rows, stride, groups.
const ALEXNET: [(&str, [u64; 6]); 5] = [
    ("CONV1", [3, 96, 11, 55, 4, 1]),
    ("CONV2", [48, 128, 5, 27, 1, 2]),
    ("CONV3", [256, 384, 3, 13, 1, 1]),
    ("CONV4", [192, 192, 3, 13, 1, 2]),
    ("CONV5", [192, 128, 3, 13, 1, 2]),
];

fn convolution([c, k, kernel, outputs, stride, g]: [u64; 6]) -> LoopNest {
    LoopNest {
        n: 1,
        g,
        k,
        c,
        p: outputs,
        q: outputs,
        r: kernel,
        s: kernel,
        stride: [stride; 2],
        dilation: [1, 1],
    }
}

/// Weights pruned as by Han et al. (NIPS 2015, Table 4), activations as dense as assumed here, on the shipped engine
/// with and without its queues: the expectation is close to a random mask of the same density, and obeys the roofline.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the figures, for whoever asks with --nocapture"
)]
fn expectations_are_close_to_random_masks() {
    let densities = [(0.84, 1.0), (0.38, 0.5), (0.35, 0.4), (0.37, 0.4), (0.37, 0.4)];
    for ((name, sizes), (weights, inputs)) in ALEXNET.into_iter().zip(densities) {
        let nest = convolution(sizes);
        let ring = if sizes[4] == 1 { sizes[2] / 2 } else { 0 };
        let mask = random_mask(
            (nest.g * nest.k) as usize,
            (nest.c * nest.r * nest.s) as usize,
            weights,
            7,
        );
        for queue_depth in [0, scnn().queue_depth] {
            let of = |weights| {
                let layer = LayerWork {
                    activation_density: inputs,
                    ..padded(nest, ring, weights)
                };
                array(
                    &layer,
                    &on(Scatter {
                        queue_depth,
                        ..scnn()
                    }),
                    0,
                    None,
                )
                .expect("a run")
            };
            let (real, expected) = (of(Weights::Pattern(&mask)), of(Weights::Density(weights)));
            let cycles = real.cycles as f64;
            println!(
                "{name}, queues of {queue_depth}: {} cycles ({} expected); multipliers busy {:.3}, useful {:.3}; unused {:.3}, conflicts {:.3}, imbalance {:.3}",
                real.cycles,
                expected.cycles,
                real.macs as f64 / (real.peak as f64 * cycles),
                real.causes.compute as f64 / cycles,
                real.causes.unused as f64 / cycles,
                real.causes.feature_port as f64 / cycles,
                real.causes.imbalance as f64 / cycles,
            );
            for (what, real, expected) in [
                ("cycles", real.cycles, expected.cycles),
                ("products", real.macs, expected.macs),
                ("compute", real.causes.compute, expected.causes.compute),
                ("entries", real.stored.weights, expected.stored.weights),
                ("inputs", real.bits.inputs, expected.bits.inputs),
                ("decoded", real.decoded, expected.decoded),
                ("hops", real.hops, expected.hops),
            ] {
                let error = expected as f64 / real as f64 - 1.0;
                assert!(
                    error.abs() < 0.03,
                    "{name}: {what} {real} on a mask, {expected} expected"
                );
            }
            assert_eq!(expected.causes.total(), Ok(expected.cycles));
            assert!(expected.cycles >= expected.macs.div_ceil(expected.peak));
        }
    }
}

/// A linear layer is a plane of one place: one PE, one activation a step.
#[test]
fn a_linear_layer_runs_on_one_pe() {
    let nest = common::gemm(1, 100, 16);
    let run = array(&work(nest, Weights::Density(1.0)), &on(scnn()), 0, None).expect("a run");
    // two groups of eight channels, a hundred inputs, two vectors of four weights, no two in a bank
    assert_eq!((run.cycles, run.macs), (400, 1600));
    assert_eq!(run.causes.compute, 1);
}

#[test]
fn planes_that_do_not_fit_are_refused_with_the_cure() {
    let nest = convolution([1, 1, 3, 512, 1, 1]);
    let refused = |nest: LoopNest| match array(&work(nest, Weights::Density(1.0)), &on(scnn()), 0, None) {
        Err(error @ SimulateError::Unsupported { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(nest).contains("raise `accumulators`"));
    let endless = LoopNest {
        stride: [u64::MAX, 1],
        ..convolution([1, 1, 3, 4, 1, 1])
    };
    let layer = LayerWork {
        nest: endless,
        ..work(nest, Weights::Density(1.0))
    };
    let error = array(&layer, &on(scnn()), 0, None)
        .expect_err("too large")
        .to_string();
    assert!(error.contains("split the layer"), "{error}");
}
