//! `resources.csv`: what each engine of an FPGA profile takes of its part.

use super::layers::Subject;
use super::table::{Align, table};
use crate::hardware::Profile;
use crate::hardware::resources::{Feasibility, Resource, ResourcesError};
use serde::Serialize;
use std::fmt::Write as _;

/// One resource of one engine with all buffers, its PEs built for the widest weight of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceRow {
    /// The run.
    pub run: String,
    /// The accelerator.
    pub profile: String,
    /// The candidate.
    pub candidate: String,
    /// The engine.
    pub engine: String,
    /// The part.
    pub part: String,
    /// Bits of a weight in the PEs.
    pub weight_bits: u32,
    /// Bits of an activation.
    pub activation_bits: u32,
    /// `DSP`, `LUT`, `FF`, `BRAM18` or `URAM`.
    pub resource: &'static str,
    /// What the design takes.
    pub used: u64,
    /// What the part has.
    pub available: u64,
    /// Used over available; empty where the part has none of it.
    pub portion: Option<f64>,
    /// Whether it is the resource of which the largest portion is taken.
    pub binding: bool,
    /// Whether the whole design fits the part.
    pub fits: bool,
}

/// What the engines of an FPGA profile take at weights of so many bits, in the profile's order; none for a profile
/// that is no FPGA.
#[must_use]
pub fn engine_resources(
    profile: &Profile,
    weight_bits: u32,
) -> Vec<(&str, Result<Feasibility, ResourcesError>)> {
    let engines = profile.engines.iter().filter(|_| profile.fpga.is_some());
    engines
        .map(|engine| (engine.name.as_str(), profile.resources_at(engine, weight_bits)))
        .collect()
}

/// The rows of one candidate on one profile.
#[must_use]
pub fn resource_rows(subject: &Subject<'_>, weight_bits: u32) -> Vec<ResourceRow> {
    let profile = subject.profile;
    let part = profile.fpga.as_ref().map_or("", |f| f.part.value.as_str());
    let known = engine_resources(profile, weight_bits);
    let known = known
        .into_iter()
        .filter_map(|(engine, resources)| Some((engine, resources.ok()?)));
    known
        .flat_map(|(engine, feasibility)| {
            Resource::ALL.map(|resource| {
                let (used, available) = (feasibility.used.of(resource), feasibility.available.of(resource));
                ResourceRow {
                    run: subject.run.into(),
                    profile: profile.name.clone(),
                    candidate: subject.candidate.into(),
                    engine: engine.into(),
                    part: part.into(),
                    weight_bits,
                    activation_bits: profile.activation_bits,
                    resource: resource.name(),
                    used,
                    available,
                    portion: (available > 0).then(|| used as f64 / available as f64),
                    binding: feasibility.binding == resource,
                    fits: feasibility.fits,
                }
            })
        })
        .collect()
}

/// What the engines of an FPGA profile take, one below the other, and for each whether it fits; empty for a profile
/// that is no FPGA.
#[must_use]
pub fn resource_table(profile: &Profile, weight_bits: u32) -> String {
    let engines = engine_resources(profile, weight_bits);
    let Some(fpga) = profile.fpga.as_ref().filter(|_| !engines.is_empty()) else {
        return String::new();
    };
    let columns: Vec<_> = std::iter::once(("engine", Align::Left))
        .chain(Resource::ALL.map(|r| (r.name(), Align::Right)))
        .collect();
    let rows = engines.iter().map(|(engine, resources)| {
        let cell = |r: Resource| match resources {
            Err(_) => "not modelled".into(),
            Ok(f) => match (f.used.of(r), f.available.of(r)) {
                (used, 0) => format!("{used} of 0"),
                (used, has) => format!("{used} of {has} ({:.0} %)", 100.0 * used as f64 / has as f64),
            },
        };
        let name = std::iter::once((*engine).to_owned());
        name.chain(Resource::ALL.map(cell)).collect()
    });
    let mut text = format!(
        "{} at {weight_bits} x {} bits, an engine a bitstream\n{}",
        fpga.part.value,
        profile.activation_bits,
        table(&columns, rows)
    );
    for (engine, resources) in &engines {
        let _ = match resources {
            Ok(feasibility) => write!(text, "\n{engine} {feasibility}"),
            Err(error) => write!(text, "\n{engine}: not modelled: {error}"),
        };
    }
    text
}
