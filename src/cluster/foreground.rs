//! Which of two clusters is the foreground.

use super::points::Points;
use crate::options::Foreground;

/// Turns cluster numbers (0, and all else) into labels, in place: the smaller cluster becomes
/// foreground (1), or the larger one. Of two equally large clusters the one with the larger mean
/// intensity becomes foreground, and then the second; the paper does not say.
pub fn name_foreground(patches: Points<'_>, clusters: &mut [u8], rule: Foreground) {
    let ones = clusters.iter().filter(|&&c| c != 0).count();
    let zeros = clusters.len() - ones;
    let second = match (zeros == ones, rule) {
        (true, _) => {
            mean_intensity(patches, clusters, true) >= mean_intensity(patches, clusters, false)
        }
        (false, Foreground::Smaller) => ones < zeros,
        (false, Foreground::Larger) => ones > zeros,
    };
    for cluster in clusters {
        *cluster = u8::from((*cluster != 0) == second);
    }
}

fn mean_intensity(patches: Points<'_>, clusters: &[u8], second: bool) -> f64 {
    let mut sum = 0.0;
    let mut count = 0usize;
    for (row, &cluster) in patches.rows().zip(clusters) {
        if (cluster != 0) == second {
            sum += row.iter().map(|&v| f64::from(v)).sum::<f64>();
            count += row.len();
        }
    }
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[f32], clusters: &[u8], rule: Foreground) -> Vec<u8> {
        let mut clusters = clusters.to_vec();
        name_foreground(Points::new(values, 1).unwrap(), &mut clusters, rule);
        clusters
    }

    #[test]
    fn the_smaller_or_the_larger_cluster() {
        let values = [1., 2., 3., 9.];
        for clusters in [[0, 0, 0, 1], [1, 1, 1, 0]] {
            assert_eq!(named(&values, &clusters, Foreground::Smaller), [0, 0, 0, 1]);
            assert_eq!(named(&values, &clusters, Foreground::Larger), [1, 1, 1, 0]);
        }
    }

    #[test]
    fn equal_sizes_go_by_intensity() {
        for rule in [Foreground::Smaller, Foreground::Larger] {
            assert_eq!(named(&[1., 9., 2., 8.], &[0, 1, 0, 1], rule), [0, 1, 0, 1]);
            assert_eq!(named(&[1., 9., 2., 8.], &[1, 0, 1, 0], rule), [0, 1, 0, 1]);
            assert_eq!(named(&[1., 1.], &[0, 1], rule), [0, 1]);
        }
    }
}
