//! Second moments of a layer's inputs, added up sample by sample in double precision.

use super::error::LayerwiseError;
use super::product::add_outer;

/// What calibration inputs leave behind: X'X of the inputs that the compressed layer will see and, where they
/// differ from those of the dense network, the moments that tie both together.
///
/// A layer's objective and its solvers need nothing else of the inputs, so any number of samples streams through
/// in constant memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    inputs: usize,
    samples: u64,
    /// `X_c'X_c`, above the diagonal blocks only until it is read.
    own: Vec<f64>,
    /// `X_c'X_d` and `X_d'X_d`, when dense inputs are given beside the compressed ones.
    pair: Option<Pair>,
    own_sum: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pair {
    cross: Vec<f64>,
    dense: Vec<f64>,
    dense_sum: Vec<f64>,
}

/// Rows that are taken to double precision at a time.
const ROWS: usize = 512;

impl Moments {
    /// Of no samples yet. `paired` says that each sample will come with its inputs in the dense network.
    #[must_use]
    pub fn new(inputs: usize, paired: bool) -> Self {
        let square = || vec![0.0; inputs * inputs];
        Self {
            inputs,
            samples: 0,
            own: square(),
            pair: paired.then(|| Pair {
                cross: square(),
                dense: square(),
                dense_sum: vec![0.0; inputs],
            }),
            own_sum: vec![0.0; inputs],
        }
    }

    /// The inputs n of a sample.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Samples so far: rows of X (of a convolution: output positions).
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Adds samples × n inputs, and the same samples in the dense network where the moments are paired.
    ///
    /// # Errors
    /// [`LayerwiseError::Shape`] when the values are not whole samples, or a pair is missing or too much;
    /// [`LayerwiseError::NotFinite`].
    pub fn add(&mut self, own: &[f32], dense: Option<&[f32]>) -> Result<(), LayerwiseError> {
        let n = self.inputs;
        let shape = |message: String| Err(LayerwiseError::Shape { message });
        if n == 0 || !own.len().is_multiple_of(n) {
            return shape(format!("{} input values are not whole samples of {n}", own.len()));
        }
        if dense.is_some() != self.pair.is_some() || dense.is_some_and(|d| d.len() != own.len()) {
            return shape("compressed and dense inputs must come in pairs of one size, or not at all".into());
        }
        let finite = |x: &[f32]| x.iter().all(|v| v.is_finite());
        if !finite(own) || !dense.is_none_or(finite) {
            return Err(LayerwiseError::NotFinite {
                what: "calibration inputs",
            });
        }
        let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        for (i, own) in own.chunks(ROWS * n).enumerate() {
            let rows = own.len() / n;
            let own = wide(own);
            add_outer([rows, n], &own, &own, &mut self.own, true);
            add_rows(&mut self.own_sum, &own);
            if let (Some(pair), Some(dense)) = (&mut self.pair, dense) {
                let dense = wide(&dense[i * ROWS * n..][..rows * n]);
                add_outer([rows, n], &own, &dense, &mut pair.cross, false);
                add_outer([rows, n], &dense, &dense, &mut pair.dense, true);
                add_rows(&mut pair.dense_sum, &dense);
            }
            self.samples += rows as u64;
        }
        Ok(())
    }

    /// X'X of the layer's own inputs, n × n.
    #[must_use]
    pub fn gram(&self) -> Vec<f64> {
        mirrored(&self.own, self.inputs)
    }

    /// `X_c'X_d`, where dense inputs came beside the layer's own.
    #[must_use]
    pub fn cross(&self) -> Option<&[f64]> {
        self.pair.as_ref().map(|p| p.cross.as_slice())
    }

    /// X'X of the dense network's inputs: the layer's own where there are no others.
    #[must_use]
    pub fn dense_gram(&self) -> Vec<f64> {
        self.pair
            .as_ref()
            .map_or_else(|| self.gram(), |p| mirrored(&p.dense, self.inputs))
    }

    /// The mean input of the compressed and of the dense network.
    #[must_use]
    pub fn means(&self) -> (Vec<f64>, Vec<f64>) {
        let scale = 1.0 / self.samples.max(1) as f64;
        let mean = |sum: &[f64]| sum.iter().map(|s| s * scale).collect::<Vec<_>>();
        let own = mean(&self.own_sum);
        let dense = self
            .pair
            .as_ref()
            .map_or_else(|| own.clone(), |p| mean(&p.dense_sum));
        (own, dense)
    }
}

fn add_rows(sum: &mut [f64], rows: &[f64]) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
}

/// The whole of a symmetric matrix whose part above the diagonal is known.
fn mirrored(upper: &[f64], n: usize) -> Vec<f64> {
    let mut whole = upper.to_vec();
    for i in 0..n {
        for j in 0..i {
            whole[i * n + j] = whole[j * n + i];
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_hand() {
        let mut m = Moments::new(2, true);
        m.add(&[1.0, 2.0, 3.0, 4.0], Some(&[1.0, 0.0, 0.0, 1.0]))
            .expect("two samples");
        assert_eq!(m.gram(), [10.0, 14.0, 14.0, 20.0]);
        assert_eq!(m.cross(), Some(&[1.0, 3.0, 2.0, 4.0][..]));
        assert_eq!(m.dense_gram(), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(m.means(), (vec![2.0, 3.0], vec![0.5, 0.5]));
        assert_eq!(m.samples(), 2);
    }

    #[test]
    fn batches_change_nothing() {
        let x: Vec<f32> = (0..3 * 700).map(|i| ((i * 31) % 17) as f32).collect();
        let mut one = Moments::new(3, false);
        one.add(&x, None).expect("700 samples");
        let mut many = Moments::new(3, false);
        for part in x.chunks(3 * 41) {
            many.add(part, None).expect("whole samples");
        }
        assert_eq!(one, many);
    }

    #[test]
    fn wrong_inputs_are_refused() {
        let mut m = Moments::new(2, false);
        assert!(matches!(m.add(&[1.0], None), Err(LayerwiseError::Shape { .. })));
        assert!(matches!(
            m.add(&[1.0, 2.0], Some(&[1.0, 2.0])),
            Err(LayerwiseError::Shape { .. })
        ));
        assert!(matches!(
            m.add(&[1.0, f32::NAN], None),
            Err(LayerwiseError::NotFinite { .. })
        ));
    }
}
