//! Kernels for the CPU device: plain slices in, plain vectors out.
//!
//! Every result is a sum in an order that the shape alone decides, so it has the same bits for
//! every number of threads.

pub(super) mod batch_norm;
pub(super) mod conv;
pub(super) mod input;
mod lanes;
pub(super) mod map;
pub(super) mod max_pool;
mod micro;
mod pack;
pub(super) mod shuffle;
#[cfg(test)]
mod speed;
mod tasks;
