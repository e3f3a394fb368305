//! Which patches are masked: how many per epoch, in which order, and by which labels.

pub mod labels;
pub mod order;
pub mod patch;
pub mod schedule;
pub mod target;
