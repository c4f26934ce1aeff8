//! Inverted dropout: the choice depends on the step's seed, the layer and the sample's place in the batch, so it
//! is the same on any number of threads.

use super::{Given, Operator, Pass, vectorised};
use crate::training::dense::float::Float;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// See the module.
pub(in crate::training::dense) struct Dropout<T> {
    rate: f32,
    /// The layer's place in its network.
    layer: u64,
    /// Elements of one sample.
    elements: usize,
    /// What every element is multiplied by: 0 or 1/(1 − rate).
    factors: Vec<T>,
}

impl<T: Float> Dropout<T> {
    /// Dropout of the layer at place `layer`.
    pub(in crate::training::dense) fn new(rate: f32, layer: usize, elements: usize) -> Self {
        Self {
            rate,
            layer: layer as u64,
            elements,
            factors: Vec::new(),
        }
    }
}

fn multiply<T: Float>(output: &mut [T], input: &[T], factors: &[T]) {
    vectorised(
        #[inline(always)]
        || {
            for ((o, &x), &f) in output.iter_mut().zip(input).zip(factors) {
                *o = x * f;
            }
        },
    );
}

impl<T: Float> Operator<T> for Dropout<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        if !pass.training || self.rate <= 0.0 {
            output.copy_from_slice(inputs[0]);
            self.factors.clear();
            return Ok(());
        }
        let len = self.elements;
        let keep = T::of(1.0 / (1.0 - f64::from(self.rate)));
        let threshold = (f64::from(self.rate) * 4_294_967_296.0) as u32;
        let layer = self.layer << 32;
        self.factors.resize(output.len(), T::ZERO);
        let tasks = output
            .par_chunks_mut(len)
            .zip(inputs[0].par_chunks(len))
            .zip(self.factors.par_chunks_mut(len));
        tasks
            .enumerate()
            .for_each(|(sample, ((output, input), factors))| {
                let mut random = ChaCha8Rng::seed_from_u64(pass.seed);
                random.set_stream(layer | sample as u64);
                factors.iter_mut().for_each(|f| {
                    *f = if random.next_u32() < threshold {
                        T::ZERO
                    } else {
                        keep
                    }
                });
                multiply(output, input, factors);
            });
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        if self.factors.is_empty() {
            d_input.copy_from_slice(given.d_output);
        } else {
            multiply(d_input, given.d_output, &self.factors);
        }
    }
}
