//! Changes of a picture that are no attack: moved, turned, paler, noisy.

use super::random::Random;
use crate::training::TrainingError;

/// A change of pictures of shape `[C, H, W]`, pixels of 0 to 1. What moves out of the picture is lost, black moves in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// Moved by this many pixels to one of eight sides, drawn for each sample.
    Shift {
        /// Pixels in rows, in columns or in both.
        pixels: usize,
    },
    /// Turned about the centre by this many degrees, to the left or to the right, drawn for each sample; between pixels
    /// values are interpolated linearly.
    Rotate {
        /// Degrees.
        degrees: f32,
    },
    /// Every pixel's distance to the sample's mean times this factor.
    Contrast {
        /// Below 1 the picture is paler, above 1 harsher.
        factor: f32,
    },
    /// Gaussian noise added to every pixel.
    Noise {
        /// Its standard deviation.
        deviation: f32,
    },
}

/// The eight sides as rows and columns.
const SIDES: [[f32; 2]; 8] = [
    [0.0, 1.0],
    [0.0, -1.0],
    [1.0, 0.0],
    [-1.0, 0.0],
    [1.0, 1.0],
    [1.0, -1.0],
    [-1.0, 1.0],
    [-1.0, -1.0],
];

impl Transform {
    /// The pictures changed, all in [0, 1].
    ///
    /// # Errors
    /// [`TrainingError::Batch`] when samples that are to be moved or turned have no rows and columns.
    pub fn apply(&self, pixels: &[f32], shape: &[usize], seed: u64) -> Result<Vec<f32>, TrainingError> {
        let n: usize = shape.iter().product::<usize>().max(1);
        let mut random = Random::new(seed, 0);
        let mut changed = vec![0.0; pixels.len()];
        let samples = pixels.chunks(n).zip(changed.chunks_mut(n));
        match *self {
            Self::Shift { pixels } => {
                let map = Map::of(shape)?;
                for (from, to) in samples {
                    let way = SIDES[random.below(SIDES.len() as u32) as usize];
                    let [down, right] = way.map(|way| way * pixels as f32);
                    map.fill(from, to, |y, x| [y as f32 - down, x as f32 - right]);
                }
            }
            Self::Rotate { degrees } => {
                let map = Map::of(shape)?;
                let centre = [map.h, map.w].map(|size| (size as f32 - 1.0) / 2.0);
                for (from, to) in samples {
                    let (sin, cos) = (random.sign() * degrees.to_radians()).sin_cos();
                    map.fill(from, to, |y, x| {
                        let (v, u) = (y as f32 - centre[0], x as f32 - centre[1]);
                        [centre[0] + cos * v - sin * u, centre[1] + sin * v + cos * u]
                    });
                }
            }
            Self::Contrast { factor } => {
                for (from, to) in samples {
                    let mean = (from.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64) as f32;
                    for (to, &v) in to.iter_mut().zip(from) {
                        *to = (mean + factor * (v - mean)).clamp(0.0, 1.0);
                    }
                }
            }
            Self::Noise { deviation } => {
                for (to, &v) in changed.iter_mut().zip(pixels) {
                    *to = (v + deviation * random.normal()).clamp(0.0, 1.0);
                }
            }
        }
        Ok(changed)
    }
}

/// Rows and columns of every channel of a sample.
#[derive(Clone, Copy)]
struct Map {
    h: usize,
    w: usize,
}

impl Map {
    fn of(shape: &[usize]) -> Result<Self, TrainingError> {
        match *shape {
            [_, h, w] => Ok(Self { h, w }),
            _ => Err(TrainingError::Batch {
                message: format!("only samples of shape [C, H, W] can be moved or turned, not {shape:?}"),
            }),
        }
    }

    /// Fills a picture from the places that `source` gives for its rows and columns.
    fn fill(self, from: &[f32], to: &mut [f32], source: impl Fn(usize, usize) -> [f32; 2]) {
        let plane = self.h * self.w;
        for y in 0..self.h {
            for x in 0..self.w {
                let at = source(y, x);
                for (from, to) in from.chunks(plane).zip(to.chunks_mut(plane)) {
                    to[y * self.w + x] = self.between(from, at).clamp(0.0, 1.0);
                }
            }
        }
    }

    /// The value at a place between pixels, by the four around it; 0 outside.
    fn between(self, plane: &[f32], [y, x]: [f32; 2]) -> f32 {
        let (top, left) = (y.floor(), x.floor());
        let (down, right) = (y - top, x - left);
        let value = |row: f32, column: f32, share: f32| {
            let inside = row >= 0.0 && column >= 0.0 && row < self.h as f32 && column < self.w as f32;
            if share > 0.0 && inside {
                share * plane[row as usize * self.w + column as usize]
            } else {
                0.0
            }
        };
        value(top, left, (1.0 - down) * (1.0 - right))
            + value(top, left + 1.0, (1.0 - down) * right)
            + value(top + 1.0, left, down * (1.0 - right))
            + value(top + 1.0, left + 1.0, down * right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [1, 3, 3];

    #[test]
    fn moved_by_one_pixel_to_some_side() {
        let mut picture = [0.0; 9];
        picture[4] = 1.0;
        for seed in 0..20 {
            let moved = Transform::Shift { pixels: 1 }
                .apply(&picture, &SHAPE, seed)
                .expect("a map");
            assert_eq!(moved.iter().sum::<f32>(), 1.0);
            assert_eq!(moved[4], 0.0);
        }
    }

    /// A quarter turn takes the first row to a column, in one of two ways.
    #[test]
    fn turned_by_a_right_angle() {
        let picture = [0.1, 0.2, 0.3, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0];
        let near = |got: &[f32], want: [f32; 9]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5);
        for seed in 0..20 {
            let turned = Transform::Rotate { degrees: 90.0 }
                .apply(&picture, &SHAPE, seed)
                .expect("a map");
            let left = [0.3, 0.0, 0.0, 0.2, 0.5, 0.0, 0.1, 0.0, 0.0];
            let right = [0.0, 0.0, 0.1, 0.0, 0.5, 0.2, 0.0, 0.0, 0.3];
            assert!(near(&turned, left) || near(&turned, right), "{turned:?}");
        }
    }

    #[test]
    fn paler_keeps_the_mean() {
        let paler = Transform::Contrast { factor: 0.5 };
        assert_eq!(
            paler.apply(&[0.0, 1.0, 0.5, 0.5], &[4], 1).expect("any shape"),
            [0.25, 0.75, 0.5, 0.5]
        );
    }

    #[test]
    fn only_maps_are_turned() {
        let error = Transform::Rotate { degrees: 5.0 }.apply(&[0.0; 4], &[4], 1);
        assert!(error.is_err());
    }
}
