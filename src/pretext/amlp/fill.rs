//! What the network sees in place of masked patches (section 1.3), on the host.

use crate::options::MaskFill;
use crate::random::Stream;

/// Replaces the masked pixels (`mask` is 1) of `image` `[channels, pixels]`. The trainable tile is
/// added on the device, so [`MaskFill::Learned`] leaves zeros here.
pub(super) fn fill_masked(image: &mut [f32], mask: &[f32], fill: MaskFill, noise: &mut Stream) {
    if mask.is_empty() {
        return;
    }
    for channel in image.chunks_exact_mut(mask.len()) {
        let mean = if fill == MaskFill::Mean {
            let sum: f64 = channel.iter().map(|&v| f64::from(v)).sum();
            (sum / channel.len() as f64) as f32
        } else {
            0.0
        };
        for (value, _) in channel.iter_mut().zip(mask).filter(|(_, m)| **m != 0.0) {
            *value = match fill {
                MaskFill::Noise => noise.normal() as f32,
                MaskFill::Zero | MaskFill::Learned | MaskFill::Mean => mean,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn filled(fill: MaskFill) -> Vec<f32> {
        let mut image = vec![1.0, 2.0, 3.0, 6.0, -1.0, -2.0, -3.0, -6.0];
        let mask = [0.0, 1.0, 0.0, 1.0];
        let mut noise = Stream::new(Purpose::Fill, &[1]);
        fill_masked(&mut image, &mask, fill, &mut noise);
        image
    }

    #[test]
    fn every_mode_leaves_visible_pixels_alone() {
        for fill in [MaskFill::Zero, MaskFill::Learned] {
            assert_eq!(filled(fill), [1., 0., 3., 0., -1., 0., -3., 0.]);
        }
        assert_eq!(filled(MaskFill::Mean), [1., 3., 3., 3., -1., -3., -3., -3.]);
        let noise = filled(MaskFill::Noise);
        assert_eq!([noise[0], noise[2], noise[4], noise[6]], [1., 3., -1., -3.]);
        assert!(noise[1] != 2.0 && noise[1] != noise[3]);
        assert_eq!(noise, filled(MaskFill::Noise));
    }
}
