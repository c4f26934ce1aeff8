//! The stored form of one layer's weights: real bytes, written in the layer's encoding.
//!
//! | field | bytes |
//! |---|---|
//! | `CSPL`, format version | 4 + 1 |
//! | precision: 0 for float32, else the bits of a level code | 1 |
//! | encoding: 0 dense, 1 bitmap, 128 + k relative index of k bits; 2 csr, 3 csc, 4 coordinate, 5 n-m, 6 block map (each then two numbers of 4 bytes), 7 golomb-rice | 1 or 9 |
//! | name: length, UTF-8 | varint + length |
//! | shape: number of dimensions, then each | varints |
//! | GEMM rows, GEMM columns, stored weights | varints |
//! | interval q, little-endian `f32`; level codes only | 4 |
//! | the stream of [`Encoding::encode`] | to the checksum |
//! | CRC-32 of all bytes before, little-endian | 4 |
//!
//! A varint is LEB128: seven bits a byte, lowest first, the top bit set on all but the last.

use super::encoding::{DecodeError, EncodeError, Encoding, Layout, Size};
use super::precision::{EqualInterval, Precision};
use super::{Mask, Target};

const MAGIC: &[u8; 4] = b"CSPL";
const VERSION: u8 = 1;
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
        "layer `{name}`: weight {index} is {value}, not a level of interval {interval}: project onto the levels before packing"
    )]
    OffLevel {
        /// The layer.
        name: String,
        /// Row-major position.
        index: usize,
        /// The weight.
        value: f32,
        /// The interval.
        interval: f32,
    },
    /// Level codes need 1 to 16 bits and a positive, finite interval.
    #[error(
        "layer `{name}`: levels of {bits} bits with interval {interval}: use 1 to 16 bits and a positive, finite interval"
    )]
    Levels {
        /// The layer.
        name: String,
        /// Bits of a code.
        bits: u8,
        /// The interval.
        interval: f32,
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
    precision: Precision,
    encoding: Encoding,
    interval: f32,
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

/// Packs a layer without a name, its shape being rows × columns. `interval` is the q of its levels; float32 has
/// none and ignores it.
///
/// # Errors
/// As [`PackedLayer::new`].
pub fn pack(
    weights: &[f32],
    rows: usize,
    cols: usize,
    target: &Target,
    interval: f32,
) -> Result<Packed, PackError> {
    PackedLayer::new("", &[rows, cols], (rows, cols), weights, target, interval)?.pack()
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
        target: &Target,
        interval: f32,
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
        let (mask, codes, interval) = match target.precision {
            Precision::Float32 => {
                // by bits, so that -0.0 comes back as it was
                let stored: Vec<u32> = weights.iter().map(|v| v.to_bits()).collect();
                let words = stored
                    .chunks(64)
                    .map(|b| b.iter().rev().fold(0, |w, &v| w << 1 | u64::from(v != 0)));
                let words = words.collect();
                let mask =
                    Mask::from_words(rows, cols, words).ok_or(PackError::Malformed("one bit per weight"))?;
                (mask, stored.into_iter().filter(|&v| v != 0).collect(), 0.0)
            }
            Precision::EqualInterval { bits } => {
                let set = levels(name, bits, interval)?;
                let mask = Mask::of(weights, rows, cols);
                let code = |index: usize| {
                    let value = weights[index];
                    let code = set.code(value);
                    let exact = set.decode(code).to_bits() == value.to_bits();
                    exact.then_some(code).ok_or_else(|| PackError::OffLevel {
                        name: name.into(),
                        index,
                        value,
                        interval,
                    })
                };
                let codes = mask.ones().map(code).collect::<Result<_, _>>()?;
                (mask, codes, interval)
            }
        };
        let (precision, encoding) = (target.precision, target.encoding);
        Ok(Self {
            name: name.into(),
            shape: shape.to_vec(),
            precision,
            encoding,
            interval,
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
        self.precision
    }

    /// How the tensor lies in memory.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The interval q of the levels; 0 in float32.
    #[must_use]
    pub fn interval(&self) -> f32 {
        self.interval
    }

    /// The positions stored.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The weights, row-major.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.mask.len()];
        for (i, &code) in self.mask.ones().zip(&self.codes) {
            values[i] = match self.precision {
                Precision::Float32 => f32::from_bits(code),
                Precision::EqualInterval { bits } => EqualInterval {
                    bits,
                    interval: self.interval,
                }
                .decode(code),
            };
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
        let value_bits = self.precision.bits();
        let size = self.encoding.size(&self.mask, value_bits).map_err(wrap)?;
        let stream = self
            .encoding
            .encode(&self.mask, &self.codes, value_bits)
            .map_err(wrap)?;
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.push(match self.precision {
            Precision::Float32 => 0,
            Precision::EqualInterval { bits } => bits,
        });
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
        if self.precision != Precision::Float32 {
            bytes.extend_from_slice(&self.interval.to_le_bytes());
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
        let precision = match rest.byte()? {
            0 => Precision::Float32,
            bits @ 1..=16 => Precision::EqualInterval { bits },
            _ => return Err(PackError::Malformed("unknown precision")),
        };
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
        let interval = match precision {
            Precision::Float32 => 0.0,
            Precision::EqualInterval { bits } => {
                let interval = f32::from_le_bytes(*rest.take(4)?.first_chunk().ok_or(PackError::Truncated)?);
                levels(&name, bits, interval)?.interval
            }
        };
        let layout = Layout {
            rows,
            cols,
            non_zeros,
            value_bits: precision.bits(),
        };
        let (mask, codes) = encoding.decode(rest.0, layout)?;
        Ok(Self {
            name,
            shape,
            precision,
            encoding,
            interval,
            mask,
            codes,
        })
    }
}

/// Rows × columns, if a layer can have so many.
pub(super) fn positions(rows: usize, cols: usize) -> Option<usize> {
    rows.checked_mul(cols).filter(|&n| n < MOST_POSITIONS)
}

fn levels(name: &str, bits: u8, interval: f32) -> Result<EqualInterval, PackError> {
    let valid = (1..=16).contains(&bits) && interval > 0.0 && interval.is_finite();
    valid
        .then_some(EqualInterval { bits, interval })
        .ok_or_else(|| PackError::Levels {
            name: name.into(),
            bits,
            interval,
        })
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
