//! Weights of BERT's family of encoders, under the names that the `transformers` library gives them.

use super::parameters::{Parameter, Parameters, Role};
use super::snapshot::{SnapshotError, fail, values};
use safetensors::SafeTensors;

/// Fills the parameters of an encoder from safetensors bytes as `transformers` writes a `BertModel`. The network's
/// layers are named as in the workload `minilm-l6`: `words`, `positions`, `norm`, and of the layers from 1 `layerI.query`,
/// `.key`, `.value`, `.out`, `.norm1`, `.up`, `.down` and `.norm2`.
///
/// Sentences stand alone, so every position has token type 0: its row is added to those of the positions, of which the
/// network takes as many as it has. Other tensors of the file, as the pooler's, are left out.
///
/// # Errors
/// [`SnapshotError`] when the bytes are damaged, a tensor is missing or of another shape, or a layer has another name.
pub fn from_bert(bytes: &[u8], like: &Parameters) -> Result<Parameters, SnapshotError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut list = Vec::with_capacity(like.list.len());
    for parameter in &like.list {
        let name = published(parameter).ok_or_else(|| {
            fail(
                &parameter.name,
                "has no place in an encoder; name layers as the workload `minilm-l6` does".into(),
            )
        })?;
        let values = if parameter.layer == "positions" {
            positions(&file, &name, &parameter.shape)?
        } else {
            values(&file, &name, &parameter.shape)?
        };
        list.push(Parameter {
            values,
            ..parameter.clone()
        });
    }
    Ok(Parameters { list })
}

/// The first rows of the table of positions, each with the row of token type 0.
fn positions(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, SnapshotError> {
    let features = shape.last().copied().unwrap_or(0);
    let rows = |name: &str| {
        let tensor = file.tensor(name).map_err(|_| fail(name, "is missing".into()))?;
        Ok::<_, SnapshotError>(tensor.shape().first().copied().unwrap_or(0))
    };
    let mut table = values(file, name, &[rows(name)?, features])?;
    let wanted = shape.iter().product();
    if table.len() < wanted {
        return Err(fail(
            name,
            format!(
                "has {} rows; shorten the network's input of {} tokens",
                table.len() / features.max(1),
                shape.first().copied().unwrap_or(0)
            ),
        ));
    }
    table.truncate(wanted);
    let kind = "embeddings.token_type_embeddings.weight";
    let kinds = values(file, kind, &[rows(kind)?, features])?;
    for row in table.chunks_exact_mut(features.max(1)) {
        row.iter_mut().zip(&kinds).for_each(|(p, k)| *p += k);
    }
    Ok(table)
}

/// The name of a parameter in the file.
fn published(parameter: &Parameter) -> Option<String> {
    let kind = match parameter.role {
        Role::Weight | Role::Gain | Role::Table => "weight",
        Role::Bias | Role::Shift => "bias",
        Role::Statistic => return None,
    };
    let place = match parameter.layer.as_str() {
        "words" => "embeddings.word_embeddings".into(),
        "positions" => "embeddings.position_embeddings".into(),
        "norm" => "embeddings.LayerNorm".into(),
        layer => {
            let (number, part) = layer.strip_prefix("layer")?.split_once('.')?;
            let index = number.parse::<usize>().ok()?.checked_sub(1)?;
            let part = match part {
                "query" | "key" | "value" => format!("attention.self.{part}"),
                "out" => "attention.output.dense".into(),
                "norm1" => "attention.output.LayerNorm".into(),
                "up" => "intermediate.dense".into(),
                "down" => "output.dense".into(),
                "norm2" => "output.LayerNorm".into(),
                _ => return None,
            };
            format!("encoder.layer.{index}.{part}")
        }
    };
    Some(format!("{place}.{kind}"))
}
