//! Networks: devices, initial weights, layers, backbones, heads, weights on disk.

pub mod backbone;
pub mod device;
pub mod head;
pub mod init;
pub mod layer;
pub mod memory;
pub mod weights;
