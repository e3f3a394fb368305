//! 3D U-Net (`methods/backbones-detection-foundation.md` section 4 c).

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::init::Initialiser;
use crate::nn::layer::{
    BatchNorm2d, Conv3d, Feature, PointConv3d, UpConv2x2x2, max_pool2x2x2, to_slices, to_volume,
};

/// `conv3x3x3 - batch norm - ReLU`, twice, on stacks of slices.
#[derive(Module, Debug)]
pub struct DoubleConv3d {
    /// First convolution, without bias.
    pub conv1: Conv3d,
    /// First normalisation; over a stack of slices it is that of volumes.
    pub bn1: BatchNorm2d,
    /// Second convolution, without bias.
    pub conv2: Conv3d,
    /// Second normalisation.
    pub bn2: BatchNorm2d,
}

impl DoubleConv3d {
    /// A block from `inputs` to `outputs` channels.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        Self {
            conv1: Conv3d::init(init, inputs, outputs),
            bn1: BatchNorm2d::init(init, outputs),
            conv2: Conv3d::init(init, outputs, outputs),
            bn2: BatchNorm2d::init(init, outputs),
        }
    }

    /// `[n * depth, inputs, h, w]` to `[n * depth, outputs, h, w]`, with what it came of in training.
    #[must_use]
    pub fn forward(&self, slices: Tensor<4>, depth: usize) -> Feature {
        let x = self.conv1.forward(slices, depth);
        let x = self.bn1.forward_relu_conv3d(x, &self.conv2, depth);
        self.bn2.feature(x)
    }

    /// [`DoubleConv3d::forward`] of two stacks whose channels follow one another, then `last` where
    /// it is given. Neither the two together nor what goes into `last` is kept where that can be had.
    #[must_use]
    pub fn forward_joined(
        &self,
        first: Feature,
        second: Tensor<4>,
        last: Option<&PointConv3d>,
        depth: usize,
    ) -> Tensor<4> {
        let x = self.conv1.forward_joined(first, second, depth);
        let x = self.bn1.forward_relu_conv3d(x, &self.conv2, depth);
        match last {
            None => self.bn2.forward_relu(x),
            Some(last) => self.bn2.forward_relu_point_conv(x, last),
        }
    }
}

/// The 2D U-Net with a third axis: level `i` has `width * 2^i` channels at stride `2^i`; skips are
/// concatenated as (skip, up). Names as in the 2D network.
#[derive(Module, Debug)]
pub struct UNet3d {
    /// Encoder blocks, `levels + 1` of them; the last one is the bottleneck.
    pub enc: Vec<DoubleConv3d>,
    /// Up-convolutions, deepest first.
    pub up: Vec<UpConv2x2x2>,
    /// Decoder blocks, deepest first.
    pub dec: Vec<DoubleConv3d>,
    /// 1x1x1 convolution to the output channels.
    pub out: PointConv3d,
}

impl UNet3d {
    /// A network from `inputs` to `outputs` channels; volumes must be multiples of `2^levels` along
    /// each axis.
    pub fn init(
        init: &mut Initialiser,
        [inputs, outputs]: [usize; 2],
        width: usize,
        levels: usize,
    ) -> Self {
        let channels = |level: usize| width << level;
        let mut enc = vec![DoubleConv3d::init(init, inputs, channels(0))];
        for level in 1..=levels {
            enc.push(DoubleConv3d::init(
                init,
                channels(level - 1),
                channels(level),
            ));
        }
        let mut up = Vec::with_capacity(levels);
        let mut dec = Vec::with_capacity(levels);
        for level in (0..levels).rev() {
            let (from, to) = (channels(level + 1), channels(level));
            up.push(UpConv2x2x2::init(init, from, to));
            dec.push(DoubleConv3d::init(init, from, to));
        }
        let out = PointConv3d::init(init, width, outputs);
        Self { enc, up, dec, out }
    }

    /// `[n, inputs, d, h, w]` to logits `[n, outputs, d, h, w]`.
    #[must_use]
    pub fn forward(&self, volumes: Tensor<5>) -> Tensor<5> {
        let mut depth = volumes.dims()[2];
        let mut x = to_slices(volumes);
        let mut skips = Vec::with_capacity(self.up.len());
        for (level, block) in self.enc.iter().enumerate() {
            if level > 0 {
                x = max_pool2x2x2(x);
                depth /= 2;
            }
            let feature = block.forward(x, depth);
            x = feature.value.clone();
            skips.push(feature);
        }
        // The deepest goes on, beside none.
        skips.truncate(self.up.len());
        let mut steps = self.up.iter().zip(&self.dec).peekable();
        while let (Some((up, block)), Some(skip)) = (steps.next(), skips.pop()) {
            depth *= 2;
            let last = steps.peek().is_none().then_some(&self.out);
            x = block.forward_joined(skip, up.forward(x), last, depth);
        }
        to_volume(x, depth)
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::options::OptimiserOptions;
    use crate::train::Optimiser;

    #[test]
    fn has_the_parameters_of_the_specification() {
        // In millions, 4 channels to 3: section 4 c.
        for (width, millions) in [(16, "5.65"), (24, "12.70"), (32, "22.58")] {
            let init = &mut Initialiser::new(1, &Device::flex());
            let network = UNet3d::init(init, [4, 3], width, 4);
            // The running statistics of 18 normalisations are no parameters of the specification.
            let statistics: usize = network
                .enc
                .iter()
                .chain(&network.dec)
                .map(|block| 4 * block.bn1.gamma.dims()[0])
                .sum();
            let found = (network.num_params() - statistics) as f64 / 1e6;
            assert_eq!(format!("{found:.2}"), millions);
        }
    }

    #[test]
    fn a_step_lowers_the_loss() {
        let device = Device::flex().autodiff();
        let mut network = UNet3d::init(&mut Initialiser::new(1, &device), [2, 1], 4, 2);
        let numbers = (0..2 * 8 * 8 * 12)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let volume = Tensor::<5>::from_data(TensorData::new(numbers, [1, 2, 8, 8, 12]), &device);
        let target = volume.clone().narrow(1, 0, 1);
        let options = OptimiserOptions::pretraining();
        let mut optimiser = Optimiser::new(&options);
        let mut losses = Vec::new();
        for _ in 0..20 {
            let output = network.forward(volume.clone());
            assert_eq!(output.dims(), [1, 1, 8, 8, 12]);
            let loss = (output - target.clone()).square().mean();
            losses.push(loss.clone().inner().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimiser.step(1e-2, network, gradients);
        }
        assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
    }
}
