//! A whole network, layer by layer, on calibration inputs alone.

use super::error::LayerwiseError;
use super::patches::Patches;
use super::problem::Problem;
use super::quantise::quantise;
use super::solve::solve;
use super::statistics::Moments;
use super::target::{LayerReport, LayerTarget, LayerwiseOptions};
use crate::compression::weights_kept;
use crate::network::{Layer, Network, Op};
use crate::training::{DenseExecutor, Executor, Parameters, Role};

/// Compresses the layers that `targets` name, in the network's order, and leaves all others alone (ALGORITHMS §0 to
/// §3). `inputs` are calibration samples, one after another; there are no labels and no training. Supports of the
/// parameters returned are the weights kept.
///
/// In a network on tokens, positions of token 0, which is padding, take no part.
///
/// # Errors
/// [`LayerwiseError`] for targets, inputs or options that cannot be followed; nothing is compressed then.
pub fn compress(
    network: &Network,
    parameters: Parameters,
    inputs: &[f32],
    targets: &[LayerTarget],
    options: &LayerwiseOptions,
) -> Result<(Parameters, Vec<LayerReport>), LayerwiseError> {
    check(network, targets, options)?;
    let mut feed = Feed::new(network, parameters, inputs, options)?;
    let mut reports = Vec::with_capacity(targets.len());
    for layer in network.weighted() {
        let Some(target) = targets.iter().find(|t| t.layer == layer.name) else {
            continue;
        };
        let moments = feed.moments(network, layer)?;
        reports.push(feed.compress(target, &moments)?);
    }
    Ok((feed.compressed.parameters().clone(), reports))
}

fn check(
    network: &Network,
    targets: &[LayerTarget],
    options: &LayerwiseOptions,
) -> Result<(), LayerwiseError> {
    for (i, target) in targets.iter().enumerate() {
        target.check()?;
        let fail = |message: &str| {
            Err(LayerwiseError::Layer {
                layer: target.layer.clone(),
                message: message.into(),
            })
        };
        if !network.weighted().any(|l| l.name == target.layer) {
            return fail("is no layer with weights of this network; name a convolution or linear layer");
        }
        if targets[..i].iter().any(|t| t.layer == target.layer) {
            return fail("has two targets; leave one out");
        }
    }
    if options.batch == 0 {
        return Err(LayerwiseError::Option {
            option: "batch",
            message: "is 0; at least one sample must run at a time".into(),
        });
    }
    Ok(())
}

/// The network as it was and as it has become so far, both on their way through the calibration inputs.
struct Feed<'a> {
    dense: DenseExecutor,
    compressed: DenseExecutor,
    inputs: &'a [f32],
    options: &'a LayerwiseOptions,
    /// Whether any layer differs from the dense network's.
    changed: bool,
    started: bool,
}

impl<'a> Feed<'a> {
    fn new(
        network: &Network,
        parameters: Parameters,
        inputs: &'a [f32],
        options: &'a LayerwiseOptions,
    ) -> Result<Self, LayerwiseError> {
        if inputs.is_empty() {
            return Err(LayerwiseError::NoInputs);
        }
        if !inputs.iter().all(|v| v.is_finite()) {
            return Err(LayerwiseError::NotFinite {
                what: "calibration inputs",
            });
        }
        Ok(Self {
            dense: DenseExecutor::new(network, parameters.clone())?,
            compressed: DenseExecutor::new(network, parameters)?,
            inputs,
            options,
            changed: false,
            started: false,
        })
    }

    /// The moments of a layer's inputs, one for each group.
    fn moments(&mut self, network: &Network, layer: &Layer) -> Result<Vec<Moments>, LayerwiseError> {
        let rows = Rows::of(network, layer);
        let paired = self.options.sequential && self.changed;
        let mut moments = vec![Moments::new(rows.columns, paired); rows.groups()];
        let elements = self.dense.input_elements();
        let samples = self.options.batch.saturating_mul(elements);
        let whole = self.inputs.len() <= samples;
        for inputs in self.inputs.chunks(samples.max(1)) {
            // one chunk is run once, further for every layer; several begin anew
            if !(whole && self.started) {
                self.dense.begin(inputs, inputs.len() / elements)?;
                self.compressed.begin(inputs, inputs.len() / elements)?;
                self.started = true;
            }
            let dense = self.dense.input_of(&layer.name)?;
            let own = if paired {
                Some(self.compressed.input_of(&layer.name)?)
            } else {
                None
            };
            for (group, moments) in moments.iter_mut().enumerate() {
                let dense = rows.take(dense, inputs, group);
                match own {
                    Some(own) => moments.add(&rows.take(own, inputs, group), Some(&dense))?,
                    None => moments.add(&dense, None)?,
                }
            }
        }
        Ok(moments)
    }

    /// Solves one layer and puts the answer into the compressed network.
    fn compress(&mut self, target: &LayerTarget, moments: &[Moments]) -> Result<LayerReport, LayerwiseError> {
        let missing = || LayerwiseError::Layer {
            layer: target.layer.clone(),
            message: "has no weights among the parameters".into(),
        };
        let parameters = self.compressed.parameters_mut();
        let parameter = parameters.weight_mut(&target.layer).ok_or_else(missing)?;
        let problem = Problem::new(
            &parameter.values,
            moments,
            parameter.support.as_ref(),
            self.options.damping,
        )?;
        let shape = parameter.tensor_shape();
        let asked = weights_kept(target.density, shape.weights());
        // N:M rounds short groups up, so that its own density may ask for a little more than it can hold
        let keep = asked.min(target.structure.most(shape)).max(1);
        let (solution, by) = solve(
            &problem,
            target.structure,
            shape,
            keep,
            self.options.method,
            self.options.quality,
        )?;
        let (weights, grids) = match target.bits {
            None => (solution.weights, None),
            Some(bits) => {
                let on = quantise(
                    &problem,
                    &solution.support,
                    &solution.weights,
                    bits,
                    self.options.zero_level,
                );
                (on.weights, Some(on.grids))
            }
        };
        parameter.values = weights.iter().map(|&w| w as f32).collect();
        let report = LayerReport {
            layer: target.layer.clone(),
            by,
            weights: weights.len(),
            kept: solution.support.count(),
            samples: moments.iter().map(Moments::samples).max().unwrap_or(0),
            relative_error: problem.relative_error(&weights),
            grids,
        };
        parameter.support = Some(solution.support);
        let bias = parameters
            .list
            .iter_mut()
            .find(|p| p.role == Role::Bias && p.layer == target.layer);
        if let Some(bias) = bias.filter(|_| self.options.bias_correction) {
            let correction = problem.bias_correction(&weights);
            for (b, c) in bias.values.iter_mut().zip(correction) {
                *b += c as f32;
            }
        }
        self.changed = true;
        Ok(report)
    }
}

/// How a layer's input becomes rows of X.
struct Rows {
    /// Columns of X.
    columns: usize,
    patches: Option<Patches>,
    /// Positions of a sample, where each is one token and token 0 is padding.
    tokens: Option<usize>,
}

impl Rows {
    fn of(network: &Network, layer: &Layer) -> Self {
        let input: &[usize] = layer
            .inputs
            .first()
            .map_or(&[], |&i| network.layer(i).output.0.as_slice());
        let on_tokens = network
            .readers(network.input())
            .into_iter()
            .any(|reader| matches!(network.layer(reader).op, Op::Embedding { .. }));
        let length = network.layer(network.input()).output.elements();
        if let (Op::Conv2d(conv), &[c, h, w], &[_, p, q]) = (&layer.op, input, layer.output.0.as_slice()) {
            let patches = Patches {
                input: [c, h, w],
                output: [p, q],
                conv: *conv,
            };
            return Self {
                columns: patches.columns(),
                patches: Some(patches),
                tokens: None,
            };
        }
        let columns = input.last().copied().unwrap_or(1);
        let positions = input.iter().product::<usize>() / columns.max(1);
        Self {
            columns,
            patches: None,
            tokens: Some(length).filter(|&l| on_tokens && l > 1 && l == positions),
        }
    }

    fn groups(&self) -> usize {
        self.patches.as_ref().map_or(1, |p| p.conv.groups)
    }

    fn take(&self, values: &[f32], inputs: &[f32], group: usize) -> Vec<f32> {
        if let Some(patches) = &self.patches {
            return patches.rows(values, group);
        }
        if self.tokens.is_none() {
            return values.to_vec();
        }
        values
            .chunks_exact(self.columns)
            .zip(inputs)
            .filter(|&(_, &token)| token != 0.0)
            .flat_map(|(row, _)| row.iter().copied())
            .collect()
    }
}
