//! Options of the AMLP pretext task (`methods/masked.md` sections 2.1 to 2.13).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClusterOptions;
use super::task::{Frame, Misfit, Needs, PatchClusters, TaskOptions, inside, within};

/// What the network sees in place of a masked patch (section 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaskFill {
    /// Zeros.
    #[default]
    Zero,
    /// A trainable tile `[C, p, p]`, the same for every masked patch.
    Learned,
    /// The mean of the image, per channel.
    Mean,
    /// Standard normal noise.
    Noise,
}

/// Score by which patches are ordered inside their category (section 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// `d0 / (d1 + d0)`: probability-like closeness to the foreground centre.
    #[default]
    FgRatio,
    /// `-d1`: close to the foreground centre first.
    FgNear,
    /// `d1`: the paper's literal second sentence.
    FgFar,
    /// `d0`: far from the background centre first.
    BgFar,
}

/// Which end of the order is masked first (Table VI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Foreground first (the paper's choice).
    #[default]
    HardToEasy,
    /// Background first: the reversed keys.
    EasyToHard,
    /// A seeded permutation; clustering and labels stay in use for the losses.
    Random,
}

/// Masked patches selection (MPS).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MpsOptions {
    /// Order patches by category; off means a random order and no clustering.
    pub enabled: bool,
    /// Score inside a category.
    pub rank: Rank,
    /// Keep foreground patches before background patches whatever their score.
    pub group_first: bool,
    /// Which end of the order is masked first.
    pub strategy: Strategy,
    /// Standard deviation of Gumbel noise added to the score; 0 adds none.
    pub jitter: f64,
}

impl Default for MpsOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            rank: Rank::default(),
            group_first: true,
            strategy: Strategy::default(),
            jitter: 0.0,
        }
    }
}

/// `tau` of equation 5: derived from the number of epochs, or given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Tau {
    /// `ln(E) / (sigma_max - sigma0)`.
    #[default]
    Auto,
    /// As typed.
    Value(f64),
}

impl Serialize for Tau {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => s.serialize_str("auto"),
            Self::Value(v) => s.serialize_f64(*v),
        }
    }
}

impl<'de> Deserialize<'de> for Tau {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Tau;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"auto\" or a positive number")
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Tau, E> {
                if v == "auto" {
                    Ok(Tau::Auto)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(v), &self))
                }
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Tau, E> {
                if v.is_finite() && v > 0.0 {
                    Ok(Tau::Value(v))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(v), &self))
                }
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Tau, E> {
                self.visit_f64(v as f64)
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Tau, E> {
                self.visit_f64(v as f64)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Tau {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tau".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "\"auto\", or the number itself",
            "anyOf": [{ "const": "auto" }, { "type": "number", "exclusiveMinimum": 0.0 }]
        })
    }
}

/// Adjustable masking ratio (AMR), equation 5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AmrOptions {
    /// Raise the ratio over the epochs; off means `fixed`.
    pub enabled: bool,
    /// Ratio of the first epoch.
    pub sigma0: f64,
    /// Ratio of the last epoch.
    pub sigma_max: f64,
    /// Slope; `"auto"` reaches `sigma_max` in the last epoch.
    pub tau: Tau,
    /// Ratio when the schedule is off.
    pub fixed: f64,
}

impl Default for AmrOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            sigma0: 0.25,
            sigma_max: 0.80,
            tau: Tau::Auto,
            fixed: 0.75,
        }
    }
}

/// Form of the relative reconstruction loss (section 2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RrlMode {
    /// No RRL.
    Off,
    /// `mean(l_i / L_mean)`: the constant 1, without gradient.
    Literal,
    /// `mean(l_i / sg(L_mean))`.
    DetachedMean,
    /// `mean(sg(l_i / L_mean) * l_i)`.
    #[default]
    Weight,
    /// `mean(sg(r_i) * l_i / sg(L_mean))`.
    WeightScaled,
    /// `mean(r_i^2)`, mean not detached; raises the error of easy patches.
    Square,
}

/// Over which patches the mean loss of RRL is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RrlScope {
    /// The masked patches of one image.
    #[default]
    Image,
    /// The masked patches of the batch.
    Batch,
}

/// Relative reconstruction loss (RRL), equations 1 and 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RrlOptions {
    /// Form of the loss.
    pub mode: RrlMode,
    /// Where the mean is taken.
    pub scope: RrlScope,
    /// Weight in the total loss.
    pub lambda: f64,
}

impl Default for RrlOptions {
    fn default() -> Self {
        Self {
            mode: RrlMode::default(),
            scope: RrlScope::default(),
            lambda: 1.0,
        }
    }
}

/// Form of the category consistency loss (section 2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CclMode {
    /// No CCL.
    Off,
    /// Equation 3 as printed: hard labels, no gradient.
    Literal,
    /// Soft label from the relative loss.
    SoftRelative,
    /// Soft label from the distances of the reconstruction to the two centroids.
    #[default]
    CentroidSoft,
    /// Auxiliary classifier on the bottleneck.
    Head,
}

/// On which masked patches CCL is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CclApply {
    /// Where the label changed (the paper).
    #[default]
    Changed,
    /// Everywhere.
    All,
}

/// Category consistency loss (CCL), equation 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CclOptions {
    /// Form of the loss.
    pub mode: CclMode,
    /// Where it is evaluated.
    pub apply: CclApply,
    /// Offset inside the logarithm.
    pub xi: f64,
    /// Temperature of the soft labels.
    pub temperature: f64,
    /// Weight in the total loss.
    pub lambda: f64,
}

impl Default for CclOptions {
    fn default() -> Self {
        Self {
            mode: CclMode::default(),
            apply: CclApply::default(),
            xi: 0.1,
            temperature: 1.0,
            lambda: 1.0,
        }
    }
}

/// Where the labels come from before the first epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The clustering.
    #[default]
    Kmeans,
    /// The ground truth (a patch with at least one lesion pixel is foreground).
    Gt,
}

/// Label table and its update (sections 2.8 and 2.11, Table IX).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LabelOptions {
    /// Update labels after each epoch.
    pub update: bool,
    /// Share of labels flipped before the first epoch.
    pub preset_flip: f64,
    /// Keep the flipped labels for the whole run.
    pub freeze_flipped: bool,
    /// Where the first labels come from.
    pub reference: Reference,
}

impl Default for LabelOptions {
    fn default() -> Self {
        Self {
            update: true,
            preset_flip: 0.0,
            freeze_flipped: false,
            reference: Reference::default(),
        }
    }
}

/// Spatial augmentation in pre-training (section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpatialAugment {
    /// None.
    #[default]
    None,
    /// Flips and quarter turns; the label row is permuted with the image.
    Grid,
}

/// Augmentation in AMLP pre-training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentOptions {
    /// Spatial part.
    pub spatial: SpatialAugment,
    /// Intensity factor `1 +- jitter` and shift `+- jitter`; 0 is off.
    pub intensity: f64,
}

/// The AMLP pretext task, and BASE with everything off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AmlpOptions {
    /// Side of a patch in pixels; must divide the image.
    pub patch: usize,
    /// What stands in a masked patch.
    pub fill: MaskFill,
    /// Masked patches selection.
    pub mps: MpsOptions,
    /// Clustering that makes the two categories.
    pub cluster: ClusterOptions,
    /// Adjustable masking ratio.
    pub amr: AmrOptions,
    /// Relative reconstruction loss.
    pub rrl: RrlOptions,
    /// Category consistency loss.
    pub ccl: CclOptions,
    /// Label table.
    pub labels: LabelOptions,
    /// Augmentation.
    pub aug: AugmentOptions,
}

impl Default for AmlpOptions {
    fn default() -> Self {
        Self {
            patch: 16,
            fill: MaskFill::default(),
            mps: MpsOptions::default(),
            cluster: ClusterOptions::default(),
            amr: AmrOptions::default(),
            rrl: RrlOptions::default(),
            ccl: CclOptions::default(),
            labels: LabelOptions::default(),
            aug: AugmentOptions::default(),
        }
    }
}

impl AmlpOptions {
    /// Whether labels change during training: MPS with CCL and the update on (section 2.10).
    #[must_use]
    pub fn updates_labels(&self) -> bool {
        self.mps.enabled && self.ccl.mode != CclMode::Off && self.labels.update
    }

    /// Whether training needs a label table at all.
    #[must_use]
    pub fn uses_labels(&self) -> bool {
        self.mps.enabled
    }
}

impl TaskOptions for AmlpOptions {
    fn canonical(&self) -> Self {
        let mut o = self.clone();
        if !o.mps.enabled {
            // CCL and the label table depend on MPS (paper, section IV-B).
            o.mps = MpsOptions {
                enabled: false,
                ..MpsOptions::default()
            };
            o.cluster = ClusterOptions::default();
            o.ccl.mode = CclMode::Off;
        }
        if o.mps.strategy == Strategy::Random {
            o.mps.rank = Rank::default();
            o.mps.group_first = true;
            o.mps.jitter = 0.0;
        }
        if o.amr.enabled {
            o.amr.fixed = AmrOptions::default().fixed;
        } else {
            o.amr = AmrOptions {
                enabled: false,
                fixed: o.amr.fixed,
                ..AmrOptions::default()
            };
        }
        if o.rrl.lambda == 0.0 || o.rrl.mode == RrlMode::Off {
            o.rrl = RrlOptions {
                mode: RrlMode::Off,
                ..RrlOptions::default()
            };
        }
        if o.ccl.mode == CclMode::Off {
            o.ccl = CclOptions {
                mode: CclMode::Off,
                ..CclOptions::default()
            };
        }
        if !o.mps.enabled {
            o.labels = LabelOptions {
                update: false,
                ..LabelOptions::default()
            };
        } else if !o.updates_labels() {
            o.labels.update = false;
            o.labels.freeze_flipped = false;
        }
        if o.labels.preset_flip == 0.0 {
            o.labels.freeze_flipped = false;
        }
        o.cluster = o.cluster.canonical();
        o
    }

    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        let [height, width] = frame.image;
        within("amlp.patch", self.patch as f64, 2.0, 4096.0)?;
        if !height.is_multiple_of(self.patch) || !width.is_multiple_of(self.patch) {
            return Err(Misfit::new(
                &["amlp.patch", "prepare.crop.size"],
                format!(
                    "a patch of {} does not divide the image of {height} x {width}",
                    self.patch
                ),
            )
            .hint("change amlp.patch, or pad the image with prepare.crop.size"));
        }
        if (height / self.patch) * (width / self.patch) < 4 {
            return Err(Misfit::new(
                &["amlp.patch", "prepare.crop.size"],
                format!(
                    "a patch of {} leaves fewer than 4 patches in an image of {height} x {width}",
                    self.patch
                ),
            ));
        }
        if self.amr.enabled {
            inside("amlp.amr.sigma0", self.amr.sigma0, 0.0, 1.0)?;
            inside("amlp.amr.sigma_max", self.amr.sigma_max, 0.0, 1.0)?;
            if self.amr.sigma_max < self.amr.sigma0 {
                return Err(Misfit::new(
                    &["amlp.amr.sigma_max", "amlp.amr.sigma0"],
                    format!(
                        "amlp.amr.sigma_max = {} is below sigma0 = {}",
                        self.amr.sigma_max, self.amr.sigma0
                    ),
                ));
            }
        } else {
            inside("amlp.amr.fixed", self.amr.fixed, 0.0, 1.0)?;
        }
        within("amlp.mps.jitter", self.mps.jitter, 0.0, 1e6)?;
        within("amlp.rrl.lambda", self.rrl.lambda, 0.0, 1e6)?;
        within("amlp.ccl.lambda", self.ccl.lambda, 0.0, 1e6)?;
        inside("amlp.ccl.xi", self.ccl.xi, 0.0, 1e3)?;
        inside("amlp.ccl.temperature", self.ccl.temperature, 0.0, 1e6)?;
        within("amlp.labels.preset_flip", self.labels.preset_flip, 0.0, 1.0)?;
        within("amlp.aug.intensity", self.aug.intensity, 0.0, 1.0)?;
        within(
            "amlp.cluster.n_init",
            self.cluster.n_init as f64,
            1.0,
            1000.0,
        )?;
        inside("amlp.cluster.perplexity", self.cluster.perplexity, 0.0, 1e4)?;
        within(
            "amlp.cluster.iterations",
            self.cluster.iterations as f64,
            1.0,
            1e6,
        )?;
        within(
            "amlp.cluster.min_points",
            self.cluster.min_points as f64,
            1.0,
            1e4,
        )?;
        within(
            "amlp.cluster.eps_quantile",
            self.cluster.eps_quantile,
            0.0,
            1.0,
        )?;
        if self.ccl.mode == CclMode::Head && self.patch != 1 << frame.backbone.depth {
            return Err(Misfit::new(
                &["amlp.ccl.mode"],
                format!(
                    "the head of CCL needs one bottleneck cell per patch: patch {} but stride {}",
                    self.patch,
                    1 << frame.backbone.depth
                ),
            )
            .hint("use centroid_soft, or a patch of 2^depth"));
        }
        if self.aug.spatial == SpatialAugment::Grid && height != width {
            return Err(Misfit::new(
                &["amlp.aug.spatial"],
                format!("quarter turns need a square image, not {height} x {width}"),
            ));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        let reference = self.labels.reference;
        Needs {
            clusters: (self.uses_labels() && reference == Reference::Kmeans).then(|| {
                PatchClusters {
                    patch: self.patch,
                    cluster: self.cluster.clone(),
                }
            }),
            masks: self.uses_labels() && reference == Reference::Gt,
            tokens: None,
        }
    }
}
