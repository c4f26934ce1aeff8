//! The IDX format of the MNIST files: a big-endian magic number (two zero bytes, the type of the values, the
//! number of axes), one 32-bit count per axis, then the values. Read here: type 8 (unsigned bytes) with three
//! axes (images) and one (labels), plain or in gzip, told apart by their first bytes.

use super::error::DataError;
use flate2::read::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// The most values read from one file: 2^30 pixels are 4 GiB in memory. Bounds what a small gzip file can
/// unpack to.
const MAX_VALUES: u64 = 1 << 30;

/// Bytes converted at a time. Memory grows with the bytes that were really there, never with the header.
const CHUNK: usize = 1 << 16;

/// The images of an IDX file with three axes: pixels as value / 255, image by image, and the rows and columns
/// of one image. `path` only names the file in errors.
///
/// # Errors
/// [`DataError`] with the file and the byte.
pub fn read_images(path: &Path, reader: impl Read) -> Result<(Vec<f32>, [usize; 2]), DataError> {
    let mut source = Source::new(path, reader)?;
    let [_, rows, cols] = source.header(IMAGES, "images of unsigned bytes, three axes")?;
    let values = source.values(|byte| f32::from(byte) / 255.0)?;
    Ok((values, [rows, cols]))
}

/// The labels of an IDX file with one axis. `path` only names the file in errors.
///
/// # Errors
/// [`DataError`] with the file and the byte.
pub fn read_labels(path: &Path, reader: impl Read) -> Result<Vec<u32>, DataError> {
    let mut source = Source::new(path, reader)?;
    let [_] = source.header(LABELS, "labels of unsigned bytes, one axis")?;
    source.values(u32::from)
}

/// A file being read: where it stands and where it has to end.
struct Source<'a> {
    path: &'a Path,
    bytes: Box<dyn Read + 'a>,
    offset: u64,
    end: u64,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path, reader: impl Read + 'a) -> Result<Self, DataError> {
        let mut buffered = BufReader::with_capacity(CHUNK, reader);
        let fail = |e: io::Error| DataError::Read {
            path: path.into(),
            offset: 0,
            message: e.to_string(),
        };
        // an IDX file begins with two zero bytes, gzip with these two
        let packed = buffered.fill_buf().map_err(fail)?.starts_with(&[0x1f, 0x8b]);
        let bytes: Box<dyn Read + 'a> = if packed {
            Box::new(GzDecoder::new(buffered))
        } else {
            Box::new(buffered)
        };
        Ok(Self {
            path,
            bytes,
            offset: 0,
            end: 0,
        })
    }

    /// Reads until `buffer` is full or the file ends; the bytes that came.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.bytes.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // how the gzip decoder says that its input stopped early
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(e) => {
                    let offset = self.offset + filled as u64;
                    return Err(DataError::Read {
                        path: self.path.into(),
                        offset,
                        message: e.to_string(),
                    });
                }
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }

    fn word(&mut self) -> Result<u32, DataError> {
        let mut word = [0; 4];
        if self.fill(&mut word)? < 4 {
            return Err(self.truncated());
        }
        Ok(u32::from_be_bytes(word))
    }

    fn truncated(&self) -> DataError {
        DataError::Truncated {
            path: self.path.into(),
            expected: self.end,
            found: self.offset,
        }
    }

    fn header<const AXES: usize>(
        &mut self,
        magic: u32,
        what: &'static str,
    ) -> Result<[usize; AXES], DataError> {
        self.end = 4 + 4 * AXES as u64;
        let found = self.word()?;
        if found != magic {
            return Err(DataError::Magic {
                path: self.path.into(),
                what,
                expected: magic,
                found,
            });
        }
        let mut counts = [0usize; AXES];
        for count in &mut counts {
            let offset = self.offset;
            *count = self.word()? as usize;
            if *count == 0 {
                return Err(DataError::Empty {
                    path: self.path.into(),
                    offset,
                });
            }
        }
        // at most (2^32)^3
        let values: u128 = counts.iter().map(|&c| c as u128).product();
        if values > u128::from(MAX_VALUES) {
            return Err(DataError::TooLarge {
                path: self.path.into(),
                offset: 4,
                values,
                limit: MAX_VALUES,
            });
        }
        self.end += values as u64;
        Ok(counts)
    }

    fn values<T>(&mut self, convert: impl Fn(u8) -> T) -> Result<Vec<T>, DataError> {
        let mut values = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while self.offset < self.end {
            let wanted = usize::try_from(self.end - self.offset)
                .unwrap_or(CHUNK)
                .min(CHUNK);
            let got = self.fill(&mut chunk[..wanted])?;
            values.extend(chunk[..got].iter().map(|&b| convert(b)));
            if got < wanted {
                return Err(self.truncated());
            }
        }
        self.finish()?;
        Ok(values)
    }

    /// The end of the file, where gzip keeps its checksum.
    fn finish(&mut self) -> Result<(), DataError> {
        let read = loop {
            match self.bytes.read(&mut [0]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => Ok(()),
            Ok(_) => Err(DataError::Surplus {
                path: self.path.into(),
                expected: self.end,
            }),
            Err(e) => Err(DataError::Read {
                path: self.path.into(),
                offset: self.offset,
                message: e.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn images(n: u32, rows: u32, cols: u32, pixels: &[u8]) -> Vec<u8> {
        let mut file: Vec<u8> = [IMAGES, n, rows, cols]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        file.extend_from_slice(pixels);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<(Vec<f32>, [usize; 2]), DataError> {
        read_images(Path::new("f"), bytes)
    }

    #[test]
    fn plain_and_packed_files_read_alike() {
        let file = images(2, 1, 2, &[0, 255, 51, 102]);
        let expected = Ok((vec![0.0, 1.0, 0.2, 0.4], [1, 2]));
        assert_eq!(read(&file), expected);
        assert_eq!(read(&gzip(&file)), expected);
        let labels = [0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 255];
        assert_eq!(read_labels(Path::new("f"), &labels[..]), Ok(vec![7, 0, 255]));
    }

    #[test]
    fn faults_name_their_byte() {
        let path = Path::new("f").to_path_buf();
        let file = images(2, 1, 2, &[1, 2, 3]);
        assert_eq!(
            read(&file),
            Err(DataError::Truncated {
                path: path.clone(),
                expected: 20,
                found: 19
            })
        );
        assert_eq!(
            read(&file[..6]),
            Err(DataError::Truncated {
                path: path.clone(),
                expected: 16,
                found: 6
            })
        );
        assert_eq!(
            read(&[]),
            Err(DataError::Truncated {
                path: path.clone(),
                expected: 16,
                found: 0
            })
        );
        assert_eq!(
            read(&images(1, 1, 1, &[1, 2])),
            Err(DataError::Surplus {
                path: path.clone(),
                expected: 17
            })
        );
        assert_eq!(
            read(&images(1, 0, 3, &[])),
            Err(DataError::Empty {
                path: path.clone(),
                offset: 8
            })
        );
        let found = DataError::Magic {
            path,
            what: "labels of unsigned bytes, one axis",
            expected: LABELS,
            found: IMAGES,
        };
        assert_eq!(read_labels(Path::new("f"), &file[..]), Err(found));
    }

    #[test]
    fn gzip_cut_short_or_damaged_is_an_error() {
        let file = images(
            40,
            5,
            5,
            &(0..1000u32).map(|i| (i * i % 251) as u8).collect::<Vec<_>>(),
        );
        let packed = gzip(&file);
        for cut in 2..packed.len() {
            let error = read(&packed[..cut]).expect_err("the end is missing");
            assert!(
                matches!(error, DataError::Truncated { .. } | DataError::Read { .. }),
                "cut at {cut}: {error}"
            );
        }
        let mut damaged = packed.clone();
        let checksum = damaged.len() - 6;
        damaged[checksum] ^= 1;
        assert!(matches!(
            read(&damaged),
            Err(DataError::Read { offset: 1016, .. })
        ));
    }

    /// A header alone must not make the reader allocate what it promises.
    #[test]
    fn hostile_headers_are_refused() {
        assert!(matches!(
            read(&images(1 << 31, 28, 28, &[0; 9])),
            Err(DataError::TooLarge {
                values: 1_683_627_180_032,
                ..
            })
        ));
        assert!(matches!(
            read(&images(u32::MAX, u32::MAX, u32::MAX, &[])),
            Err(DataError::TooLarge { .. })
        ));
        let promised = read(&images(1 << 30, 1, 1, &[0; 9]));
        assert!(matches!(
            promised,
            Err(DataError::Truncated {
                expected: 1_073_741_840,
                found: 25,
                ..
            })
        ));
    }

    proptest! {
        /// Whatever the bytes, the answer is values or an error, and values are as many as the header says.
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header in any::<bool>(), pack in any::<bool>()) {
            if header && bytes.len() >= 16 {
                let (n, rows) = (1 + u32::from(bytes[5] % 8), 1 + u32::from(bytes[6] % 4));
                bytes[..16].copy_from_slice(&images(n, rows, 3, &[]));
            }
            let file = if pack { gzip(&bytes) } else { bytes.clone() };
            if let Ok((values, [rows, cols])) = read(&file) {
                prop_assert_eq!(values.len() + 16, bytes.len());
                prop_assert_eq!(values.len() % (rows * cols), 0);
                prop_assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
            }
            let _ = read_labels(Path::new("f"), &file[..]);
        }
    }
}
