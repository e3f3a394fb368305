//! The range of intensities of each volume (`methods/contrastive.md` section 2.2).

use crate::data::images::Images;

/// Least and greatest value of each channel of each volume: what maps intensities to 0 and 1 and
/// back, because augmentations are defined there.
///
/// Intensities were clipped per volume before they were normalised, so this is the clip's range
/// as far as the slices at hand show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    channels: usize,
    /// `[low, high]` per volume and channel.
    bounds: Vec<[f32; 2]>,
}

impl Ranges {
    /// Reads every image once.
    #[must_use]
    pub fn of(images: &dyn Images) -> Self {
        let [channels, height, width] = images.shape();
        let pixels = height * width;
        let mut bounds: Vec<[f32; 2]> = Vec::new();
        let mut image = vec![0.0; channels * pixels];
        for index in 0..images.len() {
            images.image(index, &mut image);
            let first = images.volume(index) * channels;
            if bounds.len() < first + channels {
                bounds.resize(first + channels, [f32::INFINITY, f32::NEG_INFINITY]);
            }
            for (bound, plane) in bounds[first..].iter_mut().zip(image.chunks_exact(pixels)) {
                for &v in plane {
                    bound[0] = bound[0].min(v);
                    bound[1] = bound[1].max(v);
                }
            }
        }
        Self { channels, bounds }
    }

    /// `[low, high]` of each channel of `volume`.
    #[must_use]
    pub fn volume(&self, volume: usize) -> &[[f32; 2]] {
        let first = volume * self.channels;
        self.bounds.get(first..first + self.channels).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;

    #[test]
    fn one_range_per_image_without_volumes() {
        let images = InMemory {
            shape: [2, 1, 2],
            regions: 0,
            images: vec![vec![1., 2., 5., 5.], vec![-1., 0., 3., 4.]],
            masks: vec![Vec::new(); 2],
            ids: vec![0, 1],
        };
        let ranges = Ranges::of(&images);
        assert_eq!(ranges.volume(0), [[1., 2.], [5., 5.]]);
        assert_eq!(ranges.volume(1), [[-1., 0.], [3., 4.]]);
        assert!(ranges.volume(2).is_empty());
    }
}
