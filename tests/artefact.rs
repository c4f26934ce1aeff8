//! Whole networks as one file: what is written is read, small, and nothing else passes for it.
#![allow(clippy::float_cmp)] // values come back bit for bit

use cosparse::artefact::{Artefact, ArtefactError, Options, Scalars, read, workload_name, write};
use cosparse::compression::precision::{Levels, Precision, Scale};
use cosparse::compression::{ConstraintSet, Mask};
use cosparse::network::{Network, NetworkBuilder, Op, Shape, Workload, zoo};
use cosparse::training::{Parameters, Role};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

fn small() -> Network {
    let linear = |out_features| Op::Linear {
        out_features,
        bias: true,
    };
    NetworkBuilder::new()
        .input("input", Shape(vec![6]))
        .layer("fc1", linear(8), &["input"])
        .layer("fc2", linear(3), &["fc1"])
        .build()
        .expect("a chain")
}

fn lenet() -> Network {
    let source = zoo::find("lenet5").expect("shipped");
    Workload::from_source(&source).expect("valid").network
}

/// Random weights and biases with the kept counts given, on levels of the precisions given.
fn compressed(
    network: &Network,
    kept: &[usize],
    precisions: &[Precision],
    seed: u64,
) -> (Parameters, Vec<Levels>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut parameters = Parameters::init(network, seed);
    let mut levels = Vec::new();
    let (mut layer, mut dead) = (0, Vec::new());
    for p in &mut parameters.list {
        if p.role == Role::Bias {
            for (i, v) in p.values.iter_mut().enumerate() {
                *v = if dead[i] { 0.0 } else { rng.random::<f32>() - 0.5 };
            }
        } else {
            let (rows, cols) = p.matrix();
            let mut mask = Mask::empty(rows, cols);
            while mask.count() < kept[layer] {
                mask.set(rng.random_range(0..rows * cols), true);
            }
            let fitted = Levels::fit(precisions[layer], &p.values, &mask);
            fitted.project(&mut p.values, &mask);
            levels.push(fitted);
            dead = mask.row_counts().into_iter().map(|n| n == 0).collect();
            layer += 1;
        }
    }
    (parameters, levels)
}

fn bits(parameters: &Parameters) -> Vec<Vec<u32>> {
    let bits = |v: &f32| (v + 0.0).to_bits();
    parameters
        .list
        .iter()
        .map(|p| p.values.iter().map(bits).collect())
        .collect()
}

fn precision() -> impl Strategy<Value = Precision> {
    let scale = || prop_oneof![Just(Scale::PerTensor), Just(Scale::PerChannel)];
    prop_oneof![
        Just(Precision::Float32),
        (1u8..=5, scale()).prop_map(|(bits, scale)| Precision::EqualInterval { bits, scale }),
        (1u8..=4, scale()).prop_map(|(bits, scale)| Precision::PowerOfTwo { bits, scale }),
        scale().prop_map(|scale| Precision::Binary { scale }),
        scale().prop_map(|scale| Precision::Ternary { scale }),
        (1u8..=4).prop_map(|bits| Precision::Codebook { bits }),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    prop_oneof![
        Just(Scalars::Float32),
        Just(Scalars::Float16),
        (2u8..=16).prop_map(Scalars::Bits),
        Just(Scalars::Dropped)
    ]
    .prop_map(|biases| Options {
        biases,
        ..Options::default()
    })
}

fn artefact() -> impl Strategy<Value = (Parameters, Vec<Levels>, Artefact)> {
    (
        0usize..=48,
        0usize..=24,
        precision(),
        precision(),
        options(),
        any::<u64>(),
    )
        .prop_map(|(first, second, a, b, options, seed)| {
            let (parameters, levels) = compressed(&small(), &[first, second], &[a, b], seed);
            let written = write(&small(), "small", &parameters, &levels, options).expect("on its levels");
            (parameters, levels, written)
        })
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written((parameters, _, written) in artefact()) {
        let back = read(&written.bytes, &small()).expect("what was written");
        prop_assert_eq!(bits(&back.parameters), bits(&written.parameters));
        for (a, b) in parameters.list.iter().zip(&back.parameters.list).filter(|(a, _)| a.role == Role::Weight) {
            prop_assert_eq!(&a.values, &b.values);
        }
        // and the levels: what was read can be written again, with the same bytes but for the rounding of biases
        let again = write(&small(), "small", &back.parameters, &back.levels, Options {
            biases: Scalars::Float32,
            ..Options::default()
        });
        prop_assert_eq!(bits(&again.expect("on its levels").parameters), bits(&back.parameters));
        prop_assert_eq!(workload_name(&written.bytes).expect("a header"), "small");
        let parts: f64 = back.parts.iter().map(|p| p.index_bits + p.code_bits + p.level_bits).sum();
        let stream = (written.bytes.len() - 4 - 5 - 2 - 4) as f64;
        prop_assert!((parts / 8.0 - stream).abs() <= 1.5 + stream * 1e-3, "{parts} bits, {stream} bytes");
    }

    #[test]
    fn damage_never_passes(
        (_, _, written) in artefact(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut damaged = written.bytes.clone();
        damaged[at.index(written.bytes.len())] ^= flip;
        prop_assert!(read(&damaged, &small()).is_err());
        prop_assert!(read(&written.bytes[..cut.index(written.bytes.len())], &small()).is_err());
        let mut longer = written.bytes.clone();
        longer.push(flip);
        prop_assert!(read(&longer, &small()).is_err());
    }

    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..200), name in 0u8..5) {
        let mut bytes = [b"cs\x01".as_slice(), &[name], &bytes].concat();
        prop_assert!(read(&bytes, &small()).is_err());
        bytes.truncate(3);
        prop_assert!(read(&bytes, &small()).is_err());
    }
}

#[test]
fn another_network_is_refused() {
    let (parameters, levels) = compressed(&small(), &[10, 10], &[Precision::equal_interval(3); 2], 1);
    let written = write(&small(), "small", &parameters, &levels, Options::default()).expect("on its levels");
    assert!(matches!(
        read(&written.bytes, &lenet()),
        Err(ArtefactError::Network { name }) if name == "small"
    ));
    assert!(matches!(
        write(&lenet(), "small", &parameters, &levels, Options::default()),
        Err(ArtefactError::Parameter { .. })
    ));
    let mut other = written.bytes.clone();
    other[2] = 9;
    assert_eq!(read(&other, &small()), Err(ArtefactError::Version(9)));
    assert_eq!(read(b"PK\x03\x04....", &small()), Err(ArtefactError::Magic));
}

#[test]
fn a_weight_off_its_levels_is_refused() {
    let (mut parameters, levels) = compressed(&small(), &[10, 10], &[Precision::equal_interval(3); 2], 1);
    let first = parameters.list[0]
        .values
        .iter_mut()
        .find(|v| **v != 0.0)
        .expect("weights");
    *first *= 1.01;
    assert!(matches!(
        write(&small(), "small", &parameters, &levels, Options::default()),
        Err(ArtefactError::Weights(_))
    ));
}

/// Random positions cannot be coded below log2 of their number: the coder comes within 4 % of that, levels and header
/// included.
#[test]
fn random_masks_come_near_their_entropy() {
    let kept = [195, 700, 445, 400];
    let precisions = [4, 4, 3, 3].map(Precision::equal_interval);
    let (parameters, levels) = compressed(&lenet(), &kept, &precisions, 3);
    let none = Options {
        biases: Scalars::Dropped,
        ..Options::default()
    };
    let written = write(&lenet(), "lenet5", &parameters, &levels, none).expect("on its levels");
    let choose = |n: usize, k: usize| {
        (0..k)
            .map(|i| ((n - i) as f64 / (i + 1) as f64).log2())
            .sum::<f64>()
    };
    let positions: f64 = parameters
        .weights()
        .zip(kept)
        .map(|(p, kept)| {
            let (rows, cols) = p.matrix();
            let alive = Mask::of(&p.values, rows, cols)
                .row_counts()
                .into_iter()
                .filter(|&n| n > 0)
                .count();
            choose(rows, alive) + choose(alive * cols, kept)
        })
        .sum();
    let codes: usize = kept.iter().zip([4, 4, 3, 3]).map(|(n, b)| n * b).sum();
    let ideal = (positions + codes as f64) / 8.0 + 16.0 + 17.0;
    let bytes = written.bytes.len() as f64;
    assert!(bytes < 1.04 * ideal, "{bytes} bytes, ideal {ideal}");
}

/// Layers without zeros, and layers of floats.
#[test]
fn whole_networks_come_back() {
    let network = lenet();
    let parameters = Parameters::init(&network, 5);
    let written = write(
        &network,
        "lenet5",
        &parameters,
        &[],
        Options {
            biases: Scalars::Float32,
            ..Options::default()
        },
    )
    .expect("floats");
    assert_eq!(bits(&written.parameters), bits(&parameters));
    assert!(written.bytes.len() < 4 * 431_080);
    let precision = Precision::Binary {
        scale: Scale::PerTensor,
    };
    let all: Vec<usize> = parameters.weights().map(|p| p.values.len()).collect();
    let (binary, levels) = compressed(&small(), &[48, 24], &[precision; 2], 5);
    assert!(all.iter().sum::<usize>() > 430_000);
    let written = write(&small(), "", &binary, &levels, Options::default()).expect("binary");
    assert_eq!(written.parts[0].kept, 48);
    assert!(written.parts[0].index_bits < 4.0, "{:?}", written.parts[0]);
}
