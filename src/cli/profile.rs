//! `cosparse profile`: the accelerators.

use super::failure::Failure;
use super::request::{self, Given};
use super::screen::Screen;
use crate::hardware::{self, Memory, MemoryKind, Profile, TensorKind};
use crate::report::table::{Align, count, number, table};
use crate::report::{engine_resources, resource_table};
use clap::{Args, Subcommand};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

/// Which accelerators there are, and how to describe one
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The shipped accelerators
    List,
    /// The engines, memories and energies of an accelerator, with their sources
    Show {
        /// A file, or a name from `cosparse profile list`
        profile: String,
    },
    /// Whether files are correct profiles; every fault is shown at its place
    Check {
        /// Profile files or names
        #[arg(required = true)]
        profiles: Vec<String>,
    },
    /// Writes a profile to start from, with a comment on every key
    Init {
        /// The new profile's name; the file is NAME.toml
        #[arg(default_value = "my-accelerator")]
        name: String,
        /// The file to write instead of NAME.toml; an existing file is never overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::List => list(screen),
        Verb::Show { profile } => request::profile(profile).map(|given| screen.answer(&show(&given.value))),
        Verb::Check { profiles } => {
            request::check_all(profiles, request::profile, |given: &Given<Profile>| {
                let p = &given.value;
                screen.answer(&format!(
                    "{}: ok, {} engines, {} memories",
                    given.input.given,
                    p.engines.len(),
                    p.memories.len()
                ));
                for (engine, resources) in engine_resources(p, p.weight_bits) {
                    let verdict =
                        resources.map_or_else(|e| format!("resources not modelled: {e}"), |f| f.to_string());
                    screen.answer(&format!("  engine {engine} {verdict}"));
                }
            })
        }
        Verb::Init { name, out } => init(name, out.clone(), screen),
    }
}

fn list(screen: Screen) -> Result<(), Failure> {
    let columns = [
        ("profile", Align::Left),
        ("nm", Align::Right),
        ("engines", Align::Left),
        ("on chip KiB", Align::Right),
    ];
    let rows = hardware::zoo::list()
        .iter()
        .map(|shipped| {
            let p = request::profile(shipped.name)?.value;
            let engines: Vec<String> = p
                .engines
                .iter()
                .map(|e| format!("{} ({})", e.name, e.kind.label()))
                .collect();
            let buffers: f64 = p.memories.iter().filter_map(capacity).sum();
            Ok(vec![
                p.name,
                p.technology_nm.value.to_string(),
                engines.join(", "),
                number(buffers / 8192.0),
            ])
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    screen.answer(&table(&columns, rows));
    Ok(())
}

/// Bits of an on-chip memory.
fn capacity(memory: &Memory) -> Option<f64> {
    match memory.kind {
        MemoryKind::Buffer { capacity, .. } => Some(capacity.bits() as f64),
        MemoryKind::Dram { .. } => None,
    }
}

fn holds(memory: &Memory) -> String {
    let word = |kind: &TensorKind| match kind {
        TensorKind::Weights => "weights",
        TensorKind::Indices => "indices",
        TensorKind::Inputs => "inputs",
        TensorKind::Outputs => "outputs",
    };
    memory.holds.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn show(p: &Profile) -> String {
    let engines = table(
        &[
            ("engine", Align::Left),
            ("array", Align::Left),
            ("clock MHz", Align::Right),
            ("PE area um2", Align::Right),
        ],
        p.engines.iter().map(|e| {
            let area = e
                .pe_area
                .as_ref()
                .map_or_else(|| "not modelled".into(), |a| number(a.value.value()));
            vec![
                e.name.clone(),
                e.kind.label(),
                number(e.clock.value.value()),
                area,
            ]
        }),
    );
    let memories = table(
        &[
            ("memory", Align::Left),
            ("KiB", Align::Right),
            ("bits a cycle", Align::Right),
            ("read pJ/bit", Align::Right),
            ("write pJ/bit", Align::Right),
            ("holds", Align::Left),
        ],
        p.memories.iter().map(|m| {
            vec![
                m.name.clone(),
                capacity(m).map_or_else(|| "DRAM".into(), |bits| number(bits / 8192.0)),
                count(m.bits_per_cycle.value),
                number(m.read_per_bit.value.value()),
                number(m.write_per_bit.value.value()),
                holds(m),
            ]
        }),
    );
    let e = &p.energy;
    let action = |name: &str, unit: &str, figure: Option<(f64, &str)>| {
        let (value, source) = figure.map_or_else(
            || ("not modelled".into(), String::new()),
            |(v, s)| (number(v), s.to_string()),
        );
        format!(
            "  {name}: {value}{}\n",
            if source.is_empty() {
                String::new()
            } else {
                format!(" {unit} ({source})")
            }
        )
    };
    let mac = e.mac.value;
    let mut energies = action(
        &format!("multiply, {} bits", mac.bits),
        "pJ",
        Some((mac.multiply.value(), &e.mac.source)),
    );
    energies += &action(
        "accumulate",
        "pJ",
        Some((mac.accumulate.value(), "as the multiplication")),
    );
    energies += &action(
        "decode, an entry",
        "pJ",
        e.decode_per_entry
            .as_ref()
            .map(|s| (s.value.value(), s.source.as_str())),
    );
    energies += &action(
        "registers, a MAC",
        "pJ",
        e.register_per_mac
            .as_ref()
            .map(|s| (s.value.value(), s.source.as_str())),
    );
    energies += &action(
        "a hop of a word",
        "pJ",
        e.hop_per_word
            .as_ref()
            .map(|s| (s.value.value(), s.source.as_str())),
    );
    energies += &action(
        "leakage",
        "mW",
        e.leakage.as_ref().map(|s| (s.value.value(), s.source.as_str())),
    );
    let resources = match resource_table(p, p.weight_bits) {
        text if text.is_empty() => text,
        text => format!("\n{text}"),
    };
    format!(
        "{}: {}\n{} nm, weights {} bits, activations {} bits, accumulators {} bits\n{engines}\n{memories}\nenergy\n{energies}{resources}",
        p.name, p.description, p.technology_nm.value, p.weight_bits, p.activation_bits, p.accumulator_bits
    )
}

/// Writes the template under a new name.
fn init(name: &str, out: Option<PathBuf>, screen: Screen) -> Result<(), Failure> {
    let plain = !name.is_empty()
        && name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    if !plain {
        return Err(Failure::input(
            format!("`{name}` is no profile name"),
            "write lower-case letters, digits and single hyphens, as in `my-chip-28nm`",
        ));
    }
    let path = out.unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    let text = named(hardware::template(), name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::input(
            format!("`{}` exists already", path.display()),
            "give another name, or another file with `--out FILE`",
        ),
        _ => Failure::input(
            format!("`{}` cannot be written: {error}", path.display()),
            "give a file in a directory that can be written with `--out FILE`",
        ),
    })?;
    screen.answer(&format!("{}", path.display()));
    screen.note(&format!(
        "edit it, then run `cosparse profile check {}`",
        path.display()
    ));
    Ok(())
}

/// The template with its first `name = …` line replaced.
fn named(template: &str, name: &str) -> String {
    let mut done = false;
    let mut text = String::with_capacity(template.len() + name.len());
    for line in template.lines() {
        if !done && line.starts_with("name = ") {
            text.extend(["name = \"", name, "\""]);
            done = true;
        } else {
            text += line;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Source;

    /// What `init` writes is a correct profile of that name.
    #[test]
    fn the_template_is_a_profile() {
        let text = named(hardware::template(), "my-chip");
        let profile = Profile::from_source(&Source::new("my-chip.toml", text))
            .expect("the template is a correct profile");
        assert_eq!(profile.name, "my-chip");
    }
}
