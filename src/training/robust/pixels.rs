//! Between the values that a network reads and pixels of 0 to 1.

/// How samples were normalised: a pixel is value · deviation + mean, channel by channel. Without means the values are
/// pixels themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pixels {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// Pixels of a channel.
    plane: usize,
}

impl Pixels {
    /// The scale of samples of a shape `[C, …]` that were normalised by one mean and deviation a channel; empty lists for
    /// samples that were not.
    #[must_use]
    pub fn new(mean: &[f32], deviation: &[f32], shape: &[usize]) -> Self {
        Self {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            plane: shape.iter().skip(1).product(),
        }
    }

    /// Pixels in [0, 1] of inputs.
    #[must_use]
    pub fn of(&self, inputs: &[f32]) -> Vec<f32> {
        self.each(inputs, |v, mean, deviation| {
            (v * deviation + mean).clamp(0.0, 1.0)
        })
    }

    /// Inputs of pixels.
    #[must_use]
    pub fn inputs(&self, pixels: &[f32]) -> Vec<f32> {
        self.each(pixels, |v, mean, deviation| (v - mean) * (1.0 / deviation))
    }

    /// The derivative by pixels, of that by inputs.
    pub(super) fn slopes(&self, by_inputs: &mut [f32]) {
        if !self.mean.is_empty() {
            let scaled = self.each(by_inputs, |v, _, deviation| v / deviation);
            by_inputs.copy_from_slice(&scaled);
        }
    }

    fn each(&self, values: &[f32], change: impl Fn(f32, f32, f32) -> f32) -> Vec<f32> {
        let channels = self.mean.len();
        if channels == 0 {
            return values.iter().map(|&v| change(v, 0.0, 1.0)).collect();
        }
        values
            .chunks(self.plane.max(1))
            .enumerate()
            .flat_map(|(i, plane)| {
                let (mean, deviation) = (self.mean[i % channels], self.deviation[i % channels]);
                plane.iter().map(move |&v| (v, mean, deviation))
            })
            .map(|(v, mean, deviation)| change(v, mean, deviation))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let scale = Pixels::new(&[0.5, 0.25], &[0.5, 0.25], &[2, 1, 2]);
        let inputs = [-1.0, 1.0, -1.0, 3.0, 0.0, 0.5, 0.0, 1.0];
        let pixels = scale.of(&inputs);
        assert_eq!(pixels, [0.0, 1.0, 0.0, 1.0, 0.5, 0.75, 0.25, 0.5]);
        assert_eq!(scale.inputs(&pixels), inputs);
        let mut slopes = [1.0; 4];
        scale.slopes(&mut slopes);
        assert_eq!(slopes, [2.0, 2.0, 4.0, 4.0]);
        assert_eq!(Pixels::default().of(&[0.5, 2.0]), [0.5, 1.0]);
    }
}
