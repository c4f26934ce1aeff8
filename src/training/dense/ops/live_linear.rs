//! `y = W x + b` on the last axis, computed with the rows and columns of W that keep weights.

use super::{Given, Operator, Pass, add_to, share, vectorised};
use crate::training::dense::float::Float;
use crate::training::dense::live::LiveGroup;
use crate::training::dense::matmul::{Matrix, matmul};
use rayon::prelude::*;

/// Tasks that share the rows of a mini-batch, or the rows of the weight gradient.
const TASKS: usize = 4;

/// See the module.
pub(in crate::training::dense) struct LiveLinear<T> {
    features: usize,
    out_features: usize,
    live: LiveGroup,
    /// The weights that are left, `rows × columns`, and the values that they were packed from.
    weights: Vec<T>,
    revision: Option<u64>,
    /// Inputs, derivatives by the output and the weight gradient, without dead rows and columns.
    inputs: Vec<T>,
    slopes: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Float> LiveLinear<T> {
    /// `live` is the only group of the matrix.
    pub(in crate::training::dense) fn new([out_features, features]: [usize; 2], live: LiveGroup) -> Self {
        Self {
            features,
            out_features,
            live,
            weights: Vec::new(),
            revision: None,
            inputs: Vec::new(),
            slopes: Vec::new(),
            gradient: Vec::new(),
        }
    }
}

/// Copies the chosen elements of every row of `width`.
fn gather<T: Float>(from: &[T], width: usize, chosen: &[u32], to: &mut Vec<T>) {
    to.clear();
    let rows = from.chunks_exact(width);
    to.extend(rows.flat_map(|row| chosen.iter().map(|&i| row[i as usize])));
}

impl<T: Float> Operator<T> for LiveLinear<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (n, k) = (self.live.rows.len(), self.live.columns.len());
        if self.revision != Some(pass.revision) {
            let (rows, features) = (&self.live.rows, self.features);
            let alive = rows
                .iter()
                .map(|&row| &parameters[0][row as usize * features..][..features]);
            self.weights.clear();
            self.weights
                .extend(alive.flat_map(|row| self.live.columns.iter().map(|&c| row[c as usize])));
            self.revision = Some(pass.revision);
        }
        gather(inputs[0], self.features, &self.live.columns, &mut self.inputs);
        let (this, bias, width) = (&*self, parameters.get(1).copied(), self.out_features);
        let samples = output.len() / width;
        let rows = share(samples, TASKS, 16);
        let tasks = output.par_chunks_mut(rows * width).enumerate();
        tasks.for_each(|(i, output)| {
            let m = output.len() / width;
            match bias {
                Some(bias) => output
                    .chunks_exact_mut(width)
                    .for_each(|row| row.copy_from_slice(bias)),
                None => output.fill(T::ZERO),
            }
            pass.scratch.with(m * n, |product| {
                let input = Matrix::rows(&this.inputs, i * rows * k, k);
                let weights = Matrix::transposed(&this.weights, 0, k);
                matmul([m, k, n], input, weights, product, (0, n), false);
                for (row, product) in output.chunks_exact_mut(width).zip(product.chunks_exact(n.max(1))) {
                    let alive = this.live.rows.iter().zip(product);
                    alive.for_each(|(&to, &v)| row[to as usize] += v);
                }
            });
        });
        Ok(())
    }

    fn backward(
        &mut self,
        pass: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    ) {
        let (n, k) = (self.live.rows.len(), self.live.columns.len());
        let (features, width) = (self.features, self.out_features);
        gather(given.d_output, width, &self.live.rows, &mut self.slopes);
        let m = given.d_output.len() / width;
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.resize(n * k, T::ZERO);
        let this = &*self;
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            let rows = share(m, TASKS, 16);
            let tasks = d_input.par_chunks_mut(rows * features).enumerate();
            tasks.for_each(|(i, d_input)| {
                let m = d_input.len() / features;
                d_input.fill(T::ZERO);
                pass.scratch.with(m * k, |product| {
                    let slopes = Matrix::rows(&this.slopes, i * rows * n, n);
                    let weights = Matrix::rows(&this.weights, 0, k);
                    matmul([m, n, k], slopes, weights, product, (0, k), false);
                    let rows = d_input
                        .chunks_exact_mut(features)
                        .zip(product.chunks_exact(k.max(1)));
                    for (row, product) in rows {
                        let alive = this.live.columns.iter().zip(product);
                        alive.for_each(|(&to, &v)| row[to as usize] = v);
                    }
                });
            });
        }
        // each task owns some rows of the gradient and sums over the whole batch: no partial sums
        let rows = share(n, TASKS, 16);
        gradient
            .par_chunks_mut((rows * k).max(1))
            .enumerate()
            .for_each(|(i, part)| {
                let d_cols = Matrix::transposed(&this.slopes, i * rows, n);
                let inputs = Matrix::rows(&this.inputs, 0, k);
                matmul([part.len() / k, m, k], d_cols, inputs, part, (0, k), false);
            });
        d_parameters[0].fill(T::ZERO);
        for (row, gradient) in self.live.rows.iter().zip(gradient.chunks_exact(k.max(1))) {
            let to = &mut d_parameters[0][*row as usize * features..][..features];
            let alive = self.live.columns.iter().zip(gradient);
            alive.for_each(|(&c, &g)| to[c as usize] = g);
        }
        self.gradient = gradient;
        if let Some(d_bias) = d_parameters.get_mut(1) {
            vectorised(
                #[inline(always)]
                || {
                    d_bias.fill(T::ZERO);
                    let rows = given.d_output.chunks_exact(width);
                    rows.for_each(|row| add_to(d_bias, row));
                },
            );
        }
    }
}
