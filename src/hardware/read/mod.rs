//! From the file's form to a checked [`Profile`]: every fault of a file is collected, none hides another.

mod access;
mod figures;
mod memories;

use super::raw::{RawEnergy, RawFpga, RawMac, RawMultiplier, RawProfile};
use super::resources::Multiplier;
use super::{EnergyTable, Fpga, MacEnergy, Profile, SiliconArea, Sourced};
use crate::document::{Faults, Source};
use figures::MAX_BITS;
pub(super) use figures::{MAX_COUNT, Reader};
use std::path::Path;
use toml::Spanned;

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

impl Reader {
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
            dsp_packing: raw.dsp_packing.unwrap_or(false),
            multiplier: match raw.multiplier {
                None | Some(RawMultiplier::Dsp) => Multiplier::Dsp {
                    packed_accumulator: true,
                },
                Some(RawMultiplier::Lut) => Multiplier::Lut,
                Some(RawMultiplier::Shift) => Multiplier::Shift,
            },
        })
    }
}
