//! Pretext tasks: a file each, and one line each in the registry.

pub mod amlp;
mod method;
mod registry;

pub use method::{Pretext, Setup};
pub use registry::{Family, PretextEntry, REGISTRY, find};
