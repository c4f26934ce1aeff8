//! Directories of four IDX files.

use super::error::DataError;
use super::idx::{read_images, read_labels};
use super::samples::Samples;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A training and a test set of one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// To learn from, and to cut a validation set from.
    pub train: Samples,
    /// To be measured on, once.
    pub test: Samples,
}

/// Reads a directory with the files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`, or with a dot for the last
/// hyphen but one (`train-images.idx3-ubyte`). Samples have the shape `[1, rows, columns]`.
///
/// # Errors
/// [`DataError`] naming the file, the byte and the cure.
pub fn load_directory(path: impl AsRef<Path>) -> Result<Dataset, DataError> {
    let directory = path.as_ref();
    let (train, train_path, _) = load(directory, "train")?;
    let (test, test_path, labels_path) = load(directory, "t10k")?;
    if train.shape != test.shape {
        let size = |s: &Samples| [s.shape[1], s.shape[2]];
        return Err(DataError::Sizes {
            train_path,
            test_path,
            train: size(&train),
            test: size(&test),
        });
    }
    let classes = train.classes();
    if let Some(at) = test.labels.iter().position(|&l| l as usize >= classes) {
        return Err(DataError::Label {
            path: labels_path,
            offset: 8 + at as u64,
            label: test.labels[at],
            classes,
        });
    }
    Ok(Dataset { train, test })
}

fn load(directory: &Path, set: &str) -> Result<(Samples, PathBuf, PathBuf), DataError> {
    let (images_path, file) = open(directory, &format!("{set}-images"), "idx3-ubyte")?;
    let (labels_path, labels_file) = open(directory, &format!("{set}-labels"), "idx1-ubyte")?;
    let labels = read_labels(&labels_path, labels_file)?;
    let (inputs, [rows, cols]) = read_images(&images_path, file)?;
    let images = inputs.len() / (rows * cols);
    if images != labels.len() {
        return Err(DataError::Counts {
            images_path,
            labels_path,
            images: images as u64,
            labels: labels.len() as u64,
        });
    }
    Ok((
        Samples {
            inputs,
            labels,
            shape: vec![1, rows, cols],
        },
        images_path,
        labels_path,
    ))
}

fn open(directory: &Path, stem: &str, ending: &str) -> Result<(PathBuf, File), DataError> {
    let names = ["-", "."].map(|joint| format!("{stem}{joint}{ending}"));
    let candidates = names.iter().flat_map(|name| [format!("{name}.gz"), name.clone()]);
    for path in candidates.map(|name| directory.join(name)) {
        match File::open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(DataError::Read {
                    path,
                    offset: 0,
                    message: e.to_string(),
                });
            }
        }
    }
    Err(DataError::Missing {
        directory: directory.into(),
        name: names[0].clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(directory: &Path, name: &str, counts: &[u32], values: &[u8]) {
        let magic = 0x0800 + counts.len() as u32;
        let mut bytes: Vec<u8> = magic.to_be_bytes().to_vec();
        bytes.extend(counts.iter().flat_map(|c| c.to_be_bytes()));
        bytes.extend_from_slice(values);
        fs::write(directory.join(name), bytes).expect("a temporary file");
    }

    fn small() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(
            directory.path(),
            "train-images-idx3-ubyte",
            &[2, 1, 2],
            &[0, 51, 102, 255],
        );
        write(directory.path(), "train-labels.idx1-ubyte", &[2], &[0, 1]);
        write(directory.path(), "t10k-images.idx3-ubyte", &[1, 1, 2], &[255, 0]);
        write(directory.path(), "t10k-labels-idx1-ubyte", &[1], &[1]);
        directory
    }

    #[test]
    fn both_spellings_are_found() {
        let data = load_directory(small().path()).expect("a whole set");
        assert_eq!(
            data.train,
            Samples {
                inputs: vec![0.0, 0.2, 0.4, 1.0],
                labels: vec![0, 1],
                shape: vec![1, 1, 2]
            }
        );
        assert_eq!(data.test.labels, [1]);
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let directory = small();
        let path = directory.path();
        write(path, "t10k-labels-idx1-ubyte", &[1], &[2]);
        assert!(matches!(
            load_directory(path),
            Err(DataError::Label {
                offset: 8,
                label: 2,
                classes: 2,
                ..
            })
        ));
        write(path, "t10k-labels-idx1-ubyte", &[2], &[1, 1]);
        assert!(matches!(
            load_directory(path),
            Err(DataError::Counts {
                images: 1,
                labels: 2,
                ..
            })
        ));
        write(path, "t10k-labels-idx1-ubyte", &[1], &[1]);
        write(path, "t10k-images.idx3-ubyte", &[1, 2, 1], &[255, 0]);
        assert!(matches!(
            load_directory(path),
            Err(DataError::Sizes {
                train: [1, 2],
                test: [2, 1],
                ..
            })
        ));
        fs::remove_file(path.join("t10k-images.idx3-ubyte")).expect("it was there");
        let missing = load_directory(path).expect_err("a file is missing").to_string();
        assert!(missing.contains("no `t10k-images-idx3-ubyte`"), "{missing}");
    }
}
