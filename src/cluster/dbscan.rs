//! DBSCAN (Table VIII): the largest cluster is background, everything else foreground.

use super::kmeans;
use super::outcome::Outcome;
use super::points::{Distances, Points};
use super::registry::Clusterer;
use crate::options::{ClusterMethod, ClusterOptions, Foreground};

/// Entry in the registry.
pub const METHOD: Clusterer = Clusterer {
    method: ClusterMethod::Dbscan,
    name: "dbscan",
    doc: "density-based; the largest cluster is background, other clusters and noise are foreground",
    reference: "Ester et al. 1996, KDD",
    run,
};

/// Falls back to k-means where DBSCAN finds no cluster, or nothing outside of the largest one.
fn run(patches: Points<'_>, options: &ClusterOptions, seed: u64, image_id: u64) -> Outcome {
    let n = patches.len();
    let distances = Distances::between(patches).square();
    let found = neighbourhood(&distances, n, options.min_points, options.eps_quantile)
        .map(|eps| dbscan(&distances, n, eps, options.min_points));
    let divided = found.and_then(|clusters| outside_of_largest(&clusters));
    let Some(mut labels) = divided else {
        return kmeans::METHOD.cluster(patches, options, seed, image_id);
    };
    if options.foreground == Foreground::Larger {
        for label in &mut labels {
            *label ^= 1;
        }
    }
    Outcome::Labels(labels)
}

/// The neighbourhood radius: a quantile (linear interpolation) of the distances from each distinct
/// patch to its `min_points`-th nearest other one, or to the farthest where there are fewer.
/// `None` with fewer than two distinct patches. `distances` are those between all `n` patches.
///
/// Duplicates are left out, or the distance 0 between patches of air would be the radius.
fn neighbourhood(distances: &[f64], n: usize, min_points: usize, quantile: f64) -> Option<f64> {
    let mut distinct: Vec<usize> = Vec::with_capacity(n);
    for i in 0..n {
        if distinct.iter().all(|&j| distances[i * n + j] > 0.0) {
            distinct.push(i);
        }
    }
    let rank = min_points.max(1).min(distinct.len().checked_sub(1)?);
    let mut to = Vec::with_capacity(distinct.len());
    let mut far: Vec<f64> = distinct
        .iter()
        .map(|&i| {
            to.clear();
            to.extend(distinct.iter().map(|&j| distances[i * n + j]));
            // Place 0 is the patch itself.
            *to.select_nth_unstable_by(rank, f64::total_cmp).1
        })
        .collect();
    far.sort_by(f64::total_cmp);
    let at = quantile.clamp(0.0, 1.0) * (far.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    let eps = far[low] + (far[high] - far[low]) * at.fract();
    (rank > 0).then_some(eps)
}

/// Clusters of DBSCAN, numbered from 0 in order of their first core vector; `None` is noise.
///
/// A vector is a core vector where at least `min_points` vectors, itself among them, lie within
/// `eps`. A border vector belongs to the first cluster that reaches it.
fn dbscan(distances: &[f64], n: usize, eps: f64, min_points: usize) -> Vec<Option<usize>> {
    let neighbours: Vec<Vec<usize>> = distances
        .chunks_exact(n.max(1))
        .map(|row| {
            let near = row.iter().enumerate().filter(|(_, d)| **d <= eps);
            near.map(|(j, _)| j).collect()
        })
        .collect();
    let is_core = |i: usize| neighbours[i].len() >= min_points;
    let mut clusters = vec![None; n];
    let mut next = 0;
    for start in 0..n {
        if clusters[start].is_some() || !is_core(start) {
            continue;
        }
        clusters[start] = Some(next);
        let mut pending = vec![start];
        while let Some(i) = pending.pop() {
            for &j in &neighbours[i] {
                if clusters[j].is_none() {
                    clusters[j] = Some(next);
                    if is_core(j) {
                        pending.push(j);
                    }
                }
            }
        }
        next += 1;
    }
    clusters
}

/// 1 outside of the largest cluster (the first of equal ones); `None` where there is no cluster or
/// nothing outside of it.
fn outside_of_largest(clusters: &[Option<usize>]) -> Option<Vec<u8>> {
    let mut sizes: Vec<usize> = Vec::new();
    for &cluster in clusters.iter().flatten() {
        if sizes.len() <= cluster {
            sizes.resize(cluster + 1, 0);
        }
        sizes[cluster] += 1;
    }
    let most = sizes.iter().max()?;
    let largest = sizes.iter().position(|size| size == most)?;
    let labels: Vec<u8> = clusters
        .iter()
        .map(|&cluster| u8::from(cluster != Some(largest)))
        .collect();
    labels.contains(&1).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two dense groups, a border point and a lonely one on a line.
    const LINE: [f32; 12] = [0.0, 0.1, 0.2, 0.3, 0.4, 5.0, 5.1, 5.2, 5.3, 0.65, 9.0, 0.0];

    /// Distances between points of a line.
    fn between(line: &[f32]) -> Vec<f64> {
        Distances::between(Points::new(line, 1).unwrap()).square()
    }

    #[test]
    fn groups_border_and_noise() {
        let found = dbscan(&between(&LINE), LINE.len(), 0.3, 4);
        let mut expected = vec![Some(0); 5];
        expected.extend([Some(1); 4]);
        expected.extend([Some(0), None, Some(0)]);
        assert_eq!(found, expected);
        assert_eq!(
            outside_of_largest(&found).unwrap(),
            [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0]
        );
    }

    #[test]
    fn radius_is_the_quantile_over_distinct_vectors() {
        // Distances to the second nearest other vector: 2, 1, 2, 8 of the distinct 0, 1, 2, 10.
        let line = between(&[0., 0., 0., 0., 1., 2., 10.]);
        let eps = neighbourhood(&line, 7, 2, 0.5).unwrap();
        assert!((eps - 2.0).abs() < 1e-12);
        let sorted = [1.0, 2.0, 2.0, 9.0];
        let eps = neighbourhood(&line, 7, 2, 0.9).unwrap();
        assert!(
            (eps - (sorted[2] + 0.7 * (sorted[3] - sorted[2]))).abs() < 1e-12,
            "{eps}"
        );
        // Fewer vectors than neighbours asked for: the farthest counts.
        let eps = neighbourhood(&line, 7, 40, 0.0).unwrap();
        assert!((eps - 8.0).abs() < 1e-12, "{eps}");
        assert!(neighbourhood(&between(&[1., 1.]), 2, 4, 0.9).is_none());
    }

    #[test]
    fn the_largest_cluster_is_background() {
        // 30 patches of nearly the same tissue, 6 of another, 2 lonely ones.
        let mut values: Vec<f32> = (0..30).map(|i| i as f32 * 0.01).collect();
        values.extend((0..6).map(|i| 4.0 + i as f32 * 0.01));
        values.extend([20.0, 40.0]);
        let points = Points::new(&values, 1).unwrap();
        let mut options = ClusterOptions {
            method: ClusterMethod::Dbscan,
            ..ClusterOptions::default()
        };
        let expected: Vec<u8> = (0..38).map(|i| u8::from(i >= 30)).collect();
        assert_eq!(
            METHOD.cluster(points, &options, 0, 0).labels().unwrap(),
            expected
        );
        options.foreground = Foreground::Larger;
        let inverted: Vec<u8> = expected.iter().map(|l| 1 - l).collect();
        assert_eq!(
            METHOD.cluster(points, &options, 0, 0).labels().unwrap(),
            inverted
        );
    }

    #[test]
    fn one_cluster_and_pure_noise_fall_back_to_kmeans() {
        let line: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let scattered: Vec<f32> = (0..3).map(|i| (1 << i) as f32).collect();
        for values in [line, scattered] {
            let points = Points::new(&values, 1).unwrap();
            let options = ClusterOptions::default();
            for seed in 0..5 {
                assert_eq!(
                    METHOD.cluster(points, &options, seed, 7),
                    kmeans::METHOD.cluster(points, &options, seed, 7)
                );
            }
        }
    }
}
