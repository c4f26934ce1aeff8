//! A network's trained values as named slices: what optimisers, ADMM, masks and levels act on.

use crate::compression::Mask;

/// What a parameter is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A weight tensor that is pruned and quantised.
    Weight,
    /// A bias.
    Bias,
    /// The gain of a normalisation.
    Gain,
    /// The shift of a normalisation.
    Shift,
    /// The rows of an embedding.
    Table,
    /// A running statistic of a batch normalisation: stored, never trained.
    Statistic,
}

/// One named slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `layer.weight`, `layer.bias`, `layer.gain`, `layer.shift`, `layer.table`, `layer.mean`, `layer.variance`.
    pub name: String,
    /// The layer's name.
    pub layer: String,
    /// What it is to the layer.
    pub role: Role,
    /// Axes, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
    /// The positions that may be non-zero; `None` means all. Values outside are zero and get no gradient.
    pub support: Option<Mask>,
}

impl Parameter {
    /// GEMM rows (first axis) and columns (all others).
    #[must_use]
    pub fn matrix(&self) -> (usize, usize) {
        let rows = self.shape.first().copied().unwrap_or(1);
        (rows, self.values.len().checked_div(rows).unwrap_or(0))
    }
}

/// All parameters of a network, in the order of its layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// The slices.
    pub list: Vec<Parameter>,
}

impl Parameters {
    /// The parameter of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.list.iter().find(|p| p.name == name)
    }

    /// The weight of a layer.
    #[must_use]
    pub fn weight(&self, layer: &str) -> Option<&Parameter> {
        self.list.iter().find(|p| p.role == Role::Weight && p.layer == layer)
    }

    /// The weight of a layer, to change it.
    pub fn weight_mut(&mut self, layer: &str) -> Option<&mut Parameter> {
        self.list.iter_mut().find(|p| p.role == Role::Weight && p.layer == layer)
    }

    /// The weights that are pruned and quantised.
    pub fn weights(&self) -> impl Iterator<Item = &Parameter> + '_ {
        self.list.iter().filter(|p| p.role == Role::Weight)
    }
}
