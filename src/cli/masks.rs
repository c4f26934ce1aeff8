//! Masks for an estimate: from files, or drawn from a model at a recipe's densities.

use super::costs::{Masks, density};
use super::failure::Failure;
use super::request::Given;
use crate::compression::mask_file::{self, MaskFileError, Wanted};
use crate::compression::structure::TensorShape;
use crate::compression::{MaskModel, Recipe};
use crate::network::{Network, Workload};
use crate::report::{Input, sha256_of};
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the non-zeros stand.
#[derive(Debug, Args)]
pub(super) struct MaskArguments {
    /// Set the network on real masks beside the expectation: the non-zeros of a .safetensors file, or a directory with
    /// LAYER.smtx or packed layers
    #[arg(long, value_name = "FILE_OR_DIR", conflicts_with_all = ["mask_model", "scalesim"])]
    masks: Option<PathBuf>,
    /// Set a network with the recipe's densities on drawn masks beside the expectation: `uniform`, `clustered:RUN` or
    /// `row-skew:CV`; layers with a structure get random masks of that structure
    #[arg(long, value_name = "MODEL", requires = "recipe")]
    mask_model: Option<MaskModel>,
    /// Seed of the drawn masks
    #[arg(long, value_name = "N", default_value = "1", conflicts_with_all = ["scalesim", "masks"])]
    seed: u64,
}

/// Masks with what is said of them.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The candidate's name.
    pub(super) candidate: &'static str,
    pub(super) masks: Masks,
    /// The files, where they came from files.
    pub(super) input: Option<Input>,
    /// The model and the seed, where they were drawn.
    pub(super) drawn: Option<(MaskModel, u64)>,
    /// Layers with weights that have no mask.
    pub(super) without: Vec<String>,
}

impl MaskArguments {
    /// The masks asked for, if any.
    pub(super) fn open(
        &self,
        workload: &Workload,
        recipe: Option<&Given<Recipe>>,
    ) -> Result<Option<Chosen>, Failure> {
        if let Some(path) = &self.masks {
            return from_files(path, &wanted(&workload.network)).map(Some);
        }
        Ok(self.mask_model.zip(recipe).map(|(model, recipe)| Chosen {
            candidate: "recipe-masks",
            masks: draw(&workload.network, &recipe.value, model, self.seed),
            input: None,
            drawn: Some((model, self.seed)),
            without: Vec::new(),
        }))
    }
}

/// The layers with weights, and the shapes of their GEMM matrices.
fn wanted(network: &Network) -> Vec<Wanted> {
    let wanted = network.weighted().filter_map(|layer| {
        let nest = layer.nest?;
        Some(Wanted {
            layer: layer.name.clone(),
            rows: (nest.g * nest.k) as usize,
            cols: (nest.c * nest.r * nest.s) as usize,
        })
    });
    wanted.collect()
}

/// A mask of each layer with weights, of a recipe's structures and densities. Each layer has a seed of its own.
fn draw(network: &Network, recipe: &Recipe, model: MaskModel, seed: u64) -> Masks {
    network
        .weighted()
        .enumerate()
        .filter_map(|(i, layer)| {
            let shape = TensorShape::of(&layer.weight_shape()?);
            let target = recipe.target(&layer.name);
            let density = density(layer, &target);
            let seed = seed.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mask = model.draw_structured(target.structure, shape, density, seed);
            Some((layer.name.clone(), mask))
        })
        .collect()
}

fn from_files(path: &Path, wanted: &[Wanted]) -> Result<Chosen, Failure> {
    let set = mask_file::open(path, wanted).map_err(|error| {
        let help = match &error {
            MaskFileError::Io { .. } => "check the path and its permissions",
            MaskFileError::Nothing { .. } | MaskFileError::Shape { .. } => {
                "`cosparse workload show` lists the layers with their weights"
            }
            _ => "write the file again, or leave it out",
        };
        Failure::input(error.to_string(), help)
    })?;
    let without = wanted
        .iter()
        .filter(|w| !set.masks.contains_key(&w.layer))
        .map(|w| w.layer.clone())
        .collect();
    Ok(Chosen {
        candidate: "masks",
        masks: set.masks,
        input: Some(Input {
            name: path
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default(),
            given: path.display().to_string(),
            sha256: sha256_of(set.contents),
        }),
        drawn: None,
        without,
    })
}
