//! From the layers of a file to a network, with every fault at its layer.

use super::form::{LayerForm, PriorForm, WorkloadFile};
use super::{ActivationDensity, Prior, refuse};
use crate::document::{At, Fault, nearest};
use crate::network::{Network, NetworkBuilder, NetworkError, Shape};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Errors that are looked up in the file; a screen shows fewer.
const MOST_ERRORS: usize = 60;

/// The activation densities of all layers, each with its source.
pub(super) fn activations(
    file: &WorkloadFile,
    faults: &mut Vec<Fault>,
) -> BTreeMap<String, ActivationDensity> {
    let mut densities = BTreeMap::new();
    for layer in &file.layer {
        match (&layer.activation_density, &layer.activation_source) {
            (Some(density), Some(source)) => {
                densities.insert(
                    layer.name.value.clone(),
                    ActivationDensity {
                        value: density.value,
                        source: source.value.clone(),
                    },
                );
            }
            (Some(density), None) => {
                faults.push(density.fault(
                    "an activation density needs its source",
                    "add `activation-source = \"…\"`: where it was measured or published",
                ));
            }
            (None, Some(source)) => faults.push(source.fault(
                "`activation-source` stands without `activation-density`",
                "add the density, or remove the source",
            )),
            (None, None) => {}
        }
    }
    densities
}

/// The network of a file, or its faults.
pub(super) fn network(file: &WorkloadFile, faults: &mut Vec<Fault>) -> Option<Network> {
    let input = &file.input.value;
    let mut builder = NetworkBuilder::new();
    builder.input(&input.name, Shape(input.shape.iter().map(|n| n.get()).collect()));
    let mut before = input.name.as_str();
    for layer in &file.layer {
        refuse(faults, layer.input.is_some() && layer.inputs.is_some(), || {
            let place = layer.input.as_ref().map_or_else(|| layer.name.span(), At::span);
            Fault::new(
                place,
                format!("layer `{}` has both `input` and `inputs`", layer.name.value),
                "keep one of them",
            )
        });
        builder.layer(&layer.name.value, layer.op.op(), &reads(layer, before));
        before = &layer.name.value;
    }
    match builder.check() {
        Ok(network) => Some(network),
        Err(errors) => {
            faults.extend(errors.iter().take(MOST_ERRORS).map(|error| fault(file, error)));
            None
        }
    }
}

/// A network's error at the place in the file that causes it.
fn fault(file: &WorkloadFile, error: &NetworkError) -> Fault {
    let find = |name: &str| file.layer.iter().find(|l| l.name.value == name);
    let place = |name: &str| find(name).map_or_else(|| file.input.span(), |l| l.name.span());
    let span = error.layer().map_or_else(|| file.input.span(), place);
    let (span, label, help) = match error {
        NetworkError::Duplicate { layer } => {
            let again = file.layer.iter().rev().find(|l| l.name.value == *layer);
            (
                again.map_or(span, |l| l.name.span()),
                "second of this name",
                "give every layer and the input its own name".into(),
            )
        }
        NetworkError::UnknownInput { layer, input } => {
            let names = file.layer.iter().map(|l| l.name.value.as_str()).chain([file
                .input
                .value
                .name
                .as_str()]);
            let near = nearest(input, names.filter(|n| n != layer));
            let help = near.map_or_else(String::new, |n| format!("did you mean `{n}`? "))
                + "an input is the name of another layer or of the network's input";
            (
                find(layer).and_then(|l| reading(l, input)).unwrap_or(span),
                "no such layer",
                help,
            )
        }
        NetworkError::Cycle { layer } => {
            let way = cycle(file, layer).join(" reads ");
            (
                span,
                "on the cycle",
                format!("{way}: let one of these layers read an earlier layer"),
            )
        }
        NetworkError::Outputs { first, .. } => (
            span,
            "read by no layer",
            format!("let a later layer read it, or remove it; `{first}` ends the network too"),
        ),
        NetworkError::TooLarge { .. } => (
            span,
            "too large",
            "lower the layer's channels, features or map".into(),
        ),
        NetworkError::Shape { .. } => (span, "this layer", "change the layer, or what it reads".into()),
        NetworkError::Missing { .. } => (span, "this network", "add a layer".into()),
    };
    Fault::new(span, error.to_string(), help).label(label)
}

/// The names a layer reads, when `before` stands before it.
fn reads<'f>(layer: &'f LayerForm, before: &'f str) -> Vec<&'f str> {
    match (&layer.input, &layer.inputs) {
        (Some(one), _) => vec![one.value.as_str()],
        (None, Some(several)) => several.iter().map(|i| i.value.as_str()).collect(),
        (None, None) => vec![before],
    }
}

/// The shortest way from a layer back to itself, as quoted names; long ways are cut in the middle.
fn cycle(file: &WorkloadFile, layer: &str) -> Vec<String> {
    const MOST: usize = 8;
    let before = std::iter::once(file.input.value.name.as_str())
        .chain(file.layer.iter().map(|l| l.name.value.as_str()));
    let edges: BTreeMap<&str, Vec<&str>> = file
        .layer
        .iter()
        .zip(before)
        .map(|(l, b)| (l.name.value.as_str(), reads(l, b)))
        .collect();
    // breadth first, from the layer along what it reads; each name remembers who reads it
    let mut reader: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([layer]);
    while let Some(name) = queue.pop_front().filter(|_| !reader.contains_key(layer)) {
        for &input in edges.get(name).into_iter().flatten() {
            if !reader.contains_key(input) {
                reader.insert(input, name);
                queue.push_back(input);
            }
        }
    }
    let mut way = vec![format!("`{layer}`")];
    let mut here = reader.get(layer).copied();
    while let Some(name) = here {
        way.push(format!("`{name}`"));
        here = if name == layer {
            None
        } else {
            reader.get(name).copied()
        };
    }
    way.reverse();
    if way.len() > MOST {
        way.splice(MOST / 2..way.len() - MOST / 2, ["…".to_string()]);
    }
    way
}

/// Where a layer names an input.
fn reading(layer: &LayerForm, input: &str) -> Option<Range<usize>> {
    let several = layer.inputs.iter().flatten();
    layer
        .input
        .iter()
        .chain(several)
        .find(|i| i.value == input)
        .map(At::span)
}

/// The densities of `[prior]`; every layer it names must have weights.
pub(super) fn prior(form: &PriorForm, network: Option<&Network>, faults: &mut Vec<Fault>) -> Prior {
    for (name, density) in &form.density {
        refuse(faults, !(density.value > 0.0 && density.value <= 1.0), || {
            density.fault(
                format!("the prior density of `{name}` is {}", density.value),
                "give the portion of its weights that are kept, greater than 0 and at most 1",
            )
        });
        let weighted: Vec<&str> =
            network.map_or_else(Vec::new, |n| n.weighted().map(|l| l.name.as_str()).collect());
        refuse(
            faults,
            network.is_some() && !weighted.contains(&name.as_str()),
            || {
                let near = nearest(name, weighted.iter().copied())
                    .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
                density.fault(
                    format!("there is no layer `{name}` with weights"),
                    format!("{near}layers with weights: {}", weighted.join(", ")),
                )
            },
        );
    }
    Prior {
        source: form.source.clone(),
        density: form.density.iter().map(|(k, v)| (k.clone(), v.value)).collect(),
    }
}
