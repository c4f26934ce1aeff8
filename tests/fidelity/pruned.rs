//! Masks of pruned networks (DLMC) on sparse arrays, beside uniformly random ones of equal density.

use super::common::{engine, gemm, profile, slices, work};
use cosparse::compression::Mask;
use cosparse::compression::MaskModel;
use cosparse::compression::mask_file::parse_smtx;
use cosparse::hardware::{EngineKind, Partition, Profile, Slices, Synchronisation};
use cosparse::simulate::{Weights, array};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The masks of an archive whose layers' names are listed, in the archive's order; `None` without the archive.
pub(crate) fn masks(archive: &str, layers: &[&str]) -> Option<Vec<(String, Mask)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../shared/data/dlmc/{archive}.tar.gz"));
    let Ok(file) = File::open(path) else {
        return None;
    };
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").into_owned();
        let layer = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        if layers.contains(&layer.as_str()) {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            let mask = parse_smtx(&layer, &text).unwrap_or_else(|e| panic!("{e}"));
            found.push((layer, mask));
        }
    }
    assert_eq!(found.len(), layers.len(), "layers of the archive");
    Some(found)
}

/// Cycles of the array alone on one vector, and the portion of its multipliers at work.
fn run(profile: &Profile, mask: &Mask) -> [f64; 2] {
    let nest = gemm(1, mask.cols() as u64, mask.rows() as u64);
    let run = array(&work(nest, Weights::Pattern(mask)), profile, 0, None).expect("a layer");
    let cycles = run.cycles as f64;
    [cycles, run.macs as f64 / (cycles * run.peak as f64)]
}

/// Cycles of all layers and the mean of their utilisations, on real and on uniform masks.
pub(crate) fn compare(profile: &Profile, masks: &[(String, Mask)]) -> [[f64; 2]; 2] {
    let mut sums = [[0.0; 2]; 2];
    for (seed, (_, mask)) in (0..).zip(masks) {
        let random = MaskModel::Uniform.draw(mask.rows(), mask.cols(), mask.density(), seed);
        assert_eq!(random.count(), mask.count());
        for (sum, mask) in sums.iter_mut().zip([mask, &random]) {
            let [cycles, utilisation] = run(profile, mask);
            sum[0] += cycles;
            sum[1] += utilisation / masks.len() as f64;
        }
    }
    sums
}

pub(crate) fn engines() -> [(&'static str, Profile); 2] {
    let eie = Slices {
        partition: Partition::RowInterleaved,
        synchronisation: Synchronisation::Fifo { depth: 8 },
        ..slices(64)
    };
    [("row-interleaved", eie), ("contiguous", slices(64))].map(|(name, s)| {
        (
            name,
            profile(vec![engine(name, 800.0, 1.0, EngineKind::Slices(s))]),
        )
    })
}

/// Some of the 54 matrices, of every stage of the network.
pub(crate) const LAYERS: [&str; 6] = [
    "bottleneck_1_block_group2_1_1",
    "bottleneck_2_block_group2_2_1",
    "bottleneck_3_block_group3_3_1",
    "bottleneck_1_block_group4_1_1",
    "bottleneck_2_block_group4_2_1",
    "final_dense",
];
