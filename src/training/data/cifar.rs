//! CIFAR-10 in its binary form: records of one label byte and 3 × 32 × 32 pixel bytes, planes of red, green and blue.

use super::directory::Dataset;
use super::error::DataError;
use super::samples::Samples;
use std::fs;
use std::path::Path;

/// Axes of a picture.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Pixels of a picture.
const PIXELS: usize = 3 * 32 * 32;
/// Classes of CIFAR-10.
const CLASSES: u8 = 10;
/// Training files that are looked for: `data_batch_1.bin` and so on, as many as there are.
const BATCHES: usize = 5;

/// Reads `data_batch_1.bin` to `data_batch_5.bin` (those that follow the first may be missing) and `test_batch.bin`, in
/// the directory or in its `cifar-10-batches-bin`. Pixels become value / 255, in the shape `[3, 32, 32]`.
///
/// # Errors
/// [`DataError`] naming the file, the byte and the cure.
pub fn load_cifar_binary(path: impl AsRef<Path>) -> Result<Dataset, DataError> {
    let given = path.as_ref();
    let inner = given.join("cifar-10-batches-bin");
    let directory = if inner.is_dir() { inner.as_path() } else { given };
    let mut train = empty();
    for batch in 1..=BATCHES {
        let file = directory.join(format!("data_batch_{batch}.bin"));
        if batch > 1 && !file.exists() {
            break;
        }
        read(directory, &file, &mut train)?;
    }
    let mut test = empty();
    read(directory, &directory.join("test_batch.bin"), &mut test)?;
    Ok(Dataset { train, test })
}

fn empty() -> Samples {
    Samples {
        inputs: Vec::new(),
        labels: Vec::new(),
        shape: SHAPE.to_vec(),
    }
}

/// Appends the records of one file.
fn read(directory: &Path, file: &Path, samples: &mut Samples) -> Result<(), DataError> {
    let bytes = fs::read(file).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            DataError::NoFile {
                directory: directory.into(),
                name: file
                    .file_name()
                    .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
                cure: "put data_batch_1.bin to data_batch_5.bin and test_batch.bin there, or name another directory",
            }
        } else {
            DataError::Read {
                path: file.into(),
                offset: 0,
                message: e.to_string(),
            }
        }
    })?;
    let fault = |place: String, message: String, cure: &'static str| DataError::Content {
        path: file.into(),
        place,
        message,
        cure,
    };
    let record = PIXELS + 1;
    if bytes.is_empty() {
        return Err(fault(
            "byte 0".into(),
            "it is empty".into(),
            "fetch the file again",
        ));
    }
    if bytes.len() % record != 0 {
        return Err(fault(
            format!("byte {}", bytes.len() / record * record),
            format!("the last record has {} of {record} bytes", bytes.len() % record),
            "the copy is incomplete or no CIFAR-10 binary, fetch it again",
        ));
    }
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        if record[0] >= CLASSES {
            return Err(fault(
                format!("byte {}", i * (PIXELS + 1)),
                format!("label {} is none of 0 to {}", record[0], CLASSES - 1),
                "take the binary version of CIFAR-10",
            ));
        }
        samples.labels.push(u32::from(record[0]));
        samples
            .inputs
            .extend(record[1..].iter().map(|&b| f32::from(b) / 255.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: u8, pixel: impl Fn(usize) -> u8) -> Vec<u8> {
        std::iter::once(label).chain((0..PIXELS).map(pixel)).collect()
    }

    #[test]
    fn records_are_planes_behind_their_label() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let two = [record(3, |i| u8::from(i == 1024) * 255), record(9, |_| 51)].concat();
        fs::write(at("data_batch_1.bin"), two).expect("a file");
        fs::write(at("data_batch_2.bin"), record(0, |_| 0)).expect("a file");
        fs::write(at("test_batch.bin"), record(1, |_| 255)).expect("a file");
        let data = load_cifar_binary(directory.path()).expect("whole files");
        assert_eq!(data.train.labels, [3, 9, 0]);
        assert_eq!(data.train.shape, [3, 32, 32]);
        // the first value of the green plane
        assert_eq!((data.train.inputs[1023], data.train.inputs[1024]), (0.0, 1.0));
        assert_eq!(data.train.inputs[PIXELS], 0.2);
        assert_eq!(data.test.labels, [1]);
    }

    #[test]
    fn faults_name_their_byte_and_a_cure() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let message = |bytes: Vec<u8>| {
            fs::write(at("data_batch_1.bin"), bytes).expect("a file");
            load_cifar_binary(directory.path())
                .expect_err("a fault")
                .to_string()
        };
        let lost = load_cifar_binary(directory.path())
            .expect_err("no file")
            .to_string();
        assert!(lost.contains("no `data_batch_1.bin`"), "{lost}");
        let bad = message([record(0, |_| 0), record(10, |_| 0)].concat());
        assert!(bad.contains("byte 3073: label 10"), "{bad}");
        let cut = message(record(0, |_| 0)[..100].to_vec());
        assert!(cut.contains("100 of 3073 bytes"), "{cut}");
        assert!(message(Vec::new()).contains("it is empty"));
        let lost = message(record(0, |_| 0));
        assert!(lost.contains("no `test_batch.bin`"), "{lost}");
    }
}
