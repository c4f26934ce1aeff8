//! `cosparse` decides how far each layer of a neural network should be pruned and quantised **for the
//! accelerator that will run it**.
//!
//! The modules follow the data, and dependencies point one way:
//! [`units`] and [`document`] ← [`network`], [`hardware`] ← [`compression`] ← [`simulate`], [`training`] ← [`admm`]
//! ← [`codesign`] ← [`report`] ← [`cli`]. Training and ADMM know nothing of hardware; the simulator knows
//! nothing of training; only `codesign` knows both.

pub mod units;

pub mod document;

pub mod network;

pub mod hardware;

pub mod compression;

pub mod simulate;

pub mod training;

pub mod admm;

pub mod codesign;

pub mod report;

pub mod cli;
