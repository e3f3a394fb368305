//! Running statistics of the transferred encoder, estimated again on clean images
//! (`methods/masked.md` section 1.3): during pre-training they were collected on partly blank ones.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::data::images::Images;
use crate::nn::backbone::UNet;
use crate::nn::layer::MOMENTUM;

/// Forward passes at most.
const PASSES: usize = 8;

/// Sets the running mean and variance of every batch normalisation of the encoder to the plain
/// average of the batch statistics over the first images, in order. No weight changes.
pub fn recalibrate(model: &UNet, images: &dyn Images, batch: usize, device: &Device) {
    let device = device.clone().autodiff();
    let [c, h, w] = images.shape();
    let probe = model.clone().no_grad();
    let mut means: Vec<Option<(Tensor<1>, Tensor<1>)>> = vec![None; probe.encoder_norms().count()];
    let all: Vec<usize> = (0..images.len()).collect();
    let mut passes = 0;
    for indices in all.chunks(batch.max(1)).take(PASSES) {
        for norm in probe.encoder_norms() {
            // From zero, one update leaves `MOMENTUM` times the statistic of the batch.
            norm.running_mean
                .set(norm.running_mean.value().zeros_like());
            norm.running_var.set(norm.running_var.value().zeros_like());
        }
        let mut pixels = vec![0.0; indices.len() * c * h * w];
        for (&index, image) in indices.iter().zip(pixels.chunks_exact_mut(c * h * w)) {
            images.image(index, image);
        }
        let data = TensorData::new(pixels, [indices.len(), c, h, w]);
        let _ = probe.encode(Tensor::from_data(data, &device));
        for (sum, norm) in means.iter_mut().zip(probe.encoder_norms()) {
            let (mean, var) = (norm.running_mean.value(), norm.running_var.value());
            *sum = Some(match sum.take() {
                Some((m, v)) => (m + mean, v + var),
                None => (mean, var),
            });
        }
        passes += 1;
    }
    let factor = 1.0 / (MOMENTUM * f64::from(passes.max(1)));
    for (sum, norm) in means.into_iter().zip(model.encoder_norms()) {
        if let Some((mean, var)) = sum {
            norm.running_mean.set(mean.mul_scalar(factor));
            norm.running_var.set(var.mul_scalar(factor));
        }
    }
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
    }
}
