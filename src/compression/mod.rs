//! How a layer is compressed: where zeros may stand (structure), how values are stored (precision), how the
//! sparse tensor lies in memory (encoding), and the masks and recipes that say so layer by layer.

pub mod budget;
pub mod encoding;
pub mod mask_file;
pub mod pack;
pub mod precision;
pub mod recipes;
pub mod structure;

mod mask;
mod mask_model;
mod recipe;
mod shared;
mod shared_groups;
mod target;

pub use mask::Mask;
pub use mask_model::{MaskModel, MaskModelError};
pub use recipe::{RecipeError, RecipeErrors};
pub use shared::{SharedBudget, TotalWeights};
pub use shared_groups::TotalGroups;
pub(crate) use target::weights_kept;
pub use target::{Recipe, RecipeFile, Target};

/// A constraint set of the ADMM: the values that a layer's weights may take together.
///
/// A set restricts itself to the *support*, the positions that are still alive: positions outside it are set
/// to zero and never come back. A sparsity set chooses which of the support survive; a precision set moves the
/// survivors onto its levels.
pub trait ConstraintSet: std::fmt::Debug + Send + Sync {
    /// The set's name in reports, with its parameters.
    fn describe(&self) -> String;

    /// Replaces `values` (GEMM rows × columns of `support`, row-major) by the nearest point of the set.
    /// Exact and deterministic: ties go to the lower index.
    fn project(&self, values: &mut [f32], support: &Mask);

    /// The positions of the support that the projection of `values` keeps. A set of groups keeps whole groups: a weight
    /// that is zero inside one stays alive and may be trained again. Where a set has no groups, these are the positions
    /// that are not zero after the projection.
    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        let mut projected = values.to_vec();
        self.project(&mut projected, support);
        Mask::of(&projected, support.rows(), support.cols())
    }

    /// The set of this kind that lies nearest to `values`, for sets with a parameter to fit (the interval of levels);
    /// `None` where there is nothing to fit.
    fn refitted(&self, values: &[f32], support: &Mask) -> Option<Box<dyn ConstraintSet>> {
        let _ = (values, support);
        None
    }
}
