//! A fine-tuned network as an artifact holds it, and prediction for files outside of any study.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::files::read_json;
use super::finetune::{CARD, Card, WEIGHTS};
use crate::data::case::{Case, ImageFile, Region};
use crate::data::prepare::{PreparedCase, prepare_case, to_source_grid};
use crate::data::volume::{read_header, write_labels};
use crate::engine::StageError;
use crate::nn::weights::Weights;
use crate::train::{Predictor, TrainError};

/// Slices per forward pass.
const BATCH: usize = 16;

/// A fine-tuned network.
#[derive(Debug)]
pub struct Model {
    card: Card,
    weights: Weights,
}

/// Why files could not be segmented.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PredictError(String);

impl Model {
    /// Opens the artifact of a fine-tuning stage.
    ///
    /// # Errors
    /// Files that are missing or not of such an artifact.
    pub fn open(folder: &Path) -> Result<Self, PredictError> {
        let fail = |e: StageError| PredictError(e.to_string());
        Ok(Self {
            card: read_json(&folder.join(CARD)).map_err(|e| fail(e.into()))?,
            weights: Weights::load(&folder.join(WEIGHTS)).map_err(|e| fail(e.into()))?,
        })
    }

    /// The network on a device.
    pub(super) fn predictor(&self, device: &Device) -> Result<Predictor, TrainError> {
        Predictor::new(
            &self.weights,
            &self.card.backbone,
            self.card.shape,
            self.card.regions.len(),
            device,
        )
    }

    /// Segments the image whose channels lie in `images`, in the model's order, and writes labels on
    /// the grid of the first one.
    ///
    /// # Errors
    /// A wrong number of images, files that cannot be read, or a result that cannot be written.
    pub fn predict_files(
        &self,
        images: &[PathBuf],
        out: &Path,
        device: &Device,
    ) -> Result<(), PredictError> {
        let card = &self.card;
        if images.len() != card.modalities.len() {
            return Err(PredictError(format!(
                "the model takes {} ({}), but {} files were given",
                match card.modalities.len() {
                    1 => "one image".to_owned(),
                    n => format!("{n} images"),
                },
                card.modalities.join(", "),
                images.len()
            )));
        }
        self.segment(images, out, device)
            .map_err(|e| PredictError(e.to_string()))
    }

    fn segment(&self, images: &[PathBuf], out: &Path, device: &Device) -> Result<(), StageError> {
        let card = &self.card;
        let mut files = std::collections::BTreeMap::new();
        for ((modality, kind), path) in card.modalities.iter().zip(&card.kinds).zip(images) {
            let path = std::path::absolute(path)?;
            files.insert(
                modality.clone(),
                ImageFile {
                    path: path.display().to_string(),
                    channel: None,
                    kind: *kind,
                },
            );
        }
        let case = Case {
            id: "image".to_owned(),
            stratum: String::new(),
            images: files,
            label: None,
            bbox: None,
        };
        let work = tempfile::tempdir()?;
        let prepared = work.path().join("image.safetensors");
        // Absolute paths replace the root that they are joined to.
        prepare_case(
            Path::new("/"),
            &case,
            &card.modalities,
            &card.regions,
            &[],
            &card.prepare,
            &prepared,
        )?;
        let opened = PreparedCase::open(&prepared)?;
        let predictor = self.predictor(device)?;
        let probabilities = in_batches(&opened, |images| predictor.probabilities(images))?;
        let pixels = opened.meta().window.pixels();
        let labels = paint(&probabilities, &card.regions, pixels);
        let header = read_header(&images[0])?;
        let volume = to_source_grid(&labels, opened.meta(), &header)?;
        write_labels(out, &volume, &header)?;
        Ok(())
    }
}

/// Runs `forward` over all slices of a case, a batch at a time, in order.
pub(super) fn in_batches<T>(
    case: &PreparedCase,
    mut forward: impl FnMut(Vec<f32>) -> Result<Vec<T>, TrainError>,
) -> Result<Vec<T>, TrainError> {
    let [channels, slices, height, width] = case.shape();
    let pixels = height * width;
    let mut all = Vec::new();
    let slices: Vec<usize> = (0..slices).collect();
    for batch in slices.chunks(BATCH) {
        let mut images = vec![0.0; batch.len() * channels * pixels];
        for (i, out) in images.chunks_exact_mut(pixels).enumerate() {
            case.image(i % channels, batch[i / channels], out);
        }
        all.extend(forward(images)?);
    }
    Ok(all)
}

/// One label per voxel from probabilities `[slices, regions, pixels]`: of the regions above one
/// half the innermost (fewest labels) wins, among equals the most probable. Its label is the value
/// that no region inside it has.
fn paint(probabilities: &[f32], regions: &[Region], pixels: usize) -> Vec<u8> {
    let values: Vec<u8> = regions.iter().map(|r| own_label(r, regions)).collect();
    let mut labels = vec![0u8; probabilities.len() / regions.len().max(1)];
    let slices = probabilities
        .chunks_exact(regions.len() * pixels)
        .zip(labels.chunks_exact_mut(pixels));
    for (slice, out) in slices {
        for (pixel, label) in out.iter_mut().enumerate() {
            let mut best: Option<(usize, f32)> = None;
            for (r, region) in regions.iter().enumerate() {
                let p = slice[r * pixels + pixel];
                let size = region.labels.len();
                let better = match best {
                    None => true,
                    Some((s, q)) => size < s || (size == s && p > q),
                };
                if p > 0.5 && better {
                    best = Some((size, p));
                    *label = values[r];
                }
            }
        }
    }
    labels
}

fn own_label(region: &Region, all: &[Region]) -> u8 {
    let inner = |value: &u8| {
        all.iter()
            .any(|other| other.labels.len() < region.labels.len() && other.labels.contains(value))
    };
    region
        .labels
        .iter()
        .find(|v| !inner(v))
        .or(region.labels.first())
        .copied()
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, labels: &[u8]) -> Region {
        Region {
            name: name.to_owned(),
            labels: labels.to_vec(),
        }
    }

    #[test]
    fn nested_regions_paint_the_labels_of_brats() {
        let regions = [
            region("WT", &[1, 2, 4]),
            region("TC", &[1, 4]),
            region("ET", &[4]),
        ];
        // Four pixels: nothing, WT, WT+TC, all.
        let p = [0.1, 0.9, 0.9, 0.9, 0.1, 0.2, 0.8, 0.9, 0.0, 0.1, 0.2, 0.7];
        assert_eq!(paint(&p, &regions, 4), [0, 2, 1, 4]);
    }

    #[test]
    fn of_two_disjoint_regions_the_more_probable_wins() {
        let regions = [region("a", &[1]), region("b", &[2])];
        let p = [0.9, 0.6, 0.7, 0.8];
        assert_eq!(paint(&p, &regions, 2), [1, 2]);
    }
}
