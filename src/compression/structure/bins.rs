//! The largest weights of a list of positions.

use super::unstructured::magnitude;
use crate::compression::Mask;

/// Sets those of the positions in `left` whose values are the `keep` largest in magnitude and not zero; of equals the
/// lower position. Empties the list.
pub(super) fn keep_largest(values: &[f32], positions: &mut Vec<usize>, keep: usize, left: &mut Mask) {
    positions.retain(|&i| values[i] != 0.0);
    if keep < positions.len() {
        let rank = |&a: &usize, &b: &usize| {
            let (a_size, b_size) = (magnitude(values[a]), magnitude(values[b]));
            b_size.cmp(&a_size).then(a.cmp(&b))
        };
        if keep > 0 {
            positions.select_nth_unstable_by(keep - 1, rank);
        }
        positions.truncate(keep);
    }
    positions.drain(..).for_each(|i| left.set(i, true));
}
