//! Pretext tasks: a file or folder each, and one line each in the registry.

pub mod amlp;
mod method;
pub mod part;
mod registry;
pub mod simclr;

pub use method::{About, Family, Pretext, Setup};
pub(crate) use registry::methods;
pub use registry::{PretextEntry, REGISTRY, find};
