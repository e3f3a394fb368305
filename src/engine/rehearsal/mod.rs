//! Rehearsing the worst: trainings are killed at random steps, go on from their checkpoints, and
//! must leave the same files as trainings that nobody disturbed.

mod attempt;
mod compare;
mod pick;
mod play;
mod scratch;

pub use attempt::Point;
pub use compare::Outcome;
pub use pick::{Pick, pick};
pub use play::{Kill, Rehearsal, RehearsalError};
