//! The operators: one file each, behind [`Operator`].

mod activation;
mod add;
mod batch_norm;
mod concat;
mod conv;
mod depthwise;
mod direct;
mod dropout;
mod embedding;
mod global_average;
mod heads;
mod layer_norm;
mod linear;
mod live_linear;
mod masked_mean;
mod masked_softmax;
mod permute;
mod pool;
mod position;
mod product;
mod softmax;

pub(super) use activation::Activate;
pub(super) use add::Add;
pub(super) use batch_norm::BatchNorm;
pub(super) use concat::Concat;
pub(super) use conv::Conv;
pub(super) use depthwise::Depthwise;
pub(super) use direct::Direct;
pub(super) use dropout::Dropout;
pub(super) use embedding::Embedding;
pub(super) use global_average::GlobalAverage;
pub(super) use heads::Heads;
pub(super) use layer_norm::LayerNorm;
pub(super) use linear::Linear;
pub(super) use live_linear::LiveLinear;
pub(super) use masked_mean::MaskedMean;
pub(super) use masked_softmax::MaskedSoftmax;
pub(super) use permute::Permute;
pub(super) use pool::Pooling;
pub(super) use position::Position;
pub(super) use product::Product;
pub(super) use softmax::Softmax;

use super::float::Float;
use super::scratch::Scratch;

/// What all layers of one pass share.
pub(super) struct Pass<'a, T> {
    /// Samples of the mini-batch.
    pub(super) samples: usize,
    /// Batch statistics and dropout, or running statistics and none.
    pub(super) training: bool,
    /// Seeds dropout.
    pub(super) seed: u64,
    /// Changes whenever the parameters' values do: weights packed for another revision are packed again.
    pub(super) revision: u64,
    /// Work memory.
    pub(super) scratch: &'a Scratch<T>,
}

/// What the backward pass of a layer may read.
pub(super) struct Given<'a, T> {
    /// The inputs of the forward pass.
    pub(super) inputs: &'a [&'a [T]],
    /// The layer's parameters.
    pub(super) parameters: &'a [&'a [T]],
    /// The output of the forward pass.
    pub(super) output: &'a [T],
    /// The derivative of the loss by the output.
    pub(super) d_output: &'a [T],
}

/// One layer on a whole mini-batch. Tensors are sample by sample, in the layout that the plan chose.
pub(super) trait Operator<T: Float>: Send {
    /// Writes every element of `output`.
    ///
    /// # Errors
    /// What is wrong with the values of the inputs.
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String>;

    /// Writes every element of the derivatives by the inputs that are asked for and by the parameters. Follows a
    /// forward pass in training mode on the same values.
    fn backward(
        &mut self,
        pass: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    );

    /// Mean and unbiased variance per channel of the last training batch, for running statistics.
    fn batch_statistics(&self) -> Option<[&[T]; 2]> {
        None
    }
}

/// Elements that one task of an element-wise loop handles.
const BLOCK: usize = 1 << 14;

/// Samples (or rows) of one task when `total` are shared out: a fixed number of tasks, whatever the threads, so
/// that partial sums over tasks are always the same.
fn share(total: usize, tasks: usize, least: usize) -> usize {
    total.div_ceil(tasks).max(least).max(1)
}

/// Runs a loop compiled for the widest vector instructions of this machine.
#[inline(always)]
fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// `sum[i] += term[i]`
#[inline(always)]
fn add_to<T: Float>(sum: &mut [T], term: &[T]) {
    for (s, &t) in sum.iter_mut().zip(term) {
        *s += t;
    }
}

/// Adds up `parts`, each as long as `sum`, in their order.
fn sum_parts<T: Float>(sum: &mut [T], parts: &[T]) {
    let len = sum.len();
    vectorised(
        #[inline(always)]
        || {
            sum.fill(T::ZERO);
            for part in parts.chunks_exact(len) {
                add_to(sum, part);
            }
        },
    );
}
