//! The accelerator: a checked profile, read from strict TOML.

mod citations;
mod energy;
mod engine;
mod profile;
mod raw;
mod read;
pub mod resources;
mod schema;
mod summary;
pub mod zoo;

pub use citations::{Citation, citations};
pub use energy::{scale, sram_read_per_bit, supply_voltage};
pub use engine::{
    BitFusion, BitSerial, Dataflow, DotProduct, EngineKind, FeaturePort, Flexible, Partition, RowStationary,
    RunLength, Scatter, SerialOperand, Slices, Structured, Synchronisation, Systolic,
};
pub use profile::{
    DramRows, EnergyTable, Engine, Fpga, FpgaMemory, MacEnergy, Memory, MemoryKind, Ports, Profile,
    SiliconArea, Sourced, TensorKind,
};
pub use read::OpenError;
pub use schema::{schema, template};
pub use summary::SummaryRow;
