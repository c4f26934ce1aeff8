//! The operators. One file per family; [`operator`] is the only other place that names them.

mod activation;
mod combine;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod matmul;
mod norm;
mod pool;
mod softmax;

use super::matmul::Real;
use crate::network::{Layer, Op, Shape};

/// What an operator sees: tensors are samples × elements, row-major.
pub(super) struct Context<'a, T> {
    pub(super) inputs: &'a [&'a [T]],
    pub(super) parameters: &'a [&'a [T]],
    pub(super) samples: usize,
    /// Set while training.
    pub(super) seed: Option<u64>,
}

/// One operator. `backward` *adds* to the inputs' gradients (`None`: not needed) and to the parameters' gradients.
pub(super) trait Operator<T: Real>: Send {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]);

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        output: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        parameters: &mut [Vec<T>],
    );

    /// Mean and variance of the last training batch, for running statistics.
    fn statistics(&self) -> Option<[&[T]; 2]> {
        None
    }
}

/// The operator of a layer; an input has none.
pub(super) fn operator<T: Real>(layer: &Layer, inputs: &[&Shape]) -> Option<Box<dyn Operator<T>>> {
    Some(match &layer.op {
        Op::Input => return None,
        Op::Conv2d(c) => Box::new(conv::Conv::new(*c, inputs[0], &layer.output)),
        Op::Linear { out_features, .. } => Box::new(linear::Linear::new(*out_features, inputs[0])),
        Op::MatMul { transpose_b } => Box::new(matmul::MatMul::new(*transpose_b, inputs[0], &layer.output)),
        Op::Pool(p) => Box::new(pool::Pool::new(*p, inputs[0], &layer.output)),
        Op::GlobalAveragePool => Box::new(pool::GlobalAverage::new(inputs[0])),
        Op::Activation(a) => Box::new(activation::Activation(*a)),
        Op::BatchNorm { eps } => Box::new(norm::BatchNorm::new(*eps, inputs[0])),
        Op::LayerNorm { eps } => Box::new(norm::LayerNorm::new(*eps, inputs[0])),
        Op::Add => Box::new(combine::Add),
        Op::Concat { axis } => Box::new(combine::Concat::new(*axis, inputs)),
        Op::Flatten => Box::new(combine::Same),
        Op::Softmax => Box::new(softmax::Softmax::new(inputs[0])),
        Op::Embedding { vocabulary, features } => Box::new(embedding::Embedding::new(*vocabulary, *features)),
        Op::Dropout { rate } => Box::new(dropout::Dropout::new(*rate, &layer.name)),
    })
}

/// Samples that one thread takes at a time. Fixed: partial sums are added chunk by chunk.
pub(super) const CHUNK: usize = 8;
