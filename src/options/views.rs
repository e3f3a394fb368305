//! How the contrastive methods see slices (`methods/contrastive.md` sections 2.2 to 2.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Misfit, within};

/// Whose least and greatest intensity stand for 0 and 1 while intensities are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntensityRange {
    /// Those of the volume, as far as its training slices show them.
    #[default]
    Volume,
    /// Those of the slice.
    Slice,
}

/// What lies beyond the edges of a view for the blur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// The pixels of the edge.
    #[default]
    Edge,
    /// The view in a mirror, edges not repeated.
    Reflect,
}

/// What the contrastive methods have in common when they make views of slices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ViewOptions {
    /// Whose least and greatest intensity stand for 0 and 1 while intensities are changed.
    pub range: IntensityRange,
    /// Windows that are drawn at most for a view, to find one that shows something; 1 takes the
    /// first.
    pub draws: usize,
    /// Share of foreground that a window should show: pixels that are neither 0 nor the least value
    /// of `range`.
    pub foreground: f64,
    /// What lies beyond the edges of a view for the blur.
    pub border: Border,
    /// At most one slice of a volume in a batch, which then holds no more images than there are
    /// volumes. Not for G-L, whose batches are made of volumes.
    pub distinct_volumes: bool,
}

impl Default for ViewOptions {
    fn default() -> Self {
        Self {
            range: IntensityRange::default(),
            draws: 10,
            foreground: 0.1,
            border: Border::default(),
            distinct_volumes: false,
        }
    }
}

impl ViewOptions {
    /// Checks the ranges of values.
    ///
    /// # Errors
    /// The option that is out of range.
    pub fn check(&self) -> Result<(), Misfit> {
        within("pretrain.views.draws", self.draws as f64, 1.0, 1000.0)?;
        within("pretrain.views.foreground", self.foreground, 0.0, 1.0)
    }
}
