//! Agglomerative clustering with Ward's linkage, cut at two clusters (Table VIII).

use kodama::{Dendrogram, Method, linkage};

use super::foreground::name_foreground;
use super::outcome::{Outcome, Reason};
use super::points::{Distances, Points};
use super::registry::Clusterer;
use crate::options::{ClusterMethod, ClusterOptions};

/// Entry in the registry.
pub const METHOD: Clusterer = Clusterer {
    method: ClusterMethod::Hierarchical,
    name: "hierarchical",
    doc: "agglomerative clustering with Ward's linkage, cut at two clusters",
    reference: "Ward 1963, doi:10.1080/01621459.1963.10500845",
    run,
};

fn run(patches: Points<'_>, options: &ClusterOptions, _seed: u64, _image_id: u64) -> Outcome {
    let Some(mut labels) = cut_at_two(&ward(patches)) else {
        return Outcome::None(Reason::OneCategory);
    };
    name_foreground(patches, &mut labels, options.foreground);
    Outcome::Labels(labels)
}

/// Merges of Ward's linkage on Euclidean distances, with heights as SciPy and R (`ward.D2`) give
/// them.
fn ward(points: Points<'_>) -> Dendrogram<f64> {
    let mut condensed = Distances::between(points).into_condensed();
    linkage(&mut condensed, points.len(), Method::Ward)
}

/// The two clusters that the last merge joins; `None` where nothing was merged.
fn cut_at_two(tree: &Dendrogram<f64>) -> Option<Vec<u8>> {
    let steps = tree.steps();
    let n = tree.observations();
    let mut clusters = vec![0; n];
    // Clusters below `n` are observations, cluster `n + i` is the result of step `i`.
    let mut pending = vec![steps.last()?.cluster2];
    while let Some(cluster) = pending.pop() {
        match cluster.checked_sub(n) {
            None => clusters[cluster] = 1,
            Some(step) => pending.extend([steps[step].cluster1, steps[step].cluster2]),
        }
    }
    Some(clusters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spec_vector_n4_ward() {
        let values = [0., 0., 0., 0.2, 0.4, 0., 0.1, 0.6, 2., 2., 2.6, 2., 2., 3.4];
        let points = Points::new(&values, 2).unwrap();
        let tree = ward(points);
        let expected = [0.2, 0.476095, 0.6, 0.654472, 1.653280, 5.690113];
        assert_eq!(tree.len(), expected.len());
        for (step, height) in tree.steps().iter().zip(expected) {
            assert!((step.dissimilarity - height).abs() < 1e-6, "{step:?}");
        }
        assert_eq!(
            METHOD.cluster(points, &ClusterOptions::default(), 0, 0),
            Outcome::Labels(vec![0, 0, 0, 0, 1, 1, 1])
        );
    }

    proptest! {
        #[test]
        fn two_clusters_whatever_the_patches(
            rows in prop::collection::vec(prop::sample::select(vec![0.0f32, 1.0, 1.0, 2.5, 9.0]), 2..60)
        ) {
            let points = Points::new(&rows, 1).unwrap();
            let outcome = METHOD.cluster(points, &ClusterOptions::default(), 0, 0);
            match outcome {
                Outcome::Labels(labels) => {
                    prop_assert!(labels.contains(&0) && labels.contains(&1));
                    // Equal patches are merged first, at height 0.
                    for i in 0..rows.len() {
                        for j in 0..rows.len() {
                            prop_assert!(rows[i] != rows[j] || labels[i] == labels[j]);
                        }
                    }
                }
                Outcome::None(reason) => prop_assert_eq!(reason, Reason::Identical),
            }
        }
    }
}
