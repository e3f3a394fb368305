//! Exact Euclidean distance maps with anisotropic spacing.
//!
//! Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions" (2012): the squared
//! distance separates by axis, and along one axis it is the lower envelope of one parabola per
//! voxel. The cost is linear in the number of voxels.

use super::Grid;

/// Squared distance in mm^2 from every voxel centre to the nearest seed, given by index; infinity
/// where there is no seed. Indices outside of the grid are ignored.
#[must_use]
pub fn squared_distances(seeds: &[usize], grid: &Grid) -> Vec<f64> {
    let [depth, height, width] = grid.shape();
    let weights = grid.spacing().map(|s| s * s);
    let mut envelope = Envelope::with_capacity(depth.max(height));
    let mut map = in_slices(seeds, grid, |_| true, &mut envelope);
    if depth > 1 {
        for start in 0..height * width {
            envelope.pass(&mut map, start, height * width, depth, weights[0]);
        }
    }
    map
}

/// [`squared_distances`] at the voxels `queries` only, which ascend. The last pass, and the columns
/// of the one before that it reads, are those of the queries.
pub(super) fn squared_distances_at(queries: &[usize], seeds: &[usize], grid: &Grid) -> Vec<f64> {
    let [depth, height, width] = grid.shape();
    let area = height * width;
    let weights = grid.spacing().map(|s| s * s);
    let mut envelope = Envelope::with_capacity(depth.max(height));
    let mut reads = vec![false; width];
    for query in queries {
        reads[query % width] = true;
    }
    let map = in_slices(seeds, grid, |x| reads[x], &mut envelope);
    if depth <= 1 {
        return queries.iter().map(|&q| map[q]).collect();
    }
    // Places in the list, line by line, each line from below.
    let mut order: Vec<usize> = (0..queries.len()).collect();
    order.sort_by_key(|&i| queries[i] % area);
    let mut out = vec![0.0; queries.len()];
    for line in order.chunk_by(|&a, &b| queries[a] % area == queries[b] % area) {
        envelope.build(&map, queries[line[0]] % area, area, depth, weights[0]);
        let mut k = 0;
        for &i in line {
            out[i] = envelope.lowest(queries[i] / area, &mut k, weights[0]);
        }
    }
    out
}

/// Squared distances to the seeds of the own slice; along y only in columns whose x `reads` wants.
fn in_slices(
    seeds: &[usize],
    grid: &Grid,
    reads: impl Fn(usize) -> bool,
    envelope: &mut Envelope,
) -> Vec<f64> {
    let [depth, height, width] = grid.shape();
    let weights = grid.spacing().map(|s| s * s);
    let mut map = vec![f64::INFINITY; grid.len()];
    let mut seeded = vec![false; depth * height];
    for &seed in seeds {
        if let Some(value) = map.get_mut(seed) {
            *value = 0.0;
            seeded[seed / width] = true;
        }
    }
    if width > 0 {
        for (row, _) in map
            .chunks_exact_mut(width)
            .zip(&seeded)
            .filter(|(_, s)| **s)
        {
            nearest_in_row(row, weights[2]);
        }
    }
    if height > 1 {
        for z in 0..depth {
            if seeded[z * height..(z + 1) * height].contains(&true) {
                for x in (0..width).filter(|&x| reads(x)) {
                    envelope.pass(&mut map, z * height * width + x, width, height, weights[1]);
                }
            }
        }
    }
    map
}

/// First axis: values are 0 or infinite, so that two sweeps that count steps suffice.
fn nearest_in_row(row: &mut [f64], weight: f64) {
    let mut steps = f64::INFINITY;
    for value in row.iter_mut() {
        steps = if *value == 0.0 { 0.0 } else { steps + 1.0 };
        *value = steps;
    }
    steps = f64::INFINITY;
    for value in row.iter_mut().rev() {
        steps = if *value == 0.0 { 0.0 } else { steps + 1.0 };
        let nearest = steps.min(*value);
        *value = weight * nearest * nearest;
    }
}

/// Buffers of the lower envelope of one line.
struct Envelope {
    /// The line.
    values: Vec<f64>,
    /// Apexes of the parabolas of the envelope, in order.
    apexes: Vec<usize>,
    /// Where the parabola of the same number starts to be the lowest.
    starts: Vec<f64>,
}

impl Envelope {
    fn with_capacity(n: usize) -> Self {
        Self {
            values: Vec::with_capacity(n),
            apexes: Vec::with_capacity(n),
            starts: Vec::with_capacity(n),
        }
    }

    /// Transforms the line of `n` voxels at `start` with step `stride`: `out[q] = min over v of
    /// in[v] + weight (q - v)^2`.
    fn pass(&mut self, map: &mut [f64], start: usize, stride: usize, n: usize, weight: f64) {
        self.build(map, start, stride, n, weight);
        let mut k = 0;
        for (q, out) in map[start..].iter_mut().step_by(stride).take(n).enumerate() {
            *out = self.lowest(q, &mut k, weight);
        }
    }

    /// The envelope of that line.
    fn build(&mut self, map: &[f64], start: usize, stride: usize, n: usize, weight: f64) {
        self.values.clear();
        self.apexes.clear();
        self.starts.clear();
        self.values
            .extend(map[start..].iter().step_by(stride).take(n));
        for q in 0..n {
            let height = self.values[q];
            if height.is_infinite() {
                continue;
            }
            let raised = height + weight * (q * q) as f64;
            // Parabolas that the new one passes below before they start are never the lowest.
            let mut from = f64::NEG_INFINITY;
            while let (Some(&v), Some(&since)) = (self.apexes.last(), self.starts.last()) {
                let other = self.values[v] + weight * (v * v) as f64;
                from = (raised - other) / (2.0 * weight * (q - v) as f64);
                if from > since {
                    break;
                }
                self.apexes.pop();
                self.starts.pop();
                from = f64::NEG_INFINITY;
            }
            self.apexes.push(q);
            self.starts.push(from);
        }
    }

    /// Its height at `q`; `k` is the parabola that was lowest before, of a smaller `q`. Infinite
    /// without a parabola.
    fn lowest(&self, q: usize, k: &mut usize, weight: f64) -> f64 {
        while *k + 1 < self.apexes.len() && self.starts[*k + 1] < q as f64 {
            *k += 1;
        }
        let Some(&v) = self.apexes.get(*k) else {
            return f64::INFINITY;
        };
        let step = q as f64 - v as f64;
        self.values[v] + weight * step * step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn one_seed_gives_the_plain_distance() {
        let grid = Grid::volume([4, 5, 6], [3.0, 0.5, 2.0]).unwrap();
        let map = squared_distances(&[(5 + 2) * 6 + 3], &grid);
        for z in 0..4usize {
            for y in 0..5usize {
                for x in 0..6usize {
                    let expected = (3.0 * (z as f64 - 1.0)).powi(2)
                        + (0.5 * (y as f64 - 2.0)).powi(2)
                        + (2.0 * (x as f64 - 3.0)).powi(2);
                    assert!((map[(z * 5 + y) * 6 + x] - expected).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn at_some_voxels_as_everywhere() {
        let mut stream = Stream::new(Purpose::Phantom, &[7]);
        for (shape, spacing) in [
            ([9, 11, 13], [3.27, 0.98, 0.98]),
            ([1, 8, 9], [1.0; 3]),
            ([6, 1, 5], [2.0, 1.0, 0.7]),
            ([7, 5, 1], [1.0, 2.0, 3.0]),
        ] {
            let grid = Grid::volume(shape, spacing).unwrap();
            for share in [0.0, 0.01, 0.2] {
                let mut some = || -> Vec<usize> {
                    let all = 0..grid.len();
                    all.filter(|_| stream.uniform() < share).collect()
                };
                let (seeds, queries) = (some(), some());
                let map = squared_distances(&seeds, &grid);
                let found = squared_distances_at(&queries, &seeds, &grid);
                let expected = queries.iter().map(|&q| map[q].to_bits());
                assert!(expected.eq(found.iter().map(|d| d.to_bits())));
            }
        }
    }

    #[test]
    fn no_seed_is_infinitely_far() {
        let grid = Grid::volume([2, 2, 2], [1.0; 3]).unwrap();
        assert!(
            squared_distances(&[], &grid)
                .iter()
                .all(|d| d.is_infinite())
        );
        assert!(
            squared_distances(&[99], &grid)
                .iter()
                .all(|d| d.is_infinite())
        );
        let none = Grid::volume([0, 2, 0], [1.0; 3]).unwrap();
        assert!(squared_distances(&[], &none).is_empty());
    }
}
