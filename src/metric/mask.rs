//! Masks and the grid that they lie on.

use std::ops::Range;

use super::MetricError;

/// A regular grid, axes in the order z, y, x.
///
/// An axis with a single voxel is flat: it has no surface across it and no extent. A 2D image is
/// therefore the same as a volume of one slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    shape: [usize; 3],
    spacing: [f64; 3],
    flat: [bool; 3],
}

impl Grid {
    /// Grid of a volume: voxels and millimetres per voxel along z, y, x.
    ///
    /// # Errors
    /// If the number of voxels overflows or a spacing is not positive and finite.
    pub fn volume(shape: [usize; 3], spacing: [f64; 3]) -> Result<Self, MetricError> {
        shape
            .iter()
            .try_fold(1usize, |n, &s| n.checked_mul(s))
            .ok_or(MetricError::TooLarge { shape })?;
        if spacing.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(MetricError::Spacing { spacing });
        }
        Ok(Self {
            shape,
            spacing,
            flat: shape.map(|n| n <= 1),
        })
    }

    /// Grid of an image: rows and columns.
    ///
    /// # Errors
    /// As [`Grid::volume`].
    pub fn image(shape: [usize; 2], spacing: [f64; 2]) -> Result<Self, MetricError> {
        Self::volume([1, shape[0], shape[1]], [1.0, spacing[0], spacing[1]])
    }

    /// Voxels along z, y, x.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Millimetres per voxel along z, y, x.
    #[must_use]
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// Number of voxels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no voxel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the axis has no extent.
    pub(super) fn is_flat(&self, axis: usize) -> bool {
        self.flat[axis]
    }

    /// Diagonal in mm over the axes that have an extent: `sqrt(sum (n_i s_i)^2)`, the distance
    /// that stands for "not found" (`metrics-and-data.md` section 2).
    #[must_use]
    pub fn diagonal(&self) -> f64 {
        (0..3)
            .filter(|&a| !self.flat[a])
            .map(|a| (self.shape[a] as f64 * self.spacing[a]).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    /// The grid of one axial slice.
    #[must_use]
    pub fn slice(&self) -> Self {
        let mut slice = *self;
        slice.shape[0] = 1;
        slice.flat[0] = true;
        slice
    }

    /// The grid of a part of `shape` voxels; flat axes stay what they are, so that a crop of one
    /// slice of a volume still has its surface.
    fn part(&self, shape: [usize; 3]) -> Self {
        Self { shape, ..*self }
    }
}

/// A boolean mask on a grid, row-major, x fastest.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    grid: Grid,
    data: &'a [bool],
}

impl<'a> Mask<'a> {
    /// A mask.
    ///
    /// # Errors
    /// If `data` does not fill the grid.
    pub fn new(data: &'a [bool], grid: Grid) -> Result<Self, MetricError> {
        if data.len() == grid.len() {
            Ok(Self { grid, data })
        } else {
            Err(MetricError::Length {
                what: "mask",
                found: data.len(),
                expected: grid.len(),
            })
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Its voxels.
    #[must_use]
    pub fn data(&self) -> &'a [bool] {
        self.data
    }

    /// Checks that `other` lies on the same grid.
    pub(super) fn same_grid(&self, other: &Mask<'_>) -> Result<(), MetricError> {
        if self.grid == other.grid {
            Ok(())
        } else {
            Err(MetricError::Shapes {
                prediction: self.grid.shape,
                reference: other.grid.shape,
            })
        }
    }
}

/// Whether a voxel is set; reads all of them, which is fast.
pub(super) fn any(voxels: &[bool]) -> bool {
    voxels.iter().fold(false, |any, &v| any | v)
}

/// A box of voxels: `start` inclusive, `end` exclusive, along z, y, x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VoxelBox {
    pub(super) start: [usize; 3],
    pub(super) end: [usize; 3],
}

impl VoxelBox {
    /// Smallest box with every voxel that satisfies `inside(index)`; `None` if there is none. Rows,
    /// given as ranges of indices, of which `blank` knows that they have none are passed over.
    pub(super) fn around(
        shape: [usize; 3],
        blank: impl Fn(Range<usize>) -> bool,
        inside: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        let [depth, height, width] = shape;
        let (mut start, mut end) = (shape, [0; 3]);
        for z in 0..depth {
            for y in 0..height {
                let row = (z * height + y) * width;
                if blank(row..row + width) {
                    continue;
                }
                let Some(first) = (0..width).find(|x| inside(row + x)) else {
                    continue;
                };
                let last = (first..width).rfind(|x| inside(row + x)).unwrap_or(first);
                for (axis, (low, high)) in [(z, z), (y, y), (first, last)].into_iter().enumerate() {
                    start[axis] = start[axis].min(low);
                    end[axis] = end[axis].max(high + 1);
                }
            }
        }
        (end[0] > 0).then_some(Self { start, end })
    }

    /// Smallest box around two masks.
    pub(super) fn around_masks(shape: [usize; 3], a: &[bool], b: &[bool]) -> Option<Self> {
        Self::around(
            shape,
            |row| !any(&a[row.clone()]) && !any(&b[row]),
            |i| a[i] || b[i],
        )
    }

    /// Voxels along z, y, x.
    pub(super) fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.end[a] - self.start[a])
    }

    /// Copies the box out of a volume of `shape`.
    pub(super) fn cut<T: Copy>(&self, data: &[T], shape: [usize; 3]) -> Vec<T> {
        let mut out = Vec::with_capacity(self.shape().iter().product());
        for z in self.start[0]..self.end[0] {
            for y in self.start[1]..self.end[1] {
                let row = (z * shape[1] + y) * shape[2];
                out.extend_from_slice(&data[row + self.start[2]..row + self.end[2]]);
            }
        }
        out
    }

    /// The grid of the box cut out of `grid`.
    pub(super) fn grid(&self, grid: &Grid) -> Grid {
        grid.part(self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_of_the_data_sets() {
        for (shape, expected) in [
            ([1, 144, 144], 203.646_753),
            ([1, 160, 160], 226.274_170),
            ([155, 240, 240], 373.128_664),
        ] {
            let grid = Grid::volume(shape, [1.0; 3]).unwrap();
            assert!((grid.diagonal() - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn bad_grids_are_refused() {
        assert!(matches!(
            Grid::volume([usize::MAX, 2, 2], [1.0; 3]),
            Err(MetricError::TooLarge { .. })
        ));
        for spacing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Grid::image([2, 2], [1.0, spacing]).is_err());
        }
        let grid = Grid::image([2, 2], [1.0; 2]).unwrap();
        assert!(Mask::new(&[true; 3], grid).is_err());
    }

    #[test]
    fn box_around_and_cut() {
        let shape = [2, 3, 4];
        let data: Vec<usize> = (0..24).collect();
        let found = VoxelBox::around(shape, |_| false, |i| i == 6 || i == 17).unwrap();
        assert_eq!((found.start, found.end), ([0, 1, 1], [2, 2, 3]));
        assert_eq!(found.cut(&data, shape), [5, 6, 17, 18]);
        assert_eq!(VoxelBox::around(shape, |_| false, |_| false), None);
        assert_eq!(VoxelBox::around(shape, |_| true, |_| true), None);
    }
}
