//! Labelled samples and the ways to cut them.

use super::error::DataError;
use std::ops::Range;

/// Labelled samples: pixels, in [0, 1] (value / 255) unless they were normalised, row-major `C×H×W` sample by sample; or
/// tokens as whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Samples × elements.
    pub inputs: Vec<f32>,
    /// One class per sample.
    pub labels: Vec<u32>,
    /// Axes of one sample.
    pub shape: Vec<usize>,
}

impl Samples {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values in one sample.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// One more than the largest label: the classes a network needs to have; 0 without samples.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&l| l as usize + 1)
    }

    /// The samples of a range, copied.
    ///
    /// # Errors
    /// [`DataError::Range`] when the range ends past the last sample or before its start.
    pub fn subset(&self, range: Range<usize>) -> Result<Self, DataError> {
        let out = || DataError::Range {
            start: range.start,
            end: range.end,
            have: self.len(),
        };
        let labels = self.labels.get(range.clone()).ok_or_else(out)?.to_vec();
        let n = self.elements();
        let inputs = self
            .inputs
            .get(range.start * n..range.end * n)
            .ok_or_else(out)?
            .to_vec();
        Ok(Self {
            inputs,
            labels,
            shape: self.shape.clone(),
        })
    }

    /// The first `train` samples to learn from and the last `validation` ones to choose by. They never
    /// overlap; samples between them belong to neither.
    ///
    /// # Errors
    /// [`DataError::Range`] when there are fewer than `train + validation` samples.
    pub fn split(&self, train: usize, validation: usize) -> Result<(Self, Self), DataError> {
        let have = self.len();
        let end = train.saturating_add(validation);
        if end > have {
            return Err(DataError::Range { start: 0, end, have });
        }
        Ok((self.subset(0..train)?, self.subset(have - validation..have)?))
    }

    /// Holds the labels against the outputs of a network.
    ///
    /// # Errors
    /// [`DataError::Class`] for the first label that has no output.
    pub fn check_labels(&self, classes: usize) -> Result<(), DataError> {
        match self.labels.iter().position(|&l| l as usize >= classes) {
            Some(sample) => Err(DataError::Class {
                sample,
                label: self.labels[sample],
                classes,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five() -> Samples {
        Samples {
            inputs: (0..10u8).map(f32::from).collect(),
            labels: vec![0, 1, 2, 1, 3],
            shape: vec![1, 1, 2],
        }
    }

    #[test]
    fn split_takes_both_ends() {
        let (train, validation) = five().split(2, 2).expect("four of five samples");
        assert_eq!(
            (train.inputs, train.labels),
            (vec![0.0, 1.0, 2.0, 3.0], vec![0, 1])
        );
        assert_eq!(
            (validation.inputs, validation.labels),
            (vec![6.0, 7.0, 8.0, 9.0], vec![1, 3])
        );
        assert_eq!(
            five().split(3, 3),
            Err(DataError::Range {
                start: 0,
                end: 6,
                have: 5
            })
        );
        assert!(five().split(usize::MAX, 2).is_err());
    }

    #[test]
    fn subset_refuses_ranges_outside() {
        let middle = five().subset(1..3).expect("inside");
        assert_eq!((middle.len(), middle.classes(), middle.elements()), (2, 3, 2));
        assert!(five().subset(0..0).expect("an empty range is inside").is_empty());
        assert!(five().subset(3..6).is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
        let reversed = five().subset(4..2);
        assert!(reversed.is_err());
    }

    #[test]
    fn labels_are_held_against_the_outputs() {
        assert_eq!(five().check_labels(4), Ok(()));
        assert_eq!(
            five().check_labels(3),
            Err(DataError::Class {
                sample: 4,
                label: 3,
                classes: 3
            })
        );
    }
}
