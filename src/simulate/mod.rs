//! The simulator: what a layer costs on a profile. No I/O, no random state, nothing of training.
//!
//! Two models, one answer: `analytic` needs only a density ([`Weights::Density`]), `cycle` takes the real mask
//! ([`Weights::Pattern`]) and is exact. The tick model that steps every PE every cycle lives beside the tests
//! and is the law.
//!
//! [`layer`] takes the cheapest engine of a profile, [`layer_on`] a given one; [`array()`] leaves the memories
//! out. [`break_even`] compares a dense and a sparse engine under one area.

pub mod break_even;

mod area;
mod cost;
mod count;
mod energy;
mod engine;
mod error;
mod estimator;
mod explain;
mod fusion;
mod layer;
mod mapping;
mod memory;
mod moving;
mod network;
mod spatial;
mod stored;
mod work;

pub use area::{AreaBreakdown, area};
pub use cost::{Causes, EnergyBreakdown, LayerCost, RowUse, StoredBits, Traffic};
pub use engine::{
    Accesses, ArrayBits, ArrayRun, Folds, LoopForm, RowStationaryMapping, SliceEntries, Transfers,
    follows_activation_width, nm_products, row_wise_products, slice_entries,
};
pub use error::SimulateError;
pub use estimator::{Estimator, Total};
pub use explain::{Cause, Change, Explanation, explain};
pub use fusion::{Fusion, Step, Steps, fuse};
pub use layer::{LayerOutcome, Pick, array, array_interval, interval, layer, layer_on};
pub use mapping::Mappings;
pub use memory::{TileOrder, Tiling};
pub use moving::MEMORY;
pub use network::{
    LayerExpectation, LayerSetting, NetworkCost, NetworkLayer, Surroundings, expect_layer, network,
    network_fused, work_of,
};
pub use spatial::Spatial;
pub use work::{ActivationBits, Fused, LayerWork, Mapping, Weights};
