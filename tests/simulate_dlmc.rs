//! Utilisation on the masks of pruned networks against uniformly random masks of equal density.
//!
//! The Deep Learning Matrix Collection (Gale et al., SC 2020) holds the non-zeros of ResNet-50 and a Transformer
//! pruned by magnitude. Their rows and columns differ in density, which random positions do not show.

#![allow(clippy::print_stdout)] // a test says what it measured

mod common;
#[path = "fidelity/pruned.rs"]
mod pruned;

use pruned::{LAYERS, compare, engines, masks};

#[test]
fn real_masks_use_less_of_the_array_than_uniform_ones() {
    for density in ["0.8", "0.9", "0.95"] {
        let Some(masks) = masks(&format!("rn50_magnitude_pruning_{density}"), &LAYERS) else {
            println!("skipped: ../shared not found");
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
        println!("skipped: ../shared not found");
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
            println!("skipped: ../shared not found");
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
