//! The accelerator: a checked profile, read from strict TOML.

mod citations;
mod energy;
mod profile;
mod raw;
mod read;
pub mod resources;
mod schema;
mod summary;
pub mod zoo;

pub use citations::{Citation, citations};
pub use energy::{scale, sram_read_per_bit, supply_voltage};
pub use profile::{
    Dataflow, EnergyTable, Engine, EngineKind, FeaturePort, Fpga, MacEnergy, Memory, MemoryKind, Partition,
    Profile, SiliconArea, Slices, Sourced, Synchronisation, Systolic, TensorKind,
};
pub use read::OpenError;
pub use schema::{schema, template};
pub use summary::SummaryRow;
