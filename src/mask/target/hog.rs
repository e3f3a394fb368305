//! Histograms of oriented gradients, the target of MaskFeat (`methods/masked.md` section 3.3,
//! vectors N9).

use crate::mask::patch::Grid;

/// Bins of a histogram, 20 degrees of unsigned orientation each.
pub const BINS: usize = 9;
/// Least norm that a histogram is divided by.
const LEAST_NORM: f64 = 1e-12;

/// Sobel gradients `(gx, gy)` of a plane `[h, w]`, mirrored at the borders.
///
/// Differences are taken before they are weighted: at a border, where both sides are the same
/// pixel, they cancel to exactly 0, and no rounding error decides between the first and last bin.
#[must_use]
pub fn gradients(plane: &[f32], width: usize) -> Vec<(f64, f64)> {
    let height = plane.len() / width.max(1);
    let mirror = |i: usize, step: isize, n: usize| -> usize {
        match i as isize + step {
            -1 => 1.min(n - 1),
            k if k as usize == n => n.saturating_sub(2),
            k => k as usize,
        }
    };
    let mut all = Vec::with_capacity(plane.len());
    for y in 0..height {
        let rows = [mirror(y, -1, height), y, mirror(y, 1, height)];
        for x in 0..width {
            let cols = [mirror(x, -1, width), x, mirror(x, 1, width)];
            let at = |r: usize, c: usize| f64::from(plane[rows[r] * width + cols[c]]);
            let across = |r: usize| at(r, 0) - at(r, 2);
            let down = |c: usize| at(0, c) - at(2, c);
            all.push((
                across(0) + 2.0 * across(1) + across(2),
                down(0) + 2.0 * down(1) + down(2),
            ));
        }
    }
    all
}

/// Histograms of the cells of one plane `[h, w]`: `[h / cell, w / cell, BINS]`, each of length 1 or
/// all zeros (air). Rows and columns beyond the last whole cell are left out.
#[must_use]
pub fn hog(plane: &[f32], width: usize, cell: usize) -> Vec<[f64; BINS]> {
    let mut cells = sums(plane, width, cell);
    for histogram in &mut cells {
        let norm = histogram.iter().map(|v| v * v).sum::<f64>().sqrt();
        for value in histogram.iter_mut() {
            *value /= norm.max(LEAST_NORM);
        }
    }
    cells
}

/// Sums of gradient magnitudes per cell and bin.
fn sums(plane: &[f32], width: usize, cell: usize) -> Vec<[f64; BINS]> {
    let (rows, cols) = (plane.len() / width.max(1) / cell, width / cell);
    let mut cells = vec![[0.0; BINS]; rows * cols];
    for (at, (gx, gy)) in gradients(plane, width).into_iter().enumerate() {
        let (row, col) = (at / width / cell, at % width / cell);
        if row < rows && col < cols {
            cells[row * cols + col][bin(gx, gy)] += gx.hypot(gy);
        }
    }
    cells
}

/// Bin of a gradient: the angle `atan2(gx, gy)`, in this order, modulo half a turn.
fn bin(gx: f64, gy: f64) -> usize {
    let phase = gx.atan2(gy) / std::f64::consts::PI * BINS as f64;
    (phase.floor() as i64).rem_euclid(BINS as i64) as usize
}

/// Histograms of the cells in each patch of `image` `[c, h, w]`: `[D, rows, cols]` with
/// `D = c * BINS * k * k` in the order (channel, bin, row of the cell, column of the cell) and
/// `k = side / cell`; `cell` divides the side of a patch.
#[must_use]
pub fn hog_of_patches(grid: Grid, image: &[f32], cell: usize) -> Vec<f32> {
    let [_, height, width] = grid.shape();
    let k = grid.side() / cell;
    let mut all = Vec::with_capacity(image.len() / (cell * cell) * BINS);
    for plane in image.chunks_exact(height * width) {
        let cells = hog(plane, width, cell);
        for d in 0..BINS * k * k {
            let (bin, y, x) = (d / (k * k), d / k % k, d % k);
            for row in 0..grid.rows() {
                let line = (row * k + y) * (width / cell);
                let of_row = (0..grid.cols()).map(|col| cells[line + col * k + x][bin] as f32);
                all.extend(of_row);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(side: usize, value: impl Fn(usize, usize) -> usize) -> Vec<f32> {
        (0..side * side)
            .map(|i| value(i / side, i % side) as f32)
            .collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn spec_vectors_n9_ramps() {
        let ramps: [(Vec<f32>, [f64; 9], [f64; 9]); 3] = [
            (
                plane(8, |_, x| x),
                [0., 0., 0., 0., 384., 0., 0., 0., 0.],
                [0., 0., 0., 0., 1., 0., 0., 0., 0.],
            ),
            (
                plane(8, |y, _| y),
                [384., 0., 0., 0., 0., 0., 0., 0., 0.],
                [1., 0., 0., 0., 0., 0., 0., 0., 0.],
            ),
            (
                plane(8, |y, x| x + y),
                [96., 0., 407.293506, 0., 96., 0., 0., 0., 0.],
                [0.223607, 0., 0.948683, 0., 0.223607, 0., 0., 0., 0.],
            ),
        ];
        for (image, raw, normalised) in ramps {
            close(&sums(&image, 8, 8)[0], &raw);
            close(&hog(&image, 8, 8)[0], &normalised);
        }
        assert_eq!(hog(&plane(8, |_, _| 5), 8, 8), [[0.0; 9]]);
    }

    #[test]
    fn spec_vectors_n9_image() {
        let image = plane(16, |y, x| (7 * x + 3 * y + 5 * x * y) % 17);
        let all = gradients(&image, 16);
        assert_eq!(all[3 * 16 + 3], (-6.0, -8.0));
        assert_eq!(bin(-6.0, -8.0), 1);
        assert_eq!(all[5 * 16 + 9], (-1.0, -27.0));
        assert_eq!(bin(-1.0, -27.0), 0);
        let cells = [
            [
                0.488255, 0.221134, 0.356959, 0.222813, 0.508341, 0.346264, 0.177958, 0.297656,
                0.192520,
            ],
            [
                0.483904, 0.229037, 0.327440, 0.128336, 0.561709, 0.194756, 0.364536, 0.170716,
                0.272422,
            ],
            [
                0.371735, 0.220642, 0.462755, 0.179265, 0.294515, 0.309259, 0.452782, 0.423629,
                0.000000,
            ],
            [
                0.365074, 0.314118, 0.402461, 0.071984, 0.522754, 0.199237, 0.240317, 0.295026,
                0.378331,
            ],
        ];
        let found = hog(&image, 16, 8);
        let raw = sums(&image, 16, 8);
        let totals = [1136.913464, 1296.100125, 1383.986072, 1136.913464];
        for i in 0..4 {
            close(&found[i], &cells[i]);
            close(&[raw[i].iter().sum()], &[totals[i]]);
        }
        // The vector of a patch of 16: bin by bin, then the row and column of the cell.
        let token = hog_of_patches(Grid::new([1, 16, 16], 16).unwrap(), &image, 8);
        assert_eq!(token.len(), 36);
        let token: Vec<f64> = token.iter().map(|&v| f64::from(v)).collect();
        close(
            &token[..8],
            &[
                0.488255, 0.483904, 0.371735, 0.365074, 0.221134, 0.229037, 0.220642, 0.314118,
            ],
        );
    }

    #[test]
    fn several_patches_and_channels_keep_their_places() {
        let grid = Grid::new([2, 16, 32], 16).unwrap();
        let noise = |i: usize| ((i * i * 31 + 7 * i) % 101) as f32;
        let image: Vec<f32> = (0..1024).map(noise).collect();
        let all = hog_of_patches(grid, &image, 8);
        assert_eq!(all.len(), 2 * 36 * 2);
        for c in 0..2 {
            let cells = hog(&image[512 * c..512 * (c + 1)], 32, 8);
            for (bin, y, x, col) in [(0, 0, 0, 0), (3, 1, 0, 1), (8, 1, 1, 0), (5, 0, 1, 1)] {
                let d = c * 36 + bin * 4 + y * 2 + x;
                let expected = cells[y * 4 + col * 2 + x][bin] as f32;
                assert_eq!(all[d * 2 + col], expected);
            }
        }
    }
}
