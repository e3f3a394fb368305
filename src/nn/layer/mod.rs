//! Layers of the networks: convolutions, normalisations, pooling.

mod batch_norm;
mod conv2d;
mod conv_norm_relu;
mod cpu;
mod feature;
mod group_norm;
mod linear;
mod max_pool;
mod norm;
mod ops;
mod precision;
mod running;
#[cfg(test)]
mod testing;
mod up_conv;
mod volume;

pub use batch_norm::BatchNorm2d;
pub use burn::tensor::activation::relu;
pub use conv_norm_relu::ConvNormRelu;
pub use conv2d::Conv2d;
pub use feature::Feature;
pub use group_norm::GroupNorm2d;
pub use linear::Linear;
pub use max_pool::MaxPool2x2;
pub use norm::NormLayer;
pub use precision::as_type;
pub use running::Running;
pub use up_conv::UpConv2x2;
pub use volume::{Conv3d, PointConv3d, UpConv2x2x2, max_pool2x2x2, to_slices, to_volume};
