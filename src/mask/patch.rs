//! Images cut into square patches and put together again, on the host.
//!
//! Patches are numbered row by row over the grid. Inside a patch the values run by pixel row, pixel
//! column, and channel last, as in MAE; masks, labels and clusters all use these numbers.

use thiserror::Error;

/// Why an image has no patches.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The side does not divide the image, or one of the sizes is 0.
    #[error(
        "patches of {side} x {side} pixels do not tile an image of {height} x {width} pixels with {channels} channels"
    )]
    Shape {
        /// Channels of the image.
        channels: usize,
        /// Height of the image in pixels.
        height: usize,
        /// Width of the image in pixels.
        width: usize,
        /// Side of a patch in pixels.
        side: usize,
    },
    /// A buffer does not have the size of the image.
    #[error("{what} has {found} values where the grid has {expected}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Values that the grid needs.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
}

/// How an image `[channels, height, width]` is cut into patches of `side x side` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    channels: usize,
    rows: usize,
    cols: usize,
    side: usize,
}

impl Grid {
    /// Grid over images of `shape` `[channels, height, width]`; they need not be square.
    ///
    /// # Errors
    /// [`PatchError::Shape`] where `side` does not divide height and width.
    pub fn new(shape: [usize; 3], side: usize) -> Result<Self, PatchError> {
        let [channels, height, width] = shape;
        let tiles = channels > 0
            && side > 0
            && height > 0
            && width > 0
            && height.is_multiple_of(side)
            && width.is_multiple_of(side);
        if !tiles {
            return Err(PatchError::Shape {
                channels,
                height,
                width,
                side,
            });
        }
        Ok(Self {
            channels,
            rows: height / side,
            cols: width / side,
            side,
        })
    }

    /// Rows of patches.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of patches.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Side of a patch in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        self.side
    }

    /// Number of patches `N`.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.rows * self.cols
    }

    /// Values in a patch: `side * side * channels`.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.side * self.side * self.channels
    }

    /// Shape `[channels, height, width]` of the images.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.rows * self.side, self.cols * self.side]
    }

    fn check(&self, what: &'static str, found: usize, expected: usize) -> Result<(), PatchError> {
        if found == expected {
            Ok(())
        } else {
            Err(PatchError::Length {
                what,
                expected,
                found,
            })
        }
    }

    /// Calls `visit(index in the image, index in the patches)` for every value.
    fn for_each(&self, mut visit: impl FnMut(usize, usize)) {
        let [channels, height, width] = self.shape();
        let mut at = 0;
        for row in 0..self.rows {
            for col in 0..self.cols {
                for y in row * self.side..(row + 1) * self.side {
                    for x in col * self.side..(col + 1) * self.side {
                        for c in 0..channels {
                            visit((c * height + y) * width + x, at);
                            at += 1;
                        }
                    }
                }
            }
        }
    }

    /// Cuts `image` `[C, H, W]` into `out` `[N, side * side * C]`, channel last.
    ///
    /// # Errors
    /// [`PatchError::Length`] where a buffer has the wrong size.
    pub fn patchify_into(&self, image: &[f32], out: &mut [f32]) -> Result<(), PatchError> {
        let values = self.patches() * self.dim();
        self.check("the image", image.len(), values)?;
        self.check("the patch buffer", out.len(), values)?;
        self.for_each(|pixel, value| out[value] = image[pixel]);
        Ok(())
    }

    /// Cuts `image` `[C, H, W]` into patches `[N, side * side * C]`, channel last.
    ///
    /// # Errors
    /// [`PatchError::Length`] where the image has the wrong size.
    pub fn patchify(&self, image: &[f32]) -> Result<Vec<f32>, PatchError> {
        self.check("the image", image.len(), self.patches() * self.dim())?;
        let mut out = vec![0.0; image.len()];
        self.patchify_into(image, &mut out)?;
        Ok(out)
    }

    /// Puts patches `[N, side * side * C]` together to an image `[C, H, W]`.
    ///
    /// # Errors
    /// [`PatchError::Length`] where the patches have the wrong size.
    pub fn unpatchify(&self, patches: &[f32]) -> Result<Vec<f32>, PatchError> {
        self.check("the patches", patches.len(), self.patches() * self.dim())?;
        let mut image = vec![0.0; patches.len()];
        self.for_each(|pixel, value| image[pixel] = patches[value]);
        Ok(image)
    }

    /// Labels of the patches by a lesion mask `[H, W]`: 1 where the patch holds at least one pixel
    /// that is not 0 (the definition of a lesion patch in Table VII is ours).
    ///
    /// # Errors
    /// [`PatchError::Length`] where the mask has the wrong size.
    pub fn lesion_labels(&self, mask: &[f32]) -> Result<Vec<u8>, PatchError> {
        let [_, height, width] = self.shape();
        self.check("the lesion mask", mask.len(), height * width)?;
        let mut labels = vec![0; self.patches()];
        for (y, line) in mask.chunks_exact(width).enumerate() {
            for (x, &value) in line.iter().enumerate() {
                if value != 0.0 {
                    labels[(y / self.side) * self.cols + x / self.side] = 1;
                }
            }
        }
        Ok(labels)
    }

    /// Writes 1 into `out` `[H, W]` at the pixels of the `masked` patches and 0 elsewhere. Patch
    /// numbers outside of the grid are ignored.
    ///
    /// # Errors
    /// [`PatchError::Length`] where the buffer has the wrong size.
    pub fn pixel_mask_into(&self, masked: &[usize], out: &mut [f32]) -> Result<(), PatchError> {
        let [_, height, width] = self.shape();
        self.check("the pixel mask", out.len(), height * width)?;
        out.fill(0.0);
        for &patch in masked.iter().filter(|&&p| p < self.patches()) {
            let (row, col) = (patch / self.cols, patch % self.cols);
            for y in row * self.side..(row + 1) * self.side {
                let start = y * width + col * self.side;
                out[start..start + self.side].fill(1.0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spec_vector_n6() {
        let image: Vec<f32> = (0..16).chain(100..116).map(|v| v as f32).collect();
        let grid = Grid::new([2, 4, 4], 2).unwrap();
        let patches = grid.patchify(&image).unwrap();
        let expected: [[f32; 8]; 4] = [
            [0., 100., 1., 101., 4., 104., 5., 105.],
            [2., 102., 3., 103., 6., 106., 7., 107.],
            [8., 108., 9., 109., 12., 112., 13., 113.],
            [10., 110., 11., 111., 14., 114., 15., 115.],
        ];
        assert_eq!(patches, expected.concat());
        assert_eq!(grid.unpatchify(&patches).unwrap(), image);
        // The channel-first order of a pixel-shuffle head, by transposing [pixel, channel].
        let shuffled: Vec<f32> = (0..2)
            .flat_map(|c| (0..4).map(move |p| p * 2 + c))
            .map(|i| patches[i])
            .collect();
        assert_eq!(shuffled, [0., 1., 4., 5., 100., 101., 104., 105.]);
    }

    #[test]
    fn rejects_what_does_not_tile() {
        for (shape, side) in [
            ([1, 144, 144], 32),
            ([1, 4, 6], 4),
            ([1, 4, 4], 0),
            ([0, 4, 4], 2),
            ([1, 0, 4], 2),
        ] {
            assert!(matches!(
                Grid::new(shape, side),
                Err(PatchError::Shape { .. })
            ));
        }
        let grid = Grid::new([1, 4, 4], 2).unwrap();
        assert!(grid.patchify(&[0.0; 15]).is_err());
        assert!(grid.unpatchify(&[0.0; 17]).is_err());
        assert!(grid.lesion_labels(&[0.0; 3]).is_err());
        assert!(grid.pixel_mask_into(&[0], &mut [0.0; 3]).is_err());
    }

    #[test]
    fn one_lesion_pixel_makes_a_lesion_patch() {
        let grid = Grid::new([3, 4, 6], 2).unwrap();
        let mut mask = vec![0.0; 24];
        mask[6 + 4] = 1.0;
        mask[3 * 6] = 1.0;
        assert_eq!(grid.lesion_labels(&mask).unwrap(), [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn pixel_mask_covers_whole_patches() {
        let grid = Grid::new([1, 2, 4], 2).unwrap();
        let mut out = vec![9.0; 8];
        grid.pixel_mask_into(&[1, 77], &mut out).unwrap();
        assert_eq!(out, [0., 0., 1., 1., 0., 0., 1., 1.]);
    }

    proptest! {
        #[test]
        fn unpatchify_inverts_patchify(
            c in 1usize..4, rows in 1usize..5, cols in 1usize..5, side in 1usize..5
        ) {
            let grid = Grid::new([c, rows * side, cols * side], side).unwrap();
            let image: Vec<f32> = (0..grid.patches() * grid.dim()).map(|v| v as f32).collect();
            let patches = grid.patchify(&image).unwrap();
            prop_assert_eq!(grid.unpatchify(&patches).unwrap(), image);
        }
    }
}
