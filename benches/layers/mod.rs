//! The time of an estimate against the number of layers, no two of them alike.

use cosparse::hardware::zoo;
use cosparse::network::op::{Conv2d, Op, Padding};
use cosparse::network::{Layer, Network, NetworkBuilder, Shape};
use cosparse::simulate::{Estimator, LayerSetting, Pick, Weights, network};
use criterion::{BenchmarkId, Criterion, Throughput};

/// A chain of so many 3×3 convolutions on 14×14 maps. Their channels, 32 to 1,040, are the same mixture however many
/// there are, and every pair of neighbours is another.
fn chain(layers: usize) -> Network {
    let channels = |layer: usize| 32 + layer * 373 % 1009;
    let mut builder = NetworkBuilder::new();
    let mut before = "input".to_owned();
    builder.input(&before, Shape(vec![channels(0), 14, 14]));
    for layer in 1..=layers {
        let name = format!("conv{layer}");
        let op = Op::Conv2d(Conv2d {
            out_channels: channels(layer),
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::same(1),
            dilation: [1, 1],
            groups: 1,
            bias: false,
        });
        builder.layer(&name, op, &[&before]);
        before = name;
    }
    builder.build().expect("a valid chain")
}

/// 10 to 1,000 layers: the totals of a prepared estimator with another density each time, and the whole network.
pub(crate) fn layers(c: &mut Criterion) {
    let networks = [10, 30, 100, 300, 1000].map(|layers| (layers, chain(layers)));
    for name in ["tpu-v1-28nm", "admm-nn-40nm"] {
        let profile = zoo::find(name)
            .expect("it is shipped")
            .profile()
            .expect("it is valid");
        let mut group = c.benchmark_group(format!("estimate by layers, {name}"));
        group.sample_size(20);
        for (layers, chain) in &networks {
            let mut density = 0.0;
            let mut next = move || {
                density = (density + 0.000_137) % 0.9;
                0.1 + density
            };
            let setting = |density: f64| {
                move |_: &Layer| LayerSetting {
                    weights: Weights::Density(density),
                    weight_bits: 8,
                    activation_density: 1.0,
                    activation_bits: None,
                    mapping: None,
                }
            };
            group.throughput(Throughput::Elements(*layers as u64));
            let estimator = Estimator::new(chain, &profile, 1, Pick::Energy);
            group.bench_function(BenchmarkId::new("totals", layers), |b| {
                b.iter(|| estimator.total(&setting(next())).expect("it runs").energy.total());
            });
            group.bench_function(BenchmarkId::new("network", layers), |b| {
                b.iter(|| {
                    network(chain, &profile, 1, Pick::Energy, &setting(next()))
                        .expect("it runs")
                        .cycles
                });
            });
        }
        group.finish();
    }
}
