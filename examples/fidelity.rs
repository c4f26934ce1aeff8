//! The fidelity page: every published figure that the simulator is held to, what it says, and the error.
//!
//! `cargo run --release --example fidelity -- reports/fidelity` writes `README.md` and `figures.csv` there.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/fidelity/mod.rs"]
mod figures;

use figures::{Row, Study, Tolerance};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn tolerance(row: &Row) -> String {
    match row.tolerance {
        Tolerance::Exact => "exact".into(),
        Tolerance::Portion(portion) => format!("{:.0} %", 100.0 * portion),
        Tolerance::PortionOr(portion, distance) if portion > 0.0 => {
            format!("{:.0} % or {distance}", 100.0 * portion)
        }
        Tolerance::PortionOr(_, distance) => format!("{distance}"),
        Tolerance::AtLeast => "no less".into(),
        Tolerance::AtMost => "no more".into(),
        Tolerance::Told => "told".into(),
    }
}

/// Four significant digits.
fn number(value: f64) -> String {
    let digits = if value == 0.0 {
        0
    } else {
        (3 - value.abs().log10().floor() as i32).max(0) as usize
    };
    format!("{value:.digits$}")
}

/// As it is printed in its source; a figure that was computed in four digits.
fn published(value: f64) -> String {
    let text = value.to_string();
    if text.len() > 10 { number(value) } else { text }
}

/// What the page said before: of studies whose published figures are not at hand.
struct Before {
    page: String,
    figures: Vec<csv::StringRecord>,
}

impl Before {
    fn read(directory: &Path) -> Self {
        let rows = csv::Reader::from_path(directory.join("figures.csv"));
        Self {
            page: std::fs::read_to_string(directory.join("README.md")).unwrap_or_default(),
            figures: rows.map_or_else(|_| Vec::new(), |mut file| file.records().flatten().collect()),
        }
    }

    /// A study's line of the summary.
    fn line(&self, study: &Study) -> Option<&str> {
        let link = format!("](#{})", study.name);
        self.page.lines().find(|line| line.contains(&link))
    }

    /// A study's section.
    fn section(&self, study: &Study) -> Option<&str> {
        let from = self.page.find(&format!("\n<a id=\"{}\">", study.name))?;
        let rest = &self.page[from..];
        let to = rest[1..].find("\n<a id=").map_or(rest.len(), |to| to + 1);
        Some(&rest[..to])
    }
}

fn page(studies: &[Study], before: &Before) -> Result<String, std::fmt::Error> {
    let mut page = String::from(
        "# Fidelity\n\nWritten by `cargo run --release --example fidelity -- reports/fidelity`; `figures.csv` has the same \
         rows. `tests/fidelity.rs` holds every figure to its tolerance. Studies whose published figures are not at hand keep \
         the rows of the last run that had them.\n\n| study | figures | mean error | outside tolerance |\n\
         |---|---|---|---|\n",
    );
    for s in studies {
        if let Some(line) = before.line(s).filter(|_| s.rows.is_empty()) {
            writeln!(page, "{line}")?;
            continue;
        }
        let outside = s.missed().len();
        writeln!(
            page,
            "| [{}](#{}) | {} | {:.1} % | {outside} (at most {}) |",
            s.title,
            s.name,
            s.rows.len(),
            100.0 * s.mean_error(),
            (s.may_miss * s.rows.len() as f64).floor()
        )?;
    }
    for s in studies {
        if let Some(section) = before.section(s).filter(|_| s.rows.is_empty()) {
            page += section;
            continue;
        }
        writeln!(
            page,
            "\n<a id=\"{}\"></a>\n## {}\n\n{}\n\n| of | quantity | published | simulated | error | tolerance |\n|---|---|---|---|---|---|",
            s.name, s.title, s.note
        )?;
        for r in &s.rows {
            writeln!(
                page,
                "| {} | {} | {} | {} | {:+.1} % | {}{} |",
                r.subject,
                r.quantity,
                published(r.published),
                number(r.modelled),
                100.0 * r.error(),
                tolerance(r),
                if r.holds() { "" } else { " (outside)" }
            )?;
        }
    }
    Ok(page)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("usage: fidelity DIR")?.into();
    std::fs::create_dir_all(&directory)?;
    let studies = figures::studies();
    let before = Before::read(&directory);
    let mut csv = csv::Writer::from_path(directory.join("figures.csv"))?;
    csv.write_record([
        "study",
        "source",
        "of",
        "quantity",
        "published",
        "simulated",
        "error_pct",
        "tolerance",
        "holds",
    ])?;
    for s in &studies {
        if s.rows.is_empty() {
            for row in before.figures.iter().filter(|row| row.get(0) == Some(s.name)) {
                csv.write_record(row)?;
            }
        }
        for r in &s.rows {
            csv.write_record([
                s.name,
                r.source,
                &r.subject,
                r.quantity,
                &r.published.to_string(),
                &r.modelled.to_string(),
                &format!("{:.2}", 100.0 * r.error()),
                &tolerance(r),
                &r.holds().to_string(),
            ])?;
        }
    }
    csv.flush()?;
    std::fs::write(directory.join("README.md"), page(&studies, &before)?)?;
    Ok(())
}
