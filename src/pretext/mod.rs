//! Pretext tasks: a file or folder each, and one line each in the registry.

pub mod amlp;
pub mod byol;
pub mod densecl;
pub mod gl;
mod method;
pub mod moco;
pub mod part;
pub mod pcrl;
mod registry;
pub mod simclr;
pub mod swav;
pub mod vox2vec;

pub use method::{About, Family, Pretext, Setup};
pub(crate) use registry::methods;
pub use registry::{PretextEntry, REGISTRY, find};
