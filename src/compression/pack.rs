//! The stored form of one layer's weights: real bytes, written in the layer's encoding.
//!
//! | field | bytes |
//! |---|---|
//! | `CSPL`, format version | 4 + 1 |
//! | precision: 0 float32, 1 equal-interval, 2 power-of-two, 3 binary, 4 ternary, 5 codebook; 16 more for scales per row | 1 |
//! | bits of a code | 1 |
//! | encoding: 0 dense, 1 bitmap, 128 + k relative index of k bits; 2 csr, 3 csc, 4 coordinate, 5 n-m, 6 block map (each then two numbers of 4 bytes), 7 golomb-rice | 1 or 9 |
//! | name: length, UTF-8 | varint + length |
//! | shape: number of dimensions, then each | varints |
//! | GEMM rows, GEMM columns, stored weights | varints |
//! | scales or codebook: how many, then each as little-endian `f32` | varint + 4 each |
//! | the stream of [`Encoding::encode`] | to the checksum |
//! | CRC-32 of all bytes before, little-endian | 4 |
//!
//! A varint is LEB128: seven bits a byte, lowest first, the top bit set on all but the last.

use super::encoding::{DecodeError, EncodeError, Encoding, Layout, Size};
use super::precision::{Levels, LevelsError, Precision, Scale};
use super::{ConstraintSet, Mask};

const MAGIC: &[u8; 4] = b"CSPL";
const VERSION: u8 = 2;
/// Added to a precision's byte where each row has a scale.
const PER_ROW: u8 = 16;
const CHECKSUM: usize = 4;
/// A layer has fewer positions than this; a header that claims more is refused before memory is taken.
const MOST_POSITIONS: usize = 1 << 31;

/// Why weights were not packed or bytes not unpacked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PackError {
    /// Rows × columns, the shape and the number of weights differ.
    #[error(
        "layer `{name}`: {weights} weights for {rows} rows, {cols} columns and shape {shape:?}: the products must agree and be below 2^31"
    )]
    Shape {
        /// The layer.
        name: String,
        /// Weights given.
        weights: usize,
        /// GEMM rows.
        rows: usize,
        /// GEMM columns.
        cols: usize,
        /// Tensor shape.
        shape: Vec<usize>,
    },
    /// A weight is not on a level, so storing its code would change it.
    #[error(
        "layer `{name}`: weight {index} is {value}, not a level of {levels}: project onto the levels before packing"
    )]
    OffLevel {
        /// The layer.
        name: String,
        /// Row-major position.
        index: usize,
        /// The weight.
        value: f32,
        /// The levels.
        levels: String,
    },
    /// Levels that do not exist.
    #[error("layer `{name}`: {source}")]
    Levels {
        /// The layer.
        name: String,
        /// What is outside its range.
        source: LevelsError,
    },
    /// The encoding refused the tensor.
    #[error("layer `{name}`: {source}")]
    Encode {
        /// The layer.
        name: String,
        /// Why.
        source: EncodeError,
    },
    /// The bytes do not start as a packed layer does.
    #[error("not a packed layer: it does not start with `CSPL`")]
    Magic,
    /// Written by another version of the format.
    #[error("packed layer of format version {0}; this program reads version {VERSION}: pack the layer again")]
    Version(u8),
    /// The bytes end early.
    #[error("the packed layer is truncated")]
    Truncated,
    /// The checksum does not match.
    #[error("the packed layer is corrupt: its checksum is {stored:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The checksum matches, yet no packer writes this.
    #[error("the packed layer is malformed: {0}")]
    Malformed(&'static str),
    /// The stream does not decode.
    #[error("the packed layer's weights do not decode: {0}")]
    Decode(#[from] DecodeError),
}

/// One layer as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedLayer {
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    levels: Levels,
    mask: Mask,
    codes: Vec<u32>,
}

/// The bytes of one layer and what they are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Header, stream, checksum.
    pub bytes: Vec<u8>,
    /// The stream's parts, in bits.
    pub size: Size,
}

/// One layer read back.
#[derive(Debug, Clone, PartialEq)]
pub struct UnpackedLayer {
    /// The weights, row-major; bit for bit those that were packed.
    pub values: Vec<f32>,
    /// The positions stored. In float32 a −0.0 is stored, and alive here.
    pub mask: Mask,
}

/// Packs a layer without a name, its shape being rows × columns.
///
/// # Errors
/// As [`PackedLayer::new`].
pub fn pack(
    weights: &[f32],
    rows: usize,
    cols: usize,
    encoding: Encoding,
    levels: &Levels,
) -> Result<Packed, PackError> {
    PackedLayer::new("", &[rows, cols], (rows, cols), weights, encoding, levels)?.pack()
}

/// The weights and mask of packed bytes.
///
/// # Errors
/// As [`PackedLayer::from_bytes`].
pub fn unpack(bytes: &[u8]) -> Result<UnpackedLayer, PackError> {
    let layer = PackedLayer::from_bytes(bytes)?;
    Ok(UnpackedLayer {
        values: layer.values(),
        mask: layer.mask,
    })
}

impl PackedLayer {
    /// The layer that stores `weights`, GEMM `(rows, cols)` row-major, of a tensor of this shape. Lossless: a
    /// weight that its precision cannot hold exactly is an error, not an approximation.
    ///
    /// # Errors
    /// When the sizes disagree, a width or the interval is out of range, or a non-zero weight is not on a level.
    pub fn new(
        name: &str,
        shape: &[usize],
        (rows, cols): (usize, usize),
        weights: &[f32],
        encoding: Encoding,
        levels: &Levels,
    ) -> Result<Self, PackError> {
        let elements = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        if positions(rows, cols) != Some(weights.len()) || elements != Some(weights.len()) {
            let (name, shape) = (name.into(), shape.to_vec());
            return Err(PackError::Shape {
                name,
                weights: weights.len(),
                rows,
                cols,
                shape,
            });
        }
        levels.check(rows).map_err(|source| PackError::Levels {
            name: name.into(),
            source,
        })?;
        let mut mask = Mask::empty(rows, cols);
        let mut codes = Vec::new();
        for (index, &value) in weights.iter().enumerate() {
            // by bits, so that a float32 -0.0 comes back as it was
            let zero = value == 0.0 && (levels.precision != Precision::Float32 || value.to_bits() == 0);
            if zero {
                continue;
            }
            let row = index / cols;
            let code = levels.code(row, value);
            let exact = code.filter(|&code| levels.decode(row, code).to_bits() == value.to_bits());
            codes.push(exact.ok_or_else(|| PackError::OffLevel {
                name: name.into(),
                index,
                value,
                levels: levels.describe(),
            })?);
            mask.set(index, true);
        }
        Ok(Self {
            name: name.into(),
            shape: shape.to_vec(),
            encoding,
            levels: levels.clone(),
            mask,
            codes,
        })
    }

    /// The layer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tensor's shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How a weight is stored.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.levels.precision
    }

    /// How the tensor lies in memory.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The levels, with their scales or their table.
    #[must_use]
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The positions stored.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The codes of the positions stored, row-major.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The weights, row-major.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.mask.len()];
        for (i, &code) in self.mask.ones().zip(&self.codes) {
            values[i] = self.levels.decode(i / self.mask.cols(), code);
        }
        values
    }

    /// The layer's bytes with the sizes of their parts.
    ///
    /// # Errors
    /// When a width of the encoding is out of range.
    pub fn pack(&self) -> Result<Packed, PackError> {
        let wrap = |source| PackError::Encode {
            name: self.name.clone(),
            source,
        };
        let value_bits = self.levels.precision.bits();
        let size = self.encoding.size(&self.mask, value_bits).map_err(wrap)?;
        let stream = self
            .encoding
            .encode(&self.mask, &self.codes, value_bits)
            .map_err(wrap)?;
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(precision_tag(self.levels.precision));
        bytes.extend(self.encoding.tag());
        put_varint(&mut bytes, self.name.len());
        bytes.extend_from_slice(self.name.as_bytes());
        put_varint(&mut bytes, self.shape.len());
        for &n in self
            .shape
            .iter()
            .chain(&[self.mask.rows(), self.mask.cols(), self.codes.len()])
        {
            put_varint(&mut bytes, n);
        }
        put_varint(&mut bytes, self.levels.table.len());
        for value in &self.levels.table {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&stream);
        let checksum = crc32(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Ok(Packed { bytes, size })
    }

    /// The layer of these bytes.
    ///
    /// # Errors
    /// When they are not exactly what [`PackedLayer::pack`] writes: truncated, changed in any byte, of another
    /// version, or followed by more.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackError> {
        if bytes.get(..MAGIC.len()).ok_or(PackError::Truncated)? != MAGIC {
            return Err(PackError::Magic);
        }
        let version = *bytes.get(MAGIC.len()).ok_or(PackError::Truncated)?;
        if version != VERSION {
            return Err(PackError::Version(version));
        }
        let (body, tail) = bytes.split_last_chunk::<CHECKSUM>().ok_or(PackError::Truncated)?;
        let (stored, computed) = (u32::from_le_bytes(*tail), crc32(body));
        if stored != computed {
            return Err(PackError::Checksum { stored, computed });
        }
        let mut rest = Rest(body.get(MAGIC.len() + 1..).ok_or(PackError::Truncated)?);
        let precision =
            precision_of([rest.byte()?, rest.byte()?]).ok_or(PackError::Malformed("unknown precision"))?;
        let tag = rest.byte()?;
        let encoding = Encoding::from_tag(tag, &mut || rest.byte().ok())
            .ok_or(PackError::Malformed("unknown encoding"))?;
        let length = rest.varint()?;
        let name = String::from_utf8(rest.take(length)?.to_vec())
            .map_err(|_| PackError::Malformed("the name is not UTF-8"))?;
        let dimensions = rest.varint()?;
        if dimensions > rest.0.len() {
            return Err(PackError::Truncated);
        }
        let shape = (0..dimensions)
            .map(|_| rest.varint())
            .collect::<Result<Vec<_>, _>>()?;
        let (rows, cols, non_zeros) = (rest.varint()?, rest.varint()?, rest.varint()?);
        let elements = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        if positions(rows, cols).is_none() || elements != positions(rows, cols) {
            return Err(PackError::Malformed(
                "shape and GEMM sizes differ, or are 2^31 and more",
            ));
        }
        let entries = rest.varint()?;
        let table = entries.checked_mul(4).ok_or(PackError::Truncated)?;
        let table = rest.take(table)?.as_chunks::<4>().0;
        let levels = Levels {
            precision,
            table: table.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        levels.check(rows).map_err(|source| PackError::Levels {
            name: name.clone(),
            source,
        })?;
        let layout = Layout {
            rows,
            cols,
            non_zeros,
            value_bits: precision.bits(),
        };
        let (mask, codes) = encoding.decode(rest.0, layout)?;
        let known = |&code: &u32| (code as usize) < levels.table.len();
        if matches!(precision, Precision::Codebook { .. }) && !codes.iter().all(known) {
            return Err(PackError::Malformed("a code past the end of its codebook"));
        }
        Ok(Self {
            name,
            shape,
            encoding,
            levels,
            mask,
            codes,
        })
    }
}

/// Rows × columns, if a layer can have so many.
pub(super) fn positions(rows: usize, cols: usize) -> Option<usize> {
    rows.checked_mul(cols).filter(|&n| n < MOST_POSITIONS)
}

/// A precision as two bytes.
pub(crate) fn precision_tag(precision: Precision) -> [u8; 2] {
    let kind = match precision {
        Precision::Float32 => 0,
        Precision::EqualInterval { .. } => 1,
        Precision::PowerOfTwo { .. } => 2,
        Precision::Binary { .. } => 3,
        Precision::Ternary { .. } => 4,
        Precision::Codebook { .. } => 5,
    };
    let per_row = precision.scale() == Some(Scale::PerChannel);
    [kind + if per_row { PER_ROW } else { 0 }, precision.bits() as u8]
}

/// The precision of two bytes, if they are those of one.
pub(crate) fn precision_of([kind, bits]: [u8; 2]) -> Option<Precision> {
    let scale = if kind & PER_ROW == 0 {
        Scale::PerTensor
    } else {
        Scale::PerChannel
    };
    let precision = match kind & !PER_ROW {
        0 => Precision::Float32,
        1 => Precision::EqualInterval { bits, scale },
        2 => Precision::PowerOfTwo { bits, scale },
        3 => Precision::Binary { scale },
        4 => Precision::Ternary { scale },
        5 => Precision::Codebook { bits },
        _ => return None,
    };
    // exactly what is written
    (precision_tag(precision) == [kind, bits]).then_some(precision)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn put_varint(bytes: &mut Vec<u8>, mut n: usize) {
    while n >= 128 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], PackError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(PackError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, PackError> {
        self.take(1)?.first().copied().ok_or(PackError::Truncated)
    }

    fn varint(&mut self) -> Result<usize, PackError> {
        let mut n = 0;
        // 9 groups hold 63 bits, more than any size a layer may have
        for group in 0..9 {
            let byte = self.byte()?;
            n |= usize::from(byte & 127) << (7 * group);
            if byte < 128 {
                return Ok(n);
            }
        }
        Err(PackError::Malformed("a number is longer than 9 bytes"))
    }
}
