//! What a run leaves behind and what it shows: CSV files of typed rows, `run.toml`, the packed model, the tables
//! on the terminal and the JSON document. Every number of a table is formatted from the row that the CSV holds.
//!
//! | file | one row per |
//! |---|---|
//! | `summary.csv` | candidate and profile ([`SummaryRow`]) |
//! | `layers.csv` | candidate, layer and profile ([`LayerRow`]) |
//! | `traffic.csv` | candidate, layer, profile, memory and tensor ([`TrafficRow`]) |
//! | `resources.csv` | candidate, FPGA profile, engine and resource ([`ResourceRow`]) |
//! | `masks.csv` | layer with a mask, candidate and profile ([`MaskRow`]) |
//! | `breakeven.csv` | profile, layer, engine pair and pruned portion ([`BreakEvenRow`]) |
//! | `chosen.csv`, `steps.csv` | network chosen, layer of every network on a procedure's way ([`ChosenRow`], [`StepRow`]) |
//! | `admm.csv` | step, iteration and layer ([`AdmmRow`]) |
//! | `robust.csv`, `robust-test.csv` | epoch and domain of min-max training, network and domain on the test samples ([`RobustRow`], [`RobustTestRow`]) |
//! | `run.toml` | the run: inputs with their SHA-256, options, seed, version, files ([`RunFile`]) |

pub mod table;

mod admm;
mod break_even;
mod compress;
mod directory;
mod error;
mod explain;
mod layers;
mod masks;
mod model;
mod resources;
mod robust;
mod run;
mod summary;
mod traffic;
mod word;

pub use admm::{AdmmRow, admm_rows};
pub use break_even::{BreakEvenRow, break_even_rows, break_even_table};
pub use compress::{ChosenRow, StepRow, chosen_rows, chosen_table, step_rows};
pub use directory::{Files, OutDirectory};
pub use error::ReportError;
pub use explain::{ChangeRow, change_rows, explanation};
pub use layers::{Accuracy, ActivationShare, ActivationSource, LayerRow, LayerShare, Subject, layer_table};
pub use masks::{MaskRow, mask_table};
pub use model::model_files;
pub use resources::{ResourceRow, engine_resources, resource_rows, resource_table};
pub use robust::{RobustRow, RobustTestRow, robust_rows, robust_table, robust_test_rows};
pub use run::{Input, RunFile, sha256, sha256_of};
pub use summary::{SummaryRow, summarise, summary_table};
pub use traffic::{TrafficRow, traffic_rows};
