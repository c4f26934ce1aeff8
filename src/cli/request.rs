//! From words on the command line to checked inputs: files or shipped names, each with its hash.

use super::failure::Failure;
use crate::document::{DocumentError, Source, nearest};
use crate::hardware::{self, Profile};
use crate::network::{Workload, zoo};
use crate::report::{Input, sha256};
use std::path::Path;

/// A checked input with the text it came from.
#[derive(Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) source: Source,
    pub(super) input: Input,
}

/// The workload of a path or of a shipped name.
pub(super) fn workload(given: &str) -> Result<Given<Workload>, Failure> {
    let names: Vec<&str> = zoo::list().iter().map(|(name, _)| *name).collect();
    let source = source("workload", given, zoo::find(given), &names)?;
    let value = Workload::from_source(&source)?;
    Ok(with_hash(value.name.clone(), given, value, source))
}

/// The profile of a path or of a shipped name.
pub(super) fn profile(given: &str) -> Result<Given<Profile>, Failure> {
    let names: Vec<&str> = hardware::zoo::list().iter().map(|shipped| shipped.name).collect();
    let source = source(
        "profile",
        given,
        hardware::zoo::find(given).map(hardware::zoo::Shipped::source),
        &names,
    )?;
    let value = Profile::from_source(&source)?;
    Ok(with_hash(value.name.clone(), given, value, source))
}

/// The profiles of a command, each once.
pub(super) fn profiles(given: &[String]) -> Result<Vec<Given<Profile>>, Failure> {
    let profiles: Vec<Given<Profile>> = given.iter().map(|g| profile(g)).collect::<Result<_, _>>()?;
    for (i, p) in profiles.iter().enumerate() {
        if let Some(first) = profiles[..i]
            .iter()
            .find(|first| first.value.name == p.value.name)
        {
            return Err(Failure::input(
                format!(
                    "`{}` and `{}` are both named `{}`",
                    first.input.given, p.input.given, p.value.name
                ),
                "give each profile once, or give them different names: the reports tell profiles apart by name",
            ));
        }
    }
    Ok(profiles)
}

fn with_hash<T>(name: String, given: &str, value: T, source: Source) -> Given<T> {
    let input = Input {
        name,
        given: given.into(),
        sha256: sha256(source.text.as_bytes()),
    };
    Given { value, source, input }
}

/// The text of a shipped name or of a file; what looks like neither is taken for a misspelt name.
fn source(kind: &str, given: &str, shipped: Option<Source>, names: &[&str]) -> Result<Source, Failure> {
    if let Some(source) = shipped {
        return Ok(source);
    }
    let path = Path::new(given);
    let is_path = path.components().count() > 1 || path.extension().is_some() || path.exists();
    if is_path {
        let near = path
            .file_stem()
            .and_then(|stem| nearest(&stem.to_string_lossy(), names.iter().copied()));
        return Source::read(path).map_err(|error| match (error, near) {
            (DocumentError::Missing { .. }, Some(near)) => Failure::input(
                format!("there is no file `{given}`"),
                format!("check the path; it is taken from the directory in which the command runs. The {kind} `{near}` is shipped and needs no path"),
            ),
            (error, _) => error.into(),
        });
    }
    let near = nearest(given, names.iter().copied())
        .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Err(Failure::input(
        format!("there is no {kind} named `{given}`, and no such file"),
        format!(
            "{near}`cosparse {kind} list` shows what is shipped: {}",
            names.join(", ")
        ),
    ))
}

/// Checks every input of a list: says so for the good ones, and collects what is wrong with all others.
pub(super) fn check_all<T>(
    given: &[String],
    open: impl Fn(&str) -> Result<Given<T>, Failure>,
    good: impl Fn(&Given<T>),
) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for name in given {
        match open(name) {
            Ok(value) => good(&value),
            Err(Failure::BadInput(reports) | Failure::Failed(reports)) => wrong.extend(reports),
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::BadInput(wrong))
    }
}
