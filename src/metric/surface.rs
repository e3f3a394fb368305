//! Surface voxels of a mask.

use super::Mask;
use super::mask::Grid;

/// Indices of the surface voxels in ascending order: voxels of the mask with a face neighbour (4 in
/// 2D, 6 in 3D) that is background. Outside of the array counts as background.
#[must_use]
pub fn surface_voxels(mask: &Mask<'_>) -> Vec<usize> {
    surface(mask.data(), mask.grid())
}

pub(super) fn surface(data: &[bool], grid: &Grid) -> Vec<usize> {
    let [depth, height, width] = grid.shape();
    let strides = [height * width, width, 1];
    let mut found = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            let row = (z * height + y) * width;
            // A row at the border has background beyond it, whatever its neighbours are.
            let border = (!grid.is_flat(0) && (z == 0 || z + 1 == depth))
                || (!grid.is_flat(1) && (y == 0 || y + 1 == height));
            for x in 0..width {
                let index = row + x;
                if !data[index] {
                    continue;
                }
                let exposed = border
                    || (!grid.is_flat(2) && (x == 0 || x + 1 == width))
                    || (0..3).any(|axis| {
                        let inside = |step: usize| data[index - step] && data[index + step];
                        !grid.is_flat(axis) && !inside(strides[axis])
                    });
                if exposed {
                    found.push(index);
                }
            }
        }
    }
    found
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
