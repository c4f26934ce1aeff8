//! The scale of the ternary levels −α, 0, α with the least squared error.
//!
//! If the k largest magnitudes become α and the others zero, the best α is the mean of the k, and the error is
//! ‖a‖² − (a₁ + … + aₖ)²/k. One pass over the sorted magnitudes finds the best k; rounding to the nearest level at
//! that α can only lower the error, so the threshold α/2 separates the same k.

/// The best scale for these magnitudes (finite, not negative), or `None` without any. Of equals the most weights kept.
pub(super) fn best_scale(mut magnitudes: Vec<f32>) -> Option<f64> {
    magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut best) = (0.0, None);
    for (k, &a) in magnitudes.iter().enumerate() {
        sum += f64::from(a);
        let gain = sum * sum / (k + 1) as f64;
        if best.is_none_or(|(most, _)| gain >= most) {
            best = Some((gain, sum / (k + 1) as f64));
        }
    }
    best.map(|(_, scale)| scale)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are exact
mod tests {
    use super::best_scale;

    /// Prefix gains of 4, 3.5, 1, 0.5: 16, 28.125, 24.1, 20.25.
    #[test]
    fn the_best_prefix_by_hand() {
        assert_eq!(best_scale(vec![1.0, 4.0, 0.5, 3.5]), Some(3.75));
        assert_eq!(best_scale(vec![0.0, 0.0]), Some(0.0));
        assert_eq!(best_scale(vec![]), None);
    }
}
