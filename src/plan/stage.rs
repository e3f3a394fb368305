//! A node of the plan, and the frozen plan itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Key;

/// What a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Writes synthetic patients.
    Phantom,
    /// Lists the cases of a data set with the digests of their files.
    Index,
    /// Draws folds and label subsets.
    Split,
    /// Makes slices from volumes.
    Prepare,
    /// Clusters the patches of the training slices.
    Cluster,
    /// Self-supervised pre-training.
    Pretrain,
    /// Supervised fine-tuning, or training from scratch.
    Finetune,
    /// Predicts and scores the test cases.
    Evaluate,
    /// Writes the table of a study.
    Tabulate,
}

impl StageKind {
    /// All kinds, in the order in which a pipeline meets them.
    pub const ALL: [Self; 9] = [
        Self::Phantom,
        Self::Index,
        Self::Split,
        Self::Prepare,
        Self::Cluster,
        Self::Pretrain,
        Self::Finetune,
        Self::Evaluate,
        Self::Tabulate,
    ];

    /// Name in keys, paths and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Phantom => "phantom",
            Self::Index => "index",
            Self::Split => "split",
            Self::Prepare => "prepare",
            Self::Cluster => "cluster",
            Self::Pretrain => "pretrain",
            Self::Finetune => "finetune",
            Self::Evaluate => "evaluate",
            Self::Tabulate => "tabulate",
        }
    }

    /// Version of the algorithm; bumped by hand when the same inputs give another artifact.
    #[must_use]
    pub fn version(self) -> u32 {
        match self {
            Self::Phantom
            | Self::Index
            | Self::Split
            | Self::Prepare
            | Self::Cluster
            | Self::Pretrain
            | Self::Finetune
            | Self::Evaluate
            | Self::Tabulate => 1,
        }
    }

    /// Whether a stage of this kind computes on the device.
    #[must_use]
    pub fn on_device(self) -> bool {
        self.is_training() || self == Self::Evaluate
    }

    /// Whether a stage of this kind gets a process of its own.
    #[must_use]
    pub fn is_training(self) -> bool {
        matches!(self, Self::Pretrain | Self::Finetune)
    }
}

impl std::fmt::Display for StageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// An artifact that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What the stage takes it for (`prepared`, `encoder`, ...).
    pub role: String,
    /// Whose artifact it is.
    pub key: Key,
}

/// A node of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Identity.
    pub key: Key,
    /// Kind.
    pub kind: StageKind,
    /// For people: `pretrain AMLP hecktor/CT seed 0`. Not part of the key.
    pub label: String,
    /// Artifacts it reads.
    pub inputs: Vec<Input>,
    /// The fields that it reads, as the stage kind's own struct serialises them.
    pub spec: Value,
    /// What was hashed: kind, version, spec, input keys, device class.
    pub preimage: Value,
    /// What it needs at run time that is not part of its identity (roots of data sets).
    #[serde(default)]
    pub context: Value,
}

impl Stage {
    /// Key of the input with `role`.
    #[must_use]
    pub fn input(&self, role: &str) -> Option<&Key> {
        self.inputs.iter().find(|i| i.role == role).map(|i| &i.key)
    }
}

/// A frozen plan: stages in topological order, each key once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Stages; inputs come before what reads them.
    pub stages: Vec<Stage>,
}

impl Plan {
    /// The stage with `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Stage> {
        self.stages.iter().find(|s| s.key == *key)
    }
}
