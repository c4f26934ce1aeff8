//! `cosparse workload`: the networks.

use super::failure::Failure;
use super::request::{self, Given};
use super::screen::Screen;
use crate::compression::{RecipeFile, recipes};
use crate::document::Source;
use crate::network::{Workload, zoo};
use crate::procedure::{self, Procedure};
use crate::report::table::{Align, count, percent, table};
use crate::training::robust::{self, Robustness};
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
    /// Published targets of shipped networks, for `--recipe`
    Recipes,
    /// Step-by-step schedules of shipped networks, for `compress --procedure`
    Procedures,
    /// Shipped attacks and changes of pictures, for `train --robust`
    Robustness,
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
        Verb::Recipes => list_recipes(screen),
        Verb::Procedures => list_procedures(screen),
        Verb::Robustness => list_robustness(screen),
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

/// Each recipe with the portion of its network's weights that it keeps, and its source.
fn list_procedures(screen: Screen) -> Result<(), Failure> {
    let columns = [
        ("procedure", Align::Left),
        ("steps", Align::Right),
        ("source", Align::Left),
    ];
    let rows = procedure::zoo::list()
        .iter()
        .map(|(name, text)| {
            let file: Procedure = Source::new(*name, *text).parse()?;
            Ok(vec![(*name).to_owned(), file.step.len().to_string(), file.source])
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    screen.answer(&table(&columns, rows));
    Ok(())
}

fn list_robustness(screen: Screen) -> Result<(), Failure> {
    let columns = [
        ("robustness", Align::Left),
        ("trained on", Align::Left),
        ("source", Align::Left),
    ];
    let rows = robust::zoo::list()
        .iter()
        .map(|(name, text)| {
            let file: Robustness = Source::new(*name, *text).parse()?;
            let domains: Vec<&str> = file
                .domain
                .iter()
                .filter(|d| d.train)
                .map(|d| d.name.as_str())
                .collect();
            Ok(vec![(*name).to_owned(), domains.join(", "), file.source.clone()])
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    screen.answer(&table(&columns, rows));
    Ok(())
}

fn list_recipes(screen: Screen) -> Result<(), Failure> {
    let columns = [
        ("recipe", Align::Left),
        ("kept %", Align::Right),
        ("source", Align::Left),
    ];
    let rows = recipes::list()
        .iter()
        .map(|(name, text)| {
            let file: RecipeFile = Source::new(*name, *text).parse()?;
            // a recipe's name begins with its workload's; of several the longest
            let workload = zoo::list()
                .iter()
                .map(|(workload, _)| *workload)
                .filter(|workload| name.starts_with(&format!("{workload}-")))
                .max_by_key(|workload| workload.len());
            let kept = workload
                .map(request::workload)
                .transpose()?
                .map_or_else(String::new, |w| {
                    let network = &w.value.network;
                    let kept: usize = network
                        .weighted()
                        .map(|l| {
                            file.layer
                                .get(&l.name)
                                .map_or(l.weights(), |t| t.kept(l.weights()))
                        })
                        .sum();
                    percent(kept as f64 / network.weights().max(1) as f64)
                });
            Ok(vec![(*name).to_string(), kept, file.source])
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
