//! A small network with a small made-up data set, for jobs that train.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const WORKLOAD: &str = r#"name = "tiny"
description = "One convolution and two fully connected layers."
source = "made up for this test"
input = { name = "image", shape = [1, 8, 8] }

[data]
format = "idx"
directory = "data"
validation = 200

[training]
optimiser = "adam"
epochs = 6
batch = 32
learning-rate = 5e-3
schedule = "cosine"

[[layer]]
name = "conv"
op = "conv"
out-channels = 6
kernel = 3

[[layer]]
name = "flatten"
op = "flatten"

[[layer]]
name = "fc1"
op = "linear"
out-features = 32

[[layer]]
name = "relu"
op = "activation"
function = "relu"

[[layer]]
name = "fc2"
op = "linear"
out-features = 4
"#;

/// Bytes that look random and are always the same (xorshift).
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}

fn idx(counts: &[u32], values: &[u8]) -> Vec<u8> {
    let magic = 0x0800 + counts.len() as u32;
    let header = [magic]
        .into_iter()
        .chain(counts.iter().copied())
        .flat_map(u32::to_be_bytes);
    header.chain(values.iter().copied()).collect()
}

/// Images of 8×8: one of four quadrants is bright, the rest is noise; the class is the quadrant.
fn write_data(directory: &Path) {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    fs::create_dir_all(directory).expect("a writable directory");
    for (set, count) in [("train", 1000u32), ("t10k", 200)] {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for i in 0..count {
            let class = (i % 4) as usize;
            labels.push(class as u8);
            for place in 0..64 {
                let quadrant = place / 8 / 4 * 2 + place % 8 / 4;
                images.push(if quadrant == class {
                    100 + noise.byte() / 2
                } else {
                    noise.byte() / 2
                });
            }
        }
        fs::write(
            directory.join(format!("{set}-images-idx3-ubyte")),
            idx(&[count, 8, 8], &images),
        )
        .expect("a writable directory");
        fs::write(
            directory.join(format!("{set}-labels-idx1-ubyte")),
            idx(&[count], &labels),
        )
        .expect("a writable directory");
    }
}

/// A directory with the workload and its data.
pub(crate) fn place(workload: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), workload).expect("a writable directory");
    write_data(&directory.path().join("data"));
    directory
}

/// Every file below a directory with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut stack = vec![directory.to_path_buf()];
    while let Some(at) = stack.pop() {
        for entry in fs::read_dir(&at).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                stack.push(path);
            } else {
                found.insert(
                    path.strip_prefix(directory).expect("below it").to_path_buf(),
                    fs::read(&path).expect("a file"),
                );
            }
        }
    }
    found
}
