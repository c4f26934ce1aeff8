//! Eyeriss (Chen et al., JSSC 2017), Table V, with the chip's mapping pinned.

use super::chip::{
    ACTIVE_PES, BUFFER_MB, DRAM_MB, LATENCY_MS, POWER_MW, buffer_mb, dram_mb, each_layer, eyeriss, pinned,
    power_mw,
};
use super::{Row, Study, Tolerance};
use cosparse::simulate::{LayerWork, Mapping, array, layer_on};

/// Five figures of five layers.
pub(crate) fn table_v() -> Study {
    let (profile, mappings) = (eyeriss(), pinned());
    let mut rows = Vec::new();
    each_layer(|i, work| {
        let mapping = *mappings.layers.get(work.name).expect("a mapping");
        let Mapping::RowStationary(chip) = mapping else {
            panic!("the chip's mappings are row-stationary");
        };
        let work = LayerWork {
            mapping: Some(mapping),
            ..*work
        };
        let run = array(&work, &profile, 0, None).expect("a run");
        let cost = layer_on(&work, &profile, 0).expect("a cost");
        assert_eq!(run.causes.total(), Ok(run.cycles));
        assert_eq!(cost.causes.total(), Ok(cost.cycles));
        let seconds = run.cycles as f64 / 200e6;
        let pes = chip.active_pes(&work.nest).expect("small") as f64;
        let figures = [
            ("active PEs", pes, ACTIVE_PES[i] as f64, Tolerance::Exact),
            (
                "buffer traffic MB",
                buffer_mb(&cost),
                BUFFER_MB[i],
                Tolerance::Portion(0.02),
            ),
            (
                "processing latency ms",
                1e3 * seconds,
                LATENCY_MS[i],
                Tolerance::Portion(0.10),
            ),
            (
                "DRAM traffic MB",
                dram_mb(&cost),
                DRAM_MB[i],
                Tolerance::Portion(0.20),
            ),
            (
                "power mW",
                power_mw(&cost, &profile, seconds),
                POWER_MW[i],
                Tolerance::Portion(0.10),
            ),
        ];
        for (quantity, modelled, published, tolerance) in figures {
            rows.push(Row {
                source: "Chen et al., JSSC 2017, Table V",
                subject: format!("AlexNet {}, batch 4", work.name),
                quantity,
                published,
                modelled,
                tolerance,
            });
        }
    });
    Study {
        name: "eyeriss",
        title: "Eyeriss, JSSC 2017, Table V: AlexNet CONV1 to CONV5, batch 4",
        note: "The chip's mapping is pinned (`workloads/mappings/alexnet-eyeriss.toml`). Buffer traffic, PEs and latency have \
               nothing fitted; power has one fitted figure, clock and leakage. CONV1's DRAM traffic counts overlapping rows of \
               strips twice; zeros of an output are taken from the next layer's input, before pooling, which is why CONV3 and \
               CONV4 come out low. CONV4 and CONV5 run the same pass, yet differ by 6 % a pass in the measurement.",
        may_miss: 0.0,
        rows,
    }
}

/// What the mapper finds when it is free, beside the chip's mapping.
pub(crate) fn free() -> Study {
    let (profile, mappings) = (eyeriss(), pinned());
    let mut rows = Vec::new();
    each_layer(|_, work| {
        let chip = LayerWork {
            mapping: mappings.layers.get(work.name).copied(),
            ..*work
        };
        let figures = |work: &LayerWork| {
            let run = array(work, &profile, 0, None).expect("a run");
            let cost = layer_on(work, &profile, 0).expect("a cost");
            let word = run.mapping.expect("chosen").word;
            (
                [run.cycles as f64 / 200e3, buffer_mb(&cost), dram_mb(&cost)],
                word,
            )
        };
        let ((pinned, _), (free, word)) = (figures(&chip), figures(work));
        let quantities = [
            ("processing latency ms", Tolerance::AtMost),
            ("buffer traffic MB", Tolerance::Told),
            ("DRAM traffic MB", Tolerance::Told),
        ];
        for (i, (quantity, tolerance)) in quantities.into_iter().enumerate() {
            rows.push(Row {
                source: "simulated, workloads/mappings/alexnet-eyeriss.toml",
                subject: format!("AlexNet {}, batch 4, {word}", work.name),
                quantity,
                published: pinned[i],
                modelled: free[i],
                tolerance,
            });
        }
    });
    Study {
        name: "eyeriss-free",
        title: "Eyeriss: what the mapper finds when it is free, beside the chip's mapping",
        note: "Both sides are simulated: `published` is the chip's mapping, `simulated` the one of the fewest cycles, then of the \
               least energy. It is never slower, and may move more through buffer and DRAM for it.",
        may_miss: 0.0,
        rows,
    }
}
