//! Vectors of equal length, the means of two categories, and distances between them.
//!
//! Clustering and ordering share this arithmetic to the bit: the order of the additions is fixed, so
//! results do not depend on threads, and equal vectors have equal distances.

use thiserror::Error;

use super::blocks::fill_pairs;
use crate::wide::wide;

/// Independent partial sums of a reduction; a compiler can keep them in vector registers, and the
/// order of the additions stays fixed.
pub(super) const LANES: usize = 16;

/// Bytes of a line of the cache.
const ALIGNMENT: usize = 64;

/// Distance up to which two vectors count as the same.
pub const DISTINCT: f64 = 1e-6;

/// A buffer that is not a list of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{len} values are not a list of vectors of {dim} values")]
pub struct PointsError {
    /// Values in the buffer.
    pub len: usize,
    /// Values of a vector.
    pub dim: usize,
}

/// Borrowed vectors `[n, dim]`, row-major: the patches of one image.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Points<'a> {
    /// Views `values` as vectors of `dim` values.
    ///
    /// # Errors
    /// [`PointsError`] where `dim` is 0 or does not divide the number of values.
    pub fn new(values: &'a [f32], dim: usize) -> Result<Self, PointsError> {
        if dim > 0 && values.len().is_multiple_of(dim) {
            Ok(Self { values, dim })
        } else {
            Err(PointsError {
                len: values.len(),
                dim,
            })
        }
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Vector `i`; panics where there is none, as slices do.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// The vectors in order.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.dim)
    }
}

wide! {
    /// Squared Euclidean distance in `f32`, summed in a fixed order.
    #[must_use]
    pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
        squared(a, b)
    }

    /// Euclidean distance in `f64`, for methods that compare many distances with each other.
    #[must_use]
    pub fn distance(a: &[f32], b: &[f32]) -> f64 {
        length(a, b)
    }

    fn widen(values: &[f32], out: &mut [f64]) {
        for (&v, out) in values.iter().zip(out) {
            *out = f64::from(v);
        }
    }

    fn take_roots(values: &mut [f64]) {
        for v in values {
            *v = v.sqrt();
        }
    }

    /// Whether no value lies beyond `limit`, above or below; a value that is no number does.
    pub(super) fn all_within(values: &[f32], limit: f32) -> bool {
        let mut within = true;
        for v in values {
            within &= v.abs() <= limit;
        }
        within
    }
}

/// [`squared_distance`], to be inlined.
#[inline(always)]
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let d = x[lane] - y[lane];
            sums[lane] += d * d;
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        let d = x - y;
        sums[lane] += d * d;
    }
    sums.iter().sum()
}

/// [`distance`], to be inlined.
#[inline(always)]
fn length(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let d = f64::from(x[lane]) - f64::from(y[lane]);
            sums[lane] += d * d;
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        let d = f64::from(*x) - f64::from(*y);
        sums[lane] += d * d;
    }
    sums.iter().sum::<f64>().sqrt()
}

/// The distances between all vectors of a list.
#[derive(Clone, Debug)]
pub(super) struct Distances {
    n: usize,
    condensed: Vec<f64>,
}

impl Distances {
    pub(super) fn between(points: Points<'_>) -> Self {
        let n = points.len();
        let mut condensed = vec![0.0; n * n.saturating_sub(1) / 2];
        // In `f64`, filled up with zeros to whole chunks, which start where lines of the cache do.
        let length = points.dim().next_multiple_of(LANES);
        let mut rows = vec![0.0; n * length + LANES];
        let first = rows.as_ptr().align_offset(ALIGNMENT).min(LANES);
        let rows = &mut rows[first..][..n * length];
        for (from, to) in points.rows().zip(rows.chunks_exact_mut(length)) {
            widen(from, to);
        }
        fill_pairs(rows.as_chunks().0, n, &mut condensed);
        take_roots(&mut condensed);
        Self { n, condensed }
    }

    /// Of the pairs `(i, j)` with `i < j`, row after row.
    pub(super) fn into_condensed(self) -> Vec<f64> {
        self.condensed
    }

    /// `[n, n]`, 0 from a vector to itself.
    pub(super) fn square(&self) -> Vec<f64> {
        let n = self.n;
        let mut square = vec![0.0; n * n];
        let mut rest = &self.condensed[..];
        for i in 0..n {
            let (row, after) = rest.split_at(n - i - 1);
            for (j, &d) in (i + 1..n).zip(row) {
                square[i * n + j] = d;
                square[j * n + i] = d;
            }
            rest = after;
        }
        square
    }
}

/// Sums of the vectors of two categories; reused between calls so that nothing is allocated.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    totals: [Vec<f64>; 2],
    /// Members of each category.
    pub(crate) counts: [usize; 2],
}

impl Sums {
    /// Empty sums for vectors of `dim` values.
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            totals: [vec![0.0; dim], vec![0.0; dim]],
            counts: [0; 2],
        }
    }

    /// Sums the vectors by label: 0 is the first category, all else the second.
    pub(crate) fn add_all(&mut self, points: Points<'_>, labels: &[u8]) {
        self.counts = [0; 2];
        for total in &mut self.totals {
            total.fill(0.0);
        }
        for &label in &labels[..points.len().min(labels.len())] {
            self.counts[usize::from(label != 0)] += 1;
        }
        add_rows(&mut self.totals, points, labels);
    }

    /// Writes the mean of `category` into `out`; leaves it alone where the category is empty.
    pub(crate) fn mean_into(&self, category: usize, out: &mut [f32]) {
        let count = self.counts[category];
        if count > 0 {
            for (mean, sum) in out.iter_mut().zip(&self.totals[category]) {
                *mean = (sum / count as f64) as f32;
            }
        }
    }
}

/// Vectors that are added to a sum at a time.
const TOGETHER: usize = 4;

/// Adds the vectors to the total of their category, in order.
fn add_rows(totals: &mut [Vec<f64>; 2], points: Points<'_>, labels: &[u8]) {
    let mut waiting: [[&[f32]; TOGETHER]; 2] = [[&[]; TOGETHER]; 2];
    let mut counts = [0; 2];
    for (row, &label) in points.rows().zip(labels) {
        let category = usize::from(label != 0);
        waiting[category][counts[category]] = row;
        counts[category] += 1;
        if counts[category] == TOGETHER {
            add_together(&mut totals[category], waiting[category]);
            counts[category] = 0;
        }
    }
    for category in 0..2 {
        for row in &waiting[category][..counts[category]] {
            add_one(&mut totals[category], row);
        }
    }
}

wide! {
    fn add_together(total: &mut [f64], rows: [&[f32]; TOGETHER]) {
        let [a, b, c, d] = rows.map(|row| &row[..total.len()]);
        for (i, sum) in total.iter_mut().enumerate() {
            *sum = *sum + f64::from(a[i]) + f64::from(b[i]) + f64::from(c[i]) + f64::from(d[i]);
        }
    }

    fn add_one(total: &mut [f64], row: &[f32]) {
        for (sum, &value) in total.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_distances_are_those_of_pairs() {
        let values: Vec<f32> = (0..7 * 37).map(|i| ((i * 29) % 97) as f32 * 0.31).collect();
        let points = Points::new(&values, 37).unwrap();
        let all = Distances::between(points);
        let square = all.square();
        for i in 0..7 {
            for j in 0..7 {
                let d = distance(points.row(i), points.row(j));
                assert_eq!(square[i * 7 + j].to_bits(), d.to_bits());
            }
        }
        assert_eq!(all.into_condensed()[..2], square[1..3]);
        let none = Distances::between(Points::new(&[], 3).unwrap());
        assert!(none.square().is_empty());
    }

    #[test]
    fn refuses_ragged_buffers() {
        assert!(Points::new(&[0.0; 5], 2).is_err());
        assert!(Points::new(&[], 0).is_err());
        let points = Points::new(&[0.0; 6], 2).unwrap();
        assert_eq!((points.len(), points.dim()), (3, 2));
    }

    #[test]
    fn mean_of_equal_vectors_is_the_vector() {
        let values = [0.1f32, -3.7, 1e-3].repeat(61);
        let points = Points::new(&values, 3).unwrap();
        let mut sums = Sums::new(3);
        sums.add_all(points, &[1; 61]);
        let mut mean = [9.0; 3];
        sums.mean_into(0, &mut mean);
        assert_eq!(mean, [9.0; 3]);
        sums.mean_into(1, &mut mean);
        assert_eq!(mean, [0.1, -3.7, 1e-3]);
    }

    proptest! {
        #[test]
        fn distances_agree_with_the_plain_sum(
            pairs in prop::collection::vec((-10.0f32..10.0, -10.0f32..10.0), 1..80)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let plain: f64 = pairs
                .iter()
                .map(|&(x, y)| (f64::from(x) - f64::from(y)).powi(2))
                .sum();
            prop_assert!((distance(&a, &b).powi(2) - plain).abs() <= 1e-9 * (1.0 + plain));
            prop_assert!((f64::from(squared_distance(&a, &b)) - plain).abs() <= 1e-5 * (1.0 + plain));
        }
    }
}
