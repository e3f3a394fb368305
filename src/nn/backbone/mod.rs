//! Backbones: a file each.

mod double_conv;
mod unet;

pub use double_conv::DoubleConv;
pub use unet::{BackboneError, ENCODER, UNet};
