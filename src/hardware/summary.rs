//! A profile as rows for `profile show`; nothing here prints.

use super::{MemoryKind, Ports, Profile, TensorKind};

/// One figure of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// The part of the profile, as `engine dense`.
    pub section: String,
    /// What the figure is.
    pub name: &'static str,
    /// The figure with its unit, or "not modelled".
    pub value: String,
    /// Where it comes from; structural figures have theirs in [`super::citations()`].
    pub source: Option<String>,
}

impl Profile {
    /// All figures of the profile, section by section in the order of the file; what the profile leaves out says
    /// "not modelled".
    #[must_use]
    pub fn summary(&self) -> Vec<SummaryRow> {
        let mut rows = Rows::default();
        rows.plain("profile", "description", &self.description);
        rows.add(
            "profile",
            "technology",
            format!("{} nm", self.technology_nm.value),
            Some(&self.technology_nm.source),
        );
        rows.plain(
            "profile",
            "weight / activation / accumulator bits",
            format!(
                "{} / {} / {}",
                self.weight_bits, self.activation_bits, self.accumulator_bits
            ),
        );
        self.engine_rows(&mut rows);
        self.memory_rows(&mut rows);
        self.energy_rows(&mut rows);
        rows.optional(
            "area",
            "SRAM bit",
            self.area
                .as_ref()
                .map(|a| (a.sram_per_bit.value.to_string(), a.sram_per_bit.source.as_str())),
        );
        if let Some(fpga) = &self.fpga {
            rows.add("fpga", "part", &fpga.part.value, Some(&fpga.part.source));
            rows.plain(
                "fpga",
                "DSP / LUT / FF / BRAM18 / URAM",
                format!(
                    "{} / {} / {} / {} / {}",
                    fpga.dsp, fpga.lut, fpga.ff, fpga.bram18, fpga.uram
                ),
            );
        }
        rows.0
    }

    fn engine_rows(&self, rows: &mut Rows) {
        for engine in &self.engines {
            let section = format!("engine {}", engine.name);
            rows.add(
                &section,
                "clock",
                engine.clock.value.to_string(),
                Some(&engine.clock.source),
            );
            rows.optional(
                &section,
                "PE area",
                engine
                    .pe_area
                    .as_ref()
                    .map(|a| (a.value.to_string(), a.source.as_str())),
            );
            for (what, value) in engine.kind.describe() {
                rows.plain(&section, what, value);
            }
        }
    }

    fn memory_rows(&self, rows: &mut Rows) {
        for memory in &self.memories {
            let section = format!("memory {}", memory.name);
            let kind = match memory.kind {
                MemoryKind::Buffer {
                    capacity,
                    double_buffered,
                } => {
                    let halves = if double_buffered { ", double-buffered" } else { "" };
                    format!("{} KiB{halves}", capacity.value() / 8192.0)
                }
                MemoryKind::Dram { burst_bits } => format!("DRAM, bursts of {burst_bits} bits"),
            };
            rows.plain(&section, "kind", kind);
            let holds: Vec<_> = memory.holds.iter().map(|&tensor| word(tensor)).collect();
            rows.plain(&section, "holds", holds.join(", "));
            let port = format!("{} bits a cycle", memory.bits_per_cycle.value);
            rows.add(&section, "port", port, Some(&memory.bits_per_cycle.source));
            match memory.ports {
                None => {}
                Some(Ports::Shared { banks: 1 }) => rows.plain(&section, "ports", "1, shared by both sides"),
                Some(Ports::Shared { banks }) => {
                    rows.plain(
                        &section,
                        "ports",
                        format!("1 in each of {banks} banks, shared by both sides"),
                    );
                }
                Some(Ports::Separate) => rows.plain(&section, "ports", "2, one for each side"),
            }
            if let Some(dram) = &memory.rows {
                rows.plain(
                    &section,
                    "rows",
                    format!(
                        "{} bytes, {} banks, {} cycles to open one",
                        dram.row_bytes, dram.banks, dram.row_miss_cycles
                    ),
                );
                if let Some(energy) = &dram.activate_energy {
                    rows.add(
                        &section,
                        "open a row",
                        energy.value.to_string(),
                        Some(&energy.source),
                    );
                }
            }
            rows.add(
                &section,
                "read a bit",
                memory.read_per_bit.value.to_string(),
                Some(&memory.read_per_bit.source),
            );
            rows.add(
                &section,
                "write a bit",
                memory.write_per_bit.value.to_string(),
                Some(&memory.write_per_bit.source),
            );
        }
    }

    fn energy_rows(&self, rows: &mut Rows) {
        let mac = &self.energy.mac.value;
        rows.add(
            "energy",
            "multiply-accumulate",
            format!("{} + {} at {} bits", mac.multiply, mac.accumulate, mac.bits),
            Some(&self.energy.mac.source),
        );
        for (name, figure) in [
            ("decode an entry", &self.energy.decode_per_entry),
            ("registers a MAC", &self.energy.register_per_mac),
            ("hop a word", &self.energy.hop_per_word),
        ] {
            rows.optional(
                "energy",
                name,
                figure.as_ref().map(|f| (f.value.to_string(), f.source.as_str())),
            );
        }
        let leakage = self.energy.leakage.as_ref();
        rows.optional(
            "energy",
            "leakage",
            leakage.map(|f| (f.value.to_string(), f.source.as_str())),
        );
    }
}

fn word(tensor: TensorKind) -> &'static str {
    match tensor {
        TensorKind::Weights => "weights",
        TensorKind::Indices => "indices",
        TensorKind::Inputs => "inputs",
        TensorKind::Outputs => "outputs",
    }
}

#[derive(Default)]
struct Rows(Vec<SummaryRow>);

impl Rows {
    fn add(&mut self, section: &str, name: &'static str, value: impl Into<String>, source: Option<&str>) {
        let (section, value, source) = (section.into(), value.into(), source.map(Into::into));
        self.0.push(SummaryRow {
            section,
            name,
            value,
            source,
        });
    }

    fn plain(&mut self, section: &str, name: &'static str, value: impl Into<String>) {
        self.add(section, name, value, None);
    }

    fn optional(&mut self, section: &str, name: &'static str, figure: Option<(String, &str)>) {
        match figure {
            Some((value, source)) => self.add(section, name, value, Some(source)),
            None => self.plain(section, name, "not modelled"),
        }
    }
}
