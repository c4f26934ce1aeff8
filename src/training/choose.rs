//! Which executor runs a network.

use super::dense::DenseExecutor;
use super::executor::{Executor, TrainingError};
use super::parameters::{Parameters, Role};
use super::sparse::SparseExecutor;
use crate::network::Network;

/// Below this portion of multiply-accumulates the kept weights alone are faster than matrix products of all
/// (measured on LeNet-5, see BENCHMARKS.md).
const SPARSE_BELOW: f64 = 0.3;

/// The executor that runs these parameters fastest: kept weights only where enough are pruned and the network is a
/// chain that the sparse executor runs, all weights otherwise.
///
/// # Errors
/// When the parameters are not those of the network.
pub fn executor_for(network: &Network, parameters: Parameters) -> Result<Box<dyn Executor>, TrainingError> {
    let kept: f64 = network
        .weighted()
        .filter_map(|l| {
            Some((
                l.nest?.macs() as f64,
                parameters
                    .list
                    .iter()
                    .find(|p| p.role == Role::Weight && p.layer == l.name)?,
            ))
        })
        .map(|(macs, p)| macs * p.support.as_ref().map_or(1.0, crate::compression::Mask::density))
        .sum();
    if kept < SPARSE_BELOW * network.macs() as f64
        && let Ok(sparse) = SparseExecutor::new(network, parameters.clone())
    {
        return Ok(Box::new(sparse));
    }
    Ok(Box::new(DenseExecutor::new(network, parameters)?))
}
