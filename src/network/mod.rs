//! The network: a DAG of layers whose edges carry tensors. Shapes are per sample; the batch is an argument of
//! whoever runs or simulates the network.

pub mod op;

mod builder;
mod error;
mod graph;
mod nest;
mod shape;
pub mod workload;
pub mod zoo;

pub use builder::NetworkBuilder;
pub use error::NetworkError;
pub use graph::{Layer, LayerId, Network};
pub use nest::{Gemm, LoopNest};
pub use op::Op;
pub use shape::Shape;
pub use workload::Workload;
