//! One step of the chain: which kernel runs, and the memory it needs.

use super::conv::Convolution;
use super::lanes::{Buffer, LANES, Lanes};
use super::linear::Linear;
use super::pointwise;
use super::pool::Pooling;
use super::scratch::Scratch;
use super::slots::Slots;
use crate::network::op::Activation;

/// One step of the chain.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Convolution(Convolution),
    Linear(Linear),
    Pooling(Pooling),
    Activation(Activation, Elements),
    /// With its rate and its place in the network.
    Dropout(f32, usize, Elements),
}

/// The elements of a stage that works element by element.
#[derive(Debug, Clone)]
pub(super) struct Elements {
    /// How many there are.
    pub(super) count: usize,
    /// Those that some later weight reads.
    pub(super) live: Vec<u32>,
}

/// How a block passes forward.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Dropout drops, by the seed of the step and the place of the block's first sample in the batch.
    Train { seed: u64, first_sample: usize },
    /// Dropout passes everything on.
    Evaluate,
}

impl Stage {
    pub(super) fn slots(&self) -> Option<&Slots> {
        match self {
            Self::Convolution(c) => Some(&c.slots),
            Self::Linear(l) => Some(&l.slots),
            _ => None,
        }
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Convolution(c) => c.pooled().iter().product(),
            Self::Linear(l) => l.starts.len() - 1,
            Self::Pooling(p) => p.output.iter().product(),
            Self::Activation(_, elements) | Self::Dropout(.., elements) => elements.count,
        }
    }

    /// The stage's memory, all zero; `first` when no derivative by its input is wanted.
    pub(super) fn scratch(&self, first: bool) -> Scratch {
        let zeros = Buffer::zeros;
        let outputs = self.outputs();
        let mut scratch = Scratch {
            output: zeros(outputs),
            gradient: zeros(outputs),
            ..Scratch::default()
        };
        match self {
            Self::Convolution(c) => {
                let padded = c.padded();
                if padded != c.input {
                    scratch.padded = zeros(padded.iter().product());
                    scratch.padded_gradient = zeros(if first { 0 } else { padded.iter().product() });
                }
                if c.pool.is_some() {
                    let band = c.output[1] / c.pooled()[1] * c.output[2];
                    scratch.unpooled = zeros(if first { band } else { c.output.iter().product() });
                    scratch.winners = vec![[0; LANES]; outputs];
                }
                scratch.sums = zeros(if first { c.slots.weight.1.len() } else { 0 });
            }
            Self::Pooling(_) => scratch.winners = vec![[0; LANES]; outputs],
            Self::Dropout(..) => scratch.factors = zeros(outputs),
            Self::Linear(_) | Self::Activation(..) => {}
        }
        scratch
    }

    pub(super) fn forward(&self, values: &[f32], mode: Mode, input: &[Lanes], scratch: &mut Scratch) {
        match self {
            Self::Convolution(c) => c.forward(values, input, scratch),
            Self::Linear(l) => l.forward(values, input, &mut scratch.output),
            Self::Pooling(p) => p.forward(input, scratch),
            Self::Activation(kind, of) => pointwise::activate(*kind, &of.live, input, &mut scratch.output),
            Self::Dropout(rate, place, of) => match mode {
                Mode::Train { seed, first_sample } => {
                    pointwise::draw(*rate, &of.live, seed, *place, first_sample, &mut scratch.factors);
                    pointwise::multiply(&of.live, input, &scratch.factors, &mut scratch.output);
                }
                Mode::Evaluate => scratch.output.copy_from_slice(input),
            },
        }
    }

    /// From `scratch.gradient` to the derivatives by the kept values and, if wanted, by the input (overwritten).
    pub(super) fn backward(
        &self,
        values: &[f32],
        input: &[Lanes],
        scratch: &mut Scratch,
        to: Option<&mut [Lanes]>,
        partial: &mut [f32],
    ) {
        match (self, to) {
            (Self::Convolution(c), to) => c.backward(values, input, scratch, to, partial),
            (Self::Linear(l), to) => l.backward(values, input, &scratch.gradient, to, partial),
            (_, None) => {}
            (Self::Pooling(p), Some(to)) => p.backward(scratch, to),
            (Self::Activation(kind, of), Some(to)) => {
                pointwise::activate_backward(*kind, &of.live, input, &scratch.gradient, to);
            }
            (Self::Dropout(.., of), Some(to)) => {
                pointwise::multiply(&of.live, &scratch.gradient, &scratch.factors, to);
            }
        }
    }
}
