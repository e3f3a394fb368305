//! Options of data preparation (`metrics-and-data.md` sections 8 and 9).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Interpolation of images; labels are always nearest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Nearest neighbour (the paper).
    #[default]
    Nearest,
    /// Trilinear.
    Linear,
    /// Cubic (Catmull-Rom, separable).
    Cubic,
}

/// Resampling onto a grid of given spacing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResampleOptions {
    /// Spacing `[x, y, z]` in mm; an axis of 0 keeps its own spacing.
    pub spacing: [f64; 3],
    /// Interpolation of images.
    pub image: Interpolation,
    /// Where the volumes of a case lie on different grids: keep only what all images cover.
    pub intersect: bool,
}

impl Default for ResampleOptions {
    fn default() -> Self {
        Self {
            spacing: [1.0, 1.0, 1.0],
            image: Interpolation::default(),
            intersect: false,
        }
    }
}

/// Voxels over which the clip percentiles are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipBase {
    /// `nonzero` for MR, `all` for CT and PET.
    #[default]
    Auto,
    /// Voxels that are not 0.
    Nonzero,
    /// All voxels.
    All,
}

/// Clipping to percentiles, per volume and modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClipOptions {
    /// Clip at all.
    pub enabled: bool,
    /// Lower percentile.
    pub low: f64,
    /// Upper percentile.
    pub high: f64,
    /// Voxels over which they are taken.
    pub base: ClipBase,
}

impl Default for ClipOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            low: 1.0,
            high: 99.0,
            base: ClipBase::default(),
        }
    }
}

/// Voxels over which mean and standard deviation are taken, and which are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZscoreMask {
    /// `nonzero` for MR, `all` for CT and PET.
    #[default]
    Auto,
    /// Voxels that are not 0 before clipping; zeros stay 0.
    Nonzero,
    /// All voxels.
    All,
}

/// Z-score, per volume and modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZscoreOptions {
    /// Normalise at all.
    pub enabled: bool,
    /// Voxels that take part.
    pub mask: ZscoreMask,
}

impl Default for ZscoreOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            mask: ZscoreMask::default(),
        }
    }
}

/// Where the in-plane window lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CropMode {
    /// Centre of the image.
    #[default]
    Center,
    /// Centre of the bounding box of non-zero voxels of the case, clamped to the image.
    BrainBbox,
}

/// In-plane crop or zero-pad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CropOptions {
    /// Size `[height, width]` (y, x) in pixels; 0 keeps an axis.
    pub size: [usize; 2],
    /// Where the window lies.
    pub mode: CropMode,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self {
            size: [160, 160],
            mode: CropMode::default(),
        }
    }
}

/// Which slices take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SliceUse {
    /// Slices with at least one lesion pixel.
    Lesion,
    /// Slices with at least `min_nonzero` non-zero pixels.
    Nonempty,
    /// All slices.
    All,
}

/// Slice selection for training; testing always uses every slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SliceOptions {
    /// Slices of fine-tuning.
    pub train: SliceUse,
    /// Slices of pre-training; `lesion` would leak labels and is refused.
    pub pretrain: SliceUse,
    /// Share of non-zero pixels below which a slice counts as empty.
    pub min_nonzero: f64,
    /// Slices per case at most, evenly spaced; 0 is no limit.
    pub per_case: usize,
}

impl Default for SliceOptions {
    fn default() -> Self {
        Self {
            train: SliceUse::Lesion,
            pretrain: SliceUse::Nonempty,
            min_nonzero: 0.05,
            per_case: 0,
        }
    }
}

/// Number format of prepared images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit float.
    #[default]
    F32,
    /// 16-bit float: half the disk and page cache, three decimal digits.
    F16,
}

/// Everything between a file and a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareOptions {
    /// Resampling.
    pub resample: ResampleOptions,
    /// Clipping.
    pub clip: ClipOptions,
    /// Normalisation.
    pub zscore: ZscoreOptions,
    /// Crop or pad.
    pub crop: CropOptions,
    /// Number format of prepared images.
    pub precision: Precision,
}
