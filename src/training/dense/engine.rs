//! Runs a plan forward and backward on buffers that are kept between steps.

use super::float::Float;
use super::ops::{Given, Pass};
use super::plan::{Node, Plan};
use super::scratch::Scratch;
use crate::compression::Mask;
use crate::network::Network;
use crate::training::TrainingError;
use rayon::prelude::*;

/// A network in one number type. Parameters are lent by the caller, in the order of [`crate::training::Parameters`].
pub(super) struct Engine<T> {
    plan: Plan<T>,
    /// What each buffer of the plan holds.
    values: Vec<Vec<T>>,
    /// The derivative of the loss by each buffer.
    gradients: Vec<Vec<T>>,
    /// Derivatives by inputs that are read more than once, per node and input, before they are added up.
    spares: Vec<Vec<Vec<T>>>,
    scratch: Scratch<T>,
    samples: usize,
    /// Whether the last forward pass was one in training mode.
    training: bool,
    /// The node that a pass in pieces goes on with.
    next: usize,
    /// How often the parameters' values have changed.
    revision: u64,
}

impl<T: Float> Engine<T> {
    /// Buffers are made when the first batch comes; `derive_input` asks for the derivative by the input as well.
    /// `supports` holds one place for each parameter, or none at all: weights outside a support are taken for zero.
    pub(super) fn new(
        network: &Network,
        derive_input: bool,
        supports: &[Option<&Mask>],
    ) -> Result<Self, TrainingError> {
        let plan = Plan::new(network, derive_input, supports)?;
        let empty = vec![Vec::new(); plan.buffers.len()];
        let spares = plan
            .nodes
            .iter()
            .map(|n| vec![Vec::new(); n.inputs.len()])
            .collect();
        Ok(Self {
            values: empty.clone(),
            gradients: empty,
            spares,
            plan,
            scratch: Scratch::new(),
            samples: 0,
            training: false,
            next: 0,
            revision: 0,
        })
    }

    /// Says that the parameters' values have changed since the last pass. One in training mode needs no such word.
    pub(super) fn revise(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// Elements of one input sample.
    pub(super) fn input_len(&self) -> usize {
        self.plan.buffers[self.plan.input].elements
    }

    /// Elements of one output sample.
    pub(super) fn output_len(&self) -> usize {
        self.plan.buffers[self.plan.output].elements
    }

    /// The outputs of a batch; [`Engine::backward`] may follow, in the same mode.
    pub(super) fn forward(
        &mut self,
        parameters: &[&[T]],
        inputs: &[T],
        samples: usize,
        training: bool,
        seed: u64,
    ) -> Result<&[T], TrainingError> {
        if training {
            self.revise();
        }
        self.begin(inputs, samples);
        self.training = training;
        self.advance(parameters, self.plan.nodes.len(), training, seed)?;
        Ok(&self.values[self.plan.output])
    }

    /// Takes the inputs of a pass that [`Engine::input_of`] runs piece by piece.
    pub(super) fn begin(&mut self, inputs: &[T], samples: usize) {
        self.samples = samples;
        self.next = 0;
        self.scratch.prepare();
        for (values, buffer) in self.values.iter_mut().zip(&self.plan.buffers) {
            values.resize(samples * buffer.elements, T::ZERO);
        }
        self.values[self.plan.input].copy_from_slice(inputs);
    }

    /// Goes on in evaluation mode up to a layer with parameters, and returns its first input; `None` for another name.
    /// A layer behind the last one asked for has been run already: its input is still there.
    pub(super) fn input_of(
        &mut self,
        parameters: &[&[T]],
        layer: &str,
    ) -> Result<Option<&[T]>, TrainingError> {
        let Some(node) = self.node_of(layer) else {
            return Ok(None);
        };
        self.advance(parameters, node, false, 0)?;
        Ok(Some(&self.values[self.plan.nodes[node].inputs[0]]))
    }

    /// The node of a layer with parameters.
    fn node_of(&self, layer: &str) -> Option<usize> {
        let owns = |n: &Node<T>| n.layer == layer && !n.parameters.is_empty();
        self.plan.nodes.iter().position(owns)
    }

    /// What a layer with parameters reads, to change it before the layer runs.
    pub(super) fn input_of_mut(&mut self, layer: &str) -> Option<&mut [T]> {
        let node = self.node_of(layer)?;
        Some(&mut self.values[self.plan.nodes[node].inputs[0]])
    }

    /// Runs what is left of a pass in pieces, in evaluation mode, and returns the outputs.
    pub(super) fn finish(&mut self, parameters: &[&[T]]) -> Result<&[T], TrainingError> {
        self.advance(parameters, self.plan.nodes.len(), false, 0)?;
        Ok(&self.values[self.plan.output])
    }

    /// Runs the nodes from the last one run up to `end`.
    fn advance(
        &mut self,
        parameters: &[&[T]],
        end: usize,
        training: bool,
        seed: u64,
    ) -> Result<(), TrainingError> {
        let from = self.next.min(end);
        self.next = self.next.max(end);
        let pass = Pass {
            samples: self.samples,
            training,
            seed,
            revision: self.revision,
            scratch: &self.scratch,
        };
        for node in &mut self.plan.nodes[from..end] {
            let mut output = std::mem::take(&mut self.values[node.output]);
            let inputs: Vec<&[T]> = node.inputs.iter().map(|&i| self.values[i].as_slice()).collect();
            let done = node
                .op
                .forward(&pass, &inputs, &parameters[node.parameters.clone()], &mut output);
            self.values[node.output] = output;
            done.map_err(|message| TrainingError::Unsupported {
                layer: node.layer.clone(),
                message,
            })?;
        }
        Ok(())
    }

    /// The layers that multiply, in order, with what each read as its first input in the last forward pass.
    pub(super) fn operands(&self) -> impl Iterator<Item = (&str, &[T])> {
        let operands = self.plan.operands.iter();
        operands.map(|(layer, buffer)| (layer.as_str(), self.values[*buffer].as_slice()))
    }

    /// The outputs of the last forward pass and the place for their derivative, to fill before [`Engine::backward`].
    pub(super) fn output_and_gradient(&mut self) -> (&[T], &mut [T]) {
        let output = self.plan.output;
        let gradient = &mut self.gradients[output];
        gradient.resize(self.values[output].len(), T::ZERO);
        (&self.values[output], gradient)
    }

    /// The derivatives by all parameters (overwritten, one vector each), from the derivative by the output.
    pub(super) fn backward(&mut self, parameters: &[&[T]], seed: u64, d_parameters: &mut [Vec<T>]) {
        let pass = Pass {
            samples: self.samples,
            training: self.training,
            seed,
            revision: self.revision,
            scratch: &self.scratch,
        };
        let buffers = &self.plan.buffers;
        let mut seen = vec![false; buffers.len()];
        for (node, spares) in self.plan.nodes.iter_mut().zip(&mut self.spares).rev() {
            if !buffers[node.output].derived {
                continue;
            }
            let Node {
                op,
                inputs,
                output,
                parameters: range,
                ..
            } = node;
            // a buffer with one reader is written in place, others by way of a spare
            let mut taken: Vec<Option<Vec<T>>> = inputs
                .iter()
                .zip(spares.iter_mut())
                .map(|(&i, spare)| {
                    buffers[i].derived.then(|| {
                        let mut d = std::mem::take(if buffers[i].uses == 1 {
                            &mut self.gradients[i]
                        } else {
                            spare
                        });
                        d.resize(self.samples * buffers[i].elements, T::ZERO);
                        d
                    })
                })
                .collect();
            {
                let inputs: Vec<&[T]> = inputs.iter().map(|&i| self.values[i].as_slice()).collect();
                let given = Given {
                    inputs: &inputs,
                    parameters: &parameters[range.clone()],
                    output: &self.values[*output],
                    d_output: &self.gradients[*output],
                };
                let mut d_inputs: Vec<Option<&mut [T]>> =
                    taken.iter_mut().map(|d| d.as_deref_mut()).collect();
                let mut d_own: Vec<&mut [T]> = d_parameters[range.clone()]
                    .iter_mut()
                    .map(Vec::as_mut_slice)
                    .collect();
                op.backward(&pass, &given, &mut d_inputs, &mut d_own);
            }
            for ((&i, spare), d) in inputs.iter().zip(spares).zip(taken) {
                let Some(mut d) = d else { continue };
                if buffers[i].uses == 1 {
                    self.gradients[i] = d;
                } else {
                    if seen[i] {
                        add(&mut self.gradients[i], &d);
                    } else {
                        std::mem::swap(&mut self.gradients[i], &mut d);
                        seen[i] = true;
                    }
                    *spare = d;
                }
            }
        }
    }

    /// The derivative by the input, after [`Engine::backward`], when it was asked for.
    pub(super) fn input_gradient(&self) -> &[T] {
        &self.gradients[self.plan.input]
    }

    /// Mean and unbiased variance of every batch normalisation in the last training batch, with the place of its
    /// first parameter (gain, shift, mean, variance).
    pub(super) fn batch_statistics(&self) -> impl Iterator<Item = (usize, [&[T]; 2])> + '_ {
        self.plan
            .nodes
            .iter()
            .filter_map(|n| Some((n.parameters.start, n.op.batch_statistics()?)))
    }
}

/// `sum += term`, in parallel.
fn add<T: Float>(sum: &mut [T], term: &[T]) {
    const BLOCK: usize = 1 << 14;
    sum.par_chunks_mut(BLOCK)
        .zip(term.par_chunks(BLOCK))
        .for_each(|(sum, term)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (s, &t) in sum.iter_mut().zip(term) {
                        *s += t;
                    }
                },
            );
        });
}
