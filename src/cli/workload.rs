//! `cosparse workload`: the networks.

use super::failure::Failure;
use super::request::{self, Given};
use super::screen::Screen;
use crate::network::{Workload, zoo};
use crate::report::table::{Align, count, table};
use clap::{Args, Subcommand};

/// Which networks there are, and whether a file describes one
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The shipped networks with their weights and multiply-accumulates
    List,
    /// The layers of a network: shapes, weights, multiply-accumulates
    Show {
        /// A file, or a name from `cosparse workload list`
        workload: String,
    },
    /// Whether files are correct workloads; every fault is shown at its place
    Check {
        /// Workload files or names
        #[arg(required = true)]
        workloads: Vec<String>,
    },
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::List => list(screen),
        Verb::Show { workload } => {
            request::workload(workload).map(|given| screen.answer(&show(&given.value)))
        }
        Verb::Check { workloads } => check(workloads, screen),
    }
}

fn list(screen: Screen) -> Result<(), Failure> {
    let columns = [
        ("workload", Align::Left),
        ("layers", Align::Right),
        ("weights", Align::Right),
        ("MACs a sample", Align::Right),
        ("data", Align::Left),
    ];
    let rows = zoo::list()
        .iter()
        .map(|(name, _)| {
            let w = request::workload(name)?.value;
            let network = &w.network;
            Ok(vec![
                (*name).to_string(),
                network.layers().len().to_string(),
                count(network.weights() as u64),
                count(network.macs()),
                w.data.map_or_else(|| "-".into(), |d| d.directory),
            ])
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    screen.answer(&table(&columns, rows));
    Ok(())
}

fn show(workload: &Workload) -> String {
    let network = &workload.network;
    let columns = [
        ("layer", Align::Left),
        ("op", Align::Left),
        ("reads", Align::Left),
        ("output", Align::Left),
        ("weights", Align::Right),
        ("MACs", Align::Right),
    ];
    let blank = |n: u64| if n == 0 { String::new() } else { count(n) };
    let rows = network.layers().map(|(_, layer)| {
        let reads: Vec<&str> = layer
            .inputs
            .iter()
            .map(|&id| network.layer(id).name.as_str())
            .collect();
        vec![
            layer.name.clone(),
            layer.op.kind().into(),
            reads.join(", "),
            layer.output.to_string(),
            blank(layer.weights() as u64),
            blank(layer.nest.map_or(0, |n| n.macs())),
        ]
    });
    let table = table(&columns, rows);
    let baseline = workload.baseline.as_ref().map_or_else(String::new, |b| {
        format!(
            "published accuracy: {:.2} % {} ({})\n",
            100.0 * b.accuracy,
            b.metric,
            b.source
        )
    });
    format!(
        "{}: {}\nsource: {}\n{baseline}{table}\n{} weights, {} trained values, {} MACs a sample\n",
        workload.name,
        workload.description,
        workload.source,
        count(network.weights() as u64),
        count(network.parameters() as u64),
        count(network.macs()),
    )
}

fn check(workloads: &[String], screen: Screen) -> Result<(), Failure> {
    request::check_all(workloads, request::workload, |given: &Given<Workload>| {
        let n = &given.value.network;
        screen.answer(&format!(
            "{}: ok, {} layers, {} weights",
            given.input.given,
            n.layers().len(),
            count(n.weights() as u64)
        ));
    })
}
