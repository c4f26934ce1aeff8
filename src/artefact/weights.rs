//! One layer's weights: levels, positions, codes.

use super::ArtefactError;
use super::coder::{Coder, Counted, Meter};
use super::model::{Cell, Tree};
use super::positions::{self, Place};
use crate::compression::Mask;
use crate::compression::encoding::{Encoding, Layout};
use crate::compression::pack::{precision_of, precision_tag};
use crate::compression::precision::{Levels, Precision, Scale};

/// A layer as stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// The levels; scales of rows without weights are 1.
    pub(super) levels: Levels,
    /// The encoding of positions and codes; `None` for entropy coding.
    pub(super) encoding: Option<Encoding>,
    pub(super) mask: Mask,
    /// Of the positions alive, row-major.
    pub(super) codes: Vec<u32>,
}

/// Bits of a layer's parts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Bits {
    pub(super) levels: f64,
    pub(super) index: f64,
    pub(super) codes: f64,
}

/// What all layers share.
#[derive(Debug)]
pub(super) struct Shared {
    kind: Tree,
    bits: Tree,
    encoded: Cell,
    exponents: Tree,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            kind: Tree::new(5),
            bits: Tree::new(6),
            encoded: Cell::new(0.1, 1.0),
            exponents: Tree::new(8),
        }
    }

    /// Codes a float: sign, exponent (which repeats), fraction.
    pub(super) fn float(&mut self, coder: &mut impl Coder, bits: u32) -> u32 {
        let sign = coder.plain(u64::from(bits >> 31), 1) as u32;
        let exponent = self.exponents.code(coder, bits >> 23 & 255);
        sign << 31 | exponent << 23 | coder.plain(u64::from(bits & 0x7F_FFFF), 23) as u32
    }
}

impl Stored {
    /// A layer without weights, to read into.
    pub(super) fn empty(rows: usize, cols: usize) -> Self {
        Self {
            levels: Levels::FLOAT32,
            encoding: None,
            mask: Mask::empty(rows, cols),
            codes: Vec::new(),
        }
    }

    /// Takes the encoding in which the layer takes least: entropy coding or one of [`Encoding::tried`].
    pub(super) fn choose(&mut self, place: Place<'_>) {
        let mut meter = Meter::default();
        let mask = positions::code(&mut meter, place, &self.mask);
        code_values(
            &mut meter,
            &mut Shared::new(),
            &self.levels,
            &self.codes,
            mask.count(),
        );
        let value_bits = self.levels.precision.bits();
        for encoding in Encoding::tried() {
            // an encoding that cannot hold this mask is none of the choices; tag, sizes and count take five bytes
            if let Ok(size) = encoding.size(&self.mask, value_bits)
                && (size.bytes() * 8 + 40) as f64 <= meter.bits
            {
                meter.bits = (size.bytes() * 8 + 40) as f64;
                self.encoding = Some(encoding);
            }
        }
    }

    /// Codes the layer; what is read may differ from `self` in the scales of rows without weights alone.
    ///
    /// # Errors
    /// When what is read is nothing that is written.
    pub(super) fn code(
        &self,
        coder: &mut Counted<impl Coder>,
        shared: &mut Shared,
        place: Place<'_>,
    ) -> Result<(Self, Bits), ArtefactError> {
        let mut bits = Bits::default();
        let [kind, width] = precision_tag(self.levels.precision).map(u32::from);
        let kind = shared.kind.code(coder, kind);
        let width = shared.bits.code(coder, width);
        let precision = precision_of([kind as u8, width as u8])
            .filter(|p| p.has_valid_bits())
            .ok_or(ArtefactError::Malformed("unknown precision"))?;
        bits.levels += coder.take();
        let (encoding, mask, stream) = if shared.encoded.code(coder, self.encoding.is_some()) {
            let (encoding, mask, codes) = self.encoded(coder, place, precision)?;
            bits.index += coder.take() - codes.len() as f64 * f64::from(precision.bits());
            bits.codes += codes.len() as f64 * f64::from(precision.bits());
            (Some(encoding), mask, Some(codes))
        } else {
            let mask = positions::code(coder, place, &self.mask);
            bits.index += coder.take();
            (None, mask, None)
        };
        let levels = self.levels(coder, shared, precision, &mask)?;
        bits.levels += coder.take();
        let codes = stream.unwrap_or_else(|| {
            let codes = code_values(coder, shared, &levels, &self.codes, mask.count());
            bits.codes += coder.take();
            codes
        });
        let known = |&code: &u32| (code as usize) < levels.table.len();
        if matches!(precision, Precision::Codebook { .. }) && !codes.iter().all(known) {
            return Err(ArtefactError::Malformed("a code past the end of its codebook"));
        }
        let read = Self {
            levels,
            encoding,
            mask,
            codes,
        };
        Ok((read, bits))
    }

    /// Positions and codes in one of the encodings.
    fn encoded(
        &self,
        coder: &mut impl Coder,
        place: Place<'_>,
        precision: Precision,
    ) -> Result<(Encoding, Mask, Vec<u32>), ArtefactError> {
        let malformed = ArtefactError::Malformed;
        let Place { rows, cols, .. } = place;
        let wanted = self.encoding.unwrap_or(Encoding::Dense);
        let mut tag = wanted.tag().into_iter();
        let first = coder.plain(tag.next().unwrap_or(0).into(), 8) as u8;
        let mut next = || Some(coder.plain(tag.next().unwrap_or(0).into(), 8) as u8);
        let encoding = Encoding::from_tag(first, &mut next).ok_or(malformed("unknown encoding"))?;
        let value_bits = precision.bits();
        let bytes = match self.encoding {
            Some(_) => wanted
                .encode(&self.mask, &self.codes, value_bits)
                .map_err(|_| malformed("an encoding that cannot hold its layer"))?,
            None => Vec::new(),
        };
        let non_zeros = coder.plain(self.codes.len() as u64, 32) as usize;
        let length = coder.plain(bytes.len() as u64, 40) as usize;
        // no stream is longer than a zero-filled one with pointers to every row and column
        if non_zeros > rows * cols || length > 16 * (rows * cols + rows + cols) + 64 {
            return Err(malformed("more weights than positions"));
        }
        let stream: Vec<u8> = (0..length)
            .map(|i| coder.plain(bytes.get(i).copied().unwrap_or(0).into(), 8) as u8)
            .collect();
        let layout = Layout {
            rows,
            cols,
            non_zeros,
            value_bits,
        };
        let (mask, codes) = encoding
            .decode(&stream, layout)
            .map_err(|_| malformed("weights do not decode"))?;
        Ok((encoding, mask, codes))
    }

    /// Scales of rows with weights, or the entries of a codebook.
    fn levels(
        &self,
        coder: &mut impl Coder,
        shared: &mut Shared,
        precision: Precision,
        mask: &Mask,
    ) -> Result<Levels, ArtefactError> {
        let own = |i: usize| self.levels.table.get(i).copied().unwrap_or(1.0).to_bits();
        let mut float = |i: usize| f32::from_bits(shared.float(coder, own(i)));
        let table = match (precision, precision.scale()) {
            (_, Some(Scale::PerTensor)) => vec![float(0)],
            (_, Some(Scale::PerChannel)) => {
                let counts = mask.row_counts().into_iter().enumerate();
                counts
                    .map(|(row, kept)| if kept > 0 { float(row) } else { 1.0 })
                    .collect()
            }
            (Precision::Codebook { .. }, _) => {
                let entries = coder.plain(self.levels.table.len() as u64, 9) as usize;
                (0..entries)
                    .map(|i| f32::from_bits(shared.float(coder, own(i))))
                    .collect()
            }
            _ => Vec::new(),
        };
        let levels = Levels { precision, table };
        levels
            .check(mask.rows())
            .map_err(|_| ArtefactError::Malformed("levels that do not exist"))?;
        Ok(levels)
    }
}

/// Codes the values of `count` weights.
fn code_values(
    coder: &mut impl Coder,
    shared: &mut Shared,
    levels: &Levels,
    codes: &[u32],
    count: usize,
) -> Vec<u32> {
    let at = |i: usize| codes.get(i).copied().unwrap_or(0);
    let width = levels.precision.bits();
    if levels.precision == Precision::Float32 {
        return (0..count).map(|i| shared.float(coder, at(i))).collect();
    }
    // the sign apart from the magnitude, so that both signs teach the magnitudes
    let signed = levels.precision.scale().is_some();
    let (mut sign, mut rest) = (Cell::new(0.5, 8.0), Tree::new(width - u32::from(signed)));
    let below = (1u32 << (width - u32::from(signed))) - 1;
    (0..count)
        .map(|i| {
            let negative = signed && sign.code(coder, at(i) > below);
            rest.code(coder, at(i) & below) | if negative { below + 1 } else { 0 }
        })
        .collect()
}
