//! Recipe files, checked against the network they are for.

use super::failure::Failure;
use super::request::Given;
use crate::compression::{Recipe, RecipeFile};
use crate::document::{Fault, Source, nearest};
use crate::network::Network;
use crate::report::{Input, sha256};
use std::path::Path;

/// Reads a recipe for a network.
pub(super) fn open(path: &Path, network: &Network) -> Result<Given<Recipe>, Failure> {
    let source = Source::read(path)?;
    let file: RecipeFile = source.parse()?;
    let names: Vec<&str> = network.weighted().map(|l| l.name.as_str()).collect();
    let mut faults = Vec::new();
    for (name, target) in &file.layer {
        if !names.contains(&name.as_str()) {
            let near = nearest(name, names.iter().copied()).map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            let message = format!("the network has no layer `{name}` with weights");
            faults.push(Fault::new(source.place(&["layer", name]), message, format!("{near}layers with weights: {}", names.join(", "))));
        }
        if !(target.density > 0.0 && target.density <= 1.0) {
            let message = format!("the density of layer `{name}` is {}", target.density);
            faults.push(Fault::new(source.place(&["layer", name, "density"]), message, "write a portion above 0 and up to 1"));
        }
    }
    if !faults.is_empty() {
        return Err(source.faults(faults).into());
    }
    let given = path.display().to_string();
    let name = path.file_stem().map_or_else(|| given.clone(), |stem| stem.to_string_lossy().into_owned());
    let input = Input { name, given, sha256: sha256(source.text.as_bytes()) };
    Ok(Given { value: Recipe { layers: file.layer }, source, input })
}
