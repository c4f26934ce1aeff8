//! The product of two activations.

use super::{Context, Operator};
use crate::network::Shape;
use crate::training::dense::matmul::{Real, View, product};
use rayon::prelude::*;

pub(super) struct MatMul {
    transpose_b: bool,
    m: usize,
    k: usize,
    n: usize,
}

impl MatMul {
    pub(super) fn new(transpose_b: bool, a: &Shape, output: &Shape) -> Self {
        let axes = a.0.len();
        Self {
            transpose_b,
            m: a.0[axes - 2],
            k: a.0[axes - 1],
            n: output.0[axes - 1],
        }
    }

    fn b<'a, T>(&self, b: &'a [T]) -> View<'a, T> {
        if self.transpose_b {
            View::new(b, self.n, self.k).t()
        } else {
            View::new(b, self.k, self.n)
        }
    }
}

impl<T: Real> Operator<T> for MatMul {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let (m, k, n) = (self.m, self.k, self.n);
        let [a, b] = [context.inputs[0], context.inputs[1]];
        output
            .par_chunks_mut(m * n)
            .zip(a.par_chunks(m * k))
            .zip(b.par_chunks(k * n))
            .for_each(|((out, a), b)| {
                product(out, View::new(a, m, k), self.b(b), false);
            });
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        let (m, k, n) = (self.m, self.k, self.n);
        let [a, b] = [context.inputs[0], context.inputs[1]];
        if let Some(da) = &mut inputs[0] {
            da.par_chunks_mut(m * k)
                .zip(gradient.par_chunks(m * n))
                .zip(b.par_chunks(k * n))
                .for_each(|((da, d), b)| {
                    product(da, View::new(d, m, n), self.b(b).t(), true);
                });
        }
        if let Some(db) = &mut inputs[1] {
            db.par_chunks_mut(k * n)
                .zip(gradient.par_chunks(m * n))
                .zip(a.par_chunks(m * k))
                .for_each(|((db, d), a)| {
                    let (a, d) = (View::new(a, m, k), View::new(d, m, n));
                    if self.transpose_b {
                        product(db, d.t(), a, true)
                    } else {
                        product(db, a.t(), d, true)
                    }
                });
        }
    }
}
