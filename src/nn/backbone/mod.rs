//! Backbones: a file each.

mod decoder;
mod double_conv;
mod encoder;
mod registry;
mod sparse;
mod unet;
mod unet3d;

pub use decoder::Decoder;
pub use double_conv::DoubleConv;
pub use encoder::{Encoder, pool};
pub use registry::{BackboneEntry, REGISTRY};
pub use sparse::Visible;
pub use unet::{BackboneError, ENCODER, UNet};
pub use unet3d::{DoubleConv3d, UNet3d};
