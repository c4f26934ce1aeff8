//! Against published runs of STONNE.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;
#[path = "fidelity/stonne_runs.rs"]
mod stonne_runs;

#[test]
fn cycles_within_ten_per_cent_median() {
    let Some(runs) = stonne_runs::runs() else {
        println!("skipped: ../shared not found");
        return;
    };
    let mut errors = Vec::new();
    for run in runs {
        let error = run.cycles.1 / run.cycles.0 as f64 - 1.0;
        println!(
            "{:60} STONNE {:6}, here {:8.1}, error {:+6.1} %",
            run.note,
            run.cycles.0,
            run.cycles.1,
            error * 100.0
        );
        // with several rows in a fold, chance decides whether two of them share an output line
        assert!(
            run.rows_in_fold >= 4 || error.abs() <= 0.1,
            "{}: {error}",
            run.note
        );
        errors.push(error.abs());
    }
    errors.sort_by(f64::total_cmp);
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    let over = errors.iter().filter(|&&e| e > 0.1).count();
    println!(
        "{} runs: median error {:.1} %, largest {:.1} %, {over} above 10 %",
        errors.len(),
        median * 100.0,
        worst * 100.0
    );
    assert!(median <= 0.1, "{median}");
}
