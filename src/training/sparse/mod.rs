//! Training that costs what the kept weights cost.
//!
//! At a hundredth of its weights, a pruned network needs a hundredth of the products, but a dense executor still
//! makes them all. [`SparseExecutor`] turns each layer into a list of its kept weights and runs only those, for
//! chains of convolutions, linear layers, pooling, activations, flattening and dropout. Weights of outputs that no
//! later weight reads are left out too.
//!
//! # Layout
//! Samples are taken in blocks of sixteen, and an activation is `[channel, row, column, sample]`: whatever the
//! pattern of the weights, each product is sixteen samples wide. A block passes forward and backward through the
//! whole network on one thread; its derivatives are kept apart and added in the order of the blocks, so a step
//! gives the same bits on any number of threads.

#![allow(
    clippy::inline_always,
    reason = "a kernel takes the vector instructions of its caller only if inlined"
)]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over the samples of a block read and write several arrays"
)]

mod block;
mod conv;
mod executor;
mod lanes;
mod linear;
mod plan;
mod pointwise;
mod pool;
mod scratch;
mod slots;
mod stage;
mod tile;

pub use executor::SparseExecutor;
