//! How well the two categories of a clustering tell lesions apart (Table VII; `methods/masked.md`
//! section 2.11).
//!
//! Averages over images, before any training. A patch is a lesion patch where it holds a pixel of
//! any region. The precision of a category is, as printed, the share of lesion patches in it: for
//! the background the smaller the better. Shares are ratios of the averages, so the rows of a table
//! add up.

use super::measurement::values;
use super::registry::{MeasureEntry, Quantity};
use super::{MeasureError, MeasureJob, Values};
use crate::cluster::cluster_images;
use crate::data::images::Images;
use crate::mask::labels::{Agreement, LabelTable};
use crate::mask::patch::{Grid, PatchError};
use crate::options::MeasureKind;

pub(super) const MEASURE: MeasureEntry = MeasureEntry {
    kind: MeasureKind::Clustering,
    name: "clustering",
    doc: "sizes of the two categories of patches and their agreement with the lesions",
    reference: "Table VII",
    version: 1,
    parts: &["foreground", "background", "both"],
    quantities: &[
        Quantity {
            name: "patches",
            doc: "patches of the category, mean over images",
        },
        Quantity {
            name: "lesion_patches",
            doc: "those with at least one pixel of a lesion, mean over images",
        },
        Quantity {
            name: "precision_percent",
            doc: "share of lesion patches among the patches of the category, in percent",
        },
        Quantity {
            name: "recall_percent",
            doc: "share of all lesion patches that are in the category, in percent",
        },
        Quantity {
            name: "misclassified_percent",
            doc: "share of all patches that are in the category and belong to the other, in percent",
        },
    ],
    timed: false,
    run,
};

fn run(job: &MeasureJob<'_>) -> Result<Values, MeasureError> {
    let images = &job.images;
    let grid = Grid::new(images.shape(), job.clusters.patch)?;
    let outcomes = cluster_images(images, job.clusters.patch, &job.clusters.cluster, job.seed)?;
    // Images without two categories have one, the background, as in training.
    let labels = outcomes
        .iter()
        .flat_map(|o| {
            o.labels()
                .map_or_else(|| vec![0; grid.patches()], <[u8]>::to_vec)
        })
        .collect();
    let table = LabelTable::new(images.len(), grid.patches(), labels)?;
    let mut counts = Agreement::default();
    let mut masks = vec![0.0; images.regions() * grid.shape()[1] * grid.shape()[2]];
    for index in 0..images.len() {
        images.masks(index, &mut masks);
        counts += table.agreement(index, &lesion_patches(&masks, grid)?)?;
    }
    Ok(statistics(counts, images.len()))
}

/// 1 where a patch holds a pixel of any of the `masks`, `[regions, height, width]`.
fn lesion_patches(masks: &[f32], grid: Grid) -> Result<Vec<u8>, PatchError> {
    let [_, height, width] = grid.shape();
    let mut any = vec![0; grid.patches()];
    for region in masks.chunks_exact(height * width) {
        for (any, label) in any.iter_mut().zip(grid.lesion_labels(region)?) {
            *any |= label;
        }
    }
    Ok(any)
}

/// The rows of the table from counts over all `images`.
fn statistics(counts: Agreement, images: usize) -> Values {
    let Agreement {
        true_positive,
        false_positive,
        false_negative,
        true_negative,
    } = counts;
    let all = true_positive + false_positive + false_negative + true_negative;
    let lesions = true_positive + false_negative;
    let part = |patches: u64, lesion: u64, wrong: u64| {
        let mean = |count: u64| Some(count as f64 / images.max(1) as f64);
        let percent = |a: u64, b: u64| (b > 0).then(|| 100.0 * a as f64 / b as f64);
        [
            ("patches", mean(patches)),
            ("lesion_patches", mean(lesion)),
            ("precision_percent", percent(lesion, patches)),
            ("recall_percent", percent(lesion, lesions)),
            ("misclassified_percent", percent(wrong, all)),
        ]
    };
    let foreground = true_positive + false_positive;
    let background = false_negative + true_negative;
    values([
        (
            "foreground",
            part(foreground, true_positive, false_positive),
        ),
        (
            "background",
            part(background, false_negative, false_negative),
        ),
        ("both", part(all, lesions, false_positive + false_negative)),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::Drawn;
    use super::*;
    use crate::data::images::InMemory;
    use crate::options::{ClusterOptions, PatchClusters};

    /// The printed table: 150 images of 100 patches.
    #[test]
    fn the_shares_are_those_of_table_vii() {
        // 15.47, 7.39 and 4.88 patches, in hundredths of 150 images.
        let counts = Agreement {
            true_positive: 739,
            false_positive: 1547 - 739,
            false_negative: 488,
            true_negative: 8453 - 488,
        };
        let values = statistics(counts, 100);
        let near = |part: &str, quantity: &str, printed: f64| {
            let value = values[part][quantity];
            assert!(
                (value - printed).abs() < 0.006,
                "{part} {quantity}: {value}"
            );
        };
        near("foreground", "patches", 15.47);
        near("foreground", "lesion_patches", 7.39);
        near("foreground", "precision_percent", 47.77);
        near("background", "patches", 84.53);
        near("background", "lesion_patches", 4.88);
        near("background", "precision_percent", 5.77);
        near("both", "lesion_patches", 12.27);
        // Quoted in the text.
        near("both", "misclassified_percent", 12.96);
        near("foreground", "misclassified_percent", 8.08);
        near("background", "misclassified_percent", 4.88);
        near("foreground", "recall_percent", 60.23);
    }

    #[test]
    fn what_is_undefined_is_left_out() {
        let counts = Agreement {
            true_negative: 4,
            ..Agreement::default()
        };
        let values = statistics(counts, 1);
        assert_eq!(values["foreground"]["patches"], 0.0);
        assert!(!values["foreground"].contains_key("precision_percent"));
        assert!(!values["both"].contains_key("recall_percent"));
        assert_eq!(values["background"]["precision_percent"], 0.0);
    }

    /// Sixteen patches of two by two, of which the first is bright, and a lesion in the first and
    /// in the last.
    #[test]
    fn bright_patches_are_the_foreground_of_a_dark_image() {
        let mut image = vec![0.0; 64];
        let mut mask = vec![0.0; 2 * 64];
        for at in [0, 1, 8, 9] {
            image[at] = 5.0;
        }
        mask[0] = 1.0;
        mask[64 + 63] = 1.0;
        let images = InMemory {
            shape: [1, 8, 8],
            regions: 2,
            images: vec![image; 3],
            masks: vec![mask; 3],
            ids: vec![1, 2, 3],
        };
        let clusters = PatchClusters {
            patch: 2,
            cluster: ClusterOptions::default(),
        };
        let job = MeasureJob {
            images: Drawn::new(&images, 2, 7),
            clusters: &clusters,
            repeats: 1,
            seed: 7,
        };
        let values = MEASURE.measure(&job).unwrap();
        assert_eq!(values["foreground"]["patches"], 1.0);
        assert_eq!(values["foreground"]["lesion_patches"], 1.0);
        assert_eq!(values["background"]["patches"], 15.0);
        assert_eq!(values["background"]["lesion_patches"], 1.0);
        assert_eq!(values["both"]["misclassified_percent"], 6.25);
    }
}
