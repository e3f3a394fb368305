//! Sparse features made dense for a decoder (`methods/masked.md` section 1.4).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::nn::backbone::Visible;
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, NormLayer};
use crate::options::{BackboneOptions, DensifyKind};

/// Spread of the trainable vector, as in SparK.
const STD: f64 = 0.02;

/// A trainable vector in place of what is masked, then a convolution.
#[derive(Module, Debug)]
pub struct Densify {
    /// Normalisation before it, where there is one.
    pub norm: Option<NormLayer>,
    /// What stands at masked places, `[in]`.
    pub token: Param<Tensor<1>>,
    /// Projection to the width of the decoder, with bias.
    pub proj: Conv2d,
}

impl Densify {
    /// From the features of `level` of a backbone to `outputs` channels.
    pub fn init(
        init: &mut Initialiser,
        backbone: &BackboneOptions,
        kind: DensifyKind,
        level: usize,
        outputs: usize,
    ) -> Self {
        let inputs = backbone.width << level;
        let token = init.truncated_normal([inputs], STD);
        let (norm, kernel) = match kind {
            DensifyKind::Plain => (None, 1),
            DensifyKind::Spark => (
                Some(NormLayer::init(init, backbone.norm, inputs)),
                if level == backbone.depth { 1 } else { 3 },
            ),
        };
        Self {
            norm,
            token,
            proj: Conv2d::init(init, inputs, outputs, kernel, true),
        }
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`; values at masked places are not read.
    #[must_use]
    pub fn forward(&self, features: Tensor<4>, visible: &Visible) -> Tensor<4> {
        let [_, c, _, _] = features.dims();
        let token = self.token.val().reshape([1, c, 1, 1]);
        let features = match &self.norm {
            Some(norm) => visible.norm(norm, features),
            None => features,
        };
        self.proj.forward(visible.or(features, token))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn kinds_differ_in_normalisation_and_kernel() {
        on_each_device(|| {
            let device = device();
            let backbone = BackboneOptions {
                width: 2,
                depth: 1,
                ..BackboneOptions::default()
            };
            let visible = Visible::new(&[0.0, 1.0], 1, 2, &device);
            let values: Vec<f32> = (0..32).map(|i| (i as f32 * 0.9).sin() * 3.0).collect();
            let features = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 4, 4]), &device);
            let make = |kind, level| {
                let mut init = Initialiser::new(1, &device);
                Densify::init(&mut init, &backbone, kind, level, 3)
            };
            let plain = make(DensifyKind::Plain, 0);
            assert_eq!(plain.proj.weight.val().dims(), [3, 2, 1, 1]);
            assert!(plain.norm.is_none());
            let spark = make(DensifyKind::Spark, 0);
            assert_eq!(spark.proj.weight.val().dims(), [3, 2, 3, 3]);
            let deepest = make(DensifyKind::Spark, 1);
            assert_eq!(deepest.proj.weight.val().dims(), [3, 4, 1, 1]);
            // Ten times the features are ten times the features to one, and the same to the other.
            let scaled = |densify: &Densify, by: f32| {
                host_values(densify.forward(features.clone() * by, &visible))
            };
            let differ = |densify: &Densify| {
                let (one, ten) = (scaled(densify, 1.0), scaled(densify, 10.0));
                let most = one.iter().zip(&ten).map(|(a, b)| (a - b).abs());
                most.fold(0.0f32, f32::max)
            };
            assert!(differ(&plain) > 1.0);
            assert!(differ(&spark) < 1e-2);
        });
    }
}
