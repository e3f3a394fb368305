//! `finetune`: the segmentation network on the labelled training slices.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::write_json;
use super::index::Indexed;
use super::passes::images_per_pass;
use super::prepare::{fold_slices, labelled_slices};
use super::pretrain::{CURVE, ENCODER, ended, observer};
use super::{Runner, split};
use crate::data::case::Region;
use crate::data::images::Images;
use crate::data::split::Fold;
use crate::engine::{StageContext, StageError};
use crate::nn::device;
use crate::nn::foreign::WeightsFile;
use crate::nn::weights::Weights;
use crate::options::{
    BackboneOptions, FinetuneOptions, InitOptions, PrepareOptions, ValidationSelect,
};
use crate::plan::{FinetuneSpec, InitSpec, Stage};
use crate::train::{Checkpoints, DECODER, FinetuneJob, finetune};

/// All weights of the network.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// What is needed to use them.
pub(super) const CARD: &str = "model.json";

/// What a fine-tuned network is and how its input was prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Card {
    /// Network.
    pub backbone: BackboneOptions,
    /// Shape `[channels, height, width]` of its input.
    pub shape: [usize; 3],
    /// Channels, in order.
    pub modalities: Vec<String>,
    /// Physics of the channels.
    pub kinds: Vec<crate::data::case::ModalityKind>,
    /// Regions, in the order of its outputs.
    pub regions: Vec<Region>,
    /// Preparation of its input.
    pub prepare: PrepareOptions,
    /// Training cases whose labels it saw.
    pub labelled: Vec<String>,
}

pub(super) fn run(
    spec: &FinetuneSpec,
    stage: &Stage,
    runner: &Runner,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let indexed = Indexed::read(cx)?;
    let split = split::read(cx)?;
    let labelled: Vec<String> = split
        .labelled(f64::from(spec.label))
        .into_iter()
        .map(str::to_owned)
        .collect();
    let images = labelled_slices(&spec.slices, &indexed, &labelled, cx)?;
    if images.is_empty() {
        // The data are in order; it is the study that asks for too little of them.
        return Err(StageError::new(format!(
            "the {} labelled cases have no slice to train on ({})",
            labelled.len(),
            labelled.join(", ")
        )));
    }
    let validation = match spec.finetune.select {
        ValidationSelect::Last => None,
        ValidationSelect::Best => Some(fold_slices(Fold::Val, &indexed, &split, cx)?),
    };
    let encoder = match cx.input("encoder") {
        Ok(folder) => Some(handed_on(folder)?),
        Err(_) => None,
    };
    let init = match &spec.init {
        Some(init) => Some(open(init, stage)?),
        None => None,
    };
    let options = FinetuneOptions {
        init: spec
            .init
            .as_ref()
            .map_or_else(InitOptions::default, |i| InitOptions {
                file: stage.context["init"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                part: i.part,
                prefix: i.prefix.clone(),
            }),
        ..spec.finetune.clone()
    };
    let device = device::open(runner.device)?;
    cx.set_device(runner.device.resolve().to_string());
    let step = spec.finetune.batch.min(images.len());
    let pass = images_per_pass(cx, step, spec.finetune.pass(), runner.halve)?;
    let checkpoint = cx.checkpoint();
    let job = FinetuneJob {
        images: &images,
        validation: validation.as_ref().map(|v| v as &dyn Images),
        encoder: encoder.as_ref(),
        init: init.as_ref(),
        backbone: &spec.backbone,
        options: &options,
        pass,
        seed: spec.seed,
        device: &device,
        checkpoints: Some(Checkpoints {
            path: &checkpoint,
            every: runner.checkpoints,
        }),
    };
    let output = finetune(&job, &mut observer(cx)).map_err(ended)?;
    output.weights.save(&cx.output().join(WEIGHTS))?;
    write_json(&cx.output().join(CURVE), &output.curve)?;
    let prepared = super::prepare::Summary::read(cx)?;
    let card = Card {
        backbone: spec.backbone.clone(),
        shape: images.shape(),
        modalities: prepared.modalities,
        kinds: prepared.kinds,
        regions: indexed.index.regions,
        prepare: prepared.options,
        labelled,
    };
    write_json(&cx.output().join(CARD), &card)?;
    Ok(())
}

/// What a pre-training left: the encoder, and the blocks of the decoder where it trained some.
fn handed_on(folder: &Path) -> Result<Weights, StageError> {
    let mut weights = Weights::load(&folder.join(ENCODER))?;
    let decoder = folder.join(DECODER);
    if decoder.is_file() {
        weights.0.extend(Weights::load(&decoder)?.0);
    }
    Ok(weights)
}

/// The file of weights that the plan means.
fn open(init: &InitSpec, stage: &Stage) -> Result<WeightsFile, StageError> {
    let path = stage.context.get("init").and_then(|path| path.as_str());
    let path = path.ok_or_else(|| StageError::data("the file of finetune.init is not known"))?;
    let file = WeightsFile::open(path.as_ref()).map_err(|e| StageError::data(e.to_string()))?;
    if file.digest() != init.digest {
        return Err(StageError::data(format!(
            "{path} is not the file of the plan any more; plan again"
        )));
    }
    Ok(file)
}
