//! Masks of real networks from files.
//!
//! | given | masks |
//! |---|---|
//! | a `.safetensors` file | the non-zeros of the tensors `LAYER.weight` or `LAYER`, of two dimensions or more; the first is the output channel |
//! | a directory | `LAYER.smtx` (Deep Learning Matrix Collection), or `.cspl` files as `cosparse codesign` writes them |
//!
//! Rows are output channels, columns products per output. A layer without a mask keeps what its recipe says.

mod smtx;
mod tensors;

pub use smtx::parse as parse_smtx;
pub use tensors::parse as parse_safetensors;

use super::Mask;
use super::pack::PackedLayer;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file of masks is no larger than this.
const MOST_BYTES: u64 = 4 << 30;

/// Why masks were not read.
#[derive(Debug, thiserror::Error)]
pub enum MaskFileError {
    /// The system refused.
    #[error("`{}` cannot be read: {source}", path.display())]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file above the limit.
    #[error("`{}` is larger than 4 GiB: give the layers in files of their own, as LAYER.smtx", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
    },
    /// A file that is no list of indices.
    #[error("`{file}`, line {line}: {message}")]
    Smtx {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, and the cure.
        message: String,
    },
    /// A file with tensors that are not readable.
    #[error("`{file}` is no readable safetensors file: {message}")]
    Tensors {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A packed layer that is not readable.
    #[error("`{file}`: {message}")]
    Packed {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A mask of another shape than its layer's weights.
    #[error(
        "layer `{layer}`: the mask in `{file}` is {rows} x {cols}, the layer's weights are {want_rows} x {want_cols} (output channels x products per output): take the masks of this network, or name the layer otherwise"
    )]
    Shape {
        /// The layer.
        layer: String,
        /// The file.
        file: String,
        /// Rows of the mask.
        rows: usize,
        /// Columns of the mask.
        cols: usize,
        /// Output channels.
        want_rows: usize,
        /// Products per output.
        want_cols: usize,
    },
    /// Nothing that belongs to a layer.
    #[error(
        "`{}` has no mask of any layer; found: {found}; layers with weights: {layers}: name tensors LAYER.weight or LAYER, files LAYER.smtx", path.display()
    )]
    Nothing {
        /// The path as it was given.
        path: PathBuf,
        /// The first names that are there.
        found: String,
        /// The layers.
        layers: String,
    },
}

/// A layer that wants a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub layer: String,
    /// Output channels.
    pub rows: usize,
    /// Products per output.
    pub cols: usize,
}

/// Masks as read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskSet {
    /// Layer name to mask.
    pub masks: BTreeMap<String, Mask>,
    /// The bytes of the files they came from, in the order of their names.
    pub contents: Vec<Vec<u8>>,
}

/// Reads the masks of these layers from a safetensors file or a directory.
///
/// # Errors
/// When a file cannot be read or is damaged, a mask has another shape than its layer, or no layer has a mask.
pub fn open(path: &Path, layers: &[Wanted]) -> Result<MaskSet, MaskFileError> {
    let (found, contents) = if path.is_dir() {
        directory(path, layers)?
    } else {
        let file = path.display().to_string();
        let bytes = read(path)?;
        let masks = parse_safetensors(&file, &bytes)?;
        let named = masks.into_iter().map(|(name, mask)| (name, (file.clone(), mask)));
        (named.collect(), vec![bytes])
    };
    let mut set = MaskSet {
        masks: BTreeMap::new(),
        contents,
    };
    for Wanted { layer, rows, cols } in layers {
        let Some((file, mask)) = found.get(&format!("{layer}.weight")).or_else(|| found.get(layer)) else {
            continue;
        };
        if (mask.rows(), mask.cols()) != (*rows, *cols) {
            return Err(MaskFileError::Shape {
                layer: layer.clone(),
                file: file.clone(),
                rows: mask.rows(),
                cols: mask.cols(),
                want_rows: *rows,
                want_cols: *cols,
            });
        }
        set.masks.insert(layer.clone(), mask.clone());
    }
    if set.masks.is_empty() {
        let first: Vec<&str> = found.keys().take(8).map(String::as_str).collect();
        let names: Vec<&str> = layers.iter().map(|l| l.layer.as_str()).collect();
        return Err(MaskFileError::Nothing {
            path: path.into(),
            found: if first.is_empty() {
                "nothing".into()
            } else {
                first.join(", ")
            },
            layers: names.join(", "),
        });
    }
    Ok(set)
}

/// Name to file and mask.
type Found = BTreeMap<String, (String, Mask)>;

fn directory(path: &Path, layers: &[Wanted]) -> Result<(Found, Vec<Vec<u8>>), MaskFileError> {
    let failed = |source| MaskFileError::Io {
        path: path.into(),
        source,
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    files.sort();
    let mut found = Found::new();
    let mut used = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let stem = file
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        let extension = file.extension().and_then(|e| e.to_str());
        match extension {
            // only the layers' own: a directory may hold the matrices of other networks
            Some("smtx") if layers.iter().any(|l| l.layer == stem) => {
                let bytes = read(&file)?;
                let text = str::from_utf8(&bytes).map_err(|_| MaskFileError::Smtx {
                    file: shown.clone(),
                    line: 1,
                    message: "the file is not text; unpack archives first".into(),
                })?;
                found.insert(stem, (shown.clone(), parse_smtx(&shown, text)?));
                used.push(bytes);
            }
            Some("cspl") => {
                let bytes = read(&file)?;
                let layer = PackedLayer::from_bytes(&bytes).map_err(|e| MaskFileError::Packed {
                    file: shown.clone(),
                    message: e.to_string(),
                })?;
                found.insert(layer.name().to_owned(), (shown, layer.mask().clone()));
                used.push(bytes);
            }
            _ => {}
        }
    }
    Ok((found, used))
}

fn read(path: &Path) -> Result<Vec<u8>, MaskFileError> {
    let failed = |source| MaskFileError::Io {
        path: path.into(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(MaskFileError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}
