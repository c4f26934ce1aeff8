//! What an attack raises.

use crate::training::Loss;
use crate::training::loss::loss_and_gradient;

/// A loss of one sample that an attack makes large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttackLoss {
    /// −log of the label's probability.
    CrossEntropy,
    /// How far the best other class lies above the label, at most `confidence` (Carlini and Wagner, S&P 2017, f₆): positive
    /// where the network is wrong. Beyond the confidence an attack has no slope to follow.
    Margin {
        /// The largest margin that counts.
        confidence: f32,
    },
}

impl AttackLoss {
    /// The loss of each sample; its derivative by the sample's outputs in `slopes`, times the sample's factor. A label
    /// without an output loses infinitely much and has no slope.
    pub(super) fn of(
        self,
        outputs: &[f32],
        labels: &[u32],
        factor: impl Fn(usize) -> f32,
        slopes: &mut [f32],
    ) -> Vec<f32> {
        let classes = outputs.len() / labels.len().max(1);
        let rows = outputs
            .chunks(classes)
            .zip(slopes.chunks_mut(classes))
            .zip(labels);
        rows.enumerate()
            .map(|(i, ((z, d), &label))| {
                if label as usize >= classes {
                    d.fill(0.0);
                    return f32::INFINITY;
                }
                let loss = match self {
                    Self::CrossEntropy => {
                        loss_and_gradient(Loss::CrossEntropy, z, &[label], None, 1, d) as f32
                    }
                    Self::Margin { confidence } => {
                        let (margin, other) = margin(z, label);
                        d.fill(0.0);
                        if margin < confidence {
                            d[other] += 1.0;
                            d[label as usize] -= 1.0;
                        }
                        margin.min(confidence)
                    }
                };
                for d in d.iter_mut() {
                    *d *= factor(i);
                }
                loss
            })
            .collect()
    }
}

/// How far the best other class lies above the label, and which it is: the label itself, at 0, where there is no other;
/// infinitely far where the label has no output.
pub(super) fn margin(outputs: &[f32], label: u32) -> (f32, usize) {
    let label = label as usize;
    let mut best: Option<usize> = None;
    for (k, &z) in outputs.iter().enumerate() {
        if k != label && best.is_none_or(|b| z > outputs[b]) {
            best = Some(k);
        }
    }
    match (outputs.get(label), best) {
        (Some(own), Some(other)) => (outputs[other] - own, other),
        (Some(_), None) => (0.0, label),
        (None, _) => (f32::INFINITY, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_has_the_slope_of_two_classes_up_to_its_confidence() {
        let outputs = [1.0, 3.0, 2.0, 0.0, 9.0, 1.0];
        let mut slopes = [9.0; 6];
        let loss = AttackLoss::Margin { confidence: 5.0 };
        let losses = loss.of(&outputs, &[1, 0], |i| if i == 0 { 2.0 } else { 1.0 }, &mut slopes);
        assert_eq!(losses, [-1.0, 5.0]);
        assert_eq!(slopes, [0.0, -2.0, 2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn labels_without_an_output_have_no_slope() {
        let mut slopes = [9.0; 2];
        for loss in [AttackLoss::CrossEntropy, AttackLoss::Margin { confidence: 5.0 }] {
            let losses = loss.of(&[1.0, 3.0], &[7], |_| 1.0, &mut slopes);
            assert_eq!((losses[0], slopes), (f32::INFINITY, [0.0; 2]));
        }
        assert_eq!(margin(&[1.0, 3.0], 7).0, f32::INFINITY);
        assert_eq!(margin(&[2.0], 0), (0.0, 0));
    }
}
