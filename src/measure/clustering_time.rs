//! How long the clustering of an image takes, and how that grows with the number of patches
//! (Table VIII prints O(n) and O(n^2)).
//!
//! Patches are those of the drawn images, of the study's size, so that the length of a vector stays
//! the same: for fewer than an image has some are drawn, for more those of several images are put
//! together. One thread; per image the median of some timings, then the median over images.

use std::hint::black_box;
use std::time::Instant;

use super::measurement::values;
use super::registry::{MeasureEntry, Quantity};
use super::{MeasureError, MeasureJob, Values};
use crate::cluster::{self, Points};
use crate::data::images::Images;
use crate::mask::patch::Grid;
use crate::options::MeasureKind;
use crate::random::{Purpose, Stream};

/// Numbers of patches: 6 x 6, 10 x 10 (the paper's), 12 x 12 and 20 x 20.
const SIZES: [usize; 4] = [36, 100, 144, 400];

pub(super) const MEASURE: MeasureEntry = MeasureEntry {
    kind: MeasureKind::ClusteringTime,
    name: "clustering_time",
    doc: "time of the clustering of one image on one thread, and its growth with the patches",
    reference: "Table VIII, row of complexities",
    version: 1,
    parts: &["image"],
    quantities: &[
        Quantity {
            name: "ms_36_patches",
            doc: "milliseconds for 36 patches",
        },
        Quantity {
            name: "ms_100_patches",
            doc: "milliseconds for 100 patches, an image of the paper",
        },
        Quantity {
            name: "ms_144_patches",
            doc: "milliseconds for 144 patches",
        },
        Quantity {
            name: "ms_400_patches",
            doc: "milliseconds for 400 patches",
        },
        Quantity {
            name: "growth",
            doc: "k of time ~ n^k over these numbers of patches (least squares of the logarithms)",
        },
    ],
    timed: true,
    run,
};

fn run(job: &MeasureJob<'_>) -> Result<Values, MeasureError> {
    let mut times = [0.0; SIZES.len()];
    for (time, size) in times.iter_mut().zip(SIZES) {
        let images = (0..job.images.len())
            .map(|first| time_of(job, first, size))
            .collect::<Result<Vec<f64>, MeasureError>>()?;
        *time = median(images);
    }
    let [a, b, c, d] = times.map(Some);
    Ok(values([(
        "image",
        [
            ("ms_36_patches", a),
            ("ms_100_patches", b),
            ("ms_144_patches", c),
            ("ms_400_patches", d),
            ("growth", growth(&SIZES, &times)),
        ],
    )]))
}

/// Milliseconds of the clustering of `size` patches, from the drawn image `first` on.
fn time_of(job: &MeasureJob<'_>, first: usize, size: usize) -> Result<f64, MeasureError> {
    let grid = Grid::new(job.images.shape(), job.clusters.patch)?;
    let id = job.images.id(first);
    let patches = some_patches(&job.images, grid, first, size, job.seed)?;
    let points = Points::new(&patches, grid.dim())?;
    let method = cluster::find(job.clusters.cluster.method);
    let timings = (0..job.repeats.max(1)).map(|_| {
        let start = Instant::now();
        black_box(method.cluster(black_box(points), &job.clusters.cluster, job.seed, id));
        start.elapsed().as_secs_f64() * 1e3
    });
    Ok(median(timings.collect()))
}

/// `size` patches of the image `first` and as many of those after it as are needed.
fn some_patches(
    images: &dyn Images,
    grid: Grid,
    first: usize,
    size: usize,
    seed: u64,
) -> Result<Vec<f32>, MeasureError> {
    let [channels, height, width] = images.shape();
    let mut image = vec![0.0; channels * height * width];
    let mut all = Vec::new();
    let mut next = first;
    while all.len() < size * grid.dim() {
        images.image(next % images.len(), &mut image);
        all.extend(grid.patchify(&image)?);
        next += 1;
    }
    let found = all.len() / grid.dim();
    if found == size {
        return Ok(all);
    }
    let coordinates = [seed, images.id(first), size as u64];
    let mut taken = Stream::new(Purpose::Sample, &coordinates).permutation(found);
    taken.truncate(size);
    taken.sort_unstable();
    Ok(taken
        .into_iter()
        .flat_map(|i| &all[i * grid.dim()..(i + 1) * grid.dim()])
        .copied()
        .collect())
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match (n, n % 2) {
        (0, _) => 0.0,
        (_, 1) => values[n / 2],
        _ => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Slope of the line through the logarithms; `None` where a time is 0.
fn growth(sizes: &[usize], times: &[f64]) -> Option<f64> {
    if times.iter().any(|t| *t <= 0.0) {
        return None;
    }
    let n = sizes.len() as f64;
    let x: Vec<f64> = sizes.iter().map(|&s| (s as f64).ln()).collect();
    let y: Vec<f64> = times.iter().map(|t| t.ln()).collect();
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let xy: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
    let xx: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    Some(xy / xx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_growth_of_powers_is_their_exponent() {
        for power in [0.0, 1.0, 2.0, 2.5] {
            let times = SIZES.map(|n| 0.01 * (n as f64).powf(power));
            let found = growth(&SIZES, &times).unwrap();
            assert!((found - power).abs() < 1e-12, "{found}");
        }
        assert_eq!(growth(&SIZES, &[1.0, 0.0, 1.0, 1.0]), None);
    }

    /// Images of four patches of one pixel each, whose values say where they are from.
    #[test]
    fn any_number_of_patches_comes_from_an_image_and_those_after_it() {
        let images = InMemory {
            shape: [1, 2, 2],
            regions: 0,
            images: (0..3)
                .map(|i| (0..4).map(|p| (10 * i + p) as f32).collect())
                .collect(),
            masks: vec![Vec::new(); 3],
            ids: vec![5, 6, 7],
        };
        let grid = Grid::new([1, 2, 2], 1).unwrap();
        let some = |first, size| some_patches(&images, grid, first, size, 1).unwrap();
        assert_eq!(some(1, 4), [10.0, 11.0, 12.0, 13.0]);
        let two = some(0, 2);
        assert!(two.len() == 2 && two[0] < two[1] && two[1] < 4.0, "{two:?}");
        assert_eq!(some(0, 2), two);
        // The last image is followed by the first.
        let six = some(2, 6);
        assert_eq!(six.len(), 6);
        assert!(six.iter().all(|v| *v < 4.0 || *v >= 20.0), "{six:?}");
    }
}
