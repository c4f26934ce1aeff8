//! The five convolutions of `AlexNet` in memory, on 32×32 PEs, weight stationary, all reports as text. SCALE-Sim
//! v3.0.0 takes 120 CPU-seconds for the same bytes.

#![allow(missing_docs)] // the macros of criterion make public functions

use cosparse::document::Source;
use cosparse::scalesim::{Config, Mode, Topology, run};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const TOPOLOGY: &str = "\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1, 224, 224, 11, 11, 3, 96, 4,
Conv2, 27, 27, 5, 5, 96, 256, 1,
Conv3, 13, 13, 3, 3, 256, 384, 1,
Conv4, 13, 13, 3, 3, 384, 384, 1,
Conv5, 13, 13, 3, 3, 384, 256, 1,
";

const CFG: &str = "\
[general]
run_name = alexnet

[architecture_presets]
ArrayHeight : 32
ArrayWidth : 32
IfmapSramSzkB : 64
FilterSramSzkB : 64
OfmapSramSzkB : 64
Bandwidth : 10
Dataflow : ws

[run_presets]
InterfaceBandwidth : CALC
";

fn scalesim(criterion: &mut Criterion) {
    let (cfg, topology) = (Source::new("run.cfg", CFG), Source::new("alexnet.csv", TOPOLOGY));
    criterion.bench_function("scalesim alexnet 32x32 ws calc", |b| {
        b.iter(|| {
            let config = Config::read(black_box(&cfg)).expect("a good cfg");
            let topology = Topology::read(black_box(&topology)).expect("a good topology");
            run(&config, &topology, Mode::Compatible)
                .expect("it runs")
                .files()
        });
    });
}

criterion_group!(benches, scalesim);
criterion_main!(benches);
