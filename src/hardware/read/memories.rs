//! Memories: buffers from the PE outwards, one DRAM at the end, a place on chip for every tensor.

use super::figures::Reader;
use crate::compression::encoding::Encoding;
use crate::hardware::raw::{RawMemory, RawProfile, RawTensor};
use crate::hardware::{FpgaMemory, Memory, MemoryKind, TensorKind};
use crate::units::Capacity;
use toml::Spanned;

/// Largest buffer in bits (128 TiB); above it a capacity is a slip of the unit.
const MAX_CAPACITY: f64 = 1_125_899_906_842_624.0;

impl Reader {
    pub(super) fn memories(&mut self, raw: &RawProfile) -> Option<Vec<Memory>> {
        let names: Vec<_> = raw.memories.iter().map(|m| &m.get_ref().name).collect();
        self.unique(&names, "a memory");
        let last = raw.memories.len().saturating_sub(1);
        for (i, memory) in raw.memories.iter().enumerate() {
            let memory = memory.get_ref();
            if i < last && memory.dram.is_some() {
                self.fault(
                    memory.name.span(),
                    "a DRAM stands before the last memory",
                    "memories go from the PE outwards: buffers first, one DRAM at the end",
                );
            }
        }
        match raw.memories.last() {
            None => self.fault(
                raw.name.span(),
                "the profile has no memory",
                "add `[[memories]]`: buffers from the PE outwards, then the DRAM",
            ),
            Some(memory) if memory.get_ref().dram.is_none() && memory.get_ref().buffer.is_some() => self
                .fault(
                    memory.get_ref().name.span(),
                    "the last memory is not a DRAM",
                    "add a memory with a `dram` table after it",
                ),
            Some(_) => {}
        }
        let memories: Vec<_> = raw.memories.iter().map(|m| self.memory(m.get_ref())).collect();
        let memories: Vec<Memory> = memories.into_iter().collect::<Option<_>>()?;
        self.fpga_memories(raw);
        self.homes(raw, &memories);
        self.banks(raw, &memories);
        Some(memories)
    }

    fn memory(&mut self, raw: &RawMemory) -> Option<Memory> {
        let name = self.text(&raw.name, "the memory's name", "give the memory a name");
        let bits_per_cycle = self.sourced_count(&raw.bits_per_cycle, "`bits-per-cycle`");
        let read_per_bit = self.sourced(&raw.read_per_bit);
        let write_per_bit = self.sourced(&raw.write_per_bit);
        let fpga_memory = raw.buffer.as_ref().and_then(|b| b.fpga_memory.as_ref());
        let fpga_memory = fpga_memory.map_or(FpgaMemory::Bram, |m| *m.get_ref());
        let ports = match &raw.buffer {
            Some(buffer) => self.ports(buffer, *raw.bits_per_cycle.value.get_ref()),
            None => Some(None),
        };
        let rows = match &raw.dram {
            Some(dram) => self.rows(dram),
            None => Some(None),
        };
        let (kind, holds) = match (&raw.buffer, &raw.dram) {
            (Some(buffer), None) => {
                let capacity = self.capacity(&buffer.capacity);
                self.source(&buffer.source);
                let holds = self.holds(&buffer.holds);
                let double_buffered = buffer.double_buffered;
                (
                    capacity.map(|capacity| MemoryKind::Buffer {
                        capacity,
                        double_buffered,
                    }),
                    holds,
                )
            }
            (None, Some(dram)) => {
                self.source(&dram.source);
                let burst_bits = self.positive(&dram.burst_bits, "`burst-bits`");
                let all = vec![
                    TensorKind::Weights,
                    TensorKind::Indices,
                    TensorKind::Inputs,
                    TensorKind::Outputs,
                ];
                (
                    burst_bits.map(|burst_bits| MemoryKind::Dram { burst_bits }),
                    Some(all),
                )
            }
            (None, None) => {
                self.fault(
                    raw.name.span(),
                    "the memory is neither a buffer nor the DRAM",
                    "add a `buffer` or a `dram` table to it",
                );
                (None, None)
            }
            (Some(_), Some(_)) => {
                self.fault(
                    raw.name.span(),
                    "the memory has both a `buffer` and a `dram` table",
                    "make two memories of it",
                );
                (None, None)
            }
        };
        Some(Memory {
            name: name?,
            kind: kind?,
            bits_per_cycle: bits_per_cycle?,
            holds: holds?,
            rows: rows?,
            ports: ports?,
            fpga_memory,
            read_per_bit: read_per_bit?,
            write_per_bit: write_per_bit?,
        })
    }

    pub(in crate::hardware) fn capacity(&mut self, raw: &Spanned<String>) -> Option<Capacity> {
        let capacity: Capacity = self.quantity(raw)?;
        let bits = capacity.value();
        let whole = bits >= 1.0 && bits.fract() == 0.0;
        if !whole {
            self.fault(
                raw.span(),
                "the capacity is not a whole number of bits",
                "write whole bits, as in `108 KiB`",
            );
        } else if bits > MAX_CAPACITY {
            self.fault(raw.span(), "the capacity is over 128 TiB", "check the unit");
        }
        (whole && bits <= MAX_CAPACITY).then_some(capacity)
    }

    fn holds(&mut self, raw: &Spanned<Vec<Spanned<RawTensor>>>) -> Option<Vec<TensorKind>> {
        let mut holds = Vec::new();
        if raw.get_ref().is_empty() {
            self.fault(
                raw.span(),
                "the memory holds nothing",
                "name what it holds: `weights`, `indices`, `inputs`, `outputs`",
            );
            return None;
        }
        for tensor in raw.get_ref() {
            let kind = match tensor.get_ref() {
                RawTensor::Weights => TensorKind::Weights,
                RawTensor::Indices => TensorKind::Indices,
                RawTensor::Inputs => TensorKind::Inputs,
                RawTensor::Outputs => TensorKind::Outputs,
            };
            if holds.contains(&kind) {
                self.fault(tensor.span(), "the tensor is named twice", "name it once");
                return None;
            }
            holds.push(kind);
        }
        holds.sort_unstable();
        Some(holds)
    }

    /// Every tensor that an engine uses passes through an on-chip memory; indices only with a sparse engine.
    fn homes(&mut self, raw: &RawProfile, memories: &[Memory]) {
        let sparse = raw
            .engines
            .iter()
            .filter_map(|e| e.get_ref().slices.as_ref()?.index.as_ref());
        let sparse = sparse
            .into_iter()
            .any(|index| *index.get_ref() != Encoding::Dense);
        let Some(place) = raw.memories.first() else { return };
        for (kind, word) in [
            (TensorKind::Weights, "weights"),
            (TensorKind::Indices, "indices"),
            (TensorKind::Inputs, "inputs"),
            (TensorKind::Outputs, "outputs"),
        ] {
            let held = memories
                .iter()
                .any(|m| matches!(m.kind, MemoryKind::Buffer { .. }) && m.holds.contains(&kind));
            if !held && (sparse || kind != TensorKind::Indices) {
                self.fault(
                    place.get_ref().name.span(),
                    format!("no on-chip memory holds the {word}"),
                    format!("add \"{word}\" to the `holds` of a buffer"),
                );
            }
        }
    }

    /// What a memory is made of is asked of FPGAs only, and of what the part has.
    fn fpga_memories(&mut self, raw: &RawProfile) {
        for memory in &raw.memories {
            let Some(kind) = memory
                .get_ref()
                .buffer
                .as_ref()
                .and_then(|b| b.fpga_memory.as_ref())
            else {
                continue;
            };
            match &raw.fpga {
                None => self.fault(
                    kind.span(),
                    "a memory has an `fpga-memory`, but the profile has no `[fpga]`",
                    "add `[fpga]` with the part and its resources, or leave `fpga-memory` out",
                ),
                Some(fpga) if *kind.get_ref() == FpgaMemory::Uram && fpga.uram == 0 => self.fault(
                    kind.span(),
                    format!("the part `{}` has no UltraRAM", fpga.part.value.get_ref()),
                    "write \"bram\", \"lutram\" or \"auto\", or correct `uram` of `[fpga]`",
                ),
                Some(_) => {}
            }
        }
    }

    /// The banks of a row-stationary engine are those of the buffers for inputs and outputs.
    fn banks(&mut self, raw: &RawProfile, memories: &[Memory]) {
        for engine in &raw.engines {
            let Some(array) = &engine.get_ref().row_stationary else {
                continue;
            };
            let Ok(bank) = array.bank.get_ref().parse::<Capacity>() else {
                continue; // reported by the engine's reader
            };
            let banks = u128::from(*array.banks.get_ref()) * u128::from(bank.bits());
            let buffers = memories.iter().filter_map(|m| match m.kind {
                MemoryKind::Buffer { capacity, .. }
                    if m.holds.contains(&TensorKind::Inputs) || m.holds.contains(&TensorKind::Outputs) =>
                {
                    Some(u128::from(capacity.bits()))
                }
                _ => None,
            });
            let held: u128 = buffers.sum();
            if banks > held {
                self.fault(
                    array.banks.span(),
                    format!("the banks have {banks} bits, but the buffers for inputs and outputs {held}"),
                    "lower `banks` or `bank`, or raise the capacity of the buffers",
                );
            }
        }
    }
}
