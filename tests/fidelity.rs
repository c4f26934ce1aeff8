//! Every published figure that the simulator is held to, with its tolerance.
#![allow(clippy::print_stdout)] // the figures, beside what is asserted of them

mod common;
#[path = "fidelity/mod.rs"]
mod figures;

use figures::Study;

fn hold(study: &Study) {
    println!("{}. {}", study.title, study.note);
    for row in &study.rows {
        println!(
            "{}, {}: {} {:.4}, published {} ({:+.1} %)",
            row.source,
            row.subject,
            row.quantity,
            row.modelled,
            row.published,
            100.0 * row.error()
        );
    }
    println!("{}: mean error {:.1} %", study.name, 100.0 * study.mean_error());
    let missed: Vec<&str> = study.missed().iter().map(|r| r.subject.as_str()).collect();
    assert!(
        missed.len() as f64 <= study.may_miss * study.rows.len() as f64,
        "{}: outside tolerance: {missed:?}",
        study.name
    );
    if study.rows.is_empty() {
        println!("skipped: ../shared not found");
    }
}

#[test]
fn published_figures_are_reproduced() {
    for study in figures::studies() {
        hold(&study);
    }
}
