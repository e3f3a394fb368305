//! Batch normalisations of `f32`, and the convolution behind one.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward};
use burn::tensor::DType;

use super::super::operands::{Filter, NormState};
use super::conv::Convolution;
use super::{Numbers, sizes, tensor};
use crate::nn::layer::cpu::batch_norm::{Norm, Planes, Statistics, statistics};
use crate::nn::layer::cpu::map::Affine;

/// Scale and shift of a normalisation with the numbers that they hold.
struct Parameters {
    gamma: Numbers,
    beta: Numbers,
}

impl Parameters {
    fn new(gamma: &FlexTensor, beta: &FlexTensor) -> Option<Self> {
        Some(Self {
            gamma: Numbers::new(gamma)?,
            beta: Numbers::new(beta)?,
        })
    }

    fn norm(&self, epsilon: f64, relu: bool) -> Norm<'_> {
        Norm {
            gamma: self.gamma.get(),
            beta: self.beta.get(),
            epsilon,
            relu,
        }
    }
}

/// Statistics as tensors: mean, variance.
fn found(statistics: Statistics) -> [FlexTensor; 2] {
    [statistics.mean, statistics.variance].map(|numbers| {
        let count = numbers.len();
        tensor(numbers, [count])
    })
}

pub(super) fn by_batch(
    input: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
    relu: bool,
) -> Option<BatchNormTrain<Flex>> {
    let shape = sizes(input)?;
    let planes = Planes::of(shape);
    let (x, parameters) = (Numbers::new(input)?, Parameters::new(gamma, beta)?);
    let norm = parameters.norm(epsilon, relu);
    let statistics = statistics(x.get(), &planes);
    if !norm.fits(&statistics, &planes) {
        return None;
    }
    let mut output = vec![0.0; planes.len()];
    norm.forward(x.get(), &statistics, &planes, &mut output);
    let [mean, variance] = found(statistics);
    Some(BatchNormTrain::new(tensor(output, shape), mean, variance))
}

/// [`by_batch`] with ReLU, and the convolution of what comes of it: its output.
pub(super) fn by_batch_conv(
    input: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
    filter: &Filter<Flex>,
) -> Option<BatchNormTrain<Flex>> {
    let conv = Convolution::new(input, None, filter)?;
    let planes = Planes::of(sizes(input)?);
    let (x, parameters) = (Numbers::new(input)?, Parameters::new(gamma, beta)?);
    let norm = parameters.norm(epsilon, true);
    let statistics = statistics(x.get(), &planes);
    if !norm.fits(&statistics, &planes) {
        return None;
    }
    let conv = conv.mapped(norm.maps(&statistics));
    let output = conv.forward(filter.bias.as_ref())?;
    let [mean, variance] = found(statistics);
    Some(BatchNormTrain::new(output, mean, variance))
}

/// What a normalisation by given statistics works on.
struct Given {
    shape: [usize; 4],
    x: Numbers,
    parameters: Parameters,
    statistics: Statistics,
}

impl Given {
    fn new(state: &NormState<Flex>) -> Option<Self> {
        let given = Self {
            shape: sizes(&state.input)?,
            x: Numbers::new(&state.input)?,
            parameters: Parameters::new(&state.gamma, &state.beta)?,
            statistics: Statistics {
                mean: Numbers::new(&state.mean)?.get().to_vec(),
                variance: Numbers::new(&state.variance)?.get().to_vec(),
            },
        };
        let norm = given.parameters.norm(state.epsilon, state.relu);
        norm.fits(&given.statistics, &Planes::of(given.shape))
            .then_some(given)
    }
}

pub(super) fn by_statistics(state: &NormState<Flex>) -> Option<FlexTensor> {
    let given = Given::new(state)?;
    let norm = given.parameters.norm(state.epsilon, state.relu);
    let planes = Planes::of(given.shape);
    let mut output = vec![0.0; planes.len()];
    norm.forward(given.x.get(), &given.statistics, &planes, &mut output);
    Some(tensor(output, given.shape))
}

/// Gradients of a normalisation; the gradient back where the kernels do not cover it.
pub(super) fn grads(
    state: &NormState<Flex>,
    grad: FlexTensor,
) -> Result<BatchNormTrainBackward<Flex>, FlexTensor> {
    let (Some(given), DType::F32) = (Given::new(state), grad.dtype()) else {
        return Err(grad);
    };
    let norm = given.parameters.norm(state.epsilon, state.relu);
    let planes = Planes::of(given.shape);
    // The memory of the gradient is used again, where nothing else holds it.
    let mut dy = grad.into_data();
    let numbers = dy.as_mut_slice().unwrap_or_default();
    let (gamma, beta) = norm.backward(given.x.get(), numbers, &given.statistics, &planes);
    Ok(BatchNormTrainBackward {
        x_grad: FlexTensor::from_data(dy),
        gamma_grad: tensor(gamma, [planes.channels]),
        beta_grad: tensor(beta, [planes.channels]),
    })
}

/// What normalises the channels of the input by given statistics.
pub(super) fn maps(state: &NormState<Flex>) -> Option<Vec<Affine>> {
    let given = Given::new(state)?;
    let norm = given.parameters.norm(state.epsilon, state.relu);
    Some(norm.maps(&given.statistics))
}
