//! Every layer of the large shipped networks, dense, on every engine of every shipped profile: never faster than its
//! multiplications or its DRAM transfers alone, never slower than all that it does one after another.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::dense;
use cosparse::hardware::{MemoryKind, Profile, zoo};
use cosparse::network::{LoopNest, Workload};
use cosparse::simulate::{
    Fusion, LayerCost, LayerWork, MEMORY, Pick, array, layer_on, network_fused, work_of,
};

const NETWORKS: [&str; 3] = ["alexnet", "vgg16", "resnet50"];
const BATCHES: [u64; 2] = [1, 3];

fn profiles() -> Vec<Profile> {
    let shipped = zoo::list().iter();
    shipped.map(|s| s.profile().expect("it is valid")).collect()
}

/// Bits read and written at each memory, in the profile's order, with its port.
fn moved(profile: &Profile, cost: &LayerCost) -> Vec<(u64, u64)> {
    let at = |name: &str| {
        let here = cost.traffic.iter().filter(|t| t.memory == name);
        here.map(|t| t.read_bits + t.write_bits).sum()
    };
    let memories = profile.memories.iter();
    memories.map(|m| (at(&m.name), m.bits_per_cycle.value)).collect()
}

/// The number behind `key=` in a mapping's word.
fn number(word: &str, key: &str) -> Option<u64> {
    let mut words = word.split_whitespace();
    words.find_map(|w| w.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

/// Steps of the tile pipeline, as the mapping says.
fn steps(nest: &LoopNest, word: &str) -> u64 {
    let of = |key| number(word, key).unwrap_or_else(|| panic!("no {key} in {word}"));
    if word.contains("channels=") {
        return (nest.g * nest.k).div_ceil(of("channels")) * (nest.n * nest.p).div_ceil(of("rows"));
    }
    let strips = nest.p.div_ceil(of("e")) * nest.n.div_ceil(of("n")) * nest.k.div_ceil(of("m"));
    nest.g * strips * nest.c.div_ceil(of("q") * of("r"))
}

/// Cycles are no fewer than the DRAM's port takes, and no more than the array's own with all traffic after it, one memory
/// after another; each of `steps` rounds up once for a port and once for transfers that wait.
fn between(profile: &Profile, cost: &LayerCost, steps: u64, what: &str) {
    let moved = moved(profile, cost);
    let (dram, port) = *moved.last().expect("a DRAM");
    assert!(
        cost.cycles >= dram.div_ceil(port),
        "{what}: {} cycles for {dram} DRAM bits",
        cost.cycles
    );
    let c = &cost.causes;
    let stalls = c.stall_weights + c.stall_indices + c.stall_inputs + c.stall_outputs;
    let serial: u64 = moved.iter().map(|(bits, port)| bits.div_ceil(*port)).sum();
    assert!(
        stalls <= serial + 2 * (steps + 2),
        "{what}: {stalls} cycles of stalls, {serial} for all traffic"
    );
    assert_eq!(c.total(), Ok(cost.cycles), "{what}");
}

#[test]
fn layers_lie_between_the_roofline_and_no_overlap() {
    let (mut checked, mut refused) = (0, 0);
    for profile in profiles() {
        let mut nearest = f64::INFINITY;
        for name in NETWORKS {
            let network = Workload::find(name).expect("it is shipped").network;
            let setting = dense(&profile);
            for batch in BATCHES {
                let whole = network_fused(&network, &profile, batch, Pick::Latency, Fusion::Ideal, &setting)
                    .expect("a cost");
                let mut seen: Vec<LayerWork> = Vec::new();
                for simulated in &whole.layers {
                    let layer = network.layer(network.find(&simulated.name).expect("its layer"));
                    let work = work_of(&network, layer, &profile, batch, setting(layer), simulated.around)
                        .expect("it multiplies");
                    let places = |w: &LayerWork| (w.nest, w.input_from_dram, w.output_to_dram);
                    if seen.iter().any(|w| places(w) == places(&work)) {
                        continue;
                    }
                    seen.push(work);
                    for (e, engine) in profile.engines.iter().enumerate() {
                        let what = format!(
                            "{name} {} x {batch} on {} {}",
                            layer.name, profile.name, engine.name
                        );
                        let (Ok(alone), Ok(cost)) =
                            (array(&work, &profile, e, None), layer_on(&work, &profile, e))
                        else {
                            refused += 1;
                            continue;
                        };
                        let least = alone.macs.div_ceil(alone.peak);
                        assert!(
                            cost.cycles >= least,
                            "{what}: {} cycles, {least} of work",
                            cost.cycles
                        );
                        assert!(cost.cycles >= alone.cycles, "{what}: faster than its array");
                        assert!(cost.utilisation <= 1.0, "{what}");
                        let word = cost.mapping.as_ref().map_or("", |form| form.word.as_str());
                        between(&profile, &cost, steps(&work.nest, word), &what);
                        nearest = nearest.min(cost.cycles as f64 / least as f64);
                        checked += 1;
                    }
                }
            }
        }
        println!(
            "{}: the nearest layer takes {nearest:.3} times its multiplications",
            profile.name
        );
    }
    println!("{checked} layers checked, {refused} that an engine refuses");
    assert!(checked > 1000, "{checked}");
}

/// The same with layers that do not multiply on their own and fused.
#[test]
fn layers_that_move_lie_between_them_too() {
    let mut moving = 0;
    for profile in profiles() {
        let smallest = profile.memories.iter().filter_map(|m| match m.kind {
            MemoryKind::Buffer { capacity, .. } => Some(capacity.bits()),
            MemoryKind::Dram { .. } => None,
        });
        let smallest = smallest.min().expect("a buffer");
        for name in ["alexnet", "resnet50"] {
            let network = Workload::find(name).expect("it is shipped").network;
            for (batch, fusion) in [(1, Fusion::None), (2, Fusion::Full)] {
                let cost = network_fused(&network, &profile, batch, Pick::Latency, fusion, &dense(&profile))
                    .expect("a cost");
                for simulated in &cost.layers {
                    let layer = network.layer(network.find(&simulated.name).expect("its layer"));
                    let found = &simulated.outcome.cost;
                    let what = format!("{name} {} x {batch} on {}, {fusion:?}", layer.name, profile.name);
                    let steps = if let (Some(nest), Some(form)) = (&layer.nest, &found.mapping) {
                        steps(&nest.batch(batch), &form.word)
                    } else {
                        assert_eq!((found.engine.as_str(), found.macs), (MEMORY, 0), "{what}");
                        moving += 1;
                        // a row a step, or twice as many as long as four pieces do not fit
                        let rows = layer.output.0.iter().rev().nth(1).map_or(1, |&rows| rows as u64);
                        let bits = moved(&profile, found).iter().map(|m| m.0).sum::<u64>();
                        (batch * rows).max(8 * bits.div_ceil(smallest))
                    };
                    between(&profile, found, steps, &what);
                }
            }
        }
    }
    assert!(moving > 1000, "{moving}");
}
