//! Backbones: a file each.

mod double_conv;
mod encoder;
mod registry;
mod unet;

pub use double_conv::DoubleConv;
pub use encoder::{Encoder, pool};
pub use registry::{BackboneEntry, REGISTRY};
pub use unet::{BackboneError, ENCODER, UNet};
