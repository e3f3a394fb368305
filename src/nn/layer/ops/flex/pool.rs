//! Pooling of `f32`.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;

use super::{Numbers, sizes, tensor};
use crate::nn::layer::cpu::max_pool::{self, PoolShape};

/// What the gradient of a pooling needs.
#[derive(Clone, Debug)]
pub enum Pooled {
    /// Where the maxima are in an image of these sizes.
    Places(Arc<[u8]>, [usize; 4]),
    /// The input, where the kernels do not cover it.
    Input(FlexTensor),
}

pub(super) fn maxima(input: &FlexTensor) -> Option<FlexTensor> {
    let shape = sizes(input)?;
    let x = Numbers::new(input)?;
    let pool = PoolShape::of(shape);
    let mut output = vec![0.0; pool.tiles()];
    max_pool::forward(x.get(), &pool, &mut output);
    Some(tensor(
        output,
        [shape[0], shape[1], shape[2] / 2, shape[3] / 2],
    ))
}

pub(super) fn places(input: &FlexTensor) -> Option<Pooled> {
    let shape = sizes(input)?;
    let places = max_pool::places(Numbers::new(input)?.get(), &PoolShape::of(shape));
    Some(Pooled::Places(places.into(), shape))
}

/// Gradient of an input of these sizes.
pub(super) fn grad(places: &[u8], shape: [usize; 4], grad: FlexTensor) -> FlexTensor {
    let dy = grad.into_data();
    let dy = dy.as_slice().unwrap_or_default();
    let pool = PoolShape::of(shape);
    let mut dx = vec![0.0; pool.inputs()];
    max_pool::backward(places, dy, &pool, &mut dx);
    tensor(dx, shape)
}
