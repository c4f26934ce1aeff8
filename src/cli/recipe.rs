//! Recipe files, checked against the network they are for.

use super::failure::Failure;
use super::request::Given;
use crate::compression::{Recipe, RecipeError, RecipeErrors, RecipeFile, recipes};
use crate::document::{Fault, Source, nearest};
use crate::network::Network;
use crate::report::{Input, sha256};
use std::path::Path;

/// Reads a recipe for a network: a shipped one by its name, or a file.
pub(super) fn open(path: &Path, network: &Network) -> Result<Given<Recipe>, Failure> {
    let word = path.to_string_lossy();
    let source = match recipes::find(&word) {
        Some(source) => source,
        None if path.components().count() == 1 && path.extension().is_none() && !path.exists() => {
            let names = || recipes::list().iter().map(|(name, _)| *name);
            let near = nearest(&word, names()).map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            return Err(Failure::input(
                format!("there is no recipe named `{word}`, and no such file"),
                format!("{near}`cosparse workload recipes` shows what is shipped"),
            ));
        }
        None => Source::read(path)?,
    };
    let file: RecipeFile = source.parse()?;
    let names: Vec<&str> = network.weighted().map(|l| l.name.as_str()).collect();
    let checked = Recipe::from_file(file).and_then(|recipe| recipe.check_layers(&names).map(|()| recipe));
    let value = checked.map_err(|RecipeErrors(errors)| {
        source.faults(errors.iter().map(|e| fault(&source, e, &names)).collect())
    })?;
    let given = path.display().to_string();
    let name = path
        .file_stem()
        .map_or_else(|| given.clone(), |stem| stem.to_string_lossy().into_owned());
    let input = Input {
        name,
        given,
        sha256: sha256(source.text.as_bytes()),
    };
    Ok(Given { value, source, input })
}

/// The error at its place.
fn fault(source: &Source, error: &RecipeError, names: &[&str]) -> Fault {
    let (layer, key, help) = match error {
        RecipeError::Density { layer, .. } => {
            (layer, "density", "write a portion above 0 and up to 1".into())
        }
        RecipeError::PrecisionBits { layer, .. } => (layer, "precision", "write 1 to 16 bits".into()),
        RecipeError::Encoding { layer, .. } => (
            layer,
            "encoding",
            "write a value in that range, or take another encoding".into(),
        ),
        RecipeError::UnknownLayer { layer, .. } => {
            (layer, "", format!("layers with weights: {}", names.join(", ")))
        }
    };
    Fault::new(source.place(&["layer", layer, key]), error.to_string(), help)
}
