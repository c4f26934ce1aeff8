//! One block of samples through the whole chain, on one thread.

use super::lanes::{Buffer, LANES};
use super::plan::Plan;
use super::scratch::Scratch;
use super::stage::Mode;
use crate::training::Step;
use crate::training::loss::loss_and_gradient;

/// The memory for one block.
#[derive(Debug)]
pub(super) struct Workspace {
    input: Buffer,
    scratch: Vec<Scratch>,
}

impl Workspace {
    pub(super) fn new(plan: &Plan) -> Self {
        let scratch = plan
            .stages
            .iter()
            .enumerate()
            .map(|(i, s)| s.scratch(i <= plan.first_trained))
            .collect();
        Self {
            input: Buffer::zeros(plan.inputs),
            scratch,
        }
    }

    /// Runs the samples (at most a block; the rest is zero) and writes their outputs, sample by sample.
    pub(super) fn forward(
        &mut self,
        plan: &Plan,
        values: &[f32],
        mode: Mode,
        inputs: &[f32],
        outputs: &mut [f32],
    ) {
        let samples = inputs.len() / plan.inputs;
        for (e, x) in self.input.iter_mut().enumerate() {
            for l in 0..LANES {
                x[l] = if l < samples {
                    inputs[l * plan.inputs + e]
                } else {
                    0.0
                };
            }
        }
        for (i, stage) in plan.stages.iter().enumerate() {
            let (before, at) = self.scratch.split_at_mut(i);
            let input = before.last().map_or(&self.input, |s| &s.output);
            stage.forward(values, mode, input, &mut at[0]);
        }
        let logits = self.scratch.last().map_or(&self.input, |s| &s.output);
        for (k, z) in logits.iter().enumerate() {
            for l in 0..samples {
                outputs[l * plan.classes + k] = z[l];
            }
        }
    }

    /// The summed loss of the block's samples, which begin at `first` of the step, and in `partial` the
    /// derivatives by the kept values.
    pub(super) fn gradients(
        &mut self,
        plan: &Plan,
        values: &[f32],
        step: &Step<'_>,
        first: usize,
        partial: &mut [f32],
    ) -> f64 {
        let total = step.labels.len();
        let range = first..(first + LANES).min(total);
        let classes = plan.classes;
        let inputs = &step.inputs[range.start * plan.inputs..range.end * plan.inputs];
        let mut logits = vec![0.0; range.len() * classes];
        self.forward(
            plan,
            values,
            Mode::Train {
                seed: step.seed,
                first_sample: first,
            },
            inputs,
            &mut logits,
        );

        let teacher = step
            .teacher
            .map(|t| &t[range.start * classes..range.end * classes]);
        let mut slopes = vec![0.0; logits.len()];
        let loss = loss_and_gradient(
            step.loss,
            &logits,
            &step.labels[range.clone()],
            teacher,
            total,
            &mut slopes,
        );
        if let Some(last) = self.scratch.last_mut() {
            for (k, g) in last.gradient.iter_mut().enumerate() {
                // samples that only fill the block weigh nothing
                *g = [0.0; LANES];
                for l in 0..range.len() {
                    g[l] = slopes[l * classes + k];
                }
            }
        }
        for i in (plan.first_trained..plan.stages.len()).rev() {
            let (before, at) = self.scratch.split_at_mut(i);
            let (input, to) = match before.last_mut() {
                Some(s) => (&s.output, (i > plan.first_trained).then_some(&mut s.gradient[..])),
                None => (&self.input, None),
            };
            plan.stages[i].backward(values, input, &mut at[0], to, partial);
        }
        loss
    }
}
