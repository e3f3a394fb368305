//! The encoder that never sees masked patches (`methods/masked.md` section 1.4, after SparK).

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{DoubleConv, Encoder};
use crate::nn::layer::{MaxPool2x2, NormLayer};
use crate::options::SparseStatistics;

impl Encoder {
    /// [`Encoder::forward`] of what is visible: features are 0 at masked places on every level,
    /// normalisation takes its statistics from visible places, and nothing that leaves the encoder
    /// depends on masked pixels. The side of a patch is a multiple of the total stride.
    #[must_use]
    pub fn forward_sparse(&self, images: Tensor<4>, visible: &Visible) -> Vec<Tensor<4>> {
        let mut features = Vec::with_capacity(self.enc.len());
        let mut x = visible.keep(images);
        for (level, block) in self.enc.iter().enumerate() {
            if level > 0 {
                // Zeros stay zeros, and values are none below: a tile is masked as a whole or not.
                x = MaxPool2x2.forward(x);
            }
            x = block.forward_sparse(x, visible);
            features.push(x.clone());
        }
        features
    }
}

impl DoubleConv {
    /// [`DoubleConv::forward`] of what is visible: `input` and output are 0 at masked places.
    #[must_use]
    pub fn forward_sparse(&self, input: Tensor<4>, visible: &Visible) -> Tensor<4> {
        let mut x = input;
        for (conv, norm) in [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2)] {
            x = visible.norm_relu(norm, conv.forward(x));
        }
        x
    }
}

/// The visible patches of a batch, at any resolution whose cells tile the patches.
#[derive(Clone, Debug)]
pub struct Visible {
    images: usize,
    rows: usize,
    cols: usize,
    /// Visible patches, numbered through the batch.
    indices: Tensor<1, Int>,
    count: usize,
    /// 1 at visible patches, `[n, 1, rows, cols]`.
    map: Tensor<4>,
    statistics: SparseStatistics,
}

impl Visible {
    /// From a mask `[n, rows * cols]` that is 1 at masked patches and 0 at visible ones.
    #[must_use]
    pub fn new(mask: &[f32], rows: usize, cols: usize, device: &Device) -> Self {
        let images = mask.len() / (rows * cols).max(1);
        let visible: Vec<i32> = (0i32..)
            .zip(mask)
            .filter_map(|(i, &m)| (m == 0.0).then_some(i))
            .collect();
        let map: Vec<f32> = mask.iter().map(|m| 1.0 - m).collect();
        let count = visible.len();
        Self {
            images,
            rows,
            cols,
            indices: Tensor::from_data(TensorData::new(visible, [count]), device),
            count,
            map: Tensor::from_data(TensorData::new(map, [images, 1, rows, cols]), device),
            statistics: SparseStatistics::default(),
        }
    }

    /// The same, with the places that normalisation takes its statistics from.
    #[must_use]
    pub fn with_statistics(self, statistics: SparseStatistics) -> Self {
        Self { statistics, ..self }
    }

    /// 1 at visible and 0 at masked pixels of images of `height x width`: `[n, 1, height, width]`.
    #[must_use]
    pub fn map(&self, height: usize, width: usize) -> Tensor<4> {
        let (s, t) = (height / self.rows, width / self.cols);
        if (s, t) == (1, 1) {
            return self.map.clone();
        }
        let (n, rows, cols) = (self.images, self.rows, self.cols);
        let cells: Tensor<6> = self.map.clone().reshape([n, 1, rows, 1, cols, 1]);
        let cells: Tensor<6> = cells.expand([n, 1, rows, s, cols, t]);
        cells.reshape([n, 1, height, width])
    }

    /// The visible patches of `[n, c, h, w]` alone, `[visible, c, s, t]`.
    #[must_use]
    pub fn gather(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let (rows, cols) = (self.rows, self.cols);
        let (s, t) = (h / rows, w / cols);
        x.reshape([n, c, rows, s, cols, t])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([n * rows * cols, c * s * t])
            .select(0, self.indices.clone())
            .reshape([self.count, c, s, t])
    }

    /// [`Visible::gather`] undone, with zeros at masked places.
    #[must_use]
    pub fn scatter(&self, packed: Tensor<4>) -> Tensor<4> {
        let [count, c, s, t] = packed.dims();
        let (n, rows, cols) = (self.images, self.rows, self.cols);
        let rest = Tensor::<2>::zeros([n * rows * cols, c * s * t], &packed.device());
        rest.select_assign(
            0,
            self.indices.clone(),
            packed.reshape([count, c * s * t]),
            IndexingUpdateOp::Add,
        )
        .reshape([n, rows, cols, c, s, t])
        .permute([0, 3, 1, 4, 2, 5])
        .reshape([n, c, rows * s, cols * t])
    }

    /// `x` with zeros at masked places, whatever stands there.
    #[must_use]
    pub fn keep(&self, x: Tensor<4>) -> Tensor<4> {
        self.scatter(self.gather(x))
    }

    /// `x` at visible and `other` at masked places; `other` may have a single image, row and column.
    #[must_use]
    pub fn or(&self, x: Tensor<4>, other: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let map = self.map(h, w);
        x * map.clone() + other * (map.neg() + 1.0)
    }

    /// Normalisation and ReLU; zeros at masked places.
    #[must_use]
    pub fn norm_relu(&self, norm: &NormLayer, x: Tensor<4>) -> Tensor<4> {
        self.normalised(norm, x, NormLayer::forward_relu)
    }

    /// Normalisation; zeros at masked places.
    #[must_use]
    pub fn norm(&self, norm: &NormLayer, x: Tensor<4>) -> Tensor<4> {
        self.normalised(norm, x, NormLayer::forward)
    }

    fn normalised(
        &self,
        norm: &NormLayer,
        x: Tensor<4>,
        forward: impl Fn(&NormLayer, Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        if self.statistics == SparseStatistics::All {
            return self.keep(forward(norm, x));
        }
        let packed = self.gather(x);
        self.scatter(match norm {
            NormLayer::Batch(_) => forward(norm, packed),
            // Statistics per image: the patches of an image side by side, as many for each.
            NormLayer::Group(_) => {
                let [count, c, s, t] = packed.dims();
                let (n, each) = (self.images, count / self.images.max(1));
                let images: Tensor<5> = packed.reshape([n, each, c, s, t]);
                let images: Tensor<5> = images.permute([0, 2, 1, 3, 4]);
                let images = forward(norm, images.reshape([n, c, each * s, t]));
                let patches: Tensor<5> = images.reshape([n, c, each, s, t]);
                let patches: Tensor<5> = patches.permute([0, 2, 1, 3, 4]);
                patches.reshape([count, c, s, t])
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;
    use crate::nn::init::Initialiser;
    use crate::nn::weights::{Weights, host_values};
    use crate::options::{BackboneOptions, Norm};
    use crate::random::{Purpose, Stream};

    const MASK: [f32; 12] = [1., 0., 0., 1., 1., 0., 0., 1., 1., 1., 0., 0.];

    fn device() -> Device {
        Device::flex().autodiff()
    }

    fn noise(seed: u64, shape: [usize; 4]) -> Tensor<4> {
        let mut stream = Stream::new(Purpose::Weights, &[seed]);
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| stream.normal() as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    #[test]
    fn keeps_what_is_visible() {
        let visible = Visible::new(&MASK, 2, 3, &device());
        let x = noise(1, [2, 3, 4, 6]);
        let packed = visible.gather(x.clone());
        assert_eq!(packed.dims(), [6, 3, 2, 2]);
        let kept = host_values(visible.keep(x.clone()));
        let expected = host_values(x.clone() * visible.map(4, 6));
        assert_eq!(kept, expected);
        let zeros = kept.iter().filter(|v| **v == 0.0).count();
        assert_eq!(zeros, kept.len() / 2);
        let nan = x.clone() * 0.0 + f32::NAN;
        let map = visible.map(4, 6).repeat_dim(1, 3);
        let spoiled = x.clone().mask_where(map.equal_elem(0.0), nan);
        assert_eq!(host_values(visible.keep(spoiled)), kept);
        let other = Tensor::<4>::ones([1, 3, 1, 1], &device()) * 7.0;
        let filled = host_values(visible.or(x, other));
        for (f, k) in filled.iter().zip(&kept) {
            assert_eq!(*f, if *k == 0.0 { 7.0 } else { *k });
        }
    }

    fn encoder(norm: Norm) -> Encoder {
        let options = BackboneOptions {
            width: 4,
            depth: 2,
            norm,
            ..BackboneOptions::default()
        };
        Encoder::init(&options, 1, &mut Initialiser::new(3, &device())).unwrap()
    }

    /// Outputs of all levels, in training and in inference, and running statistics.
    fn everything(encoder: &Encoder, images: &Tensor<4>, visible: &Visible) -> Vec<Vec<f32>> {
        let encoder = encoder.clone();
        let mut all: Vec<Vec<f32>> = encoder
            .forward_sparse(images.clone(), visible)
            .into_iter()
            .map(host_values)
            .collect();
        let arrays = Weights::of(&encoder).0;
        all.extend(arrays.into_values().map(|a| a.values));
        let plain = Visible::new(&MASK, 2, 3, &Device::flex());
        let trained = encoder.valid();
        let features = trained.forward_sparse(images.clone().inner(), &plain);
        all.extend(features.into_iter().map(host_values));
        all
    }

    #[test]
    fn masked_pixels_do_not_leak() {
        let visible = Visible::new(&MASK, 2, 3, &device());
        let images = noise(5, [2, 1, 8, 12]);
        let changed = visible.or(images.clone(), noise(6, [2, 1, 8, 12]) * 50.0);
        assert_ne!(host_values(images.clone()), host_values(changed.clone()));
        for norm in [Norm::Batch, Norm::Group, Norm::Instance] {
            let net = encoder(norm);
            let before = everything(&net, &images, &visible);
            assert_eq!(before, everything(&net, &changed, &visible), "{norm:?}");
            // The dense encoder does leak, so the test can fail.
            let dense = |x: &Tensor<4>| {
                let features = net.clone().forward(x.clone()).pop().unwrap();
                host_values(visible.gather(features))
            };
            assert_ne!(dense(&images), dense(&changed));
            // Visible pixels do matter.
            let moved = everything(&net, &(images.clone() + 1.0), &visible);
            assert_ne!(before, moved);
        }
    }

    #[test]
    fn statistics_of_all_places_count_the_zeros_and_leak_nothing() {
        let visible = Visible::new(&MASK, 2, 3, &device());
        let all = visible.clone().with_statistics(SparseStatistics::All);
        let net = encoder(Norm::Batch);
        let images = noise(5, [2, 1, 8, 12]);
        let changed = visible.or(images.clone(), noise(6, [2, 1, 8, 12]) * 50.0);
        let features = |images: &Tensor<4>, seen: &Visible| -> Vec<Vec<f32>> {
            let features = net.clone().forward_sparse(images.clone(), seen);
            features.into_iter().map(host_values).collect()
        };
        let found = features(&images, &all);
        assert_eq!(found, features(&changed, &all));
        assert_ne!(found, features(&images, &visible));
        let zeros = |values: &[f32]| values.iter().filter(|v| **v == 0.0).count();
        assert!(found.iter().all(|f| zeros(f) >= f.len() / 2));
    }

    #[test]
    fn statistics_are_those_of_visible_places_and_gradients_flow() {
        let visible = Visible::new(&MASK, 2, 3, &device());
        let net = encoder(Norm::Batch);
        let x = noise(7, [2, 1, 8, 12]).require_grad();
        let features = net.forward_sparse(x.clone(), &visible);
        for (level, f) in features.iter().enumerate() {
            let [n, c, h, w] = f.dims();
            assert_eq!([n, c, h, w], [2, 4 << level, 8 >> level, 12 >> level]);
            let hidden = f.clone() * (visible.map(h, w).neg() + 1.0);
            assert_eq!(host_values(hidden.abs().sum()), [0.0]);
        }
        // Before its ReLU, a normalised channel has mean 0 and variance 1 over visible places.
        let NormLayer::Batch(norm) = &net.enc[0].bn1 else {
            panic!("batch normalisation was asked for");
        };
        let y = norm.forward(visible.gather(net.enc[0].conv1.forward(visible.keep(x.clone()))));
        let rows: Tensor<2> = y.permute([1, 0, 2, 3]).reshape([4, 6 * 16]);
        for (mean, var) in host_values(rows.clone().mean_dim(1))
            .into_iter()
            .zip(host_values(rows.var_bias(1)))
        {
            assert!(
                mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-3,
                "{mean} {var}"
            );
        }
        let loss = features.into_iter().map(Tensor::sum).reduce(|a, b| a + b);
        let mut grads = loss.unwrap().backward();
        let grad = x.grad_remove(&mut grads).unwrap();
        let map = visible.map(8, 12).inner();
        let outside = host_values((grad.clone() * (map.clone().neg() + 1.0)).abs().sum());
        assert_eq!(outside, [0.0]);
        assert!(host_values((grad * map).abs().sum())[0] > 0.0);
    }
}
