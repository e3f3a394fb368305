//! Backbones: a file each.

mod decoder;
mod double_conv;
mod encoder;
mod registry;
mod sparse;
mod unet;

pub use decoder::Decoder;
pub use double_conv::DoubleConv;
pub use encoder::{Encoder, pool};
pub use registry::{BackboneEntry, REGISTRY};
pub use sparse::Visible;
pub use unet::{BackboneError, ENCODER, UNet};
