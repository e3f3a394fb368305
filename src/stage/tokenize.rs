//! `tokenize`: a tokenizer on the training slices; hands on the codes of their patches.

use std::io::Write;

use super::Runner;
use super::files::{write, write_json};
use super::passes::images_per_pass;
use super::prepare::training_slices;
use super::pretrain::{CURVE, ENCODER, ended, observer};
use crate::data::images::Images;
use crate::engine::{StageContext, StageError};
use crate::nn::device;
use crate::nn::weights::Weights;
use crate::plan::TokenizeSpec;
use crate::pretext::beit2::{CODES, Tokenizer, read_codes};
use crate::train::{Checkpoints, PretrainJob, pretrain};

/// Weights of the tokenizer.
const TOKENIZER: &str = "tokenizer.safetensors";

/// Reads the artifact: codes of the patches of all training slices.
pub(super) fn read(cx: &StageContext<'_>) -> Result<Vec<u16>, StageError> {
    let path = cx.input("codes")?.join(CODES);
    Ok(read_codes(&std::fs::read(path)?))
}

pub(super) fn run(
    spec: &TokenizeSpec,
    runner: &Runner,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let images = training_slices(&spec.slices, cx)?;
    let teacher = match cx.input("teacher") {
        Ok(folder) => Some(Weights::load(&folder.join(ENCODER))?),
        Err(_) => None,
    };
    let device = device::open(runner.device)?;
    cx.set_device(runner.device.resolve().to_string());
    let step = spec.tokenize.batch.min(images.len());
    let pass = images_per_pass(cx, step, spec.tokenize.pass(), runner.halve)?;
    let checkpoint = cx.checkpoint();
    let job = PretrainJob {
        images: &images,
        labels: None,
        codes: None,
        teacher: teacher.as_ref(),
        backbone: &spec.backbone,
        options: &spec.tokenize,
        pass,
        seed: spec.seed,
        device: &device,
        checkpoints: Some(Checkpoints {
            path: &checkpoint,
            every: runner.checkpoints,
        }),
    };
    let output = pretrain::<Tokenizer>(&job, &spec.tokens, &mut observer(cx)).map_err(ended)?;
    output.encoder.save(&cx.output().join(TOKENIZER))?;
    write_json(&cx.output().join(CURVE), &output.curve)?;
    for (name, bytes) in &output.remains {
        write(&cx.output().join(name), |to| to.write_all(bytes))?;
    }
    Ok(())
}
