//! Kernels for the CPU device: plain slices in, plain vectors out.
//!
//! Every result is a sum in an order that the shape alone decides, so it has the same bits for
//! every number of threads.

pub(super) mod conv;
mod micro;
mod pack;
