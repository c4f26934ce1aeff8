//! FPGA resources of single PEs against synthesis (Yosys 0.23, `synth_xilinx`).

use super::synthesis::{Point, points};
use super::{Row, Study, Tolerance};

const SOURCE: &str = "synthesis, tests/data/fpga_synthesis_points.csv";

fn subject(p: &Point) -> String {
    let columns: Vec<&str> = p.line.split(',').collect();
    format!(
        "{} {} w{} a{} acc{} index{} fifo{}",
        columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6]
    )
}

fn row(p: &Point, quantity: &'static str, counts: (u64, u64), tolerance: Tolerance) -> Row {
    Row {
        source: SOURCE,
        subject: subject(p),
        quantity,
        published: counts.0 as f64,
        modelled: counts.1 as f64,
        tolerance,
    }
}

/// DSP slices, block RAM and flip-flops: exact.
pub(crate) fn exact() -> Study {
    let mut rows = Vec::new();
    for p in points() {
        rows.push(row(&p, "DSP", (p.measured.dsp, p.modelled.dsp), Tolerance::Exact));
        rows.push(row(
            &p,
            "BRAM18",
            (p.measured.bram18, p.modelled.bram18),
            Tolerance::Exact,
        ));
        if p.fifo_depth != 2 {
            rows.push(row(&p, "FF", (p.measured.ff, p.modelled.ff), Tolerance::Exact));
        }
    }
    Study {
        name: "fpga-exact",
        title: "FPGA synthesis: DSP slices, block RAM, flip-flops of single PEs",
        note: "Queues of two entries are left out of the flip-flops: synthesis may turn them into registers.",
        may_miss: 0.0,
        rows,
    }
}

/// Look-up tables.
pub(crate) fn look_up_tables() -> Study {
    let rows = points()
        .iter()
        .filter(|p| p.measured.lut > 0)
        .map(|p| {
            row(
                p,
                "LUT",
                (p.measured.lut, p.modelled.lut),
                Tolerance::Portion(0.30),
            )
        })
        .collect();
    Study {
        name: "fpga-lut",
        title: "FPGA synthesis: look-up tables of single PEs",
        note: "Held to a mean of 15 % and to 30 % for nine points in ten: logic optimisation of odd widths is not modelled.",
        may_miss: 0.10,
        rows,
    }
}
