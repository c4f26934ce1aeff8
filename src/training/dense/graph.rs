//! A network's operators in order, with the tensors between them.

use super::matmul::Real;
use super::ops::{self, Context, Operator};
use crate::network::Network;
use crate::training::parameters;

struct Node<T> {
    operator: Option<Box<dyn Operator<T>>>,
    /// Positions of the inputs in the order of execution.
    inputs: Vec<usize>,
    /// Indices of the node's parameters.
    parameters: Vec<usize>,
    /// Elements of one sample's output.
    elements: usize,
    /// Whether the loss needs a derivative by this node's output.
    needed: bool,
    value: Vec<T>,
    gradient: Vec<T>,
}

/// A network ready to run forward and backward in `T`. Parameters are given at each call, in the order of
/// [`crate::training::Parameters`].
pub struct Graph<T> {
    nodes: Vec<Node<T>>,
    output: usize,
    samples: usize,
    seed: Option<u64>,
}

impl<T> std::fmt::Debug for Graph<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl<T: Real> Graph<T> {
    /// The operators of a network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let place: std::collections::HashMap<_, _> =
            network.layers().enumerate().map(|(i, (id, _))| (id, i)).collect();
        let mut next = 0;
        let mut nodes: Vec<Node<T>> = Vec::new();
        for (_, layer) in network.layers() {
            let count = parameters::slots(layer).len();
            let inputs: Vec<usize> = layer.inputs.iter().map(|i| place[i]).collect();
            let shapes: Vec<_> = layer.inputs.iter().map(|&i| &network.layer(i).output).collect();
            let own: Vec<usize> = (next..next + count).collect();
            next += count;
            let needed = !own.is_empty() || inputs.iter().any(|&i| nodes[i].needed);
            nodes.push(Node {
                operator: ops::operator(layer, &shapes),
                inputs,
                parameters: own,
                elements: layer.output.elements(),
                needed,
                value: Vec::new(),
                gradient: Vec::new(),
            });
        }
        Self {
            nodes,
            output: place[&network.output()],
            samples: 0,
            seed: None,
        }
    }

    /// Runs forward on `samples × elements` inputs and returns the outputs. `seed` is set while training: dropout
    /// draws from it and batch normalisation uses the batch's statistics.
    pub fn forward(&mut self, parameters: &[&[T]], inputs: &[T], samples: usize, seed: Option<u64>) -> &[T] {
        (self.samples, self.seed) = (samples, seed);
        for i in 0..self.nodes.len() {
            let (before, rest) = self.nodes.split_at_mut(i);
            let node = &mut rest[0];
            node.value.resize(samples * node.elements, T::default());
            let Some(operator) = &mut node.operator else {
                node.value.copy_from_slice(&inputs[..samples * node.elements]);
                continue;
            };
            let tensors: Vec<&[T]> = node.inputs.iter().map(|&j| before[j].value.as_slice()).collect();
            let own: Vec<&[T]> = node.parameters.iter().map(|&p| parameters[p]).collect();
            operator.forward(
                &Context {
                    inputs: &tensors,
                    parameters: &own,
                    samples,
                    seed,
                },
                &mut node.value,
            );
        }
        &self.nodes[self.output].value
    }

    /// Runs backward from the derivative by the outputs of the last [`Graph::forward`]; overwrites `gradients`, one
    /// vector per parameter.
    pub fn backward(&mut self, parameters: &[&[T]], output_gradient: &[T], gradients: &mut [Vec<T>]) {
        let (samples, seed) = (self.samples, self.seed);
        for (g, p) in gradients.iter_mut().zip(parameters) {
            g.clear();
            g.resize(p.len(), T::default());
        }
        for node in &mut self.nodes {
            if node.needed {
                node.gradient.clear();
                node.gradient.resize(samples * node.elements, T::default());
            }
        }
        self.nodes[self.output].gradient.copy_from_slice(output_gradient);
        for i in (0..self.nodes.len()).rev() {
            let (before, rest) = self.nodes.split_at_mut(i);
            let node = &mut rest[0];
            let Some(operator) = node.operator.as_mut().filter(|_| node.needed) else {
                continue;
            };
            // the inputs' gradients are taken out while the operator adds to them
            let mut sums: Vec<Option<Vec<T>>> = Vec::with_capacity(node.inputs.len());
            for (k, &j) in node.inputs.iter().enumerate() {
                let again = node.inputs[..k].contains(&j);
                sums.push(match (before[j].needed, again) {
                    (false, _) => None,
                    (true, false) => Some(std::mem::take(&mut before[j].gradient)),
                    (true, true) => Some(vec![T::default(); samples * before[j].elements]),
                });
            }
            let mut own: Vec<Vec<T>> = node
                .parameters
                .iter()
                .map(|&p| std::mem::take(&mut gradients[p]))
                .collect();
            {
                let tensors: Vec<&[T]> = node.inputs.iter().map(|&j| before[j].value.as_slice()).collect();
                let values: Vec<&[T]> = node.parameters.iter().map(|&p| parameters[p]).collect();
                let context = Context {
                    inputs: &tensors,
                    parameters: &values,
                    samples,
                    seed,
                };
                operator.backward(&context, &node.value, &node.gradient, &mut sums, &mut own);
            }
            for (&p, g) in node.parameters.iter().zip(own) {
                gradients[p] = g;
            }
            for (&j, sum) in node.inputs.iter().zip(sums) {
                let Some(sum) = sum else { continue };
                let gradient = &mut before[j].gradient;
                if gradient.is_empty() {
                    *gradient = sum;
                } else {
                    gradient.iter_mut().zip(sum).for_each(|(g, s)| *g += s);
                }
            }
        }
    }

    /// The batch statistics of the last training step: parameter index and values.
    pub(super) fn statistics(&self) -> Vec<(usize, &[T])> {
        self.nodes
            .iter()
            .filter_map(|n| Some((n, n.operator.as_ref()?.statistics()?)))
            .flat_map(|(n, [mean, variance])| [(n.parameters[2], mean), (n.parameters[3], variance)])
            .collect()
    }
}
