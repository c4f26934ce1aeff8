//! Perturbations that an attacker may choose: an lp ball cut by the box of pixels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the size of a perturbation is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// The largest change of a pixel.
    Linf,
    /// The square root of the sum of squared changes.
    L2,
    /// The sum of absolute changes.
    L1,
}

impl Norm {
    /// The size of a perturbation.
    #[must_use]
    pub fn of(self, delta: &[f32]) -> f64 {
        let sizes = delta.iter().map(|&d| f64::from(d.abs()));
        match self {
            Self::Linf => sizes.fold(0.0, f64::max),
            Self::L2 => sizes.map(|d| d * d).sum::<f64>().sqrt(),
            Self::L1 => sizes.sum(),
        }
    }

    /// Moves `delta` to the nearest perturbation (in the Euclidean sense) of at most this size that leaves every pixel of
    /// `point + delta` in [0, 1]; `point` lies there.
    ///
    /// A pixel moves to the side that `delta` says, at most to the box's wall. Let m be the sizes of the entries and c the
    /// ways to the walls. For l∞ the answer is min(m, c, radius); for l2 min(t·m, c) and for l1 min(max(m − λ, 0), c), with
    /// t and λ such that the ball is just met: exactly, by sorting the places where an entry meets its wall (or 0).
    /// METHODS §9 bisects instead. O(n log n).
    pub fn project(self, delta: &mut [f32], point: &[f32], radius: f32) {
        self.shrink(
            delta,
            radius,
            |i, d| if d > 0.0 { 1.0 - point[i] } else { point[i] },
        );
    }

    /// The same without the box: the nearest perturbation of at most this size.
    pub fn project_onto_ball(self, delta: &mut [f32], radius: f32) {
        self.shrink(delta, radius, |_, _| f32::INFINITY);
    }

    fn shrink(self, delta: &mut [f32], radius: f32, wall: impl Fn(usize, f32) -> f32) {
        let radius = f64::from(radius.max(0.0));
        let entries: Vec<Entry> = delta
            .iter()
            .enumerate()
            .map(|(i, &d)| Entry {
                size: f64::from(d.abs()),
                wall: f64::from(wall(i, d).max(0.0)),
            })
            .collect();
        let size: Box<dyn Fn(Entry) -> f64> = match self {
            Self::Linf => Box::new(|e| e.size.min(e.wall).min(radius)),
            Self::L2 => {
                let t = stretch(&entries, radius);
                Box::new(move |e| (t * e.size).min(e.wall))
            }
            Self::L1 => {
                let threshold = threshold(&entries, radius);
                Box::new(move |e| (e.size - threshold).max(0.0).min(e.wall))
            }
        };
        for (d, &entry) in delta.iter_mut().zip(&entries) {
            *d = d.signum() * size(entry) as f32;
        }
    }
}

/// One pixel of a perturbation.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// How far it wants to move.
    size: f64,
    /// How far the box lets it.
    wall: f64,
}

/// The largest t up to 1 with ‖min(t·size, wall)‖₂ ≤ radius.
fn stretch(entries: &[Entry], radius: f64) -> f64 {
    let mut moving: Vec<Entry> = entries.iter().copied().filter(|e| e.size > 0.0).collect();
    moving.sort_unstable_by(|a, b| (a.wall / a.size).total_cmp(&(b.wall / b.size)));
    // Σ size² from each place on; summed from the end, so that nothing cancels
    let mut free = vec![0.0; moving.len()];
    let mut sum = 0.0;
    for (free, e) in free.iter_mut().zip(&moving).rev() {
        sum += e.size * e.size;
        *free = sum;
    }
    let mut fixed = 0.0;
    for (e, free) in moving.iter().zip(free) {
        // all pixels before this one stand at their walls, the others move with t
        let t = ((radius * radius - fixed).max(0.0) / free).sqrt();
        if t <= e.wall / e.size {
            return t.min(1.0);
        }
        fixed += e.wall * e.wall;
    }
    1.0
}

/// The least λ of 0 or more with Σ min(max(size − λ, 0), wall) ≤ radius.
fn threshold(entries: &[Entry], radius: f64) -> f64 {
    let all: f64 = entries.iter().map(|e| e.size.min(e.wall)).sum();
    if all <= radius {
        return 0.0;
    }
    // as λ falls an entry begins to move at its size and meets its wall at size − wall
    let mut places: Vec<(f64, f64)> = entries
        .iter()
        .flat_map(|e| [(e.size, 1.0), ((e.size - e.wall).max(0.0), -1.0)])
        .collect();
    places.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let (mut sum, mut slope, mut at) = (0.0, 0.0, places.first().map_or(0.0, |p| p.0));
    for (place, change) in places {
        let next = sum + slope * (at - place);
        if next >= radius && slope > 0.0 {
            return (at - (radius - sum) / slope).max(0.0);
        }
        (sum, at) = (next, place);
        slope += change;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projected(norm: Norm, mut delta: Vec<f32>, point: &[f32], radius: f32) -> Vec<f32> {
        norm.project(&mut delta, point, radius);
        delta
    }

    #[test]
    fn by_hand() {
        let middle = [0.5; 2];
        assert_eq!(projected(Norm::Linf, vec![0.3, -0.1], &middle, 0.2), [0.2, -0.1]);
        let near = |got: Vec<f32>, want: [f32; 2]| {
            let same = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
            assert!(same, "{got:?} is not {want:?}");
        };
        near(projected(Norm::L2, vec![0.3, -0.4], &middle, 0.25), [0.15, -0.2]);
        near(projected(Norm::L1, vec![0.3, -0.4], &middle, 0.5), [0.2, -0.3]);
        // the first pixel meets its wall at 0.1, what is left of the radius goes to the second
        near(projected(Norm::L1, vec![0.4, 0.4], &[0.9, 0.0], 0.3), [0.1, 0.2]);
        let rest = (0.25f32 * 0.25 - 0.01).sqrt();
        near(
            projected(Norm::L2, vec![0.4, 0.4], &[0.9, 0.0], 0.25),
            [0.1, rest],
        );
        // the box alone
        near(
            projected(Norm::L2, vec![0.4, -0.4], &[0.9, 0.1], 9.0),
            [0.1, -0.1],
        );
    }
}
