//! The entries of a ZIP archive in memory: stored or deflated, checked against their CRC-32.

use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::io::Read;

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path, with `/`.
    pub(super) name: String,
    method: u16,
    crc: u32,
    packed: usize,
    unpacked: usize,
    header: usize,
}

/// An entry may unpack to this many bytes at most: no small file fills the memory.
const MAX_ENTRY: usize = 1 << 28;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([field[0], field[1]])))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let low = short(bytes, at)?;
    Some(low | short(bytes, at + 2)? << 16)
}

/// The files that the archive's directory lists, in its order. Folders are left out.
///
/// # Errors
/// What is wrong, at which byte.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    // the directory's end stands last, behind it at most a comment of 65,535 bytes
    let from = bytes.len().saturating_sub(22 + 65_535);
    let end = (from..bytes.len().saturating_sub(21))
        .rev()
        .find(|&at| bytes[at..].starts_with(&END))
        .ok_or("it has no ZIP directory at its end")?;
    let broken = |at: usize| format!("its directory is broken at byte {at}");
    let count = short(bytes, end + 10).ok_or_else(|| broken(end))?;
    let mut at = long(bytes, end + 16).ok_or_else(|| broken(end))?;
    let wide = count == 0xffff || at == 0xffff_ffff;
    if wide {
        return Err("it is a ZIP64 archive, which is not read".into());
    }
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = central(bytes, at).ok_or_else(|| broken(at))?;
        at = entry.1;
        if !entry.0.name.ends_with('/') {
            found.push(entry.0);
        }
    }
    Ok(found)
}

/// The entry of the directory at a byte, and where the next one stands.
fn central(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    if !bytes.get(at..)?.starts_with(&CENTRAL) {
        return None;
    }
    let [name, extra, comment] = [
        short(bytes, at + 28)?,
        short(bytes, at + 30)?,
        short(bytes, at + 32)?,
    ];
    let text = bytes.get(at + 46..at + 46 + name)?;
    let entry = Entry {
        name: String::from_utf8_lossy(text).into_owned(),
        method: short(bytes, at + 10)? as u16,
        crc: long(bytes, at + 16)? as u32,
        packed: long(bytes, at + 20)?,
        unpacked: long(bytes, at + 24)?,
        header: long(bytes, at + 42)?,
    };
    Some((entry, at + 46 + name + extra + comment))
}

/// The bytes of an entry.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(bytes: &[u8], entry: &Entry) -> Result<Vec<u8>, String> {
    let outside = || "lies outside the archive".to_string();
    let at = entry.header;
    if !bytes.get(at..).ok_or_else(outside)?.starts_with(&LOCAL) {
        return Err(format!("has no header at byte {at}"));
    }
    if entry.unpacked > MAX_ENTRY {
        return Err(format!("would unpack to more than {MAX_ENTRY} bytes"));
    }
    let start = short(bytes, at + 26)
        .zip(short(bytes, at + 28))
        .map(|(name, extra)| at + 30 + name + extra)
        .ok_or_else(outside)?;
    let packed = bytes
        .get(start..start.saturating_add(entry.packed))
        .ok_or_else(outside)?;
    let mut data = Vec::new();
    match entry.method {
        0 => data.extend_from_slice(packed),
        8 => {
            // one byte more than promised shows that the promise is wrong
            let most = entry.unpacked as u64 + 1;
            DeflateDecoder::new(packed)
                .take(most)
                .read_to_end(&mut data)
                .map_err(|e| format!("cannot be unpacked: {e}"))?;
        }
        other => {
            return Err(format!(
                "is packed by method {other}; only stored and deflated files are read"
            ));
        }
    }
    let mut crc = Crc::new();
    crc.update(&data);
    if data.len() != entry.unpacked || crc.sum() != entry.crc {
        return Err("is damaged: its checksum is not that of the directory".into());
    }
    Ok(data)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::DeflateEncoder;
    use proptest::prelude::*;

    /// An archive of these files, every second one deflated.
    pub(in crate::training::data) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (i, (name, data)) in files.iter().enumerate() {
            let mut crc = Crc::new();
            crc.update(data);
            let (method, packed) = if i % 2 == 0 {
                (0u16, data.to_vec())
            } else {
                let mut packed = Vec::new();
                DeflateEncoder::new(*data, Compression::default())
                    .read_to_end(&mut packed)
                    .expect("memory");
                (8, packed)
            };
            let at = out.len() as u32;
            let mut common = [20u16.to_le_bytes(), [0; 2], method.to_le_bytes(), [0; 2], [0; 2]].concat();
            common.extend(crc.sum().to_le_bytes());
            common.extend((packed.len() as u32).to_le_bytes());
            common.extend((data.len() as u32).to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            out.extend(LOCAL);
            out.extend(&common);
            out.extend([3, 0]); // an extra field of three bytes
            out.extend(name.as_bytes());
            out.extend([7; 3]);
            out.extend(packed);
            directory.extend(CENTRAL);
            directory.extend([20, 0]);
            directory.extend(&common);
            directory.extend([0; 12]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let at = out.len() as u32;
        let count = (files.len() as u16).to_le_bytes();
        out.extend(&directory);
        out.extend(END);
        out.extend([0; 4]);
        out.extend([count, count].concat());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(at.to_le_bytes());
        out.extend([0; 2]);
        out
    }

    #[test]
    fn what_was_packed_is_read() {
        let long = [5u8; 1000];
        let files: [(&str, &[u8]); 4] = [("a/b.txt", b"hello"), ("a/c", &long), ("a/", b""), ("d", b"")];
        let bytes = archive(&files);
        let entries = entries(&bytes).expect("a directory");
        let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a/b.txt", "a/c", "d"], "folders are left out");
        assert_eq!(read(&bytes, &entries[0]).expect("stored"), b"hello");
        assert_eq!(read(&bytes, &entries[1]).expect("deflated"), long);
        let mut damaged = bytes.clone();
        damaged[30 + 7 + 3] ^= 1;
        let message = read(&damaged, &entries[0]).expect_err("one bit differs");
        assert!(message.contains("damaged"), "{message}");
    }

    proptest! {
        /// Cut or changed archives end in errors or in the files, never in a panic.
        #[test]
        fn hostile_archives_do_no_harm(cut in 0..400usize, at in 0..400usize, value: u8) {
            let mut bytes = archive(&[("one", b"some bytes"), ("two", &[1; 90])]);
            let len = bytes.len();
            bytes[at % len] = value;
            bytes.truncate(len - cut % len);
            for entry in entries(&bytes).unwrap_or_default() {
                let _ = read(&bytes, &entry);
            }
        }
    }
}
