//! `cosparse` decides how far each layer of a neural network should be pruned and quantised **for the
//! accelerator that will run it**.
//!
//! | question | answer |
//! |---|---|
//! | What does a network cost on an accelerator? | [`simulate::network()`]: cycles by cause, energy by component, traffic by memory |
//! | From which pruned portion on does a sparse engine pay? | [`simulate::break_even`]: dense and sparse under one area |
//! | Which weights stay, and on which levels? | [`admm`]: training onto the exact sets of [`compression`] |
//! | How small is the whole network as a file? | [`artefact`]: every layer in its cheapest form, read back and compared |
//! | How many bytes is that? | [`compression::pack`]: the file itself, read back and compared |
//! | How far should each layer go on this accelerator? | [`codesign::run`]: all of it together, on measured accuracy |
//!
//! # Units
//!
//! Cycles, bits and accesses are `u64`, and overflow is an error with a name; cycles are those of the engine's own
//! clock. Energies are pJ, areas µm², clocks MHz, times seconds, accuracies portions of 1 in the library and per
//! cent in reports. Masks and weights are GEMM matrices, output channels × products per output, row-major.
//! `None` means "not modelled" or "not measured", never zero.
//!
//! # Example
//!
//! The file `examples/estimate.rs`:
//!
//! ```
#![doc = include_str!("../examples/estimate.rs")]
//! ```
//!
//! # Modules
//!
//! They follow the data, and dependencies point one way:
//! [`units`] and [`document`] ← [`network`], [`hardware`] ← [`compression`] ← [`simulate`], [`training`] ← [`artefact`], [`admm`]
//! ← [`codesign`] ← [`report`] ← [`scalesim`] ← [`cli`]. Training and ADMM know nothing of hardware; the simulator knows
//! nothing of training; only `codesign` knows both. ARCHITECTURE.md in the repository lists every modelling
//! assumption with the test that holds it.

pub mod units;

pub mod document;

pub mod network;

pub mod hardware;

pub mod compression;

pub mod simulate;

pub mod training;

pub mod artefact;

pub mod admm;

pub mod codesign;

pub mod procedure;
pub mod report;

pub mod scalesim;

pub mod cli;
