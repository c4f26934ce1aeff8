//! Parameters as safetensors: for checkpoints, and for anyone who reads dense weights.

use super::parameters::{Parameter, Parameters, Role};
use crate::compression::Mask;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use std::collections::HashMap;

/// Why bytes are not a snapshot of these parameters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not safetensors.
    #[error("not a readable safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    /// A tensor is missing, or has another shape or type than the network's.
    #[error("tensor `{name}`: {message}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        message: String,
    },
}

const SUPPORT: &str = ".support";

/// The parameters as safetensors bytes: one F32 tensor per parameter and, when `supports`, one U64 tensor
/// `NAME.support` per mask. `metadata` goes into the header.
///
/// # Errors
/// When the format cannot hold them (it can hold any network of this crate).
pub fn to_safetensors(
    parameters: &Parameters,
    supports: bool,
    metadata: Option<(String, String)>,
) -> Result<Vec<u8>, SnapshotError> {
    let mut buffers: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for p in &parameters.list {
        let bytes = p.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        buffers.push((p.name.clone(), Dtype::F32, p.shape.clone(), bytes));
        if let Some(mask) = p.support.as_ref().filter(|_| supports) {
            let bytes = mask.words().iter().flat_map(|w| w.to_le_bytes()).collect();
            buffers.push((
                format!("{}{SUPPORT}", p.name),
                Dtype::U64,
                vec![mask.words().len()],
                bytes,
            ));
        }
    }
    let views: Vec<(&str, TensorView<'_>)> = buffers
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<_, SafeTensorError>>()?;
    let metadata = metadata.map(|(k, v)| HashMap::from([(k, v)]));
    Ok(safetensors::serialize(views, metadata)?)
}

/// Fills parameters (whose names, shapes and roles are known from the network) from safetensors bytes.
///
/// # Errors
/// When the bytes are damaged or belong to another network.
pub fn from_safetensors(bytes: &[u8], like: &Parameters) -> Result<Parameters, SnapshotError> {
    let file = SafeTensors::deserialize(bytes)?;
    let list = like
        .list
        .iter()
        .map(|p| read(&file, p))
        .collect::<Result<_, SnapshotError>>()?;
    Ok(Parameters { list })
}

/// The values of a tensor that must have a type of 32 bits and a shape.
pub(super) fn values(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, SnapshotError> {
    let view = file.tensor(name).map_err(|_| fail(name, "is missing".into()))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(fail(
            name,
            format!(
                "is {:?} {:?}, the network needs F32 {shape:?}",
                view.dtype(),
                view.shape(),
            ),
        ));
    }
    Ok(view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

pub(super) fn fail(name: &str, message: String) -> SnapshotError {
    SnapshotError::Tensor {
        name: name.into(),
        message,
    }
}

fn read(file: &SafeTensors<'_>, like: &Parameter) -> Result<Parameter, SnapshotError> {
    let values = values(file, &like.name, &like.shape)?;
    let (rows, cols) = like.matrix();
    let name = format!("{}{SUPPORT}", like.name);
    let support = match file.tensor(&name) {
        Ok(view) if like.role == Role::Weight => {
            let words: Vec<u64> = view
                .data()
                .chunks_exact(8)
                .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
                .collect();
            if view.dtype() != Dtype::U64 || words.len() != (rows * cols).div_ceil(64) {
                return Err(fail(
                    &name,
                    format!("has {} words for {rows}×{cols} weights", words.len()),
                ));
            }
            let mut mask = Mask::empty(rows, cols);
            (0..rows * cols)
                .filter(|i| words[i / 64] >> (i % 64) & 1 == 1)
                .for_each(|i| mask.set(i, true));
            Some(mask)
        }
        _ => None,
    };
    Ok(Parameter {
        values,
        support,
        ..like.clone()
    })
}

/// The metadata value under a key, if the bytes are safetensors and have it.
#[must_use]
pub fn metadata(bytes: &[u8], key: &str) -> Option<String> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    header.metadata().as_ref()?.get(key).cloned()
}
