//! The directory of a run: checked before the job starts, and each file whole or not there.

use super::error::ReportError;
use super::run::{RunFile, sha256};
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of a report, in memory until they are written: relative names with `/` and their bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    list: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file of bytes.
    pub fn bytes(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.list.push((name.into(), bytes));
    }

    /// Adds a CSV file with one line per row under a line of column names; no rows, no file.
    ///
    /// # Errors
    /// [`ReportError::Csv`] for rows that are not flat.
    pub fn csv<T: Serialize>(&mut self, name: &str, rows: &[T]) -> Result<(), ReportError> {
        if rows.is_empty() {
            return Ok(());
        }
        let failed = |source| ReportError::Csv {
            file: name.into(),
            source,
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer.serialize(row).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|e| failed(e.into_error().into()))?;
        self.list.push((name.into(), bytes));
        Ok(())
    }

    /// Name and bytes of each file, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + '_ {
        self.list
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

/// A directory that could be written when it was opened.
#[derive(Debug, Clone)]
pub struct OutDirectory {
    path: PathBuf,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    run: &'a RunFile,
    files: Vec<FileRecord<'a>>,
}

#[derive(Serialize)]
struct FileRecord<'a> {
    name: &'a str,
    bytes: u64,
    sha256: String,
}

#[derive(serde::Deserialize)]
struct Former {
    #[serde(default)]
    files: Vec<FormerFile>,
}

#[derive(serde::Deserialize)]
struct FormerFile {
    name: String,
}

const RECORD: &str = "run.toml";

impl OutDirectory {
    /// Makes the directory where it is missing, and tries to write in it: a job of minutes must not end at a
    /// directory that refuses its result.
    ///
    /// # Errors
    /// [`ReportError::Directory`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let path = path.into();
        let probe = path.join(format!(".probe-{}.tmp", std::process::id()));
        let tried = fs::create_dir_all(&path)
            .and_then(|()| fs::write(&probe, b""))
            .and_then(|()| fs::remove_file(&probe));
        match tried {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(ReportError::Directory { path, source }),
        }
    }

    /// The directory as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the files and, last, `run.toml`, which lists them with sizes and hashes. Files that a former run
    /// listed and this one does not write are removed: a directory holds one run.
    ///
    /// # Errors
    /// [`ReportError::Write`] naming the file.
    pub fn write(&self, run: &RunFile, files: &Files) -> Result<(), ReportError> {
        let former = self.former();
        for (name, bytes) in files.iter() {
            self.file(name, bytes)?;
        }
        for name in former
            .into_iter()
            .filter(|name| !files.iter().any(|(kept, _)| kept == name))
        {
            // a file that is gone already, or cannot be removed, does not spoil the new run
            let _ = fs::remove_file(self.path.join(name));
        }
        let list = files
            .iter()
            .map(|(name, bytes)| FileRecord {
                name,
                bytes: bytes.len() as u64,
                sha256: sha256(bytes),
            })
            .collect();
        let text = toml::to_string(&Record { run, files: list }).map_err(|e| ReportError::Write {
            path: self.path.join(RECORD),
            source: io::Error::other(e),
        })?;
        self.file(RECORD, text.as_bytes())
    }

    /// Plain file names below this directory that its present `run.toml` lists.
    fn former(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path.join(RECORD)).unwrap_or_default();
        let former: Former = toml::from_str(&text).unwrap_or(Former { files: Vec::new() });
        let inside = |name: &String| {
            Path::new(name)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)))
        };
        former.files.into_iter().map(|f| f.name).filter(inside).collect()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let path = self.path.join(name);
        write_whole(&path, bytes).map_err(|source| ReportError::Write { path, source })
    }
}

/// Writes beside the file and renames: a kill leaves the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Input;

    fn run() -> RunFile {
        let input = |name: &str| Input {
            name: name.into(),
            given: name.into(),
            sha256: sha256(name.as_bytes()),
        };
        RunFile::new("estimate", input("lenet5"), vec![input("eie-45nm")]).option("batch", &1)
    }

    #[derive(Serialize)]
    struct Row {
        layer: &'static str,
        energy_pj: Option<f64>,
    }

    #[test]
    fn files_are_written_whole_and_listed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let out = OutDirectory::open(directory.path().join("a/b")).expect("it can be made");
        let mut files = Files::new();
        files
            .csv(
                "layers.csv",
                &[
                    Row {
                        layer: "conv1",
                        energy_pj: None,
                    },
                    Row {
                        layer: "fc,1",
                        energy_pj: Some(0.5),
                    },
                ],
            )
            .expect("flat rows");
        files.bytes("model/x.bin", vec![1, 2, 3]);
        out.write(&run(), &files).expect("a writable directory");
        let read = |name: &str| fs::read_to_string(out.path().join(name)).expect("it was written");
        assert_eq!(read("layers.csv"), "layer,energy_pj\nconv1,\n\"fc,1\",0.5\n");
        let record = read("run.toml");
        assert!(
            record.contains("run = \"lenet5-eie-45nm-estimate\"")
                && record.contains("name = \"model/x.bin\"\nbytes = 3"),
            "{record}"
        );
        let left: Vec<_> = fs::read_dir(out.path())
            .expect("a directory")
            .filter_map(|e| Some(e.ok()?.file_name()))
            .collect();
        assert_eq!(left.len(), 3, "no temporary file is left: {left:?}");

        // the next run writes no model: the old one goes, foreign files stay
        fs::write(out.path().join("mine.txt"), "x").expect("a writable directory");
        let mut files = Files::new();
        files.bytes("layers.csv", b"new".to_vec());
        out.write(&run(), &files).expect("a writable directory");
        assert!(!out.path().join("model/x.bin").exists() && out.path().join("mine.txt").exists());
        assert_eq!(read("layers.csv"), "new");
    }

    #[test]
    fn a_directory_below_a_file_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("file"), "x").expect("a writable directory");
        let error =
            OutDirectory::open(directory.path().join("file/out")).expect_err("a file is no directory");
        assert!(matches!(error, ReportError::Directory { .. }), "{error}");
    }
}
