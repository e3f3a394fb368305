//! Running statistics of the transferred encoder, estimated again on clean images
//! (`methods/masked.md` section 1.3): during pre-training they were collected on partly blank ones.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::data::images::Images;
use crate::nn::backbone::UNet;
use crate::nn::layer::NormLayer;

/// Forward passes at most.
const PASSES: usize = 8;

/// Sets the running mean and variance of every batch normalisation of the encoder to the plain
/// average of the batch statistics over the first images, in order; nothing to do with another
/// normalisation. No weight changes.
///
/// Layers are fed what they see in training, activations normalised by the statistics of the batch.
pub fn recalibrate(model: &UNet, images: &dyn Images, batch: usize, device: &Device) {
    let device = device.clone().inner();
    let [c, h, w] = images.shape();
    let probe = model.valid();
    let mut sums: Vec<(Tensor<1>, Tensor<1>)> = Vec::new();
    let all: Vec<usize> = (0..images.len()).collect();
    let mut passes = 0;
    for indices in all.chunks(batch.max(1)).take(PASSES) {
        let mut pixels = vec![0.0; indices.len() * c * h * w];
        for (&index, image) in indices.iter().zip(pixels.chunks_exact_mut(c * h * w)) {
            images.image(index, image);
        }
        let data = TensorData::new(pixels, [indices.len(), c, h, w]);
        let mut at = 0;
        probe.encode_observed(Tensor::from_data(data, &device), &mut |norm, x| {
            let NormLayer::Batch(norm) = norm else {
                return;
            };
            let (mean, biased, unbiased) = statistics(x.clone());
            // Without autodiff the layer normalises by its running statistics: those of the batch.
            norm.running_mean.set(mean.clone());
            norm.running_var.set(biased);
            match sums.get_mut(at) {
                Some(sum) => *sum = (sum.0.clone() + mean, sum.1.clone() + unbiased),
                None => sums.push((mean, unbiased)),
            }
            at += 1;
        });
        passes += 1;
    }
    let norms = model.enc.iter().flat_map(|block| [&block.bn1, &block.bn2]);
    let norms = norms.filter_map(|norm| match norm {
        NormLayer::Batch(norm) => Some(norm),
        NormLayer::Group(_) => None,
    });
    let passes = f64::from(passes.max(1));
    for ((mean, var), norm) in sums.into_iter().zip(norms) {
        norm.running_mean.set(mean.div_scalar(passes));
        norm.running_var.set(var.div_scalar(passes));
    }
}

/// Mean, biased and unbiased variance per channel of `[n, c, h, w]`.
fn statistics(x: Tensor<4>) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [n, c, h, w] = x.dims();
    let count = n * h * w;
    let rows = x.permute([1, 0, 2, 3]).reshape([c, count]);
    let mean = rows.clone().mean_dim(1);
    let biased = (rows - mean.clone()).square().mean_dim(1).reshape([c]);
    let correction = count as f64 / count.saturating_sub(1).max(1) as f64;
    let unbiased = biased.clone().mul_scalar(correction);
    (mean.reshape([c]), biased, unbiased)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;
    use crate::nn::init::Initialiser;
    use crate::nn::weights::{Weights, host_values};
    use crate::options::BackboneOptions;

    #[test]
    fn statistics_become_those_of_the_images_and_weights_stay() {
        let device = Device::flex().autodiff();
        let options = BackboneOptions {
            width: 2,
            depth: 1,
            ..BackboneOptions::default()
        };
        let net = UNet::init(&options, 1, 1, &mut Initialiser::new(1, &device)).unwrap();
        let images = InMemory {
            shape: [1, 4, 4],
            regions: 0,
            images: (0..6)
                .map(|i| (0..16).map(|p| ((i * 5 + p * 3) % 7) as f32).collect())
                .collect(),
            masks: vec![Vec::new(); 6],
            ids: (0..6).collect(),
        };
        let before = Weights::of(&net);
        recalibrate(&net, &images, 3, &device);
        let after = Weights::of(&net);
        for (name, array) in &before.0 {
            let statistic = name.starts_with("enc.") && name.contains(".running_");
            assert_eq!(statistic, after.0[name] != *array, "{name}");
        }
        // The mean of the first layer's output over all images, batches of equal size.
        let pixels = images.images.concat();
        let x = Tensor::<4>::from_data(TensorData::new(pixels, [6, 1, 4, 4]), &device);
        let y = net.enc[0].conv1.forward(x);
        let expected = host_values(y.mean_dim(3).mean_dim(2).mean_dim(0));
        let found = &after.0["enc.0.bn1.running_mean"].values;
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() < 1e-5, "{found:?} {expected:?}");
        }
        // The same statistics as the layers themselves take in training: one batch of everything,
        // moved fully by 200 updates of the running averages.
        recalibrate(&net, &images, 6, &device);
        let once = Weights::of(&net);
        let pixels = images.images.concat();
        let x = Tensor::<4>::from_data(TensorData::new(pixels, [6, 1, 4, 4]), &device);
        for _ in 0..200 {
            let _ = net.encode(x.clone());
        }
        for (name, array) in &Weights::of(&net).subset("enc.").0 {
            for (f, e) in array.values.iter().zip(&once.0[name].values) {
                assert!((f - e).abs() < 1e-4, "{name}: {f} {e}");
            }
        }
    }
}
