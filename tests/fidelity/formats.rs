//! A product of two 128 × 128 matrices of one density on one multiplier, in two sparse formats: Sparseloop's Fig. 1.

use super::common::{buffer, dram, engine, gemm, profile, random_mask, slices, work};
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{EngineKind, Profile, Slices, TensorKind};
use cosparse::simulate::{ActivationBits, LayerWork, Weights, layer_on};

pub(crate) const DENSITIES: [f64; 8] = [0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.4, 0.8];

pub(crate) fn formats() -> Profile {
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
pub(crate) fn at(profile: &Profile, engine: usize, density: f64) -> (u64, f64) {
    let mask = random_mask(128, 128, density, 7);
    let layer = LayerWork {
        weight_bits: 8,
        activation_bits: ActivationBits::all(8),
        activation_density: density,
        ..work(gemm(128, 128, 128), Weights::Pattern(&mask))
    };
    let cost = layer_on(&layer, profile, engine).expect("a cost");
    (cost.cycles, cost.energy.total())
}

/// The published value of a column for (density, format).
pub(crate) fn published(column: &str) -> Option<Vec<[f64; 2]>> {
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

/// The densities at which coordinates stop being the faster format, and the one of less energy.
pub(crate) fn crossings(profile: &Profile) -> [f64; 2] {
    let first = |holds: &dyn Fn(f64) -> bool| (1..1000).map(|i| f64::from(i) / 1000.0).find(|&d| !holds(d));
    let faster = |d| at(profile, 2, d).0 < at(profile, 0, d).0;
    let leaner = |d| at(profile, 2, d).1 < at(profile, 1, d).1;
    [&faster as &dyn Fn(f64) -> bool, &leaner].map(|holds| first(holds).expect("crosses"))
}
