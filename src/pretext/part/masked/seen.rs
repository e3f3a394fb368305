//! A batch on the device, and the mean over its masked patches.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Batch;
use crate::mask::patch::Grid;
use crate::nn::backbone::{Encoder, Visible};
use crate::nn::head::to_grid;
use crate::options::{SparseEncoder, SparseOptions};
use crate::pretext::part::spread;

/// A batch on the device.
#[derive(Debug)]
pub struct Seen {
    /// Number of images.
    pub n: usize,
    /// How they are cut into patches.
    pub grid: Grid,
    /// Clean images `[n, c, h, w]`.
    pub images: Tensor<4>,
    /// 1 at masked patches, `[n, patches]`.
    pub mask: Tensor<2>,
    /// The same for sparse encoders and fills.
    pub visible: Visible,
    /// Where the features of [`Seen::encode`] say something: a decoder puts its vectors elsewhere.
    pub known: Visible,
    /// What is to be predicted; the images where nothing else is.
    pub target: Tensor<4>,
    /// Codes of the masked patches, in the order of [`Seen::hidden`]; empty without codes.
    pub codes: Tensor<1, Int>,
    /// [`Seen::mask`] on the host.
    pub host_mask: Vec<f32>,
    encoder: SparseEncoder,
    device: Device,
}

impl Seen {
    pub(super) fn new(batch: Batch, grid: Grid, sparse: &SparseOptions, device: &Device) -> Self {
        let [c, h, w] = grid.shape();
        let (n, patches) = (batch.n, grid.patches());
        let (rows, cols) = (grid.rows(), grid.cols());
        let images = Tensor::from_data(TensorData::new(batch.images, [n, c, h, w]), device);
        let target = if batch.target.is_empty() {
            images.clone()
        } else {
            let [d, height, width] = batch.shape;
            Tensor::from_data(TensorData::new(batch.target, [n, d, height, width]), device)
        };
        let codes: Vec<i32> = batch
            .codes
            .iter()
            .zip(&batch.mask)
            .filter_map(|(&code, &m)| (m == 1.0).then_some(code))
            .collect();
        let count = codes.len();
        let visible = Visible::new(&batch.mask, rows, cols, device);
        let visible = visible.with_statistics(sparse.statistics);
        let known = match sparse.encoder {
            SparseEncoder::Sparse => visible.clone(),
            SparseEncoder::Dense => Visible::new(&vec![0.0; n * patches], rows, cols, device),
        };
        Self {
            n,
            grid,
            images,
            mask: Tensor::from_data(TensorData::new(batch.mask.clone(), [n, patches]), device),
            visible,
            known,
            target,
            codes: Tensor::from_data(TensorData::new(codes, [count]), device),
            host_mask: batch.mask,
            encoder: sparse.encoder,
            device: device.clone(),
        }
    }

    /// Features of what is visible on every level, finest first; see [`SparseEncoder`].
    #[must_use]
    pub fn encode(&self, encoder: &Encoder) -> Vec<Tensor<4>> {
        match self.encoder {
            SparseEncoder::Sparse => encoder.forward_sparse(self.images.clone(), &self.visible),
            SparseEncoder::Dense => encoder.forward(self.visible.keep(self.images.clone())),
        }
    }

    /// Mean of the losses `[n, patches]` over the masked patches of the batch.
    #[must_use]
    pub fn masked_mean(&self, losses: Tensor<2>) -> Tensor<1> {
        let count = self.mask.clone().sum().clamp_min(1.0);
        (losses * self.mask.clone()).sum() / count
    }

    /// Features of the masked patches alone: `[n, c, rows, cols]` to `[masked, c]`.
    #[must_use]
    pub fn hidden(&self, features: Tensor<4>) -> Tensor<2> {
        let inverted: Vec<f32> = self.host_mask.iter().map(|m| 1.0 - m).collect();
        let (rows, cols) = (self.grid.rows(), self.grid.cols());
        let masked = Visible::new(&inverted, rows, cols, &self.device);
        masked.gather(features).flatten(1, 3)
    }

    /// How far the features of visible patches are spread, a tensor of one value: see [`spread`].
    /// 0 where all of them are one.
    #[must_use]
    pub fn spread(&self, features: Tensor<4>) -> Tensor<1> {
        let features = to_grid(features.detach(), self.grid.rows(), self.grid.cols());
        spread(self.visible.gather(features).flatten(1, 3))
    }
}

/// Squared differences averaged over the features of each patch: two `[n, d, rows, cols]` to
/// `[n, patches]`.
#[must_use]
pub(in crate::pretext) fn squared(prediction: Tensor<4>, target: Tensor<4>) -> Tensor<2> {
    let [n, _, rows, cols] = target.dims();
    (prediction - target)
        .square()
        .mean_dim(1)
        .reshape([n, rows * cols])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    fn seen(mask: Vec<f32>, codes: Vec<i32>) -> Seen {
        let n = mask.len() / 3;
        let batch = Batch {
            n,
            images: (0..n * 12).map(|v| v as f32).collect(),
            mask,
            target: Vec::new(),
            shape: [1, 2, 6],
            codes,
        };
        let grid = Grid::new([1, 2, 6], 2).unwrap();
        Seen::new(batch, grid, &SparseOptions::default(), &device().inner())
    }

    #[test]
    fn masked_mean_of_n7() {
        on_each_device(|| {
            let seen = seen(vec![0.0, 1.0, 1.0], Vec::new());
            let losses = Tensor::<2>::from_floats([[0.075, 12.5, 1.0]], &device().inner());
            assert_eq!(host_values(seen.masked_mean(losses)), [6.75]);
        });
    }

    #[test]
    fn hidden_features_and_codes_have_one_order() {
        on_each_device(|| {
            let seen = seen(vec![1., 0., 1., 0., 1., 0.], vec![5, 6, 7, 8, 9, 10]);
            let map: Vec<f32> = (0..12).map(|v| v as f32).collect();
            let map = Tensor::<4>::from_data(TensorData::new(map, [2, 2, 1, 3]), &device().inner());
            let rows = seen.hidden(map);
            assert_eq!(rows.dims(), [3, 2]);
            assert_eq!(host_values(rows), [0., 3., 2., 5., 7., 10.]);
            let codes = seen.codes.into_data().try_to_vec_as::<i64>().unwrap();
            assert_eq!(codes, [5, 7, 9]);
        });
    }
}
