//! How many weights each layer keeps under a budget.

/// The survivors of one layer, as allocation sees them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranked {
    /// What losing each surviving weight would cost the loss (½·w²·F up to a factor), descending.
    pub(super) saliency: Vec<f32>,
    /// What each kept weight costs on the objective; 0 where the layer runs on the dense engine anyway.
    pub(super) unit_cost: f64,
}

impl Ranked {
    /// Ranks the survivors by w²·(F + 0.05·mean F): the mean keeps weights alive whose gradient happened to vanish.
    pub(super) fn new(
        values: &[f32],
        fisher: &[f32],
        alive: impl Iterator<Item = usize> + Clone,
        unit_cost: f64,
    ) -> Self {
        let count = alive.clone().count().max(1);
        let mean = (alive.clone().map(|i| f64::from(fisher[i])).sum::<f64>() / count as f64) as f32;
        let mut saliency: Vec<f32> = alive
            .map(|i| values[i] * values[i] * (fisher[i] + 0.05 * mean))
            .collect();
        saliency.sort_unstable_by(|a, b| b.total_cmp(a));
        Self { saliency, unit_cost }
    }

    fn keep(&self, price: f64) -> usize {
        let threshold = price * self.unit_cost;
        self.saliency
            .partition_point(|&s| f64::from(s) > threshold)
            .max(1)
            .min(self.saliency.len())
    }
}

/// Counts per layer that meet `budget`: every weight stays whose saliency per cost exceeds one price common to all
/// layers, the smallest price that the budget allows (found by bisection). What a layer gives up thus grows with
/// what it costs, ADMM-NN's drop in proportion to `C_i` (arXiv 1812.11677, Fig. 5), and shrinks with what the loss
/// would lose.
///
/// `cost` maps counts to the objective; it must not grow when a count falls. Layers never grow.
pub(super) fn allocate(layers: &[Ranked], budget: f64, cost: impl Fn(&[usize]) -> f64) -> Vec<usize> {
    let keeps = |price: f64| -> Vec<usize> { layers.iter().map(|l| l.keep(price)).collect() };
    let fits = |price: f64| cost(&keeps(price)) <= budget;
    if fits(0.0) {
        return keeps(0.0);
    }
    let top = layers
        .iter()
        .filter(|l| l.unit_cost > 0.0)
        .filter_map(|l| Some(f64::from(*l.saliency.first()?) / l.unit_cost))
        .fold(f64::MIN_POSITIVE, f64::max);
    // the price spans many orders of magnitude: bisect its logarithm
    let (mut low, mut high) = ((top * 1e-18).max(f64::MIN_POSITIVE).ln(), (2.0 * top).ln());
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if fits(middle.exp()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    keeps(high.exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layer(saliency: &[f32], unit_cost: f64) -> Ranked {
        let mut saliency = saliency.to_vec();
        saliency.sort_unstable_by(|a, b| b.total_cmp(a));
        Ranked { saliency, unit_cost }
    }

    /// Two equal layers, one ten times as dear: the dear one gives up more.
    #[test]
    fn the_dearer_layer_gives_up_more() {
        let s: Vec<f32> = (1..=100).map(|i| i as f32).collect();
        let layers = [layer(&s, 1.0), layer(&s, 10.0)];
        let keep = allocate(&layers, 550.0, |k| k[0] as f64 + 10.0 * k[1] as f64);
        assert!(keep[1] < keep[0], "{keep:?}");
        assert!(keep[0] as f64 + 10.0 * keep[1] as f64 <= 550.0, "{keep:?}");
    }

    /// A layer that costs nothing (it runs dense) keeps everything.
    #[test]
    fn a_free_layer_keeps_everything() {
        let s: Vec<f32> = (1..=10).map(|i| i as f32).collect();
        let keep = allocate(&[layer(&s, 0.0), layer(&s, 1.0)], 4.0, |k| k[1] as f64);
        assert_eq!(keep, [10, 4]);
    }

    proptest! {
        /// The budget is met whenever one weight a layer meets it, and more budget never keeps fewer weights.
        #[test]
        fn budgets_are_met_and_monotone(a in prop::collection::vec(0.01f32..10.0, 1..50), b in prop::collection::vec(0.01f32..10.0, 1..50), ca in 0.1f64..10.0, cb in 0.1f64..10.0, budget in 0.0f64..100.0) {
            let layers = [layer(&a, ca), layer(&b, cb)];
            let cost = |k: &[usize]| k[0] as f64 * ca + k[1] as f64 * cb;
            let budget = budget + ca + cb;
            let keep = allocate(&layers, budget, cost);
            prop_assert!(cost(&keep) <= budget);
            let more = allocate(&layers, budget * 1.5, cost);
            prop_assert!(more.iter().zip(&keep).all(|(m, k)| m >= k));
        }
    }
}
