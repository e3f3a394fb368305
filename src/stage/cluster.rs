//! `cluster`: two categories of patches for every training slice.

use super::files::write;
use super::prepare::training_slices;
use crate::cluster::cluster_images;
use crate::data::images::Images;
use crate::engine::{StageContext, StageError};
use crate::mask::patch::Grid;
use crate::plan::ClusterSpec;

/// Labels, `[images, patches]`, one byte each.
pub(super) const LABELS: &str = "labels.u8";

/// Reads the artifact: labels of `images` images.
pub(super) fn read(
    cx: &StageContext<'_>,
    images: usize,
    patches: usize,
) -> Result<Vec<u8>, StageError> {
    read_from(cx.input("labels")?, images, patches)
}

/// Reads the artifact in `folder`.
pub(super) fn read_from(
    folder: &std::path::Path,
    images: usize,
    patches: usize,
) -> Result<Vec<u8>, StageError> {
    let path = folder.join(LABELS);
    let bytes = std::fs::read(&path)?;
    if bytes.len() != images * patches {
        return Err(StageError::new(format!(
            "{} holds {} labels, not {images} x {patches}",
            path.display(),
            bytes.len()
        )));
    }
    Ok(bytes)
}

pub(super) fn run(spec: &ClusterSpec, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    let images = training_slices(&spec.slices, cx)?;
    let patches = Grid::new(images.shape(), spec.patch)?.patches();
    let outcomes = cluster_images(&images, spec.patch, &spec.cluster, spec.seed)?;
    let mut labels = Vec::with_capacity(images.len() * patches);
    let mut without = 0;
    for outcome in &outcomes {
        match outcome.labels() {
            Some(row) => labels.extend_from_slice(row),
            None => {
                // All patches in one category: MPS then orders them at random.
                labels.extend(std::iter::repeat_n(0, patches));
                without += 1;
            }
        }
    }
    if without > 0 {
        cx.note(format!(
            "{without} of {} slices have no two categories and are masked at random",
            images.len()
        ));
    }
    write(&cx.output().join(LABELS), |to| {
        std::io::Write::write_all(to, &labels)
    })?;
    Ok(())
}
