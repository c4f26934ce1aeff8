//! How a sparse tensor lies in memory. One file per encoding, with `Coder`; the list below is the only other
//! place that names it.
//!
//! A stored tensor is a [`Mask`] and one *code* of `value_bits` bits for each position alive, in row-major order.
//! Codes of [`FLOAT_BITS`] bits are `f32` bit patterns, whose all-zero code can stand for a position that is not
//! alive. Narrower codes are levels, and all of them are taken: a zero then needs bits of its own wherever an
//! encoding stores one. The number of positions alive is not in the stream; whoever stores a stream stores it
//! beside (see [`Layout`]).

mod bitmap;
mod bits;
mod block_map;
mod coordinate;
mod csc;
mod csr;
mod dense;
mod golomb_rice;
mod n_m;
mod relative_index;

pub use bits::{BitReader, BitWriter};
pub use relative_index::{Entries, best_width, entries, entries_in};

use super::Mask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bits of a code that is an `f32`; the only codes among which zero is free.
pub const FLOAT_BITS: u32 = 32;

/// What an encoding is: its width in bits, its stream and its byte in a packed file.
///
/// The callers check first what holds for all encodings (see [`Encoding::encode`] and [`Encoding::decode`]): widths,
/// one code per position alive, codes that fit. A decoder accepts the streams that its encoder writes and no others.
trait Coder {
    /// Whether its parameters lie in their ranges.
    fn check(&self) -> Result<(), EncodeError> {
        Ok(())
    }

    /// Whether it can hold this mask.
    fn fits(&self, _mask: &Mask) -> Result<(), EncodeError> {
        Ok(())
    }

    /// What the tensor takes, without writing it.
    fn size(&self, mask: &Mask, value_bits: u32) -> Size;

    /// What a tensor takes on average over masks in which each position is alive with the layout's density, apart
    /// from the others; bits of a random number of pointers or of a code's parameter at their mean.
    fn expected_bits(&self, random: Random) -> f64;

    /// Writes the tensor: `codes` are those of the positions alive, in row-major order.
    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32);

    /// Reads the tensor, its codes in row-major order. The number of codes is the caller's to check.
    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError>;

    /// How a packed file names it: a byte of its own, then its parameters.
    fn tag(&self) -> Vec<u8>;

    /// The encoding whose [`Coder::tag`] starts with `tag`, if it is one of this kind; `next` gives the bytes after.
    fn from_tag(tag: u8, next: &mut dyn FnMut() -> Option<u8>) -> Option<Self>
    where
        Self: Sized;

    /// The parameters that [`smallest`] tries.
    fn tried() -> Vec<Self>
    where
        Self: Sized;
}

/// The enum of the encodings, and what leads from it to their coders: `Variant { parameters } = "word" in file`,
/// where the file holds a [`Coder`] of the variant's name and fields.
macro_rules! encodings {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })? = $word:literal in $file:ident;
    )*) => {
        /// The encodings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, tag = "kind")]
        pub enum Encoding {
            $(
                $(#[$doc])*
                #[serde(rename = $word)]
                $variant $({ $($(#[$field_doc])* $field: $type),* })?,
            )*
        }

        impl Encoding {
            fn coder(self) -> Box<dyn Coder> {
                match self {
                    $(Self::$variant $({ $($field),* })? => Box::new($file::$variant { $($($field),*)? }),)*
                }
            }

            /// The encoding's word, as files write its `kind`.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),* })? => $word,)*
                }
            }

            /// The words of all encodings.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The encoding that a packed file names by these bytes.
            pub(crate) fn from_tag(tag: u8, next: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
                $(
                    if let Some($file::$variant { $($($field),*)? }) = Coder::from_tag(tag, next) {
                        return Some(Self::$variant $({ $($field),* })?);
                    }
                )*
                None
            }

            /// Every encoding with every parameter that a search for the smallest tries, in a fixed order.
            #[must_use]
            pub fn tried() -> Vec<Self> {
                let mut all = Vec::new();
                $(
                    all.extend(<$file::$variant as Coder>::tried().into_iter().map(
                        |$file::$variant { $($($field),*)? }| Self::$variant $({ $($field),* })?
                    ));
                )*
                all
            }
        }
    };
}

encodings! {
    /// Every weight in its place; zeros are stored.
    Dense = "dense" in dense;
    /// One bit per position, then the non-zeros.
    Bitmap = "bitmap" in bitmap;
    /// A run length of `bits` bits before every stored weight; longer gaps need filler entries.
    RelativeIndex {
        /// Bits of a run length, 1 to 16.
        #[schemars(range(min = 1, max = 16))]
        bits: u8,
    } = "relative-index" in relative_index;
    /// Row pointers, then the column of each non-zero.
    Csr = "csr" in csr;
    /// Column pointers, then the row of each non-zero.
    Csc = "csc" in csc;
    /// Row and column of each non-zero.
    Coordinate = "coordinate" in coordinate;
    /// `keep` slots of a value and its place for every `group` positions of a row.
    NM {
        /// Slots of a group, N.
        #[schemars(range(min = 1, max = 65_536))]
        keep: u32,
        /// Positions of a group, M.
        #[schemars(range(min = 1, max = 65_536))]
        group: u32,
    } = "n-m" in n_m;
    /// A bitmap of blocks, then all values of those that hold a weight.
    BlockMap {
        /// Rows of a block.
        #[schemars(range(min = 1, max = 65_536))]
        rows: u32,
        /// Columns of a block.
        #[schemars(range(min = 1, max = 65_536))]
        cols: u32,
    } = "block-map" in block_map;
    /// The gap before each non-zero in Golomb-Rice code.
    GolombRice = "golomb-rice" in golomb_rice;
}

/// The encoding in which a tensor takes least, of [`Encoding::tried`]; of equals the first.
#[must_use]
pub fn smallest(mask: &Mask, value_bits: u32) -> Encoding {
    let mut best = (u64::MAX, Encoding::Dense);
    for encoding in Encoding::tried() {
        // an encoding that cannot hold this mask is none of the choices
        if let Ok(size) = encoding.size(mask, value_bits)
            && size.bits() < best.0
        {
            best = (size.bits(), encoding);
        }
    }
    best.1
}

/// What a tensor takes in an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bits of the values; those of zeros and fillers included.
    pub values_bits: u64,
    /// Bits that say where the values belong.
    pub index_bits: u64,
    /// Stored values; zeros and fillers included.
    pub entries: u64,
}

impl Size {
    /// All bits: the stream is this long, rounded up to a byte.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.values_bits + self.index_bits
    }

    /// The stream's length in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bits().div_ceil(8)
    }
}

/// A tensor of which only the density is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Random {
    /// GEMM rows.
    pub rows: usize,
    /// GEMM columns.
    pub cols: usize,
    /// Portion of positions alive, in [0, 1].
    pub density: f64,
    /// Bits of a code, 1 to 32.
    pub value_bits: u32,
}

impl Random {
    fn positions(self) -> f64 {
        self.rows as f64 * self.cols as f64
    }

    fn non_zeros(self) -> f64 {
        self.positions() * self.density
    }

    /// Bits of a slot where zeros are stored beside weights: one more than a level's, unless nothing is zero.
    fn wide_slot(self) -> f64 {
        let wide = !has_zero(self.value_bits) && self.density < 1.0;
        f64::from(self.value_bits + u32::from(wide))
    }

    /// Expected Σ floor(zeros before a non-zero since the one before it / `reach`).
    fn reaches(self, reach: f64) -> f64 {
        let (ratio, all) = ((1.0 - self.density).powf(reach), self.positions());
        let (mut sum, mut portion, mut before) = (0.0, ratio, reach);
        while before < all && portion > 1e-15 {
            sum += (all - before) * self.density * portion;
            portion *= ratio;
            before += reach;
        }
        sum
    }
}

/// The bits that a tensor of a density takes on average in the encoding that takes least, of [`Encoding::tried`].
#[must_use]
pub fn smallest_expected_bits(random: Random) -> f64 {
    let all = Encoding::tried().into_iter();
    all.map(|encoding| encoding.expected_bits(random))
        .fold(f64::INFINITY, f64::min)
}

/// What a decoder must know beside the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// GEMM rows.
    pub rows: usize,
    /// GEMM columns.
    pub cols: usize,
    /// Positions alive.
    pub non_zeros: usize,
    /// Bits of a code, 1 to 32.
    pub value_bits: u32,
}

impl Layout {
    /// The layout of a mask.
    #[must_use]
    pub fn of(mask: &Mask, value_bits: u32) -> Self {
        Self {
            rows: mask.rows(),
            cols: mask.cols(),
            non_zeros: mask.count(),
            value_bits,
        }
    }
}

/// Why a tensor was not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// One code per position alive is needed.
    #[error("{codes} codes for {non_zeros} positions alive: give one code per position, in row-major order")]
    Count {
        /// Codes given.
        codes: usize,
        /// Positions alive.
        non_zeros: usize,
    },
    /// Codes take 1 to 32 bits.
    #[error("a code of {0} bits: use 1 to 32")]
    ValueBits(u32),
    /// Run lengths take 1 to 16 bits.
    #[error("a run length of {0} bits: use 1 to 16")]
    IndexBits(u8),
    /// A parameter of the encoding is outside its range.
    #[error("{0}")]
    Parameter(&'static str),
    /// A group holds more weights than N of M allows.
    #[error(
        "the group at row {row}, column {col} holds {kept} weights, more than {keep} of {group}: prune to that structure, or take another encoding"
    )]
    Group {
        /// Its GEMM row.
        row: usize,
        /// Its first column.
        col: usize,
        /// Its weights.
        kept: usize,
        /// Slots of a group, N.
        keep: u32,
        /// Positions of a group, M.
        group: u32,
    },
    /// A code is wider than its field.
    #[error("code {code} of entry {entry} does not fit {value_bits} bits")]
    Code {
        /// Which code.
        entry: usize,
        /// Its value.
        code: u32,
        /// The field's width.
        value_bits: u32,
    },
    /// A position alive holds the float +0, which marks positions that are not.
    #[error(
        "entry {entry} holds +0.0, the code of a position that is not alive: take the mask of the non-zeros"
    )]
    Zero {
        /// Which code.
        entry: usize,
    },
}

/// Why a stream was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The layout contradicts itself or names widths that do not exist.
    #[error("no stream has this layout: {0}")]
    Layout(&'static str),
    /// The stream ends early.
    #[error("the stream ends before its last value: it is truncated")]
    Truncated,
    /// The stream says something that an encoder never writes.
    #[error("the stream is corrupt: {0}")]
    Corrupt(&'static str),
}

impl Encoding {
    /// What the tensor takes, without writing it.
    ///
    /// # Errors
    /// When a width is outside its range, or the encoding cannot hold the mask.
    pub fn size(self, mask: &Mask, value_bits: u32) -> Result<Size, EncodeError> {
        let coder = self.checked(value_bits)?;
        coder.fits(mask)?;
        Ok(coder.size(mask, value_bits))
    }

    /// Bits that a tensor takes on average, over masks in which each position is alive with a probability of the
    /// density; infinite where most such masks cannot be held (N:M).
    #[must_use]
    pub fn expected_bits(self, random: Random) -> f64 {
        self.coder().expected_bits(random)
    }

    /// The bit stream of a tensor: `codes` are those of the positions alive, in row-major order. It is
    /// [`Size::bytes`] long.
    ///
    /// # Errors
    /// When a width is outside its range, or the codes do not fit the mask or the width.
    pub fn encode(self, mask: &Mask, codes: &[u32], value_bits: u32) -> Result<Vec<u8>, EncodeError> {
        let coder = self.checked(value_bits)?;
        coder.fits(mask)?;
        let non_zeros = mask.count();
        if codes.len() != non_zeros {
            return Err(EncodeError::Count {
                codes: codes.len(),
                non_zeros,
            });
        }
        for (entry, &code) in codes.iter().enumerate() {
            if code.checked_shr(value_bits).unwrap_or(0) != 0 {
                return Err(EncodeError::Code {
                    entry,
                    code,
                    value_bits,
                });
            }
            if code == 0 && has_zero(value_bits) {
                return Err(EncodeError::Zero { entry });
            }
        }
        let mut out = BitWriter::new();
        coder.write(&mut out, mask, codes, value_bits);
        Ok(out.finish())
    }

    /// The mask and codes of a bit stream.
    ///
    /// # Errors
    /// When the stream is not one that [`Encoding::encode`] writes for a tensor of this layout.
    pub fn decode(self, stream: &[u8], layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let coder = self
            .checked(layout.value_bits)
            .map_err(|_| DecodeError::Layout("a width is outside its range"))?;
        let positions = layout
            .rows
            .checked_mul(layout.cols)
            .ok_or(DecodeError::Layout("too many positions"))?;
        if layout.non_zeros > positions {
            return Err(DecodeError::Layout("more non-zeros than positions"));
        }
        // every code takes a bit at least: refuse before memory is taken for what cannot be there
        if layout.non_zeros.div_ceil(8) > stream.len() {
            return Err(DecodeError::Truncated);
        }
        if positions == 0 && stream.is_empty() {
            return Ok((Mask::empty(layout.rows, layout.cols), Vec::new()));
        }
        if positions == 0 {
            return Err(DecodeError::Corrupt("it goes on after its last value"));
        }
        let mut input = BitReader::new(stream);
        let (mask, codes) = coder.read(&mut input, layout)?;
        if mask.count() != layout.non_zeros {
            return Err(DecodeError::Corrupt(
                "it has another number of non-zeros than its layout",
            ));
        }
        if !input.at_end() {
            return Err(DecodeError::Corrupt("it goes on after its last value"));
        }
        if has_zero(layout.value_bits) && codes.contains(&0) {
            return Err(DecodeError::Corrupt("a position alive holds +0.0"));
        }
        Ok((mask, codes))
    }

    /// Whether its parameters lie in their ranges.
    ///
    /// # Errors
    /// When they do not: which, and the range.
    pub fn check(self) -> Result<(), EncodeError> {
        self.coder().check()
    }

    /// How a packed file names it.
    pub(crate) fn tag(self) -> Vec<u8> {
        self.coder().tag()
    }

    fn checked(self, value_bits: u32) -> Result<Box<dyn Coder>, EncodeError> {
        if !(1..=32).contains(&value_bits) {
            return Err(EncodeError::ValueBits(value_bits));
        }
        let coder = self.coder();
        coder.check()?;
        Ok(coder)
    }
}

/// Whether codes of this width have one to spare for zero.
fn has_zero(value_bits: u32) -> bool {
    value_bits == FLOAT_BITS
}

/// Bits that tell `count` things apart, ⌈log2 count⌉; none for a single one.
pub(crate) fn index_width(count: usize) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

/// The mask and row-major codes of (position, code) in any order.
fn in_place(rows: usize, cols: usize, mut placed: Vec<(usize, u32)>) -> (Mask, Vec<u32>) {
    placed.sort_unstable();
    let mut mask = Mask::empty(rows, cols);
    for &(position, _) in &placed {
        mask.set(position, true);
    }
    (mask, placed.into_iter().map(|(_, code)| code).collect())
}

/// A tag with two parameters, each in four bytes, lowest first.
fn pair_tag(tag: u8, first: u32, second: u32) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(first.to_le_bytes());
    bytes.extend(second.to_le_bytes());
    bytes
}

/// The parameters of [`pair_tag`] if `found` is this tag.
fn pair_from_tag(tag: u8, found: u8, next: &mut dyn FnMut() -> Option<u8>) -> Option<(u32, u32)> {
    if tag != found {
        return None;
    }
    let mut number = || Some(u32::from_le_bytes([next()?, next()?, next()?, next()?]));
    Some((number()?, number()?))
}
