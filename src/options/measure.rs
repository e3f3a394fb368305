//! Options of measurements: studies whose cells are no scores of a trained network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// How the two categories of patches agree with the lesions (Table VII).
    Clustering,
    /// How long the clustering of an image takes (Table VIII).
    ClusteringTime,
}

/// A measurement in the place of training and scoring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureOptions {
    /// What is measured.
    pub kind: MeasureKind,
    /// Images, drawn at random among the slices with lesion of the training patients; all where
    /// there are fewer.
    #[serde(default = "samples")]
    pub samples: usize,
    /// Timings of each image, whose median counts.
    #[serde(default = "repeats")]
    pub repeats: usize,
}

fn samples() -> usize {
    150
}

fn repeats() -> usize {
    5
}

impl MeasureOptions {
    /// The same with what the measurement does not read at one value.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self.kind {
            MeasureKind::Clustering => Self {
                repeats: repeats(),
                ..self
            },
            MeasureKind::ClusteringTime => self,
        }
    }
}
