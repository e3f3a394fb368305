//! Where the voxels of a phantom lie.

/// Shape and place of a volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    /// Voxels along x, y, z.
    pub(super) shape: [usize; 3],
    /// From voxel indices to RAS+ world coordinates in mm.
    pub(super) affine: [[f64; 4]; 4],
}

impl Grid {
    /// Number of voxels along an axis of `n` voxels at `scale`, at least 8.
    pub(super) fn scaled(n: usize, scale: f64) -> usize {
        ((n as f64 * scale).round() as usize).max(8)
    }

    /// An axis-aligned grid in ITK's LPS world, as scanners write it: `origin` is the centre of
    /// the first voxel.
    pub(super) fn lps(shape: [usize; 3], spacing: [f64; 3], origin: [f64; 3]) -> Self {
        // LPS to RAS+ turns the signs of x and y.
        let sign = [-1.0, -1.0, 1.0];
        let mut affine = [[0.0; 4]; 4];
        for axis in 0..3 {
            affine[axis][axis] = sign[axis] * spacing[axis];
            affine[axis][3] = sign[axis] * origin[axis];
        }
        affine[3][3] = 1.0;
        Self { shape, affine }
    }
}
