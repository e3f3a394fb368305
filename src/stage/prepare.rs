//! `prepare`: slices from volumes, and the slices that other stages take from its artifact.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::{CASES, read_json, write_json};
use super::index::{Indexed, data_root};
use super::split;
use crate::data::case::{Case, ModalityKind};
use crate::data::prepare::{CaseSummary, Preparation, PreparedCase, Scratch, SliceSet};
use crate::data::split::{Fold, Split};
use crate::engine::{Progress, StageContext, StageError};
use crate::options::{PrepareOptions, SliceUse};
use crate::plan::{PrepareSpec, SliceSpec, Stage};

/// What was prepared.
const SUMMARY: &str = "summary.json";

/// What was prepared, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Channels, in order.
    pub modalities: Vec<String>,
    /// Physics of the channels.
    pub kinds: Vec<ModalityKind>,
    /// Options.
    pub options: PrepareOptions,
    /// Cases.
    pub cases: Vec<CaseSummary>,
}

impl Summary {
    /// Reads the artifact's summary.
    pub fn read(cx: &StageContext<'_>) -> Result<Self, StageError> {
        Self::of(cx.input("prepared")?)
    }

    /// The summary of the artifact in `folder`.
    fn of(folder: &Path) -> Result<Self, StageError> {
        Ok(read_json(&folder.join(SUMMARY))?)
    }
}

/// File of a prepared case.
pub(super) fn case_file(folder: &Path, case: &str) -> std::path::PathBuf {
    folder.join(CASES).join(format!("{case}.safetensors"))
}

pub(super) fn run(
    spec: &PrepareSpec,
    stage: &Stage,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let indexed = Indexed::read(cx)?;
    let root = data_root(stage, cx)?;
    let limit = match spec.max_cases {
        0 => usize::MAX,
        n => n,
    };
    let cases: Vec<&Case> = indexed.index.cases.iter().take(limit).collect();
    let Some(first) = cases.first() else {
        return Err(StageError::data("the data set has no cases"));
    };
    let kinds = spec
        .modalities
        .iter()
        .map(|m| {
            first.images.get(m).map(|i| i.kind).ok_or_else(|| {
                let known: Vec<&str> = first.images.keys().map(String::as_str).collect();
                StageError::data(format!(
                    "the data set has no modality '{m}'; it has {}",
                    known.join(", ")
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    std::fs::create_dir(cx.output().join(CASES))?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let shared = &*cx;
    let preparation = Preparation {
        root: &root,
        modalities: &spec.modalities,
        regions: &indexed.index.regions,
        label_values: &indexed.index.label_values,
        options: &spec.prepare,
    };
    // As many as threads prepare a case at once.
    let spare: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());
    let summaries: Vec<CaseSummary> = cases
        .par_iter()
        .map(|case| {
            if shared.should_stop() {
                return Err(StageError::Stopped);
            }
            let out = case_file(shared.output(), &case.id);
            let mut scratch = lock(&spare).pop().unwrap_or_default();
            let summary = preparation
                .run(case, &out, &mut scratch)
                .map_err(|e| StageError::data(e.to_string()))?;
            lock(&spare).push(scratch);
            for warning in &summary.warnings {
                tracing::warn!("{warning}");
            }
            let step = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            shared.progress(Progress {
                step: Some(step),
                steps: Some(cases.len() as u64),
                ..Progress::default()
            });
            Ok(summary)
        })
        .collect::<Result<_, _>>()?;
    let (lost, lesion) = summaries
        .iter()
        .fold((0, 0), |(l, n), s| (l + s.lesion_lost, n + s.lesion_total));
    if lost > 0 {
        cx.note(format!(
            "the crop loses {:.2} % of the lesion voxels; they count as missed in the scores",
            100.0 * lost as f64 / lesion.max(1) as f64
        ));
    }
    write_json(
        &cx.output().join(SUMMARY),
        &Summary {
            modalities: spec.modalities.clone(),
            kinds,
            options: spec.prepare.clone(),
            cases: summaries,
        },
    )?;
    Ok(())
}

/// A thread that panicked while it took or left memory has left whole pieces.
fn lock(spare: &Mutex<Vec<Scratch>>) -> MutexGuard<'_, Vec<Scratch>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

fn slices(
    spec: &SliceSpec,
    cases: &HashSet<&str>,
    regions: &[crate::data::case::Region],
    cx: &StageContext<'_>,
) -> Result<SliceSet, StageError> {
    slices_of(spec, cases, regions, cx.input("prepared")?)
}

/// The slices of `cases`, in the order of the artifact in `folder`.
pub(super) fn slices_of(
    spec: &SliceSpec,
    cases: &HashSet<&str>,
    regions: &[crate::data::case::Region],
    folder: &Path,
) -> Result<SliceSet, StageError> {
    let summary = Summary::of(folder)?;
    let opened = summary
        .cases
        .iter()
        .filter(|c| cases.contains(c.id.as_str()))
        .map(|c| PreparedCase::open(&case_file(folder, &c.id)).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(SliceSet::new(
        opened,
        spec.slices,
        spec.min_nonzero,
        spec.per_case,
        regions,
    )?)
}

/// Slices of the training cases, without labels.
pub(super) fn training_slices(
    spec: &SliceSpec,
    cx: &StageContext<'_>,
) -> Result<SliceSet, StageError> {
    let split = split::read(cx)?;
    let cases: HashSet<&str> = split.cases(Fold::Train).into_iter().collect();
    some(slices(spec, &cases, &[], cx)?)
}

/// Slices of the training cases with labels: for experiments that start from the ground truth.
pub(super) fn reference_slices(
    spec: &SliceSpec,
    cx: &StageContext<'_>,
) -> Result<SliceSet, StageError> {
    let indexed = Indexed::read(cx)?;
    let split = split::read(cx)?;
    let cases: HashSet<&str> = split.cases(Fold::Train).into_iter().collect();
    some(slices(spec, &cases, &indexed.index.regions, cx)?)
}

/// Slices of the labelled cases.
pub(super) fn labelled_slices(
    spec: &SliceSpec,
    indexed: &Indexed,
    labelled: &[String],
    cx: &StageContext<'_>,
) -> Result<SliceSet, StageError> {
    let cases: HashSet<&str> = labelled.iter().map(String::as_str).collect();
    slices(spec, &cases, &indexed.index.regions, cx)
}

/// All slices of a fold.
pub(super) fn fold_slices(
    fold: Fold,
    indexed: &Indexed,
    split: &Split,
    cx: &StageContext<'_>,
) -> Result<SliceSet, StageError> {
    let all = SliceSpec {
        slices: SliceUse::All,
        min_nonzero: 0.0,
        per_case: 0,
    };
    let cases: HashSet<&str> = split.cases(fold).into_iter().collect();
    some(slices(&all, &cases, &indexed.index.regions, cx)?)
}

fn some(slices: SliceSet) -> Result<SliceSet, StageError> {
    use crate::data::images::Images;
    if slices.is_empty() {
        return Err(StageError::data(
            "no slice of the training cases is selected",
        ));
    }
    Ok(slices)
}
