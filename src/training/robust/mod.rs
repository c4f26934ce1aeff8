//! Training that holds against attacks and changes of the picture, by the min-max form of arXiv 1906.03563.
//!
//! A *domain* is what is done to samples before the network sees them: nothing, an [`Attack`], a [`Transform`].
//! [`MinMax`] trains on several at once: weights on the simplex rise for the domains that lose most. [`robust_accuracy`]
//! measures a network in each. [`MinMaxAttack`] turns the same game round: one perturbation against several models or
//! samples. [`Robustness`] is the file that names domains.

pub mod zoo;

mod attack;
mod attack_loss;
mod ball;
mod evaluate;
mod form;
mod generate;
mod min_max;
mod pixels;
mod random;
mod simplex;
mod transform;

pub use attack::{Attack, Keep};
pub use attack_loss::AttackLoss;
pub use ball::Norm;
pub use evaluate::{DomainAccuracy, RobustAccuracy, robust_accuracy};
pub use form::{Change, Domain, Effort, LossName, Robustness};
pub use generate::{Ensemble, MinMaxAttack, Universal};
pub use min_max::{DomainPeriod, MinMax};
pub use pixels::Pixels;
pub use simplex::{DomainWeights, project_onto_simplex};
pub use transform::Transform;
