//! Layers and memories at random, for the tests of this module.

use super::tiling::{TileOrder, Tiling};
use crate::hardware::{Memory, MemoryKind, Sourced, TensorKind};
use crate::network::LoopNest;
use crate::simulate::{LayerWork, Weights};
use crate::units::{Capacity, Energy};
use proptest::prelude::*;

fn sourced<T>(value: T) -> Sourced<T> {
    Sourced {
        value,
        source: "made up".into(),
    }
}

pub(super) fn memory(kind: MemoryKind, width: u64, holds: Vec<TensorKind>) -> Memory {
    let energy = || sourced(Energy::new(1.0).expect("positive"));
    Memory {
        name: "m".into(),
        kind,
        bits_per_cycle: sourced(width),
        holds,
        read_per_bit: energy(),
        write_per_bit: energy(),
        rows: None,
        ports: None,
        fpga_memory: crate::hardware::FpgaMemory::default(),
    }
}

/// Up to three buffers with any tensors in them, and the DRAM.
pub(super) fn memories() -> impl Strategy<Value = Vec<Memory>> {
    let buffer = (1u64..4096, any::<bool>(), any::<[bool; 4]>(), 1u64..3000);
    (prop::collection::vec(buffer, 0..4), 1u64..600, 0usize..3).prop_map(|(buffers, width, burst)| {
        let kinds = [
            TensorKind::Weights,
            TensorKind::Indices,
            TensorKind::Inputs,
            TensorKind::Outputs,
        ];
        let mut memories: Vec<Memory> = buffers
            .into_iter()
            .map(|(width, double_buffered, holds, capacity)| {
                let capacity = Capacity::new(capacity as f64 * 8.0).expect("positive");
                let kind = MemoryKind::Buffer {
                    capacity,
                    double_buffered,
                };
                let held = (0..4).filter(|&t| holds[t]).map(|t| kinds[t]).collect();
                memory(kind, width, held)
            })
            .collect();
        let kind = MemoryKind::Dram {
            burst_bits: [1, 64, 512][burst],
        };
        memories.push(memory(kind, width, kinds.to_vec()));
        memories
    })
}

prop_compose! {
    /// A layer in tiles: blocks lie in a group or a sample, or hold whole ones.
    pub(super) fn tiled()(
        n in 1u64..4, g in prop_oneof![Just(1u64), 2u64..5], k in 1u64..60, p in 1u64..40, r in 1u64..4, stride in 1u64..3,
    )(
        channels in prop_oneof![1..=k, (1..=g).prop_map(move |groups| groups * k)],
        rows in prop_oneof![1..=p, (1..=n).prop_map(move |samples| samples * p)],
        outer in any::<bool>(),
        nest in Just(LoopNest { n, g, k, c: 3, p, q: 5, r, s: 2, stride: [stride; 2], dilation: [1; 2] }),
    ) -> (LoopNest, Tiling) {
        let order = if outer { TileOrder::ChannelsOuter } else { TileOrder::RowsOuter };
        (nest, Tiling { channels, rows, order })
    }
}

pub(super) fn work(nest: LoopNest, elements: [u64; 2], dram: [bool; 2]) -> LayerWork<'static> {
    LayerWork {
        name: "l",
        nest,
        weights: Weights::Density(1.0),
        weight_bits: 8,
        activation_bits: crate::simulate::ActivationBits::all(8),
        activation_density: 1.0,
        output_density: 1.0,
        input_elements: elements[0],
        output_elements: elements[1],
        input_from_dram: dram[0],
        output_to_dram: dram[1],
        mapping: None,
        fused: None,
    }
}
