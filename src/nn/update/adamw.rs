//! AdamW (Loshchilov & Hutter 2019): numbers of an update, and what devices supply for it.

#![cfg_attr(
    feature = "libtorch",
    allow(
        deprecated,
        reason = "burn 0.22 is the last with libtorch, and says so at every mention of it"
    )
)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// The numbers of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamw {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Which update it is, from 1.
    pub step: usize,
}

/// First and second moment of a parameter, of its shape.
pub type Moments<const D: usize> = [Tensor<D>; 2];

/// Parameter and moments as a backend has them.
pub(super) type Updated<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// One update on plain tensors.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cuda"),
    LibTorch: cfg(feature = "libtorch"),
)]
pub trait UpdateOps: Backend {
    /// Parameter, first and second moment after the update by `grad`.
    fn adamw(
        parameter: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rule: Adamw,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(feature = "cuda")]
impl UpdateOps for burn::backend::Cube {
    fn adamw(
        parameter: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rule: Adamw,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        super::composed::adamw::<Self>(parameter, grad, first, second, rule)
    }
}

/// The update of a parameter by its gradient: the new parameter and moments. The tensors are outside
/// of any graph of gradients; without moments they start at zero.
#[must_use]
pub fn adamw<const D: usize>(
    parameter: Tensor<D>,
    grad: Tensor<D>,
    moments: Option<Moments<D>>,
    rule: Adamw,
) -> (Tensor<D>, Moments<D>) {
    let [first, second] = moments.unwrap_or_else(|| [grad.zeros_like(), grad.zeros_like()]);
    let (parameter, first, second) = Dispatch::adamw(
        parameter.into_dispatch(),
        grad.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        rule,
    );
    (
        Tensor::from_dispatch(parameter),
        [Tensor::from_dispatch(first), Tensor::from_dispatch(second)],
    )
}

/// The numbers of an update as 32-bit floats, rounded where burn rounds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounded {
    pub betas: [f32; 2],
    /// `1 - beta`.
    pub rest: [f32; 2],
    /// `1 - beta^step`.
    pub correction: [f32; 2],
    pub epsilon: f32,
    /// `1 - lr * weight_decay`.
    pub keep: f32,
    pub lr: f32,
}

impl Adamw {
    pub(super) fn rounded(&self) -> Rounded {
        let betas = self.betas.map(|beta| beta as f32);
        let time = i32::try_from(self.step).unwrap_or(i32::MAX);
        // burn's options hold the decay as a 32-bit float.
        let decay = f64::from(self.weight_decay as f32);
        Rounded {
            betas,
            rest: betas.map(|beta| 1.0 - beta),
            correction: betas.map(|beta| 1.0 - beta.powi(time)),
            epsilon: self.epsilon as f32,
            keep: (1.0 - self.lr * decay) as f32,
            lr: self.lr as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::{AdamWConfig, AdamWState, Optimizer};
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::{DeviceChoice, open};
    use crate::random::{Purpose, Stream};

    fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut stream = Stream::new(Purpose::Weights, &[seed]);
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    fn numbers(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec_as().unwrap()
    }

    /// Parameter and moments after some updates, ours and burn's.
    fn run(choice: DeviceChoice, shape: [usize; 2]) -> Option<[Vec<Vec<f32>>; 2]> {
        let device = open(choice).ok()?;
        let count = shape[0] * shape[1];
        let tensor =
            |seed| Tensor::<2>::from_data(TensorData::new(noise(seed, count), shape), &device);
        let config = AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.95)
            .with_epsilon(1e-8)
            .with_weight_decay(0.05)
            .build();
        let (mut own, mut moments) = (tensor(0), None);
        let (mut burn, mut state): (_, Option<AdamWState<2>>) = (tensor(0), None);
        for step in 1..=5 {
            let lr = 1e-3 * step as f64;
            let grad = tensor(step as u64) * 0.01;
            let rule = Adamw {
                lr,
                betas: [0.9, 0.95],
                epsilon: 1e-8,
                weight_decay: 0.05,
                step,
            };
            let (parameter, new) = adamw(own, grad.clone(), moments.take(), rule);
            own = parameter;
            moments = Some(new);
            (burn, state) = config.step(lr, burn, grad, state);
        }
        let [first, second] = moments?;
        let state = state?.momentum;
        Some([
            vec![numbers(own), numbers(first), numbers(second)],
            vec![
                numbers(burn),
                numbers(state.moment_1),
                numbers(state.moment_2),
            ],
        ])
    }

    #[test]
    fn the_pure_rust_device_has_burns_bits() {
        // Below and above what is worth a second thread, and no multiple of a lane.
        for shape in [[3, 5], [257, 1031]] {
            let [own, burn] = run(DeviceChoice::Cpu, shape).unwrap();
            assert!(own[0] != noise(0, own[0].len()));
            assert_eq!(own, burn, "{shape:?}");
        }
    }

    #[test]
    fn libtorch_agrees_with_burn() {
        let Some([own, burn]) = run(DeviceChoice::Libtorch, [33, 65]) else {
            eprintln!("skipped: no libtorch in this build");
            return;
        };
        for (own, burn) in own.iter().zip(&burn) {
            for (own, burn) in own.iter().zip(burn) {
                assert!(
                    (own - burn).abs() <= 1e-6 * (1.0 + burn.abs()),
                    "{own} {burn}"
                );
            }
        }
    }
}
