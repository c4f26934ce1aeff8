//! Utilisation on the masks of pruned networks against uniformly random masks of equal density.
//!
//! The Deep Learning Matrix Collection (Gale et al., SC 2020) holds the non-zeros of ResNet-50 and a Transformer
//! pruned by magnitude. Their rows and columns differ in density, which random positions do not show.

#![allow(clippy::print_stdout)] // a test says what it measured

mod common;

use common::{engine, gemm, profile, slices, work};
use cosparse::compression::Mask;
use cosparse::compression::MaskModel;
use cosparse::compression::mask_file::parse_smtx;
use cosparse::hardware::{EngineKind, Partition, Profile, Slices, Synchronisation};
use cosparse::simulate::{Weights, array};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The masks of an archive whose layers' names are listed, in the archive's order; `None` without the archive.
fn masks(archive: &str, layers: &[&str]) -> Option<Vec<(String, Mask)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/data/dlmc/{archive}.tar.gz"));
    let Ok(file) = File::open(path) else {
        println!("skipped: ../shared not found");
        return None;
    };
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").into_owned();
        let layer = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        if layers.contains(&layer.as_str()) {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            let mask = parse_smtx(&layer, &text).unwrap_or_else(|e| panic!("{e}"));
            found.push((layer, mask));
        }
    }
    assert_eq!(found.len(), layers.len(), "layers of the archive");
    Some(found)
}

/// Cycles of the array alone on one vector, and the portion of its multipliers at work.
fn run(profile: &Profile, mask: &Mask) -> [f64; 2] {
    let nest = gemm(1, mask.cols() as u64, mask.rows() as u64);
    let run = array(&work(nest, Weights::Pattern(mask)), profile, 0, None).expect("a layer");
    let cycles = run.cycles as f64;
    [cycles, run.macs as f64 / (cycles * run.peak as f64)]
}

/// Cycles of all layers and the mean of their utilisations, on real and on uniform masks.
fn compare(profile: &Profile, masks: &[(String, Mask)]) -> [[f64; 2]; 2] {
    let mut sums = [[0.0; 2]; 2];
    for (seed, (_, mask)) in (0..).zip(masks) {
        let random = MaskModel::Uniform.draw(mask.rows(), mask.cols(), mask.density(), seed);
        assert_eq!(random.count(), mask.count());
        for (sum, mask) in sums.iter_mut().zip([mask, &random]) {
            let [cycles, utilisation] = run(profile, mask);
            sum[0] += cycles;
            sum[1] += utilisation / masks.len() as f64;
        }
    }
    sums
}

fn engines() -> [(&'static str, Profile); 2] {
    let eie = Slices {
        partition: Partition::RowInterleaved,
        synchronisation: Synchronisation::Fifo { depth: 8 },
        ..slices(64)
    };
    [("row-interleaved", eie), ("contiguous", slices(64))].map(|(name, s)| {
        (
            name,
            profile(vec![engine(name, 800.0, 1.0, EngineKind::Slices(s))]),
        )
    })
}

/// Some of the 54 matrices, of every stage of the network.
const LAYERS: [&str; 6] = [
    "bottleneck_1_block_group2_1_1",
    "bottleneck_2_block_group2_2_1",
    "bottleneck_3_block_group3_3_1",
    "bottleneck_1_block_group4_1_1",
    "bottleneck_2_block_group4_2_1",
    "final_dense",
];

#[test]
fn real_masks_use_less_of_the_array_than_uniform_ones() {
    for density in ["0.8", "0.9", "0.95"] {
        let Some(masks) = masks(&format!("rn50_magnitude_pruning_{density}"), &LAYERS) else {
            return;
        };
        for (name, profile) in engines() {
            let [[cycles, real], [uniform_cycles, uniform]] = compare(&profile, &masks);
            println!(
                "sparsity {density}, {name}: {cycles} cycles at {:.1} % on real masks, {uniform_cycles} at {:.1} % on \
                 uniform ones, {:.1} % more cycles",
                100.0 * real,
                100.0 * uniform,
                100.0 * (cycles / uniform_cycles - 1.0)
            );
            assert!(cycles > uniform_cycles, "{density}, {name}");
            assert!(real < uniform, "{density}, {name}: {real} against {uniform}");
        }
    }
}

/// Pruned at random positions, a real network's masks are uniform ones: the control of the comparison.
#[test]
fn masks_pruned_at_random_lose_nothing() {
    let Some(masks) = masks("rn50_random_pruning_0.9", &LAYERS) else {
        return;
    };
    for (name, profile) in engines() {
        let [[cycles, real], [uniform_cycles, uniform]] = compare(&profile, &masks);
        println!(
            "random pruning, {name}: {cycles} cycles at {:.1} % against {uniform_cycles} at {:.1} %",
            100.0 * real,
            100.0 * uniform
        );
        assert!(
            (real / uniform - 1.0).abs() < 0.05,
            "{name}: {real} against {uniform}"
        );
    }
}

/// Sizes and counts as `dlmc_stats_subset.csv` and the file names state them.
#[test]
fn archives_hold_the_density_they_are_named_for() {
    for (archive, density) in [
        ("rn50_magnitude_pruning_0.8", 0.2),
        ("rn50_magnitude_pruning_0.95", 0.05),
    ] {
        let Some(masks) = masks(archive, &LAYERS) else {
            return;
        };
        for (layer, mask) in masks {
            assert!(
                (mask.density() / density - 1.0).abs() < 0.01,
                "{archive}, {layer}: {}",
                mask.density()
            );
        }
    }
}
