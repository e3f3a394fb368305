//! Lloyd's k-means with two clusters, the paper's clustering (MPS).

use super::blocks::fill_to_two;
use super::foreground::name_foreground;
use super::outcome::Outcome;
use super::points::{DISTINCT, Points, Sums, distance, squared_distance};
use super::registry::Clusterer;
use crate::options::{ClusterMethod, ClusterOptions, KmeansInit};
use crate::random::{Purpose, Stream};

/// Entry in the registry.
pub const METHOD: Clusterer = Clusterer {
    method: ClusterMethod::Kmeans,
    name: "kmeans",
    doc: "Lloyd's k-means with two clusters; the paper's choice",
    reference: "Lloyd 1982, doi:10.1109/TIT.1982.1056489",
    run,
};

/// Iterations at most.
const ITERATIONS: usize = 100;

/// Movement of both centres below which the iteration stops.
const STILL: f32 = 1e-6;

/// Draws of two random patches before the pair is chosen among those that differ.
const DRAWS: usize = 64;

/// A partition into two clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Cluster of each vector, 0 or 1.
    pub clusters: Vec<u8>,
    /// Centres of cluster 0 and 1.
    pub centres: [Vec<f32>; 2],
    /// Sum of squared distances to the own centre.
    pub inertia: f64,
    /// Rounds of assignment.
    pub iterations: usize,
}

fn run(patches: Points<'_>, options: &ClusterOptions, seed: u64, image_id: u64) -> Outcome {
    let mut stream = Stream::new(Purpose::Cluster, &[seed, image_id]);
    let mut labels = best(patches, options, &mut stream).clusters;
    name_foreground(patches, &mut labels, options.foreground);
    Outcome::Labels(labels)
}

/// The partition with the least inertia of `n_init` starts (the first of equal ones).
pub(super) fn best(points: Points<'_>, options: &ClusterOptions, stream: &mut Stream) -> Partition {
    let mut start = || {
        let initial = match options.init {
            KmeansInit::RandomDistinct => random_distinct(points, stream),
            KmeansInit::PlusPlus => plus_plus(points, stream),
        };
        lloyd(points, initial)
    };
    let mut best = start();
    for _ in 1..options.n_init {
        let next = start();
        if next.inertia < best.inertia {
            best = next;
        }
    }
    best
}

/// Iterates from the vectors `initial` as centres until no vector changes its cluster, the centres
/// move less than 1e-6, or 100 rounds are over. Ties go to cluster 0; a cluster without members
/// keeps its centre. The points must hold both vectors.
#[must_use]
pub fn lloyd(points: Points<'_>, initial: [usize; 2]) -> Partition {
    let mut centres = initial.map(|i| points.row(i).to_vec());
    let mut moved = vec![0.0; points.dim()];
    // No cluster has this number: the first round changes every entry.
    let mut clusters = vec![u8::MAX; points.len()];
    let mut squares = vec![[0.0; 2]; points.len()];
    let mut sums = Sums::new(points.dim());
    let mut inertia = 0.0;
    let mut iterations = 0;
    while iterations < ITERATIONS {
        iterations += 1;
        let changed;
        (changed, inertia) = assign(points, &centres, &mut squares, &mut clusters);
        if !changed {
            break;
        }
        sums.add_all(points, &clusters);
        let mut still = true;
        for (category, centre) in centres.iter_mut().enumerate() {
            moved.copy_from_slice(centre);
            sums.mean_into(category, &mut moved);
            still &= squared_distance(&moved, centre) < STILL * STILL;
            centre.copy_from_slice(&moved);
        }
        if still {
            break;
        }
    }
    Partition {
        clusters,
        centres,
        inertia,
        iterations,
    }
}

/// Moves every vector to its nearest centre: whether one changed its cluster, and the inertia.
/// `squares` is scratch, a place for each vector.
fn assign(
    points: Points<'_>,
    centres: &[Vec<f32>; 2],
    squares: &mut [[f32; 2]],
    clusters: &mut [u8],
) -> (bool, f64) {
    fill_to_two(points, [&centres[0], &centres[1]], squares);
    let (mut changed, mut inertia) = (false, 0.0);
    for (to, cluster) in squares.iter().zip(clusters) {
        let nearest = u8::from(to[1] < to[0]);
        changed |= *cluster != nearest;
        *cluster = nearest;
        inertia += f64::from(to[usize::from(nearest)]);
    }
    (changed, inertia)
}

/// Two random vectors that differ. Many patches are the same air: two equal centres would put
/// everything into one cluster, so equal pairs are drawn again.
fn random_distinct(points: Points<'_>, stream: &mut Stream) -> [usize; 2] {
    let n = points.len();
    let differ = |a: usize, b: usize| distance(points.row(a), points.row(b)) > DISTINCT;
    for _ in 0..DRAWS {
        let (a, b) = (stream.below(n), stream.below(n));
        if differ(a, b) {
            return [a, b];
        }
    }
    // Nearly all vectors are equal. A vector that differs from `a` exists: at least vector 0 or the
    // vector farthest from it.
    let a = stream.below(n);
    let others: Vec<usize> = (0..n).filter(|&b| differ(a, b)).collect();
    match others.get(stream.below(others.len())) {
        Some(&b) => [a, b],
        None => farthest_pair(points),
    }
}

/// Vector 0 and the one farthest from it.
fn farthest_pair(points: Points<'_>) -> [usize; 2] {
    let first = points.row(0);
    let (mut far, mut most) = (0, 0.0);
    for (i, row) in points.rows().enumerate() {
        let d = distance(first, row);
        if d > most {
            (far, most) = (i, d);
        }
    }
    [0, far]
}

/// k-means++ (Arthur and Vassilvitskii 2007): a random vector, then one drawn with probability
/// proportional to its squared distance from the first.
fn plus_plus(points: Points<'_>, stream: &mut Stream) -> [usize; 2] {
    let a = stream.below(points.len());
    let first = points.row(a);
    let weights: Vec<f64> = points
        .rows()
        .map(|row| distance(first, row).powi(2))
        .collect();
    let mut rest = stream.uniform() * weights.iter().sum::<f64>();
    let mut last = None;
    for (b, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = Some(b);
            if rest < weight {
                break;
            }
            rest -= weight;
        }
    }
    last.map_or_else(|| farthest_pair(points), |b| [a, b])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::Foreground;

    const N4: [f32; 14] = [0., 0., 0., 0.2, 0.4, 0., 0.1, 0.6, 2., 2., 2.6, 2., 2., 3.4];

    #[test]
    fn spec_vector_n4() {
        let points = Points::new(&N4, 2).unwrap();
        let found = lloyd(points, [1, 5]);
        assert_eq!(found.clusters, [0, 0, 0, 0, 1, 1, 1]);
        for (centre, expected) in found.centres.iter().zip([[0.125, 0.2], [2.2, 2.466667]]) {
            for (c, e) in centre.iter().zip(expected) {
                assert!((f64::from(*c) - e).abs() < 1e-6);
            }
        }
        let mut labels = found.clusters;
        name_foreground(points, &mut labels, Foreground::Smaller);
        assert_eq!(labels, [0, 0, 0, 0, 1, 1, 1]);
        // The same clusters from the other numbering.
        let mut swapped = lloyd(points, [5, 1]).clusters;
        assert_eq!(swapped, [1, 1, 1, 1, 0, 0, 0]);
        name_foreground(points, &mut swapped, Foreground::Smaller);
        assert_eq!(swapped, [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn mostly_identical_patches_still_give_two_clusters() {
        // Vector N4, degenerate: 60 identical and 40 distinct patches.
        let mut values = vec![0.0f32; 100 * 4];
        for (i, row) in values.chunks_exact_mut(4).enumerate().skip(60) {
            for (j, value) in row.iter_mut().enumerate() {
                *value = 1.0 + (i * 7 + j * 3) as f32 / 50.0;
            }
        }
        let points = Points::new(&values, 4).unwrap();
        for init in [KmeansInit::RandomDistinct, KmeansInit::PlusPlus] {
            let options = ClusterOptions {
                init,
                ..ClusterOptions::default()
            };
            for seed in 0..200 {
                let outcome = METHOD.cluster(points, &options, seed, 3);
                let labels = outcome.labels().unwrap();
                assert!(labels.contains(&0) && labels.contains(&1));
                assert!(labels[..60].iter().all(|&l| l == labels[0]));
            }
        }
    }

    #[test]
    fn one_distinct_patch_among_many_is_found() {
        let mut values = vec![0.25f32; 400];
        values[399] = 1.0;
        let points = Points::new(&values, 1).unwrap();
        for seed in 0..50 {
            let outcome = METHOD.cluster(points, &ClusterOptions::default(), seed, 0);
            let labels = outcome.labels().unwrap();
            assert_eq!(labels[399], 1);
            assert_eq!(labels.iter().filter(|&&l| l == 1).count(), 1);
        }
    }

    #[test]
    fn plus_plus_draws_by_squared_distance() {
        // From 0 the weights are 1 and 9, from 1 they are 1 and 4, from 3 they are 9 and 4.
        let points = Points::new(&[0., 1., 3.], 1).unwrap();
        let mut stream = Stream::new(Purpose::Cluster, &[9]);
        let mut far = [0usize; 3];
        let mut all = [0usize; 3];
        for _ in 0..30_000 {
            let [a, b] = plus_plus(points, &mut stream);
            assert_ne!(a, b);
            all[a] += 1;
            far[a] += usize::from(b == [2, 2, 0][a]);
        }
        for (a, expected) in [0.9, 0.8, 9.0 / 13.0].into_iter().enumerate() {
            let share = far[a] as f64 / all[a] as f64;
            assert!((share - expected).abs() < 0.02, "{a}: {share}");
        }
    }

    fn patches() -> impl Strategy<Value = (Vec<f32>, usize)> {
        (1usize..20, 2usize..40).prop_flat_map(|(dim, n)| {
            // Half of the patches are air, as in real images.
            let row = prop_oneof![
                Just(vec![0.0f32; dim]),
                prop::collection::vec(-3.0f32..3.0, dim)
            ];
            prop::collection::vec(row, n).prop_map(move |rows| (rows.concat(), dim))
        })
    }

    proptest! {
        #[test]
        fn deterministic_and_never_panics(
            (values, dim) in patches(), seed in any::<u64>(), id in any::<u64>()
        ) {
            let points = Points::new(&values, dim).unwrap();
            let options = ClusterOptions { n_init: 3, ..ClusterOptions::default() };
            let outcome = METHOD.cluster(points, &options, seed, id);
            prop_assert_eq!(&outcome, &METHOD.cluster(points, &options, seed, id));
            if let Some(labels) = outcome.labels() {
                prop_assert!(labels.contains(&0) && labels.contains(&1));
                let ones = labels.iter().filter(|&&l| l == 1).count();
                prop_assert!(2 * ones <= labels.len());
            }
        }

        #[test]
        fn restarts_never_raise_the_inertia((values, dim) in patches(), seed in any::<u64>()) {
            let points = Points::new(&values, dim).unwrap();
            let inertia = |n_init: usize| {
                let options = ClusterOptions { n_init, ..ClusterOptions::default() };
                best(points, &options, &mut Stream::new(Purpose::Cluster, &[seed])).inertia
            };
            prop_assert!(inertia(10) <= inertia(1));
        }
    }
}
