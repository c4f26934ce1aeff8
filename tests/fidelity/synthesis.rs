//! The synthesis runs of single PEs, and what the forms say of each.

use cosparse::hardware::resources::{
    Decoder, Family, Multiplier, Resources, Widths, bram18, dense_pe, sparse_pe, xnor_popcount,
};

/// One synthesis run and what the forms say of it.
pub(crate) struct Point {
    pub(crate) line: String,
    pub(crate) fifo_depth: u32,
    pub(crate) measured: Resources,
    pub(crate) modelled: Resources,
}

pub(crate) fn points() -> Vec<Point> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/fpga_synthesis_points.csv"
    );
    let mut reader = csv::Reader::from_path(path).expect("the synthesis points");
    let points: Vec<_> = reader.records().map(|r| point(&r.expect("a row"))).collect();
    assert!(points.len() > 80);
    points
}

fn point(row: &csv::StringRecord) -> Point {
    let number = |i: usize| row[i].parse::<u32>().expect("a count");
    let family = if &row[0] == "xc7" {
        Family::Series7
    } else {
        Family::UltraScalePlus
    };
    let widths = Widths {
        weight: number(2),
        activation: number(3),
        accumulator: number(4),
    };
    let decoder = Decoder {
        index_bits: number(5),
        fifo_depth: number(6),
    };
    // this synthesis packs the accumulator on 7 series only
    let dsp = Multiplier::Dsp {
        packed_accumulator: family == Family::Series7,
    };
    let engine = row[1].to_string();
    let mut modelled = match engine.as_str() {
        "sparse" => sparse_pe(family, widths, decoder, dsp),
        "sparse_lut" => sparse_pe(family, widths, decoder, Multiplier::Lut),
        "dense" | "dense_reg" => dense_pe(family, widths, dsp),
        memory if memory.starts_with("dense_mem") => dense_pe(family, widths, dsp),
        "shift" => dense_pe(family, widths, Multiplier::Shift),
        "dense_lut" => dense_pe(family, widths, Multiplier::Lut),
        other => {
            let lanes = other.strip_prefix("xnor_x").expect("an engine of the list");
            xnor_popcount(family, lanes.parse().expect("lanes"), widths.accumulator)
        }
    };
    if engine == "dense_reg" {
        modelled.ff += u64::from(widths.weight + widths.activation);
    }
    if let Some(words) = engine.strip_prefix("dense_mem") {
        modelled.bram18 = bram18(words.parse().expect("words"), widths.weight.into()).expect("small");
    }
    let count = |i: usize| u64::from(number(i));
    let measured = Resources {
        dsp: count(7),
        lut: count(8),
        ff: count(9),
        bram18: count(11),
        uram: 0,
    };
    Point {
        line: row.iter().collect::<Vec<_>>().join(","),
        fifo_depth: decoder.fifo_depth,
        measured,
        modelled,
    }
}
