//! Boundary intersection over union (Cheng et al. 2021; paper equation 8).

use super::mask::VoxelBox;
use super::{Mask, MetricError};

/// Pixels of two boundary regions; counts of slices add up to the counts of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundaryOverlap {
    /// Pixels in both boundary regions.
    pub intersection: u64,
    /// Pixels in at least one.
    pub union: u64,
}

impl BoundaryOverlap {
    /// The ratio, or `None` if neither mask has a pixel.
    #[must_use]
    pub fn biou(&self) -> Option<f64> {
        (self.union > 0).then(|| self.intersection as f64 / self.union as f64)
    }
}

/// Width of the boundary region in pixels: `max(1, round(ratio * diagonal))`, half to even, of an
/// image of `height` by `width` pixels.
#[must_use]
pub fn boundary_width(height: usize, width: usize, ratio: f64) -> usize {
    let diagonal = (height as f64).hypot(width as f64);
    ((ratio * diagonal).round_ties_even() as usize).max(1)
}

/// Boundary region of a mask, slice by slice: pixels of the mask within Chebyshev distance
/// `width` of background in their axial slice; outside of the array counts as background. Equals
/// the mask minus `width` erosions by a full 3x3 square.
#[must_use]
pub fn boundary_region(mask: &Mask<'_>, width: usize) -> Vec<bool> {
    let [_, height, columns] = mask.grid().shape();
    region(mask.data(), height, columns, width)
}

/// Counts of the boundary regions of two masks, pooled over the axial slices.
///
/// # Errors
/// If the masks lie on different grids.
pub fn boundary_overlap(
    prediction: &Mask<'_>,
    reference: &Mask<'_>,
    width: usize,
) -> Result<BoundaryOverlap, MetricError> {
    prediction.same_grid(reference)?;
    let shape = prediction.grid().shape();
    let (p, g) = (prediction.data(), reference.data());
    let Some(around) = VoxelBox::around(shape, |i| p[i] || g[i]) else {
        return Ok(BoundaryOverlap::default());
    };
    let [_, height, columns] = around.shape();
    let p = region(&around.cut(p, shape), height, columns, width);
    let g = region(&around.cut(g, shape), height, columns, width);
    let mut counts = BoundaryOverlap::default();
    for (&p, &g) in p.iter().zip(&g) {
        counts.intersection += u64::from(p & g);
        counts.union += u64::from(p | g);
    }
    Ok(counts)
}

/// The erosion by a square separates: runs along rows shrink by `width` at both ends, then runs of
/// what is left along columns.
fn region(data: &[bool], height: usize, columns: usize, width: usize) -> Vec<bool> {
    let mut inner = data.to_vec();
    if height == 0 || columns == 0 {
        return inner;
    }
    for slice in inner.chunks_exact_mut(height * columns) {
        for row in 0..height {
            shrink_runs(slice, row * columns, 1, columns, width);
        }
        for column in 0..columns {
            shrink_runs(slice, column, columns, height, width);
        }
    }
    for (inner, &inside) in inner.iter_mut().zip(data) {
        *inner = inside && !*inner;
    }
    inner
}

/// Shrinks every run of `true` on a line of `n` pixels by `width` at both ends.
fn shrink_runs(slice: &mut [bool], start: usize, stride: usize, n: usize, width: usize) {
    let mut run = 0;
    for i in 0..=n {
        if i < n && slice[start + i * stride] {
            run += 1;
        } else {
            let keep = run_core(i - run, i, width);
            for j in (i - run..i).filter(|j| !keep.contains(j)) {
                slice[start + j * stride] = false;
            }
            run = 0;
        }
    }
}

/// What is left of the run `from..to`.
fn run_core(from: usize, to: usize, width: usize) -> std::ops::Range<usize> {
    from.saturating_add(width)..to.saturating_sub(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Grid;

    #[test]
    fn widths_of_the_data_sets() {
        assert_eq!(boundary_width(144, 144, 0.02), 4);
        assert_eq!(boundary_width(160, 160, 0.02), 5);
        assert_eq!(boundary_width(240, 240, 0.02), 7);
        assert_eq!(boundary_width(4, 4, 0.02), 1);
    }

    #[test]
    fn region_equals_repeated_erosion() {
        // A shape with a hole, a border contact and a thin part.
        let (h, w) = (12, 15);
        let data: Vec<bool> = (0..h * w)
            .map(|i| {
                let (y, x) = (i / w, i % w);
                (y < 9 && x < 10 && (y, x) != (4, 5)) || (y == 10 && x > 3)
            })
            .collect();
        let mut eroded = data.clone();
        for width in 1..5 {
            let before = eroded.clone();
            for y in 0..h {
                for x in 0..w {
                    eroded[y * w + x] = (-1..=1).all(|dy: isize| {
                        (-1..=1).all(|dx: isize| {
                            let (y, x) = (y as isize + dy, x as isize + dx);
                            (0..h as isize).contains(&y)
                                && (0..w as isize).contains(&x)
                                && before[y as usize * w + x as usize]
                        })
                    });
                }
            }
            let expected: Vec<bool> = data.iter().zip(&eroded).map(|(&d, &e)| d && !e).collect();
            let grid = Grid::image([h, w], [1.0; 2]).unwrap();
            let mask = Mask::new(&data, grid).unwrap();
            assert_eq!(boundary_region(&mask, width), expected, "width {width}");
        }
    }
}
