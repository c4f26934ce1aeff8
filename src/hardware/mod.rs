//! The accelerator: a checked profile, read from strict TOML.

mod profile;

pub use profile::{
    SiliconArea, Dataflow, Engine, EngineKind, EnergyTable, FeaturePort, Fpga, MacEnergy, Memory, MemoryKind, Partition, Profile, Slices, Sourced,
    Synchronisation, Systolic, TensorKind,
};
