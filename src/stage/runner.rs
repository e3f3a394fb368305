//! Dispatch by kind of stage.

use std::time::Duration;

use super::{
    cluster, evaluate, finetune, index, measure, phantom, prepare, pretrain, select, split,
    tabulate, tokenize,
};
use crate::engine::{RunStage, StageContext, StageError};
use crate::nn::device::DeviceChoice;
use crate::options::OnOutOfMemory;
use crate::plan::{FinetuneSpec, PretrainSpec, Stage, StageKind, TokenizeSpec};
use crate::report::Ledger;

/// Least time between two checkpoints, unless somebody asks for another.
const CHECKPOINTS: Duration = Duration::from_secs(5 * 60);

/// Runs stages on a device.
#[derive(Debug)]
pub struct Runner {
    /// Where networks run.
    pub device: DeviceChoice,
    /// Published numbers, for tables.
    pub ledger: Ledger,
    /// Least time between two checkpoints; 0 writes one after every step.
    pub checkpoints: Duration,
    /// Whether the attempt before ran out of memory, so that this one takes half.
    pub halve: bool,
    /// Whether every step is told.
    pub every_step: bool,
}

impl Runner {
    /// A runner with a checkpoint every five minutes.
    #[must_use]
    pub fn new(device: DeviceChoice, ledger: Ledger) -> Self {
        Self {
            device,
            ledger,
            checkpoints: CHECKPOINTS,
            halve: false,
            every_step: false,
        }
    }
}

impl RunStage for Runner {
    fn run(&self, stage: &Stage, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        if self.every_step {
            cx.tell_every_step();
        }
        match stage.kind {
            StageKind::Phantom => phantom::run(&spec(stage)?, cx),
            StageKind::Index => index::run(&spec(stage)?, stage, cx),
            StageKind::Split => split::run(&spec(stage)?, cx),
            StageKind::Prepare => prepare::run(&spec(stage)?, stage, cx),
            StageKind::Cluster => cluster::run(&spec(stage)?, cx),
            StageKind::Tokenize => tokenize::run(&spec(stage)?, self, cx),
            StageKind::Pretrain => pretrain::run(&spec(stage)?, self, cx),
            StageKind::Finetune => finetune::run(&spec(stage)?, stage, self, cx),
            StageKind::Evaluate => evaluate::run(&spec(stage)?, self.device, cx),
            StageKind::Measure => measure::run(&spec(stage)?, cx),
            StageKind::Select => select::run(&spec(stage)?, cx),
            StageKind::Tabulate => tabulate::run(&spec(stage)?, &self.ledger, cx),
        }
    }

    fn may_halve(&self, stage: &Stage) -> bool {
        let rule = match stage.kind {
            StageKind::Tokenize => spec(stage).map(|s: TokenizeSpec| s.tokenize.on_out_of_memory),
            StageKind::Pretrain => spec(stage).map(|s: PretrainSpec| s.pretrain.on_out_of_memory),
            StageKind::Finetune => spec(stage).map(|s: FinetuneSpec| s.finetune.on_out_of_memory),
            _ => return false,
        };
        // A specification that cannot be read is the worker's to complain of.
        rule.is_ok_and(|rule| rule == OnOutOfMemory::Halve)
    }
}

/// The fields that a stage of this kind reads.
fn spec<T: serde::de::DeserializeOwned>(stage: &Stage) -> Result<T, StageError> {
    serde_json::from_value(stage.spec.clone()).map_err(|e| {
        StageError::new(format!(
            "the plan's {} stage {} is not of this version: {e}",
            stage.kind,
            stage.key.short()
        ))
    })
}
