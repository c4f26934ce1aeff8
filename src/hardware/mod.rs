//! The accelerator: a checked profile, read from strict TOML.

mod profile;
mod raw;
mod read;
pub mod zoo;

pub use profile::{
    Dataflow, EnergyTable, Engine, EngineKind, FeaturePort, Fpga, MacEnergy, Memory, MemoryKind, Partition,
    Profile, SiliconArea, Slices, Sourced, Synchronisation, Systolic, TensorKind,
};
pub use read::OpenError;
