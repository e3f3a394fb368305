//! Two-means in a t-SNE embedding (Table VIII).
//!
//! t-SNE is an embedding, not a clustering: patches are embedded in the plane by the exact
//! algorithm, and k-means divides the plane. All sums run in a fixed order, so that the embedding
//! is a function of its arguments.

use super::foreground::name_foreground;
use super::kmeans;
use super::outcome::{Outcome, Reason};
use super::points::{Distances, Points};
use super::registry::Clusterer;
use crate::options::{ClusterMethod, ClusterOptions};
use crate::random::{Purpose, Stream};

/// Entry in the registry.
pub const METHOD: Clusterer = Clusterer {
    method: ClusterMethod::Tsne,
    name: "tsne",
    doc: "two-means in an exact two-dimensional t-SNE embedding",
    reference: "van der Maaten and Hinton 2008, JMLR 9",
    run,
};

/// Standard deviation of the noise on duplicates.
const DUPLICATE_NOISE: f64 = 1e-6;

/// Standard deviation of the initial embedding.
const INITIAL: f64 = 1e-4;

/// Factor on the affinities in the first part of the descent.
const EXAGGERATION: f64 = 12.0;

/// Iterations with exaggeration and low momentum, of at most half of all iterations.
const EARLY: usize = 250;

/// Momentum in the first part and after it.
const MOMENTUM: [f64; 2] = [0.5, 0.8];

/// Smallest gain of a coordinate.
const MIN_GAIN: f64 = 0.01;

/// Smallest probability, against division by zero.
const TINY: f64 = 1e-12;

/// A point of the plane.
pub type Point = [f64; 2];

fn run(patches: Points<'_>, options: &ClusterOptions, seed: u64, image_id: u64) -> Outcome {
    let mut stream = Stream::new(Purpose::Cluster, &[seed, image_id]);
    let spread = separate_duplicates(patches, &mut stream);
    let Ok(spread) = Points::new(&spread, patches.dim()) else {
        return Outcome::None(Reason::TooFew);
    };
    let plane = embed(spread, options, &mut stream);
    let plane: Vec<f32> = plane.iter().flatten().map(|&v| v as f32).collect();
    let Ok(plane) = Points::new(&plane, 2) else {
        return Outcome::None(Reason::TooFew);
    };
    if !plane.values().iter().all(|v| v.is_finite()) {
        return Outcome::None(Reason::NotFinite);
    }
    let mut labels = kmeans::best(plane, options, &mut stream).clusters;
    name_foreground(patches, &mut labels, options.foreground);
    Outcome::Labels(labels)
}

/// The vectors, with a little noise on those that repeat an earlier one: equal vectors would have
/// infinite affinity.
fn separate_duplicates(points: Points<'_>, stream: &mut Stream) -> Vec<f32> {
    let mut values = points.values().to_vec();
    for i in 1..points.len() {
        if (0..i).any(|j| points.row(j) == points.row(i)) {
            for value in &mut values[i * points.dim()..(i + 1) * points.dim()] {
                *value += (DUPLICATE_NOISE * stream.normal()) as f32;
            }
        }
    }
    values
}

/// Exact t-SNE in two dimensions, one point per vector, from vectors that all differ: gradient descent with momentum, gains and early exaggeration;
/// learning rate `max(200, N / 12)`, perplexity `min(perplexity, (N - 1) / 3)`.
pub fn embed(points: Points<'_>, options: &ClusterOptions, stream: &mut Stream) -> Vec<Point> {
    let n = points.len();
    let perplexity = options.perplexity.min((n.saturating_sub(1)) as f64 / 3.0);
    let affinities = joint_affinities(points, perplexity.max(1.0));
    // The usual rates are meant for a gradient without its factor 4.
    let rate = (n as f64 / EXAGGERATION).max(200.0) / 4.0;
    let early = EARLY.min(options.iterations / 2);
    let mut plane: Vec<Point> = (0..n)
        .map(|_| [INITIAL * stream.normal(), INITIAL * stream.normal()])
        .collect();
    let mut velocity = vec![[0.0; 2]; n];
    let mut gains = vec![[1.0f64; 2]; n];
    let mut kernel = vec![0.0; n * n];
    for iteration in 0..options.iterations {
        let (exaggeration, momentum) = if iteration < early {
            (EXAGGERATION, MOMENTUM[0])
        } else {
            (1.0, MOMENTUM[1])
        };
        if iteration == early {
            // The exaggerated forces left speeds and gains that would throw the embedding about.
            velocity.fill([0.0; 2]);
            gains.fill([1.0; 2]);
        }
        let gradient = gradient(&plane, &affinities, exaggeration, &mut kernel);
        for i in 0..n {
            for axis in 0..2 {
                let (g, v) = (gradient[i][axis], &mut velocity[i][axis]);
                let gain = &mut gains[i][axis];
                *gain = if (g > 0.0) == (*v > 0.0) {
                    (*gain * 0.8).max(MIN_GAIN)
                } else {
                    *gain + 0.2
                };
                *v = momentum * *v - rate * *gain * g;
                plane[i][axis] += *v;
            }
        }
        centre(&mut plane);
    }
    plane
}

/// Moves the mean of the embedding to the origin.
fn centre(plane: &mut [Point]) {
    for axis in 0..2 {
        let mean = plane.iter().map(|p| p[axis]).sum::<f64>() / plane.len() as f64;
        for point in &mut *plane {
            point[axis] -= mean;
        }
    }
}

/// Gradient of the divergence between affinities and the Student kernel of the embedding.
/// `kernel` is scratch of `N * N` values.
fn gradient(
    plane: &[Point],
    affinities: &[f64],
    exaggeration: f64,
    kernel: &mut [f64],
) -> Vec<Point> {
    let n = plane.len();
    let mut total = 0.0;
    for i in 0..n {
        for j in 0..i {
            let (dx, dy) = (plane[i][0] - plane[j][0], plane[i][1] - plane[j][1]);
            let value = 1.0 / (1.0 + dx * dx + dy * dy);
            kernel[i * n + j] = value;
            total += 2.0 * value;
        }
    }
    let total = total.max(TINY);
    let mut gradient = vec![[0.0; 2]; n];
    for i in 0..n {
        for j in 0..i {
            let value = kernel[i * n + j];
            let pull = 4.0 * (exaggeration * affinities[i * n + j] - value / total) * value;
            for axis in 0..2 {
                let step = pull * (plane[i][axis] - plane[j][axis]);
                gradient[i][axis] += step;
                gradient[j][axis] -= step;
            }
        }
    }
    gradient
}

/// Symmetric affinities `[N, N]` that sum to 1: Gaussian neighbourhoods of the given perplexity.
fn joint_affinities(points: Points<'_>, perplexity: f64) -> Vec<f64> {
    let n = points.len();
    let mut squared = Distances::between(points).square();
    for d in &mut squared {
        *d *= *d;
    }
    let mut conditional = vec![0.0; n * n];
    for i in 0..n {
        let row = i * n..(i + 1) * n;
        neighbourhood(&squared[row.clone()], i, perplexity, &mut conditional[row]);
    }
    let mut joint = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            if i != j {
                let sum = conditional[i * n + j] + conditional[j * n + i];
                joint[i * n + j] = (sum / (2.0 * n as f64)).max(TINY);
            }
        }
    }
    joint
}

/// Fills `out` with the Gaussian weights around vector `own` whose entropy is `ln(perplexity)`,
/// found by bisection of the precision. `squared` are the squared distances from it.
fn neighbourhood(squared: &[f64], own: usize, perplexity: f64, out: &mut [f64]) {
    let others = || (0..squared.len()).filter(move |&j| j != own);
    let nearest = others().map(|j| squared[j]).fold(f64::INFINITY, f64::min);
    let target = perplexity.ln();
    let (mut low, mut high) = (0.0f64, f64::INFINITY);
    let mut precision = 1.0;
    // Enough doublings for patches that differ by 1e-6, then enough halvings for 1e-5 in entropy.
    for _ in 0..128 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for j in others() {
            let d = squared[j] - nearest;
            out[j] = (-d * precision).exp();
            sum += out[j];
            weighted += out[j] * d;
        }
        let entropy = sum.ln() + precision * weighted / sum;
        for j in others() {
            out[j] /= sum;
        }
        if (entropy - target).abs() < 1e-5 {
            break;
        }
        if entropy > target {
            low = precision;
            precision = if high.is_finite() {
                f64::midpoint(low, high)
            } else {
                precision * 2.0
            };
        } else {
            high = precision;
            precision = f64::midpoint(low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbourhoods_have_the_perplexity_that_is_asked_for() {
        let squared: Vec<f64> = (0..50).map(|i| f64::from(i * i) * 0.37).collect();
        for perplexity in [2.0, 5.0, 16.0] {
            let mut p = vec![0.0; 50];
            neighbourhood(&squared, 0, perplexity, &mut p);
            assert_eq!(p[0], 0.0);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let entropy: f64 = p.iter().filter(|&&v| v > 0.0).map(|v| -v * v.ln()).sum();
            assert!((entropy.exp() - perplexity).abs() < 1e-3 * perplexity);
        }
    }

    /// Kullback-Leibler divergence of the embedding from the affinities.
    fn divergence(plane: &[Point], p: &[f64]) -> f64 {
        let n = plane.len();
        let pairs = || (0..n * n).map(|k| (k / n, k % n)).filter(|(i, j)| i != j);
        let kernel = |i: usize, j: usize| {
            let (dx, dy) = (plane[i][0] - plane[j][0], plane[i][1] - plane[j][1]);
            1.0 / (1.0 + dx * dx + dy * dy)
        };
        let total: f64 = pairs().map(|(i, j)| kernel(i, j)).sum();
        pairs()
            .map(|(i, j)| p[i * n + j] * (p[i * n + j] / (kernel(i, j) / total)).ln())
            .sum()
    }

    #[test]
    fn gradient_is_the_derivative_of_the_divergence() {
        let values: Vec<f32> = (0..21).map(|i| ((i * 29) % 17) as f32 / 5.0).collect();
        let points = Points::new(&values, 3).unwrap();
        let p = joint_affinities(points, 2.0);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let mut plane: Vec<Point> = (0..7)
            .map(|i| [f64::from(i * i % 5) * 0.3, f64::from(i * 3 % 7) * 0.2])
            .collect();
        let found = gradient(&plane, &p, 1.0, &mut vec![0.0; 49]);
        for i in 0..7 {
            for axis in 0..2 {
                let h = 1e-6;
                let at = plane[i][axis];
                plane[i][axis] = at + h;
                let up = divergence(&plane, &p);
                plane[i][axis] = at - h;
                let down = divergence(&plane, &p);
                plane[i][axis] = at;
                let slope = (up - down) / (2.0 * h);
                assert!((found[i][axis] - slope).abs() < 1e-7, "{i} {axis}");
            }
        }
    }

    /// 70 patches around one tissue, 12 of them twice, and 18 of another.
    fn two_tissues() -> (Vec<f32>, Vec<u8>) {
        let mut stream = Stream::new(Purpose::Phantom, &[4]);
        let mut values = Vec::new();
        let mut labels = Vec::new();
        for i in 0..100 {
            let lesion = i >= 82;
            let row: Vec<f32> = (0..8)
                .map(|_| (if lesion { 3.0 } else { 0.0 } + 0.3 * stream.normal()) as f32)
                .collect();
            let row = if (70..82).contains(&i) {
                values[(i - 70) * 8..(i - 69) * 8].to_vec()
            } else {
                row
            };
            values.extend(row);
            labels.push(u8::from(lesion));
        }
        (values, labels)
    }

    #[test]
    fn the_descent_settles_within_the_default_iterations() {
        let (values, _) = two_tissues();
        let spread = separate_duplicates(
            Points::new(&values, 8).unwrap(),
            &mut Stream::new(Purpose::Cluster, &[1]),
        );
        let points = Points::new(&spread, 8).unwrap();
        let p = joint_affinities(points, 20.0);
        let after = |iterations: usize| {
            let options = ClusterOptions {
                iterations,
                ..ClusterOptions::default()
            };
            let mut stream = Stream::new(Purpose::Cluster, &[3]);
            divergence(&embed(points, &options, &mut stream), &p)
        };
        let (some, many) = (after(500), after(2000));
        assert!(some < 1.1 * many, "{some} {many}");
    }

    #[test]
    fn separates_two_tissues_and_repeats_itself() {
        let (values, labels) = two_tissues();
        let points = Points::new(&values, 8).unwrap();
        let options = ClusterOptions {
            method: ClusterMethod::Tsne,
            n_init: 10,
            ..ClusterOptions::default()
        };
        let found = METHOD.cluster(points, &options, 1, 2);
        let agree = found
            .labels()
            .unwrap()
            .iter()
            .zip(&labels)
            .filter(|(a, b)| a == b)
            .count();
        assert!(agree >= 95, "{agree} of 100");
        assert_eq!(METHOD.cluster(points, &options, 1, 2), found);
    }

    #[test]
    fn tiny_and_degenerate_images_do_not_break() {
        for values in [vec![0.0f32, 1.0], vec![0.0, 0.0, 1.0], {
            let mut v = vec![0.0f32; 60];
            v[59] = 1.0;
            v
        }] {
            let points = Points::new(&values, 1).unwrap();
            for iterations in [0, 1, 500] {
                let options = ClusterOptions {
                    iterations,
                    ..ClusterOptions::default()
                };
                let labels = METHOD.cluster(points, &options, 0, 0);
                assert!(labels.labels().is_some(), "{labels:?}");
            }
        }
    }
}
