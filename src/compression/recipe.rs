//! Recipe files: reading, checking against a network, writing.

use super::encoding::EncodeError;
use super::structure::{StructureError, TensorShape};
use super::{Recipe, RecipeFile, Target};
use serde::Serialize;
use std::fmt::{self, Write};

/// One fault of a recipe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// The density is not in (0, 1].
    #[error(
        "layer `{layer}`: density {density} is not in (0, 1]; 1 keeps every weight, and a layer keeps at least one"
    )]
    Density {
        /// The layer.
        layer: String,
        /// What was read.
        density: f64,
    },
    /// The bits of a level code are outside the range of their kind.
    #[error("layer `{layer}`: a precision of {bits} bits does not exist; use 1 to {most}")]
    PrecisionBits {
        /// The layer.
        layer: String,
        /// What was read.
        bits: u8,
        /// The most that this kind of levels may have.
        most: u8,
    },
    /// The bits of an activation are not 1 to 16.
    #[error("layer `{layer}`: activations of {bits} bits are not simulated; use 1 to 16")]
    ActivationBits {
        /// The layer.
        layer: String,
        /// What was read.
        bits: u8,
    },
    /// A parameter of the encoding is outside its range.
    #[error("layer `{layer}`: {source}")]
    Encoding {
        /// The layer.
        layer: String,
        /// Which, and the range.
        source: EncodeError,
    },
    /// The structure's numbers make no sense, or the layer cannot hold it.
    #[error("layer `{layer}`: {source}")]
    Structure {
        /// The layer.
        layer: String,
        /// What is wrong.
        source: StructureError,
    },
    /// The network has no such layer with weights.
    #[error("the network has no layer `{layer}` with weights{}", match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => ", nor any other".to_owned(),
    })]
    UnknownLayer {
        /// The layer as named in the recipe.
        layer: String,
        /// The network's layer whose name is nearest.
        nearest: Option<String>,
    },
}

/// Everything that is wrong with a recipe, in the order of its layers' names. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeErrors(pub Vec<RecipeError>);

impl fmt::Display for RecipeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for RecipeErrors {}

impl Recipe {
    /// The recipe of a file.
    ///
    /// # Errors
    /// All densities and widths outside their ranges.
    pub fn from_file(file: RecipeFile) -> Result<Self, RecipeErrors> {
        checked(
            file.layer
                .iter()
                .flat_map(|(layer, target)| target_faults(layer, target)),
        )?;
        Ok(Self { layers: file.layer })
    }

    /// Whether every layer of the recipe is one of the network's layers with weights.
    ///
    /// # Errors
    /// All layers that the network does not have, each with the nearest name that it has.
    pub fn check_layers(&self, network: &[&str]) -> Result<(), RecipeErrors> {
        let unknown = self
            .layers
            .keys()
            .filter(|layer| !network.contains(&layer.as_str()));
        checked(unknown.map(|layer| {
            RecipeError::UnknownLayer {
                layer: layer.clone(),
                nearest: network
                    .iter()
                    .min_by_key(|name| edits(layer, name))
                    .map(|&name| name.to_owned()),
            }
        }))
    }

    /// Whether every layer can hold its structure at its density. `shape` gives the weight tensor of a layer; layers
    /// without one are left to [`Recipe::check_layers`].
    ///
    /// # Errors
    /// All layers that cannot, each with what stands against it.
    pub fn check_structures(&self, shape: impl Fn(&str) -> Option<TensorShape>) -> Result<(), RecipeErrors> {
        checked(self.layers.iter().filter_map(|(layer, target)| {
            let shape = shape(layer)?;
            let source = target.structure.fits(shape, target.kept(shape.weights())).err()?;
            Some(RecipeError::Structure {
                layer: layer.clone(),
                source,
            })
        }))
    }

    /// The file of this recipe.
    #[must_use]
    pub fn to_file(&self, source: impl Into<String>) -> RecipeFile {
        RecipeFile {
            source: source.into(),
            layer: self.layers.clone(),
        }
    }
}

impl RecipeFile {
    /// The file's TOML text: one table per layer, by name. Reading it back gives an equal file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!("source = {}\n", inline(&self.source));
        for (layer, target) in &self.layer {
            let Target {
                structure,
                density,
                precision,
                encoding,
                activation_bits,
            } = target;
            let fields = [
                ("structure", inline(structure)),
                ("density", inline(density)),
                ("precision", inline(precision)),
                ("encoding", inline(encoding)),
            ];
            let activations = activation_bits.map(|bits| ("activation-bits", inline(&bits)));
            let _ = write!(text, "\n[layer.{}]\n", key(layer));
            for (name, value) in fields.into_iter().chain(activations) {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        text
    }
}

fn checked(faults: impl Iterator<Item = RecipeError>) -> Result<(), RecipeErrors> {
    let faults: Vec<RecipeError> = faults.collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(RecipeErrors(faults))
    }
}

fn target_faults(layer: &str, target: &Target) -> Vec<RecipeError> {
    let widths = 1..=16u8;
    let layer = || layer.to_owned();
    let mut faults = Vec::new();
    if !(target.density > 0.0 && target.density <= 1.0) {
        faults.push(RecipeError::Density {
            layer: layer(),
            density: target.density,
        });
    }
    if let Err(source) = target.structure.check() {
        faults.push(RecipeError::Structure {
            layer: layer(),
            source,
        });
    }
    let precision = target.precision;
    if let Some(most) = precision.most_bits().filter(|_| !precision.has_valid_bits()) {
        faults.push(RecipeError::PrecisionBits {
            layer: layer(),
            bits: precision.bits() as u8,
            most,
        });
    }
    if let Some(bits) = target.activation_bits.filter(|bits| !widths.contains(bits)) {
        faults.push(RecipeError::ActivationBits { layer: layer(), bits });
    }
    if let Err(source) = target.encoding.check() {
        faults.push(RecipeError::Encoding {
            layer: layer(),
            source,
        });
    }
    faults
}

/// A value as TOML writes it on one line.
fn inline(value: &impl Serialize) -> String {
    toml::Value::try_from(value)
        .expect("targets and text have a TOML form")
        .to_string()
}

fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { inline(&name) }
}

/// Insertions, deletions and substitutions that lead from one name to the other (Levenshtein distance), letters'
/// case aside.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::encoding::Encoding;
    use crate::compression::precision::Precision;
    use crate::compression::structure::Structure;
    use std::collections::BTreeMap;

    fn file(layers: &[(&str, Target)]) -> RecipeFile {
        let layer: BTreeMap<String, Target> = layers
            .iter()
            .map(|&(name, target)| (name.to_owned(), target))
            .collect();
        RecipeFile {
            source: "a \"quoted\" source\nof two lines".into(),
            layer,
        }
    }

    const PRUNED: Target = Target {
        structure: Structure::Unstructured,
        density: 0.2,
        precision: Precision::equal_interval(3),
        encoding: Encoding::RelativeIndex { bits: 4 },
        activation_bits: None,
    };

    #[test]
    fn a_written_file_reads_back_equal() {
        let names = ["conv1", "block.0/conv", "", "ключ \"x\"", "a'b"];
        let layers: Vec<(&str, Target)> = names
            .iter()
            .map(|&n| (n, PRUNED))
            .chain([
                ("fc", Target::DENSE),
                (
                    "narrow",
                    Target {
                        activation_bits: Some(4),
                        ..PRUNED
                    },
                ),
            ])
            .collect();
        let written = file(&layers);
        let read: RecipeFile = toml::from_str(&written.to_toml()).expect("what is written can be read");
        assert_eq!(read, written);
        assert_eq!(
            Recipe::from_file(read).expect("valid").to_file(&written.source),
            written
        );
    }

    #[test]
    fn a_layer_is_written_on_five_lines() {
        let mut written = file(&[("conv1", PRUNED)]);
        written.source = "by hand".into();
        assert_eq!(
            written.to_toml(),
            "source = \"by hand\"\n\n[layer.conv1]\nstructure = \"unstructured\"\ndensity = 0.2\n\
             precision = { kind = \"equal-interval\", bits = 3 }\nencoding = { kind = \"relative-index\", bits = 4 }\n"
        );
    }

    #[test]
    fn every_fault_is_reported() {
        let broken = Target {
            density: 0.0,
            precision: Precision::equal_interval(17),
            encoding: Encoding::RelativeIndex { bits: 0 },
            ..PRUNED
        };
        let faults = Recipe::from_file(file(&[
            ("a", broken),
            (
                "b",
                Target {
                    density: f64::NAN,
                    ..PRUNED
                },
            ),
        ]))
        .expect_err("the recipe is faulty");
        assert_eq!(faults.0.len(), 4);
        assert_eq!(
            faults.0[1],
            RecipeError::PrecisionBits {
                layer: "a".into(),
                bits: 17,
                most: 16
            }
        );
        assert_eq!(faults.to_string().lines().count(), 4);
        assert!(
            Recipe::from_file(file(&[(
                "a",
                Target {
                    density: 1.0 + 1e-12,
                    ..PRUNED
                }
            )]))
            .is_err()
        );
    }

    #[test]
    fn an_unknown_layer_names_the_nearest() {
        let recipe =
            Recipe::from_file(file(&[("Conv2", PRUNED), ("conv1", PRUNED), ("f1", PRUNED)])).expect("valid");
        assert_eq!(recipe.check_layers(&["conv1", "Conv2", "f1", "fc2"]), Ok(()));
        let faults = recipe
            .check_layers(&["conv1", "conv2", "fc1", "fc2"])
            .expect_err("the recipe is faulty");
        assert_eq!(
            faults.to_string(),
            "the network has no layer `Conv2` with weights; did you mean `conv2`?\n\
             the network has no layer `f1` with weights; did you mean `fc1`?"
        );
        assert!(
            recipe
                .check_layers(&[])
                .expect_err("the recipe is faulty")
                .to_string()
                .contains(", nor any other")
        );
    }
}
