//! Gaussian blur.

use crate::options::Border;

/// Half a Gaussian kernel, centre first: `radius + 1` taps that sum to 1 with their mirror image.
#[must_use]
pub fn gaussian(sigma: f64, radius: usize) -> Vec<f32> {
    let half: Vec<f64> = (0..=radius)
        .map(|i| (-0.5 * (i as f64 / sigma.max(1e-6)).powi(2)).exp())
        .collect();
    let total = 2.0 * half.iter().sum::<f64>() - half[0];
    half.into_iter().map(|v| (v / total) as f32).collect()
}

/// Blurs one plane of rows of `width` pixels, as if it went on beyond its edges as `border` says.
pub fn blur(plane: &mut [f32], width: usize, sigma: f64, radius: usize, border: Border) {
    let kernel = gaussian(sigma, radius);
    let height = plane.len() / width.max(1);
    let mut line = Vec::new();
    for row in plane.chunks_exact_mut(width.max(1)) {
        line.clear();
        line.extend_from_slice(row);
        convolve(&line, &kernel, border, |i, v| row[i] = v);
    }
    for c in 0..width {
        line.clear();
        line.extend((0..height).map(|r| plane[r * width + c]));
        convolve(&line, &kernel, border, |r, v| plane[r * width + c] = v);
    }
}

fn convolve(line: &[f32], kernel: &[f32], border: Border, mut write: impl FnMut(usize, f32)) {
    let last = line.len().saturating_sub(1);
    for i in 0..line.len() {
        let mut sum = kernel[0] * line[i];
        for (d, tap) in kernel.iter().enumerate().skip(1) {
            let (before, after) = match border {
                Border::Edge => (i.saturating_sub(d), (i + d).min(last)),
                // A radius beyond the mirror image ends at its far edge.
                Border::Reflect => {
                    let beyond = (2 * last).saturating_sub(i + d);
                    (i.abs_diff(d).min(last), (i + d).min(beyond))
                }
            };
            sum += tap * (line[before] + line[after]);
        }
        write(i, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_the_specification() {
        let close = |found: Vec<f32>, expected: [f32; 8]| {
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-6, "{found:?}, not {expected:?}");
            }
        };
        close(
            gaussian(1.0, 7),
            [
                0.398_942, 0.241_971, 0.053_991, 0.004_432, 0.000_134, 0.000_001, 0.0, 0.0,
            ],
        );
        close(
            gaussian(2.0, 7),
            [
                0.199_501, 0.176_059, 0.121_004, 0.064_769, 0.027_000, 0.008_765, 0.002_216,
                0.000_436,
            ],
        );
    }

    #[test]
    fn a_point_spreads_by_the_kernel_and_flat_stays_flat() {
        let mut plane = vec![0.0; 81];
        plane[4 * 9 + 4] = 1.0;
        blur(&mut plane, 9, 1.0, 3, Border::Edge);
        let k = gaussian(1.0, 3);
        assert!((plane[4 * 9 + 4] - k[0] * k[0]).abs() < 1e-6);
        assert!((plane[3 * 9 + 6] - k[1] * k[2]).abs() < 1e-6);
        for border in [Border::Edge, Border::Reflect] {
            for radius in [3, 40] {
                let mut flat = vec![0.7; 24];
                blur(&mut flat, 6, 2.0, radius, border);
                assert!(flat.iter().all(|v| (v - 0.7).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn edges_are_repeated_or_mirrored() {
        let k = gaussian(1.0, 2);
        for (border, left) in [
            (Border::Edge, [1.0, 1.0, 1.0, 2.0, 3.0]),
            (Border::Reflect, [3.0, 2.0, 1.0, 2.0, 3.0]),
        ] {
            let mut line = [1.0, 2.0, 3.0, 4.0];
            blur(&mut line, 4, 1.0, 2, border);
            let taps = [k[2], k[1], k[0], k[1], k[2]];
            let expected: f32 = taps.iter().zip(left).map(|(t, v)| t * v).sum();
            assert!((line[0] - expected).abs() < 1e-6, "{border:?}");
        }
    }
}
