//! Inverted dropout.

use super::{Context, Operator};
use crate::training::dense::matmul::Real;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) struct Dropout {
    /// A draw below this drops the value.
    threshold: u32,
    scale: f64,
    /// Tells apart the draws of several layers under one seed.
    stream: u64,
    kept: Vec<bool>,
}

impl Dropout {
    pub(super) fn new(rate: f32, layer: &str) -> Self {
        let stream = layer.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            threshold: (f64::from(rate) * f64::from(u32::MAX)) as u32,
            scale: 1.0 / (1.0 - f64::from(rate)),
            stream,
            kept: Vec::new(),
        }
    }
}

impl<T: Real> Operator<T> for Dropout {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let Some(seed) = context.seed else {
            output.copy_from_slice(context.inputs[0]);
            return;
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(self.stream);
        self.kept.clear();
        self.kept
            .extend((0..output.len()).map(|_| random.next_u32() >= self.threshold));
        let scale = T::of(self.scale);
        for ((o, &x), &kept) in output.iter_mut().zip(context.inputs[0]).zip(&self.kept) {
            *o = if kept { x * scale } else { T::default() };
        }
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        let Some(dx) = &mut inputs[0] else { return };
        let scale = T::of(self.scale);
        for (i, (dx, &d)) in dx.iter_mut().zip(gradient).enumerate() {
            match context.seed {
                Some(_) if self.kept[i] => *dx += d * scale,
                Some(_) => {}
                None => *dx += d,
            }
        }
    }
}
