//! Mapping files, checked against the network they are for, and mappings as text.

use super::failure::Failure;
use super::request::Given;
use crate::document::{Fault, Source};
use crate::hardware::{EngineKind, Profile};
use crate::network::{Network, Workload};
use crate::report::{Input, sha256};
use crate::simulate::{Mappings, NetworkCost, SimulateError};
use std::fmt::Write as _;
use std::path::Path;

/// Reads a mapping file for a network.
pub(super) fn open(path: &Path, network: &Network) -> Result<Given<Mappings>, Failure> {
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

/// Refuses profiles without an engine that takes mappings.
pub(super) fn check_profiles(profiles: &[Given<Profile>]) -> Result<(), Failure> {
    let takes = |p: &&Given<Profile>| {
        let engines = &p.value.engines;
        !engines
            .iter()
            .any(|e| matches!(e.kind, EngineKind::RowStationary(_)))
    };
    match profiles.iter().find(takes) {
        None => Ok(()),
        Some(profile) => Err(Failure::input(
            format!("no engine of profile `{}` takes a mapping", profile.value.name),
            "leave `--mapping` out, or name a profile with a row-stationary engine, as `eyeriss-65nm`",
        )),
    }
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

/// The mappings of all layers as loops; a line for layers on engines that have one mapping only.
pub(super) fn text(workload: &Given<Workload>, profile: &Profile, total: &NetworkCost) -> String {
    let mut text = format!("mappings of {} on {}\n", workload.value.name, profile.name);
    for layer in &total.layers {
        let cost = &layer.outcome.cost;
        let engine = profile.engines.iter().find(|e| e.name == cost.engine);
        let array = engine.map(|e| e.kind.mapping()).unwrap_or_default();
        match &cost.mapping {
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
