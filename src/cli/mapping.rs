//! Mapping files, checked against the network they are for, and mappings as text.

use super::failure::Failure;
use super::request::Given;
use crate::document::{Fault, Source};
use crate::hardware::{Engine, EngineKind, Profile};
use crate::network::{Network, Workload};
use crate::report::{Input, sha256};
use crate::simulate::{MEMORY, Mapping, Mappings, NetworkCost, SimulateError};
use std::fmt::Write as _;
use std::path::Path;

/// The mappings that were asked for, if any, checked against the network and the accelerators.
pub(super) fn given(
    path: Option<&Path>,
    network: &Network,
    profiles: &[Given<Profile>],
) -> Result<Option<Given<Mappings>>, Failure> {
    let mappings = path.map(|path| open(path, network)).transpose()?;
    if let Some(mappings) = &mappings {
        check_profiles(&mappings.value, profiles)?;
    }
    Ok(mappings)
}

/// Reads a mapping file for a network.
fn open(path: &Path, network: &Network) -> Result<Given<Mappings>, Failure> {
    let source = Source::read(path)?;
    let value = Mappings::from_source(&source)?;
    let names: Vec<&str> = network
        .layers()
        .filter(|(_, layer)| layer.nest.is_some())
        .map(|(_, layer)| layer.name.as_str())
        .collect();
    value.check_layers(&source, &names)?;
    let input = Input {
        name: value.name.clone(),
        given: path.display().to_string(),
        sha256: sha256(source.text.as_bytes()),
    };
    Ok(Given { value, source, input })
}

/// Refuses profiles without an engine that takes any of the mappings.
fn check_profiles(mappings: &Mappings, profiles: &[Given<Profile>]) -> Result<(), Failure> {
    let taken = |engine: &Engine| {
        let row_stationary = matches!(engine.kind, EngineKind::RowStationary(_));
        mappings.layers.is_empty()
            || mappings
                .layers
                .values()
                .any(|mapping| matches!(mapping, Mapping::RowStationary(_)) == row_stationary)
    };
    let Some(profile) = profiles.iter().find(|p| !p.value.engines.iter().any(taken)) else {
        return Ok(());
    };
    let name = &profile.value.name;
    let tiled = mappings
        .layers
        .values()
        .any(|m| matches!(m, Mapping::Tiled(_) | Mapping::Spatial(..)));
    Err(if tiled {
        Failure::input(
            format!("no engine of profile `{name}` takes tiles"),
            "leave `--mapping` out, or pin `m`, `n`, `e`, `p`, `q`, `r` and `t` of its row-stationary array",
        )
    } else {
        Failure::input(
            format!("no engine of profile `{name}` takes a mapping"),
            "leave `--mapping` out, or name a profile with a row-stationary engine, as `eyeriss-65nm`",
        )
    })
}

/// A mapping that a profile cannot run, at its place in the mapping file.
pub(super) fn failure(
    given: &Given<Mappings>,
    error: &SimulateError,
    layer: &str,
    key: &str,
    profile: &str,
) -> Failure {
    let (message, help) = match error {
        SimulateError::Mapping { message, cure, .. } => (message.clone(), cure.clone()),
        other => (
            other.to_string(),
            "leave the layer out of the mapping file, or take another profile".into(),
        ),
    };
    let fault = Fault::new(
        given.source.place(&["layer", layer, key]),
        format!("layer `{layer}` on profile `{profile}`: {message}"),
        help,
    );
    given.source.faults(vec![fault]).into()
}

/// The mappings of all layers as loops.
pub(super) fn text(workload: &Given<Workload>, profile: &Profile, total: &NetworkCost) -> String {
    let mut text = format!("mappings of {} on {}\n", workload.value.name, profile.name);
    for layer in &total.layers {
        let cost = &layer.outcome.cost;
        let engine = profile.engines.iter().find(|e| e.name == cost.engine);
        let array = engine.map(|e| e.kind.mapping()).unwrap_or_default();
        match &cost.mapping {
            None if cost.engine == MEMORY => {
                let _ = writeln!(text, "{}: streams through the memories", layer.name);
            }
            None => {
                let _ = writeln!(text, "{}: {array}", layer.name);
            }
            Some(form) => {
                let _ = writeln!(text, "{}: {array} {}", layer.name, form.word);
                for line in &form.lines {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
    }
    text
}
