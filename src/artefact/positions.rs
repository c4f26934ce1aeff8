//! Which weights of a layer are kept: every position of the rows that hold any, under a probability that learns from
//! the positions before it.

use super::coder::Coder;
use super::model::{Cell, Mixer};
use crate::compression::Mask;

/// What is known of a layer before its positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// GEMM rows.
    pub(super) rows: usize,
    /// GEMM columns.
    pub(super) cols: usize,
    /// Weights kept in each row of the layer with weights before this one; empty without one.
    pub(super) before: &'a [usize],
    /// Columns that read one unit of the layer before, where these divide among its rows; else kernel positions.
    pub(super) columns: usize,
}

/// Opinions that are mixed.
const CONTEXTS: usize = 8;
/// Cells of one opinion.
const CELLS: usize = 1024;

/// Codes the positions alive of a layer.
pub(super) fn code(coder: &mut impl Coder, place: Place<'_>, mask: &Mask) -> Mask {
    let Place { rows, cols, .. } = place;
    let mut read = Mask::empty(rows, cols);
    if rows == 0 || cols == 0 {
        return read;
    }
    let mut full = Cell::new(0.2, 1.0);
    if full.code(coder, mask.count() == mask.len()) {
        return Mask::full(rows, cols);
    }
    let columns = place.columns.clamp(1, cols);
    let place = Place { columns, ..place };
    // columns that read a unit without weights are mostly empty themselves, and then not coded at all
    let unread = |col: usize| place.before.get(col / columns) == Some(&0);
    let skips = coder.plain(u64::from(!mask.ones().any(|i| unread(i % cols))), 1) == 1;
    let coded: Vec<usize> = (0..cols).filter(|&col| !(skips && unread(col))).collect();
    let rows_alive = mask.row_counts().into_iter().filter(|&n| n > 0).count();
    let density = mask.count() as f64 / (rows_alive * coded.len()).max(1) as f64;
    let halvings = coder.plain(
        (-2.0 * density.max(1e-9).log2()).round().clamp(0.0, 63.0) as u64,
        6,
    );
    let density = (0..halvings).fold(1.0, |p, _| p * std::f64::consts::FRAC_1_SQRT_2);
    let mut alive = Cell::new(0.5, 2.0);
    let mut seen = Seen::new(place, density.clamp(1e-6, 0.75));
    for row in 0..rows {
        let any = mask.count_in(row * cols..(row + 1) * cols) > 0;
        if !alive.code(coder, any) {
            continue;
        }
        seen.start_row();
        for &col in &coded {
            let bit = mask.get(row * cols + col);
            if seen.code(coder, col, bit) {
                read.set(row * cols + col, true);
            }
        }
        seen.end_row();
    }
    read
}

/// What has been coded of a layer so far, and the cells that learn from it.
struct Seen<'a> {
    place: Place<'a>,
    cells: Vec<Cell>,
    mixer: Mixer<CONTEXTS>,
    /// Rows that hold weights so far.
    rows: usize,
    /// Weights of each column, and of the columns of each unit of the layer before.
    column: Vec<u32>,
    unit: Vec<u32>,
    /// Weights of this row so far, and of the unit at hand in this row.
    in_row: usize,
    in_unit: usize,
    last: usize,
    current: Vec<bool>,
}

/// 0, 1, 2, 3, 4–5, 6–8, 9–12, …: the number's logarithm in half octaves.
fn bucket(n: usize) -> usize {
    if n < 4 {
        return n;
    }
    let length = n.ilog2();
    2 * length as usize + (n >> (length - 1) & 1)
}

impl<'a> Seen<'a> {
    fn new(place: Place<'a>, density: f64) -> Self {
        Self {
            place,
            cells: vec![Cell::new(density, 3.0); CONTEXTS * CELLS],
            mixer: Mixer::new(0.15, 0.002),
            rows: 0,
            column: vec![0; place.cols],
            unit: vec![0; place.cols.div_ceil(place.columns)],
            in_row: 0,
            in_unit: 0,
            last: 0,
            current: vec![false; place.cols],
        }
    }

    fn start_row(&mut self) {
        self.in_row = 0;
        self.last = 0;
        self.current.fill(false);
    }

    fn end_row(&mut self) {
        self.rows += 1;
    }

    fn code(&mut self, coder: &mut impl Coder, col: usize, bit: bool) -> bool {
        let Place { cols, columns, .. } = self.place;
        let (unit, at) = (col / columns, col % columns);
        if at == 0 {
            self.in_unit = 0;
        }
        let back = |by: usize| usize::from(col >= by && self.current[col - by]);
        let side = columns.isqrt();
        let row_before = self.place.before.get(unit).copied().unwrap_or(0);
        let rows = bucket(self.rows).min(23);
        let contexts = [
            0,
            rows * 6 + (self.column[col] as usize).min(5),
            bucket(self.in_row).min(15) * 16 + 16 * col / cols,
            rows * 16 + bucket(self.unit[unit] as usize).min(15),
            self.in_unit.min(7) * 64 + at.min(63),
            back(1) + 2 * back(side) + 4 * back(columns) + 8 * (self.column[col] as usize).min(3),
            bucket(row_before).min(31),
            bucket(col - self.last).min(31) * 4 + self.in_row.min(3),
        ];
        let mut places = [0; CONTEXTS];
        for (i, context) in contexts.into_iter().enumerate() {
            places[i] = i * CELLS + context.min(CELLS - 1);
        }
        let bit = self.mixer.code(coder, &mut self.cells, places, bit);
        if bit {
            self.column[col] += 1;
            self.unit[unit] += 1;
            self.in_row += 1;
            self.in_unit += 1;
            self.last = col;
            self.current[col] = true;
        }
        bit
    }
}
