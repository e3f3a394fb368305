//! Grids of voxels in world coordinates.

use serde::{Deserialize, Serialize};

use crate::data::volume::{Affine, Header, axis_directions, spacing, transform};

/// Corners of two grids that are nearer than this, in mm, are the same corners.
const SAME_MM: f64 = 0.01;

/// Voxels of one grid at most.
const MAX_VOXELS: usize = 1 << 29;

/// Relative difference of spacings, over the length of an axis in voxels, that is no difference.
const SAME_SPACING: f64 = 1e-3;

/// Whether the index of canonical axis 0, 1, 2 grows against the RAS+ world axis: to the left, to the
/// back, and up (LPS), so that rows of a slice run from front to back as radiologists look at them.
const LPS: [bool; 3] = [true, true, false];

/// Shape and place of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Sizes `[x, y, z]`; x is the fastest in memory.
    pub shape: [usize; 3],
    /// Voxel index to world, RAS+, mm.
    pub affine: Affine,
}

impl Grid {
    /// Grid of a volume file.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self {
            shape: header.grid(),
            affine: header.affine,
        }
    }

    /// Distance of voxel centres along x, y, z in mm.
    #[must_use]
    pub fn spacing(&self) -> [f64; 3] {
        spacing(&self.affine)
    }

    /// Number of voxels.
    #[must_use]
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Centres of the corner voxels in the world.
    pub(super) fn corners(&self, pad: f64) -> [[f64; 3]; 8] {
        std::array::from_fn(|corner| {
            transform(
                &self.affine,
                std::array::from_fn(|i| {
                    if corner >> i & 1 == 1 {
                        self.shape[i] as f64 - 1.0 + pad
                    } else {
                        -pad
                    }
                }),
            )
        })
    }

    /// Whether both have the same voxels at the same places, within 0.01 mm.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self
                .corners(0.0)
                .iter()
                .zip(other.corners(0.0))
                .all(|(a, b)| a.iter().zip(b).all(|(x, y)| (x - y).abs() < SAME_MM))
    }

    /// The same axes and first voxel centre at another spacing: size `max(1, round(n s / s'))`
    /// (`metrics-and-data.md` section 8, the rule of ITK).
    ///
    /// `wanted` is in mm along the left-right, front-back and up-down axis; 0 keeps an axis.
    ///
    /// # Errors
    /// The axes do not span space, or the result is too large; in words.
    pub fn resampled(&self, wanted: [f64; 3]) -> Result<Self, String> {
        let directions = axis_directions(&self.affine).ok_or("the affine has no inverse")?;
        let own = self.spacing();
        let mut out = *self;
        for i in 0..3 {
            let target = wanted[directions[i].world];
            let ratio = own[i] / target;
            if target == 0.0 || (ratio - 1.0).abs() * (self.shape[i] as f64) < SAME_SPACING {
                continue;
            }
            out.shape[i] = (self.shape[i] as f64 * ratio).round().max(1.0) as usize;
            for row in out.affine.iter_mut().take(3) {
                row[i] /= ratio;
            }
        }
        out.checked()
    }

    /// Refuses what memory could not hold.
    pub(super) fn checked(self) -> Result<Self, String> {
        self.shape
            .iter()
            .try_fold(1_usize, |n, &s| n.checked_mul(s))
            .filter(|&n| n > 0 && n <= MAX_VOXELS)
            .map(|_| self)
            .ok_or_else(|| {
                format!(
                    "a grid of {:?} voxels is not prepared (1 to {MAX_VOXELS} are); see \
                     `resample.spacing`",
                    self.shape
                )
            })
    }

    /// The same voxels with axes permuted and reversed so that x grows to the left, y to the back and
    /// z up, as nearly as the directions allow.
    ///
    /// # Errors
    /// The axes do not span space.
    pub fn to_lps(&self) -> Result<Self, String> {
        let directions = axis_directions(&self.affine).ok_or("the affine has no inverse")?;
        let mut out = *self;
        for (i, direction) in directions.iter().enumerate() {
            let j = direction.world;
            out.shape[j] = self.shape[i];
            let flip = direction.reversed != LPS[j];
            let last = self.shape[i] as f64 - 1.0;
            for (row, source) in out.affine.iter_mut().zip(self.affine).take(3) {
                row[j] = if flip { -source[i] } else { source[i] };
                if flip {
                    row[3] += source[i] * last;
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::{IDENTITY, axis_codes};

    fn ras(shape: [usize; 3], size: [f64; 3]) -> Grid {
        let mut affine = IDENTITY;
        for i in 0..3 {
            affine[i][i] = size[i];
            affine[i][3] = 10.0 * i as f64;
        }
        Grid { shape, affine }
    }

    #[test]
    fn itk_rule_of_section_8() {
        let grid = ras([10, 7, 3], [1.0, 2.0, 3.27]);
        let out = grid.resampled([1.0, 1.0, 1.0]).expect("resampled");
        assert_eq!(out.shape, [10, 14, 10]);
        assert_eq!(out.affine[1], [0.0, 1.0, 0.0, 10.0]);
        assert!((out.spacing()[2] - 1.0).abs() < 1e-12);
        let coarse = grid.resampled([100.0, 0.0, 6.0]).expect("resampled");
        assert_eq!(coarse.shape, [1, 7, 2]);
        assert!(grid.resampled([1e-6; 3]).is_err());
    }

    #[test]
    fn lps_keeps_every_voxel_in_its_place() {
        let grid = ras([4, 5, 6], [1.0, 2.0, 3.0]);
        let out = grid.to_lps().expect("lps");
        assert_eq!(axis_codes(&out.affine).as_deref(), Some("LPS"));
        assert_eq!(
            transform(&out.affine, [0.0, 0.0, 0.0]),
            transform(&grid.affine, [3.0, 4.0, 0.0])
        );
        assert!(out.same_as(&out.to_lps().expect("again")));
        // Sagittal slices: x of the file is the world's y.
        let sagittal = Grid {
            shape: [7, 8, 9],
            affine: [
                [0.0, 0.0, 2.0, 1.0],
                [1.0, 0.0, 0.0, 2.0],
                [0.0, -1.0, 0.0, 3.0],
                [0.0, 0.0, 0.0, 1.0],
            ],
        };
        let out = sagittal.to_lps().expect("lps");
        assert_eq!(out.shape, [9, 7, 8]);
        assert_eq!(axis_codes(&out.affine).as_deref(), Some("LPS"));
        assert_eq!(
            transform(&out.affine, [8.0, 0.0, 0.0]),
            transform(&sagittal.affine, [6.0, 7.0, 0.0])
        );
    }
}
