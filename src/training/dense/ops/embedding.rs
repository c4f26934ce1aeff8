//! Rows of a table, picked by tokens.

use super::{Given, Operator, Pass, add_to};
use crate::training::dense::float::Float;

/// See the module. Parameter: the table.
pub(in crate::training::dense) struct Embedding {
    /// Rows of the table.
    pub(in crate::training::dense) vocabulary: usize,
    /// Columns of the table.
    pub(in crate::training::dense) features: usize,
}

impl Embedding {
    fn row<T: Float>(&self, token: T) -> Result<usize, String> {
        let token = token.f64();
        if token.fract() == 0.0 && token >= 0.0 && token < self.vocabulary as f64 {
            Ok(token as usize)
        } else {
            Err(format!(
                "token {token} is not a row of its table; tokens are whole numbers below {}",
                self.vocabulary
            ))
        }
    }
}

impl<T: Float> Operator<T> for Embedding {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        for (output, &token) in output.chunks_exact_mut(self.features).zip(inputs[0]) {
            let row = self.row(token)?;
            output.copy_from_slice(&parameters[0][row * self.features..][..self.features]);
        }
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    ) {
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            d_input.fill(T::ZERO); // tokens are not continuous
        }
        d_parameters[0].fill(T::ZERO);
        for (d_output, &token) in given.d_output.chunks_exact(self.features).zip(given.inputs[0]) {
            // the forward pass has checked every token
            if let Ok(row) = self.row(token) {
                add_to(
                    &mut d_parameters[0][row * self.features..][..self.features],
                    d_output,
                );
            }
        }
    }
}
