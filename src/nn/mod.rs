//! Networks: devices, initial weights, layers, backbones, heads, updates, weights on disk.

pub mod backbone;
pub mod codebook;
pub mod device;
pub mod foreign;
pub mod head;
pub mod init;
pub mod layer;
#[cfg(feature = "libtorch")]
mod libtorch;
pub mod memory;
pub mod precision;
pub mod update;
pub mod weights;
