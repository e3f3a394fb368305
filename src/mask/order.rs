//! Masked patches selection (MPS): the order in which the patches of an image are masked.

use std::cmp::Ordering;
use std::f64::consts::PI;

use crate::cluster::points::{Points, Sums, squared_distance};
use crate::options::{MpsOptions, Rank, Strategy};
use crate::random::{Purpose, Stream};

/// Score where a category is empty and nothing can be said.
const UNDECIDED: f64 = 0.5;

/// Means of the patches of the two categories, `None` where a category is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Centroids {
    /// Mean of the patches with label 1.
    pub foreground: Option<Vec<f32>>,
    /// Mean of the patches with label 0.
    pub background: Option<Vec<f32>>,
}

/// Euclidean distances of every patch to the two centroids.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    /// To the foreground centroid.
    pub d1: Vec<f64>,
    /// To the background centroid.
    pub d0: Vec<f64>,
}

/// Centroids of the current labels (one per patch, 0 is background). They are computed anew each
/// epoch, because labels change.
#[must_use]
pub fn centroids(patches: Points<'_>, labels: &[u8]) -> Centroids {
    let mut sums = Sums::new(patches.dim());
    sums.add_all(patches, labels);
    let mean = |category: usize| {
        (sums.counts[category] > 0).then(|| {
            let mut mean = vec![0.0; patches.dim()];
            sums.mean_into(category, &mut mean);
            mean
        })
    };
    Centroids {
        background: mean(0),
        foreground: mean(1),
    }
}

/// Distances of every patch to both centroids; `None` where a category is empty.
#[must_use]
pub fn distances(patches: Points<'_>, centroids: &Centroids) -> Option<Distances> {
    let foreground = centroids.foreground.as_deref()?;
    let background = centroids.background.as_deref()?;
    let to = |centre: &[f32]| {
        patches
            .rows()
            .map(|row| f64::from(squared_distance(row, centre)).sqrt())
            .collect()
    };
    Some(Distances {
        d1: to(foreground),
        d0: to(background),
    })
}

/// Score of one patch with distance `d1` to the foreground and `d0` to the background centroid:
/// the larger, the earlier inside its category. Never NaN.
///
/// The paper calls the order "probability of being foreground", then says that a larger distance to
/// the foreground centre makes foreground more likely, which contradicts it; [`Rank`] holds the
/// readings.
#[must_use]
pub fn score(d1: f64, d0: f64, rank: Rank) -> f64 {
    let value = match rank {
        Rank::FgRatio => d0 / (d1 + d0),
        Rank::FgNear => -d1,
        Rank::FgFar => d1,
        Rank::BgFar => d0,
    };
    if value.is_nan() { UNDECIDED } else { value }
}

/// All patches of an image in the order in which they are masked: the first `n` are the mask of
/// size `n`.
///
/// Keys: label descending (unless `group_first` is off), score descending, a seeded shuffle between
/// equal scores, so that identical air patches are not always masked from the top left corner.
/// `easy_to_hard` reverses the first two; `random`, or MPS off, gives [`random_order`].
///
/// `distances` is `None` where a category is empty or the image has no clustering; the order inside
/// a category is then random. A patch without a distance counts as undecided.
#[must_use]
pub fn order(
    distances: Option<&Distances>,
    labels: &[u8],
    options: &MpsOptions,
    seed: u64,
    epoch: u64,
    image_id: u64,
) -> Vec<usize> {
    if !options.enabled || options.strategy == Strategy::Random {
        return random_order(labels.len(), seed, epoch, image_id);
    }
    let mut scores: Vec<f64> = (0..labels.len())
        .map(|i| {
            let pair = distances.and_then(|d| Some((*d.d1.get(i)?, *d.d0.get(i)?)));
            pair.map_or(UNDECIDED, |(d1, d0)| score(d1, d0, options.rank))
        })
        .collect();
    if options.jitter > 0.0 {
        add_gumbel(&mut scores, options.jitter, &[seed, epoch, image_id]);
    }
    let first = |a: usize, b: usize| -> Ordering {
        let group = if options.group_first {
            labels[b].cmp(&labels[a])
        } else {
            Ordering::Equal
        };
        group.then_with(|| scores[b].total_cmp(&scores[a]))
    };
    // The stable sort keeps the shuffled order between equal keys.
    let mut order = Stream::new(Purpose::Ties, &[seed, epoch, image_id]).permutation(labels.len());
    match options.strategy {
        Strategy::EasyToHard => order.sort_by(|&a, &b| first(b, a)),
        Strategy::HardToEasy | Strategy::Random => order.sort_by(|&a, &b| first(a, b)),
    }
    order
}

/// [`order`] from the patches themselves: centroids, distances, order.
#[must_use]
pub fn order_patches(
    patches: Points<'_>,
    labels: &[u8],
    options: &MpsOptions,
    seed: u64,
    epoch: u64,
    image_id: u64,
) -> Vec<usize> {
    let distances = distances(patches, &centroids(patches, labels));
    order(distances.as_ref(), labels, options, seed, epoch, image_id)
}

/// A random order of `n` patches, new in each epoch.
#[must_use]
pub fn random_order(n: usize, seed: u64, epoch: u64, image_id: u64) -> Vec<usize> {
    Stream::new(Purpose::Mask, &[seed, epoch, image_id]).permutation(n)
}

/// Adds Gumbel noise of standard deviation `deviation`.
fn add_gumbel(scores: &mut [f64], deviation: f64, coordinates: &[u64]) {
    let scale = deviation * 6.0f64.sqrt() / PI;
    let mut stream = Stream::new(Purpose::Mask, coordinates);
    for score in scores {
        // Both logarithms need an argument strictly inside (0, 1).
        let u = stream
            .uniform()
            .clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        *score -= scale * (-u.ln()).ln();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    // Both glob imports hold a `Strategy`: the option has the name, the trait its methods.
    use crate::options::Strategy;
    use proptest::strategy::Strategy as _;

    /// Points of vector N4 and their k-means labels.
    const N4: [f32; 14] = [0., 0., 0., 0.2, 0.4, 0., 0.1, 0.6, 2., 2., 2.6, 2., 2., 3.4];
    const N4_LABELS: [u8; 7] = [0, 0, 0, 0, 1, 1, 1];

    fn n4_distances() -> Distances {
        let points = Points::new(&N4, 2).unwrap();
        distances(points, &centroids(points, &N4_LABELS)).unwrap()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{f} is not {e}");
        }
    }

    #[test]
    fn spec_vector_n4_distances_and_scores() {
        let points = Points::new(&N4, 2).unwrap();
        let c = centroids(points, &N4_LABELS);
        let background: Vec<f64> = c.background.unwrap().iter().map(|&v| v.into()).collect();
        let foreground: Vec<f64> = c.foreground.unwrap().iter().map(|&v| v.into()).collect();
        close(&background, &[0.125, 0.2]);
        close(&foreground, &[2.2, 2.466667]);
        let d = n4_distances();
        close(
            &d.d1,
            &[
                3.305215, 3.158762, 3.053595, 2.809705, 0.507718, 0.614636, 0.954521,
            ],
        );
        close(
            &d.d0,
            &[
                0.235850, 0.125, 0.340037, 0.400780, 2.599159, 3.060331, 3.708858,
            ],
        );
        let scores: Vec<f64> =
            d.d1.iter()
                .zip(&d.d0)
                .map(|(&d1, &d0)| score(d1, d0, Rank::FgRatio))
                .collect();
        close(
            &scores,
            &[
                0.066604, 0.038066, 0.100198, 0.124835, 0.836582, 0.832751, 0.795316,
            ],
        );
    }

    #[test]
    fn spec_vector_n4_orders() {
        let d = n4_distances();
        let cases: [(Rank, bool, [usize; 7]); 5] = [
            (Rank::FgRatio, true, [4, 5, 6, 3, 2, 0, 1]),
            (Rank::FgNear, true, [4, 5, 6, 3, 2, 1, 0]),
            (Rank::FgFar, true, [6, 5, 4, 0, 1, 2, 3]),
            (Rank::BgFar, true, [6, 5, 4, 3, 2, 0, 1]),
            (Rank::FgFar, false, [0, 1, 2, 3, 6, 5, 4]),
        ];
        for (rank, group_first, expected) in cases {
            let mut options = MpsOptions {
                rank,
                group_first,
                ..MpsOptions::default()
            };
            for seed in 0..5 {
                options.strategy = Strategy::HardToEasy;
                let hard = order(Some(&d), &N4_LABELS, &options, seed, 1, 0);
                assert_eq!(hard, expected, "{rank:?}");
                options.strategy = Strategy::EasyToHard;
                let mut easy = order(Some(&d), &N4_LABELS, &options, seed, 1, 0);
                easy.reverse();
                assert_eq!(easy, expected, "{rank:?} reversed");
            }
        }
    }

    #[test]
    fn an_empty_category_gives_a_random_order_without_nan() {
        let points = Points::new(&N4, 2).unwrap();
        for labels in [[0u8; 7], [1; 7]] {
            let c = centroids(points, &labels);
            assert!(distances(points, &c).is_none());
            let orders: Vec<Vec<usize>> = (0..20)
                .map(|epoch| order_patches(points, &labels, &MpsOptions::default(), 3, epoch, 9))
                .collect();
            assert!(orders.windows(2).any(|w| w[0] != w[1]));
        }
    }

    #[test]
    fn identical_patches_are_masked_in_another_order_each_epoch() {
        // Patches 0..4 are the same air; their order must not be their index.
        let values = [0., 0., 0., 0., 0., 5., 6., 7.];
        let labels = [0, 0, 0, 0, 0, 1, 1, 1];
        let points = Points::new(&values, 1).unwrap();
        let firsts: std::collections::BTreeSet<usize> = (0..40)
            .map(|epoch| order_patches(points, &labels, &MpsOptions::default(), 0, epoch, 0)[3])
            .collect();
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn score_of_equal_centroids_on_a_patch_is_undecided() {
        assert_eq!(score(0.0, 0.0, Rank::FgRatio), 0.5);
        assert_eq!(score(f64::NAN, 1.0, Rank::FgNear), 0.5);
    }

    #[test]
    fn off_and_random_are_the_same_permutation() {
        let d = n4_distances();
        let off = MpsOptions {
            enabled: false,
            ..MpsOptions::default()
        };
        let random = MpsOptions {
            strategy: Strategy::Random,
            ..MpsOptions::default()
        };
        let expected = random_order(7, 1, 2, 3);
        assert_eq!(order(None, &N4_LABELS, &off, 1, 2, 3), expected);
        assert_eq!(order(Some(&d), &N4_LABELS, &random, 1, 2, 3), expected);
    }

    #[test]
    fn jitter_has_the_deviation_that_it_is_given_and_keeps_the_groups() {
        let mut noise = vec![0.0; 20_000];
        add_gumbel(&mut noise, 0.3, &[1, 2, 3]);
        let n = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / n;
        let deviation = (noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((deviation - 0.3).abs() < 0.01, "{deviation}");
        let d = n4_distances();
        let options = MpsOptions {
            jitter: 10.0,
            ..MpsOptions::default()
        };
        let mut moved = false;
        for epoch in 0..20 {
            let o = order(Some(&d), &N4_LABELS, &options, 0, epoch, 0);
            let mut front = o[..3].to_vec();
            moved |= front != [4, 5, 6];
            front.sort_unstable();
            assert_eq!(front, [4, 5, 6]);
        }
        assert!(moved);
    }

    fn any_options() -> impl proptest::strategy::Strategy<Value = MpsOptions> {
        (
            prop::sample::select(vec![Rank::FgRatio, Rank::FgNear, Rank::FgFar, Rank::BgFar]),
            prop::sample::select(vec![
                Strategy::HardToEasy,
                Strategy::EasyToHard,
                Strategy::Random,
            ]),
            any::<bool>(),
            any::<bool>(),
            prop::sample::select(vec![0.0, 0.5]),
        )
            .prop_map(
                |(rank, strategy, enabled, group_first, jitter)| MpsOptions {
                    enabled,
                    rank,
                    group_first,
                    strategy,
                    jitter,
                },
            )
    }

    proptest! {
        #[test]
        fn every_order_is_a_permutation(
            options in any_options(),
            patches in prop::collection::vec((0u8..2, -1i8..2), 0..60),
            seed in any::<u64>(), epoch in 1u64..900, id in any::<u64>()
        ) {
            let labels: Vec<u8> = patches.iter().map(|p| p.0).collect();
            let values: Vec<f32> = patches.iter().map(|p| p.1.into()).collect();
            let points = Points::new(&values, 1).unwrap();
            let found = order_patches(points, &labels, &options, seed, epoch, id);
            prop_assert_eq!(&found, &order_patches(points, &labels, &options, seed, epoch, id));
            let mut sorted = found;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..labels.len()).collect::<Vec<_>>());
        }

        #[test]
        fn easy_and_hard_masks_are_complementary_without_ties(
            scores in prop::collection::btree_set(1u32..1_000_000, 2..60),
            labels in prop::collection::vec(0u8..2, 60),
            n in 0usize..60
        ) {
            let d1: Vec<f64> = scores.iter().map(|&v| v.into()).collect();
            let labels = &labels[..d1.len()];
            let d = Distances { d0: vec![1.0; d1.len()], d1 };
            let n = n % labels.len();
            let hard = order(Some(&d), labels, &MpsOptions::default(), 1, 2, 3);
            let easy = MpsOptions { strategy: Strategy::EasyToHard, ..MpsOptions::default() };
            let easy = order(Some(&d), labels, &easy, 1, 2, 3);
            let mut union: Vec<usize> = easy[..n].to_vec();
            union.extend(&hard[..labels.len() - n]);
            union.sort_unstable();
            prop_assert_eq!(union, (0..labels.len()).collect::<Vec<_>>());
        }
    }
}
