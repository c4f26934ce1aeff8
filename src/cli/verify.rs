//! `cosparse verify`: what an artefact holds, decoded and measured again.

use super::failure::Failure;
use super::screen::Screen;
use super::{data, request};
use crate::artefact::{self, Artefact, ArtefactError, Part};
use crate::report::table::{Align, count, table};
use crate::training::{evaluate, executor_for};
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Samples that are run forward together.
const EVALUATED: usize = 256;

/// Decode an artefact, measure its accuracy and count its bytes
///
/// Rebuilds the network's values from the file alone, runs them on the test set, and shows what each layer takes. A
/// file that is corrupt, truncated or of another network is refused.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file
    #[arg(value_name = "ARTEFACT")]
    artefact: PathBuf,
    /// The network it was written from, a file or a name [default: the name that stands in the artefact]
    #[arg(long, value_name = "WORKLOAD")]
    workload: Option<String>,
    /// Directory with the data set, instead of the one that the workload names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Decode and count bytes only: no data is read
    #[arg(long, conflicts_with = "data")]
    bytes_only: bool,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let path = &arguments.artefact;
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::input(
            format!("cannot read `{}`: {error}", path.display()),
            "name an artefact, as `NAME.cosparse`",
        )
    })?;
    let named = artefact::workload_name(&bytes).map_err(|error| refused(&error))?;
    let workload = request::workload(arguments.workload.as_ref().unwrap_or(&named))?;
    let network = &workload.value.network;
    let read = artefact::read(&bytes, network).map_err(|error| refused(&error))?;
    let mut answer = parts(&read);
    if !arguments.bytes_only {
        let (data, _) = data::load(&workload, arguments.data.as_deref(), "to measure accuracy on")?;
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::input(
                format!("the network cannot be run on the data: {error}"),
                "name the data it was trained on with `--data DIR`",
            )
        };
        let mut executor = executor_for(network, read.parameters.clone()).map_err(|e| wrong(&e))?;
        let accuracy = evaluate(&mut *executor, &data.test, EVALUATED).map_err(|e| wrong(&e))?;
        let _ = writeln!(
            answer,
            "test accuracy  {:.2} % of {} samples",
            100.0 * accuracy,
            count(data.test.labels.len() as u64)
        );
    }
    screen.answer(&answer);
    Ok(())
}

/// The table of parts and the ratios.
fn parts(read: &Artefact) -> String {
    let columns = [
        ("parameter", Align::Left),
        ("rows", Align::Right),
        ("cols", Align::Right),
        ("kept", Align::Right),
        ("bits", Align::Right),
        ("encoding", Align::Left),
        ("index B", Align::Right),
        ("code B", Align::Right),
        ("level B", Align::Right),
    ];
    let bytes = |bits: f64| format!("{:.1}", bits / 8.0);
    let row = |p: &Part| {
        vec![
            p.name.clone(),
            count(p.matrix.0 as u64),
            count(p.matrix.1 as u64),
            count(p.kept as u64),
            if p.bits == 0 {
                String::new()
            } else {
                p.bits.to_string()
            },
            p.encoding.into(),
            bytes(p.index_bits),
            bytes(p.code_bits),
            bytes(p.level_bits),
        ]
    };
    let mut text = table(&columns, read.parts.iter().map(row));
    let weights = read.parts.iter().filter(|p| p.bits > 0);
    let (mut all, mut kept, mut data) = (0u64, 0u64, 0u64);
    for p in weights {
        all += p.matrix.0 as u64 * p.matrix.1 as u64;
        kept += p.kept as u64;
        data += p.kept as u64 * u64::from(p.bits);
    }
    let stored: f64 = read
        .parts
        .iter()
        .map(|p| p.index_bits + p.code_bits + p.level_bits)
        .sum();
    let file = read.bytes.len();
    let ratio = |dense: u64, now: f64| format!("{:.1}x", dense as f64 / now.max(1.0));
    let _ = write!(
        text,
        "\nweights        {} of {}, {} fewer\n\
         weight data    {} B of {} B in float32, {}\n\
         whole file     {} B, {}; header, checksum and rounding {:.1} B\n",
        count(kept),
        count(all),
        ratio(all, kept as f64),
        count(data.div_ceil(8)),
        count(4 * all),
        ratio(32 * all, data as f64),
        count(file as u64),
        ratio(4 * all, file as f64),
        file as f64 - stored / 8.0,
    );
    text
}

/// An artefact that is not one, or not this network's.
fn refused(error: &ArtefactError) -> Failure {
    let cure = match error {
        ArtefactError::Network { .. } => "name the network it was written from with `--workload`",
        ArtefactError::Version(_) => "write it again with this program",
        _ => "copy the file again, or write it again; nothing of it was used",
    };
    Failure::input(error.to_string(), cure)
}
