//! Why data were refused.

use std::path::PathBuf;

/// Why data were refused. Byte offsets count in the unpacked file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// None of a file's usual names exists.
    #[error("no `{name}` in `{}`: put the four IDX files there, with or without `.gz`, or name another directory", directory.display())]
    Missing {
        /// The directory that was searched.
        directory: PathBuf,
        /// The first of the names looked for.
        name: String,
    },
    /// A file of a set that is not of IDX files does not exist.
    #[error("no `{name}` in `{}`: {cure}", directory.display())]
    NoFile {
        /// The directory that was searched.
        directory: PathBuf,
        /// The file's name.
        name: String,
        /// What to do.
        cure: &'static str,
    },
    /// What stands at a place of a file is not what belongs there.
    #[error("`{}`, {place}: {message}: {cure}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The byte, line or part of the file.
        place: String,
        /// What is wrong there.
        message: String,
        /// What to do.
        cure: &'static str,
    },
    /// Data that the network's input cannot take.
    #[error("{message}: {cure}")]
    Input {
        /// What does not fit.
        message: String,
        /// What to do.
        cure: &'static str,
    },
    /// The file could not be read or unpacked.
    #[error("`{}`: {message} at byte {offset}: fetch the file again or mend its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Bytes read before it failed.
        offset: u64,
        /// What the system or the decoder says.
        message: String,
    },
    /// The file ends before what its header promises.
    #[error("`{}` ends at byte {found}, its header promises {expected} bytes: the copy is incomplete, fetch it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header (or, if cut short, the format of the header) asks for.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The file goes on after what its header promises.
    #[error("`{}` goes on after byte {expected}, where its header says it ends: header and data do not belong together", path.display())]
    Surplus {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises.
        expected: u64,
    },
    /// Not an IDX file of unsigned bytes with the right number of axes.
    #[error("`{}` begins with {found:#010x} at byte 0, not {expected:#010x} ({what}): is it in another's place?", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// What was expected to be there.
        what: &'static str,
        /// The first four bytes of such a file, big-endian.
        expected: u32,
        /// The first four bytes of this one.
        found: u32,
    },
    /// A header that asks for more than is accepted.
    #[error("`{}` promises {values} values at byte {offset}; at most {limit} are read into memory: use a smaller set", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Where the header's counts begin.
        offset: u64,
        /// The product of the counts.
        values: u128,
        /// The most that is accepted.
        limit: u64,
    },
    /// No samples, or samples without pixels.
    #[error("`{}` holds nothing: the count at byte {offset} is 0", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Where the count stands.
        offset: u64,
    },
    /// Images and labels that do not belong together.
    #[error("`{}` holds {images} images, `{}` {labels} labels (both at byte 4): take both files from one set", images_path.display(), labels_path.display())]
    Counts {
        /// The file of the images.
        images_path: PathBuf,
        /// The file of the labels.
        labels_path: PathBuf,
        /// Images.
        images: u64,
        /// Labels.
        labels: u64,
    },
    /// Training and test pictures of different sizes.
    #[error("`{}` holds images of {train:?} rows and columns, `{}` of {test:?} (byte 8): take both files from one set", train_path.display(), test_path.display())]
    Sizes {
        /// The file of the training images.
        train_path: PathBuf,
        /// The file of the test images.
        test_path: PathBuf,
        /// Rows and columns of the training images.
        train: [usize; 2],
        /// Rows and columns of the test images.
        test: [usize; 2],
    },
    /// A test label that no training sample carries.
    #[error("`{}`: label {label} at byte {offset}, but the training labels end at {}: take both files from one set", path.display(), classes - 1)]
    Label {
        /// The file of the labels.
        path: PathBuf,
        /// Where the label stands.
        offset: u64,
        /// The label.
        label: u32,
        /// Classes of the training set.
        classes: usize,
    },
    /// A label without an output in the network.
    #[error("sample {sample} is of class {label}, the network has {classes} outputs: widen its last layer")]
    Class {
        /// The sample.
        sample: usize,
        /// Its label.
        label: u32,
        /// Outputs of the network.
        classes: usize,
    },
    /// More samples asked for than there are.
    #[error("samples {start}..{end} of {have}: ask for fewer")]
    Range {
        /// First sample asked for.
        start: usize,
        /// One past the last one asked for.
        end: usize,
        /// Samples there are.
        have: usize,
    },
}
