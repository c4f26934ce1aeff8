//! A whole compressed network as one small file, `NAME.cosparse`: bytes that decode to the network's values, and to no
//! others.
//!
//! | field | bytes |
//! |---|---|
//! | `cs`, format version | 2 + 1 |
//! | name of the workload: length, UTF-8 | 1 + length |
//! | hash of the network: the first bytes of the SHA-256 of its layers and shapes | 2 |
//! | all layers in the network's order, one stream of a range coder | |
//! | CRC-32 of all bytes before and of the network's whole hash, little-endian | 4 |
//!
//! A layer's weights are stored in the form that takes least: an encoding of [`crate::compression::encoding`], or
//! entropy coding. The latter names the rows that hold weights, and every position of these rows under a probability
//! that learns from the positions before it; then codes of levels likewise. Rows and columns without weights so cost
//! almost nothing. Biases are stored for units that have one, in the form of [`Options`].

mod coder;
mod model;
mod positions;
mod values;
mod weights;

pub use values::Scalars;

use crate::compression::Mask;
use crate::compression::encoding::Encoding;
use crate::compression::pack::{PackError, PackedLayer};
use crate::compression::precision::Levels;
use crate::network::{Network, Op};
use crate::training::{Parameter, Parameters, Role};
use coder::{Coder, Counted, Reader, Writer};
use positions::Place;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use weights::{Shared, Stored};

const MAGIC: &[u8; 2] = b"cs";
const VERSION: u8 = 1;
const IDENTITY: usize = 2;
const CHECKSUM: usize = 4;

/// How the values beside the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Biases.
    pub biases: Scalars,
    /// Gains, shifts and statistics of normalisations, and tables.
    pub others: Scalars,
}

impl Default for Options {
    /// Biases of 8 bits, all else as it is.
    fn default() -> Self {
        Self {
            biases: Scalars::Bits(8),
            others: Scalars::Float32,
        }
    }
}

/// Why a network was not written or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtefactError {
    /// Not an artefact.
    #[error("not an artefact: it does not start as one; name a file that `cosparse` wrote")]
    Magic,
    /// Written by another version of the format.
    #[error("artefact of format version {0}; this program reads version {VERSION}: write it again")]
    Version(u8),
    /// The bytes end early.
    #[error("the artefact is truncated: copy it again")]
    Truncated,
    /// Written from another network.
    #[error(
        "the artefact was written from workload `{name}`, or another form of it, and not from this network"
    )]
    Network {
        /// The workload's name in the artefact.
        name: String,
    },
    /// The checksum does not match.
    #[error(
        "the artefact is corrupt: its checksum is {stored:08x}, its bytes give {computed:08x}; copy it again"
    )]
    Checksum {
        /// As stored.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The checksum matches, yet no writer writes this.
    #[error("the artefact is malformed: {0}")]
    Malformed(&'static str),
    /// The parameters are not those of the network.
    #[error("parameter `{name}` {message}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A layer's weights are not on its levels.
    #[error(transparent)]
    Weights(#[from] PackError),
    /// A name is too long.
    #[error("a workload's name of {0} bytes: use at most 255")]
    Name(usize),
}

/// What one layer's weights, or one vector of other values, take.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The parameter.
    pub name: String,
    /// GEMM rows and columns; of a vector 1 and its length.
    pub matrix: (usize, usize),
    /// Values that are stored: not zero.
    pub kept: usize,
    /// Bits of a weight's code; of a vector 0.
    pub bits: u32,
    /// The word of the weights' encoding, `entropy` for the entropy-coded form, and for vectors.
    pub encoding: &'static str,
    /// Bits that say where the weights belong.
    pub index_bits: f64,
    /// Bits of codes and values.
    pub code_bits: f64,
    /// Bits of the precision, of scales and of codebooks.
    pub level_bits: f64,
}

/// A network in an artefact.
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// The workload's name.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The values as they are read: weights bit for bit those written, supports their positions, biases rounded.
    pub parameters: Parameters,
    /// The levels of each weight parameter; scales of rows without weights are 1.
    pub levels: Vec<Levels>,
    /// What takes how many bits.
    pub parts: Vec<Part>,
}

/// Writes a network: its parameters, all weights on their `levels` (one per weight parameter, or none at all for
/// float32), the workload's name. What was written is read back before it is returned.
///
/// # Errors
/// When the parameters are not the network's, or a weight is not on its levels.
pub fn write(
    network: &Network,
    name: &str,
    parameters: &Parameters,
    levels: &[Levels],
    options: Options,
) -> Result<Artefact, ArtefactError> {
    let length = u8::try_from(name.len()).map_err(|_| ArtefactError::Name(name.len()))?;
    same_shapes(network, parameters)?;
    let weights = parameters.weights().enumerate();
    let stored = weights
        .map(|(i, p)| {
            let levels = levels.get(i).cloned().unwrap_or(Levels::FLOAT32);
            // checks that every weight lies on a level
            let layer = PackedLayer::new(
                &p.layer,
                &p.shape,
                p.matrix(),
                &p.values,
                Encoding::Dense,
                &levels,
            )?;
            Ok(Stored {
                levels,
                encoding: None,
                mask: layer.mask().clone(),
                codes: layer.codes().to_vec(),
            })
        })
        .collect::<Result<Vec<Stored>, ArtefactError>>()?;
    let mut coder = Counted::new(Writer::new());
    code(&mut coder, parameters, Some(&stored), options)?;

    let identity = identity(network);
    let mut bytes = MAGIC.to_vec();
    bytes.extend([VERSION, length]);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&identity[..IDENTITY]);
    bytes.extend(coder.inner.finish());
    let checksum = crc32(&bytes, &identity);
    bytes.extend_from_slice(&checksum.to_le_bytes());

    let artefact = read(&bytes, network)?;
    for (written, read) in parameters.list.iter().zip(&artefact.parameters.list) {
        let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        if written.role == Role::Weight && !written.values.iter().zip(&read.values).all(same) {
            return Err(ArtefactError::Parameter {
                name: written.name.clone(),
                message: "does not come back from its bytes".into(),
            });
        }
    }
    Ok(artefact)
}

/// Reads a network.
///
/// # Errors
/// When the bytes are not exactly what [`write()`] writes for this network: truncated, changed in any byte, of another
/// version, or followed by more.
pub fn read(bytes: &[u8], network: &Network) -> Result<Artefact, ArtefactError> {
    let (name, body) = header(bytes)?;
    let (body, tail) = body
        .split_last_chunk::<CHECKSUM>()
        .ok_or(ArtefactError::Truncated)?;
    let (hash, stream) = body.split_at_checked(IDENTITY).ok_or(ArtefactError::Truncated)?;
    let identity = identity(network);
    let stored = u32::from_le_bytes(*tail);
    let computed = crc32(&bytes[..bytes.len() - CHECKSUM], &identity);
    if hash != &identity[..IDENTITY] {
        return Err(ArtefactError::Network { name });
    }
    if stored != computed {
        return Err(ArtefactError::Checksum { stored, computed });
    }
    let like = Parameters::init(network, 0);
    let mut coder = Counted::new(Reader::new(stream));
    let (parameters, levels, parts) = code(&mut coder, &like, None, Options::default())?;
    if coder.inner.has_more() {
        return Err(ArtefactError::Malformed("bytes are left over"));
    }
    Ok(Artefact {
        name,
        bytes: bytes.to_vec(),
        parameters,
        levels,
        parts,
    })
}

/// The name of the workload that an artefact was written from. The checksum is not looked at.
///
/// # Errors
/// When the bytes do not start as an artefact does.
pub fn workload_name(bytes: &[u8]) -> Result<String, ArtefactError> {
    header(bytes).map(|(name, _)| name)
}

/// The name, and what follows it.
fn header(bytes: &[u8]) -> Result<(String, &[u8]), ArtefactError> {
    let (magic, rest) = bytes
        .split_at_checked(MAGIC.len())
        .ok_or(ArtefactError::Truncated)?;
    if magic != MAGIC {
        return Err(ArtefactError::Magic);
    }
    let [version, length, rest @ ..] = rest else {
        return Err(ArtefactError::Truncated);
    };
    if *version != VERSION {
        return Err(ArtefactError::Version(*version));
    }
    let (name, rest) = rest
        .split_at_checked(usize::from(*length))
        .ok_or(ArtefactError::Truncated)?;
    let name = std::str::from_utf8(name).map_err(|_| ArtefactError::Malformed("the name is not UTF-8"))?;
    Ok((name.to_owned(), rest))
}

/// Codes all parameters: those of `stored` when writing, into parameters like these when reading.
fn code<C: Coder>(
    coder: &mut Counted<C>,
    like: &Parameters,
    stored: Option<&[Stored]>,
    options: Options,
) -> Result<(Parameters, Vec<Levels>, Vec<Part>), ArtefactError> {
    let mut shared = Shared::new();
    let (mut list, mut levels, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut before: Vec<usize> = Vec::new();
    let mut weights = stored.unwrap_or_default().iter();
    // rows with weights of each layer, for its bias
    let mut alive: Vec<(String, Vec<usize>)> = Vec::new();
    for p in &like.list {
        let (rows, cols) = p.matrix();
        let mut part = Part {
            name: p.name.clone(),
            matrix: (rows, cols),
            kept: 0,
            bits: 0,
            encoding: "entropy",
            index_bits: 0.0,
            code_bits: 0.0,
            level_bits: 0.0,
        };
        if p.role == Role::Weight {
            let place = Place {
                rows,
                cols,
                columns: columns_of_a_unit(p, before.len()),
                before: &before,
            };
            let mut layer = weights
                .next()
                .cloned()
                .unwrap_or_else(|| Stored::empty(rows, cols));
            if stored.is_some() {
                layer.choose(place);
            }
            let (read, bits) = layer.code(coder, &mut shared, place)?;
            part.kept = read.codes.len();
            part.bits = read.levels.precision.bits();
            part.encoding = read.encoding.map_or("entropy", |e| e.word());
            (part.index_bits, part.code_bits, part.level_bits) = (bits.index, bits.codes, bits.levels);
            before = read.mask.row_counts();
            alive.push((p.layer.clone(), before.clone()));
            list.push(with_weights(p, &read));
            levels.push(read.levels);
        } else {
            let kept = alive
                .iter()
                .find(|(layer, _)| *layer == p.layer)
                .map(|(_, kept)| kept);
            let likely = |i: usize| kept.is_none_or(|kept| kept.get(i).is_none_or(|&n| n > 0));
            let form = match p.role {
                Role::Bias => options.biases,
                _ => options.others,
            };
            let own: &[f32] = if stored.is_some() { &p.values } else { &[] };
            let values = values::code(coder, &mut shared, form, own, p.values.len(), &likely)?;
            part.matrix = (1, values.len());
            part.kept = values.iter().filter(|v| **v != 0.0).count();
            part.code_bits = coder.take();
            list.push(Parameter { values, ..p.clone() });
        }
        parts.push(part);
    }
    Ok((Parameters { list }, levels, parts))
}

/// Columns that read one unit of the layer before, if its units divide them; else the kernel's positions.
fn columns_of_a_unit(p: &Parameter, units_before: usize) -> usize {
    let (_, cols) = p.matrix();
    if units_before > 0 && cols % units_before == 0 {
        cols / units_before
    } else {
        p.shape.get(2..).map_or(1, |kernel| kernel.iter().product())
    }
}

fn with_weights(like: &Parameter, read: &Stored) -> Parameter {
    let cols = read.mask.cols();
    let mut values = vec![0.0; like.values.len()];
    for (i, &code) in read.mask.ones().zip(&read.codes) {
        values[i] = read.levels.decode(i / cols, code);
    }
    let full = read.mask == Mask::full(read.mask.rows(), cols);
    Parameter {
        values,
        support: (!full).then(|| read.mask.clone()),
        ..like.clone()
    }
}

/// Whether the parameters are those of the network.
fn same_shapes(network: &Network, parameters: &Parameters) -> Result<(), ArtefactError> {
    let wanted = Parameters::init(network, 0);
    let fail = |name: &str, message: &str| {
        Err(ArtefactError::Parameter {
            name: name.into(),
            message: message.into(),
        })
    };
    for (i, want) in wanted.list.iter().enumerate() {
        match parameters.list.get(i) {
            Some(have)
                if have.name == want.name
                    && have.shape == want.shape
                    && have.values.len() == want.values.len() => {}
            Some(have) => return fail(&have.name, "is not the network's: name or shape differ"),
            None => return fail(&want.name, "is missing"),
        }
    }
    match parameters.list.get(wanted.list.len()) {
        Some(extra) => fail(&extra.name, "belongs to no layer of the network"),
        None => Ok(()),
    }
}

/// The SHA-256 of a network's layers: names, operations, shapes and inputs; rates of dropout aside.
fn identity(network: &Network) -> [u8; 32] {
    let mut text = String::new();
    for (id, layer) in network.layers() {
        let inputs: Vec<usize> = layer.inputs.iter().map(|i| i.index()).collect();
        let _ = write!(
            text,
            "{} {} {:?} {inputs:?} ",
            id.index(),
            layer.name,
            layer.output.0
        );
        let _ = match &layer.op {
            Op::Dropout { .. } => writeln!(text, "dropout"),
            op => writeln!(text, "{op:?}"),
        };
    }
    Sha256::digest(text.as_bytes()).into()
}

fn crc32(bytes: &[u8], identity: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.update(identity);
    crc.sum()
}
