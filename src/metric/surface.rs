//! Surface voxels of a mask.

use super::Mask;
use super::mask::{Grid, any};
use crate::wide::wide;

/// Indices of the surface voxels in ascending order: voxels of the mask with a face neighbour (4 in
/// 2D, 6 in 3D) that is background. Outside of the array counts as background.
#[must_use]
pub fn surface_voxels(mask: &Mask<'_>) -> Vec<usize> {
    surface(mask.data(), mask.grid())
}

pub(super) fn surface(data: &[bool], grid: &Grid) -> Vec<usize> {
    let [depth, height, width] = grid.shape();
    let mut found = Vec::new();
    let mut inner = vec![false; width];
    for z in 0..depth {
        for y in 0..height {
            let row = (z * height + y) * width;
            let voxels = &data[row..row + width];
            if !any(voxels) {
                continue;
            }
            // A row at the border has background beyond it, whatever its neighbours are.
            let border = (!grid.is_flat(0) && (z == 0 || z + 1 == depth))
                || (!grid.is_flat(1) && (y == 0 || y + 1 == height));
            inner.fill(!border);
            if !border {
                for (axis, stride) in [(0, height * width), (1, width)] {
                    if !grid.is_flat(axis) {
                        let beside = |start: usize| &data[start..start + width];
                        keep_both(&mut inner, beside(row - stride), beside(row + stride));
                    }
                }
                if !grid.is_flat(2) {
                    inner[0] = false;
                    inner[width - 1] = false;
                    if width > 2 {
                        keep_both(&mut inner[1..width - 1], &voxels[..width - 2], &voxels[2..]);
                    }
                }
            }
            let exposed = voxels.iter().zip(&inner).enumerate();
            found.extend(
                exposed
                    .filter(|(_, (v, inner))| **v & !**inner)
                    .map(|(x, _)| row + x),
            );
        }
    }
    found
}

wide! {
    /// `inner[x] &= a[x] & b[x]`.
    fn keep_both(inner: &mut [bool], a: &[bool], b: &[bool]) {
        for ((inner, &a), &b) in inner.iter_mut().zip(a).zip(b) {
            *inner &= a & b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_block_has_no_inside_surface() {
        let grid = Grid::volume([3, 3, 3], [1.0; 3]).unwrap();
        let surface = surface(&[true; 27], &grid);
        assert_eq!(surface.len(), 26);
        assert!(!surface.contains(&13));
    }

    #[test]
    fn a_flat_axis_has_no_surface_across_it() {
        let grid = Grid::image([3, 3], [1.0; 2]).unwrap();
        assert_eq!(surface(&[true; 9], &grid).len(), 8);
        let line = Grid::image([1, 4], [1.0; 2]).unwrap();
        assert_eq!(surface(&[true; 4], &line), [0, 3]);
    }

    #[test]
    fn diagonal_background_does_not_expose() {
        let grid = Grid::image([3, 3], [1.0; 2]).unwrap();
        let mut data = [true; 9];
        data[0] = false;
        assert!(!surface(&data, &grid).contains(&4));
        data[1] = false;
        assert!(surface(&data, &grid).contains(&4));
    }
}
