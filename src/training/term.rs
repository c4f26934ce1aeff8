//! What joins in at every step of a run beside the loss.

use super::parameters::Parameters;

/// A term of the objective beside the loss: it adds to the gradients before an update, or moves the parameters after it.
/// Positions outside a support stay zero whatever it does to the gradients; it must leave them zero itself.
pub trait Term {
    /// Adds the term's gradient to the loss's, one vector per parameter.
    fn gradient(&mut self, parameters: &Parameters, gradients: &mut [Vec<f32>]) {
        let _ = (parameters, gradients);
    }

    /// Moves the parameters after an update at this learning rate, as the proximal step of a term that has no gradient
    /// at zero.
    fn proximal(&mut self, parameters: &mut Parameters, rate: f32) {
        let _ = (parameters, rate);
    }
}

/// A term that is a gradient alone.
pub(crate) struct Gradient<'a>(pub(crate) &'a mut dyn FnMut(&Parameters, &mut [Vec<f32>]));

impl Term for Gradient<'_> {
    fn gradient(&mut self, parameters: &Parameters, gradients: &mut [Vec<f32>]) {
        (self.0)(parameters, gradients);
    }
}
