//! Losses on logits.

use super::executor::Loss;

/// The summed loss of `samples × classes` logits and its derivative, both to be divided by `total` samples:
/// the derivative is divided here, so that chunks of one batch add up.
///
/// Returns the sum (not the mean) of the samples' losses, in f64 so that chunk sums do not drift.
pub(super) fn loss_and_gradient(
    loss: Loss,
    logits: &[f32],
    labels: &[u32],
    teacher: Option<&[f32]>,
    total: usize,
    gradient: &mut [f32],
) -> f64 {
    let classes = logits.len() / labels.len().max(1);
    let scale = 1.0 / total as f32;
    let mut sum = 0.0;
    let mut soft = vec![0.0f32; classes];
    let mut target = vec![0.0f32; classes];
    for (i, &label) in labels.iter().enumerate() {
        let z = &logits[i * classes..(i + 1) * classes];
        let g = &mut gradient[i * classes..(i + 1) * classes];
        let (hard, distilled, temperature) = match (loss, teacher) {
            (Loss::Distilled { temperature, weight }, Some(_)) => (1.0 - weight, weight, temperature),
            _ => (1.0, 0.0, 1.0),
        };
        let log_sum = softmax(z, 1.0, &mut soft);
        let label = label as usize;
        sum += f64::from(hard) * (f64::from(log_sum) - f64::from(z[label]));
        for (k, (g, &p)) in g.iter_mut().zip(&soft).enumerate() {
            *g = scale * hard * (p - if k == label { 1.0 } else { 0.0 });
        }
        if let Some(teacher) = teacher.filter(|_| distilled > 0.0) {
            // KL(p‖s) of the softened distributions, times T²; d/dz = T (s - p)
            let zt = &teacher[i * classes..(i + 1) * classes];
            let log_t = softmax(zt, temperature, &mut target);
            let log_s = softmax(z, temperature, &mut soft);
            let mut kl = 0.0f64;
            for k in 0..classes {
                let (lt, ls) = (zt[k] / temperature - log_t, z[k] / temperature - log_s);
                kl += f64::from(target[k]) * f64::from(lt - ls);
                g[k] += scale * distilled * temperature * (soft[k] - target[k]);
            }
            sum += f64::from(distilled * temperature * temperature) * kl;
        }
    }
    sum
}

/// The summed cross-entropy of `samples × classes` logits in nats; infinite for a label without an output.
pub(super) fn cross_entropy(logits: &[f32], labels: &[u32]) -> f64 {
    let classes = logits.len() / labels.len().max(1);
    let mut soft = vec![0.0f32; classes];
    logits
        .chunks(classes.max(1))
        .zip(labels)
        .map(|(z, &label)| match z.get(label as usize) {
            Some(&of_label) => f64::from(softmax(z, 1.0, &mut soft)) - f64::from(of_label),
            None => f64::INFINITY,
        })
        .sum()
}

/// Softmax of `z / temperature`; returns log Σ exp(z / temperature).
fn softmax(z: &[f32], temperature: f32, out: &mut [f32]) -> f32 {
    let top = z.iter().copied().fold(f32::NEG_INFINITY, f32::max) / temperature;
    let mut sum = 0.0;
    for (o, &v) in out.iter_mut().zip(z) {
        *o = (v / temperature - top).exp();
        sum += *o;
    }
    for o in out.iter_mut() {
        *o /= sum;
    }
    top + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The derivative agrees with central differences of the loss, for both losses.
    #[test]
    fn gradient_is_the_derivative() {
        let logits = [0.3f32, -1.2, 0.8, 2.0, 0.1, -0.4];
        let teacher = [1.0f32, 0.0, -1.0, 0.5, 0.25, 3.0];
        let labels = [2, 0];
        for loss in [
            Loss::CrossEntropy,
            Loss::Distilled {
                temperature: 2.0,
                weight: 0.7,
            },
        ] {
            let mut g = [0.0; 6];
            loss_and_gradient(loss, &logits, &labels, Some(&teacher), 2, &mut g);
            for k in 0..6 {
                let at = |d: f32| {
                    let mut z = logits;
                    z[k] += d;
                    loss_and_gradient(loss, &z, &labels, Some(&teacher), 2, &mut [0.0; 6]) / 2.0
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!(
                    (numeric - f64::from(g[k])).abs() < 1e-3,
                    "{loss:?} logit {k}: {numeric} against {}",
                    g[k]
                );
            }
        }
    }
}
