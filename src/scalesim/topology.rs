//! SCALE-Sim's topology CSV: a header, then a layer a row.
//!
//! | rows | columns |
//! |---|---|
//! | convolutions | name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride[, N:M] |
//! | matrix products | name, M, N, K[, N:M] |
//!
//! Inputs are already padded. A comma may end a row. A convolution with `DP` in its name is depthwise: a layer of
//! one channel for every channel.

use super::ini::span_in;
use crate::document::{Fault, Faults, Source};
use std::ops::Range;

/// Largest extent of a layer.
const MOST: u64 = 1 << 32;
/// Layers of a topology, depthwise ones counted by channel.
const MOST_LAYERS: usize = 100_000;

/// A layer as a convolution over a padded input; a matrix product M×K by K×N is M windows of 1×K.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Height and width of the input.
    pub ifmap: [u64; 2],
    /// Height and width of a filter.
    pub filter: [u64; 2],
    /// Input channels.
    pub channels: u64,
    /// Filters.
    pub filters: u64,
    /// Stride in both directions.
    pub stride: u64,
    /// N and M of N:M weights.
    pub ratio: [u64; 2],
}

/// The layers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// In the order of the file, never empty.
    pub layers: Vec<Layer>,
}

const CONVOLUTION: [&str; 8] = [
    "layer name",
    "IFMAP height",
    "IFMAP width",
    "filter height",
    "filter width",
    "channels",
    "filters",
    "stride",
];
const PRODUCT: [&str; 4] = ["layer name", "M", "N", "K"];

/// A row's cells with their places.
type Cells<'t> = Vec<(&'t str, Range<usize>)>;

impl Topology {
    /// Reads a topology.
    ///
    /// # Errors
    /// Every fault at its place.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut rows = rows(source, &mut faults).into_iter();
        let mut layers = Vec::new();
        if let Some(header) = rows.next() {
            match columns(&header) {
                Ok(columns) => {
                    for row in rows {
                        read_layer(&row, columns, &mut layers, &mut faults);
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        if layers.is_empty() && faults.is_empty() {
            faults.push(Fault::new(
                0..source.text.trim_end().len().min(1),
                "the topology has no layers",
                "write a header and one row per layer",
            ));
        }
        if layers.len() > MOST_LAYERS {
            faults.push(Fault::new(
                0..1,
                format!("the topology has more than {MOST_LAYERS} layers"),
                "split it into several files",
            ));
        }
        if faults.is_empty() {
            Ok(Self { layers })
        } else {
            Err(source.faults(faults))
        }
    }
}

/// The rows that are not blank. The reader says where a record begins; its cells are found in the text from there.
fn rows<'t>(source: &'t Source, faults: &mut Vec<Fault>) -> Vec<Cells<'t>> {
    let text = source.text.as_str();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .quoting(false)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let message = format!("the file is not CSV at this place: {error}");
                faults.push(Fault::new(0..0, message, "write cells with commas between"));
                break;
            }
        };
        let start = record
            .position()
            .and_then(|p| usize::try_from(p.byte()).ok())
            .unwrap_or(0);
        let line = text.get(start..).unwrap_or("").trim_start_matches(['\r', '\n']);
        let line = line.split(['\r', '\n']).next().unwrap_or("");
        let mut cells: Cells = line
            .split(',')
            .map(str::trim)
            .map(|cell| (cell, span_in(text, cell)))
            .collect();
        // a comma may end the row
        if cells.len() > 1 && cells.last().is_some_and(|(cell, _)| cell.is_empty()) {
            cells.pop();
        }
        if cells.iter().any(|(cell, _)| !cell.is_empty()) {
            rows.push(cells);
        }
    }
    rows
}

/// Which kind of rows a header announces.
fn columns(header: &Cells) -> Result<&'static [&'static str], Fault> {
    let second = header.get(1).map_or("", |(cell, _)| cell).to_lowercase();
    if second == "m" {
        Ok(&PRODUCT)
    } else if second.starts_with("ifmap") {
        Ok(&CONVOLUTION)
    } else {
        let span = header.first().map_or(0..0, |(_, first)| {
            first.start..header.last().map_or(first.end, |(_, last)| last.end)
        });
        Err(Fault::new(
            span,
            "this header is neither that of convolutions nor that of matrix products",
            "begin the file with `Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,` or with `Layer, M, N, K,`",
        ))
    }
}

fn read_layer(row: &Cells, columns: &[&str], layers: &mut Vec<Layer>, faults: &mut Vec<Fault>) {
    let span = row[0].1.start..row[row.len() - 1].1.end;
    let (given, most) = (row.len(), columns.len() + 1);
    if given < columns.len() || given > most {
        faults.push(Fault::new(
            span,
            format!("this row has {given} cells"),
            format!(
                "write {} cells: {}; then, where weights are sparse, N:M",
                columns.len(),
                columns.join(", ")
            ),
        ));
        return;
    }
    let before = faults.len();
    let mut numbers = Vec::with_capacity(columns.len() - 1);
    for ((cell, at), column) in row.iter().zip(columns).skip(1) {
        match cell.parse::<u64>() {
            Ok(n) if (1..=MOST).contains(&n) => numbers.push(n),
            _ => faults.push(Fault::new(
                if at.is_empty() { span.clone() } else { at.clone() },
                format!("{column} is `{cell}`"),
                "write a whole number from 1 to 2^32",
            )),
        }
    }
    let ratio = match row.get(columns.len()) {
        Some((cell, at)) => ratio(cell, at.clone(), faults),
        None => [1, 1],
    };
    let name = row[0].0;
    let layer = match *numbers.as_slice() {
        [m, n, k] => Layer {
            name: name.into(),
            ifmap: [m, k],
            filter: [1, k],
            channels: 1,
            filters: n,
            stride: 1,
            ratio,
        },
        [height, width, rows, cols, channels, filters, stride] => Layer {
            name: name.into(),
            ifmap: [height, width],
            filter: [rows, cols],
            channels,
            filters,
            stride,
            ratio,
        },
        _ => return,
    };
    for (i, side) in ["height", "width"].into_iter().enumerate() {
        if layer.filter[i] > layer.ifmap[i] {
            faults.push(Fault::new(
                row[3 + i].1.clone(),
                format!(
                    "the filter's {side} is {}, and the input's {}",
                    layer.filter[i], layer.ifmap[i]
                ),
                "a filter must fit into its input; write the input with its padding",
            ));
        }
    }
    if faults.len() == before {
        push(layer, columns.len() == CONVOLUTION.len(), span, layers, faults);
    }
}

/// A layer, or one per channel of a depthwise one.
fn push(
    layer: Layer,
    convolution: bool,
    span: Range<usize>,
    layers: &mut Vec<Layer>,
    faults: &mut Vec<Fault>,
) {
    if !(convolution && layer.name.contains("DP")) {
        layers.push(layer);
        return;
    }
    let room = MOST_LAYERS.saturating_sub(layers.len()) as u64;
    if layer.channels > room {
        faults.push(Fault::new(
            span,
            format!("this depthwise layer stands for {} layers", layer.channels),
            format!("a topology has at most {MOST_LAYERS} layers; split it into several files"),
        ));
        return;
    }
    layers.extend((0..layer.channels).map(|channel| Layer {
        name: format!("{}Channel_{channel}", layer.name),
        channels: 1,
        ..layer.clone()
    }));
}

fn ratio(cell: &str, at: Range<usize>, faults: &mut Vec<Fault>) -> [u64; 2] {
    let parsed = cell
        .split_once(':')
        .and_then(|(n, m)| Some([n.trim().parse().ok()?, m.trim().parse().ok()?]));
    match parsed {
        Some([n, m]) if (1..=m).contains(&n) && m <= 65_536 => [n, m],
        _ => {
            faults.push(Fault::new(
                at,
                format!("the sparsity is `{cell}`"),
                "write N:M, as in `2:4`: N weights of every M stay, 1 <= N <= M <= 65536",
            ));
            [1, 1]
        }
    }
}
