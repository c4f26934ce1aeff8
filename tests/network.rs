//! Networks: shapes against a count of windows, sizes against products, and no panic whatever the numbers.

use cosparse::network::op::{Activation, Conv2d, Op, Padding, Pool, PoolKind};
use cosparse::network::{LoopNest, Network, NetworkBuilder, NetworkError, Shape};
use proptest::prelude::*;

fn single(op: Op, input: &[usize]) -> Result<Network, NetworkError> {
    NetworkBuilder::new()
        .input("x", Shape(input.to_vec()))
        .layer("y", op, &["x"])
        .build()
}

fn conv(out_channels: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Op {
    Op::Conv2d(Conv2d {
        out_channels,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::same(padding),
        dilation: [dilation; 2],
        groups: 1,
        bias: true,
    })
}

/// Window positions along one axis, by trying each: the last tap must lie in the padded input.
fn count_windows(
    input: usize,
    before: usize,
    after: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
) -> usize {
    let padded = before + input + after;
    (0..padded)
        .step_by(stride)
        .filter(|start| start + (kernel - 1) * dilation < padded)
        .count()
}

/// Positions of a pooling window that may hang over the far edge, by trying each: one more than those that
/// fit if any input is left over, as long as it starts inside the map or its leading padding.
fn count_hanging(input: usize, pad: usize, kernel: usize, stride: usize) -> usize {
    let padded = input + 2 * pad;
    let fit = (0..padded)
        .step_by(stride)
        .filter(|start| start + kernel <= padded)
        .count();
    let last = (fit - 1) * stride;
    let left_over = last + kernel < padded;
    let next_starts_inside = last + stride < input + pad;
    fit + usize::from(left_over && next_starts_inside)
}

fn output(network: &Network) -> &[usize] {
    &network.layer(network.output()).output.0
}

/// Numbers that overflow when multiplied, and small ones that make valid layers.
fn hostile() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0usize..8, 1 => Just(1usize << 24), 1 => Just((1 << 24) + 1), 1 => Just(1usize << 40), 1 => Just(usize::MAX), 1 => Just(usize::MAX / 2), 1 => any::<usize>()]
}

fn hostile_op() -> impl Strategy<Value = Op> {
    let n = hostile;
    let pair = || [n(), n()];
    let padding = || {
        [n(), n(), n(), n()].prop_map(|[top, bottom, left, right]| Padding {
            top,
            bottom,
            left,
            right,
        })
    };
    prop_oneof![
        (n(), pair(), pair(), padding(), pair(), n(), any::<bool>()).prop_map(
            |(out_channels, kernel, stride, padding, dilation, groups, bias)| Op::Conv2d(Conv2d {
                out_channels,
                kernel,
                stride,
                padding,
                dilation,
                groups,
                bias
            })
        ),
        (n(), any::<bool>()).prop_map(|(out_features, bias)| Op::Linear { out_features, bias }),
        any::<bool>().prop_map(|transpose_b| Op::MatMul { transpose_b }),
        (pair(), pair(), padding(), any::<bool>(), any::<bool>()).prop_map(
            |(kernel, stride, padding, ceil, max)| {
                Op::Pool(Pool {
                    kind: if max { PoolKind::Max } else { PoolKind::Average },
                    kernel,
                    stride,
                    padding,
                    ceil,
                })
            }
        ),
        Just(Op::GlobalAveragePool),
        Just(Op::Activation(Activation::Gelu)),
        any::<f32>().prop_map(|eps| Op::BatchNorm { eps }),
        any::<f32>().prop_map(|eps| Op::LayerNorm { eps }),
        Just(Op::Add),
        n().prop_map(|axis| Op::Concat { axis }),
        Just(Op::Flatten),
        Just(Op::Softmax),
        any::<f32>().prop_map(|scale| Op::MaskedSoftmax { scale }),
        n().prop_map(|heads| Op::SplitHeads { heads }),
        Just(Op::MergeHeads),
        Just(Op::MaskedMean),
        Just(Op::PositionEmbedding),
        (n(), n()).prop_map(|(vocabulary, features)| Op::Embedding { vocabulary, features }),
        any::<f32>().prop_map(|rate| Op::Dropout { rate }),
        Just(Op::Input),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Shape inference counts the windows that fit.
    #[test]
    fn convolution_outputs_are_the_windows_that_fit(h in 1usize..20, w in 1usize..20, k in 1usize..5, s in 1usize..4, p in 0usize..3, d in 1usize..3) {
        let (rows, cols) = (count_windows(h, p, p, k, s, d), count_windows(w, p, p, k, s, d));
        match single(conv(3, k, s, p, d), &[2, h, w]) {
            Ok(network) => prop_assert_eq!(output(&network), &[3, rows, cols]),
            Err(NetworkError::Shape { .. }) => prop_assert!(rows == 0 || cols == 0),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// Pooling counts windows that fit, and with `ceil` those that hang over the far edge.
    #[test]
    fn pooling_outputs_are_counted(h in 1usize..20, k in 1usize..5, s in 1usize..6, p in 0usize..3, ceil: bool) {
        prop_assume!(p < k && k <= h + 2 * p);
        let pool = Pool { kind: PoolKind::Max, kernel: [k; 2], stride: [s; 2], padding: Padding::same(p), ceil };
        let network = single(Op::Pool(pool), &[2, h, h]).expect("the window fits");
        // a window never starts in the trailing padding, where it would see nothing
        let inside = count_windows(h, p, p, k, s, 1).min((h + p).div_ceil(s));
        let rows = if ceil { count_hanging(h, p, k, s).min((h + p).div_ceil(s)) } else { inside };
        prop_assert_eq!(output(&network), &[2, rows, rows]);
    }

    /// Work is output elements times products per output.
    #[test]
    fn work_is_outputs_times_products(h in 5usize..20, g in 1usize..4, k in 1usize..4, c in 1usize..4, r in 1usize..5, s in 1usize..3) {
        let op = Op::Conv2d(Conv2d { out_channels: g * k, kernel: [r, 1], stride: [s; 2], padding: Padding::same(0), dilation: [1; 2], groups: g, bias: false });
        let network = single(op, &[g * c, h, h]).expect("valid");
        let layer = network.layer(network.output());
        let nest = layer.nest.expect("a convolution multiplies");
        prop_assert_eq!(nest.macs() as usize, layer.output.elements() * c * r);
        prop_assert_eq!(nest.weights() as usize, layer.weights());
        prop_assert_eq!(layer.weights(), g * k * c * r);
        let gemm = nest.gemm();
        prop_assert_eq!(gemm.m * gemm.k * gemm.n * gemm.groups, nest.macs());
        prop_assert_eq!(nest.batch(7).macs(), 7 * nest.macs());
        prop_assert_eq!(nest.checked_macs().ok(), Some(nest.macs()));
    }

    /// Any operations with any numbers, wired at random: a network within its limits, or an error.
    #[test]
    fn no_numbers_make_the_builder_panic(
        shape in prop::collection::vec(hostile(), 0..4),
        ops in prop::collection::vec((hostile_op(), prop::collection::vec(0usize..6, 0..3)), 1..6),
        acyclic: bool,
    ) {
        let mut builder = NetworkBuilder::new();
        builder.input("l0", Shape(shape));
        for (i, (op, reads)) in ops.into_iter().enumerate() {
            let names: Vec<String> = if reads.is_empty() { vec![format!("l{i}")] } else { reads.iter().map(|r| if acyclic { r % (i + 1) } else { *r }).map(|r| format!("l{r}")).collect() };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            builder.layer(&format!("l{}", i + 1), op, &names);
        }
        match builder.check() {
            Ok(network) => {
                prop_assert!(network.macs() <= 1 << 50);
                prop_assert!(network.parameters() <= 1 << 40);
                let sum: u64 = network.layers().filter_map(|(_, l)| l.nest).map(|n| n.macs()).sum();
                prop_assert_eq!(sum, network.macs());
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert_eq!(builder.build().err(), errors.first().cloned());
            }
        }
    }

    /// The same hostile layers behind a valid map, where more of them get past the first check.
    #[test]
    fn no_single_layer_panics(op in hostile_op(), map in [1usize..6, 1usize..9, 1usize..9]) {
        if let Ok(network) = single(op, &map) {
            prop_assert!(network.layer(network.output()).output.elements() <= 1 << 40);
        }
    }

    /// The order in which layers are added changes nothing but ties.
    #[test]
    fn definition_order_does_not_matter(seed in prop::collection::vec(0u32..1000, 6)) {
        let relu = || Op::Activation(Activation::Relu);
        let layers = [("a", relu(), vec!["x"]), ("b", relu(), vec!["a"]), ("c", relu(), vec!["a"]), ("d", Op::Add, vec!["b", "c"]), ("e", Op::Flatten, vec!["d"]), ("f", Op::Linear { out_features: 3, bias: true }, vec!["e"])];
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&i| (seed[i], i));
        let mut builder = NetworkBuilder::new();
        for i in order {
            let (name, op, inputs) = &layers[i];
            builder.layer(name, op.clone(), inputs);
        }
        builder.input("x", Shape(vec![2, 3, 3]));
        let network = builder.build().expect("valid");
        let place = |name: &str| network.layers().position(|(_, l)| l.name == name);
        for (name, _, inputs) in &layers {
            for input in inputs {
                prop_assert!(place(input) < place(name));
            }
        }
        prop_assert_eq!(output(&network), &[3]);
        prop_assert_eq!(network.parameters(), 18 * 3 + 3);
    }
}

#[test]
fn batches_that_overflow_are_an_error() {
    let nest = LoopNest {
        n: 1,
        g: 1,
        k: 1 << 20,
        c: 1 << 20,
        p: 1,
        q: 1,
        r: 1,
        s: 1,
        stride: [1; 2],
        dilation: [1; 2],
    };
    assert_eq!(nest.checked_macs().ok(), Some(1 << 40));
    assert!(nest.batch(1 << 24).checked_macs().is_err());
}

#[test]
fn parameters_are_bounded_in_sum() {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![1 << 20]));
    let big = || Op::Linear {
        out_features: 1 << 20,
        bias: false,
    };
    builder.layer("a", big(), &["x"]);
    assert_eq!(builder.build().expect("exactly 2^40").weights(), 1 << 40);
    builder.layer("b", big(), &["a"]);
    let error = builder.build().expect_err("2^41");
    assert_eq!(
        error,
        NetworkError::TooLarge {
            layer: "b".into(),
            limit: "2^40 parameters"
        }
    );
    assert_eq!(error.layer(), Some("b"));
}

/// All errors of one kind at once, in the order of definition; layers behind a bad one are not blamed.
#[test]
fn errors_are_collected() {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![4, 4]));
    builder
        .layer("a", Op::GlobalAveragePool, &["x"])
        .layer("b", conv(1, 1, 1, 0, 1), &["x"])
        .layer("c", Op::Add, &["a", "b"]);
    let errors = builder.check().expect_err("two bad layers");
    assert_eq!(
        errors.iter().filter_map(NetworkError::layer).collect::<Vec<_>>(),
        ["a", "b"]
    );
    builder.layer("c", Op::Flatten, &["nowhere"]);
    let errors = builder.check().expect_err("names first");
    assert!(
        matches!(
            &errors[..],
            [NetworkError::Duplicate { .. }, NetworkError::UnknownInput { .. }]
        ),
        "{errors:?}"
    );
}

/// An attention score: `[2, 5, 8] × [2, 5, 8]ᵀ` is two products 5×8×5, and × `[2, 5, 8]` two of 5×5×8.
#[test]
fn products_of_activations_count_their_work() {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![2, 5, 8]));
    builder.layer("score", Op::MatMul { transpose_b: true }, &["x", "x"]);
    builder.layer("portion", Op::Softmax, &["score"]);
    builder.layer("mix", Op::MatMul { transpose_b: false }, &["portion", "x"]);
    let network = builder.build().expect("valid");
    assert_eq!(output(&network), [2, 5, 8]);
    assert_eq!(network.macs(), 2 * (5 * 8 * 5) + 2 * (5 * 5 * 8));
    assert_eq!(network.parameters(), 0);
}

/// One layer of attention on 6 tokens of 8 features, two heads: shapes, work per head, and what a mask must fit.
#[test]
fn attention_counts_the_work_of_its_heads() {
    let mut builder = NetworkBuilder::new();
    builder.input("tokens", Shape(vec![6]));
    let table = Op::Embedding {
        vocabulary: 50,
        features: 8,
    };
    builder.layer("words", table, &["tokens"]);
    builder.layer("x", Op::PositionEmbedding, &["words"]);
    for part in ["q", "k", "v"] {
        let linear = Op::Linear {
            out_features: 8,
            bias: false,
        };
        builder.layer(&format!("{part}-all"), linear, &["x"]);
        builder.layer(part, Op::SplitHeads { heads: 2 }, &[&format!("{part}-all")]);
    }
    builder.layer("score", Op::MatMul { transpose_b: true }, &["q", "k"]);
    builder.layer("portion", Op::MaskedSoftmax { scale: 0.5 }, &["score", "tokens"]);
    builder.layer("mix", Op::MatMul { transpose_b: false }, &["portion", "v"]);
    builder.layer("merged", Op::MergeHeads, &["mix"]);
    builder.layer("mean", Op::MaskedMean, &["merged", "tokens"]);
    let network = builder.build().expect("the shapes fit");
    let layer = |name: &str| network.layer(network.find(name).expect("a layer of this name"));
    assert_eq!(layer("q").output.0, [2, 6, 4]);
    assert_eq!(layer("score").output.0, [2, 6, 6]);
    assert_eq!(layer("merged").output.0, [6, 8]);
    assert_eq!(layer("mean").output.0, [8]);
    // every head multiplies 6 × 4 by 4 × 6, then 6 × 6 by 6 × 4
    assert_eq!(layer("score").nest.map(|n| n.macs()), Some(2 * 6 * 4 * 6));
    assert_eq!(layer("mix").nest.map(|n| n.macs()), Some(2 * 6 * 6 * 4));
    assert_eq!(network.parameters(), 50 * 8 + 6 * 8 + 3 * 64);
    let refused = |op: Op, inputs: &[&str]| {
        let mut wrong = builder.clone();
        wrong.layer("wrong", op, inputs);
        wrong
            .check()
            .expect_err("it does not fit")
            .swap_remove(0)
            .to_string()
    };
    let message = refused(Op::SplitHeads { heads: 3 }, &["x"]);
    assert!(message.contains("divide among 3 heads"), "{message}");
    let message = refused(Op::MaskedSoftmax { scale: 1.0 }, &["x", "tokens"]);
    assert!(message.contains("as long as it"), "{message}");
    let message = refused(Op::MaskedSoftmax { scale: f32::NAN }, &["score", "tokens"]);
    assert!(message.contains("greater than 0"), "{message}");
    let message = refused(Op::MaskedMean, &["x", "mean"]);
    assert!(message.contains("not padding"), "{message}");
    let message = refused(Op::MergeHeads, &["x"]);
    assert!(message.contains("[heads, tokens, features]"), "{message}");
    let message = refused(Op::PositionEmbedding, &["mean"]);
    assert!(message.contains("[tokens, features]"), "{message}");
}
