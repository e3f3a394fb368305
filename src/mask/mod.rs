//! Which patches are masked: how many per epoch, in which order, and by which labels.

pub mod block;
pub mod labels;
pub mod order;
pub mod patch;
pub mod random;
pub mod schedule;
pub mod target;
