//! `pretrain`: a pretext task on the training slices; hands on the encoder.

use std::io::Write;
use std::ops::ControlFlow;

use serde_json::Value;

use super::files::{read_json, write, write_json};
use super::passes::images_per_pass;
use super::prepare::{reference_slices, training_slices};
use super::select::{CHOICE, Choice};
use super::{Runner, cluster, tokenize};
use crate::data::images::Images;
use crate::engine::{Progress, StageContext, StageError};
use crate::mask::patch::Grid;
use crate::nn::device;
use crate::options::PretrainOptions;
use crate::plan::PretrainSpec;
use crate::pretext;
use crate::train::{self, Checkpoints, PretrainJob, TrainError};

/// Weights of the encoder.
pub(super) const ENCODER: &str = "encoder.safetensors";
/// Loss and scalars per epoch.
pub(super) const CURVE: &str = "curve.json";

/// Passes the training's news on, and the wish to stop back.
pub(super) fn observer<'a>(
    cx: &'a StageContext<'_>,
) -> impl FnMut(train::Progress) -> ControlFlow<()> + use<'a> {
    |mut p| {
        // JSON has no other numbers.
        p.scalars.retain(|_, value| value.is_finite());
        cx.progress(Progress {
            epoch: Some(p.epoch as u64),
            epochs: Some(p.epochs as u64),
            step: Some(p.step as u64),
            steps: Some(p.steps as u64),
            loss: Some(p.loss),
            rate: Some(p.images_per_second),
            waiting: Some(p.waiting),
            lr: Some(p.lr),
            scalars: p.scalars,
            note: None,
        });
        if cx.should_stop() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// A stop is no failure: the checkpoint waits for the next run.
pub(super) fn ended(error: TrainError) -> StageError {
    match error {
        TrainError::Stopped { .. } => StageError::Stopped,
        other => StageError::from(other),
    }
}

pub(super) fn run(
    spec: &PretrainSpec,
    runner: &Runner,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let entry = pretext::find(&spec.pretext)
        .ok_or_else(|| StageError::new(format!("unknown pretext task '{}'", spec.pretext)))?;
    let Some(train) = entry.train else {
        return Err(StageError::new(format!(
            "'{}' has nothing to pre-train",
            entry.name
        )));
    };
    let options = spec
        .options
        .get(entry.name)
        .ok_or_else(|| StageError::new(format!("the plan has no options of '{}'", entry.name)))?;
    let needs = (entry.needs)(options);
    let images = if needs.masks {
        reference_slices(&spec.slices, cx)?
    } else {
        training_slices(&spec.slices, cx)?
    };
    let labels = match needs.clusters {
        Some(clusters) => {
            let grid = Grid::new(images.shape(), clusters.patch)?;
            Some(cluster::read(cx, images.len(), grid.patches())?)
        }
        None => None,
    };
    let codes = needs.tokens.map(|_| tokenize::read(cx)).transpose()?;
    let pretrain = with_choices(spec, cx)?;
    let device = device::open(runner.device)?;
    cx.set_device(runner.device.resolve().to_string());
    let step = pretrain.batch.min(images.len());
    let pass = images_per_pass(cx, step, pretrain.pass(), runner.halve)?;
    let checkpoint = cx.checkpoint();
    let job = PretrainJob {
        images: &images,
        labels: labels.as_deref(),
        codes: codes.as_deref(),
        teacher: None,
        backbone: &spec.backbone,
        options: &pretrain,
        pass,
        seed: spec.seed,
        device: &device,
        checkpoints: Some(Checkpoints {
            path: &checkpoint,
            every: runner.checkpoints,
        }),
    };
    let output = train(&job, options, &mut observer(cx)).map_err(ended)?;
    output.encoder.save(&cx.output().join(ENCODER))?;
    write_json(&cx.output().join(CURVE), &output.curve)?;
    for (name, bytes) in &output.remains {
        write(&cx.output().join(name), |to| to.write_all(bytes))?;
    }
    Ok(())
}

/// The options of the training, with what earlier searches have chosen laid over them.
fn with_choices(spec: &PretrainSpec, cx: &StageContext<'_>) -> Result<PretrainOptions, StageError> {
    if spec.choices.is_empty() {
        return Ok(spec.pretrain.clone());
    }
    let mut options = serde_json::to_value(&spec.pretrain)?;
    for choice in &spec.choices {
        let folder = cx.input(&choice.role())?;
        let made: Choice = read_json(&folder.join(CHOICE))?;
        let patch = choice.candidates.get(made.winner).ok_or_else(|| {
            StageError::new(format!(
                "the search '{}' chose candidate {} of {}",
                choice.step,
                made.winner,
                choice.candidates.len()
            ))
        })?;
        cx.note(format!("{}: {patch}", choice.step));
        lay_over(&mut options, patch);
    }
    let mut options: PretrainOptions = serde_json::from_value(options)?;
    options.optimiser = options.optimiser.canonical();
    Ok(options)
}

/// Lays the tables of `patch` over those of `below`.
fn lay_over(below: &mut Value, patch: &Value) {
    match (below, patch) {
        (Value::Object(below), Value::Object(patch)) => {
            for (key, value) in patch {
                lay_over(below.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (below, patch) => *below = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_choice_changes_what_it_names_alone() {
        let mut options = serde_json::to_value(PretrainOptions::default()).unwrap();
        lay_over(
            &mut options,
            &json!({ "optimiser": { "lr": 0.5, "kind": "sgd" } }),
        );
        lay_over(&mut options, &json!({ "epochs": 7 }));
        let found: PretrainOptions = serde_json::from_value(options).unwrap();
        let mut expected = PretrainOptions::default();
        expected.optimiser.lr = 0.5;
        expected.optimiser.kind = crate::options::OptimiserKind::Sgd;
        expected.epochs = 7;
        assert_eq!(found, expected);
    }
}
