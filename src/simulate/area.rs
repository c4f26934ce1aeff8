//! Silicon area of a profile's arrays and buffers.

use super::engine::model;
use crate::hardware::{MemoryKind, Profile};

/// Area in µm².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AreaBreakdown {
    /// PEs of the engine; `None` where its PE area is not given ("not modelled").
    pub pes: Option<f64>,
    /// All on-chip buffers; `None` where the area of an SRAM bit is not given.
    pub sram: Option<f64>,
}

impl AreaBreakdown {
    /// PEs and SRAM, if both are modelled.
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        Some(self.pes? + self.sram?)
    }
}

/// The area of the profile with its engine `engine` alone; `None` if there is no such engine.
#[must_use]
pub fn area(profile: &Profile, engine: usize) -> Option<AreaBreakdown> {
    let engine = profile.engines.get(engine)?;
    let bits: f64 = profile
        .memories
        .iter()
        .map(|m| {
            if let MemoryKind::Buffer { capacity, .. } = m.kind {
                capacity.bits() as f64
            } else {
                0.0
            }
        })
        .sum();
    Some(AreaBreakdown {
        pes: engine
            .pe_area
            .as_ref()
            .map(|a| a.value.value() * model(&engine.kind).pes() as f64),
        sram: profile.area.as_ref().map(|a| a.sram_per_bit.value.value() * bits),
    })
}
