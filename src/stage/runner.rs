//! Dispatch by kind of stage.

use super::{cluster, evaluate, finetune, index, phantom, prepare, pretrain, split, tabulate};
use crate::engine::{RunStage, StageContext, StageError};
use crate::nn::device::DeviceChoice;
use crate::plan::{Stage, StageKind};
use crate::report::Ledger;

/// Runs stages on a device.
#[derive(Debug)]
pub struct Runner {
    /// Where networks run.
    pub device: DeviceChoice,
    /// Published numbers, for tables.
    pub ledger: Ledger,
}

impl RunStage for Runner {
    fn run(&self, stage: &Stage, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        match stage.kind {
            StageKind::Phantom => phantom::run(&spec(stage)?, cx),
            StageKind::Index => index::run(&spec(stage)?, stage, cx),
            StageKind::Split => split::run(&spec(stage)?, cx),
            StageKind::Prepare => prepare::run(&spec(stage)?, stage, cx),
            StageKind::Cluster => cluster::run(&spec(stage)?, cx),
            StageKind::Pretrain => pretrain::run(&spec(stage)?, self.device, cx),
            StageKind::Finetune => finetune::run(&spec(stage)?, self.device, cx),
            StageKind::Evaluate => evaluate::run(&spec(stage)?, self.device, cx),
            StageKind::Tabulate => tabulate::run(&spec(stage)?, &self.ledger, cx),
        }
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
