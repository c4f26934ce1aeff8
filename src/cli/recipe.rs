//! Recipe files, checked against the network they are for.

use super::failure::Failure;
use super::request::Given;
use crate::compression::structure::TensorShape;
use crate::compression::{Recipe, RecipeError, RecipeErrors, RecipeFile, recipes};
use crate::document::{Fault, Source, nearest};
use crate::hardware::Profile;
use crate::network::Network;
use crate::report::{Input, sha256};
use crate::simulate::{NetworkCost, follows_activation_width};
use std::path::Path;

/// The recipe that was asked for, if any, checked against the network and the accelerators.
pub(super) fn given(
    path: Option<&Path>,
    network: &Network,
    profiles: &[Given<Profile>],
) -> Result<Option<Given<Recipe>>, Failure> {
    let recipe = path.map(|path| open(path, network)).transpose()?;
    if let Some(recipe) = &recipe {
        check_profiles(recipe, profiles)?;
    }
    Ok(recipe)
}

/// Reads a recipe for a network: a shipped one by its name, or a file.
fn open(path: &Path, network: &Network) -> Result<Given<Recipe>, Failure> {
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
    let shape = |layer: &str| {
        let id = network.find(layer)?;
        Some(TensorShape::of(&network.layer(id).weight_shape()?))
    };
    let checked = Recipe::from_file(file).and_then(|recipe| {
        recipe.check_layers(&names)?;
        recipe.check_structures(shape)?;
        Ok(recipe)
    });
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

/// Refuses activations that are wider than an accelerator multiplies.
fn check_profiles(recipe: &Given<Recipe>, profiles: &[Given<Profile>]) -> Result<(), Failure> {
    let mut faults = Vec::new();
    for profile in profiles.iter().map(|p| &p.value) {
        if profile.engines.iter().any(|e| follows_activation_width(&e.kind)) {
            continue;
        }
        let (name, most) = (&profile.name, profile.activation_bits);
        for (layer, target) in &recipe.value.layers {
            if let Some(bits) = target.activation_bits.filter(|&bits| u32::from(bits) > most) {
                faults.push(Fault::new(
                    recipe.source.place(&["layer", layer, "activation-bits"]),
                    format!(
                        "layer `{layer}`: activations of {bits} bits are wider than the {most} bits that profile `{name}` multiplies"
                    ),
                    format!(
                        "write {most} bits or fewer, leave `activation-bits` out, or take a profile whose engines follow the width, as `bitfusion-like-45nm`"
                    ),
                ));
            }
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(recipe.source.faults(faults).into())
    }
}

/// The layers whose activations are narrower than an accelerator's, on engines that are no faster for it.
pub(super) fn note(recipe: &Recipe, profile: &Profile, total: &NetworkCost) -> String {
    let layers = total.layers.iter().filter(|layer| {
        let bits = recipe.target(&layer.name).activation_bits.map(u32::from);
        let engine = profile.engines.get(layer.outcome.engine);
        bits.is_some_and(|bits| bits < profile.activation_bits)
            && engine.is_some_and(|engine| !follows_activation_width(&engine.kind))
    });
    let names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "\nnarrower activations save traffic and energy, but the engine takes as many cycles to multiply them: {}",
        names.join(", ")
    )
}

/// The error at its place.
fn fault(source: &Source, error: &RecipeError, names: &[&str]) -> Fault {
    let (layer, key, help) = match error {
        RecipeError::Density { layer, .. } => {
            (layer, "density", "write a portion above 0 and up to 1".into())
        }
        RecipeError::PrecisionBits { layer, most, .. } => {
            (layer, "precision", format!("write 1 to {most} bits"))
        }
        RecipeError::ActivationBits { layer, .. } => (layer, "activation-bits", "write 1 to 16 bits".into()),
        RecipeError::Encoding { layer, .. } => (
            layer,
            "encoding",
            "write a value in that range, or take another encoding".into(),
        ),
        RecipeError::Structure { layer, .. } => (
            layer,
            "structure",
            "change the structure or the density, or take \"unstructured\"".into(),
        ),
        RecipeError::UnknownLayer { layer, .. } => {
            (layer, "", format!("layers with weights: {}", names.join(", ")))
        }
    };
    Fault::new(source.place(&["layer", layer, key]), error.to_string(), help)
}
