//! The crossovers of two sparse formats in Sparseloop's published Fig. 1 (MICRO 2022): a product of two
//! 128 × 128 matrices of one density on one multiplier.
//!
//! A bitmask saves no time: its multiplier visits every position. Coordinates (row and column, 7 bits each) go
//! with every 8-bit value through a port of 16 bits a cycle: the width that the published cycles of 0.1 to 0.4
//! give, (8 + 14) / 16 cycles a non-zero. Energy is that of a PE that reads either format from buffer and DRAM;
//! coordinates stand as an index of 14 bits, which needs no fillers here.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{buffer, dram, engine, gemm, profile, random_mask, slices, work};
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{EngineKind, Profile, Slices, TensorKind};
use cosparse::simulate::{LayerWork, Weights, layer_on};

const DENSITIES: [f64; 8] = [0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.4, 0.8];

fn formats() -> Profile {
    let with = |index| EngineKind::Slices(Slices { index, ..slices(1) });
    let kinds = [
        None,
        Some(Encoding::Bitmap),
        Some(Encoding::RelativeIndex { bits: 14 }),
    ];
    let engines = ["gating", "bitmask", "coordinates"].into_iter().zip(kinds);
    let mut profile = profile(
        engines
            .map(|(name, index)| engine(name, 1000.0, 1.0, with(index)))
            .collect(),
    );
    profile.memories = vec![
        buffer(
            "weights",
            1 << 24,
            16,
            &[TensorKind::Weights, TensorKind::Indices],
        ),
        buffer(
            "features",
            1 << 24,
            64,
            &[TensorKind::Inputs, TensorKind::Outputs],
        ),
        dram(64),
    ];
    profile
}

/// Cycles and pJ of an engine at a density of both operands.
fn at(profile: &Profile, engine: usize, density: f64) -> (u64, f64) {
    let mask = random_mask(128, 128, density, 7);
    let layer = LayerWork {
        weight_bits: 8,
        activation_bits: 8,
        activation_density: density,
        ..work(gemm(128, 128, 128), Weights::Pattern(&mask))
    };
    let cost = layer_on(&layer, profile, engine).expect("a cost");
    (cost.cycles, cost.energy.total())
}

/// The published value of a column for (density, format).
fn published(column: &str) -> Option<Vec<[f64; 2]>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/reference/sparseloop/micro22_reference_stats.csv"
    );
    let mut file = csv::Reader::from_path(path).ok()?;
    let columns = file.headers().expect("a header").clone();
    let place = |name: &str| columns.iter().position(|c| c == name).expect("a column");
    let rows: Vec<_> = file.records().map(|row| row.expect("a row")).collect();
    let find = |density: f64, format: &str| {
        let case = format!("output_{density}_{format}");
        let row = rows
            .iter()
            .find(|row| row[place("case")] == case)
            .expect("the case");
        row[place(column)].parse().expect("a number")
    };
    Some(
        DENSITIES
            .iter()
            .map(|&d| [find(d, "bitmask"), find(d, "coordinate_list")])
            .collect(),
    )
}

#[test]
fn crossovers_of_bitmask_and_coordinates() {
    let profile = formats();
    let (cycles, energy) = (published("cycles"), published("energy_uJ"));
    if cycles.is_none() {
        println!("skipped: ../shared not found");
    }
    for (i, &density) in DENSITIES.iter().enumerate() {
        let [gating, bitmask, coordinates] = [0, 1, 2].map(|engine| at(&profile, engine, density));
        if let (Some(cycles), Some(energy)) = (&cycles, &energy) {
            println!(
                "density {density:4}: cycles {:7} and {:7} (published {:7} and {:7}); energy of coordinates / bitmask {:.3} (published {:.3})",
                gating.0,
                coordinates.0,
                cycles[i][0],
                cycles[i][1],
                coordinates.1 / bitmask.1,
                energy[i][1] / energy[i][0]
            );
            // the format that is faster, and the one that takes less energy, are the published ones
            assert_eq!(coordinates.0 < gating.0, cycles[i][1] < cycles[i][0], "{density}");
            assert_eq!(
                coordinates.1 < bitmask.1,
                energy[i][1] < energy[i][0],
                "{density}"
            );
            assert!(
                (gating.0 as f64 / cycles[i][0] - 1.0).abs() < 0.02,
                "bitmask cycles do not move"
            );
        }
    }
    let faster = |d| at(&profile, 2, d).0 < at(&profile, 0, d).0;
    let leaner = |d| at(&profile, 2, d).1 < at(&profile, 1, d).1;
    let crossing =
        |holds: &dyn Fn(f64) -> bool| (1..1000).map(|i| f64::from(i) / 1000.0).find(|&d| !holds(d));
    let (time, energy) = (
        crossing(&faster).expect("crosses"),
        crossing(&leaner).expect("crosses"),
    );
    println!("crossing in cycles at density {time}, in energy at {energy}");
    assert!(
        (0.4..0.8).contains(&time) && (0.04..0.08).contains(&energy),
        "{time} {energy}"
    );
}
