//! Kept values in a row: where a layer's weights and biases stand among all kept values of the network.

use crate::training::Parameters;

/// The kept weights and biases of one layer. Their values stand together, weights first, at `first` of a vector
/// that holds the kept values of all layers.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    /// Where this layer begins.
    pub(super) first: usize,
    /// The parameter with the weights, and the position of each kept weight in it.
    pub(super) weight: (usize, Vec<u32>),
    /// The parameter with the biases, and the position of each kept bias in it, if there is one.
    pub(super) bias: Option<(usize, Vec<u32>)>,
    /// For each output, where its bias stands among the kept ones; `u32::MAX` without.
    pub(super) bias_of: Vec<u32>,
}

impl Slots {
    /// Kept weights and biases.
    pub(super) fn len(&self) -> usize {
        self.weight.1.len() + self.bias.as_ref().map_or(0, |b| b.1.len())
    }

    /// This layer's weights among all kept values.
    #[inline(always)]
    pub(super) fn weights<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.first..self.first + self.weight.1.len()]
    }

    /// The bias of an output; 0 without.
    #[inline(always)]
    pub(super) fn bias(&self, values: &[f32], output: usize) -> f32 {
        match self.bias_of[output] {
            u32::MAX => 0.0,
            at => values[self.first + self.weight.1.len() + at as usize],
        }
    }

    /// The output that the kept bias at `at` belongs to.
    #[inline(always)]
    pub(super) fn bias_at(&self, at: usize) -> usize {
        self.bias.as_ref().map_or(0, |b| b.1[at] as usize)
    }

    /// This layer's weights and biases in a vector of all kept values.
    #[inline(always)]
    pub(super) fn split<'a>(&self, values: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        values[self.first..self.first + self.len()].split_at_mut(self.weight.1.len())
    }

    /// Copies the kept values out of the parameters; `None` when the parameters have become others.
    pub(super) fn gather(&self, parameters: &Parameters, values: &mut [f32]) -> Option<()> {
        let (weights, biases) = self.split(values);
        let pick = |(parameter, positions): &(usize, Vec<u32>), to: &mut [f32]| {
            let from = &parameters.list.get(*parameter)?.values;
            for (t, &p) in to.iter_mut().zip(positions) {
                *t = *from.get(p as usize)?;
            }
            Some(())
        };
        pick(&self.weight, weights)?;
        self.bias.as_ref().map_or(Some(()), |bias| pick(bias, biases))
    }

    /// Copies values to their positions in one vector per parameter.
    pub(super) fn scatter(&self, values: &mut [f32], to: &mut [Vec<f32>]) {
        let (weights, biases) = self.split(values);
        let mut put = |(parameter, positions): &(usize, Vec<u32>), from: &[f32]| {
            let to = &mut to[*parameter];
            for (&v, &p) in from.iter().zip(positions) {
                to[p as usize] = v;
            }
        };
        put(&self.weight, weights);
        if let Some(bias) = &self.bias {
            put(bias, biases);
        }
    }
}
