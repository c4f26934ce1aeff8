//! FPGA resources of an engine with the profile's buffers, and whether they fit the part.
//!
//! The forms were read off synthesis runs of single PEs (Yosys 0.23, `synth_xilinx`; the points stand in
//! `tests/data/fpga_synthesis_points.csv`). DSP and block RAM counts are exact on all of them. Look-up tables and
//! flip-flops are within 15 % on average; they leave out control, the memory controller and routing, so a design
//! near the limit of these two may fail to close.
//!
//! Systolic arrays and slices are those PEs, repeated. The forms of all other engines are *composed* of the same pieces
//! and of adder trees, multiplexers and queues ([`mod@self`]'s `pieces`): no such engine was synthesised as a whole.

mod fabric;
mod memory;
mod packing;
pub(super) mod pieces;

pub use fabric::Fabric;
pub(super) use fabric::registers;
pub use memory::{bram18, bram36, lutram, uram};
pub use packing::{Packing, packing};
pub use pieces::xnor_popcount;

use super::{Engine, Fpga, MemoryKind, Profile};
use crate::units::{Overflow, add, mul};
use std::fmt;

/// The FPGA families whose forms are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 7 series, with DSP48E1.
    Series7,
    /// `UltraScale+`, with DSP48E2 and `UltraRAM`.
    UltraScalePlus,
}

impl Family {
    /// The family of a part, as `xc7z020` or `xczu9eg`; `None` for one whose forms are not known.
    #[must_use]
    pub fn of(part: &str) -> Option<Self> {
        let part = part.to_ascii_lowercase();
        let plus = ["xcku", "xcvu", "xcau"].iter().any(|p| part.starts_with(p)) && part.contains('p');
        if part.starts_with("xc7") {
            Some(Self::Series7)
        } else if part.starts_with("xczu") || part.starts_with("xck26") || plus {
            Some(Self::UltraScalePlus)
        } else {
            None // an xcku or xcvu part without a `p` is UltraScale, whose slices differ
        }
    }

    /// Bits of the wider operand of a DSP slice; the narrower takes 18.
    const fn wide_port(self) -> u32 {
        match self {
            Self::Series7 => 25,
            Self::UltraScalePlus => 27,
        }
    }
}

/// What multiplies in a PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplier {
    /// DSP slices where the operands are wide enough to earn one.
    Dsp {
        /// Whether the accumulator is packed into the slice, as vendor tools do; else it is logic.
        packed_accumulator: bool,
    },
    /// Look-up tables only.
    Lut,
    /// Shifters: weights are signed powers of two, a sign and an exponent.
    Shift,
}

/// Widths of a PE in bits, each 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Weight.
    pub weight: u32,
    /// Activation.
    pub activation: u32,
    /// Accumulator.
    pub accumulator: u32,
}

/// The stream decoder of a sparse PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    /// Bits of a relative index, 1 to 16; the activation window has 2^bits entries.
    pub index_bits: u32,
    /// Entries of the PE's queue; 0 is none.
    pub fifo_depth: u32,
}

/// Counts of each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// DSP slices.
    pub dsp: u64,
    /// Look-up tables.
    pub lut: u64,
    /// Flip-flops.
    pub ff: u64,
    /// Block RAM in 18-kbit halves.
    pub bram18: u64,
    /// `UltraRAM` blocks.
    pub uram: u64,
}

impl Resources {
    pub(super) fn plus(self, other: Self) -> Result<Self, Overflow> {
        Ok(Self {
            dsp: add(self.dsp, other.dsp)?,
            lut: add(self.lut, other.lut)?,
            ff: add(self.ff, other.ff)?,
            bram18: add(self.bram18, other.bram18)?,
            uram: add(self.uram, other.uram)?,
        })
    }

    pub(super) fn times(self, n: u64) -> Result<Self, Overflow> {
        Ok(Self {
            dsp: mul(self.dsp, n)?,
            lut: mul(self.lut, n)?,
            ff: mul(self.ff, n)?,
            bram18: mul(self.bram18, n)?,
            uram: mul(self.uram, n)?,
        })
    }
}

/// One kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// DSP slices.
    Dsp,
    /// Look-up tables.
    Lut,
    /// Flip-flops.
    Ff,
    /// Block RAM halves.
    Bram18,
    /// `UltraRAM` blocks.
    Uram,
}

impl Resource {
    /// All of them, in the order of data sheets.
    pub const ALL: [Self; 5] = [Self::Dsp, Self::Lut, Self::Ff, Self::Bram18, Self::Uram];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dsp => "DSP",
            Self::Lut => "LUT",
            Self::Ff => "FF",
            Self::Bram18 => "BRAM18",
            Self::Uram => "URAM",
        }
    }
}

impl Resources {
    /// The count of one resource.
    #[must_use]
    pub const fn of(self, resource: Resource) -> u64 {
        match resource {
            Resource::Dsp => self.dsp,
            Resource::Lut => self.lut,
            Resource::Ff => self.ff,
            Resource::Bram18 => self.bram18,
            Resource::Uram => self.uram,
        }
    }
}

/// What a design takes of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feasibility {
    /// What the design takes.
    pub used: Resources,
    /// What the part has.
    pub available: Resources,
    /// The resource of which the largest portion is taken; ties go to the one named first in [`Resource`].
    pub binding: Resource,
    /// Used over available of the binding resource; `None` if the part has none of it.
    pub binding_portion: Option<f64>,
    /// Whether every resource suffices.
    pub fits: bool,
}

impl Feasibility {
    fn of(used: Resources, fpga: &Fpga) -> Self {
        let available = Resources {
            dsp: fpga.dsp,
            lut: fpga.lut,
            ff: fpga.ff,
            bram18: fpga.bram18,
            uram: fpga.uram,
        };
        let portion = |r: Resource| match used.of(r) {
            0 => 0.0,
            used => used as f64 / available.of(r) as f64,
        };
        let mut binding = (Resource::Dsp, portion(Resource::Dsp));
        for resource in Resource::ALL {
            let portion = portion(resource);
            if portion > binding.1 {
                binding = (resource, portion);
            }
        }
        Self {
            used,
            available,
            binding: binding.0,
            binding_portion: binding.1.is_finite().then_some(binding.1),
            fits: Resource::ALL.iter().all(|&r| used.of(r) <= available.of(r)),
        }
    }

    /// The resources of which the part has too few, in the order of [`Resource::ALL`]; none if the design fits.
    pub fn short(&self) -> impl Iterator<Item = Resource> + '_ {
        let short = |r: &Resource| self.used.of(*r) > self.available.of(*r);
        Resource::ALL.into_iter().filter(short)
    }
}

/// What fits, or what is missing: `fits: DSP binds, 192 of 220 (87 %)`, `does not fit: needs 300 DSP, the part has 220`.
impl fmt::Display for Feasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binding = self.binding;
        if self.fits {
            let portion = 100.0 * self.binding_portion.unwrap_or(0.0);
            let (used, available) = (self.used.of(binding), self.available.of(binding));
            return write!(
                f,
                "fits: {} binds, {used} of {available} ({portion:.0} %)",
                binding.name()
            );
        }
        f.write_str("does not fit: needs ")?;
        for (i, resource) in self.short().enumerate() {
            let (used, name, available) = (
                self.used.of(resource),
                resource.name(),
                self.available.of(resource),
            );
            let comma = if i > 0 { "; " } else { "" };
            write!(f, "{comma}{used} {name}, the part has {available}")?;
        }
        write!(f, "; {} binds", binding.name())
    }
}

/// Why the resources of an engine are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// Not an FPGA profile.
    #[error("profile `{profile}` has no `[fpga]` table: name the part and its resources there")]
    NotAnFpga {
        /// The profile.
        profile: String,
    },
    /// A part whose forms are not known.
    #[error(
        "the resource forms of part `{part}` are not known: 7-series (`xc7...`) and UltraScale+ parts are"
    )]
    UnknownPart {
        /// The part.
        part: String,
    },
    /// A decoder whose forms are not known.
    #[error(
        "engine `{engine}`: the resources of a decoder for this encoding are not known: a relative index is"
    )]
    UnknownDecoder {
        /// The engine.
        engine: String,
    },
    /// A count left the range of `u64`.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl Profile {
    /// The resources that `engine` takes with all buffers of this profile, at the profile's widths, see
    /// [`Self::resources_at`].
    ///
    /// # Errors
    /// As [`Self::resources_at`].
    pub fn resources(&self, engine: &Engine) -> Result<Feasibility, ResourcesError> {
        self.resources_at(engine, self.weight_bits)
    }

    /// The resources that `engine` takes with all buffers of this profile, its PEs built for weights of `weight_bits`
    /// bits. The engines of an FPGA profile are alternatives, one bitstream each: they do not share the part.
    ///
    /// Every PE multiplies `weight_bits` × `activation_bits` of the profile. Accumulators are taken to be packed
    /// into the DSP slices, as vendor tools do, unless several products share one (`dsp-packing`). Buffers keep their
    /// capacity and ports.
    ///
    /// # Errors
    /// If the profile is no FPGA, if the forms of its part or of the engine's decoder are not known, or if a
    /// count overflows.
    pub fn resources_at(&self, engine: &Engine, weight_bits: u32) -> Result<Feasibility, ResourcesError> {
        let Some(fpga) = &self.fpga else {
            return Err(ResourcesError::NotAnFpga {
                profile: self.name.clone(),
            });
        };
        let part = &fpga.part.value;
        let family = Family::of(part).ok_or_else(|| ResourcesError::UnknownPart { part: part.clone() })?;
        let fabric = Fabric {
            family,
            widths: Widths {
                weight: weight_bits.clamp(1, 64),
                activation: self.activation_bits,
                accumulator: self.accumulator_bits,
            },
            multiplier: fpga.multiplier,
            packing: fpga.dsp_packing,
        };
        let mut used = engine.kind.resources(&engine.name, &fabric)?;
        for memory in &self.memories {
            if let MemoryKind::Buffer { capacity, .. } = memory.kind {
                let width = memory.bits_per_cycle.value;
                let shape = (capacity.bits().div_ceil(width), width);
                used = used.plus(memory::buffer(memory.fpga_memory, family, fpga, shape)?)?;
            }
        }
        Ok(Feasibility::of(used, fpga))
    }
}

/// DSP slices of one multiplier: none for a 1-bit operand nor up to 4 × 4 bits (look-up tables are smaller),
/// one slice while the operands fit its 25 × 18 (7 series) or 27 × 18 signed multiplier, a grid of slices above.
#[must_use]
pub fn dsp_per_pe(family: Family, weight_bits: u32, activation_bits: u32) -> u64 {
    let (small, large) = (weight_bits.min(activation_bits), weight_bits.max(activation_bits));
    if small <= 1 || large <= 4 {
        return 0;
    }
    let wide = family.wide_port();
    // a slice that is not the last in its row multiplies one bit less: its operand is unsigned
    let pieces = |bits: u32, width: u32| {
        if bits <= width {
            1
        } else {
            (bits - 1).div_ceil(width - 1)
        }
    };
    let grid = |a: u32, b: u32| u64::from(a) * u64::from(b);
    grid(pieces(large, wide), pieces(small, 18)).min(grid(pieces(large, 18), pieces(small, wide)))
}

/// One multiply-accumulate PE.
#[must_use]
pub fn dense_pe(family: Family, widths: Widths, multiplier: Multiplier) -> Resources {
    let accumulator = u64::from(widths.accumulator);
    let dsp = match multiplier {
        Multiplier::Dsp { .. } => dsp_per_pe(family, widths.weight, widths.activation),
        Multiplier::Lut | Multiplier::Shift => 0,
    };
    let packed = matches!(
        multiplier,
        Multiplier::Dsp {
            packed_accumulator: true
        }
    );
    match (dsp, packed) {
        (0, _) => {
            let product = if multiplier == Multiplier::Shift && widths.weight > 1 {
                pieces::shifter(widths)
            } else {
                pieces::lut_multiplier(family, widths)
            };
            let lut = accumulator + product;
            Resources {
                lut,
                ff: accumulator,
                ..Resources::default()
            }
        }
        (_, true) => Resources {
            dsp,
            ..Resources::default()
        },
        (_, false) => Resources {
            dsp,
            lut: accumulator,
            ff: accumulator,
            ..Resources::default()
        },
    }
}

/// One PE behind a (weight, relative index) stream: queue, index adder, activation window, registered operands
/// and the multiply-accumulate.
#[must_use]
pub fn sparse_pe(family: Family, widths: Widths, decoder: Decoder, multiplier: Multiplier) -> Resources {
    let [weight, activation, accumulator, index] = [
        widths.weight,
        widths.activation,
        widths.accumulator,
        decoder.index_bits,
    ]
    .map(u64::from);
    let mac = dense_pe(family, widths, multiplier);
    // LUT RAM: 4 tables hold 32 activations of 6 bits, 8 tables 64 of 7 bits
    let window = if index <= 5 {
        4 * activation.div_ceil(6)
    } else {
        8 * activation.div_ceil(7) * (1 << (index.min(16) - 6))
    };
    let queue = pieces::queue(weight + index, decoder.fifo_depth);
    // a packed slice takes in the weight's register and the accumulator
    let packed = mac.dsp > 0 && mac.ff == 0;
    let registers = if packed {
        activation
    } else {
        accumulator + weight + activation
    };
    let lut = mac.lut + window + index.min(4) + queue.lut;
    Resources {
        dsp: mac.dsp,
        lut,
        ff: index + 1 + registers + queue.ff,
        ..Resources::default()
    }
}
