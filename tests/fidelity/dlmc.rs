//! Magnitude-pruned ResNet-50 (DLMC, Gale et al., SC 2020) against uniformly random masks of equal density.

use super::pruned::{LAYERS, compare, engines, masks};
use super::{Row, Study, Tolerance};

/// Cycles and utilisation, for each density and partition; none without the archives.
pub(crate) fn real_masks() -> Study {
    let mut rows = Vec::new();
    for sparsity in ["0.8", "0.9", "0.95"] {
        let Some(masks) = masks(&format!("rn50_magnitude_pruning_{sparsity}"), &LAYERS) else {
            rows.clear();
            break;
        };
        for (name, profile) in engines() {
            let [[cycles, real], [uniform_cycles, uniform]] = compare(&profile, &masks);
            let figures = [
                ("cycles", cycles, uniform_cycles, Tolerance::AtLeast),
                ("utilisation %", 100.0 * real, 100.0 * uniform, Tolerance::AtMost),
            ];
            for (quantity, modelled, published, tolerance) in figures {
                rows.push(Row {
                    source: "DLMC, rn50_magnitude_pruning",
                    subject: format!("six layers at sparsity {sparsity}, {name}, 64 PEs"),
                    quantity,
                    published,
                    modelled,
                    tolerance,
                });
            }
        }
    }
    Study {
        name: "dlmc",
        title: "Masks of a pruned ResNet-50 (DLMC) beside uniformly random ones",
        note: "Both sides are simulated: `published` is a uniformly random mask of the same number of non-zeros, `simulated` \
               the real mask. Rows and columns of a network pruned by magnitude differ in density, which costs cycles; held \
               to its direction. One vector, four-bit index; row-interleaved with queues of 8, contiguous with a barrier.",
        may_miss: 0.0,
        rows,
    }
}
