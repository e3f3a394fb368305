//! The CPU device: kernels of [`cpu`](super::super::cpu) for `f32`, burn's own for other types.
//!
//! Numbers of half the precision (`bf16`) are widened, computed with as `f32`, and rounded once.

mod conv;
mod norm;
mod pool;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward, FloatTensorOps};
use burn::tensor::{DType, FloatDType, TensorData};

use conv::Convolution;
use pool::Pooled;

use super::operands::{Filter, Joined, NormState};
use super::{Kernels, composed, volume};

/// The numbers of a tensor in order, or nothing where they are not `f32`.
struct Numbers(FlexTensor);

impl Numbers {
    fn new(tensor: &FlexTensor) -> Option<Self> {
        (tensor.dtype() == DType::F32).then(|| Self(tensor.to_contiguous()))
    }

    fn get(&self) -> &[f32] {
        // Contiguous and of this type, so there always is a slice.
        self.0.as_slice().unwrap_or_default()
    }
}

fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}

fn is_half(tensor: &FlexTensor) -> bool {
    tensor.dtype() == DType::BF16
}

fn wide(tensor: FlexTensor) -> FlexTensor {
    Flex::float_cast(tensor, FloatDType::F32)
}

fn half(tensor: FlexTensor) -> FlexTensor {
    Flex::float_cast(tensor, FloatDType::BF16)
}

/// The sizes of an image or a weight.
fn sizes(tensor: &FlexTensor) -> Option<[usize; 4]> {
    tensor.layout().shape()[..].try_into().ok()
}

impl Kernels for Flex {
    type Pooled = Pooled;

    fn conv(input: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
        if is_half(&input) {
            return half(Self::conv(wide(input), wide(weight), bias.map(wide)));
        }
        let filter = Filter::new(weight, bias);
        Convolution::new(&input, None, &filter)
            .and_then(|conv| conv.forward(filter.bias.as_ref()))
            .unwrap_or_else(|| composed::conv::<Self>(input, filter.weight, filter.bias))
    }

    fn conv_input_grad(input: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::conv_input_grad(wide(input), wide(weight), wide(grad)));
        }
        conv::input_grad(input, &weight, &grad)
            .unwrap_or_else(|input| composed::conv_input_grad::<Self>(input, weight, grad))
    }

    fn conv_weight_grad(input: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::conv_weight_grad(
                wide(input),
                wide(weight),
                wide(grad),
            ));
        }
        let filter = Filter::new(weight, None);
        Convolution::new(&input, None, &filter)
            .and_then(|conv| conv.weight_grad(&grad))
            .unwrap_or_else(|| composed::conv_weight_grad::<Self>(input, filter.weight, grad))
    }

    fn volume_conv(input: FlexTensor, weight: FlexTensor, depth: usize) -> FlexTensor {
        let filter = Filter::new(weight, None).of_volumes(depth);
        Convolution::new(&input, None, &filter)
            .and_then(|conv| conv.forward(None))
            .unwrap_or_else(|| volume::conv::<Self>(input, filter.weight, depth))
    }

    fn volume_conv_weight_grad(
        input: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        depth: usize,
    ) -> FlexTensor {
        let filter = Filter::new(weight, None).of_volumes(depth);
        Convolution::new(&input, None, &filter)
            .and_then(|conv| conv.weight_grad(&grad))
            .unwrap_or_else(|| volume::conv_weight_grad::<Self>(input, filter.weight, grad, depth))
    }

    fn joined_conv(joined: &Joined<Self>, filter: &Filter<Self>) -> Option<FlexTensor> {
        Convolution::joined(joined, filter)?.forward(filter.bias.as_ref())
    }

    fn joined_weight_grad(
        joined: Joined<Self>,
        filter: Filter<Self>,
        grad: FlexTensor,
    ) -> FlexTensor {
        Convolution::joined(&joined, &filter)
            .and_then(|conv| conv.weight_grad(&grad))
            .unwrap_or_else(|| filter.weight_grad(joined.whole(), grad))
    }

    fn bias_grad(grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::bias_grad(wide(grad)));
        }
        conv::bias_grad(&grad).unwrap_or_else(|| composed::bias_grad::<Self>(grad))
    }

    fn up(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if is_half(&input) {
            return half(Self::up(wide(input), wide(weight), wide(bias)));
        }
        conv::up(&input, &weight, &bias)
            .unwrap_or_else(|| composed::up::<Self>(input, weight, bias))
    }

    fn up_grads(
        input: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        needed: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        if is_half(&grad) {
            let grads = Self::up_grads(wide(input), wide(weight), wide(grad), needed);
            return grads.map(|grad| grad.map(half));
        }
        conv::up_grads(&input, &weight, &grad, needed)
            .unwrap_or_else(|| composed::up_grads::<Self>(input, weight, grad, needed))
    }

    fn norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        relu: bool,
    ) -> BatchNormTrain<Self> {
        if is_half(&input) {
            let mut norm = Self::norm(wide(input), gamma, beta, epsilon, relu);
            norm.output = half(norm.output);
            return norm;
        }
        norm::by_batch(&input, &gamma, &beta, epsilon, relu)
            .unwrap_or_else(|| composed::norm::<Self>(input, gamma, beta, epsilon, relu))
    }

    fn norm_conv(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        filter: Filter<Self>,
    ) -> BatchNormTrain<Self> {
        norm::by_batch_conv(&input, &gamma, &beta, epsilon, &filter)
            .unwrap_or_else(|| composed::norm_conv::<Self>(input, gamma, beta, epsilon, filter))
    }

    fn norm_conv_grads(
        norm: NormState<Self>,
        filter: Filter<Self>,
        grad: FlexTensor,
    ) -> (FlexTensor, BatchNormTrainBackward<Self>) {
        let weight = Convolution::behind(&norm, &filter).and_then(|conv| conv.weight_grad(&grad));
        match weight {
            Some(weight) => {
                // Of an image of this size only the size is needed.
                let grad = filter.input_grad(norm.input.clone(), grad);
                (weight, Self::norm_grads(norm, grad))
            }
            None => composed::norm_conv_grads::<Self>(norm, filter, grad),
        }
    }

    fn norm_by(mut state: NormState<Self>) -> FlexTensor {
        if is_half(&state.input) {
            state.input = wide(state.input);
            return half(Self::norm_by(state));
        }
        norm::by_statistics(&state).unwrap_or_else(|| composed::norm_by::<Self>(state))
    }

    fn joined_conv_norm_by(
        joined: Joined<Self>,
        weight: FlexTensor,
        norm: FlexTensor,
        epsilon: f64,
    ) -> FlexTensor {
        let input = Filter::new(weight, None).joined_conv(joined);
        Self::norm_by(NormState::given(input, norm, epsilon))
    }

    fn norm_grads(mut state: NormState<Self>, grad: FlexTensor) -> BatchNormTrainBackward<Self> {
        if is_half(&state.input) {
            state.input = wide(state.input);
            let mut grads = Self::norm_grads(state, wide(grad));
            grads.x_grad = half(grads.x_grad);
            return grads;
        }
        norm::grads(&state, grad).unwrap_or_else(|grad| composed::norm_grads::<Self>(state, grad))
    }

    fn pool(input: FlexTensor) -> FlexTensor {
        if is_half(&input) {
            return half(Self::pool(wide(input)));
        }
        pool::maxima(&input).unwrap_or_else(|| composed::pool::<Self>(input))
    }

    fn pool_keeping(input: FlexTensor) -> (FlexTensor, Pooled) {
        let wide = if is_half(&input) {
            wide(input.clone())
        } else {
            input.clone()
        };
        let pooled = pool::places(&wide).unwrap_or_else(|| Pooled::Input(input.clone()));
        (Self::pool(input), pooled)
    }

    fn pool_grad(pooled: Pooled, grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::pool_grad(pooled, wide(grad)));
        }
        match pooled {
            Pooled::Input(input) => composed::pool_grad::<Self>(input, grad),
            Pooled::Places(places, shape) => pool::grad(&places, shape, grad),
        }
    }
}
