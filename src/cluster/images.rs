//! Clustering of all images of a data set, in parallel.

use rayon::prelude::*;

use super::outcome::{Outcome, Reason};
use super::points::Points;
use super::registry::find;
use crate::data::images::Images;
use crate::mask::patch::{Grid, PatchError};
use crate::options::ClusterOptions;

/// Clusters the patches of every image, each from (seed, identity of the image): the outcome does
/// not depend on the number of threads, nor on the other images.
///
/// # Errors
/// [`PatchError`] where `side` does not divide the images.
pub fn cluster_images(
    images: &dyn Images,
    side: usize,
    options: &ClusterOptions,
    seed: u64,
) -> Result<Vec<Outcome>, PatchError> {
    let grid = Grid::new(images.shape(), side)?;
    let values = grid.patches() * grid.dim();
    let method = find(options.method);
    (0..images.len())
        .into_par_iter()
        .map_init(
            || (vec![0.0; values], vec![0.0; values]),
            |(image, patches), index| {
                images.image(index, image);
                grid.patchify_into(image, patches)?;
                Ok(match Points::new(patches, grid.dim()) {
                    Ok(points) => method.cluster(points, options, seed, images.id(index)),
                    // A grid has no patches of other sizes.
                    Err(_) => Outcome::None(Reason::TooFew),
                })
            },
        )
        .collect()
}
