//! Options of the network (`methods/masked.md` section 1.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which network is trained and handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackboneKind {
    /// 2D U-Net.
    #[default]
    Unet,
}

/// Normalisation after each convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation.
    #[default]
    Batch,
    /// Group normalisation with 8 groups (fewer where the width is smaller).
    Group,
    /// Instance normalisation.
    Instance,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackboneOptions {
    /// Architecture.
    pub kind: BackboneKind,
    /// Channels of the first level; each level below doubles them.
    pub width: usize,
    /// Number of down (and up) modules; the image must be a multiple of `2^depth`.
    pub depth: usize,
    /// Normalisation.
    pub norm: Norm,
}

impl Default for BackboneOptions {
    fn default() -> Self {
        Self {
            kind: BackboneKind::default(),
            width: 64,
            depth: 4,
            norm: Norm::default(),
        }
    }
}
