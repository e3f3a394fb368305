//! Heads that sit on a backbone during pre-training and are dropped at the transfer.

mod category;
mod densify;
mod light_decoder;
mod projection;
mod residual;
mod shuffle;
mod tile;

pub use category::CategoryHead;
pub use densify::Densify;
pub use light_decoder::LightDecoder;
pub use projection::{Projection, ProjectionKind};
pub use residual::ResidualBlocks;
pub use shuffle::{pixel_shuffle, pixel_unshuffle, to_grid};
pub use tile::MaskTile;
