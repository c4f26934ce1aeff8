//! Robustness files, for the verbs that train.

use super::failure::Failure;
use super::request::Given;
use crate::document::{Source, nearest};
use crate::network::Workload;
use crate::network::workload::DataFormat;
use crate::report::{Input, sha256};
use crate::training::data::Samples;
use crate::training::robust::{Pixels, Robustness, zoo};
use std::path::Path;

/// Reads a robustness file: a shipped one by its name, or a file.
pub(super) fn open(given: &str) -> Result<Given<Robustness>, Failure> {
    let path = Path::new(given);
    let source = match zoo::find(given) {
        Some(source) => source,
        None if path.components().count() == 1 && path.extension().is_none() && !path.exists() => {
            let names = zoo::list().iter().map(|(name, _)| *name);
            let near = nearest(given, names).map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            return Err(Failure::input(
                format!("there is no robustness file named `{given}`, and no such file"),
                format!("{near}`cosparse workload robustness` shows what is shipped"),
            ));
        }
        None => Source::read(path)?,
    };
    let value: Robustness = source.parse()?;
    let faults = value.faults(&source);
    if !faults.is_empty() {
        return Err(source.faults(faults).into());
    }
    let name = path
        .file_stem()
        .map_or_else(|| given.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let input = Input {
        name,
        given: given.into(),
        sha256: sha256(source.text.as_bytes()),
    };
    Ok(Given { value, source, input })
}

/// How the samples of a workload were made of pixels; refused where they are no pixels, or where a domain moves or turns
/// them and they have no rows and columns.
pub(super) fn pixels(
    robust: &Given<Robustness>,
    workload: &Given<Workload>,
    samples: &Samples,
) -> Result<Pixels, Failure> {
    let name = &workload.input.given;
    let data = workload.value.data.as_ref();
    if data.is_some_and(|d| d.format == DataFormat::TextTsv) {
        return Err(Failure::input(
            format!("workload `{name}` reads sentences, and attacks change pixels"),
            "leave `--robust` out, or take a workload whose data are pictures",
        ));
    }
    let maps = robust.value.domain.iter().find(|d| d.needs_maps());
    if let Some(domain) = maps.filter(|_| samples.shape.len() != 3) {
        return Err(Failure::input(
            format!(
                "domain `{}` of `{}` moves rows and columns, a sample of workload `{name}` has the shape {:?}",
                domain.name, robust.input.given, samples.shape
            ),
            "leave the domain out, or take a workload whose data are pictures",
        ));
    }
    let (mean, deviation) = data.map_or((&[][..], &[][..]), |d| (&d.mean[..], &d.deviation[..]));
    Ok(Pixels::new(mean, deviation, &samples.shape))
}
