//! Probabilities that learn: cells that count, and mixtures of them.
//!
//! Reader and writer must come to the same numbers on every machine, so everything here is made of the four operations
//! of f64, which are exact everywhere; the logarithm and the exponential are built from them.

use super::coder::{Coder, ONE};

/// ln x of a positive, normal number.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 2047) as f64 - 1023.0;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m − 1) / (m + 1)), |argument| < 0.172
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s / 11.0))));
    exponent * std::f64::consts::LN_2 + 2.0 * t * series
}

/// 1 / (1 + e^−x).
fn logistic(x: f64) -> f64 {
    let x = x.clamp(-20.0, 20.0);
    // e^x = (e^(x/256))^256
    let y = x / 256.0;
    let mut e = 1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6.0 + y / 24.0)));
    for _ in 0..8 {
        e *= e;
    }
    e / (1.0 + e)
}

/// A probability as the coder takes it.
fn parts(p: f64) -> u32 {
    (p * ONE as f64).clamp(64.0, (ONE - 64) as f64) as u32
}

/// The probability of a one among the bits seen so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    p: f64,
    seen: f64,
}

/// Bits after which a cell forgets as fast as it learns.
const MEMORY: f64 = 1000.0;

impl Cell {
    /// A cell that expects a one with probability `p` as if it had seen `weight` bits.
    pub(super) fn new(p: f64, weight: f64) -> Self {
        Self { p, seen: weight }
    }

    fn learn(&mut self, bit: bool) {
        self.seen += 1.0;
        self.p += (f64::from(u8::from(bit)) - self.p) / self.seen;
        self.seen = self.seen.min(MEMORY);
    }

    /// Codes a bit by this cell alone.
    pub(super) fn code(&mut self, coder: &mut impl Coder, bit: bool) -> bool {
        let bit = coder.bit(parts(self.p), bit);
        self.learn(bit);
        bit
    }

    fn logit(&self) -> f64 {
        ln(self.p / (1.0 - self.p))
    }
}

/// Cells for numbers of any size: how long the number is in unary, then its bits.
#[derive(Debug, Clone)]
pub(super) struct Number {
    lengths: [Cell; 64],
    first: [Cell; 64],
}

impl Number {
    pub(super) fn new() -> Self {
        Self {
            lengths: [Cell::new(0.5, 1.0); 64],
            first: [Cell::new(0.5, 1.0); 64],
        }
    }

    /// Codes a number below 2⁶³.
    pub(super) fn code(&mut self, coder: &mut impl Coder, n: u64) -> u64 {
        let length = 63 - (n + 1).leading_zeros() as usize;
        let mut k = 0;
        while k < 62 && self.lengths[k].code(coder, k < length) {
            k += 1;
        }
        let mut read = 1u64;
        for place in (0..k).rev() {
            let bit = (n + 1) >> place & 1 == 1;
            let bit = if place + 1 == k {
                self.first[k].code(coder, bit)
            } else {
                coder.bit(1 << 31, bit)
            };
            read = read << 1 | u64::from(bit);
        }
        read - 1
    }
}

/// Cells for symbols of a few bits, one for each beginning of a symbol.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    cells: Vec<Cell>,
    width: u32,
}

impl Tree {
    pub(super) fn new(width: u32) -> Self {
        Self {
            cells: vec![Cell::new(0.5, 2.0); 1 << width],
            width,
        }
    }

    /// Codes a symbol of the tree's width.
    pub(super) fn code(&mut self, coder: &mut impl Coder, symbol: u32) -> u32 {
        let mut node = 1usize;
        for place in (0..self.width).rev() {
            let bit = self.cells[node].code(coder, symbol >> place & 1 == 1);
            node = node << 1 | usize::from(bit);
        }
        node as u32 & ((1 << self.width) - 1)
    }
}

/// Several cells' opinions of one bit, weighed by how well they did so far.
///
/// The mixed probability is the logistic function of a weighted sum of the cells' logits; weights follow the gradient
/// of the code length (Mahoney, "Adaptive weighing of context models", 2005).
#[derive(Debug, Clone)]
pub(super) struct Mixer<const N: usize> {
    weights: [f64; N],
    rate: f64,
}

impl<const N: usize> Mixer<N> {
    pub(super) fn new(weight: f64, rate: f64) -> Self {
        Self {
            weights: [weight; N],
            rate,
        }
    }

    /// Codes a bit by the cells at these places of `cells`; all of them learn it.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        cells: &mut [Cell],
        places: [usize; N],
        bit: bool,
    ) -> bool {
        let logits = places.map(|i| cells[i].logit());
        let sum: f64 = logits.iter().zip(&self.weights).map(|(l, w)| l * w).sum();
        let p = logistic(sum).clamp(1e-7, 1.0 - 1e-7);
        let bit = coder.bit(parts(p), bit);
        let error = f64::from(u8::from(bit)) - p;
        for (w, l) in self.weights.iter_mut().zip(logits) {
            *w += self.rate * error * l;
        }
        for i in places {
            cells[i].learn(bit);
        }
        bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::coder::{Meter, Reader, Writer};

    #[test]
    fn the_functions_are_what_they_are_called() {
        for x in [1e-7, 0.01, 0.3, 1.0, 1.41, 1.42, 7.0, 1e7] {
            assert!((ln(x) - x.ln()).abs() < 1e-8, "{x}");
        }
        for x in [-25.0f64, -3.0, -0.1, 0.0, 2.0, 15.0] {
            let exact = 1.0 / (1.0 + (-x.clamp(-20.0, 20.0)).exp());
            assert!((logistic(x) / exact - 1.0).abs() < 1e-5, "{x}");
        }
    }

    #[test]
    fn numbers_and_symbols_come_back() {
        let numbers = [0, 1, 2, 3, 7, 8, 1000, u64::from(u32::MAX), 1 << 61];
        let mut writer = Writer::new();
        let (mut number, mut tree) = (Number::new(), Tree::new(5));
        for (i, &n) in numbers.iter().enumerate() {
            number.code(&mut writer, n);
            tree.code(&mut writer, 3 * i as u32);
        }
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        let (mut number, mut tree) = (Number::new(), Tree::new(5));
        for (i, &n) in numbers.iter().enumerate() {
            assert_eq!(number.code(&mut reader, 0), n);
            assert_eq!(tree.code(&mut reader, 0), 3 * i as u32);
        }
    }

    #[test]
    fn a_mixture_learns_which_cell_knows() {
        let mut cells = vec![Cell::new(0.5, 2.0); 3];
        let (mut mixer, mut meter) = (Mixer::<2>::new(0.5, 0.02), Meter::default());
        for i in 0..4000u32 {
            let bit = i % 2 == 0;
            mixer.code(&mut meter, &mut cells, [0, 1 + usize::from(bit)], bit);
        }
        assert!(meter.bits < 100.0, "{}", meter.bits);
    }
}
