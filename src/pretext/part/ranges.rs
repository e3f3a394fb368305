//! The range of intensities of each volume (`methods/contrastive.md` section 2.2).

use crate::data::images::Images;
use crate::options::IntensityRange;

/// Least and greatest value of each channel of each volume, or of each slice: what maps intensities to 0 and 1 and
/// back, because augmentations are defined there.
///
/// Intensities were clipped per volume before they were normalised, so this is the clip's range
/// as far as the slices at hand show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    channels: usize,
    by: IntensityRange,
    /// `[low, high]` per volume or slice and channel.
    bounds: Vec<[f32; 2]>,
}

impl Ranges {
    /// Reads every image once.
    #[must_use]
    pub fn of(images: &dyn Images, by: IntensityRange) -> Self {
        let [channels, height, width] = images.shape();
        let pixels = height * width;
        let mut bounds: Vec<[f32; 2]> = Vec::new();
        let mut image = vec![0.0; channels * pixels];
        for index in 0..images.len() {
            images.image(index, &mut image);
            let first = by.place(images, index) * channels;
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
        Self {
            channels,
            by,
            bounds,
        }
    }

    /// `[low, high]` of each channel for the slice at `index` of the same `images`.
    #[must_use]
    pub fn bounds(&self, images: &dyn Images, index: usize) -> &[[f32; 2]] {
        let first = self.by.place(images, index) * self.channels;
        self.bounds.get(first..first + self.channels).unwrap_or(&[])
    }
}

impl IntensityRange {
    /// The place in a table of ranges of the slice at `index`.
    fn place(self, images: &dyn Images, index: usize) -> usize {
        match self {
            Self::Volume => images.volume(index),
            Self::Slice => index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;

    #[test]
    fn by_volume_and_by_slice() {
        /// Two volumes, the first of two slices.
        struct Slices(InMemory);
        impl Images for Slices {
            fn len(&self) -> usize {
                self.0.len()
            }
            fn shape(&self) -> [usize; 3] {
                self.0.shape()
            }
            fn regions(&self) -> usize {
                0
            }
            fn image(&self, index: usize, out: &mut [f32]) {
                self.0.image(index, out);
            }
            fn masks(&self, index: usize, out: &mut [f32]) {
                self.0.masks(index, out);
            }
            fn id(&self, index: usize) -> u64 {
                self.0.id(index)
            }
            fn volume(&self, index: usize) -> usize {
                index / 2
            }
        }
        let images = Slices(InMemory {
            shape: [2, 1, 2],
            regions: 0,
            images: vec![
                vec![1., 2., 5., 5.],
                vec![-1., 0., 3., 4.],
                vec![7., 8., 0., 1.],
            ],
            masks: vec![Vec::new(); 3],
            ids: vec![0, 1, 2],
        });
        let ranges = Ranges::of(&images, IntensityRange::Volume);
        for index in [0, 1] {
            assert_eq!(ranges.bounds(&images, index), [[-1., 2.], [3., 5.]]);
        }
        assert_eq!(ranges.bounds(&images, 2), [[7., 8.], [0., 1.]]);
        let ranges = Ranges::of(&images, IntensityRange::Slice);
        assert_eq!(ranges.bounds(&images, 0), [[1., 2.], [5., 5.]]);
        assert_eq!(ranges.bounds(&images, 1), [[-1., 0.], [3., 4.]]);
        assert!(ranges.bounds(&images, 3).is_empty());
    }
}
