//! Clustering and ordering together, on images.

use amlp_run::cluster::kmeans;
use amlp_run::cluster::{CLUSTERERS, Outcome, Points, Reason, cluster_images};
use amlp_run::data::images::InMemory;
use amlp_run::mask::labels::LabelTable;
use amlp_run::mask::order::{centroids, distances, order_patches, score};
use amlp_run::mask::patch::Grid;
use amlp_run::mask::schedule::masked_count;
use amlp_run::options::{AmrOptions, ClusterMethod, ClusterOptions, MpsOptions, Rank};
use amlp_run::random::{Purpose, Stream};
use proptest::prelude::*;

/// Images of air, tissue and one bright square of `lesion` patches by `lesion`.
fn phantoms(count: usize, side: usize, patch: usize, lesion: usize) -> InMemory {
    let mut images = Vec::new();
    for index in 0..count {
        let mut stream = Stream::new(Purpose::Phantom, &[index as u64]);
        let mut image = vec![0.0f32; side * side];
        let radius = side as f64 * 0.45;
        for (i, value) in image.iter_mut().enumerate() {
            let (y, x) = ((i / side) as f64, (i % side) as f64);
            let centre = side as f64 / 2.0;
            if (y - centre).hypot(x - centre) < radius {
                *value = (0.2 + 0.1 * stream.normal()) as f32;
            }
        }
        let free = side / patch - lesion - 2;
        let row = (1 + stream.below(free + 1)) * patch;
        let col = (1 + stream.below(free + 1)) * patch;
        for y in row..row + lesion * patch {
            for x in col..col + lesion * patch {
                image[y * side + x] = (2.0 + 0.1 * stream.normal()) as f32;
            }
        }
        images.push(image);
    }
    InMemory {
        shape: [1, side, side],
        regions: 0,
        masks: vec![Vec::new(); count],
        ids: (0..count as u64).map(|i| i * 1000 + 7).collect(),
        images,
    }
}

#[test]
fn every_method_finds_bright_squares() {
    let set = phantoms(6, 80, 8, 3);
    for method in CLUSTERERS {
        let options = ClusterOptions {
            method: method.method,
            n_init: 10,
            ..ClusterOptions::default()
        };
        let outcomes = cluster_images(&set, 8, &options, 3).unwrap();
        assert_eq!(outcomes.len(), 6);
        for (outcome, image) in outcomes.iter().zip(&set.images) {
            let labels = outcome.labels().unwrap();
            assert_eq!(labels.len(), 100);
            let bright: Vec<f32> = image
                .iter()
                .map(|&v| f32::from(u8::from(v > 1.0)))
                .collect();
            let lesion = Grid::new(set.shape, 8)
                .unwrap()
                .lesion_labels(&bright)
                .unwrap();
            assert_eq!(lesion.iter().filter(|&&l| l == 1).count(), 9);
            match method.method {
                ClusterMethod::Kmeans | ClusterMethod::Hierarchical => assert_eq!(labels, lesion),
                // The border of the tissue is noise to DBSCAN, and t-SNE divides elsewhere; neither
                // may divide the lesion.
                ClusterMethod::Dbscan => {
                    assert!(
                        labels
                            .iter()
                            .zip(&lesion)
                            .all(|(label, truth)| label >= truth)
                    );
                }
                ClusterMethod::Tsne => {
                    let inside = labels.iter().zip(&lesion).filter(|(_, truth)| **truth == 1);
                    let foreground = inside.filter(|(label, _)| **label == 1).count();
                    assert!(foreground == 0 || foreground == 9, "{foreground} of 9");
                }
            }
        }
    }
}

#[test]
fn threads_and_other_images_change_nothing() {
    let set = phantoms(8, 80, 8, 2);
    for method in CLUSTERERS {
        let options = ClusterOptions {
            method: method.method,
            ..ClusterOptions::default()
        };
        let all = cluster_images(&set, 8, &options, 11).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(
            one_thread.install(|| cluster_images(&set, 8, &options, 11).unwrap()),
            all
        );
        let alone = InMemory {
            images: vec![set.images[5].clone()],
            masks: vec![Vec::new()],
            ids: vec![set.ids[5]],
            ..set.clone()
        };
        assert_eq!(cluster_images(&alone, 8, &options, 11).unwrap(), all[5..6]);
    }
}

#[test]
fn blank_images_are_skipped_and_odd_sizes_refused() {
    let blank = InMemory {
        shape: [2, 32, 48],
        regions: 0,
        images: vec![vec![0.0; 2 * 32 * 48]],
        masks: vec![Vec::new()],
        ids: vec![1],
    };
    for method in CLUSTERERS {
        let options = ClusterOptions {
            method: method.method,
            ..ClusterOptions::default()
        };
        assert_eq!(
            cluster_images(&blank, 16, &options, 0).unwrap(),
            [Outcome::None(Reason::Identical)]
        );
        assert!(cluster_images(&blank, 32, &options, 0).is_err());
    }
}

#[test]
fn a_small_foreground_is_masked_whole_from_the_first_epoch() {
    // Nine foreground patches are fewer than the 25 of epoch 1 (finding F1).
    let set = phantoms(4, 80, 8, 3);
    let grid = Grid::new(set.shape, 8).unwrap();
    let outcomes = cluster_images(&set, 8, &ClusterOptions::default(), 0).unwrap();
    let labels: Vec<&[u8]> = outcomes.iter().map(|o| o.labels().unwrap()).collect();
    let table = LabelTable::new(4, 100, labels.concat()).unwrap();
    let n = masked_count(1, 800, 100, &AmrOptions::default());
    assert_eq!(n, 25);
    for (index, image) in set.images.iter().enumerate() {
        let patches = grid.patchify(image).unwrap();
        let points = Points::new(&patches, grid.dim()).unwrap();
        let order = order_patches(
            points,
            table.row(index),
            &MpsOptions::default(),
            0,
            1,
            set.ids[index],
        );
        let masked = order[..n]
            .iter()
            .filter(|&&p| table.row(index)[p] == 1)
            .count();
        assert_eq!(masked, 9);
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
    fn ratio_is_above_one_half_exactly_where_kmeans_says_foreground(
        (values, dim) in patches(), seed in any::<u64>()
    ) {
        let points = Points::new(&values, dim).unwrap();
        let outcome = kmeans::METHOD.cluster(points, &ClusterOptions::default(), seed, 1);
        if let Some(labels) = outcome.labels() {
            let d = distances(points, &centroids(points, labels)).unwrap();
            for (i, &label) in labels.iter().enumerate() {
                // On the bisector a label is a matter of numbering.
                if d.d1[i] != d.d0[i] {
                    let ratio = score(d.d1[i], d.d0[i], Rank::FgRatio);
                    prop_assert_eq!(ratio > 0.5, label == 1);
                }
            }
        }
    }

    #[test]
    fn every_method_gives_two_categories_or_a_reason(
        (values, dim) in patches(), seed in any::<u64>()
    ) {
        let points = Points::new(&values, dim).unwrap();
        for method in CLUSTERERS {
            let options = ClusterOptions {
                method: method.method,
                iterations: 60,
                ..ClusterOptions::default()
            };
            let outcome = method.cluster(points, &options, seed, 5);
            prop_assert_eq!(&outcome, &method.cluster(points, &options, seed, 5));
            match outcome {
                Outcome::Labels(labels) => {
                    prop_assert_eq!(labels.len(), points.len());
                    prop_assert!(labels.contains(&0) && labels.contains(&1));
                }
                Outcome::None(reason) => prop_assert_eq!(reason, Reason::Identical),
            }
        }
    }
}
