//! Batches of masked images, made on the host.

use super::Hiding;
use crate::data::images::Images;
use crate::mask::patch::Grid;
use crate::mask::target::{BINS, Normalisation, hog_of_patches, normalise_patches};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, TrainError};

/// What is to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The image itself; nothing is made.
    Image,
    /// The image with normalised patches, `[c, h, w]`.
    Normalised(Normalisation),
    /// Histograms of oriented gradients of cells of so many pixels, `[D, rows, cols]`.
    Hog(usize),
    /// Codes of a tokenizer, `[images, patches]`.
    Codes(&'a [u16]),
}

impl Target<'_> {
    /// Shape of what is made for an image: `[c, h, w]` or `[d, rows, cols]`.
    fn shape(&self, grid: Grid) -> [usize; 3] {
        let [channels, _, _] = grid.shape();
        match self {
            Self::Image | Self::Normalised(_) | Self::Codes(_) => grid.shape(),
            Self::Hog(cell) => {
                let cells = (grid.side() / cell).pow(2);
                [channels * BINS * cells, grid.rows(), grid.cols()]
            }
        }
    }
}

/// What one pass reads; `n` images.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Number of images.
    pub n: usize,
    /// Clean images `[n, c, h, w]`.
    pub images: Vec<f32>,
    /// 1 at masked patches, `[n, patches]`.
    pub mask: Vec<f32>,
    /// What is to be predicted; empty without.
    pub target: Vec<f32>,
    /// Its shape, for one image.
    pub shape: [usize; 3],
    /// Codes `[n, patches]`; empty without.
    pub codes: Vec<i32>,
}

/// The view of one epoch.
pub struct Plan<'a> {
    pub(super) images: &'a dyn Images,
    pub(super) grid: Grid,
    pub(super) hiding: Hiding,
    pub(super) target: Target<'a>,
    /// Probability of a flip along each axis.
    pub(super) flip: f64,
    pub(super) seed: u64,
    pub(super) epoch: u64,
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    fn batch(&self, indices: &[usize]) -> Result<Batch, TrainError> {
        let [c, h, w] = self.grid.shape();
        let (n, size, patches) = (indices.len(), c * h * w, self.grid.patches());
        let mut batch = Batch {
            n,
            images: vec![0.0; n * size],
            mask: vec![0.0; n * patches],
            target: Vec::new(),
            shape: self.target.shape(self.grid),
            codes: Vec::new(),
        };
        for (i, &index) in indices.iter().enumerate() {
            let id = self.images.id(index);
            let image = &mut batch.images[i * size..(i + 1) * size];
            self.images.image(index, image);
            self.turn(image, id);
            for patch in self.hiding.draw(self.grid, self.seed, self.epoch, id) {
                batch.mask[i * patches + patch] = 1.0;
            }
            match self.target {
                Target::Image => {}
                Target::Normalised(kind) => {
                    let start = batch.target.len();
                    batch.target.extend_from_slice(image);
                    normalise_patches(self.grid, kind, &mut batch.target[start..])?;
                }
                Target::Hog(cell) => {
                    let made = hog_of_patches(self.grid, image, cell);
                    batch.target.extend(made);
                }
                Target::Codes(codes) => {
                    let row = &codes[index * patches..(index + 1) * patches];
                    batch.codes.extend(row.iter().map(|&code| i32::from(code)));
                }
            }
        }
        Ok(batch)
    }
}

impl Plan<'_> {
    /// Flips rows and columns, each with the probability asked for.
    fn turn(&self, image: &mut [f32], id: u64) {
        if self.flip == 0.0 {
            return;
        }
        let [_, h, w] = self.grid.shape();
        let mut stream = Stream::new(Purpose::Augment, &[self.seed, self.epoch, id]);
        let [upside, mirrored] = [(); 2].map(|()| stream.uniform() < self.flip);
        for plane in image.chunks_exact_mut(h * w) {
            if upside {
                // All pixels in reverse order, then each row back.
                plane.reverse();
            }
            if upside != mirrored {
                plane.chunks_exact_mut(w).for_each(<[f32]>::reverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;

    #[test]
    fn batches_hold_masks_targets_and_flips() {
        let images = InMemory {
            shape: [1, 4, 4],
            regions: 0,
            images: (0..8)
                .map(|i| (0..16).map(|p| (16 * i + p) as f32).collect())
                .collect(),
            masks: vec![Vec::new(); 8],
            ids: (100..108).collect(),
        };
        let grid = Grid::new([1, 4, 4], 2).unwrap();
        let codes: Vec<u16> = (0..32).collect();
        let plan = |target, flip, epoch| Plan {
            images: &images,
            grid,
            hiding: Hiding::Random(3),
            target,
            flip,
            seed: 1,
            epoch,
        };
        let batch = plan(Target::Codes(&codes), 0.0, 1).batch(&[2, 0]).unwrap();
        assert_eq!(batch.codes, [8, 9, 10, 11, 0, 1, 2, 3]);
        assert_eq!(batch.images[..16], images.images[2]);
        for row in batch.mask.chunks(4) {
            assert_eq!(row.iter().sum::<f32>(), 3.0);
        }
        // The mask belongs to the image and the epoch, not to the place in the batch.
        let alone = plan(Target::Image, 0.0, 1).batch(&[0]).unwrap();
        assert_eq!(alone.mask, batch.mask[4..]);
        let masks = |epoch| {
            plan(Target::Image, 0.0, epoch)
                .batch(&[0, 1, 2, 3])
                .unwrap()
        };
        assert_ne!(masks(1).mask, masks(2).mask);

        let kind = Normalisation::Mae;
        let all: Vec<usize> = (0..8).collect();
        let batch = plan(Target::Normalised(kind), 0.5, 1).batch(&all).unwrap();
        let mut corners = std::collections::BTreeSet::new();
        for (i, image) in batch.images.chunks(16).enumerate() {
            let corner = (image[0] - 16.0 * i as f32) as usize;
            assert!([0, 3, 12, 15].contains(&corner), "{corner}");
            let horizontal = image[1] - image[0];
            let vertical = image[4] - image[0];
            assert_eq!(
                horizontal,
                if corner.is_multiple_of(4) { 1.0 } else { -1.0 }
            );
            assert_eq!(vertical, if corner < 4 { 4.0 } else { -4.0 });
            corners.insert(corner);
            // The target is of the flipped image.
            let mut expected = image.to_vec();
            normalise_patches(grid, kind, &mut expected).unwrap();
            assert_eq!(batch.target[16 * i..16 * (i + 1)], expected);
        }
        assert!(corners.len() > 1, "some are flipped and some are not");
    }
}
