//! `model/`: the compressed network as real bytes, read back and compared before anything is reported of them.
//!
//! `model/CANDIDATE/NN-LAYER.cspl` holds one layer in its encoding ([`crate::compression::pack`]);
//! `model/CANDIDATE.safetensors` holds what a dense reader needs: the weights as they decode, and all other
//! trained values.

use super::directory::Files;
use super::error::ReportError;
use crate::compression::Recipe;
use crate::compression::pack::PackedLayer;
use crate::compression::precision::Levels;
use crate::training::{Parameters, Role, to_safetensors};

/// Adds a candidate's model to the files and returns the bytes of its packed layers.
///
/// `levels` holds those of each weight parameter in order, and is empty when nothing is quantised.
///
/// # Errors
/// [`ReportError::Model`] naming the layer whose weights its target cannot hold, or whose bytes do not decode to
/// the weights they were made from.
pub fn model_files(
    files: &mut Files,
    candidate: &str,
    parameters: &Parameters,
    recipe: &Recipe,
    levels: &[Levels],
) -> Result<u64, ReportError> {
    let mut decoded = parameters.clone();
    let mut bytes = 0u64;
    let weights = decoded.list.iter_mut().filter(|p| p.role == Role::Weight);
    for (i, p) in weights.enumerate() {
        let failed = |message: String| ReportError::Model {
            candidate: candidate.into(),
            layer: p.layer.clone(),
            message,
        };
        let packed = PackedLayer::new(
            &p.layer,
            &p.shape,
            p.matrix(),
            &p.values,
            recipe.target(&p.layer).encoding,
            levels.get(i).unwrap_or(&Levels::FLOAT32),
        )
        .and_then(|layer| layer.pack())
        .map_err(|e| failed(e.to_string()))?;
        let values = PackedLayer::from_bytes(&packed.bytes)
            .map_err(|e| failed(e.to_string()))?
            .values();
        // -0 and +0 are one weight
        if let Some(at) = (0..p.values.len().max(values.len())).find(|&k| values.get(k) != p.values.get(k)) {
            return Err(failed(format!(
                "weight {at} decodes to {:?}, not {:?}",
                values.get(at),
                p.values.get(at)
            )));
        }
        p.values = values;
        bytes += packed.bytes.len() as u64;
        files.bytes(
            format!("model/{candidate}/{i:02}-{}.cspl", plain(&p.layer)),
            packed.bytes,
        );
    }
    let dense = to_safetensors(&decoded, false, None).map_err(|e| ReportError::Model {
        candidate: candidate.into(),
        layer: "all".into(),
        message: e.to_string(),
    })?;
    files.bytes(format!("model/{candidate}.safetensors"), dense);
    Ok(bytes)
}

/// A layer's name as part of a file name.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::Target;
    use crate::compression::encoding::Encoding;
    use crate::compression::precision::Precision;
    use crate::training::Parameter;

    fn parameters(values: Vec<f32>) -> Parameters {
        let weight = Parameter {
            name: "fc/1.weight".into(),
            layer: "fc/1".into(),
            role: Role::Weight,
            shape: vec![2, 3],
            values,
            support: None,
        };
        let bias = Parameter {
            name: "fc/1.bias".into(),
            layer: "fc/1".into(),
            role: Role::Bias,
            shape: vec![2],
            values: vec![0.3, -0.1],
            support: None,
        };
        Parameters {
            list: vec![weight, bias],
        }
    }

    fn recipe() -> Recipe {
        let target = Target {
            density: 0.5,
            precision: Precision::equal_interval(3),
            encoding: Encoding::RelativeIndex { bits: 4 },
            ..Target::DENSE
        };
        Recipe {
            layers: [("fc/1".to_string(), target)].into(),
        }
    }

    #[test]
    fn sizes_are_file_sizes_and_decoded_weights_are_the_weights() {
        let mut files = Files::new();
        let p = parameters(vec![0.5, 0.0, -1.0, 0.0, 0.0, 1.5]);
        let bytes = model_files(
            &mut files,
            "energy",
            &p,
            &recipe(),
            &[Levels::equal_interval(3, 0.5)],
        )
        .expect("weights on levels");
        let list: Vec<(&str, &[u8])> = files.iter().collect();
        assert_eq!(list[0].0, "model/energy/00-fc_1.cspl");
        assert_eq!(list[0].1.len() as u64, bytes);
        assert_eq!(list[1].0, "model/energy.safetensors");
        let read = crate::training::from_safetensors(list[1].1, &p).expect("what was written");
        assert_eq!(read, p);
    }

    #[test]
    fn a_weight_beside_its_level_is_refused() {
        let error = model_files(
            &mut Files::new(),
            "energy",
            &parameters(vec![0.5, 0.0, -1.1, 0.0, 0.0, 1.5]),
            &recipe(),
            &[Levels::equal_interval(3, 0.5)],
        );
        let error = error.expect_err("-1.1 is no multiple of 0.5").to_string();
        assert!(error.contains("fc/1"), "{error}");
    }
}
