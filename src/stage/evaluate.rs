//! `evaluate`: predictions for the test cases and their scores, on the uncropped grid. In a search
//! the validation cases take their place.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::{SCORES, read_json, write_json};
use super::finetune::CARD;
use super::index::Indexed;
use super::model::Model;
use super::prepare::case_file;
use super::split;
use crate::data::case::Region;
use crate::data::prepare::PreparedCase;
use crate::data::split::Fold;
use crate::engine::{Progress, StageContext, StageError};
use crate::metric::{CaseScores, Grid, score_volumes};
use crate::nn::device::{self, DeviceChoice};
use crate::options::MetricOptions;
use crate::plan::EvaluateSpec;

/// Regions that fit into the bits of a byte.
const BITS: usize = 8;

/// The artifact: scores of the test cases, from which tables are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of patients in training, validation and test.
    pub fold_sizes: [usize; 3],
    /// Training cases whose labels the model saw.
    pub labelled: Vec<String>,
    /// Scores per test case.
    pub cases: Vec<CaseScores>,
}

pub(super) fn run(
    spec: &EvaluateSpec,
    choice: DeviceChoice,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let indexed = Indexed::read(cx)?;
    let split = split::read(cx)?;
    let folder = cx.input("model")?.to_owned();
    let card: super::finetune::Card = read_json(&folder.join(CARD))?;
    let fold = if spec.validation {
        Fold::Val
    } else {
        Fold::Test
    };
    let cases = split.cases(fold);
    if cases.is_empty() {
        return Err(StageError::data("there are no patients to score"));
    }
    no_leak(&card.labelled, &cases)?;
    let device = device::open(choice)?;
    cx.set_device(choice.resolve().to_string());
    let model = Model::open(&folder)?;
    let predictor = model.predictor(&device)?;
    let prepared = cx.input("prepared")?;
    let mut volumes = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        if cx.should_stop() {
            return Err(StageError::Stopped);
        }
        volumes.push(predict(&predictor, prepared, case)?);
        cx.progress(Progress {
            step: Some(i as u64 + 1),
            steps: Some(cases.len() as u64),
            ..Progress::default()
        });
    }
    let regions = &indexed.index.regions;
    let cases = volumes
        .into_par_iter()
        .map(|(case, masks)| score(&case, &masks, regions, &spec.metric))
        .collect::<Result<Vec<_>, StageError>>()?;
    write_json(
        &cx.output().join(SCORES),
        &Evaluation {
            fold_sizes: split.sizes(),
            labelled: card.labelled,
            cases,
        },
    )?;
    Ok(())
}

/// No case whose labels the model saw may be scored.
fn no_leak(labelled: &[String], test: &[&str]) -> Result<(), StageError> {
    match labelled.iter().find(|c| test.contains(&c.as_str())) {
        None => Ok(()),
        Some(case) => Err(StageError::new(format!(
            "case '{case}' is scored although the model was trained on its labels"
        ))),
    }
}

/// Region masks of all slices of a case, `[slices, regions, height, width]`.
fn predict(
    predictor: &crate::train::Predictor,
    prepared: &Path,
    case: &str,
) -> Result<(PreparedCase, Vec<u8>), StageError> {
    let case = PreparedCase::open(&case_file(prepared, case))?;
    let masks = super::model::in_batches(&case, |images| predictor.masks(images))?;
    Ok((case, masks))
}

/// Scores of a case on its whole grid: what the crop cut off counts as missed.
fn score(
    case: &PreparedCase,
    masks: &[u8],
    regions: &[Region],
    options: &MetricOptions,
) -> Result<CaseScores, StageError> {
    let meta = case.meta();
    let [nx, ny, nz] = meta.grid.shape;
    let [sx, sy, sz] = meta.spacing;
    let grid = Grid::volume([nz, ny, nx], [sz, sy, sx])?;
    let reference = case
        .full_label()
        .ok_or_else(|| StageError::data(format!("test case '{}' has no label", meta.id)))?;
    let mut all: Option<CaseScores> = None;
    for (chunk_index, chunk) in regions.chunks(BITS).enumerate() {
        // Outputs are independent per region and need not nest, so a voxel is a set of regions:
        // one bit each.
        let sets: Vec<u8> = bits_of_masks(
            masks,
            regions.len(),
            chunk_index * BITS,
            chunk.len(),
            meta.window.pixels(),
        );
        let prediction = meta.uncrop(&sets)?;
        let known: Vec<u8> = reference
            .iter()
            .map(|value| {
                chunk.iter().enumerate().fold(0, |set, (bit, region)| {
                    set | (u8::from(region.labels.contains(value)) << bit)
                })
            })
            .collect();
        let as_sets: Vec<Region> = chunk
            .iter()
            .enumerate()
            .map(|(bit, region)| Region {
                name: region.name.clone(),
                labels: (1..=u8::MAX).filter(|v| v >> bit & 1 == 1).collect(),
            })
            .collect();
        let scores = score_volumes(&meta.id, &prediction, &known, &as_sets, &grid, options)?;
        match &mut all {
            None => all = Some(scores),
            Some(all) => all.regions.extend(scores.regions),
        }
    }
    all.ok_or_else(|| StageError::data("the data set has no region to score"))
}

/// `[slices, regions, pixels]` masks to one byte per pixel, `[slices, pixels]`.
fn bits_of_masks(
    masks: &[u8],
    regions: usize,
    from: usize,
    count: usize,
    pixels: usize,
) -> Vec<u8> {
    let mut sets = vec![0u8; masks.len() / regions.max(1)];
    for (slice, out) in masks
        .chunks_exact(regions * pixels)
        .zip(sets.chunks_exact_mut(pixels))
    {
        for bit in 0..count {
            let mask = &slice[(from + bit) * pixels..(from + bit + 1) * pixels];
            for (o, m) in out.iter_mut().zip(mask) {
                *o |= m << bit;
            }
        }
    }
    sets
}
