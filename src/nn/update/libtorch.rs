//! AdamW on libtorch: its fused kernel, in place.

#![allow(
    deprecated,
    reason = "burn 0.22 is the last with libtorch, and says so at every mention of it"
)]

use burn::backend::LibTorch;
use burn::backend::libtorch::TchTensor;

use super::adamw::{Adamw, UpdateOps};
use crate::nn::libtorch::{adamw, sound};

/// The tensor itself where nobody else holds it, else a copy.
fn alone(tensor: TchTensor) -> TchTensor {
    if tensor.can_mut() {
        tensor
    } else {
        TchTensor::new(tensor.tensor.copy())
    }
}

impl UpdateOps for LibTorch {
    fn adamw(
        parameter: TchTensor,
        grad: TchTensor,
        first: TchTensor,
        second: TchTensor,
        rule: Adamw,
    ) -> (TchTensor, TchTensor, TchTensor) {
        let [parameter, first, second] = [parameter, first, second].map(alone);
        let tensors = [
            &parameter.tensor,
            &grad.tensor,
            &first.tensor,
            &second.tensor,
        ];
        sound(adamw(
            tensors,
            rule.step,
            rule.lr,
            rule.betas,
            rule.weight_decay,
            rule.epsilon,
        ));
        (parameter, first, second)
    }
}
