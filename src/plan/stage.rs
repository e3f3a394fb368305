//! A node of the plan, and the frozen plan itself.

use std::collections::HashSet;

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
    /// Trains a tokenizer and gives the patches of the training slices codes.
    Tokenize,
    /// Self-supervised pre-training.
    Pretrain,
    /// Supervised fine-tuning, or training from scratch.
    Finetune,
    /// Predicts and scores the test cases.
    Evaluate,
    /// Measures something of the data or the methods, without a training.
    Measure,
    /// Chooses the best of several runs, for what follows.
    Select,
    /// Writes the table of a study.
    Tabulate,
}

impl StageKind {
    /// All kinds, in the order in which a pipeline meets them.
    pub const ALL: [Self; 12] = [
        Self::Phantom,
        Self::Index,
        Self::Split,
        Self::Prepare,
        Self::Cluster,
        Self::Tokenize,
        Self::Pretrain,
        Self::Finetune,
        Self::Evaluate,
        Self::Measure,
        Self::Select,
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
            Self::Tokenize => "tokenize",
            Self::Pretrain => "pretrain",
            Self::Finetune => "finetune",
            Self::Evaluate => "evaluate",
            Self::Measure => "measure",
            Self::Select => "select",
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
            | Self::Tokenize
            | Self::Pretrain
            | Self::Finetune
            | Self::Evaluate
            | Self::Measure
            | Self::Select
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
        matches!(self, Self::Tokenize | Self::Pretrain | Self::Finetune)
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
    /// Whether it is the list of a data set that was not there when the plan was made.
    #[must_use]
    pub fn lacks_data(&self) -> bool {
        self.kind == StageKind::Index
            && self.inputs.is_empty()
            && self.spec.get("fingerprint").is_none_or(Value::is_null)
    }

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

    /// The part that ends with the stages that `is_lost` names and with all that follows from
    /// them: those, and whatever they read. In the plan's order; empty where nothing is lost.
    #[must_use]
    pub fn part_of(&self, is_lost: impl Fn(&Stage) -> bool) -> Self {
        let mut part: HashSet<&Key> = HashSet::new();
        // Inputs come first, so that one pass finds what follows and one back what is read.
        for stage in &self.stages {
            if is_lost(stage) || stage.inputs.iter().any(|i| part.contains(&i.key)) {
                part.insert(&stage.key);
            }
        }
        for stage in self.stages.iter().rev() {
            if part.contains(&stage.key) {
                part.extend(stage.inputs.iter().map(|i| &i.key));
            }
        }
        let is_in = |stage: &&Stage| part.contains(&stage.key);
        Self {
            stages: self.stages.iter().filter(is_in).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_holds_what_is_lost_what_follows_and_what_they_read() {
        let key = |name: char| Key::of(&json!(name.to_string()));
        let stage = |name: char, reads: &str| Stage {
            key: key(name),
            kind: StageKind::Split,
            label: name.to_string(),
            inputs: reads
                .chars()
                .map(|c| Input {
                    role: "in".to_owned(),
                    key: key(c),
                })
                .collect(),
            spec: Value::Null,
            preimage: Value::Null,
            context: Value::Null,
        };
        let plan = Plan {
            stages: vec![
                stage('a', ""),
                stage('b', "a"),
                stage('c', "a"),
                stage('d', ""),
                stage('e', "bd"),
                stage('f', "c"),
                stage('g', "ef"),
            ],
        };
        let part = |lost: &str| -> String {
            let part = plan.part_of(|stage| lost.contains(&stage.label));
            part.stages.iter().map(|s| s.label.as_str()).collect()
        };
        assert_eq!(part(""), "");
        assert_eq!(part("e"), "abcdefg", "g reads f");
        assert_eq!(part("f"), "abcdefg");
        assert_eq!(part("g"), "abcdefg");
        let shorter = Plan {
            stages: plan.stages[..6].to_vec(),
        };
        let part = |lost: &str| -> String {
            let part = shorter.part_of(|stage| lost.contains(&stage.label));
            part.stages.iter().map(|s| s.label.as_str()).collect()
        };
        assert_eq!(part("b"), "abde");
        assert_eq!(part("c"), "acf");
    }
}
