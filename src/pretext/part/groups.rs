//! Batch normalisation in groups, and shuffled keys (`methods/contrastive.md` section 6).

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::random::{Purpose, Stream};
use crate::train::Moment;

/// `forward` on `groups` parts of a batch, one after the other: each has statistics of its own. The
/// last parts are smaller where the batch does not divide.
pub fn in_groups<const D: usize>(
    batch: Tensor<4>,
    groups: usize,
    mut forward: impl FnMut(Tensor<4>) -> Tensor<D>,
) -> Tensor<D> {
    let [n, c, h, w] = batch.dims();
    let groups = groups.clamp(1, n.max(1));
    if groups == 1 {
        return forward(batch);
    }
    let mut from = 0;
    let parts = (0..groups).map(|g| {
        let count = (n - from).div_ceil(groups - g);
        let part = batch.clone().slice([from..from + count, 0..c, 0..h, 0..w]);
        from += count;
        forward(part)
    });
    Tensor::cat(parts.collect(), 0)
}

/// A permutation of a batch and the way back: keys are made in other groups than queries, so that
/// the statistics of a group do not give its members away.
#[derive(Debug)]
pub struct Shuffle {
    there: Tensor<1, Int>,
    back: Tensor<1, Int>,
}

impl Shuffle {
    /// A permutation of `n`, drawn for a step.
    #[must_use]
    pub fn draw(n: usize, seed: u64, at: &Moment, device: &Device) -> Self {
        let key = [seed, at.epoch as u64, at.step as u64];
        let order = Stream::new(Purpose::Shuffle, &key).permutation(n);
        let mut inverse = vec![0; n];
        for (i, &source) in order.iter().enumerate() {
            inverse[source] = i;
        }
        Self {
            there: indices(&order, device),
            back: indices(&inverse, device),
        }
    }

    /// Shuffles images.
    #[must_use]
    pub fn apply(&self, batch: Tensor<4>) -> Tensor<4> {
        batch.select(0, self.there.clone())
    }

    /// Brings what came of them back into order.
    #[must_use]
    pub fn undo<const D: usize>(&self, batch: Tensor<D>) -> Tensor<D> {
        batch.select(0, self.back.clone())
    }
}

/// Indices on the device.
#[must_use]
pub fn indices(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::init::Initialiser;
    use crate::nn::layer::BatchNorm2d;
    use crate::nn::weights::host_values;

    fn batch(n: usize) -> Tensor<4> {
        let values: Vec<f32> = (0..n * 4).map(|i| (i as f32 * 1.3).sin()).collect();
        let data = TensorData::new(values, [n, 1, 2, 2]);
        Tensor::from_data(data, &device())
    }

    #[test]
    fn a_shuffle_undoes_itself() {
        on_each_device(|| {
            let at = Moment {
                epoch: 2,
                epochs: 3,
                step: 1,
                steps: 4,
            };
            let x = batch(9);
            let shuffle = Shuffle::draw(9, 5, &at, &x.device());
            let shuffled = shuffle.apply(x.clone());
            assert_ne!(host_values(shuffled.clone()), host_values(x.clone()));
            // Without batch statistics, groups and order change nothing.
            let keys = in_groups(shuffled, 2, |part| part.mul_scalar(2.0));
            let expected = host_values(x.mul_scalar(2.0));
            assert_eq!(host_values(shuffle.undo(keys)), expected);
        });
    }

    #[test]
    fn groups_have_statistics_of_their_own() {
        on_each_device(|| {
            let x = batch(5);
            let norm = BatchNorm2d::init(&mut Initialiser::new(1, &x.device()), 1);
            let out = in_groups(x.clone(), 2, |part| norm.forward(part));
            assert_eq!(out.dims(), [5, 1, 2, 2]);
            for group in [0..3, 3..5] {
                let part = out.clone().slice([group, 0..1, 0..2, 0..2]);
                assert!(host_values(part.mean())[0].abs() < 1e-5);
            }
            let together = host_values(norm.forward(x));
            assert_ne!(host_values(out), together);
        });
    }
}
