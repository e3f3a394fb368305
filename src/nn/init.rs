//! Initial weights, drawn on the host in declaration order.
//!
//! A network's parameters are a pure function of (seed, position in the network): no device
//! generator and no lazy initialisation takes part, so that the order in which parameters are first
//! touched cannot change them.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

use crate::random::{Purpose, Stream, hash};

/// Makes the parameters of one network, one after the other.
#[derive(Debug)]
pub struct Initialiser {
    seed: u64,
    next: u64,
    device: Device,
}

impl Initialiser {
    /// An initialiser at its first parameter. Parameters live on `device`; on an autodiff device
    /// they take part in gradients at once, on a plain device after `train()`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            seed,
            next: 0,
            device: device.clone(),
        }
    }

    /// Where parameters are made.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Normal numbers of variance `2 / fan_in` (Kaiming, for a ReLU after the layer).
    pub fn kaiming_normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        fan_in: usize,
    ) -> Param<Tensor<D>> {
        let std = (2.0 / fan_in.max(1) as f64).sqrt();
        self.draw(shape, |stream| std * stream.normal())
    }

    /// Uniform numbers in `[low, high)`.
    pub fn uniform<const D: usize>(
        &mut self,
        shape: [usize; D],
        low: f64,
        high: f64,
    ) -> Param<Tensor<D>> {
        self.draw(shape, |stream| stream.range(low, high))
    }

    /// Normal numbers of standard deviation `std`, redrawn beyond two standard deviations.
    pub fn truncated_normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        std: f64,
    ) -> Param<Tensor<D>> {
        self.draw(shape, |stream| {
            loop {
                let z = stream.normal();
                if z.abs() <= 2.0 {
                    break std * z;
                }
            }
        })
    }

    /// Zeros.
    pub fn zeros<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.draw(shape, |_| 0.0)
    }

    /// Ones.
    pub fn ones<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.draw(shape, |_| 1.0)
    }

    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut value: impl FnMut(&mut Stream) -> f64,
    ) -> Param<Tensor<D>> {
        let mut stream = Stream::new(Purpose::Weights, &[self.seed, self.next]);
        // Identities repeat from run to run as well: optimiser state is keyed by them.
        let id = ParamId::from(hash(&[Purpose::Weights as u64, self.seed, self.next]));
        self.next += 1;
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| value(&mut stream) as f32).collect();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        // `set_require_grad` on the parameter also records the wish on a plain device, where the
        // tensor itself cannot carry it.
        Param::initialized(id, tensor).set_require_grad(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(p: &Param<Tensor<D>>) -> Vec<f32> {
        p.val().into_data().try_to_vec_as::<f32>().unwrap()
    }

    #[test]
    fn weights_depend_on_seed_and_position_only() {
        let device = Device::flex().autodiff();
        let make = |seed| {
            let mut init = Initialiser::new(seed, &device);
            let a = init.kaiming_normal([8, 4, 3, 3], 36);
            let b = init.uniform([16], -0.5, 0.5);
            (values(&a), values(&b), a.id)
        };
        let first = make(1);
        assert_eq!(first, make(1));
        assert_ne!(first.0, make(2).0);
        assert_ne!(first.2, make(2).2);
    }

    #[test]
    fn parameters_require_gradients() {
        let device = Device::flex().autodiff();
        let mut init = Initialiser::new(0, &device);
        assert!(init.zeros([3]).val().is_require_grad());
        assert!(init.kaiming_normal([3, 3], 3).val().is_require_grad());
    }

    #[test]
    fn spread_is_that_of_the_distribution() {
        let mut init = Initialiser::new(3, &Device::flex());
        let v = values(&init.kaiming_normal([64, 64], 32));
        let var = v.iter().map(|x| f64::from(x * x)).sum::<f64>() / v.len() as f64;
        assert!((var - 2.0 / 32.0).abs() < 0.05 * 2.0 / 32.0, "{var}");
        let t = values(&init.truncated_normal([4096], 0.02));
        assert!(t.iter().all(|x| x.abs() <= 0.04));
    }
}
