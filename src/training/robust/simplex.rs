//! The probability simplex and the player on it.

/// Moves `values` to the nearest point with no negative entry and sum 1: max(v − μ, 0), where μ follows from the sorted
/// values (Held, Wolfe and Crowder, Mathematical Programming 6, 1974; METHODS §9). O(n log n). Values must be finite.
pub fn project_onto_simplex(values: &mut [f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut mu) = (0.0, 0.0);
    for (count, &v) in sorted.iter().enumerate() {
        sum += v;
        let candidate = (sum - 1.0) / (count + 1) as f64;
        // the largest values down to the last one that stays above μ
        if v > candidate {
            mu = candidate;
        }
    }
    for v in values.iter_mut() {
        *v = (*v - mu).max(0.0);
    }
}

/// Weights w of the domains, which ascend Σ wᵢFᵢ − γ/2·‖w − 1/K‖² on the simplex (arXiv 1906.03563; METHODS §9).
///
/// γ = 0 gives all weight to the domain that loses most; the larger γ, the nearer the weights stay to 1/K.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainWeights {
    values: Vec<f64>,
    gamma: f64,
    step: f64,
}

impl DomainWeights {
    /// Equal weights of `domains`, with γ and the step 1/β of the ascent. Both must be finite and not negative.
    #[must_use]
    pub fn uniform(domains: usize, gamma: f64, step: f64) -> Self {
        Self {
            values: vec![1.0 / domains.max(1) as f64; domains],
            gamma,
            step,
        }
    }

    /// The weights: none negative, sum 1.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// One step up, from the loss of every domain.
    ///
    /// The pull to 1/K is taken where the step ends, w ← Proj((w + (F + γ/K)/β) / (1 + γ/β)), not where it starts as in
    /// the paper: the two agree to first order in γ/β and have the same fixed points, and this one does not swing where
    /// γ/β is large.
    pub fn ascend(&mut self, losses: &[f64]) {
        let uniform = 1.0 / self.values.len().max(1) as f64;
        let shrink = 1.0 / (1.0 + self.step * self.gamma);
        for (w, &loss) in self.values.iter_mut().zip(losses) {
            *w = (*w + self.step * (loss + self.gamma * uniform)) * shrink;
        }
        project_onto_simplex(&mut self.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let projected = |mut v: Vec<f64>| {
            project_onto_simplex(&mut v);
            v
        };
        assert_eq!(projected(vec![0.5, 0.5]), [0.5, 0.5]);
        assert_eq!(projected(vec![2.0, 0.0]), [1.0, 0.0]);
        // (1, 0.5, −1): the first two share 1, each a quarter less
        assert_eq!(projected(vec![1.0, 0.5, -1.0]), [0.75, 0.25, 0.0]);
        assert_eq!(projected(vec![-7.0]), [1.0]);
    }

    #[test]
    fn nothing_swings_where_the_pull_is_strong() {
        let mut weights = DomainWeights::uniform(2, 1e6, 1.0);
        for _ in 0..3 {
            weights.ascend(&[1.0, 0.0]);
            assert!((weights.values()[0] - 0.5).abs() < 1e-6, "{weights:?}");
        }
    }
}
