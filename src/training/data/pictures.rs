//! Labelled pictures in one ZIP archive: `train/CLASS/NAME.jpg` and `test/CLASS/NAME.jpg`.

use super::directory::Dataset;
use super::error::DataError;
use super::samples::Samples;
use super::zip::{self, Entry};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// No picture may have more rows or columns.
const MAX_SIDE: usize = 4096;

/// Reads the one `.zip` of a directory, or the archive itself. Classes are the folder names of `train/` in alphabetical
/// order. Samples go by file name and then by class, so that every stretch of them holds all classes alike. Pixels become
/// value / 255, in the shape `[3, rows, columns]`.
///
/// # Errors
/// [`DataError`] naming the archive, the file in it and the cure.
pub fn load_picture_zip(path: impl AsRef<Path>) -> Result<Dataset, DataError> {
    let path = archive(path.as_ref())?;
    let bytes = fs::read(&path).map_err(|e| DataError::Read {
        path: path.clone(),
        offset: 0,
        message: e.to_string(),
    })?;
    let fault = |place: &str, message: String, cure: &'static str| DataError::Content {
        path: path.clone(),
        place: place.into(),
        message,
        cure,
    };
    let entries = zip::entries(&bytes).map_err(|m| fault("archive", m, "fetch the archive again, whole"))?;
    let split: Vec<(Place<'_>, &Entry)> = entries
        .iter()
        .filter_map(|e| Some((place(&e.name)?, e)))
        .collect();
    let classes: BTreeSet<&str> = split
        .iter()
        .filter(|(p, _)| p.train)
        .map(|(p, _)| p.class)
        .collect();
    let classes: Vec<&str> = classes.into_iter().collect();
    let set = |train: bool| -> Result<Samples, DataError> {
        let mut chosen: Vec<(&str, u32, &Entry)> = Vec::new();
        for (place, entry) in split.iter().filter(|(p, _)| p.train == train) {
            let class = classes.binary_search(&place.class).map_err(|_| {
                fault(
                    &entry.name,
                    format!("`train/` has no class `{}`", place.class),
                    "give training and test pictures the same folders",
                )
            })?;
            chosen.push((place.file, class as u32, entry));
        }
        if chosen.is_empty() {
            let folder = if train { "train/" } else { "test/" };
            let message = "it holds no `CLASS/NAME.jpg`".to_string();
            return Err(fault(
                folder,
                message,
                "put the pictures there, a folder for each class",
            ));
        }
        chosen.sort_by_key(|&(file, class, _)| (file, class));
        let decoded: Vec<([usize; 2], Vec<f32>)> = chosen
            .par_iter()
            .map(|(_, _, entry)| {
                zip::read(&bytes, entry)
                    .and_then(|jpeg| decode(&jpeg))
                    .map_err(|m| fault(&entry.name, format!("the picture {m}"), "mend or remove it"))
            })
            .collect::<Result<_, _>>()?;
        let size = decoded[0].0;
        if let Some(odd) = decoded.iter().position(|(s, _)| *s != size) {
            let message = format!("it has {:?} rows and columns, others {size:?}", decoded[odd].0);
            return Err(fault(&chosen[odd].2.name, message, "give all pictures one size"));
        }
        Ok(Samples {
            inputs: decoded.into_iter().flat_map(|(_, pixels)| pixels).collect(),
            labels: chosen.iter().map(|c| c.1).collect(),
            shape: vec![3, size[0], size[1]],
        })
    };
    let (train, test) = (set(true)?, set(false)?);
    if train.shape != test.shape {
        return Err(DataError::Sizes {
            train_path: path.join("train"),
            test_path: path.join("test"),
            train: [train.shape[1], train.shape[2]],
            test: [test.shape[1], test.shape[2]],
        });
    }
    Ok(Dataset { train, test })
}

/// The archive that a path stands for.
fn archive(path: &Path) -> Result<PathBuf, DataError> {
    if path.is_file() {
        return Ok(path.into());
    }
    let read = |e: std::io::Error| DataError::Read {
        path: path.into(),
        offset: 0,
        message: e.to_string(),
    };
    let missing = |cure| DataError::NoFile {
        directory: path.into(),
        name: "*.zip".into(),
        cure,
    };
    if !path.is_dir() {
        return Err(missing("put the archive there, or name another directory"));
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip")) {
            found.push(file);
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(missing("put the archive there, or name another directory")),
        _ => Err(missing("several archives are there, name one of them")),
    }
}

/// Where a picture belongs.
struct Place<'a> {
    train: bool,
    class: &'a str,
    file: &'a str,
}

fn place(name: &str) -> Option<Place<'_>> {
    let mut parts = name.rsplit('/');
    let (file, class, set) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, ending) = file.rsplit_once('.')?;
    let picture = ending.eq_ignore_ascii_case("jpg") || ending.eq_ignore_ascii_case("jpeg");
    (picture && (set == "train" || set == "test")).then_some(Place {
        train: set == "train",
        class,
        file,
    })
}

/// Rows and columns of a JPEG, and its planes of red, green and blue.
fn decode(jpeg: &[u8]) -> Result<([usize; 2], Vec<f32>), String> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode().map_err(|e| format!("cannot be decoded: {e}"))?;
    let (cols, rows) = decoder.dimensions().ok_or("has no size")?;
    if rows == 0 || cols == 0 || pixels.len() != rows * cols * 3 {
        return Err("is not of three colours".into());
    }
    let plane = |colour: usize| {
        pixels
            .iter()
            .skip(colour)
            .step_by(3)
            .map(|&p| f32::from(p) / 255.0)
    };
    Ok(([rows, cols], (0..3).flat_map(plane).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::zip::tests::archive;
    use super::*;

    /// A baseline JPEG of 8 × 8 grey pixels: one block whose coefficients but the first are zero.
    fn grey() -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        jpeg.extend([1; 64]);
        jpeg.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        // one code of one bit in each table: size 0, end of block
        for class in [0x00, 0x10] {
            jpeg.extend([0xff, 0xc4, 0, 20, class, 1]);
            jpeg.extend([0; 15]);
            jpeg.push(0);
        }
        jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x3f, 0xff, 0xd9]);
        jpeg
    }

    #[test]
    fn pictures_go_by_name_then_class() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let jpeg = grey();
        let names = [
            "train/b/1.jpg",
            "train/a/2.jpg",
            "train/a/1.jpg",
            "train/b/2.jpg",
            "test/b/9.JPG",
        ];
        let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, jpeg.as_slice())).collect();
        files.push(("README", b"not a picture"));
        let path = directory.path().join("set.zip");
        fs::write(&path, archive(&files)).expect("a file");
        for given in [directory.path(), &path] {
            let data = load_picture_zip(given).expect("five pictures");
            assert_eq!(data.train.labels, [0, 1, 0, 1]);
            assert_eq!(data.test.labels, [1]);
            assert_eq!(data.train.shape, [3, 8, 8]);
            // a block without coefficients is the middle grey, 128
            assert!(data.train.inputs.iter().all(|&p| p == 128.0 / 255.0));
        }
    }

    #[test]
    fn faults_name_the_picture() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("set.zip");
        let message = |files: &[(&str, &[u8])]| {
            fs::write(&path, archive(files)).expect("a file");
            load_picture_zip(&path).expect_err("a fault").to_string()
        };
        let jpeg = grey();
        let broken = message(&[("train/a/1.jpg", b"no picture"), ("test/a/1.jpg", &jpeg)]);
        assert!(
            broken.contains("train/a/1.jpg") && broken.contains("cannot be decoded"),
            "{broken}"
        );
        let other = message(&[("train/a/1.jpg", &jpeg), ("test/c/1.jpg", &jpeg)]);
        assert!(other.contains("no class `c`"), "{other}");
        let none = message(&[("train/a/1.jpg", &jpeg)]);
        assert!(none.contains("test/"), "{none}");
        fs::write(&path, b"nothing").expect("a file");
        let no_zip = load_picture_zip(&path).expect_err("no archive").to_string();
        assert!(no_zip.contains("no ZIP directory"), "{no_zip}");
        fs::remove_file(&path).expect("it was there");
        let lost = load_picture_zip(directory.path())
            .expect_err("no archive")
            .to_string();
        assert!(lost.contains("no `*.zip`"), "{lost}");
    }
}
