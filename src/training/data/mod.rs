//! Data sets in memory.

/// Labelled samples: pixels in [0, 1] (value / 255), row-major `C×H×W` sample by sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Samples × elements.
    pub inputs: Vec<f32>,
    /// One class per sample.
    pub labels: Vec<u32>,
    /// Axes of one sample.
    pub shape: Vec<usize>,
}
