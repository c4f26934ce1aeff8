//! The data set of a workload, or the one that was named instead.

use super::failure::Failure;
use super::request::Given;
use crate::network::Workload;
use crate::network::workload::{DataFormat, DataSpec};
use crate::report::{Input, sha256_of};
use crate::training::data::{self, DataError, Dataset, Samples};
use std::path::Path;

/// The data set that was named, or that the workload names; `purpose` says what it is for, as in "to train on".
pub(super) fn load(
    workload: &Given<Workload>,
    given: Option<&Path>,
    purpose: &str,
) -> Result<(Dataset, Input), Failure> {
    let spec = workload.value.data.as_ref().map(|d| Path::new(&d.directory));
    let directory = given.or(spec).ok_or_else(|| {
        Failure::input(
            format!("workload `{}` names no data {purpose}", workload.input.given),
            "name a directory of IDX files with `--data DIR`, or add a `[data]` table to the workload",
        )
    })?;
    let plain = DataSpec {
        format: DataFormat::Idx,
        directory: String::new(),
        validation: 0,
        vocabulary: None,
        mean: Vec::new(),
        deviation: Vec::new(),
    };
    let form = workload.value.data.as_ref().unwrap_or(&plain);
    let data = data::load(form, &workload.value.network, directory).map_err(|error| refused(&error))?;
    let bytes = |s: &Samples| {
        s.inputs
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .chain(s.labels.iter().flat_map(|l| l.to_le_bytes()))
            .collect::<Vec<u8>>()
    };
    let sha256 = sha256_of([&data.train, &data.test].into_iter().map(bytes));
    let given = directory.display().to_string();
    let name = directory
        .file_name()
        .map_or_else(|| given.clone(), |n| n.to_string_lossy().into_owned());
    Ok((data, Input { name, given, sha256 }))
}

/// Data errors end with their cure.
pub(super) fn refused(error: &DataError) -> Failure {
    let text = error.to_string();
    match text.rsplit_once(": ") {
        Some((message, cure)) => Failure::input(message, cure),
        None => Failure::input(text, "name a directory of IDX files with `--data DIR`"),
    }
}
