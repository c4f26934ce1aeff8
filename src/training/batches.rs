//! Mini-batches: shuffled, shifted, and the same for a seed wherever they are drawn.

use super::data::Samples;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A mini-batch that owns its samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Samples × elements.
    pub inputs: Vec<f32>,
    /// One class per sample.
    pub labels: Vec<u32>,
    /// Samples × classes, empty without a teacher.
    pub teacher: Vec<f32>,
}

/// An endless stream of mini-batches: one pass over all samples after another, each in a fresh order.
/// The last batch of a pass holds what is left.
#[derive(Debug)]
pub struct Batches<'a> {
    samples: &'a Samples,
    teacher: Option<&'a [f32]>,
    size: usize,
    shift: usize,
    random: ChaCha8Rng,
    order: Vec<u32>,
    next: usize,
}

impl<'a> Batches<'a> {
    /// Batches of `size` samples, each shifted by up to `shift` pixels in both directions (zeros move in).
    #[must_use]
    pub fn new(
        samples: &'a Samples,
        teacher: Option<&'a [f32]>,
        size: usize,
        shift: usize,
        seed: u64,
    ) -> Self {
        let order: Vec<u32> = (0..samples.len() as u32).collect();
        let next = order.len();
        Self {
            samples,
            teacher,
            size: size.max(1),
            shift,
            random: ChaCha8Rng::seed_from_u64(seed),
            order,
            next,
        }
    }

    /// Batches of one pass.
    #[must_use]
    pub fn per_pass(&self) -> u64 {
        self.order.len().div_ceil(self.size) as u64
    }

    /// Replaces `batch` by the next one.
    pub fn fill(&mut self, batch: &mut Batch) {
        if self.next >= self.order.len() {
            shuffle(&mut self.order, &mut self.random);
            self.next = 0;
        }
        let end = (self.next + self.size).min(self.order.len());
        let (n, classes) = (
            self.samples.elements(),
            self.teacher.map_or(0, |t| t.len() / self.samples.len().max(1)),
        );
        batch.inputs.clear();
        batch.labels.clear();
        batch.teacher.clear();
        for &i in &self.order[self.next..end] {
            let i = i as usize;
            let sample = &self.samples.inputs[i * n..(i + 1) * n];
            if self.shift == 0 {
                batch.inputs.extend_from_slice(sample);
            } else {
                let reach = self.shift as i64;
                let (dy, dx) = (
                    self.random.random_range(-reach..=reach),
                    self.random.random_range(-reach..=reach),
                );
                shifted(sample, &self.samples.shape, dy, dx, &mut batch.inputs);
            }
            batch.labels.push(self.samples.labels[i]);
            if let Some(t) = self.teacher {
                batch
                    .teacher
                    .extend_from_slice(&t[i * classes..(i + 1) * classes]);
            }
        }
        self.next = end;
    }
}

/// Fisher–Yates, from the end.
fn shuffle(order: &mut [u32], random: &mut impl Rng) {
    for i in (1..order.len()).rev() {
        order.swap(i, random.random_range(0..=i));
    }
}

/// Appends the sample moved down by `dy` and right by `dx`; the last two axes are rows and columns. Samples without
/// two axes are appended as they are.
fn shifted(sample: &[f32], shape: &[usize], dy: i64, dx: i64, out: &mut Vec<f32>) {
    let &[.., h, w] = shape else {
        out.extend_from_slice(sample);
        return;
    };
    let (rows, cols) = (h as i64, w as i64);
    let start = out.len();
    out.resize(start + sample.len(), 0.0);
    for (from, to) in sample
        .chunks_exact(h * w)
        .zip(out[start..].chunks_exact_mut(h * w))
    {
        for y in dy.max(0)..(rows + dy).min(rows) {
            let (x0, x1) = (dx.max(0), (cols + dx).min(cols));
            if x0 < x1 {
                let (source, target) = (((y - dy) * cols + x0 - dx) as usize, (y * cols + x0) as usize);
                let width = (x1 - x0) as usize;
                to[target..target + width].copy_from_slice(&from[source..source + width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(n: usize) -> Samples {
        Samples {
            inputs: (0..n * 4).map(|v| v as f32).collect(),
            labels: (0..n as u32).collect(),
            shape: vec![1, 2, 2],
        }
    }

    /// Each pass visits every sample once.
    #[test]
    fn a_pass_is_a_permutation() {
        let s = samples(10);
        let mut batches = Batches::new(&s, None, 4, 0, 7);
        let mut batch = Batch::default();
        for _ in 0..3 {
            let mut seen = Vec::new();
            for _ in 0..batches.per_pass() {
                batches.fill(&mut batch);
                seen.extend(batch.labels.iter().copied());
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_shift_moves_rows_and_columns() {
        let mut out = Vec::new();
        shifted(&[1.0, 2.0, 3.0, 4.0], &[1, 2, 2], 1, 0, &mut out);
        assert_eq!(out, [0.0, 0.0, 1.0, 2.0]);
        out.clear();
        shifted(&[1.0, 2.0, 3.0, 4.0], &[1, 2, 2], 0, -1, &mut out);
        assert_eq!(out, [2.0, 0.0, 4.0, 0.0]);
        out.clear();
        shifted(&[1.0, 2.0, 3.0, 4.0], &[1, 2, 2], 2, 2, &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
