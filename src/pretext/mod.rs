//! Pretext tasks: a file or folder each, and one line each in the registry.

pub mod amlp;
pub mod beit2;
pub mod bootmae;
pub mod byol;
pub mod convmae;
pub mod densecl;
pub mod gl;
pub mod mae;
pub mod maskfeat;
mod method;
pub mod moco;
pub mod part;
pub mod pcrl;
mod registry;
pub mod selfmedmae;
pub mod simclr;
pub mod simmim;
pub mod swav;
pub mod vox2vec;

pub use method::{About, Family, Pretext, Setup};
pub(crate) use registry::methods;
pub use registry::{PretextEntry, REGISTRY, find};
