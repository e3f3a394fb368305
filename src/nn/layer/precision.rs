//! Which numbers a layer computes with: those of its input.

use burn::tensor::{DType, Tensor};

/// `tensor` in numbers of type `dtype`; differentiable, and the tensor itself where it has them.
#[must_use]
pub fn as_type<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype {
        return tensor;
    }
    tensor.cast(dtype)
}
