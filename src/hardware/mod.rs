//! The accelerator: a checked profile, read from strict TOML.

mod energy;
mod profile;
mod raw;
mod read;
pub mod resources;
mod schema;
mod summary;
pub mod zoo;

pub use energy::{scale, sram_read_per_bit, supply_voltage};
pub use profile::{
    SiliconArea, Dataflow, Engine, EngineKind, EnergyTable, FeaturePort, Fpga, MacEnergy, Memory, MemoryKind, Partition, Profile, Slices, Sourced,
    Synchronisation, Systolic, TensorKind,
};
pub use read::OpenError;
pub use schema::{schema, template};
pub use summary::SummaryRow;
