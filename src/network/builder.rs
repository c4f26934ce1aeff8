//! Networks are built only valid: connected names, no cycle, shapes inferred, sizes bounded.

use super::error::NetworkError;
use super::graph::{Layer, LayerId, Network};
use super::nest::LoopNest;
use super::op::Op;
use super::shape::{self, Shape};
use petgraph::algo;
use petgraph::graph::DiGraph;
use petgraph::visit::EdgeRef;
use std::collections::{BTreeSet, HashMap};

/// The most multiply-accumulates a network may need for one sample: 2^50.
const MAX_MACS: u64 = 1 << 50;
/// The most trained values a network may have: 2^40.
const MAX_PARAMETERS: u64 = 1 << 40;

/// Collects layers by name; [`NetworkBuilder::build`] checks them.
#[derive(Debug, Clone, Default)]
pub struct NetworkBuilder {
    layers: Vec<(String, Op, Vec<String>, Option<Shape>)>,
}

impl NetworkBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the network's input with its shape for one sample.
    pub fn input(&mut self, name: &str, shape: Shape) -> &mut Self {
        self.layers
            .push((name.into(), Op::Input, Vec::new(), Some(shape)));
        self
    }

    /// Adds a layer that reads the named ones; the order in which layers are added does not matter.
    pub fn layer(&mut self, name: &str, op: Op, inputs: &[&str]) -> &mut Self {
        self.layers
            .push((name.into(), op, inputs.iter().map(|&s| s.into()).collect(), None));
        self
    }

    /// The network.
    ///
    /// # Errors
    /// The first of: a name given twice, an unknown input, a cycle, an operation that does not fit its
    /// inputs, a missing input or output, a size beyond 2^50 multiply-accumulates or 2^40 parameters.
    pub fn build(&self) -> Result<Network, NetworkError> {
        self.check().map_err(|mut errors| errors.swap_remove(0))
    }

    /// The network, or everything that is wrong with it: all errors of names, or else a cycle, or else all
    /// layers that do not fit their inputs (layers behind them are not judged), or else a missing end.
    ///
    /// # Errors
    /// At least one, in the order of [`Self::build`].
    pub fn check(&self) -> Result<Network, Vec<NetworkError>> {
        let mut graph = self.connect()?;
        let order = topological(&graph).map_err(|e| vec![e])?;
        infer(&mut graph, &order)?;
        let missing = |what| vec![NetworkError::Missing { what }];
        let input = *order
            .iter()
            .find(|&&i| graph[i].op == Op::Input)
            .ok_or_else(|| missing("input layer"))?;
        let mut ends = order
            .iter()
            .copied()
            .filter(|&i| graph.neighbors(i).next().is_none());
        let output = ends.next().ok_or_else(|| missing("output layer"))?;
        let others: Vec<NetworkError> = ends
            .map(|second| NetworkError::Outputs {
                first: graph[output].name.clone(),
                second: graph[second].name.clone(),
            })
            .collect();
        if !others.is_empty() {
            return Err(others);
        }
        if output == input {
            return Err(missing("layer besides its input"));
        }
        Ok(Network {
            graph,
            order,
            input,
            output,
        })
    }

    /// Layers and edges; shapes are not known yet.
    fn connect(&self) -> Result<DiGraph<Layer, usize>, Vec<NetworkError>> {
        let mut errors = Vec::new();
        let mut graph = DiGraph::<Layer, usize>::new();
        let mut ids = HashMap::new();
        for (name, op, _, shape) in &self.layers {
            let output = shape.clone().unwrap_or_else(|| Shape(Vec::new()));
            let id = graph.add_node(Layer {
                name: name.clone(),
                op: op.clone(),
                output,
                inputs: Vec::new(),
                nest: None,
            });
            if ids.insert(name.as_str(), id).is_some() {
                errors.push(NetworkError::Duplicate { layer: name.clone() });
            }
        }
        for (id, (name, _, inputs, _)) in graph.node_indices().zip(&self.layers) {
            for (slot, input) in inputs.iter().enumerate() {
                if let Some(&from) = ids.get(input.as_str()) {
                    graph.add_edge(from, id, slot);
                    graph[id].inputs.push(from);
                } else {
                    errors.push(NetworkError::UnknownInput {
                        layer: name.clone(),
                        input: input.clone(),
                    });
                }
            }
        }
        if errors.is_empty() { Ok(graph) } else { Err(errors) }
    }
}

/// Shapes and loop nests of all layers, in topological order.
fn infer(graph: &mut DiGraph<Layer, usize>, order: &[LayerId]) -> Result<(), Vec<NetworkError>> {
    let mut errors = Vec::new();
    let mut known = vec![false; graph.node_count()];
    let (mut macs, mut parameters) = (0u64, 0u64);
    for &id in order {
        if !graph[id].inputs.iter().all(|i| known[i.index()]) {
            continue;
        }
        match fit(graph, id) {
            Ok((output, nest)) => {
                known[id.index()] = true;
                let layer = &mut graph[id];
                layer.output = output;
                layer.nest = nest;
            }
            Err(message) => {
                errors.push(NetworkError::Shape {
                    layer: graph[id].name.clone(),
                    message,
                });
                continue;
            }
        }
        // no layer exceeds 2^51 of either, so the sums cannot overflow before the limits stop them
        let layer = &graph[id];
        macs += layer.nest.map_or(0, |n| n.macs());
        parameters += layer.parameters() as u64;
        let limit = match (macs > MAX_MACS, parameters > MAX_PARAMETERS) {
            (true, _) => "2^50 multiply-accumulates a sample",
            (_, true) => "2^40 parameters",
            _ => continue,
        };
        errors.push(NetworkError::TooLarge {
            layer: layer.name.clone(),
            limit,
        });
        break;
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The shape a layer produces and the loops it needs, or what is wrong with it.
fn fit(graph: &DiGraph<Layer, usize>, id: LayerId) -> Result<(Shape, Option<LoopNest>), String> {
    let layer = &graph[id];
    let inputs: Vec<&Shape> = layer.inputs.iter().map(|&i| &graph[i].output).collect();
    let output = match layer.op {
        Op::Input => shape::input(&layer.output)?,
        _ => shape::infer(&layer.op, &inputs)?,
    };
    let nest = nest(&layer.op, &inputs, &output)?;
    Ok((output, nest))
}

/// Topological order that follows the order of definition wherever the graph leaves a choice.
fn topological(graph: &DiGraph<Layer, usize>) -> Result<Vec<LayerId>, NetworkError> {
    if let Err(cycle) = algo::toposort(graph, None) {
        return Err(NetworkError::Cycle {
            layer: graph[cycle.node_id()].name.clone(),
        });
    }
    let mut waiting: Vec<usize> = graph.node_indices().map(|i| graph[i].inputs.len()).collect();
    let mut ready: BTreeSet<LayerId> = graph.node_indices().filter(|i| waiting[i.index()] == 0).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(id) = ready.pop_first() {
        order.push(id);
        for edge in graph.edges(id) {
            let w = &mut waiting[edge.target().index()];
            *w -= 1;
            if *w == 0 {
                ready.insert(edge.target());
            }
        }
    }
    Ok(order)
}

fn nest(op: &Op, inputs: &[&Shape], output: &Shape) -> Result<Option<LoopNest>, String> {
    let nest = match op {
        Op::Conv2d(conv) => {
            let (c, g) = (inputs[0].0[0], conv.groups);
            LoopNest {
                n: 1,
                g: g as u64,
                k: (conv.out_channels / g) as u64,
                c: (c / g) as u64,
                p: output.0[1] as u64,
                q: output.0[2] as u64,
                r: conv.kernel[0] as u64,
                s: conv.kernel[1] as u64,
                stride: conv.stride.map(|v| v as u64),
                dilation: conv.dilation.map(|v| v as u64),
            }
        }
        Op::Linear { out_features, .. } => {
            let (&c, positions) = inputs[0].0.split_last().ok_or("its input has no axis")?;
            plain(1, *out_features, c, positions.iter().product())
        }
        Op::MatMul { .. } => {
            let axes = &inputs[0].0;
            let (m, k) = (axes[axes.len() - 2], axes[axes.len() - 1]);
            let heads = axes[..axes.len() - 2].iter().product();
            plain(heads, *output.0.last().ok_or("its output has no axis")?, k, m)
        }
        _ => return Ok(None),
    };
    let loops = [nest.g, nest.k, nest.c, nest.p, nest.q, nest.r, nest.s];
    match crate::units::product(&loops) {
        Ok(macs) if macs <= MAX_MACS => Ok(Some(nest)),
        _ => Err("it needs more than 2^50 multiply-accumulates a sample".into()),
    }
}

fn plain(g: usize, k: usize, c: usize, p: usize) -> LoopNest {
    LoopNest {
        n: 1,
        g: g as u64,
        k: k as u64,
        c: c as u64,
        p: p as u64,
        q: 1,
        r: 1,
        s: 1,
        stride: [1, 1],
        dilation: [1, 1],
    }
}
