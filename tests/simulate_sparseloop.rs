//! The crossovers of two sparse formats in Sparseloop's published Fig. 1 (MICRO 2022): a product of two
//! 128 × 128 matrices of one density on one multiplier.
//!
//! A bitmask saves no time: its multiplier visits every position. Coordinates (row and column, 7 bits each) go
//! with every 8-bit value through a port of 16 bits a cycle: the width that the published cycles of 0.1 to 0.4
//! give, (8 + 14) / 16 cycles a non-zero. Energy is that of a PE that reads either format from buffer and DRAM;
//! coordinates stand as an index of 14 bits, which needs no fillers here.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;
#[path = "fidelity/formats.rs"]
mod formats;

use formats::{DENSITIES, at, crossings, formats, published};

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
    let [time, energy] = crossings(&profile);
    println!("crossing in cycles at density {time}, in energy at {energy}");
    assert!(
        (0.4..0.8).contains(&time) && (0.04..0.08).contains(&energy),
        "{time} {energy}"
    );
}
