//! Published figures against what the simulator says: one row per figure. The tests hold each row to its tolerance;
//! `examples/fidelity.rs` writes all of them to `reports/fidelity/`.

pub(crate) mod admm_nn;
mod chip;
pub(crate) mod dlmc;
pub(crate) mod eie;
pub(crate) mod eyeriss;
mod formats;
pub(crate) mod fpga;
mod golden;
mod pruned;
pub(crate) mod scalesim;
pub(crate) mod sparseloop;
pub(crate) mod stonne;
mod stonne_runs;
mod synthesis;
pub(crate) mod zigzag;

use super::common;
use cosparse::hardware::{Profile, zoo};

/// How far a modelled figure may lie from the published one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tolerance {
    /// The very same.
    Exact,
    /// A portion of the published figure.
    Portion(f64),
    /// A portion of the published figure, or an absolute distance.
    PortionOr(f64, f64),
    /// No less.
    AtLeast,
    /// No more.
    AtMost,
    /// Told beside it; nothing is held.
    Told,
}

/// One published figure.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) source: &'static str,
    /// What it is a figure of.
    pub(crate) subject: String,
    /// The quantity and its unit.
    pub(crate) quantity: &'static str,
    /// As published.
    pub(crate) published: f64,
    /// As simulated.
    pub(crate) modelled: f64,
    /// How close it must come.
    pub(crate) tolerance: Tolerance,
}

impl Row {
    /// The relative error; of a published zero the figure itself.
    pub(crate) fn error(&self) -> f64 {
        if self.published == 0.0 {
            self.modelled
        } else {
            self.modelled / self.published - 1.0
        }
    }

    /// Whether it comes as close as it must.
    pub(crate) fn holds(&self) -> bool {
        match self.tolerance {
            Tolerance::Exact => self.modelled == self.published,
            Tolerance::Portion(portion) => self.error().abs() <= portion,
            Tolerance::PortionOr(portion, distance) => {
                self.error().abs() <= portion || (self.modelled - self.published).abs() <= distance
            }
            Tolerance::AtLeast => self.modelled >= self.published,
            Tolerance::AtMost => self.modelled <= self.published,
            Tolerance::Told => true,
        }
    }
}

/// All studies, in the order of the page: a title, what is compared and what is fitted, and the rows.
pub(crate) fn studies() -> Vec<Study> {
    vec![
        scalesim::cells(),
        admm_nn::figure_4(),
        admm_nn::table_9(),
        eie::skewed(),
        eie::uniform(),
        eyeriss::table_v(),
        eyeriss::free(),
        sparseloop::figure_1(),
        sparseloop::figure_15(),
        sparseloop::table_7(),
        stonne::cycles(),
        zigzag::temporal_cycles(),
        dlmc::real_masks(),
        fpga::exact(),
        fpga::look_up_tables(),
    ]
}

/// Figures of one source.
#[derive(Debug, Clone)]
pub(crate) struct Study {
    /// A word for files and tests.
    pub(crate) name: &'static str,
    /// A title.
    pub(crate) title: &'static str,
    /// What is compared, what is fitted, and what explains the gaps.
    pub(crate) note: &'static str,
    /// The portion of figures that may lie outside their tolerance.
    pub(crate) may_miss: f64,
    /// The figures.
    pub(crate) rows: Vec<Row>,
}

impl Study {
    /// The figures outside their tolerance.
    pub(crate) fn missed(&self) -> Vec<&Row> {
        self.rows.iter().filter(|r| !r.holds()).collect()
    }

    /// The mean of the absolute relative errors.
    pub(crate) fn mean_error(&self) -> f64 {
        self.rows.iter().map(|r| r.error().abs()).sum::<f64>() / self.rows.len().max(1) as f64
    }
}

/// A shipped profile.
fn shipped(name: &str) -> Profile {
    zoo::find(name)
        .expect("the profile is shipped")
        .profile()
        .expect("a shipped profile is valid")
}
