//! Multi-layer heads that project and predict (`methods/contrastive.md` section 2 and each "Attach").

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::nn::init::Initialiser;
use crate::nn::layer::{BatchNorm2d, Linear};

/// What a projection is made of, beside its widths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectionKind {
    /// Batch normalisation before the ReLU of hidden layers.
    pub norm: bool,
    /// Bias of hidden layers.
    pub bias: bool,
    /// Bias of the last layer.
    pub last_bias: bool,
    /// Batch normalisation with scale and without shift after the last layer.
    pub last_norm: bool,
}

/// Linear layers with ReLU between them.
#[derive(Module, Debug)]
pub struct Projection {
    /// Layers, first to last.
    pub layers: Vec<Linear>,
    /// Normalisations of hidden layers; empty without.
    pub norms: Vec<BatchNorm2d>,
    /// Normalisation of the output.
    pub last_norm: Option<BatchNorm2d>,
}

impl Projection {
    /// A head through `widths`, inputs first.
    pub fn init(init: &mut Initialiser, widths: &[usize], kind: ProjectionKind) -> Self {
        let hidden = widths.len().saturating_sub(2);
        let (mut layers, mut norms) = (Vec::new(), Vec::new());
        for (i, pair) in widths.windows(2).enumerate() {
            let bias = if i < hidden {
                kind.bias
            } else {
                kind.last_bias
            };
            layers.push(Linear::init(init, pair[0], pair[1], bias));
            if kind.norm && i < hidden {
                norms.push(BatchNorm2d::init(init, pair[1]));
            }
        }
        let last_norm = kind.last_norm.then(|| {
            let mut norm = BatchNorm2d::init(init, widths.last().copied().unwrap_or_default());
            norm.beta = norm.beta.set_require_grad(false);
            norm
        });
        Self {
            layers,
            norms,
            last_norm,
        }
    }

    /// `[n, in]` to `[n, out]`.
    #[must_use]
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let mut x = rows;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 == self.layers.len() {
                break;
            }
            x = match self.norms.get(i) {
                Some(norm) => flat(norm.forward_relu(deep(x))),
                None => relu(x),
            };
        }
        match &self.last_norm {
            Some(norm) => flat(norm.forward(deep(x))),
            None => x,
        }
    }

    /// The head at every position: `[n, in, h, w]` to `[n, out, h, w]`, as 1x1 convolutions would.
    #[must_use]
    pub fn forward_map(&self, map: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = map.dims();
        let rows = map.permute([0, 2, 3, 1]).reshape([n * h * w, c]);
        let out = self.forward(rows);
        let [_, c] = out.dims();
        out.reshape([n, h, w, c]).permute([0, 3, 1, 2])
    }
}

fn deep(rows: Tensor<2>) -> Tensor<4> {
    let [n, c] = rows.dims();
    rows.reshape([n, c, 1, 1])
}

fn flat(map: Tensor<4>) -> Tensor<2> {
    let [n, c, _, _] = map.dims();
    map.reshape([n, c])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::{host_values, trainable};

    fn size(widths: &[usize], kind: ProjectionKind) -> usize {
        let mut init = Initialiser::new(1, &Device::flex().autodiff());
        trainable(&Projection::init(&mut init, widths, kind))
    }

    #[test]
    fn sizes_of_the_specification() {
        let all = ProjectionKind {
            norm: true,
            bias: true,
            last_bias: true,
            last_norm: false,
        };
        let plain = ProjectionKind { norm: false, ..all };
        let none = ProjectionKind::default();
        let simclr = ProjectionKind {
            norm: true,
            last_norm: true,
            ..none
        };
        let byol = ProjectionKind {
            last_bias: false,
            ..all
        };
        assert_eq!(size(&[1024, 1024, 128], simclr), 1_181_824);
        assert_eq!(size(&[1024, 4096, 256], byol), 5_255_168);
        assert_eq!(size(&[256, 4096, 256], byol), 2_109_440);
        assert_eq!(size(&[1024, 2048, 128], all), 2_365_568);
        assert_eq!(size(&[1024, 1024, 128], plain), 1_180_800);
        assert_eq!(size(&[9216, 1024, 128], none), 9_568_256);
        assert_eq!(size(&[1024, 128, 128], plain), 147_712);
        assert_eq!(size(&[1984, 1984, 1984, 128], all), 8_138_496);
    }

    #[test]
    fn a_map_is_projected_position_by_position() {
        let device = Device::flex();
        let mut init = Initialiser::new(1, &device);
        let kind = ProjectionKind {
            bias: true,
            ..ProjectionKind::default()
        };
        let head = Projection::init(&mut init, &[3, 4, 2], kind);
        let values: Vec<f32> = (0..2 * 3 * 2 * 2).map(|i| (i as f32).sin()).collect();
        let map = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 2, 2]), &device);
        let out = head.forward_map(map.clone());
        assert_eq!(out.dims(), [2, 2, 2, 2]);
        let pixel = |t: &Tensor<4>, n: usize, r: usize, c: usize| {
            let [_, d, _, _] = t.dims();
            t.clone()
                .slice([n..n + 1, 0..d, r..r + 1, c..c + 1])
                .reshape([1, d])
        };
        let one = head.forward(pixel(&map, 1, 0, 1));
        assert_eq!(host_values(one), host_values(pixel(&out, 1, 0, 1)));
    }
}
