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
    let mut map = vec![f64::INFINITY; grid.len()];
    for &seed in seeds {
        if let Some(value) = map.get_mut(seed) {
            *value = 0.0;
        }
    }
    let [depth, height, width] = grid.shape();
    let weights = grid.spacing().map(|s| s * s);
    if width > 0 {
        for row in map.chunks_exact_mut(width) {
            nearest_in_row(row, weights[2]);
        }
    }
    let mut envelope = Envelope::with_capacity(depth.max(height));
    if height > 1 {
        for z in 0..depth {
            for x in 0..width {
                envelope.pass(&mut map, z * height * width + x, width, height, weights[1]);
            }
        }
    }
    if depth > 1 {
        for start in 0..height * width {
            envelope.pass(&mut map, start, height * width, depth, weights[0]);
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
        if self.apexes.is_empty() {
            return;
        }
        let mut k = 0;
        for (q, out) in map[start..].iter_mut().step_by(stride).take(n).enumerate() {
            while k + 1 < self.apexes.len() && self.starts[k + 1] < q as f64 {
                k += 1;
            }
            let v = self.apexes[k];
            let step = q as f64 - v as f64;
            *out = self.values[v] + weight * step * step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
