//! libtorch: its own forward and backward kernels, on the CPU and on GPUs.
//!
//! burn composes the backward passes of convolution and batch normalisation of other operations;
//! libtorch has them whole. The Rust binding passes the forward kernels on, `shim.cpp` the others. On
//! the CPU normalisation, pooling and convolutions of volumes are ours, which are faster and keep less.

use burn::backend::LibTorch;
use burn::backend::libtorch::TchTensor;
use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward};
use std::sync::Arc;

use tch::Tensor;

use super::super::cpu::batch_norm::{Norm, Planes, Statistics, statistics};
use super::super::cpu::conv::{self, ConvShape};
use super::super::cpu::input::{Images, Input};
use super::super::cpu::max_pool::{self, PoolShape};
use super::operands::NormState;
use super::{Kernels, volume};
use crate::nn::libtorch::{
    Convolution, TorchError, batch_norm_backward, channels_last, numbers, numbers_mut, sound,
    written,
};

fn own(tensor: Tensor) -> TchTensor {
    TchTensor::new(tensor)
}

/// The convolution that a weight `[out, in, k, k]` makes: stride 1, padding that keeps the size.
fn same(weight: &TchTensor) -> Convolution {
    Convolution {
        stride: 1,
        padding: weight.tensor.size().last().map_or(0, |k| k / 2),
        transposed: false,
    }
}

const UP: Convolution = Convolution {
    stride: 2,
    padding: 0,
    transposed: true,
};

/// Output of a batch normalisation, with ReLU in place where asked for.
fn activated(mut output: Tensor, relu: bool) -> TchTensor {
    if relu {
        let _ = output.relu_();
    }
    own(output)
}

/// A stack of slices `[n * depth, c, h, w]` as volumes `[n, c, depth, h, w]`, without a copy.
fn volumes(stack: &Tensor, depth: usize) -> Tensor {
    let size = stack.size();
    let split = [-1, depth as i64, size[1], size[2], size[3]];
    stack.view(split).permute([0, 2, 1, 3, 4])
}

/// Volumes `[n, c, depth, h, w]` as a stack of slices.
fn slices(volumes: &Tensor) -> TchTensor {
    let size = volumes.size();
    let stack = [-1, size[1], size[3], size[4]];
    own(volumes.permute([0, 2, 1, 3, 4]).reshape(stack))
}

fn inverse_deviation(variance: &Tensor, epsilon: f64) -> Tensor {
    (variance + epsilon).rsqrt()
}

/// A tensor in memory of its own, its numbers one after the other.
fn alone(tensor: TchTensor) -> Tensor {
    match (tensor.tensor.is_contiguous(), tensor.can_mut()) {
        (false, _) => tensor.tensor.contiguous(),
        (true, true) => tensor.tensor,
        (true, false) => tensor.tensor.copy(),
    }
}

/// What the gradient of a pooling needs.
#[derive(Clone, Debug)]
pub enum Pooled {
    /// Where the maxima are in images of this size.
    Places(Arc<[u8]>, PoolShape, Vec<i64>),
    /// The input and where its maxima are, where our own kernels do not reach it.
    Indices(TchTensor, TchTensor),
}

/// The numbers of images, and their size, where our own kernels reach them.
fn images(tensor: &Tensor) -> Option<(&[f32], [usize; 4])> {
    let size: [usize; 4] = tensor
        .size()
        .into_iter()
        .map(|side| usize::try_from(side).ok())
        .collect::<Option<Vec<_>>>()?
        .try_into()
        .ok()?;
    Some((numbers(tensor)?, size))
}

/// A convolution of volumes as our own kernels take it, with its weight as one of three slices side by
/// side, where they reach it: they read a slice and its neighbours as they lie, in half the time.
fn own_volumes<'a>(
    input: &'a Tensor,
    weight: &TchTensor,
    depth: usize,
) -> Option<(Input<'a>, Tensor, ConvShape)> {
    let (x, [batch, channels, height, width]) = images(input)?;
    let flat = volume::flat::<LibTorch>(weight.clone()).tensor;
    numbers(&flat)?;
    let [outputs, inputs] = [0, 1].map(|axis| flat.size()[axis] as usize);
    if depth == 0 || !batch.is_multiple_of(depth) || inputs != 3 * channels {
        return None;
    }
    let input = Input {
        depth: Some(depth),
        ..Input::of(Images::new(x, channels))
    };
    let shape = ConvShape {
        batch,
        inputs,
        outputs,
        height,
        width,
        kernel: 3,
    };
    Some((input, flat, shape))
}

/// A normalisation that our own kernels reach, as they take it: they go over a plane at once where
/// libtorch's go number by number for the statistics, and make the gradient in the room of the one
/// that comes in.
fn covered(state: &NormState<LibTorch>) -> Option<(&[f32], Planes, Norm<'_>, Statistics)> {
    let (x, size) = images(&state.input.tensor)?;
    let planes = Planes::of(size);
    let norm = Norm {
        gamma: numbers(&state.gamma.tensor)?,
        beta: numbers(&state.beta.tensor)?,
        epsilon: state.epsilon,
        relu: state.relu,
    };
    let statistics = Statistics {
        mean: numbers(&state.mean.tensor)?.to_vec(),
        variance: numbers(&state.variance.tensor)?.to_vec(),
    };
    norm.fits(&statistics, &planes)
        .then_some((x, planes, norm, statistics))
}

/// [`Kernels::norm`] where our own kernels reach it.
fn by_batch(
    input: &TchTensor,
    gamma: &TchTensor,
    beta: &TchTensor,
    epsilon: f64,
    relu: bool,
) -> Option<BatchNormTrain<LibTorch>> {
    let (x, size) = images(&input.tensor)?;
    let planes = Planes::of(size);
    let norm = Norm {
        gamma: numbers(&gamma.tensor)?,
        beta: numbers(&beta.tensor)?,
        epsilon,
        relu,
    };
    let statistics = statistics(x, &planes);
    if !norm.fits(&statistics, &planes) {
        return None;
    }
    let output = written(&input.tensor.size(), |output| {
        norm.forward(x, &statistics, &planes, output);
    });
    let [mean, variance] =
        [statistics.mean, statistics.variance].map(|numbers| own(Tensor::from_slice(&numbers)));
    Some(BatchNormTrain::new(own(output), mean, variance))
}

/// Maxima of the `input`, whose numbers are given.
fn pooled(numbers: &[f32], pool: &PoolShape, input: &Tensor) -> TchTensor {
    let mut size = input.size();
    size.iter_mut().skip(2).for_each(|side| *side /= 2);
    own(written(&size, |output| {
        max_pool::forward(numbers, pool, output);
    }))
}

impl Kernels for LibTorch {
    // The next layer keeps it anyway.
    type Pooled = Pooled;

    fn conv(input: TchTensor, weight: TchTensor, bias: Option<TchTensor>) -> TchTensor {
        let padding = same(&weight).padding;
        let bias = bias.as_ref().map(|bias| &bias.tensor);
        own(input
            .tensor
            .conv2d(&weight.tensor, bias, [1, 1], [padding, padding], [1, 1], 1))
    }

    fn conv_input_grad(input: TchTensor, weight: TchTensor, grad: TchTensor) -> TchTensor {
        let tensors = [&grad.tensor, &input.tensor, &weight.tensor];
        let [x, _, _] = sound(same(&weight).backward(tensors, [true, false, false]));
        own(sound(x.ok_or(TorchError::Nothing)))
    }

    fn conv_weight_grad(input: TchTensor, weight: TchTensor, grad: TchTensor) -> TchTensor {
        let tensors = [&grad.tensor, &input.tensor, &weight.tensor];
        let [_, w, _] = sound(same(&weight).backward(tensors, [false, true, false]));
        own(sound(w.ok_or(TorchError::Nothing)))
    }

    fn volume_conv(input: TchTensor, weight: TchTensor, depth: usize) -> TchTensor {
        if let Some((x, flat, shape)) = own_volumes(&input.tensor, &weight, depth) {
            let size = [shape.batch, shape.outputs, shape.height, shape.width];
            return own(written(&size.map(|side| side as i64), |output| {
                let weight = numbers(&flat).unwrap_or_default();
                conv::forward_into(&x, weight, None, &shape, output);
            }));
        }
        let input = volumes(&input.tensor, depth);
        let bias = None::<Tensor>;
        slices(&input.conv3d(&weight.tensor, bias, [1; 3], [1; 3], [1; 3], 1))
    }

    fn volume_conv_weight_grad(
        input: TchTensor,
        weight: TchTensor,
        grad: TchTensor,
        depth: usize,
    ) -> TchTensor {
        if let Some((x, flat, shape)) = own_volumes(&input.tensor, &weight, depth)
            && let Some(dy) = numbers(&grad.tensor)
        {
            let found = Tensor::from_slice(&conv::weight_grad(&x, dy, &shape));
            let found = found.view(flat.size().as_slice());
            return own(volume::solid::<Self>(own(found)).tensor.contiguous());
        }
        let [grad, input] = [&grad, &input].map(|t| volumes(&t.tensor, depth));
        let tensors = [&grad, &input, &weight.tensor];
        let [_, w, _] = sound(same(&weight).backward(tensors, [false, true, false]));
        own(sound(w.ok_or(TorchError::Nothing)))
    }

    fn up(input: TchTensor, weight: TchTensor, bias: TchTensor) -> TchTensor {
        own(input.tensor.conv_transpose2d(
            &weight.tensor,
            Some(&bias.tensor),
            [2, 2],
            [0, 0],
            [0, 0],
            1,
            [1, 1],
        ))
    }

    fn up_grads(
        input: TchTensor,
        weight: TchTensor,
        grad: TchTensor,
        [input_needed, weight_needed]: [bool; 2],
    ) -> [Option<TchTensor>; 2] {
        let tensors = [&grad.tensor, &input.tensor, &weight.tensor];
        let [x, w, _] = sound(UP.backward(tensors, [input_needed, weight_needed, false]));
        [x.map(own), w.map(own)]
    }

    fn norm(
        input: TchTensor,
        gamma: TchTensor,
        beta: TchTensor,
        epsilon: f64,
        relu: bool,
    ) -> BatchNormTrain<Self> {
        if let Some(norm) = by_batch(&input, &gamma, &beta, epsilon, relu) {
            return norm;
        }
        let (output, mean, inverse) = input.tensor.internal_native_batch_norm_legit_no_stats(
            Some(&gamma.tensor),
            Some(&beta.tensor),
            true,
            0.0,
            epsilon,
        );
        // What comes back is 1 / sqrt(variance + epsilon).
        let variance = (inverse.pow_tensor_scalar(-2.0) - epsilon).clamp_min(0.0);
        BatchNormTrain::new(activated(output, relu), own(mean), own(variance))
    }

    fn norm_by(state: NormState<Self>) -> TchTensor {
        if let Some((x, planes, norm, statistics)) = covered(&state) {
            return own(written(&state.input.tensor.size(), |output| {
                norm.forward(x, &statistics, &planes, output);
            }));
        }
        let (output, _, _) = state
            .input
            .tensor
            .internal_native_batch_norm_legit_no_training(
                Some(&state.gamma.tensor),
                Some(&state.beta.tensor),
                &state.mean.tensor,
                &state.variance.tensor,
                0.0,
                state.epsilon,
            );
        activated(output, state.relu)
    }

    fn conv_norm_by(state: NormState<Self>, weight: TchTensor) -> TchTensor {
        // The normalisation goes into the weight and a bias, and ReLU works in place.
        let scale = inverse_deviation(&state.variance.tensor, state.epsilon) * &state.gamma.tensor;
        let bias = &state.beta.tensor - &state.mean.tensor * &scale;
        let kind = weight.tensor.kind();
        let padding = same(&weight).padding;
        let weight = (&weight.tensor * scale.view([-1, 1, 1, 1])).to_kind(kind);
        let input = match state.input.tensor.device() {
            tch::Device::Cpu => sound(channels_last(&state.input.tensor)),
            _ => state.input.tensor,
        };
        let bias = Some(bias.to_kind(kind));
        let output = input.conv2d(&weight, bias, [1, 1], [padding, padding], [1, 1], 1);
        activated(output, state.relu)
    }

    fn keeps_output(input: &TchTensor) -> bool {
        images(&input.tensor).is_none()
    }

    fn norm_grads(mut state: NormState<Self>, grad: TchTensor) -> BatchNormTrainBackward<Self> {
        if let Some((x, planes, norm, statistics)) = covered(&state) {
            // Its room is used again for the gradient of the input.
            let mut grad = alone(grad);
            let (gamma, beta) = norm.backward(
                x,
                numbers_mut(&mut grad).unwrap_or_default(),
                &statistics,
                &planes,
            );
            return BatchNormTrainBackward {
                x_grad: own(grad),
                gamma_grad: own(Tensor::from_slice(&gamma)),
                beta_grad: own(Tensor::from_slice(&beta)),
            };
        }
        let output = match state.output.take() {
            None if state.relu => Some(Self::norm_by(state.clone())),
            kept => kept,
        };
        // What came out and its gradient end here: the gradient of the input needs their room.
        let grad = match (output, grad.tensor) {
            (Some(output), grad) if state.relu => output.tensor.threshold_backward(&grad, 0.0),
            (_, grad) => grad,
        };
        let inverse = inverse_deviation(&state.variance.tensor, state.epsilon);
        let [x, gamma, beta] = sound(batch_norm_backward(
            &grad,
            &state.input.tensor,
            &state.gamma.tensor,
            [&state.mean.tensor, &inverse],
            state.epsilon,
        ));
        BatchNormTrainBackward {
            x_grad: own(x),
            gamma_grad: own(gamma),
            beta_grad: own(beta),
        }
    }

    /// libtorch looks for the place of every maximum, one by one, whether anyone asks for it or not.
    fn pool(input: TchTensor) -> TchTensor {
        let tensor = input.tensor;
        if let Some((numbers, size)) = images(&tensor) {
            return pooled(numbers, &PoolShape::of(size), &tensor);
        }
        own(tensor.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false))
    }

    fn pool_keeping(input: TchTensor) -> (TchTensor, Pooled) {
        if let Some((numbers, size)) = images(&input.tensor) {
            let pool = PoolShape::of(size);
            let places = max_pool::places(numbers, &pool).into();
            let output = pooled(numbers, &pool, &input.tensor);
            return (output, Pooled::Places(places, pool, input.tensor.size()));
        }
        let (output, indices) =
            input
                .tensor
                .max_pool2d_with_indices([2, 2], [2, 2], [0, 0], [1, 1], false);
        (own(output), Pooled::Indices(input, own(indices)))
    }

    fn pool_grad(pooled: Pooled, grad: TchTensor) -> TchTensor {
        match pooled {
            Pooled::Indices(input, indices) => own(input.tensor.max_pool2d_with_indices_backward(
                &grad.tensor,
                [2, 2],
                [2, 2],
                [0, 0],
                [1, 1],
                false,
                &indices.tensor,
            )),
            Pooled::Places(places, pool, size) => {
                let grad = grad.tensor.contiguous();
                let grad = numbers(&grad).unwrap_or_default();
                own(written(&size, |dx| {
                    max_pool::backward(&places, grad, &pool, dx);
                }))
            }
        }
    }
}
