//! Sparseloop (Wu et al., MICRO 2022): what its published outputs allow to be compared.

use super::chip::{dram_mb, each_layer, eyeriss, pinned};
use super::common::{engine, gemm, profile, work};
use super::formats::{DENSITIES, at, crossings, formats, published};
use super::{Row, Study, Tolerance};
use cosparse::hardware::{EngineKind, RunLength, Structured};
use cosparse::simulate::{LayerWork, Weights, array, layer_on};

const SOURCE: &str = "Sparseloop artifact, micro22_reference_stats.csv";

/// The published outputs: experiment, case, and a column's value.
fn column(experiment: &str, name: &str) -> Option<Vec<(String, f64)>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/reference/sparseloop/micro22_reference_stats.csv"
    );
    let mut file = csv::Reader::from_path(path).ok()?;
    let columns = file.headers().expect("a header").clone();
    let place = |name: &str| columns.iter().position(|c| c == name).expect("a column");
    let rows = file.records().map(|row| row.expect("a row"));
    let of = rows.filter(|row| &row[place("experiment")] == experiment);
    Some(
        of.map(|row| {
            let text = &row[place(name)];
            // the DRAM's share of a breakdown, or the number itself
            let number = text
                .split(';')
                .find_map(|part| part.strip_prefix("DRAM="))
                .unwrap_or(text);
            (row[place("case")].to_owned(), number.parse().expect("a number"))
        })
        .collect(),
    )
}

/// Fig. 1: the densities at which one format overtakes the other, and the cycles of the one that saves none.
pub(crate) fn figure_1() -> Study {
    let profile = formats();
    let mut rows = Vec::new();
    if let (Some(cycles), Some(energy)) = (published("cycles"), published("energy_uJ")) {
        let mut push = |subject: String, quantity, published, modelled, tolerance| {
            rows.push(Row {
                source: SOURCE,
                subject,
                quantity,
                published,
                modelled,
                tolerance,
            });
        };
        let [time, lean] = crossings(&profile);
        let crossing = "128 x 128 x 128".to_owned();
        push(
            crossing.clone(),
            "density at which coordinates stop being faster (published: 0.4 to 0.8)",
            0.6,
            time,
            Tolerance::PortionOr(0.0, 0.2),
        );
        push(
            crossing,
            "density at which coordinates stop taking less energy (published: 0.04 to 0.08)",
            0.06,
            lean,
            Tolerance::PortionOr(0.0, 0.02),
        );
        for (i, &density) in DENSITIES.iter().enumerate() {
            let [gating, bitmask, coordinates] = [0, 1, 2].map(|engine| at(&profile, engine, density));
            let subject = format!("density {density}");
            push(
                subject.clone(),
                "cycles with a bitmask",
                cycles[i][0],
                gating.0 as f64,
                Tolerance::Portion(0.02),
            );
            push(
                subject.clone(),
                "coordinates are faster (1: yes)",
                f64::from(u8::from(cycles[i][1] < cycles[i][0])),
                f64::from(u8::from(coordinates.0 < gating.0)),
                Tolerance::Exact,
            );
            push(
                subject,
                "coordinates take less energy (1: yes)",
                f64::from(u8::from(energy[i][1] < energy[i][0])),
                f64::from(u8::from(coordinates.1 < bitmask.1)),
                Tolerance::Exact,
            );
        }
    }
    Study {
        name: "sparseloop-formats",
        title: "Sparseloop, MICRO 2022, Fig. 1: where a coordinate list overtakes a bitmask",
        note: "Both operands of one density; the bitmask gates, the coordinate list skips. The port's 16 bits a cycle are read \
               off the published cycles of density 0.1 to 0.4; energies are round numbers, so crossings are compared, not joules.",
        may_miss: 0.0,
        rows,
    }
}

/// Fig. 15: cycles of a dense and a 2:4 tensor core of 1024 multiplications a cycle.
pub(crate) fn figure_15() -> Study {
    let core = |keep, lanes| {
        let kind = EngineKind::Structured(Structured {
            keep,
            group: 4,
            rows: 8,
            cols: 8,
            lanes,
        });
        profile(vec![engine("core", 1000.0, 1.0, kind)])
    };
    let (dense, sparse) = (core(4, 16), core(2, 16));
    let mut rows = Vec::new();
    for (case, cycles) in column("fig15_stc", "cycles").unwrap_or_default() {
        let [_, _, layer, design] = case.split('/').collect::<Vec<_>>()[..] else {
            continue;
        };
        let sparse_core = design.starts_with("STC-");
        if !sparse_core && !design.starts_with("TC-") {
            continue;
        }
        let part = |name: &str| {
            let found = layer
                .split('-')
                .find_map(|part| part.strip_prefix(name))
                .expect("a part");
            found.parse::<f64>().expect("a number")
        };
        let [m, k, n] = ["M", "K", "N"].map(|name| part(name) as u64);
        // a core of two in four takes what is sparser as two in four, and dense weights as they are
        let density = part("WD");
        let density = if density < 1.0 { density.min(0.5) } else { 1.0 };
        let core = if sparse_core { &sparse } else { &dense };
        let run = array(&work(gemm(n, k, m), Weights::Density(density)), core, 0, None).expect("a run");
        rows.push(Row {
            source: SOURCE,
            subject: format!("{layer}, {}", if sparse_core { "2:4 core" } else { "dense core" }),
            quantity: "cycles",
            published: cycles,
            modelled: run.cycles as f64,
            tolerance: Tolerance::Portion(0.01),
        });
    }
    Study {
        name: "sparseloop-tensor-cores",
        title: "Sparseloop, MICRO 2022, Fig. 15: dense and 2:4 sparse tensor cores on ResNet-50",
        note: "1024 multiplications a cycle (read off the published dense cycles), 8 x 8 units of 16 lanes. The 2:4 core is twice \
               as fast at weight densities of 0.5 and below, and no faster than that. Not reproduced: the flexible and the \
               dual-side cores, which wait for the shared memory's bandwidth (no engine here has their on-chip levels), and all \
               energies (their tables are not published with the outputs). Fig. 12, one Eyeriss v2 PE on actual data against a \
               uniform density, is not reproduced either: neither the masks of that MobileNet nor a model of that PE are at \
               hand; the study `dlmc` asks the same question of ResNet-50.",
        may_miss: 0.0,
        rows,
    }
}

/// Table VII: DRAM energy of Eyeriss with run-length codes over that without.
pub(crate) fn table_7() -> Study {
    let [coded, plain] =
        ["table7_eyeriss", "table7_eyeriss_dense"].map(|case| column(case, "energy_by_level_pj"));
    let mut rows = Vec::new();
    if let (Some(coded), Some(plain)) = (coded, plain) {
        let (profile, mappings) = (eyeriss(), pinned());
        let mut without = profile.clone();
        for engine in &mut without.engines {
            if let EngineKind::RowStationary(array) = &mut engine.kind {
                array.run_length = None::<RunLength>;
            }
        }
        let of = |all: &[(String, f64)], layer: &str| {
            let case = format!("alexnet_{layer}");
            all.iter().find(|(name, _)| *name == case).expect("a layer").1
        };
        each_layer(|_, work| {
            let work = LayerWork {
                mapping: mappings.layers.get(work.name).copied(),
                ..*work
            };
            let dram = |profile| dram_mb(&layer_on(&work, profile, 0).expect("a cost"));
            rows.push(Row {
                source: SOURCE,
                subject: format!("AlexNet {}, batch 4", work.name),
                quantity: "DRAM traffic, coded over dense",
                published: of(&coded, work.name) / of(&plain, work.name),
                modelled: dram(&profile) / dram(&without),
                tolerance: Tolerance::Portion(0.20),
            });
        });
    }
    Study {
        name: "sparseloop-eyeriss",
        title: "Sparseloop, MICRO 2022, Table VII: what run-length codes save of Eyeriss's DRAM traffic",
        note: "Published as DRAM energy, a constant a word. Theirs is a mapping of their own, ours the chip's, so weights have \
               another share of the traffic; held to 20 %, as the DRAM traffic of the chip itself.",
        may_miss: 0.0,
        rows,
    }
}
