//! The command line: raw arguments, then a checked request, then the library, then the answer printed. One file
//! per verb.
//!
//! Standard output holds the answer and nothing else; notes, progress and errors go to standard error. Exit
//! codes: 0 done, 1 the job failed, 2 bad input.

mod activations;
mod breakeven;
mod codesign;
mod compress;
mod costs;
mod data;
mod estimate;
mod explain;
mod failure;
mod fusion;
mod mapping;
mod masks;
mod measure;
mod profile;
mod progress;
mod recipe;
mod reports;
mod request;
mod robust;
mod scalesim;
mod screen;
mod train;
mod verify;
mod workload;

pub use failure::Failure;

use clap::{Parser, Subcommand};
use screen::Screen;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  cosparse codesign lenet5 --hw admm-nn-40nm          train, prune and quantise LeNet-5 for least energy
  cosparse compress lenet5 --procedure lenet5-quick   prune LeNet-5 as far as accuracy holds
  cosparse estimate resnet50 --hw tpu-v1-28nm         cycles and energy of every layer, no training
  cosparse breakeven alexnet --hw admm-nn-40nm        from which pruned portion a sparse engine pays
  cosparse explain lenet5 conv2 --hw admm-nn-40nm     why a layer takes its time, and what would help
  cosparse workload show lenet5                       the layers of a network
  cosparse profile init my-chip                       start a hardware profile of your own

WORKLOAD and PROFILE are file paths or names from `cosparse workload list` and `cosparse profile list`.
Exit codes: 0 done, 1 the job failed, 2 bad input.";

/// Decides how far each layer of a neural network should be pruned and quantised for the accelerator that will
/// run it.
#[derive(Debug, Parser)]
#[command(name = "cosparse", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 110)]
struct Arguments {
    /// Say nothing on standard error but errors
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Codesign(codesign::Arguments),
    Compress(compress::Arguments),
    Train(train::Arguments),
    Estimate(estimate::Arguments),
    Breakeven(breakeven::Arguments),
    Explain(explain::Arguments),
    Verify(verify::Arguments),
    Workload(workload::Arguments),
    Profile(profile::Arguments),
}

/// Runs the program: parses the arguments, calls the library, renders the error, chooses the exit code.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            // nothing is left to do where even this cannot be printed
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let screen = Screen::new(arguments.quiet);
    let done = match arguments.verb {
        Verb::Codesign(verb) => codesign::run(&verb, screen),
        Verb::Compress(verb) => compress::run(&verb, screen),
        Verb::Train(verb) => train::run(&verb, screen),
        Verb::Estimate(verb) => estimate::run(&verb, screen),
        Verb::Breakeven(verb) => breakeven::run(&verb, screen),
        Verb::Explain(verb) => explain::run(&verb, screen),
        Verb::Verify(verb) => verify::run(&verb, screen),
        Verb::Workload(verb) => workload::run(&verb, screen),
        Verb::Profile(verb) => profile::run(&verb, screen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.failure(&failure);
            failure.exit_code()
        }
    }
}
