//! From the file's form to a checked [`Profile`]: every fault of a file is collected, none hides another.

use super::raw::{
    RawCount, RawDataflow, RawEnergy, RawEngine, RawFeaturePort, RawFpga, RawMac, RawMemory, RawName,
    RawPartition, RawProfile, RawSlices, RawSourced, RawSynchronisation, RawSystolic, RawTensor,
};
use super::{
    Dataflow, EnergyTable, Engine, EngineKind, FeaturePort, Fpga, MacEnergy, Memory, MemoryKind, Partition,
    Profile, SiliconArea, Slices, Sourced, Synchronisation, Systolic, TensorKind,
};
use crate::compression::encoding::Encoding;
use crate::document::{Fault, Faults, Source};
use crate::units::{Capacity, QuantityError};
use std::path::Path;
use std::str::FromStr;
use toml::Spanned;

/// Largest side of an array and largest count inside a PE.
const MAX_COUNT: u64 = 65_536;
/// Largest number of PEs of a sliced engine.
const MAX_PES: u64 = 1_048_576;
/// Widest word in bits.
const MAX_BITS: u64 = 64;
/// Largest buffer in bits (128 TiB); above it a capacity is a slip of the unit.
const MAX_CAPACITY: f64 = 1_125_899_906_842_624.0;

/// Why a profile could not be opened.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the profile `{path}`: {cause}")]
    #[diagnostic(
        code(cosparse::hardware::open),
        help("name a file that exists and is UTF-8 text, or a shipped profile (`cosparse profile list`)")
    )]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file has faults.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Faults(#[from] Faults),
}

impl Profile {
    /// Reads a profile from TOML text.
    ///
    /// # Errors
    /// Every fault of the text at its place: first those of form (unknown keys, wrong types), then, when the form
    /// is right, those of quantities and between fields.
    pub fn from_source(source: &Source) -> Result<Self, Faults> {
        let raw: RawProfile = source.parse()?;
        let mut reader = Reader::default();
        let profile = reader.profile(&raw);
        match profile {
            Some(profile) if reader.faults.is_empty() => Ok(profile),
            _ => Err(source.faults(reader.faults)),
        }
    }

    /// Reads a profile file.
    ///
    /// # Errors
    /// [`OpenError::Unreadable`] if the file is not there or not UTF-8, [`OpenError::Faults`] with all its faults.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| OpenError::Unreadable {
            path: name.clone(),
            cause,
        })?;
        Ok(Self::from_source(&Source::new(name, text))?)
    }
}

/// Collects faults. A method that returns `None` has pushed at least one.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, at: std::ops::Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(at, message, help));
    }

    /// A count between 1 and `max`.
    fn count(&mut self, raw: &Spanned<u64>, what: &str, max: u64) -> Option<u32> {
        let value = *raw.get_ref();
        if value == 0 {
            self.fault(
                raw.span(),
                format!("{what} must be at least 1"),
                "write the count that the hardware has",
            );
        } else if value > max {
            self.fault(
                raw.span(),
                format!("{what} is {value}; at most {max} can be modelled"),
                "write a smaller count",
            );
        }
        u32::try_from(value).ok().filter(|_| (1..=max).contains(&value))
    }

    fn positive(&mut self, raw: &Spanned<u64>, what: &str) -> Option<u64> {
        let value = *raw.get_ref();
        if value == 0 {
            self.fault(
                raw.span(),
                format!("{what} must be at least 1"),
                "write the count that the hardware has",
            );
        }
        (value > 0).then_some(value)
    }

    /// A text that says something.
    fn text(&mut self, raw: &Spanned<String>, what: &str, help: &str) -> Option<String> {
        let text = raw.get_ref().trim();
        if text.is_empty() {
            self.fault(raw.span(), format!("{what} is empty"), help);
        }
        (!text.is_empty()).then(|| text.into())
    }

    fn source(&mut self, raw: &Spanned<String>) -> Option<String> {
        self.text(
            raw,
            "the source",
            "name the paper and table or the datasheet, or say `assumed: …` or `fitted: …` with the reason",
        )
    }

    fn quantity<T: FromStr<Err = QuantityError>>(&mut self, raw: &Spanned<String>) -> Option<T> {
        match raw.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let help = match &error {
                    QuantityError::Unit { unit, units, .. } => units
                        .split(' ')
                        .find(|known| known.trim_matches('`').eq_ignore_ascii_case(unit))
                        .map_or("check the unit against the key".into(), |known| {
                            format!("did you mean {known}?")
                        }),
                    QuantityError::Form { .. } => "put number and unit in one string".into(),
                    QuantityError::Range { .. } => "write a value inside the range".into(),
                };
                self.fault(raw.span(), error.to_string(), help);
                None
            }
        }
    }

    fn sourced<T: FromStr<Err = QuantityError>>(&mut self, raw: &RawSourced<T>) -> Option<Sourced<T>> {
        let (value, source) = (self.quantity(&raw.value), self.source(&raw.source));
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    /// An optional figure: `None` is a fault, `Some(None)` is an absent figure.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    fn optional<T: FromStr<Err = QuantityError>>(
        &mut self,
        raw: Option<&RawSourced<T>>,
    ) -> Option<Option<Sourced<T>>> {
        match raw {
            None => Some(None),
            Some(raw) => self.sourced(raw).map(Some),
        }
    }

    fn sourced_count(&mut self, raw: &RawCount, what: &str) -> Option<Sourced<u64>> {
        let (value, source) = (self.positive(&raw.value, what), self.source(&raw.source));
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    fn sourced_name(&mut self, raw: &RawName, what: &str) -> Option<Sourced<String>> {
        let value = self.text(&raw.value, what, "write the name");
        let source = self.source(&raw.source);
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    fn profile(&mut self, raw: &RawProfile) -> Option<Profile> {
        let name = self.name(&raw.name);
        let description = self.text(
            &raw.description,
            "the description",
            "say in a sentence what the profile stands for",
        );
        let node = self.count(&raw.technology_nm.value, "the technology node", 1_000);
        let node_source = self.source(&raw.technology_nm.source);
        let weight_bits = self.count(&raw.widths.weight_bits, "`weight-bits`", MAX_BITS);
        let activation_bits = self.count(&raw.widths.activation_bits, "`activation-bits`", MAX_BITS);
        let accumulator_bits = self.count(&raw.widths.accumulator_bits, "`accumulator-bits`", MAX_BITS);
        self.source(&raw.widths.source);
        let engines = self.engines(raw);
        let memories = self.memories(raw);
        let energy = self.energy(&raw.energy);
        let area = match &raw.area {
            None => Some(None),
            Some(area) => self
                .sourced(&area.sram_per_bit)
                .map(|sram_per_bit| Some(SiliconArea { sram_per_bit })),
        };
        let fpga = match &raw.fpga {
            None => Some(None),
            Some(fpga) => self.fpga(fpga).map(Some),
        };
        Some(Profile {
            name: name?,
            description: description?,
            technology_nm: Sourced {
                value: node?,
                source: node_source?,
            },
            activation_bits: activation_bits?,
            accumulator_bits: accumulator_bits?,
            weight_bits: weight_bits?,
            engines: engines?,
            memories: memories?,
            energy: energy?,
            area: area?,
            fpga: fpga?,
        })
    }

    /// A profile's name goes into file names and report rows, so it is plain.
    fn name(&mut self, raw: &Spanned<String>) -> Option<String> {
        let name = raw.get_ref();
        let plain = name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        if !plain {
            self.fault(
                raw.span(),
                format!("`{name}` is not a profile name"),
                "use lower-case letters, digits and single hyphens, as in `eyeriss-65nm`",
            );
        }
        plain.then(|| name.clone())
    }

    /// Reports the second and every later use of a name.
    fn unique(&mut self, names: &[&Spanned<String>], what: &str) {
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|n| n.get_ref() == name.get_ref()) {
                self.fault(
                    name.span(),
                    format!("there is already {what} `{}`", name.get_ref()),
                    "give it another name",
                );
            }
        }
    }

    fn engines(&mut self, raw: &RawProfile) -> Option<Vec<Engine>> {
        if raw.engines.is_empty() {
            self.fault(
                raw.name.span(),
                "the profile has no engine",
                "add `[[engines]]` with a `systolic` or a `slices` table",
            );
            return None;
        }
        let names: Vec<_> = raw.engines.iter().map(|e| &e.get_ref().name).collect();
        self.unique(&names, "an engine");
        for engine in &raw.engines {
            if let (Some(pe_area), None) = (&engine.get_ref().pe_area, &raw.area) {
                self.fault(
                    pe_area.value.span(),
                    "an engine has a `pe-area`, but the profile has no `[area]`",
                    "add `[area]` with `sram-per-bit`, or leave `pe-area` out; area is modelled whole or not at all",
                );
            }
        }
        let engines: Vec<_> = raw.engines.iter().map(|e| self.engine(e)).collect();
        engines.into_iter().collect()
    }

    fn engine(&mut self, spanned: &Spanned<RawEngine>) -> Option<Engine> {
        let raw = spanned.get_ref();
        let name = self.text(&raw.name, "the engine's name", "give the engine a name");
        let clock = self.sourced(&raw.clock);
        let pe_area = self.optional(raw.pe_area.as_ref());
        let systolic = raw.systolic.as_ref().map(|s| self.systolic(s));
        let slices = raw.slices.as_ref().map(|s| self.slices(s));
        let kind = match (systolic, slices) {
            (Some(systolic), None) => systolic.map(EngineKind::Systolic),
            (None, Some(slices)) => slices.map(EngineKind::Slices),
            (None, None) => {
                self.fault(
                    raw.name.span(),
                    "the engine has no array",
                    "add a `systolic` or a `slices` table to it",
                );
                None
            }
            (Some(_), Some(_)) => {
                self.fault(
                    raw.name.span(),
                    "the engine has both a `systolic` and a `slices` table",
                    "make two engines of it; a layer takes the cheaper one",
                );
                None
            }
        };
        Some(Engine {
            name: name?,
            clock: clock?,
            pe_area: pe_area?,
            kind: kind?,
        })
    }

    fn systolic(&mut self, raw: &RawSystolic) -> Option<Systolic> {
        let rows = self.count(&raw.rows, "`rows`", MAX_COUNT);
        let cols = self.count(&raw.cols, "`cols`", MAX_COUNT);
        self.source(&raw.source);
        let dataflow = match raw.dataflow {
            RawDataflow::WeightStationary => Dataflow::WeightStationary,
            RawDataflow::OutputStationary => Dataflow::OutputStationary,
            RawDataflow::InputStationary => Dataflow::InputStationary,
        };
        Some(Systolic {
            rows: rows?,
            cols: cols?,
            dataflow,
        })
    }

    fn slices(&mut self, raw: &RawSlices) -> Option<Slices> {
        let pes = self.count(&raw.pes, "`pes`", MAX_PES);
        let macs_per_pe = self.count(&raw.macs_per_pe, "`macs-per-pe`", MAX_COUNT);
        let cycles_per_entry = self.count(&raw.cycles_per_entry, "`cycles-per-entry`", MAX_COUNT);
        self.source(&raw.source);
        let partition = match raw.partition {
            RawPartition::Contiguous => Partition::Contiguous,
            RawPartition::RowInterleaved => Partition::RowInterleaved,
        };
        let index = self.index(raw.index.as_ref());
        let synchronisation = self.synchronisation(raw);
        let feature_port = match &raw.feature_port {
            None => Some(None),
            Some(port) => self.feature_port(port).map(Some),
        };
        Some(Slices {
            pes: pes?,
            macs_per_pe: macs_per_pe?,
            cycles_per_entry: cycles_per_entry?,
            partition,
            index: index?,
            synchronisation: synchronisation?,
            skip_zero_activations: raw.skip_zero_activations,
            feature_port: feature_port?,
        })
    }

    /// The decoder's encoding; `dense` and an absent index are the same engine.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    fn index(&mut self, raw: Option<&Spanned<Encoding>>) -> Option<Option<Encoding>> {
        let Some(raw) = raw else { return Some(None) };
        match *raw.get_ref() {
            Encoding::Dense => Some(None),
            Encoding::RelativeIndex { bits } if !(1..=16).contains(&bits) => {
                self.fault(
                    raw.span(),
                    format!("a relative index of {bits} bits cannot be built"),
                    "use 1 to 16 bits; published engines use 4 or 5",
                );
                None
            }
            encoding => Some(Some(encoding)),
        }
    }

    fn synchronisation(&mut self, raw: &RawSlices) -> Option<Synchronisation> {
        let at = raw.synchronisation.span();
        let kind = *raw.synchronisation.get_ref();
        let depth = raw.fifo_depth.as_ref();
        if let (RawSynchronisation::Barrier | RawSynchronisation::LayerEnd, Some(depth)) = (kind, depth) {
            self.fault(
                depth.span(),
                "`fifo-depth` without a FIFO",
                "leave it out, or write `synchronisation = \"fifo\"`",
            );
            return None;
        }
        match (kind, raw.partition) {
            (RawSynchronisation::Barrier, _) => Some(Synchronisation::Barrier),
            // the simulator reads `Fifo` of contiguous slices as one meeting at the layer's end, whatever the depth
            (RawSynchronisation::LayerEnd, RawPartition::Contiguous) => {
                Some(Synchronisation::Fifo { depth: 1 })
            }
            (RawSynchronisation::LayerEnd, RawPartition::RowInterleaved) => {
                self.fault(
                    at,
                    "row-interleaved PEs share broadcast columns and cannot run free until the layer's end",
                    "write `synchronisation = \"fifo\"` with a `fifo-depth`, or deal the weights in `contiguous` slices",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::Contiguous) => {
                self.fault(
                    at,
                    "contiguous slices have no columns to queue",
                    "write `synchronisation = \"layer-end\"` or `\"barrier\"`",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::RowInterleaved) => {
                let Some(depth) = depth else {
                    self.fault(
                        at,
                        "a FIFO needs its depth",
                        "add `fifo-depth`, as in `fifo-depth = 8`",
                    );
                    return None;
                };
                self.count(depth, "`fifo-depth`", MAX_COUNT)
                    .map(|depth| Synchronisation::Fifo { depth })
            }
        }
    }

    fn feature_port(&mut self, raw: &RawFeaturePort) -> Option<FeaturePort> {
        let group = self.count(&raw.group, "`group`", MAX_COUNT);
        let words_per_cycle = self.count(&raw.words_per_cycle, "`words-per-cycle`", MAX_COUNT);
        self.source(&raw.source);
        Some(FeaturePort {
            group: group?,
            words_per_cycle: words_per_cycle?,
        })
    }

    fn memories(&mut self, raw: &RawProfile) -> Option<Vec<Memory>> {
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
        self.homes(raw, &memories);
        Some(memories)
    }

    fn memory(&mut self, raw: &RawMemory) -> Option<Memory> {
        let name = self.text(&raw.name, "the memory's name", "give the memory a name");
        let bits_per_cycle = self.sourced_count(&raw.bits_per_cycle, "`bits-per-cycle`");
        let read_per_bit = self.sourced(&raw.read_per_bit);
        let write_per_bit = self.sourced(&raw.write_per_bit);
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
            read_per_bit: read_per_bit?,
            write_per_bit: write_per_bit?,
        })
    }

    fn capacity(&mut self, raw: &Spanned<String>) -> Option<Capacity> {
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

    fn energy(&mut self, raw: &RawEnergy) -> Option<EnergyTable> {
        let mac = self.mac(&raw.mac);
        let decode_per_entry = self.optional(raw.decode_per_entry.as_ref());
        let register_per_mac = self.optional(raw.register_per_mac.as_ref());
        let hop_per_word = self.optional(raw.hop_per_word.as_ref());
        let leakage = self.optional(raw.leakage.as_ref());
        Some(EnergyTable {
            mac: mac?,
            decode_per_entry: decode_per_entry?,
            register_per_mac: register_per_mac?,
            hop_per_word: hop_per_word?,
            leakage: leakage?,
        })
    }

    fn mac(&mut self, raw: &RawMac) -> Option<Sourced<MacEnergy>> {
        let bits = self.count(&raw.bits, "`bits`", MAX_BITS);
        let multiply = self.quantity(&raw.multiply);
        let accumulate = self.quantity(&raw.accumulate);
        let source = self.source(&raw.source);
        let value = MacEnergy {
            bits: bits?,
            multiply: multiply?,
            accumulate: accumulate?,
        };
        Some(Sourced {
            value,
            source: source?,
        })
    }

    fn fpga(&mut self, raw: &RawFpga) -> Option<Fpga> {
        let part = self.sourced_name(&raw.part, "the part");
        let lut = self.positive(&raw.lut, "`lut`");
        let ff = self.positive(&raw.ff, "`ff`");
        self.source(&raw.source);
        Some(Fpga {
            part: part?,
            dsp: raw.dsp,
            lut: lut?,
            ff: ff?,
            bram18: raw.bram18,
            uram: raw.uram,
        })
    }
}
