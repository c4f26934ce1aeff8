//! Labelled sentences in tab-separated files: `train.tsv`, `dev.tsv` and `test.tsv`, each line a sentence, a tab and a
//! label from 0, without a header.

use super::directory::Dataset;
use super::error::DataError;
use super::samples::Samples;
use super::vocabulary::Vocabulary;
use std::fs;
use std::path::Path;

/// More classes than this are taken for a mistake in a label.
const MAX_CLASSES: u32 = 100_000;

/// How sentences become tokens.
#[derive(Debug, Clone, Copy)]
pub enum Words<'a> {
    /// The most frequent words of `train.tsv`, as many as the network's table has rows.
    Frequent {
        /// Rows of the table.
        size: usize,
    },
    /// A `WordPiece` vocabulary: a file of the directory, or a path.
    Pieces {
        /// The file.
        file: &'a Path,
        /// Rows of the table.
        size: usize,
    },
}

/// Reads a directory of labelled sentences. The sentences of `dev.tsv`, if there are any, stand behind those of
/// `train.tsv`, so that the last samples of the training set validate; words are counted in `train.tsv` alone.
/// Samples are `length` tokens; longer sentences are cut.
///
/// # Errors
/// [`DataError`] naming the file, the line and the cure.
pub fn load_text(path: impl AsRef<Path>, length: usize, words: Words<'_>) -> Result<Dataset, DataError> {
    let directory = path.as_ref();
    let train = read(directory, "train.tsv")?;
    let dev = match read(directory, "dev.tsv") {
        Err(DataError::NoFile { .. }) => Vec::new(),
        other => other?,
    };
    let test = read(directory, "test.tsv")?;
    let vocabulary = match words {
        Words::Frequent { size } => Vocabulary::of_words(train.iter().map(|l| l.sentence.as_str()), size),
        Words::Pieces { file, size } => pieces(&directory.join(file), size)?,
    };
    let classes = train.iter().map(|l| l.label + 1).max().unwrap_or(0);
    for (name, lines) in [("dev.tsv", &dev), ("test.tsv", &test)] {
        if let Some(at) = lines.iter().position(|l| l.label >= classes) {
            return Err(DataError::Content {
                path: directory.join(name),
                place: format!("line {}", lines[at].number),
                message: format!(
                    "label {} is not in `train.tsv`, whose labels end at {}",
                    lines[at].label,
                    classes - 1
                ),
                cure: "take all files from one set",
            });
        }
    }
    let samples = |lines: &mut dyn Iterator<Item = &Line>| {
        let mut samples = Samples {
            inputs: Vec::new(),
            labels: Vec::new(),
            shape: vec![length],
        };
        for line in lines {
            let tokens = vocabulary.encode(&line.sentence, length);
            samples.inputs.extend(tokens.into_iter().map(|t| t as f32));
            samples.labels.push(line.label);
        }
        samples
    };
    Ok(Dataset {
        train: samples(&mut train.iter().chain(&dev)),
        test: samples(&mut test.iter()),
    })
}

struct Line {
    /// Its number in the file, from 1.
    number: usize,
    sentence: String,
    label: u32,
}

fn text_of(path: &Path, directory: &Path, cure: &'static str) -> Result<String, DataError> {
    let bytes = fs::read(path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            DataError::NoFile {
                directory: directory.into(),
                name: path
                    .file_name()
                    .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
                cure,
            }
        } else {
            DataError::Read {
                path: path.into(),
                offset: 0,
                message: e.to_string(),
            }
        }
    })?;
    String::from_utf8(bytes).map_err(|e| DataError::Content {
        path: path.into(),
        place: format!("byte {}", e.utf8_error().valid_up_to()),
        message: "it is not UTF-8 text".into(),
        cure: "save it as UTF-8",
    })
}

fn read(directory: &Path, name: &str) -> Result<Vec<Line>, DataError> {
    let path = directory.join(name);
    let cure = "put train.tsv and test.tsv there (dev.tsv too, if there is one), or name another directory";
    let text = text_of(&path, directory, cure)?;
    let fault = |line: usize, message: String, cure| DataError::Content {
        path: path.clone(),
        place: format!("line {line}"),
        message,
        cure,
    };
    let mut lines = Vec::new();
    for (text, line) in text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty()) {
        let form = "write a sentence, a tab and a label from 0";
        let Some((sentence, label)) = text.rsplit_once('\t') else {
            return Err(fault(line, "there is no tab".into(), form));
        };
        let label = match label.trim().parse() {
            Ok(label) if label < MAX_CLASSES => label,
            _ => return Err(fault(line, format!("`{}` is no label", label.trim()), form)),
        };
        lines.push(Line {
            number: line,
            sentence: sentence.into(),
            label,
        });
    }
    if lines.is_empty() {
        return Err(fault(1, "there is no sentence".into(), "fetch the file again"));
    }
    Ok(lines)
}

fn pieces(path: &Path, size: usize) -> Result<Vocabulary, DataError> {
    let directory = path.parent().unwrap_or(path);
    let text = text_of(
        path,
        directory,
        "put the vocabulary there, or name its path in `[data]`",
    )?;
    let fault = |message: String| DataError::Content {
        path: path.into(),
        place: "vocabulary".into(),
        message,
        cure: "take the vocabulary that the network was trained with",
    };
    let vocabulary = Vocabulary::of_pieces(&text).map_err(fault)?;
    if vocabulary.size() > size {
        return Err(fault(format!(
            "it has {} pieces, the network's table {size} rows",
            vocabulary.size()
        )));
    }
    Ok(vocabulary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        directory
    }

    #[test]
    fn dev_stands_behind_train_and_counts_no_words() {
        let directory = with(&[
            ("train.tsv", "good good film\t1\n\nbad\t0\n"),
            ("dev.tsv", "new words film\t1\n"),
            ("test.tsv", "bad film\t0"),
        ]);
        let data = load_text(directory.path(), 3, Words::Frequent { size: 10 }).expect("whole files");
        // good 2; bad, film by their bytes
        assert_eq!(data.train.inputs, [2.0, 2.0, 4.0, 3.0, 0.0, 0.0, 1.0, 1.0, 4.0]);
        assert_eq!((data.train.labels, data.train.shape), (vec![1, 0, 1], vec![3]));
        assert_eq!(
            (data.test.inputs, data.test.labels),
            (vec![3.0, 4.0, 0.0], vec![0])
        );
    }

    #[test]
    fn pieces_come_from_their_file() {
        let directory = with(&[
            ("train.tsv", "ab\t0\n"),
            ("test.tsv", "a\t0\n"),
            ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n"),
        ]);
        let words = |size| Words::Pieces {
            file: Path::new("vocab.txt"),
            size,
        };
        let data = load_text(directory.path(), 5, words(6)).expect("whole files");
        assert_eq!(data.train.inputs, [2.0, 4.0, 5.0, 3.0, 0.0]);
        let small = load_text(directory.path(), 5, words(5))
            .expect_err("too few rows")
            .to_string();
        assert!(small.contains("6 pieces, the network's table 5 rows"), "{small}");
    }

    #[test]
    fn faults_name_their_line_and_a_cure() {
        let message = |train: &str, test: &str| {
            let directory = with(&[("train.tsv", train), ("test.tsv", test)]);
            load_text(directory.path(), 3, Words::Frequent { size: 10 })
                .expect_err("a fault")
                .to_string()
        };
        let tab = message("fine\t0\nno tab\n", "a\t0");
        assert!(tab.contains("line 2: there is no tab"), "{tab}");
        let label = message("fine\t-1\n", "a\t0");
        assert!(label.contains("`-1` is no label"), "{label}");
        let class = message("fine\t0\n", "a\t0\n\nb\t1");
        assert!(
            class.contains("test.tsv") && class.contains("line 3: label 1"),
            "{class}"
        );
        assert!(message("\n", "a\t0").contains("no sentence"));
        let directory = with(&[("train.tsv", "a\t0")]);
        let lost = load_text(directory.path(), 3, Words::Frequent { size: 10 })
            .expect_err("no test")
            .to_string();
        assert!(lost.contains("no `test.tsv`"), "{lost}");
    }
}
