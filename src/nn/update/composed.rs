//! AdamW composed of burn's operations, in the order of burn's own optimiser: for devices and number
//! types without a kernel.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::adamw::{Adamw, Updated};

pub(super) fn adamw<B: Backend>(
    parameter: FloatTensor<B>,
    grad: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    rule: Adamw,
) -> Updated<B> {
    let r = rule.rounded();
    let [b1, b2] = r.betas;
    let [rest_1, rest_2] = r.rest;
    let [correction_1, correction_2] = r.correction;
    let square = B::float_mul(grad.clone(), grad.clone());
    let first = B::float_add(
        B::float_mul_scalar(first, b1.into()),
        B::float_mul_scalar(grad, rest_1.into()),
    );
    let second = B::float_add(
        B::float_mul_scalar(second, b2.into()),
        B::float_mul_scalar(square, rest_2.into()),
    );
    let root = B::float_sqrt(B::float_div_scalar(second.clone(), correction_2.into()));
    let delta = B::float_div(
        B::float_div_scalar(first.clone(), correction_1.into()),
        B::float_add_scalar(root, r.epsilon.into()),
    );
    let parameter = B::float_sub(
        B::float_mul_scalar(parameter, r.keep.into()),
        B::float_mul_scalar(delta, r.lr.into()),
    );
    (parameter, first, second)
}
