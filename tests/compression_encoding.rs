//! Encodings and packed layers: what is written is read back, is as long as computed, and no damage passes.

#![allow(clippy::print_stdout)] // a test says what it measured

use cosparse::compression::Mask;
use cosparse::compression::encoding::{
    EncodeError, Encoding, Layout, Random, best_width, entries, entries_in, smallest, smallest_expected_bits,
};
use cosparse::compression::pack::{PackError, PackedLayer, pack, unpack};
use cosparse::compression::precision::{EqualInterval, Levels};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        Just(Encoding::Dense),
        Just(Encoding::Bitmap),
        (1u8..=12).prop_map(|bits| Encoding::RelativeIndex { bits }),
        Just(Encoding::Csr),
        Just(Encoding::Csc),
        Just(Encoding::Coordinate),
        // keeps all of a group, so that it holds any mask
        (1u32..9).prop_map(|group| Encoding::NM { keep: group, group }),
        (1u32..9, 1u32..9).prop_map(|(rows, cols)| Encoding::BlockMap { rows, cols }),
        Just(Encoding::GolombRice),
    ]
}

/// Empty, full, skewed to one end, and anything between.
fn mask() -> impl Strategy<Value = Mask> {
    (
        1usize..9,
        1usize..90,
        prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0, 0.0f64..0.03],
        0.2f64..5.0,
        any::<u64>(),
    )
        .prop_map(|(rows, cols, density, skew, seed)| {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut mask = Mask::empty(rows, cols);
            for i in 0..mask.len() {
                let place = (i as f64 + 0.5) / mask.len() as f64;
                mask.set(
                    i,
                    rng.random::<f64>() < density * place.powf(skew - 1.0).min(1.0) || density >= 1.0,
                );
            }
            mask
        })
}

fn tensor() -> impl Strategy<Value = (Mask, Vec<u32>, u32)> {
    (
        mask(),
        prop_oneof![1u32..=8, Just(16), Just(31), Just(32)],
        any::<u64>(),
    )
        .prop_map(|(mask, value_bits, seed)| {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let low = u32::from(value_bits == 32);
            let code = |_| {
                if rng.random::<f32>() < 0.2 {
                    low
                } else {
                    (rng.random::<u32>() >> (32 - value_bits)).max(low)
                }
            };
            let codes = mask.ones().map(code).collect();
            (mask, codes, value_bits)
        })
}

proptest! {
    #[test]
    fn streams_round_trip_and_are_as_long_as_computed((mask, codes, value_bits) in tensor(), encoding in encoding()) {
        let stream = encoding.encode(&mask, &codes, value_bits).expect("a valid tensor");
        let size = encoding.size(&mask, value_bits).expect("valid widths");
        prop_assert_eq!(stream.len() as u64, size.bytes());
        prop_assert!(size.entries >= codes.len() as u64 && size.values_bits == size.entries * u64::from(value_bits));
        let layout = Layout::of(&mask, value_bits);
        let (mask_back, codes_back) = encoding.decode(&stream, layout).expect("what was written");
        prop_assert_eq!((&mask_back, &codes_back), (&mask, &codes));
        // one byte short or long is no stream of this layout
        if let Some((_, short)) = stream.split_last() {
            prop_assert!(encoding.decode(short, layout).is_err());
        }
        let mut long = stream;
        long.push(0);
        prop_assert!(encoding.decode(&long, layout).is_err());
    }

    #[test]
    fn n_of_m_holds_what_fits_and_refuses_the_rest((mask, codes, value_bits) in tensor(), keep in 1u32..5, more in 0u32..5) {
        let encoding = Encoding::NM { keep, group: keep + more };
        let group = (keep + more) as usize;
        let fits = (0..mask.rows()).all(|row| (0..mask.cols()).step_by(group).all(|col| {
            let end = (col + group).min(mask.cols());
            mask.count_in(row * mask.cols() + col..row * mask.cols() + end) <= keep as usize
        }));
        let stream = encoding.encode(&mask, &codes, value_bits);
        prop_assert_eq!(stream.is_ok(), fits);
        match stream {
            Ok(stream) => {
                prop_assert_eq!(stream.len() as u64, encoding.size(&mask, value_bits).expect("it fits").bytes());
                prop_assert_eq!(encoding.decode(&stream, Layout::of(&mask, value_bits)).expect("what was written"), (mask, codes));
            }
            Err(error) => {
                let refused = matches!(error, EncodeError::Group { .. });
                prop_assert!(refused);
            }
        }
    }

    #[test]
    fn the_smallest_is_the_smallest_of_all((mask, codes, value_bits) in tensor()) {
        let found = smallest(&mask, value_bits);
        let length = found.encode(&mask, &codes, value_bits).expect("a valid tensor").len();
        for other in Encoding::tried() {
            if let Ok(stream) = other.encode(&mask, &codes, value_bits) {
                prop_assert!(length <= stream.len(), "{:?} before {:?}", found, other);
            }
        }
    }

    #[test]
    fn any_bytes_decode_without_a_panic_into_what_they_say(
        stream in prop::collection::vec(any::<u8>(), 0..40),
        encoding in encoding(),
        (rows, cols, non_zeros, value_bits) in (0usize..12, 0usize..12, 0usize..60, 0u32..34),
    ) {
        let layout = Layout { rows, cols, non_zeros, value_bits };
        if let Ok((mask, codes)) = encoding.decode(&stream, layout) {
            prop_assert_eq!(mask.count(), non_zeros);
            prop_assert_eq!(codes.len(), non_zeros);
            let again = encoding.encode(&mask, &codes, value_bits).expect("it was decoded");
            prop_assert_eq!(encoding.decode(&again, layout).expect("it was encoded"), (mask, codes));
        }
    }

    #[test]
    fn fillers_follow_the_published_rule(mask in mask(), width in 1u8..=12) {
        let longest = 1usize << width;
        let (mut fillers, mut before) = (0, 0);
        for position in mask.ones().map(|i| i + 1) {
            fillers += ((position - before).div_ceil(longest) - 1) as u64;
            before = position;
        }
        let found = entries(&mask, width);
        prop_assert_eq!((found.non_zeros, found.fillers), (mask.count() as u64, fillers));
        // the chain may be cut anywhere; only fillers up to the cut are lost
        let cut = mask.len() / 3;
        let parts = entries_in(&mask, 0..cut, width).non_zeros + entries_in(&mask, cut..mask.len(), width).non_zeros;
        prop_assert_eq!(parts, found.non_zeros);
    }

    #[test]
    fn the_best_width_is_the_best((mask, _, value_bits) in tensor()) {
        let bits = |bits| Encoding::RelativeIndex { bits }.size(&mask, value_bits).expect("valid widths").bits();
        let best = best_width(&mask, value_bits);
        prop_assert!((1..=12).all(|k| bits(best) < bits(k) || (bits(best) == bits(k) && best <= k)));
    }

    #[test]
    fn floats_pack_bit_for_bit(
        values in prop::collection::vec(prop_oneof![3 => Just(0.0f32), 3 => -1.0f32..1.0, 1 => prop::num::f32::ANY], 24..25),
        encoding in encoding(),
    ) {
        let packed = pack(&values, 4, 6, encoding, &Levels::FLOAT32).expect("any float can be packed");
        let back = unpack(&packed.bytes).expect("what was packed");
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back.values), bits(&values));
    }

    #[test]
    fn damage_never_passes(
        (mask, bits, weights) in level_layer(),
        encoding in encoding(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        cut in any::<prop::sample::Index>(),
    ) {
        let (rows, cols) = (mask.rows(), mask.cols());
        let set = Levels::equal_interval(bits, 0.37);
        let layer = PackedLayer::new("conv1", &[rows, 1, cols], (rows, cols), &weights, encoding, &set).expect("on its levels");
        let bytes = layer.pack().expect("valid widths").bytes;
        let back = PackedLayer::from_bytes(&bytes).expect("what was packed");
        prop_assert_eq!((back.values(), back.mask()), (weights, &mask));
        prop_assert_eq!(back, layer);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= flip;
        prop_assert!(PackedLayer::from_bytes(&damaged).is_err());
        prop_assert!(PackedLayer::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        // a forged checksum gets past the first guard; the rest still must not panic
        let body = damaged.len() - 4;
        let mut crc = flate2::Crc::new();
        crc.update(&damaged[..body]);
        damaged[body..].copy_from_slice(&crc.sum().to_le_bytes());
        if let Ok(read) = PackedLayer::from_bytes(&damaged) {
            prop_assert_eq!(read.values().len(), read.mask().len());
        }
    }
}

/// A mask, the bits of a code, and weights on their levels.
fn level_layer() -> impl Strategy<Value = (Mask, u8, Vec<f32>)> {
    (mask(), 1u8..=16, any::<u64>()).prop_map(|(mask, bits, seed)| {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let set = EqualInterval { bits, interval: 0.37 };
        let mut weights = vec![0.0; mask.len()];
        for i in mask.ones() {
            weights[i] = set.decode(rng.random::<u32>() >> (32 - u32::from(bits)));
        }
        (mask, bits, weights)
    })
}

#[test]
fn a_weight_off_its_levels_is_refused_with_its_place() {
    let weights = [0.5, 0.0, -1.0, 0.51];
    let error = pack(&weights, 2, 2, Encoding::Bitmap, &Levels::equal_interval(3, 0.5))
        .expect_err("0.51 is no level of 0.5");
    assert!(matches!(error, PackError::OffLevel { index: 3, .. }), "{error}");
    assert!(matches!(
        pack(
            &[f32::NAN],
            1,
            1,
            Encoding::Bitmap,
            &Levels::equal_interval(3, 0.5)
        ),
        Err(PackError::OffLevel { index: 0, .. })
    ));
    assert!(matches!(
        pack(&weights, 2, 3, Encoding::Bitmap, &Levels::equal_interval(3, 0.5)),
        Err(PackError::Shape { .. })
    ));
    for (bits, interval) in [(3, 0.0), (3, f32::NAN), (3, -1.0), (0, 0.5), (17, 0.5)] {
        assert!(matches!(
            pack(
                &weights,
                2,
                2,
                Encoding::Bitmap,
                &Levels::equal_interval(bits, interval)
            ),
            Err(PackError::Levels { .. })
        ));
    }
    let wide = Encoding::RelativeIndex { bits: 17 };
    assert!(matches!(
        pack(&weights, 2, 2, wide, &Levels::FLOAT32),
        Err(PackError::Encode {
            source: EncodeError::IndexBits(17),
            ..
        })
    ));
}

#[test]
fn codes_that_do_not_fit_are_refused() {
    let mask = Mask::full(1, 2);
    let encode = |codes: &[u32], bits| Encoding::Bitmap.encode(&mask, codes, bits);
    assert_eq!(
        encode(&[1], 4),
        Err(EncodeError::Count {
            codes: 1,
            non_zeros: 2
        })
    );
    assert_eq!(
        encode(&[1, 16], 4),
        Err(EncodeError::Code {
            entry: 1,
            code: 16,
            value_bits: 4
        })
    );
    assert_eq!(encode(&[1, 0], 32), Err(EncodeError::Zero { entry: 1 }));
    assert_eq!(encode(&[1, 0], 0), Err(EncodeError::ValueBits(0)));
}

/// Seeded random mask with exactly `alive` positions.
fn random_mask(len: usize, alive: usize, seed: u64) -> Mask {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut mask = Mask::empty(1, len);
    let mut left = alive;
    while left > 0 {
        let i = rng.random_range(0..len);
        left -= usize::from(!mask.get(i));
        mask.set(i, true);
    }
    mask
}

/// ALGORITHMS §8: LeNet-5 of 500, 25000, 400000 and 5000 weights pruned to 100, 1330, 800 and 350 at 5, 3, 2 and
/// 3 bits. The reference figures are expectations for random masks, of entries times their width. A real stream
/// has a flag more in each entry of the longest run, which at the best widths is below 1 %.
#[test]
fn published_counts_take_the_expected_bytes() {
    let layers = [
        (500, 100, 5),
        (25_000, 1330, 3),
        (400_000, 800, 2),
        (5000, 350, 3),
    ];
    let draws = 20;
    for (width, published) in [(None, 3369.0), (Some(8), 4966.0), (Some(5), 13_403.0)] {
        let (mut fields, mut stream) = (0, 0);
        for (seed, &(len, alive, value_bits)) in (0..).zip(layers.iter().cycle().take(layers.len() * draws)) {
            let mask = random_mask(len, alive, seed);
            let bits = width.unwrap_or_else(|| best_width(&mask, value_bits));
            let size = Encoding::RelativeIndex { bits }
                .size(&mask, value_bits)
                .expect("valid widths");
            fields += size.entries * u64::from(u32::from(bits) + value_bits);
            stream += size.bits();
        }
        let bytes = |bits: u64| bits as f64 / 8.0 / draws as f64;
        let (fields, stream) = (bytes(fields), bytes(stream));
        println!("width {width:?}: fields {fields:.0} bytes, stream {stream:.0} bytes, expected {published}");
        assert!(
            (fields / published - 1.0).abs() < 0.02,
            "width {width:?}: {fields} against {published}"
        );
        assert!(
            width.is_some() || stream < 1.01 * fields,
            "flags take {}",
            stream - fields
        );
    }
    let data: u32 = layers.iter().map(|&(_, alive, bits)| alive as u32 * bits).sum();
    assert_eq!(data / 8, 892);
}

/// Entries of a long random run: q / (1 − p^L) per weight position (CALIBRATION §1).
#[test]
fn random_masks_take_the_simulated_number_of_entries() {
    let len = 2_000_000;
    for (q, k) in [(0.5, 4), (0.1, 4), (0.02, 4), (0.02, 6), (0.3, 2)] {
        let mask = random_mask(len, (q * len as f64) as usize, 3);
        let (p, l) = (1.0 - q, f64::from(1 << k));
        let expected = q / (1.0 - p.powf(l)) * len as f64;
        let found = entries(&mask, k as u8).total() as f64;
        assert!(
            (found / expected - 1.0).abs() < 0.005,
            "q {q}, k {k}: {found} against {expected}"
        );
    }
}

/// Two rows of five, weights at (0, 1), (0, 4) and (1, 2), codes 1, 2, 3 of 2 bits: 6 bits of values and
/// CSR 3 pointers of 2 bits (0 to 3) and 3 columns of 3 bits; CSC 6 pointers and 3 rows of 1 bit;
/// coordinates 3 of 1 + 3 bits; 1:3 four slots of 2 bits value, 2 bits place and, one being empty, 1 bit more;
/// blocks of 2x2: three, all live, 10 slots of one bit more; gaps 1, 2 and 2: k = 0 takes 8 bits, 1 takes 8, so 0,
/// with 5 bits to say so.
#[test]
fn a_small_tensor_by_hand() {
    let mut mask = Mask::empty(2, 5);
    for i in [1, 4, 7] {
        mask.set(i, true);
    }
    let cases = [
        (Encoding::Csr, 6, 6 + 9),
        (Encoding::Csc, 6, 12 + 3),
        (Encoding::Coordinate, 6, 12),
        (Encoding::NM { keep: 1, group: 3 }, 8, 4 * 3),
        (Encoding::BlockMap { rows: 2, cols: 2 }, 20, 3 + 10),
        (Encoding::GolombRice, 6, 5 + 8),
    ];
    for (encoding, values, index) in cases {
        let size = encoding.size(&mask, 2).expect("valid widths");
        assert_eq!(
            (size.values_bits, size.index_bits),
            (values, index),
            "{encoding:?}"
        );
    }
    // pointers 0, 2, 3; columns 1, 4, 2; codes 1, 2, 3; each from its lowest bit
    let stream = Encoding::Csr.encode(&mask, &[1, 2, 3], 2).expect("valid");
    assert_eq!(stream, [0b0111_1000, 0b1010_1000, 0b0001_1100]);
    for (keep, group) in [(0, 4), (5, 4), (1, 65_537)] {
        assert!(matches!(
            Encoding::NM { keep, group }.size(&mask, 2),
            Err(EncodeError::Parameter(_))
        ));
    }
}

/// The mean over masks in which each position is alive at random equals the expectation within four standard errors
/// (and a bit of 10⁵, where the spread is nothing). N of M is left out: random masks do not fit it.
#[test]
fn expected_bits_are_the_mean_over_random_masks() {
    let draws = 300;
    for (shape, (rows, cols)) in [(20, 25), (50, 500), (37, 101)].into_iter().enumerate() {
        for (d, density) in [0.02f64, 0.1, 0.4, 0.8].into_iter().enumerate() {
            let masks: Vec<Mask> = (0..draws)
                .map(|draw| {
                    let mut rng =
                        rand_chacha::ChaCha8Rng::seed_from_u64(draw + 1000 * (4 * shape + d) as u64);
                    let mut mask = Mask::empty(rows, cols);
                    for i in 0..mask.len() {
                        mask.set(i, rng.random_bool(density));
                    }
                    mask
                })
                .collect();
            for value_bits in [4, 32] {
                for encoding in Encoding::tried() {
                    if matches!(encoding, Encoding::NM { .. }) {
                        continue;
                    }
                    let sizes: Vec<f64> = masks
                        .iter()
                        .map(|mask| encoding.size(mask, value_bits).expect("any mask").bits() as f64)
                        .collect();
                    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
                    let squares: f64 = sizes.iter().map(|s| (s - mean).powi(2)).sum();
                    let error = squares.sqrt() / sizes.len() as f64;
                    let expected = encoding.expected_bits(Random {
                        rows,
                        cols,
                        density,
                        value_bits,
                    });
                    // pointers of a count at a power of two are of two widths; the best parameter of a stream is as
                    // good as that of the mean, or better
                    let slack = match encoding {
                        Encoding::Csr | Encoding::Csc => 0.01 * mean,
                        Encoding::GolombRice => 0.004 * mean,
                        _ => 1e-5 * mean,
                    };
                    assert!(
                        (mean - expected).abs() <= 4.0 * error + slack,
                        "{encoding:?}, {rows} x {cols} at {density}, {value_bits} bits: {mean} ± {error}, expected {expected}"
                    );
                }
            }
        }
    }
    // 2 of 4 at its density is full: a value and two bits of place a slot
    let two_of_four = Encoding::NM { keep: 2, group: 4 };
    let at = |density| {
        two_of_four.expected_bits(Random {
            rows: 8,
            cols: 64,
            density,
            value_bits: 4,
        })
    };
    assert_eq!((at(0.5), at(0.25)), (256.0 * 6.0, 256.0 * 7.0));
    assert!(at(0.6).is_infinite());
}

/// What the search of `codesign` asks a weight for size: the expectation by relative index beside the smallest of all.
#[test]
fn pricing_by_relative_index_beside_the_smallest() {
    for (name, rows, cols) in [
        ("conv1", 20, 25),
        ("conv2", 50, 500),
        ("fc1", 500, 800),
        ("fc2", 10, 500),
    ] {
        for density in [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4] {
            let at = |density, f: &dyn Fn(Random) -> f64| {
                f(Random {
                    rows,
                    cols,
                    density,
                    value_bits: 4,
                })
            };
            let relative = |random| {
                (1..=12)
                    .map(|bits| Encoding::RelativeIndex { bits }.expected_bits(random))
                    .fold(f64::INFINITY, f64::min)
            };
            let slope = |f: &dyn Fn(Random) -> f64| {
                (at(1.02 * density, f) - at(0.98 * density, f)) / (0.04 * density * (rows * cols) as f64)
            };
            let (r, s) = (at(density, &relative), at(density, &smallest_expected_bits));
            println!(
                "{name} {density}: relative {r:.0}, smallest {s:.0} ({:.3}); a weight {:.2}, {:.2} bits",
                s / r,
                slope(&relative),
                slope(&smallest_expected_bits)
            );
            assert!(s <= r);
        }
    }
}
