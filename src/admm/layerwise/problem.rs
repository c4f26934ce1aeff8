//! One layer's problem: the quadratic error of its outputs as a function of its weights.

use super::error::LayerwiseError;
use super::product::{Matrix, dot, product};
use super::statistics::Moments;
use crate::compression::{ConstraintSet, Mask};
use rayon::prelude::*;

/// `E(W) = ½·tr((W − W0)' H (W − W0))` with `H = X'X + λI`, λ a portion of the mean of X'X's diagonal, for every
/// group of a layer; where the compressed network's inputs differ from the dense one's,
/// `E(W) = ½·‖X_c W − X_d W0‖² + λ/2·‖W − W0‖²`.
///
/// Weights are held as everywhere, outputs × inputs, row by row: each row is a system of its own. An input that is
/// zero in every sample has weight 0 and H's diagonal 1.
#[derive(Debug, Clone)]
pub struct Problem {
    outputs: usize,
    inputs: usize,
    grams: Vec<Gram>,
    /// W0, 0 at dead inputs.
    dense: Vec<f64>,
    /// G = H·W* of the unconstrained optimum W*, outputs × inputs.
    pull: Vec<f64>,
    /// G − H·W0, where it is not zero.
    residual: Option<Vec<f64>>,
    /// E(W0) of each row.
    base: Vec<f64>,
    energy: f64,
    /// Inputs that are not dead, and weights that were not pruned before.
    alive: Mask,
    /// mean(`X_d` W0) of each output, and the mean inputs of each group.
    mean_output: Vec<f64>,
}

/// H of one group.
#[derive(Debug, Clone)]
pub(super) struct Gram {
    /// n × n, damped.
    pub(super) h: Vec<f64>,
    /// λ
    pub(super) damping: f64,
    dead: Vec<bool>,
    mean: Vec<f64>,
}

impl Gram {
    fn new(moments: &Moments, damping: f64) -> Self {
        let n = moments.inputs();
        let mut h = moments.gram();
        let diagonal = |i: usize| i * n + i;
        let dead: Vec<bool> = (0..n).map(|i| h[diagonal(i)] <= 0.0).collect();
        let damping = damping * (0..n).map(|i| h[diagonal(i)]).sum::<f64>() / n.max(1) as f64;
        for i in 0..n {
            if dead[i] {
                (0..n).for_each(|j| {
                    h[i * n + j] = 0.0;
                    h[j * n + i] = 0.0;
                });
                h[diagonal(i)] = 1.0;
            } else {
                h[diagonal(i)] += damping;
            }
        }
        Self {
            h,
            damping,
            dead,
            mean: moments.means().0,
        }
    }

    /// √ of the diagonal: what the norm of an input is.
    pub(super) fn norms(&self) -> Vec<f64> {
        let n = self.dead.len();
        (0..n).map(|i| self.h[i * n + i].sqrt()).collect()
    }
}

impl Problem {
    /// The problem of dense `weights` (outputs × inputs) on one [`Moments`] for each group of outputs. `support`
    /// are the weights that may be non-zero; `damping` is λ over the mean of X'X's diagonal, positive.
    ///
    /// # Errors
    /// [`LayerwiseError::NoInputs`], [`LayerwiseError::NotFinite`], [`LayerwiseError::Option`], or
    /// [`LayerwiseError::Shape`] where weights, support and moments do not belong together.
    pub fn new(
        weights: &[f32],
        moments: &[Moments],
        support: Option<&Mask>,
        damping: f64,
    ) -> Result<Self, LayerwiseError> {
        let shape = |message: String| Err(LayerwiseError::Shape { message });
        let Some(inputs) = moments.first().map(Moments::inputs).filter(|&n| n > 0) else {
            return Err(LayerwiseError::NoInputs);
        };
        if moments.iter().any(|m| m.samples() == 0) {
            return Err(LayerwiseError::NoInputs);
        }
        if moments.iter().any(|m| m.inputs() != inputs) {
            return shape("all groups of a layer must have as many inputs".into());
        }
        let outputs = weights.len() / inputs;
        if outputs == 0 || !weights.len().is_multiple_of(inputs) || !outputs.is_multiple_of(moments.len()) {
            return shape(format!(
                "{} weights are not outputs × {inputs} inputs in {} equal groups",
                weights.len(),
                moments.len()
            ));
        }
        if support.is_some_and(|s| (s.rows(), s.cols()) != (outputs, inputs)) {
            return shape(format!("the support must be of {outputs} × {inputs} positions"));
        }
        if !weights.iter().all(|w| w.is_finite()) {
            return Err(LayerwiseError::NotFinite { what: "weights" });
        }
        if !(damping > 0.0 && damping.is_finite()) {
            return Err(LayerwiseError::Option {
                option: "damping",
                message: format!("is {damping}; it must be a positive number, such as 0.01"),
            });
        }
        let grams: Vec<Gram> = moments.par_iter().map(|m| Gram::new(m, damping)).collect();
        let original: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let mut dense = original.clone();
        let mut alive = support.cloned().unwrap_or_else(|| Mask::full(outputs, inputs));
        let per_group = outputs / moments.len();
        for row in 0..outputs {
            for (i, &dead) in grams[row / per_group].dead.iter().enumerate() {
                if dead {
                    dense[row * inputs + i] = 0.0;
                    alive.set(row * inputs + i, false);
                }
            }
        }
        let mut problem = Self {
            outputs,
            inputs,
            grams,
            pull: Vec::new(),
            residual: None,
            base: vec![0.0; outputs],
            energy: 0.0,
            alive,
            mean_output: Vec::new(),
            dense,
        };
        problem.pull = problem.times_gram(&problem.dense);
        problem.tie_to_dense(&original, moments);
        Ok(problem)
    }

    /// Energy and mean of the dense outputs, and the pull towards them where their inputs are others.
    fn tie_to_dense(&mut self, original: &[f64], moments: &[Moments]) {
        let (m, n) = (self.outputs / self.grams.len(), self.inputs);
        let mut residual = vec![0.0; original.len()];
        for (group, moments) in moments.iter().enumerate() {
            let range = group * m * n..(group + 1) * m * n;
            let w0 = &original[range.clone()];
            let mut energies = vec![0.0; m * n];
            let gram = moments.dense_gram();
            product([m, n, n], w0, Matrix::rows(&gram, 0, n), &mut energies);
            let energies: Vec<f64> = rows_dot(w0, &energies, n);
            self.energy += energies.iter().sum::<f64>();
            let (_, mean) = moments.means();
            self.mean_output.extend(w0.chunks_exact(n).map(|w| dot(w, &mean)));
            let Some(cross) = moments.cross() else { continue };
            // (X_c'X_d) W0, row by row W0' (X_d'X_c)
            let mut wanted = vec![0.0; m * n];
            product([m, n, n], w0, Matrix::transposed(cross, 0, n), &mut wanted);
            let dense = &self.dense[range.clone()];
            let mut own = vec![0.0; m * n];
            let gram = moments.gram();
            product([m, n, n], dense, Matrix::rows(&gram, 0, n), &mut own);
            let (to_own, to_wanted) = (rows_dot(dense, &own, n), rows_dot(dense, &wanted, n));
            for row in 0..m {
                let base = 0.5 * to_own[row] - to_wanted[row] + 0.5 * energies[row];
                self.base[group * m + row] = base.max(0.0);
            }
            let dead = &self.grams[group].dead;
            for (i, r) in residual[range.clone()].iter_mut().enumerate() {
                *r = if dead[i % n] { 0.0 } else { wanted[i] - own[i] };
            }
            self.pull[range.clone()]
                .iter_mut()
                .zip(&residual[range])
                .for_each(|(g, r)| *g += r);
        }
        if moments.iter().any(|m| m.cross().is_some()) {
            self.residual = Some(residual);
        }
    }

    /// Outputs m.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs n of each output.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// W0, 0 at inputs that are zero in every sample; outputs × inputs.
    #[must_use]
    pub fn dense(&self) -> &[f64] {
        &self.dense
    }

    /// The weights that may be non-zero.
    #[must_use]
    pub fn alive(&self) -> &Mask {
        &self.alive
    }

    /// Whether the inputs are those of the dense network, so that W0 is the unconstrained optimum.
    #[must_use]
    pub fn is_dense_optimal(&self) -> bool {
        self.residual.is_none()
    }

    pub(super) fn pull(&self) -> &[f64] {
        &self.pull
    }

    pub(super) fn grams(&self) -> &[Gram] {
        &self.grams
    }

    /// H of a row.
    pub(super) fn gram(&self, row: usize) -> &Gram {
        &self.grams[row / self.rows_per_group()]
    }

    pub(super) fn rows_per_group(&self) -> usize {
        self.outputs / self.grams.len()
    }

    /// W·H, group by group.
    pub(super) fn times_gram(&self, weights: &[f64]) -> Vec<f64> {
        let (m, n) = (self.rows_per_group(), self.inputs);
        let mut out = vec![0.0; weights.len()];
        for (group, gram) in self.grams.iter().enumerate() {
            let range = group * m * n..(group + 1) * m * n;
            let h = Matrix::rows(&gram.h, 0, n);
            product([m, n, n], &weights[range.clone()], h, &mut out[range]);
        }
        out
    }

    /// E of each output.
    ///
    /// # Panics
    /// When there is not one weight per position.
    #[must_use]
    pub fn row_objectives(&self, weights: &[f64]) -> Vec<f64> {
        assert_eq!(weights.len(), self.dense.len(), "one weight per position");
        let moved: Vec<f64> = weights.iter().zip(&self.dense).map(|(w, d)| w - d).collect();
        let curved = self.times_gram(&moved);
        let mut rows = rows_dot(&moved, &curved, self.inputs);
        for (row, e) in rows.iter_mut().enumerate() {
            let range = row * self.inputs..(row + 1) * self.inputs;
            let tilt = self
                .residual
                .as_ref()
                .map_or(0.0, |r| dot(&r[range.clone()], &moved[range]));
            *e = 0.5 * *e - tilt + self.base[row];
        }
        rows
    }

    /// E(W).
    ///
    /// # Panics
    /// When there is not one weight per position.
    #[must_use]
    pub fn objective(&self, weights: &[f64]) -> f64 {
        self.row_objectives(weights).iter().sum()
    }

    /// ‖X W − X W0‖² / ‖X W0‖², without λ; of compressed inputs ‖`X_c` W − `X_d` W0‖² over ‖`X_d` W0‖². 0 where the
    /// dense outputs are all zero.
    ///
    /// # Panics
    /// When there is not one weight per position.
    #[must_use]
    pub fn relative_error(&self, weights: &[f64]) -> f64 {
        if self.energy <= 0.0 {
            return 0.0;
        }
        let rows = self.row_objectives(weights);
        let mut squares = 0.0;
        for (row, e) in rows.iter().enumerate() {
            let range = row * self.inputs..(row + 1) * self.inputs;
            let moved: f64 = weights[range.clone()]
                .iter()
                .zip(&self.dense[range])
                .map(|(w, d)| (w - d).powi(2))
                .sum();
            squares += (2.0 * e - self.gram(row).damping * moved).max(0.0);
        }
        squares / self.energy
    }

    /// mean(`X_d` W0 − `X_c` W) of each output: what its bias has to make good.
    ///
    /// # Panics
    /// When there is not one weight per position.
    #[must_use]
    pub fn bias_correction(&self, weights: &[f64]) -> Vec<f64> {
        assert_eq!(weights.len(), self.dense.len(), "one weight per position");
        weights
            .chunks_exact(self.inputs)
            .enumerate()
            .map(|(row, w)| self.mean_output[row] - dot(w, &self.gram(row).mean))
            .collect()
    }

    /// The support of the nearest point of `set` to `values`, among the weights alive.
    ///
    /// # Panics
    /// When there is not one value per position.
    #[must_use]
    pub fn project(&self, set: &dyn ConstraintSet, values: &[f64]) -> Mask {
        // sets act on single precision: scaled to 1, so that small layers do not vanish
        let top = values.iter().fold(0.0f64, |top, v| top.max(v.abs()));
        let scale = if top > 0.0 { 1.0 / top } else { 1.0 };
        let narrow: Vec<f32> = values.iter().map(|&v| (v * scale) as f32).collect();
        set.survivors(&narrow, &self.alive)
    }
}

/// The scalar product of each pair of rows.
fn rows_dot(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    a.chunks_exact(n)
        .zip(b.chunks_exact(n))
        .map(|(a, b)| dot(a, b))
        .collect()
}
