//! `ZigZag` 3.9.1: cycles of its mappings without stalls, ResNet-18 on its TPU-like array.

use super::common::{engine, profile, work};
use super::{Row, Study, Tolerance};
use cosparse::hardware::{DotProduct, EngineKind};
use cosparse::network::LoopNest;
use cosparse::simulate::{Weights, array};

/// Every layer; none where the published ones are not at hand.
pub(crate) fn temporal_cycles() -> Study {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/reference/zigzag/layers_resnet18__tpu_like__opt-latency__lpf6.csv"
    );
    // 32 output by 32 input channels, as the spatial mapping says
    let trees = EngineKind::DotProduct(DotProduct {
        kernels: 32,
        channels: 32,
        accumulators: 65_536,
        weights_per_cycle: 1024,
        latency: 1,
    });
    let profile = profile(vec![engine("tpu-like", 1000.0, 1.0, trees)]);
    let mut rows = Vec::new();
    if let Ok(mut file) = csv::Reader::from_path(path) {
        let columns = file.headers().expect("a header").clone();
        for row in file.records().map(|row| row.expect("a row")) {
            let cell = |name: &str| &row[columns.iter().position(|c| c == name).expect("a column")];
            // a dimension that a layer does not have is left empty
            let size = |name: &str| cell(name).parse::<u64>().unwrap_or(1);
            let nest = LoopNest {
                n: size("dim_B"),
                g: size("dim_G"),
                k: size("dim_K"),
                c: size("dim_C"),
                p: size("dim_OY"),
                q: size("dim_OX"),
                r: size("dim_FY"),
                s: size("dim_FX"),
                stride: [1, 1],
                dilation: [1, 1],
            };
            let run = array(&work(nest, Weights::Density(1.0)), &profile, 0, None).expect("a run");
            rows.push(Row {
                source: "ZigZag 3.9.1, layers_resnet18__tpu_like",
                subject: cell("layer").trim_matches('/').to_owned(),
                quantity: "cycles without stalls",
                published: cell("ideal_temporal_cycle").parse().expect("a number"),
                modelled: run.cycles as f64,
                tolerance: Tolerance::Portion(0.01),
            });
        }
    }
    Study {
        name: "zigzag",
        title: "ZigZag 3.9.1: ResNet-18 on a TPU-like array of 32 x 32, cycles without stalls",
        note: "Held to the temporal cycles of its mapping: dot-product trees of 32 kernels by 32 channels with sums kept for \
               every position. Its latencies add loads and stalls of a memory hierarchy that is not described with its results, \
               and its energies are in a unit of their own: neither is compared.",
        may_miss: 0.0,
        rows,
    }
}
