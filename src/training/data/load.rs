//! The data set that a workload's `[data]` table names.

use super::directory::{Dataset, load_directory};
use super::error::DataError;
use super::samples::Samples;
use super::text::{Words, load_text};
use super::{load_cifar_binary, load_picture_zip};
use crate::network::workload::{DataFormat, DataSpec};
use crate::network::{Network, Op};
use std::path::Path;

/// Reads the data of `spec` from a directory (which need not be the one that it names) for a network: text becomes as
/// many tokens as its input has, from a vocabulary as large as the table that reads them.
///
/// # Errors
/// [`DataError`] naming the file, the place and the cure.
pub fn load(spec: &DataSpec, network: &Network, directory: &Path) -> Result<Dataset, DataError> {
    let mut data = match spec.format {
        DataFormat::Idx => load_directory(directory)?,
        DataFormat::CifarBinary => load_cifar_binary(directory)?,
        DataFormat::CifarZip => load_picture_zip(directory)?,
        DataFormat::TextTsv => text(spec, network, directory)?,
    };
    for samples in [&mut data.train, &mut data.test] {
        normalise(spec, samples)?;
    }
    Ok(data)
}

fn text(spec: &DataSpec, network: &Network, directory: &Path) -> Result<Dataset, DataError> {
    let fault = |message: String| DataError::Input {
        message,
        cure: "give the network an input of one axis, [tokens], and let an embedding read it",
    };
    let input = network.input();
    let &[length] = network.layer(input).output.0.as_slice() else {
        return Err(fault(format!(
            "sentences do not fit an input of {}",
            network.layer(input).output
        )));
    };
    let table = network
        .readers(input)
        .into_iter()
        .find_map(|id| match network.layer(id).op {
            Op::Embedding { vocabulary, .. } => Some(vocabulary),
            _ => None,
        });
    let size = table.ok_or_else(|| fault("no embedding reads the network's input".into()))?;
    let words = match &spec.vocabulary {
        Some(file) => Words::Pieces {
            file: Path::new(file),
            size,
        },
        None => Words::Frequent { size },
    };
    load_text(directory, length, words)
}

/// Takes the mean of each channel off and divides by its deviation.
fn normalise(spec: &DataSpec, samples: &mut Samples) -> Result<(), DataError> {
    if spec.mean.is_empty() && spec.deviation.is_empty() {
        return Ok(());
    }
    let channels = samples.shape.first().copied().unwrap_or(0);
    let fault = |message| {
        Err(DataError::Input {
            message,
            cure: "give `mean` and `deviation` in `[data]` one number for each channel",
        })
    };
    if spec.format == DataFormat::TextTsv || [spec.mean.len(), spec.deviation.len()] != [channels; 2] {
        let [means, deviations] = [spec.mean.len(), spec.deviation.len()];
        return fault(format!(
            "there are {means} means and {deviations} deviations for samples of shape {:?}",
            samples.shape
        ));
    }
    let usable = |d: &f32| d.is_finite() && *d > 0.0;
    if !spec.deviation.iter().all(usable) || !spec.mean.iter().all(|m| m.is_finite()) {
        return fault("a mean is no number, or a deviation is not greater than 0".into());
    }
    let plane: usize = samples.shape[1..].iter().product();
    for (i, plane) in samples.inputs.chunks_mut(plane.max(1)).enumerate() {
        let channel = i % channels;
        let (mean, scale) = (spec.mean[channel], 1.0 / spec.deviation[channel]);
        for v in plane.iter_mut() {
            *v = (*v - mean) * scale;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{NetworkBuilder, Shape};

    fn spec(format: DataFormat, mean: Vec<f32>, deviation: Vec<f32>) -> DataSpec {
        DataSpec {
            format,
            directory: String::new(),
            validation: 0,
            vocabulary: None,
            mean,
            deviation,
        }
    }

    #[test]
    fn channels_are_normalised_each_by_its_own() {
        let mut samples = Samples {
            inputs: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            labels: vec![0, 1],
            shape: vec![2, 1, 2],
        };
        let known = spec(DataFormat::CifarZip, vec![1.0, 3.0], vec![2.0, 0.5]);
        normalise(&known, &mut samples).expect("two channels");
        assert_eq!(samples.inputs, [0.0, 0.5, 0.0, 2.0, 2.0, 2.5, 8.0, 10.0]);
        for (mean, deviation) in [
            (vec![1.0], vec![1.0]),
            (vec![0.0; 2], vec![1.0, 0.0]),
            (vec![0.0; 2], vec![]),
        ] {
            let wrong = spec(DataFormat::CifarZip, mean, deviation);
            let message = normalise(&wrong, &mut samples)
                .expect_err("it does not fit")
                .to_string();
            assert!(message.contains("one number for each channel"), "{message}");
        }
    }

    #[test]
    fn sentences_need_an_input_of_tokens() {
        let mut builder = NetworkBuilder::new();
        builder.input("x", Shape(vec![4]));
        builder.layer("flat", Op::Flatten, &["x"]);
        let network = builder.build().expect("a network");
        let text = spec(DataFormat::TextTsv, vec![], vec![]);
        let message = load(&text, &network, Path::new("."))
            .expect_err("no embedding")
            .to_string();
        assert!(message.contains("no embedding reads"), "{message}");
    }
}
