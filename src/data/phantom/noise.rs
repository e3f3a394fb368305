//! Smooth random fields and voxel noise, each a pure function of its coordinates.

use crate::random::{Purpose, Stream, mix};

/// Points per axis of a lattice; fields repeat after as many cells.
const POINTS: usize = 16;

/// Periodic value noise: random values on a lattice, blended smoothly in between. Range `[-1, 1]`.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    values: Vec<f32>,
}

impl Lattice {
    /// The field of these coordinates of randomness.
    pub(super) fn new(coordinates: &[u64]) -> Self {
        let mut stream = Stream::new(Purpose::Phantom, coordinates);
        let count = POINTS * POINTS * POINTS;
        Self {
            values: (0..count).map(|_| stream.range(-1.0, 1.0) as f32).collect(),
        }
    }

    /// Value at `p`, in cells.
    pub(super) fn at(&self, p: [f32; 3]) -> f32 {
        let mut low = [0; 3];
        let mut high = [0; 3];
        let mut blend = [0.0; 3];
        for axis in 0..3 {
            let floor = p[axis].floor();
            let t = p[axis] - floor;
            blend[axis] = t * t * (3.0 - 2.0 * t);
            // The remainder is in range whatever the sign, so that the cast is exact.
            low[axis] = (floor as i64).rem_euclid(POINTS as i64) as usize;
            high[axis] = (low[axis] + 1) % POINTS;
        }
        let value = |x: usize, y: usize, z: usize| self.values[(z * POINTS + y) * POINTS + x];
        let line = |y: usize, z: usize| lerp(value(low[0], y, z), value(high[0], y, z), blend[0]);
        let plane = |z: usize| lerp(line(low[1], z), line(high[1], z), blend[1]);
        lerp(plane(low[2]), plane(high[2]), blend[2])
    }

    /// Two octaves: `at(p)` and half of it at double the frequency.
    pub(super) fn rough(&self, p: [f32; 3]) -> f32 {
        let fine = p.map(|v| 2.0 * v + 5.5);
        (self.at(p) + 0.5 * self.at(fine)) / 1.5
    }
}

/// `a` at 0, `b` at 1.
pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth in between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Nearly normal noise of mean 0 and deviation 1: the sum of four uniform numbers, of one hash.
/// Volumes have tens of millions of voxels; a true normal number would cost a logarithm each.
pub(super) fn voxel_noise(key: u64, voxel: usize) -> f32 {
    let h = mix(key ^ voxel as u64);
    let sum: u64 = (0..4).map(|i| (h >> (16 * i)) & 0xFFFF).sum();
    // Each term has mean 32767.5 and variance (2^32 - 1) / 12.
    (sum as f32 - 131_070.0) / 37_837.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxel_noise_has_mean_zero_and_deviation_one() {
        let n = 200_000;
        let values: Vec<f64> = (0..n).map(|i| f64::from(voxel_noise(9, i))).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n as u32);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n as u32);
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn lattices_are_smooth_periodic_and_bounded() {
        let lattice = Lattice::new(&[1]);
        for i in 0..200 {
            let p = [0.37 * i as f32 - 20.0, 0.11 * i as f32, -0.05 * i as f32];
            let value = lattice.at(p);
            assert!(value.abs() <= 1.0);
            let near = lattice.at([p[0] + 0.001, p[1], p[2]]);
            assert!((value - near).abs() < 0.01);
            let around = lattice.at([p[0], p[1] + 16.0, p[2]]);
            assert!((value - around).abs() < 1e-3);
        }
        assert_ne!(lattice.at([0.5; 3]), Lattice::new(&[2]).at([0.5; 3]));
    }
}
