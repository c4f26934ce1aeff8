//! Energy: actions times energy per action, and leakage over time.

use super::cost::EnergyBreakdown;
use super::engine::ArrayRun;
use super::memory::{Layout, MemoryRun, TENSORS};
use crate::hardware::{EnergyTable, Memory, MemoryKind, Profile};
use crate::units::Overflow;

/// Of the register accesses of a multiplication (input, weight, partial sum read and written), the portion that is
/// left when a zero input gates it: the input is read to see that it is zero (Chen et al., JSSC 2017, §V-C).
const GATED_REGISTERS: f64 = 0.25;

/// The energy of a layer that takes `seconds`.
#[inline]
pub(super) fn energy(
    profile: &Profile,
    layout: &Layout,
    widths: (u32, u32),
    array: &ArrayRun,
    memory: &MemoryRun,
    seconds: f64,
) -> Result<EnergyBreakdown, Overflow> {
    let table: &EnergyTable = &profile.energy;
    let per = |count: u64, energy: &Option<crate::hardware::Sourced<crate::units::Energy>>| {
        energy.as_ref().map(|e| count as f64 * e.value.value())
    };
    let active = array.macs - array.gated;
    let (mut buffer, mut dram) = (0.0, 0.0);
    for (m, at) in profile.memories.iter().enumerate() {
        let mut picojoules = 0.0;
        for t in 0..TENSORS.len() {
            let (read, written) = layout.moved(&profile.memories, (m, t), array, memory)?;
            picojoules += moved(at, read, written);
        }
        match at.kind {
            MemoryKind::Buffer { .. } => buffer += picojoules,
            MemoryKind::Dram { .. } => dram += picojoules,
        }
    }
    Ok(EnergyBreakdown {
        mac: active as f64 * table.mac_energy(widths.0, widths.1),
        // an engine that decodes nothing spends nothing on it, whether or not the table has the figure
        decode: if array.decoded == 0 {
            Some(0.0)
        } else {
            per(array.decoded, &table.decode_per_entry)
        },
        register: per(active, &table.register_per_mac)
            .zip(per(array.gated, &table.register_per_mac))
            .map(|(active, gated)| active + GATED_REGISTERS * gated),
        network: per(array.hops, &table.hop_per_word),
        buffer,
        dram,
        activation: profile
            .memories
            .last()
            .and_then(|dram| per(memory.activations, &dram.rows.as_ref()?.activate_energy)),
        // mW · s = 1e9 pJ
        leakage: table.leakage.as_ref().map(|p| p.value.value() * seconds * 1e9),
    })
}

fn moved(memory: &Memory, read: u64, written: u64) -> f64 {
    read as f64 * memory.read_per_bit.value.value() + written as f64 * memory.write_per_bit.value.value()
}

impl EnergyBreakdown {
    /// The sum of the components that are modelled, in pJ.
    #[must_use]
    pub fn total(&self) -> f64 {
        let optional = [
            self.decode,
            self.register,
            self.network,
            self.activation,
            self.leakage,
        ];
        self.mac + self.buffer + self.dram + optional.into_iter().flatten().sum::<f64>()
    }
}
