//! What a report shows of artifacts: curves, segmentations of single slices, categories of patches,
//! reconstructions. Reads artifacts, writes nothing.

use std::collections::HashSet;
use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use super::cluster;
use super::files::{INDEX, SPLIT, open, read_json};
use super::index::Indexed;
use super::model::Model;
use super::prepare::{case_file, slices_of};
use super::pretrain::CURVE;
use crate::data::case::Region;
use crate::data::images::Images;
use crate::data::prepare::{PreparedCase, SliceSet};
use crate::data::split::{Fold, Split};
use crate::engine::StageError;
use crate::mask::labels::LabelTable;
use crate::mask::patch::Grid;
use crate::nn::weights::Weights;
use crate::options::AmlpOptions;
use crate::plan::{PretrainSpec, SliceSpec};
use crate::pretext::{self, Setup, amlp};
use crate::report::html::{CategorySlice, Prediction, Reconstruction};
use crate::report::picture::{Agreement, Grey, PatchGrid};
use crate::train::{EpochLog, NETWORK};

/// Slices of a training whose categories are shown.
const SHOWN: usize = 2;

/// Folders of the artifacts that the slices of a run come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Of the list of cases.
    pub index: &'a Path,
    /// Of the prepared cases.
    pub prepared: &'a Path,
    /// Of the split.
    pub split: &'a Path,
}

impl Sources<'_> {
    fn regions(&self) -> Result<Vec<Region>, StageError> {
        let indexed: Indexed = read_json(&self.index.join(INDEX))?;
        Ok(indexed.index.regions)
    }

    fn split(&self) -> Result<Split, StageError> {
        Ok(Split::read_csv(open(&self.split.join(SPLIT))?)?)
    }

    /// Training slices with the masks of their regions.
    fn training(&self, spec: &SliceSpec) -> Result<SliceSet, StageError> {
        let split = self.split()?;
        let cases: HashSet<&str> = split.cases(Fold::Train).into_iter().collect();
        slices_of(spec, &cases, &self.regions()?, self.prepared)
    }
}

/// Curve of the training whose artifact lies in `folder`.
///
/// # Errors
/// No curve there.
pub fn curve(folder: &Path) -> Result<Vec<EpochLog>, StageError> {
    Ok(read_json(&folder.join(CURVE))?)
}

/// A test slice with its reference.
pub struct TestSlice {
    /// Case and position.
    pub name: String,
    /// Its first channel.
    pub image: Grey,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// A mask per region, 0 or 1 per pixel.
    pub reference: Vec<Vec<u8>>,
    /// `[channels, height, width]`.
    values: Vec<f32>,
}

impl TestSlice {
    /// The slice with the most lesion of the first test case that has any.
    ///
    /// # Errors
    /// No test case, or files that cannot be read.
    pub fn find(sources: &Sources<'_>) -> Result<Self, StageError> {
        let regions = sources.regions()?;
        let split = sources.split()?;
        let lesion = |v: u8| v != 0 && regions.iter().any(|r| r.labels.contains(&v));
        let mut first = None;
        for id in split.cases(Fold::Test) {
            let case = PreparedCase::open(&case_file(sources.prepared, id))?;
            let sizes: Vec<u64> = (0..case.shape()[1])
                .map(|z| case.label_pixels(z, lesion))
                .collect();
            let most = sizes.iter().copied().max().unwrap_or(0);
            if most > 0 {
                let z = sizes.iter().position(|&n| n == most).unwrap_or(0);
                return Ok(Self::of(&case, z, &regions));
            }
            first.get_or_insert(case);
        }
        let case = first.ok_or_else(|| StageError::data("there is no test case"))?;
        Ok(Self::of(&case, case.shape()[1] / 2, &regions))
    }

    fn of(case: &PreparedCase, z: usize, regions: &[Region]) -> Self {
        let [channels, _, height, width] = case.shape();
        let mut values = vec![0.0; channels * height * width];
        for (c, plane) in values.chunks_exact_mut(height * width).enumerate() {
            case.image(c, z, plane);
        }
        let label = case.label(z).unwrap_or_default();
        let masks = regions.iter().map(|region| {
            let of = label.iter().map(|v| u8::from(region.labels.contains(v)));
            of.collect()
        });
        Self {
            name: format!("{}, slice {z}", case.meta().id),
            image: Grey::of(&values[..height * width], width),
            regions: regions.iter().map(|r| r.name.clone()).collect(),
            reference: masks.collect(),
            values,
        }
    }

    /// What the fine-tuned network in `folder` says of the slice.
    ///
    /// # Errors
    /// No such network, or one for other slices.
    pub fn predict(&self, folder: &Path, device: &Device) -> Result<Vec<Vec<u8>>, StageError> {
        let model = Model::open(folder).map_err(|e| StageError::new(e.to_string()))?;
        let masks = model.predictor(device)?.masks(self.values.clone())?;
        let pixels = self.image.pixels.len().max(1);
        Ok(masks.chunks_exact(pixels).map(<[u8]>::to_vec).collect())
    }

    /// The same as an entry of a gallery.
    #[must_use]
    pub fn prediction(
        &self,
        method: &str,
        key: &str,
        folder: &Path,
        device: &Device,
    ) -> Prediction {
        Prediction {
            method: method.to_owned(),
            key: key.to_owned(),
            masks: self.predict(folder, device).map_err(|e| e.to_string()),
        }
    }
}

/// Options of the method of a pre-training.
#[must_use]
pub fn encoder_options(spec: &PretrainSpec) -> Value {
    spec.options
        .get(&spec.pretext)
        .cloned()
        .unwrap_or(Value::Null)
}

/// What categories look like: slices, agreement before, agreement after.
type Shown = (Vec<CategorySlice>, Agreement, Agreement);

/// Categories of patches before and after the pre-training in `folder`, which started from the
/// clustering in `clusters`; `None` where it keeps no label table.
///
/// # Errors
/// Artifacts that do not fit each other.
pub fn categories(
    spec: &PretrainSpec,
    sources: &Sources<'_>,
    clusters: &Path,
    folder: &Path,
) -> Result<Option<Shown>, StageError> {
    let Some(table) = label_table(folder)? else {
        return Ok(None);
    };
    let side = pretext::find(&spec.pretext)
        .and_then(|entry| (entry.needs)(&encoder_options(spec)).clusters)
        .map(|c| c.patch);
    let Some(side) = side else {
        return Ok(None);
    };
    let images = sources.training(&spec.slices)?;
    let grid = Grid::new(images.shape(), side)?;
    let n = grid.patches();
    if table.images() != images.len() || table.patches() != n {
        return Err(StageError::new("the label table is of other slices"));
    }
    let before = cluster::read_from(clusters, images.len(), n)?;
    let (mut first, mut last) = (Agreement::default(), Agreement::default());
    // Of each volume the slice with most lesion patches.
    let mut best: Vec<(usize, usize, usize)> = Vec::new();
    let mut truths = Vec::with_capacity(images.len());
    for index in 0..images.len() {
        let truth = grid.lesion_labels(&lesion(&images, index))?;
        first.add(&before[index * n..(index + 1) * n], &truth);
        last.add(table.row(index), &truth);
        let count = truth.iter().filter(|t| **t != 0).count();
        let volume = images.volume(index);
        match best.last_mut() {
            Some((v, most, at)) if *v == volume => {
                if count > *most {
                    (*most, *at) = (count, index);
                }
            }
            _ => best.push((volume, count, index)),
        }
        truths.push(truth);
    }
    let shown = best.iter().filter(|(_, count, _)| *count > 0).take(SHOWN);
    let slices = shown
        .map(|&(_, _, index)| CategorySlice {
            slice: images.name(index),
            image: first_channel(&images, index),
            lesion: lesion(&images, index)
                .iter()
                .map(|v| u8::from(*v > 0.5))
                .collect(),
            grid: PatchGrid {
                columns: grid.cols(),
                side: grid.side(),
            },
            truth: truths[index].clone(),
            first: before[index * n..(index + 1) * n].to_vec(),
            last: table.row(index).to_vec(),
        })
        .collect();
    Ok(Some((slices, first, last)))
}

fn label_table(folder: &Path) -> Result<Option<LabelTable>, StageError> {
    let path = folder.join(amlp::LABELS);
    if !path.is_file() {
        return Ok(None);
    }
    let table = LabelTable::from_bytes(&std::fs::read(path)?);
    Ok(Some(table.map_err(|e| StageError::new(e.to_string()))?))
}

/// 1 where a pixel belongs to any region.
fn lesion(images: &SliceSet, index: usize) -> Vec<f32> {
    let [_, h, w] = images.shape();
    let mut masks = vec![0.0; images.regions() * h * w];
    images.masks(index, &mut masks);
    let mut any = vec![0.0f32; h * w];
    for region in masks.chunks_exact(h * w) {
        for (a, m) in any.iter_mut().zip(region) {
            *a = a.max(*m);
        }
    }
    any
}

fn first_channel(images: &SliceSet, index: usize) -> Grey {
    let [c, h, w] = images.shape();
    let mut values = vec![0.0; c * h * w];
    images.image(index, &mut values);
    Grey::of(&values[..h * w], w)
}

/// The training slice of the first case with the most lesion, masked and reconstructed by the whole
/// network that the pre-training in `folder` kept. Names of column, row and stage are the caller's.
/// `None` where it kept none, or is of a method that this does not know.
///
/// # Errors
/// Artifacts that do not fit each other.
pub fn reconstruction(
    spec: &PretrainSpec,
    sources: &Sources<'_>,
    folder: &Path,
    device: &Device,
) -> Result<Option<Reconstruction>, StageError> {
    let network = folder.join(NETWORK);
    if spec.pretext != "amlp" || !network.is_file() {
        return Ok(None);
    }
    let options: AmlpOptions = serde_json::from_value(encoder_options(spec))
        .map_err(|e| StageError::new(e.to_string()))?;
    let images = sources.training(&spec.slices)?;
    let table = label_table(folder)?;
    let area = |index: usize| lesion(&images, index).iter().filter(|v| **v > 0.5).count();
    let first: Vec<usize> = (0..images.len())
        .take_while(|&i| images.volume(i) == 0)
        .collect();
    let index = first
        .iter()
        .copied()
        .max_by_key(|&i| (area(i), usize::MAX - i));
    let setup = Setup {
        images: &images,
        labels: None,
        codes: None,
        teacher: None,
        backbone: &spec.backbone,
        pretrain: &spec.pretrain,
        seed: spec.seed,
        device,
    };
    let index = index.unwrap_or(0);
    let weights = Weights::load(&network)?;
    let made = amlp::reconstruct(&options, &setup, table.as_ref(), &weights, index)?;
    let [_, h, w] = images.shape();
    let (low, high) = Grey::range(&made.target[..h * w]);
    let grey = |values: &[f32]| Grey::window(&values[..h * w], w, low, high);
    Ok(Some(Reconstruction {
        column: String::new(),
        method: String::new(),
        key: String::new(),
        slice: images.name(index),
        ratio: made.ratio,
        target: grey(&made.target),
        input: grey(&made.input),
        output: grey(&made.output),
        error: made.error,
    }))
}
