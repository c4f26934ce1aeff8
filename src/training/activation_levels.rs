//! Activations on levels: steps fitted on calibration samples, and accuracy measured with them.

use super::data::Samples;
use super::dense::DenseExecutor;
use super::executor::TrainingError;
use super::fit::{Measured, elements_of, score};
use super::parameters::Parameters;
use crate::network::Network;
use rayon::prelude::*;

/// Samples that run at a time.
const BATCH: usize = 64;
/// Bins of the histogram that a step is fitted on.
const BINS: usize = 2048;
/// Steps that are tried, from the one that reaches the largest value down to a fifth of it.
const TRIED: u32 = 81;

/// The levels of what one layer reads: whole multiples of a step, zero among them, and clipped at both ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationLevels {
    /// The layer whose input lies on them.
    pub layer: String,
    /// Bits of a code: 0 … 2^bits − 1 steps, or −2^(bits−1) … 2^(bits−1) − 1 where values below zero occur.
    pub bits: u8,
    /// The distance of two levels; positive.
    pub step: f32,
    /// Whether values below zero occur.
    pub signed: bool,
}

impl ActivationLevels {
    /// The lowest and the highest code.
    fn range(bits: u8, signed: bool) -> (f32, f32) {
        let bits = i32::from(bits);
        if signed {
            (-(2f32.powi(bits - 1)), 2f32.powi(bits - 1) - 1.0)
        } else {
            (0.0, 2f32.powi(bits) - 1.0)
        }
    }

    /// The level nearest to a value; of two the one away from zero. A NaN stays NaN.
    #[must_use]
    pub fn nearest(&self, value: f32) -> f32 {
        let (least, most) = Self::range(self.bits, self.signed);
        (value / self.step).round().clamp(least, most) * self.step
    }

    /// The step of least squared error over a histogram of magnitudes up to `largest`.
    fn fit(layer: &str, bits: u8, signed: bool, histogram: &Histogram) -> Self {
        let (_, most) = Self::range(bits, signed);
        let of = |tried: u32| {
            let reach = histogram.largest * (1.0 - 0.01 * tried as f32);
            Self {
                layer: layer.into(),
                bits,
                step: (reach / most.max(1.0)).max(f32::MIN_POSITIVE),
                signed,
            }
        };
        let error = |levels: &Self| histogram.squared_error(|v| levels.nearest(v));
        let all: Vec<(f64, Self)> = (0..TRIED).map(of).map(|l| (error(&l), l)).collect();
        let best = all.into_iter().reduce(|a, b| if b.0 < a.0 { b } else { a });
        best.map_or_else(|| of(0), |(_, levels)| levels)
    }
}

/// How often magnitudes occur.
struct Histogram {
    largest: f32,
    counts: Vec<u64>,
}

impl Histogram {
    fn new(largest: f32) -> Self {
        Self {
            largest: if largest > 0.0 { largest } else { 1.0 },
            counts: vec![0; BINS],
        }
    }

    fn add(&mut self, values: &[f32]) {
        for v in values {
            let bin = (v.abs() / self.largest * BINS as f32) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    fn squared_error(&self, level: impl Fn(f32) -> f32) -> f64 {
        let bins = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        bins.map(|(bin, &n)| {
            // zeros are exact, and most of them
            let centre = if bin == 0 {
                0.0
            } else {
                (bin as f32 + 0.5) / BINS as f32 * self.largest
            };
            n as f64 * f64::from(centre - level(centre)).powi(2)
        })
        .sum()
    }
}

/// Fits the levels of every weighted layer's input, `bits` bits each, to what the network reads on calibration samples.
///
/// # Errors
/// When the parameters or the samples do not fit the network, there are no samples, or `bits` is not 2 to 16.
pub fn activation_levels(
    network: &Network,
    parameters: &Parameters,
    calibration: &Samples,
    bits: u8,
) -> Result<Vec<ActivationLevels>, TrainingError> {
    if !(2..=16).contains(&bits) {
        return Err(TrainingError::Option {
            option: "activation-bits",
            message: format!("must be 2 to 16; it is {bits}"),
        });
    }
    let mut executor = DenseExecutor::new(network, parameters.clone())?;
    let elements = elements_of(calibration, BATCH)?;
    let layers: Vec<&str> = network.weighted().map(|l| l.name.as_str()).collect();
    let mut ends = vec![(0.0f32, 0.0f32); layers.len()];
    each_input(
        &mut executor,
        calibration,
        elements,
        &layers,
        &mut |layer, values| {
            let (low, high) = values
                .par_chunks(1 << 14)
                .map(|chunk| {
                    chunk
                        .iter()
                        .fold((0.0f32, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)))
                })
                .reduce(|| (0.0, 0.0), |a, b| (a.0.min(b.0), a.1.max(b.1)));
            ends[layer] = (ends[layer].0.min(low), ends[layer].1.max(high));
        },
    )?;
    let mut histograms: Vec<Histogram> = ends.iter().map(|(l, h)| Histogram::new(h.max(-l))).collect();
    each_input(
        &mut executor,
        calibration,
        elements,
        &layers,
        &mut |layer, values| {
            histograms[layer].add(values);
        },
    )?;
    let fitted = layers.iter().zip(&ends).zip(&histograms);
    Ok(fitted
        .map(|((layer, ends), histogram)| ActivationLevels::fit(layer, bits, ends.0 < 0.0, histogram))
        .collect())
}

/// Gives every weighted layer's input on all samples, batch by batch.
fn each_input(
    executor: &mut DenseExecutor,
    samples: &Samples,
    elements: usize,
    layers: &[&str],
    see: &mut dyn FnMut(usize, &[f32]),
) -> Result<(), TrainingError> {
    for inputs in samples.inputs.chunks(BATCH * elements) {
        executor.begin(inputs, inputs.len() / elements)?;
        for (i, layer) in layers.iter().enumerate() {
            see(i, executor.input_of(layer)?);
        }
    }
    Ok(())
}

/// Accuracy and cross-entropy with the inputs of the named layers on their levels, as an accelerator of that width
/// computes them; sums stay exact.
///
/// # Errors
/// When the parameters or the samples do not fit the network, or there are no samples.
pub fn measure_on_levels(
    network: &Network,
    parameters: &Parameters,
    samples: &Samples,
    levels: &[ActivationLevels],
) -> Result<Measured, TrainingError> {
    let mut executor = DenseExecutor::new(network, parameters.clone())?;
    let elements = elements_of(samples, BATCH)?;
    let mut outputs = Vec::new();
    for inputs in samples.inputs.chunks(BATCH * elements) {
        executor.begin(inputs, inputs.len() / elements)?;
        for levels in levels {
            executor.change_input(&levels.layer, &mut |values| {
                values
                    .par_chunks_mut(1 << 14)
                    .for_each(|chunk| chunk.iter_mut().for_each(|v| *v = levels.nearest(*v)));
            })?;
        }
        outputs.extend_from_slice(executor.finish()?);
    }
    Ok(score(&outputs, &samples.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn levels(bits: u8, step: f32, signed: bool) -> ActivationLevels {
        ActivationLevels {
            layer: "a".into(),
            bits,
            step,
            signed,
        }
    }

    #[test]
    fn by_hand() {
        let unsigned = levels(2, 0.5, false);
        let got: Vec<f32> = [-1.0, 0.2, 0.25, 0.6, 1.4, 9.0]
            .map(|v| unsigned.nearest(v))
            .to_vec();
        assert_eq!(got, [0.0, 0.0, 0.5, 0.5, 1.5, 1.5]);
        let signed = levels(2, 0.5, true);
        let got: Vec<f32> = [-9.0, -0.6, 0.1, 0.4, 9.0].map(|v| signed.nearest(v)).to_vec();
        assert_eq!(got, [-1.0, -0.5, 0.0, 0.5, 0.5]);
    }

    proptest! {
        /// Levels stay where they are, values inside the range move by half a step at most, zero stays zero.
        #[test]
        fn nearest_levels(bits in 2u8..9, signed: bool, step in 0.01f32..2.0, v in -3.0f32..3.0) {
            let levels = levels(bits, step, signed);
            let at = levels.nearest(v);
            prop_assert_eq!(levels.nearest(at), at);
            prop_assert_eq!(levels.nearest(0.0), 0.0);
            let (least, most) = ActivationLevels::range(bits, signed);
            if v >= least * step && v <= most * step {
                prop_assert!((at - v).abs() <= 0.5001 * step);
            }
        }

        /// More bits never fit worse.
        #[test]
        fn more_bits_fit_better(values in prop::collection::vec(0.0f32..4.0, 4..60)) {
            let mut histogram = Histogram::new(values.iter().copied().fold(0.0, f32::max));
            histogram.add(&values);
            let error = |bits| {
                let levels = ActivationLevels::fit("a", bits, false, &histogram);
                histogram.squared_error(|v| levels.nearest(v))
            };
            let errors: Vec<f64> = [2, 4, 8, 12].map(error).to_vec();
            prop_assert!(errors.windows(2).all(|w| w[1] <= w[0] + 1e-9), "{errors:?}");
        }
    }
}
