//! Heads that sit on a backbone during pre-training and are dropped at the transfer.

mod category;
mod projection;

pub use category::CategoryHead;
pub use projection::{Projection, ProjectionKind};
