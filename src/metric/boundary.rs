//! Boundary intersection over union (Cheng et al. 2021; paper equation 8).

use super::mask::{VoxelBox, any};
use super::{Mask, MetricError};
use crate::wide::wide;

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
    let Some(around) = VoxelBox::around_masks(shape, p, g) else {
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

/// The erosion by a square separates: a pixel stays where all pixels within `width` of it in its row
/// are set, then all within `width` in its column. Rows are padded with background, so that both are
/// the same pass over one list of pixels.
fn region(data: &[bool], height: usize, columns: usize, width: usize) -> Vec<bool> {
    if width >= height.min(columns).div_ceil(2) {
        // Nothing is that far from the border.
        return data.to_vec();
    }
    let padded = columns + width;
    let mut inner = vec![false; data.len()];
    let (mut pixels, mut scratch) = (Vec::new(), Vec::new());
    let slices = data.chunks_exact(height * columns);
    for (slice, inner) in slices.zip(inner.chunks_exact_mut(height * columns)) {
        if !any(slice) {
            continue;
        }
        pixels.clear();
        pixels.resize((height + 2 * width) * padded + width, false);
        for (y, row) in slice.chunks_exact(columns).enumerate() {
            let at = (y + width) * padded + width;
            pixels[at..at + columns].copy_from_slice(row);
        }
        // What is left of a pixel moves up and left by `width`.
        all_of_window(&mut pixels, &mut scratch, 1, 2 * width + 1);
        all_of_window(&mut pixels, &mut scratch, padded, 2 * width + 1);
        for (y, row) in inner.chunks_exact_mut(columns).enumerate() {
            row.copy_from_slice(&pixels[y * padded..y * padded + columns]);
        }
    }
    for (inner, &inside) in inner.iter_mut().zip(data) {
        *inner = inside & !*inner;
    }
    inner
}

/// Replaces every pixel by "it and the next `length - 1` at distance `stride` are all set"; pixels
/// beyond the end are not. The windows double until two of them make up the whole.
fn all_of_window(pixels: &mut Vec<bool>, scratch: &mut Vec<bool>, stride: usize, length: usize) {
    let mut have = 1;
    while have < length {
        let more = have.min(length - have);
        scratch.clear();
        scratch.resize(pixels.len(), false);
        let later = pixels.get(more * stride..).unwrap_or(&[]);
        both(pixels, later, scratch);
        std::mem::swap(pixels, scratch);
        have += more;
    }
}

wide! {
    /// `out[i] = a[i] & b[i]`, as far as all three reach.
    fn both(a: &[bool], b: &[bool], out: &mut [bool]) {
        for ((&a, &b), out) in a.iter().zip(b).zip(out) {
            *out = a & b;
        }
    }
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
