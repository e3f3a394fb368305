//! The CPU device: kernels of [`cpu`](super::super::cpu) for `f32`, burn's own for other types.
//!
//! Numbers of half the precision (`bf16`) are widened, computed with as `f32`, and rounded once.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward, FloatTensorOps};
use burn::tensor::{DType, FloatDType, TensorData};

use super::super::cpu::batch_norm::{Norm, Planes, Statistics, statistics};
use super::super::cpu::conv::{self, ConvShape};
use super::super::cpu::max_pool::{self, PoolShape};
use super::super::cpu::shuffle::{ShuffleShape, shuffle, unshuffle};
use super::kernels::NormState;
use super::{Kernels, composed};

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

/// Shape of the convolution of `input` with `weight`; nothing where the kernels do not cover it or
/// the sizes do not fit (burn's operation then says so).
fn conv_shape(input: &FlexTensor, weight: &FlexTensor) -> Option<ConvShape> {
    let [batch, channels, height, width] = sizes(input)?;
    let [outputs, inputs, kernel, columns] = sizes(weight)?;
    let covered = channels == inputs && kernel == columns && (kernel == 1 || kernel == 3);
    covered.then_some(ConvShape {
        batch,
        inputs,
        outputs,
        height,
        width,
        kernel,
    })
}

/// A transposed convolution of kernel 2 and stride 2 as a convolution of kernel 1 to four times
/// the channels, and the shuffle behind it.
fn up_shape(input: &FlexTensor, weight: &FlexTensor) -> Option<(ConvShape, ShuffleShape)> {
    let [batch, inputs, height, width] = sizes(input)?;
    let [rows, outputs, 2, 2] = sizes(weight)? else {
        return None;
    };
    if rows != inputs {
        return None;
    }
    let conv = ConvShape {
        batch,
        inputs,
        outputs: 4 * outputs,
        height,
        width,
        kernel: 1,
    };
    let shuffle = ShuffleShape { height, width };
    Some((conv, shuffle))
}

fn conv_f32(
    input: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
) -> Option<FlexTensor> {
    let shape = conv_shape(input, weight)?;
    let (x, w) = (Numbers::new(input)?, Numbers::new(weight)?);
    let bias = match bias {
        Some(bias) => Some(Numbers::new(bias)?),
        None => None,
    };
    let bias = bias.as_ref().map(Numbers::get);
    Some(tensor(
        conv::forward(x.get(), w.get(), bias, &shape),
        [shape.batch, shape.outputs, shape.height, shape.width],
    ))
}

/// Gradient of an input; the input back where the kernels do not cover it.
fn conv_input_grad_f32(
    input: FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
) -> Result<FlexTensor, FlexTensor> {
    let (Some(shape), Some(w), Some(dy)) = (
        conv_shape(&input, weight),
        Numbers::new(weight),
        Numbers::new(grad),
    ) else {
        return Err(input);
    };
    // It may be the last to hold the input, which need not stay beside its gradient.
    drop(input);
    Ok(tensor(
        conv::input_grad(dy.get(), w.get(), &shape),
        [shape.batch, shape.inputs, shape.height, shape.width],
    ))
}

fn conv_weight_grad_f32(
    input: &FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
) -> Option<FlexTensor> {
    let shape = conv_shape(input, weight)?;
    let (x, dy) = (Numbers::new(input)?, Numbers::new(grad)?);
    Some(tensor(
        conv::weight_grad(x.get(), dy.get(), &shape),
        [shape.outputs, shape.inputs, shape.kernel, shape.kernel],
    ))
}

fn bias_grad_f32(grad: &FlexTensor) -> Option<FlexTensor> {
    let planes = Planes::of(sizes(grad)?);
    let dy = Numbers::new(grad)?;
    Some(tensor(planes.channel_sums(dy.get()), [planes.channels]))
}

fn up_f32(input: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> Option<FlexTensor> {
    let (conv, shape) = up_shape(input, weight)?;
    let (x, w, b) = (
        Numbers::new(input)?,
        Numbers::new(weight)?,
        Numbers::new(bias)?,
    );
    let bias: Vec<f32> = b.get().iter().flat_map(|b| [*b; 4]).collect();
    let weight = conv::turn(w.get(), conv.inputs, conv.outputs);
    let tiles = conv::forward(x.get(), &weight, Some(&bias), &conv);
    Some(tensor(
        shuffle(&tiles, &shape),
        [
            conv.batch,
            conv.outputs / 4,
            2 * conv.height,
            2 * conv.width,
        ],
    ))
}

fn up_grads_f32(
    input: &FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
    [input_needed, weight_needed]: [bool; 2],
) -> Option<[Option<FlexTensor>; 2]> {
    let (conv, shape) = up_shape(input, weight)?;
    let (x, w, dy) = (
        Numbers::new(input)?,
        Numbers::new(weight)?,
        Numbers::new(grad)?,
    );
    let tiles = unshuffle(dy.get(), &shape);
    // Backwards: from four times the outputs to the inputs, with the weight as it lies.
    let back = ConvShape {
        inputs: conv.outputs,
        outputs: conv.inputs,
        ..conv
    };
    let input_grad = input_needed.then(|| {
        tensor(
            conv::forward(&tiles, w.get(), None, &back),
            [back.batch, back.outputs, back.height, back.width],
        )
    });
    let weight_grad = weight_needed.then(|| {
        tensor(
            conv::weight_grad(&tiles, x.get(), &back),
            [back.outputs, back.inputs / 4, 2, 2],
        )
    });
    Some([input_grad, weight_grad])
}

fn norm_f32(
    input: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
    relu: bool,
) -> Option<BatchNormTrain<Flex>> {
    let shape = sizes(input)?;
    let planes = Planes::of(shape);
    let (x, gamma, beta) = (
        Numbers::new(input)?,
        Numbers::new(gamma)?,
        Numbers::new(beta)?,
    );
    if gamma.get().len() != planes.channels || beta.get().len() != planes.channels {
        return None;
    }
    let norm = Norm {
        gamma: gamma.get(),
        beta: beta.get(),
        epsilon,
        relu,
    };
    let statistics = statistics(x.get(), &planes);
    let mut output = vec![0.0; planes.len()];
    norm.forward(x.get(), &statistics, &planes, &mut output);
    Some(BatchNormTrain::new(
        tensor(output, shape),
        tensor(statistics.mean, [planes.channels]),
        tensor(statistics.variance, [planes.channels]),
    ))
}

fn norm_by_f32(state: &NormState<Flex>) -> Option<FlexTensor> {
    let shape = sizes(&state.input)?;
    let x = Numbers::new(&state.input)?;
    let (gamma, beta) = (Numbers::new(&state.gamma)?, Numbers::new(&state.beta)?);
    let norm = Norm {
        gamma: gamma.get(),
        beta: beta.get(),
        epsilon: state.epsilon,
        relu: state.relu,
    };
    let (planes, statistics) = (Planes::of(shape), numbers_of(state)?);
    if !norm.fits(&statistics, &planes) {
        return None;
    }
    let mut output = vec![0.0; planes.len()];
    norm.forward(x.get(), &statistics, &planes, &mut output);
    Some(tensor(output, shape))
}

/// Statistics that a normalisation uses.
fn numbers_of(state: &NormState<Flex>) -> Option<Statistics> {
    Some(Statistics {
        mean: Numbers::new(&state.mean)?.get().to_vec(),
        variance: Numbers::new(&state.variance)?.get().to_vec(),
    })
}

/// Gradients of a normalisation; the gradient back where the kernels do not cover it.
fn norm_grads_f32(
    state: &NormState<Flex>,
    grad: FlexTensor,
) -> Result<BatchNormTrainBackward<Flex>, FlexTensor> {
    let covered = || {
        let input = (sizes(&state.input)?, Numbers::new(&state.input)?);
        let parameters = (Numbers::new(&state.gamma)?, Numbers::new(&state.beta)?);
        Some((input, parameters, numbers_of(state)?))
    };
    let (Some(((shape, x), (gamma, beta), statistics)), DType::F32) = (covered(), grad.dtype())
    else {
        return Err(grad);
    };
    let planes = Planes::of(shape);
    let norm = Norm {
        gamma: gamma.get(),
        beta: beta.get(),
        epsilon: state.epsilon,
        relu: state.relu,
    };
    // The memory of the gradient is used again, where nothing else holds it.
    let mut dy = grad.into_data();
    let numbers = dy.as_mut_slice().unwrap_or_default();
    let (gamma, beta) = norm.backward(x.get(), numbers, &statistics, &planes);
    Ok(BatchNormTrainBackward {
        x_grad: FlexTensor::from_data(dy),
        gamma_grad: tensor(gamma, [planes.channels]),
        beta_grad: tensor(beta, [planes.channels]),
    })
}

fn pool_f32(input: &FlexTensor) -> Option<FlexTensor> {
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

/// What the gradient of a pooling needs.
#[derive(Clone, Debug)]
pub enum Pooled {
    /// Where the maxima are in an image of these sizes.
    Places(Arc<[u8]>, [usize; 4]),
    /// The input, where the kernels do not cover it.
    Input(FlexTensor),
}

fn places_f32(input: &FlexTensor) -> Option<Pooled> {
    let shape = sizes(input)?;
    let places = max_pool::places(Numbers::new(input)?.get(), &PoolShape::of(shape));
    Some(Pooled::Places(places.into(), shape))
}

impl Kernels for Flex {
    type Pooled = Pooled;

    fn conv(input: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
        if is_half(&input) {
            return half(Self::conv(wide(input), wide(weight), bias.map(wide)));
        }
        conv_f32(&input, &weight, bias.as_ref())
            .unwrap_or_else(|| composed::conv::<Self>(input, weight, bias))
    }

    fn conv_input_grad(input: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::conv_input_grad(wide(input), wide(weight), wide(grad)));
        }
        conv_input_grad_f32(input, &weight, &grad)
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
        conv_weight_grad_f32(&input, &weight, &grad)
            .unwrap_or_else(|| composed::conv_weight_grad::<Self>(input, weight, grad))
    }

    fn bias_grad(grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::bias_grad(wide(grad)));
        }
        bias_grad_f32(&grad).unwrap_or_else(|| composed::bias_grad::<Self>(grad))
    }

    fn up(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if is_half(&input) {
            return half(Self::up(wide(input), wide(weight), wide(bias)));
        }
        up_f32(&input, &weight, &bias).unwrap_or_else(|| composed::up::<Self>(input, weight, bias))
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
        up_grads_f32(&input, &weight, &grad, needed)
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
        norm_f32(&input, &gamma, &beta, epsilon, relu)
            .unwrap_or_else(|| composed::norm::<Self>(input, gamma, beta, epsilon, relu))
    }

    fn norm_by(mut state: NormState<Self>) -> FlexTensor {
        if is_half(&state.input) {
            state.input = wide(state.input);
            return half(Self::norm_by(state));
        }
        norm_by_f32(&state).unwrap_or_else(|| composed::norm_by::<Self>(state))
    }

    fn norm_grads(mut state: NormState<Self>, grad: FlexTensor) -> BatchNormTrainBackward<Self> {
        if is_half(&state.input) {
            state.input = wide(state.input);
            let mut grads = Self::norm_grads(state, wide(grad));
            grads.x_grad = half(grads.x_grad);
            return grads;
        }
        norm_grads_f32(&state, grad)
            .unwrap_or_else(|grad| composed::norm_grads::<Self>(state, grad))
    }

    fn pool(input: FlexTensor) -> FlexTensor {
        if is_half(&input) {
            return half(Self::pool(wide(input)));
        }
        pool_f32(&input).unwrap_or_else(|| composed::pool::<Self>(input))
    }

    fn pool_keeping(input: FlexTensor) -> (FlexTensor, Pooled) {
        let wide = if is_half(&input) {
            wide(input.clone())
        } else {
            input.clone()
        };
        let pooled = places_f32(&wide).unwrap_or_else(|| Pooled::Input(input.clone()));
        (Self::pool(input), pooled)
    }

    fn pool_grad(pooled: Pooled, grad: FlexTensor) -> FlexTensor {
        if is_half(&grad) {
            return half(Self::pool_grad(pooled, wide(grad)));
        }
        match pooled {
            Pooled::Input(input) => composed::pool_grad::<Self>(input, grad),
            Pooled::Places(places, shape) => {
                let dy = grad.into_data();
                let dy = dy.as_slice().unwrap_or_default();
                let pool = PoolShape::of(shape);
                let mut dx = vec![0.0; pool.inputs()];
                max_pool::backward(&places, dy, &pool, &mut dx);
                tensor(dx, shape)
            }
        }
    }
}
