//! The up path of the U-Net with a share of its widths, fed by sparse features (`methods/masked.md`
//! sections 3.1 and 3.6).

use burn::module::Module;
use burn::tensor::Tensor;

use super::Densify;
use crate::nn::backbone::{DoubleConv, Visible};
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, UpConv2x2};
use crate::options::{BackboneOptions, SparseOptions};

/// Decoder from densified features to an image. A level without a skip goes on with what comes from
/// below.
#[derive(Module, Debug)]
pub struct LightDecoder {
    /// Bottleneck made dense.
    pub bottom: Densify,
    /// Skips made dense, deepest first; `None` where there is none.
    pub skips: Vec<Option<Densify>>,
    /// Up-convolutions, deepest first.
    pub up: Vec<UpConv2x2>,
    /// Blocks, deepest first.
    pub dec: Vec<DoubleConv>,
    /// 1x1 convolution to the output, with bias and without activation.
    pub out: Conv2d,
}

impl LightDecoder {
    /// A decoder to `outputs` channels with skips from the `skips` finest levels.
    pub fn init(
        init: &mut Initialiser,
        options: &BackboneOptions,
        sparse: &SparseOptions,
        outputs: usize,
        skips: usize,
    ) -> Self {
        let own = |level: usize| sparse.decoder_channels(options.width << level);
        let dense = |init: &mut Initialiser, level| {
            Densify::init(init, options, sparse.densify, level, own(level))
        };
        let depth = options.depth;
        let mut decoder = Self {
            bottom: dense(init, depth),
            skips: Vec::with_capacity(depth),
            up: Vec::with_capacity(depth),
            dec: Vec::with_capacity(depth),
            out: Conv2d::init(init, own(0), outputs, 1, true),
        };
        for level in (0..depth).rev() {
            let skip = (level < skips).then(|| dense(init, level));
            let up = UpConv2x2::init(init, own(level + 1), own(level));
            let inputs = own(level) * (1 + usize::from(skip.is_some()));
            let block = DoubleConv::init(init, options.norm, inputs, own(level));
            decoder.skips.push(skip);
            decoder.up.push(up);
            decoder.dec.push(block);
        }
        decoder
    }

    /// Features of every level, finest first, to the output `[n, outputs, h, w]`.
    #[must_use]
    pub fn forward(&self, features: &[Tensor<4>], visible: &Visible) -> Tensor<4> {
        let Some((bottom, finer)) = features.split_last() else {
            // No features, no images: an empty output of the right rank.
            return Tensor::empty([0, 0, 0, 0], &self.out.weight.val().device());
        };
        let mut x = self.bottom.forward(bottom.clone(), visible);
        let levels = self.skips.iter().zip(&self.up).zip(&self.dec);
        for (((skip, up), block), feature) in levels.zip(finer.iter().rev()) {
            let mut input = vec![];
            if let Some(skip) = skip {
                input.push(skip.forward(feature.clone(), visible));
            }
            input.push(up.forward(x));
            x = block.forward(Tensor::cat(input, 1));
        }
        self.out.forward(x)
    }
}
