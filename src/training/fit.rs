//! The training loop: shuffled mini-batches, augmentation, gradients, updates.

use super::aim::{Aim, Plain};
use super::data::Samples;
use super::executor::{Executor, Loss, Step, TrainingError};
use super::loss::cross_entropy;
use super::optimiser::{Optimiser, OptimiserOptions};
use super::parameters::Parameters;
use super::schedule::Schedule;
use super::term::{Gradient, Term};
use crate::network::workload::{OptimiserSpec, ScheduleSpec, TrainingSpec};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How a network is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Passes over the samples; 0.4 is four tenths of the mini-batches of one pass, rounded to whole ones.
    pub epochs: f64,
    /// Samples of a mini-batch. The last one of a pass may be shorter.
    pub batch: usize,
    /// The update rule.
    pub optimiser: OptimiserOptions,
    /// The learning rate over the run.
    pub schedule: Schedule,
    /// What is minimised.
    pub loss: Loss,
    /// Each sample is moved by up to this many pixels in rows and in columns, zeros filling the gap.
    pub augment_shift: usize,
    /// Seeds the order of the samples, their shifts and dropout.
    pub seed: u64,
}

/// Where a run stands after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// The mini-batch's mean loss, without penalties.
    pub loss: f32,
    /// The learning rate.
    pub rate: f32,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitReport {
    /// Steps done.
    pub steps: u64,
    /// The mean loss of the run's last steps: one pass over the samples, or the whole run if it was shorter.
    pub loss: f64,
}

/// Streams of the run's random numbers; the pass is added.
const ORDER: u64 = 1 << 32;
const SHIFTS: u64 = 2 << 32;
const FLIPS: u64 = 3 << 32;

/// Trains `executor` on `samples`.
///
/// `teacher` holds samples × classes outputs for [`Loss::Distilled`], of the samples as they are, not shifted.
/// `penalty` may add to the gradients before each update, such as ADMM's ρ(W − Z + U); positions outside a support
/// stay zero whatever it adds. `progress` is called after every step.
///
/// # Errors
/// [`TrainingError::NotFinite`] naming the step (from 1) of this run; [`TrainingError::Option`] or
/// [`TrainingError::Batch`] for options and samples that cannot be followed.
pub fn fit(
    executor: &mut dyn Executor,
    samples: &Samples,
    teacher: Option<&[f32]>,
    options: &FitOptions,
    penalty: &mut dyn FnMut(&Parameters, &mut [Vec<f32>]),
    progress: &mut dyn FnMut(Progress),
) -> Result<FitReport, TrainingError> {
    fit_with(
        executor,
        samples,
        teacher,
        options,
        &mut Gradient(penalty),
        progress,
    )
}

/// Trains as [`fit`] does, with a term beside the loss that may also move the parameters after each update.
///
/// # Errors
/// As [`fit`].
pub fn fit_with(
    executor: &mut dyn Executor,
    samples: &Samples,
    teacher: Option<&[f32]>,
    options: &FitOptions,
    term: &mut dyn Term,
    progress: &mut dyn FnMut(Progress),
) -> Result<FitReport, TrainingError> {
    fit_for(&Plain, executor, samples, teacher, options, term, progress)
}

/// Trains as [`fit_with`] does, for an aim that decides what is learned from each mini-batch.
///
/// # Errors
/// As [`fit`], and what the aim cannot do.
pub fn fit_for(
    aim: &dyn Aim,
    executor: &mut dyn Executor,
    samples: &Samples,
    teacher: Option<&[f32]>,
    options: &FitOptions,
    term: &mut dyn Term,
    progress: &mut dyn FnMut(Progress),
) -> Result<FitReport, TrainingError> {
    let mut batches = Batches::new(samples, teacher, options)?;
    let per_epoch = samples.labels.len().div_ceil(options.batch) as u64;
    let steps = (options.epochs * per_epoch as f64).round() as u64;
    let mut optimiser = Optimiser::new(options.optimiser, executor.parameters());
    let mut gradients = executor.parameters().zeros();
    let (mut sum, mut counted) = (0.0, 0u64);
    for step in 0..steps {
        batches.load(step / per_epoch, (step % per_epoch) as usize);
        let loss = aim
            .gradients(executor, &batches.step(options, step), &mut gradients)
            .map_err(|e| {
                if let TrainingError::NotFinite { .. } = e {
                    TrainingError::NotFinite { step: step + 1 }
                } else {
                    e
                }
            })?;
        term.gradient(executor.parameters(), &mut gradients);
        let rate = options.schedule.rate(step, steps);
        optimiser.step(executor.parameters_mut(), &gradients, rate);
        term.proximal(executor.parameters_mut(), rate);
        if steps - step <= per_epoch {
            sum += f64::from(loss);
            counted += 1;
        }
        progress(Progress {
            step: step + 1,
            steps,
            loss,
            rate,
        });
    }
    Ok(FitReport {
        steps,
        loss: if counted == 0 { 0.0 } else { sum / counted as f64 },
    })
}

impl FitOptions {
    /// The training that a workload describes, its epochs times a factor. Mirroring is [`super::fit_epochs`]' own.
    #[must_use]
    pub fn of(spec: &TrainingSpec, effort: f64, seed: u64) -> Self {
        let rate = spec.learning_rate as f32;
        let decay = spec.weight_decay as f32;
        Self {
            epochs: spec.epochs as f64 * effort,
            batch: spec.batch,
            optimiser: match spec.optimiser {
                OptimiserSpec::Adam => OptimiserOptions::adam(decay),
                OptimiserSpec::Sgd { momentum } => OptimiserOptions::sgd(momentum as f32, decay),
            },
            schedule: match spec.schedule {
                ScheduleSpec::Cosine => Schedule::Cosine {
                    peak: rate,
                    last: 0.0,
                    warm_up: spec.warm_up as f32,
                },
                ScheduleSpec::Step { epochs, factor } => Schedule::Step {
                    rate,
                    factor: factor as f32,
                    every: epochs as f32 / spec.epochs as f32,
                },
            },
            loss: Loss::CrossEntropy,
            augment_shift: spec.augment_shift,
            seed,
        }
    }
}

/// How good a network is on samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The portion of samples whose largest output is that of their label; among equal outputs the first counts.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
}

/// The accuracy of [`measure`].
///
/// # Errors
/// As [`measure`].
pub fn evaluate(executor: &mut dyn Executor, samples: &Samples, batch: usize) -> Result<f64, TrainingError> {
    Ok(measure(executor, samples, batch)?.accuracy)
}

/// Accuracy and cross-entropy in evaluation mode. `batch` samples are inferred at a time.
///
/// # Errors
/// When there are no samples, they do not fit the network, or `batch` is 0.
pub fn measure(
    executor: &mut dyn Executor,
    samples: &Samples,
    batch: usize,
) -> Result<Measured, TrainingError> {
    let elements = elements_of(samples, batch)?;
    let (mut right, mut loss) = (0u64, 0.0);
    for (inputs, labels) in samples
        .inputs
        .chunks(batch * elements)
        .zip(samples.labels.chunks(batch))
    {
        let outputs = executor.infer(inputs, labels.len())?;
        right += hits(&outputs, labels);
        loss += cross_entropy(&outputs, labels);
    }
    let samples = samples.labels.len() as f64;
    Ok(Measured {
        accuracy: right as f64 / samples,
        loss: loss / samples,
    })
}

/// Outputs whose largest is that of their label.
fn hits(outputs: &[f32], labels: &[u32]) -> u64 {
    let classes = outputs.len() / labels.len().max(1);
    outputs
        .chunks(classes.max(1))
        .zip(labels)
        .filter(|(o, l)| largest(o) == **l as usize)
        .count() as u64
}

/// How good outputs are, samples × classes.
pub(super) fn score(outputs: &[f32], labels: &[u32]) -> Measured {
    let samples = labels.len().max(1) as f64;
    Measured {
        accuracy: hits(outputs, labels) as f64 / samples,
        loss: cross_entropy(outputs, labels) / samples,
    }
}

/// The network's outputs on all samples in evaluation mode, `batch` samples at a time: samples × classes.
///
/// # Errors
/// When there are no samples, they do not fit the network, or `batch` is 0.
pub fn logits(
    executor: &mut dyn Executor,
    samples: &Samples,
    batch: usize,
) -> Result<Vec<f32>, TrainingError> {
    let elements = elements_of(samples, batch)?;
    let mut outputs = Vec::new();
    for inputs in samples.inputs.chunks(batch * elements) {
        outputs.extend(executor.infer(inputs, inputs.len() / elements)?);
    }
    Ok(outputs)
}

/// The index of the largest value, the first of equals.
pub(super) fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &v) in values.iter().enumerate() {
        if v > values[best] {
            best = i;
        }
    }
    best
}

/// Elements of a sample, when the samples are whole and there are some.
pub(super) fn elements_of(samples: &Samples, batch: usize) -> Result<usize, TrainingError> {
    if batch == 0 {
        return Err(TrainingError::Option {
            option: "batch",
            message: "must be at least 1".into(),
        });
    }
    let elements: usize = samples.shape.iter().product();
    if samples.labels.is_empty() || elements == 0 {
        return Err(TrainingError::Batch {
            message: "there are no samples".into(),
        });
    }
    if samples.inputs.len() != samples.labels.len() * elements {
        let message = format!(
            "{} labels need {} input values, there are {}",
            samples.labels.len(),
            samples.labels.len() * elements,
            samples.inputs.len()
        );
        return Err(TrainingError::Batch { message });
    }
    Ok(elements)
}

/// The mini-batch being trained on, in buffers that are kept.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    samples: &'a Samples,
    source: Option<&'a [f32]>,
    batch: usize,
    shift: usize,
    flip: bool,
    seed: u64,
    elements: usize,
    order: Vec<u32>,
    pass: Option<u64>,
    shifts: ChaCha8Rng,
    flips: ChaCha8Rng,
    inputs: Vec<f32>,
    labels: Vec<u32>,
    teacher: Vec<f32>,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(
        samples: &'a Samples,
        teacher: Option<&'a [f32]>,
        options: &FitOptions,
    ) -> Result<Self, TrainingError> {
        let elements = elements_of(samples, options.batch)?;
        let fail = |option, message: &str| {
            Err(TrainingError::Option {
                option,
                message: message.into(),
            })
        };
        if !options.epochs.is_finite() || options.epochs < 0.0 {
            return fail("epochs", "must be a number, not negative");
        }
        if options.augment_shift > 0 && samples.shape.len() != 3 {
            return fail(
                "augment_shift",
                "moves samples of shape [C, H, W]; set it to 0 for others",
            );
        }
        if matches!(options.loss, Loss::Distilled { .. }) && teacher.is_none() {
            return fail("loss", "is a distillation, which needs the teacher's outputs");
        }
        if let Some(t) = teacher.filter(|t| t.is_empty() || t.len() % samples.labels.len() != 0) {
            return Err(TrainingError::Batch {
                message: format!(
                    "{} teacher outputs do not divide among {} samples",
                    t.len(),
                    samples.labels.len()
                ),
            });
        }
        Ok(Self {
            samples,
            source: teacher,
            batch: options.batch,
            // beyond the map's own size a shift leaves nothing to move
            shift: options
                .augment_shift
                .min(samples.shape.iter().copied().max().unwrap_or(0)),
            flip: false,
            seed: options.seed,
            elements,
            order: Vec::new(),
            pass: None,
            shifts: ChaCha8Rng::seed_from_u64(options.seed),
            flips: ChaCha8Rng::seed_from_u64(options.seed),
            inputs: Vec::new(),
            labels: Vec::new(),
            teacher: Vec::new(),
        })
    }

    /// The same, each sample mirrored left to right with a chance of one half.
    pub(crate) fn flipping(mut self) -> Result<Self, TrainingError> {
        if self.samples.shape.len() != 3 {
            return Err(TrainingError::Option {
                option: "augment-flip",
                message: "mirrors samples of shape [C, H, W]; leave it out for others".into(),
            });
        }
        self.flip = true;
        Ok(self)
    }

    /// Copies mini-batch `index` of a pass, which follows the one loaded before.
    pub(crate) fn load(&mut self, pass: u64, index: usize) {
        if self.pass != Some(pass) {
            self.pass = Some(pass);
            self.order = shuffled(self.samples.labels.len(), self.seed, ORDER + pass);
            self.shifts = ChaCha8Rng::seed_from_u64(self.seed);
            self.shifts.set_stream(SHIFTS + pass);
            self.flips = ChaCha8Rng::seed_from_u64(self.seed);
            self.flips.set_stream(FLIPS + pass);
        }
        let from = index * self.batch;
        let chosen = &self.order[from..(from + self.batch).min(self.order.len())];
        let n = self.elements;
        self.inputs.resize(chosen.len() * n, 0.0);
        self.labels.clear();
        self.teacher.clear();
        for (&i, to) in chosen.iter().zip(self.inputs.chunks_exact_mut(n)) {
            let i = i as usize;
            let sample = &self.samples.inputs[i * n..(i + 1) * n];
            if self.shift == 0 {
                to.copy_from_slice(sample);
            } else {
                #[allow(clippy::cast_possible_wrap)] // a shift is no larger than the map
                let mut offset =
                    || below(&mut self.shifts, 2 * self.shift as u64 + 1) as isize - self.shift as isize;
                let moves = [offset(), offset()];
                shifted(sample, to, &self.samples.shape, moves);
            }
            if self.flip && below(&mut self.flips, 2) == 1 {
                let width = self.samples.shape[2];
                to.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            }
            self.labels.push(self.samples.labels[i]);
            if let Some(source) = self.source {
                let classes = source.len() / self.samples.labels.len();
                self.teacher
                    .extend_from_slice(&source[i * classes..(i + 1) * classes]);
            }
        }
    }

    pub(crate) fn step(&self, options: &FitOptions, step: u64) -> Step<'_> {
        Step {
            inputs: &self.inputs,
            labels: &self.labels,
            teacher: self.source.map(|_| self.teacher.as_slice()),
            loss: options.loss,
            // an odd multiplier is a bijection of u64: no two steps of a run share a seed
            seed: options
                .seed
                .wrapping_add((step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }
    }
}

/// A whole number in [0, n), by the high half of a product (bias below n/2^32).
fn below(random: &mut ChaCha8Rng, n: u64) -> u64 {
    (u64::from(random.next_u32()) * n) >> 32
}

/// The numbers below `n` in an order drawn by Fisher and Yates' method.
fn shuffled(n: usize, seed: u64, stream: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        order.swap(i, below(&mut random, i as u64 + 1) as usize);
    }
    order
}

/// Copies a `C × H × W` map moved down and right by `[rows, columns]` (up and left when negative).
fn shifted(from: &[f32], to: &mut [f32], shape: &[usize], [down, right]: [isize; 2]) {
    let (h, w) = (shape[1], shape[2]);
    to.fill(0.0);
    let kept = w.saturating_sub(right.unsigned_abs());
    let (source, target) = (right.min(0).unsigned_abs(), right.max(0).unsigned_abs());
    for (from, to) in from.chunks_exact(h * w).zip(to.chunks_exact_mut(h * w)) {
        for y in 0..h {
            let Some(row) = y.checked_add_signed(down).filter(|&r| r < h && kept > 0) else {
                continue;
            };
            to[row * w + target..][..kept].copy_from_slice(&from[y * w + source..][..kept]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are moved, not computed
mod tests {
    use super::*;

    /// A 1 × 2 × 3 map, worked by hand.
    #[test]
    fn shifts_fill_with_zeros() {
        let map = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let at = |moves| {
            let mut to = [9.0; 6];
            shifted(&map, &mut to, &[1, 2, 3], moves);
            to
        };
        assert_eq!(at([0, 1]), [0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(at([1, -1]), [0.0, 0.0, 0.0, 2.0, 3.0, 0.0]);
        assert_eq!(at([-1, 0]), [4.0, 5.0, 6.0, 0.0, 0.0, 0.0]);
        assert_eq!(at([2, 0]), [0.0; 6]);
        assert_eq!(at([0, -4]), [0.0; 6]);
    }

    #[test]
    fn a_pass_visits_every_sample_once_in_its_own_order() {
        let (a, b) = (shuffled(100, 1, ORDER), shuffled(100, 1, ORDER + 1));
        assert_ne!(a, b);
        for mut order in [a, b] {
            order.sort_unstable();
            assert!(order.iter().enumerate().all(|(i, &o)| i == o as usize));
        }
    }

    #[test]
    fn equal_outputs_go_to_the_lower_class() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), 1);
    }
}
