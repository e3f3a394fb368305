//! The networks of the two stages.

use burn::module::Module;
use burn::tensor::Tensor;

use super::super::Setup;
use super::super::part::{bottleneck, width_or};
use super::local::{REGION, regions};
use super::{GlLocalOptions, GlOptions};
use crate::nn::backbone::{Decoder, Encoder};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::layer::Linear;
use crate::train::TrainError;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// The part that is handed on in any case.
    pub encoder: Encoder,
    /// From the cells of the bottleneck.
    pub head: Projection,
    /// Cells per side to which the bottleneck is averaged before the head.
    pub cells: usize,
    /// What the local stage adds.
    pub local: Option<Local>,
}

/// What the local stage trains.
#[derive(Module, Debug)]
pub struct Local {
    /// The first blocks of the decoder, deepest first, which are handed on.
    pub decoder: Decoder,
    /// Head at every position of what they make.
    pub head: Projection,
    /// From the pixels of a region to its vector.
    pub region: Linear,
}

impl Network {
    /// The network with initial weights, the same ones in the global stage with and without a local
    /// one.
    ///
    /// # Errors
    /// A backbone out of range.
    pub fn init(options: &GlOptions, setup: &Setup<'_>) -> Result<Self, TrainError> {
        let [channels, height, width] = setup.images.shape();
        let mut init = Initialiser::new(setup.seed, setup.device);
        let (encoder, decoder) = Decoder::halves(setup.backbone, channels, 1, &mut init)?;
        let side = |pixels: usize| (pixels >> setup.backbone.depth).min(options.cells);
        let features = bottleneck(setup);
        let inputs = features * side(height) * side(width);
        let hidden = width_or(options.hidden, features);
        let widths = [inputs, hidden, options.width];
        let head = Projection::init(&mut init, &widths, ProjectionKind::default());
        let local = &options.local;
        let local = local
            .enabled
            .then(|| Local::init(local, decoder, setup, &mut init));
        Ok(Self {
            encoder,
            head,
            cells: options.cells,
            local,
        })
    }

    /// Embeddings of images, `[n, c, h, w]` to `[n, d]`.
    #[must_use]
    pub fn embed(&self, images: Tensor<4>) -> Tensor<2> {
        let cells = cells(self.encoder.bottleneck(images), self.cells);
        let [n, c, h, w] = cells.dims();
        self.head.forward(cells.reshape([n, c * h * w]))
    }

    /// Vectors of the regions of images, `[n, c, h, w]` to `[n, 25, d]`; the encoder takes no
    /// gradient. `None` without a local stage.
    #[must_use]
    pub fn regions(&self, images: Tensor<4>) -> Option<Tensor<3>> {
        let local = self.local.as_ref()?;
        let features = self.encoder.forward(images);
        let features = features.into_iter().map(Tensor::detach).collect();
        // The finest level that the blocks make.
        let map = local.decoder.pyramid(features).into_iter().next()?;
        let regions = regions(local.head.forward_map(map));
        let [n, places, values] = regions.dims();
        let vectors = local.region.forward(regions.reshape([n * places, values]));
        let [_, d] = vectors.dims();
        Some(vectors.reshape([n, places, d]))
    }
}

impl Local {
    fn init(
        options: &GlLocalOptions,
        mut decoder: Decoder,
        setup: &Setup<'_>,
        init: &mut Initialiser,
    ) -> Self {
        let blocks = options.blocks(setup.backbone.depth);
        decoder.up.truncate(blocks);
        decoder.dec.truncate(blocks);
        let channels = bottleneck(setup) >> decoder.dec.len();
        let kind = ProjectionKind {
            norm: true,
            ..ProjectionKind::default()
        };
        let head = Projection::init(init, &[channels; 3], kind);
        let region = Linear::init(init, REGION * REGION * channels, options.width, false);
        Self {
            decoder,
            head,
            region,
        }
    }
}

/// `[n, c, h, w]` averaged in `side` x `side` cells, which overlap by a pixel where the map does not divide;
/// fewer cells where the map is smaller.
fn cells(map: Tensor<4>, side: usize) -> Tensor<4> {
    let [n, c, h, w] = map.dims();
    let (rows, cols) = (h.min(side), w.min(side));
    let mut all = Vec::with_capacity(rows * cols);
    for r in 0..rows {
        let (top, bottom) = (r * h / rows, ((r + 1) * h).div_ceil(rows));
        for k in 0..cols {
            let (left, right) = (k * w / cols, ((k + 1) * w).div_ceil(cols));
            let part = map.clone().slice([0..n, 0..c, top..bottom, left..right]);
            let size = (bottom - top) * (right - left);
            all.push(part.reshape([n, c, size]).mean_dim(2));
        }
    }
    Tensor::cat(all, 2).reshape([n, c, rows, cols])
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn cells_overlap_where_the_map_does_not_divide() {
        on_each_device(|| {
            let device = device().inner();
            let line = |n: usize| {
                let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
                Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, n]), &device)
            };
            assert_eq!(host_values(cells(line(9), 3)), [1.0, 4.0, 7.0]);
            assert_eq!(host_values(cells(line(10), 3)), [1.5, 4.5, 7.5]);
            assert_eq!(cells(line(2), 3).dims(), [1, 1, 1, 2]);
            assert_eq!(host_values(cells(line(10), 1)), [4.5]);
        });
    }
}
