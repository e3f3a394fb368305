//! The structure of a manifest: what may stand where. Every file is checked against these structs
//! before files are composed, and the JSON Schema is generated from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::options::{
    BackboneOptions, ClaimOver, EvaluateOptions, FinetuneOptions, LayoutOptions, MeasureOptions,
    PhantomOptions, PrepareOptions, PretrainOptions, SliceOptions, SlurmOptions, SplitOptions,
};
use crate::pretext::{Pretext, methods};

/// Readings of the paper's losses (`preset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Losses that train: RRL as a weight, CCL on soft labels.
    #[default]
    Amlp,
    /// RRL as a weight, CCL as printed (a constant; works through the label table only).
    PaperLiteral,
    /// Both as printed: trains on the prediction loss alone.
    FullyLiteral,
}

/// One value of a matrix axis: a truth value, a number, or a name.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixValue;

impl<'de> Deserialize<'de> for MatrixValue {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = MatrixValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name, a number, true or false")
            }
            fn visit_bool<E>(self, _: bool) -> Result<MatrixValue, E> {
                Ok(MatrixValue)
            }
            fn visit_i64<E>(self, _: i64) -> Result<MatrixValue, E> {
                Ok(MatrixValue)
            }
            fn visit_u64<E>(self, _: u64) -> Result<MatrixValue, E> {
                Ok(MatrixValue)
            }
            fn visit_f64<E>(self, _: f64) -> Result<MatrixValue, E> {
                Ok(MatrixValue)
            }
            fn visit_str<E>(self, _: &str) -> Result<MatrixValue, E> {
                Ok(MatrixValue)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for MatrixValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MatrixValue".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Axes: a dotted key and its values.
pub type Matrix = BTreeMap<String, Vec<MatrixValue>>;

/// Structs of scopes: their own fields, and every setting as an optional field.
macro_rules! scopes {
    ($methods:tt $( $(#[$meta:meta])* $name:ident $fields:tt )*) => {
        $( scope! { $methods $(#[$meta])* $name $fields } )*
    };
}

/// One of them; `$method` are the pretext tasks, each with a table of options.
macro_rules! scope {
    (
        [$($method:ident: $task:ty;)*]
        $(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $fname:ident : $fty:ty,)* }
    ) => {
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[$fmeta])* pub $fname: $fty,)*
                /// Pretext task, by name: `none` is training from scratch.
                pub pretext: Option<String>,
                /// Reading of the losses.
                pub preset: Option<Preset>,
                /// Masked patches selection on or off.
                pub mps: Option<bool>,
                /// Adjustable masking ratio on or off.
                pub amr: Option<bool>,
                /// Both consistency losses on or off; without MPS only RRL remains (paper, section IV-B).
                pub crcl: Option<bool>,
                /// Relative reconstruction loss on or off.
                pub rrl: Option<bool>,
                /// Category consistency loss on or off.
                pub ccl: Option<bool>,
                /// Clustering, by name (short for `amlp.cluster.method`).
                pub clustering: Option<crate::options::ClusterMethod>,
                $(
                    /// Options of the pretext task of this name.
                    pub $method: Option<<$task as Pretext>::Options>,
                )*
                /// The network.
                pub backbone: Option<BackboneOptions>,
                /// Pre-training.
                pub pretrain: Option<PretrainOptions>,
                /// Fine-tuning.
                pub finetune: Option<FinetuneOptions>,
                /// Preparation; everywhere but at the root it lies over the data set's own.
                pub prepare: Option<PrepareOptions>,
                /// Slice selection.
                pub slices: Option<SliceOptions>,
                /// Patient split.
                pub split: Option<SplitOptions>,
                /// Metrics and aggregation.
                pub evaluate: Option<EvaluateOptions>,
            }
    };
}

macro_rules! settings {
    ([$($method:ident: $task:ty;)*]) => {
        /// Names of the settings, which may stand in every scope.
        pub const SETTING_KEYS: &[&str] = &[
            "pretext",
            "preset",
            "mps",
            "amr",
            "crcl",
            "rrl",
            "ccl",
            "clustering",
            $(stringify!($method),)*
            "backbone",
            "pretrain",
            "finetune",
            "prepare",
            "slices",
            "split",
            "evaluate",
        ];

        /// Everything that a cell of a table is computed with, after all scopes are merged.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            /// Pretext task: `none` is training from scratch.
            pub pretext: String,
            /// Reading of the losses.
            pub preset: Preset,
            /// Masked patches selection on or off.
            pub mps: Option<bool>,
            /// Adjustable masking ratio on or off.
            pub amr: Option<bool>,
            /// Both consistency losses on or off; without MPS only RRL remains (paper, section IV-B).
            pub crcl: Option<bool>,
            /// Relative reconstruction loss on or off.
            pub rrl: Option<bool>,
            /// Category consistency loss on or off.
            pub ccl: Option<bool>,
            /// Clustering, by name (short for `amlp.cluster.method`).
            pub clustering: Option<crate::options::ClusterMethod>,
            $(
                /// Options of the pretext task of this name.
                pub $method: <$task as Pretext>::Options,
            )*
            /// The network.
            pub backbone: BackboneOptions,
            /// Pre-training.
            pub pretrain: PretrainOptions,
            /// Fine-tuning.
            pub finetune: FinetuneOptions,
            /// Preparation; everywhere but at the root it lies over the data set's own.
            pub prepare: PrepareOptions,
            /// Slice selection.
            pub slices: SliceOptions,
            /// Patient split.
            pub split: SplitOptions,
            /// Metrics and aggregation.
            pub evaluate: EvaluateOptions,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    pretext: "amlp".to_owned(),
                    preset: Preset::default(),
                    mps: None,
                    amr: None,
                    crcl: None,
                    rrl: None,
                    ccl: None,
                    clustering: None,
                    $($method: Default::default(),)*
                    backbone: BackboneOptions::default(),
                    pretrain: PretrainOptions::default(),
                    finetune: FinetuneOptions::default(),
                    prepare: PrepareOptions::default(),
                    slices: SliceOptions::default(),
                    split: SplitOptions::default(),
                    evaluate: EvaluateOptions::default(),
                }
            }
        }

        impl Settings {
            /// Options of the pretext task `name`; null where it has none.
            #[must_use]
            pub fn options_of(&self, name: &str) -> Value {
                let options = match name {
                    $(stringify!($method) => serde_json::to_value(&self.$method),)*
                    _ => return Value::Null,
                };
                // Options are plain structs with string keys: they always serialise.
                options.unwrap_or_default()
            }
        }
    };
}
methods!(settings);

methods! { scopes
    /// A manifest file.
    Document {
        /// Manifest that this one extends; its values are the ones below.
        extends: Option<String>,
        /// Manifests that are run together, each with its own settings, as one graph. A manifest that
        /// names others has nothing else beside a description.
        include: Option<Vec<String>>,
        /// Name of the experiment: the folder of its results.
        name: Option<String>,
        /// What it is about.
        description: Option<String>,
        /// Seeds of the runs that each cell averages.
        seeds: Option<Vec<u64>>,
        /// Data sets by name.
        data: BTreeMap<String, DataSet>,
        /// What jobs ask Slurm for, with `--engine slurm`. Part of no key.
        slurm: Option<SlurmOptions>,
        /// Settings for some data sets or label ratios.
        when: Vec<When>,
        /// Named overrides of scale and data.
        profile: BTreeMap<String, Profile>,
        /// Tables or figures.
        study: Vec<Study>,
    }

    /// Settings that hold for some cells only.
    When {
        /// Data sets.
        data: Option<Vec<String>>,
        /// Label ratios in percent.
        labels: Option<Vec<u32>>,
        /// Modalities.
        modality: Option<Vec<String>>,
    }

    /// Named overrides of scale and data.
    Profile {
        /// What it is for.
        description: Option<String>,
        /// Seeds of the runs.
        seeds: Option<Vec<u64>>,
        /// Overrides of data sets.
        data: BTreeMap<String, DataSet>,
        /// Overrides of what jobs ask Slurm for.
        slurm: Option<SlurmOptions>,
    }

    /// One table or figure.
    Study {
        /// Number of the paper's table, or a name of your own: the name of the output files.
        table: Option<String>,
        /// Title.
        title: Option<String>,
        /// Columns: `name/MODALITY`, or `name/A+B` for several channels.
        data: Option<Vec<String>>,
        /// Percent of labelled training cases, one group of rows each.
        labels: Option<Vec<u32>>,
        /// Seeds of the runs.
        seeds: Option<Vec<u64>>,
        /// Metrics, by name.
        metrics: Option<Vec<String>>,
        /// Regions to show; `mean` is their mean.
        regions: Option<Vec<String>>,
        /// Axes that multiply the rows.
        matrix: Matrix,
        /// Overrides for a profile.
        profile: BTreeMap<String, Scope>,
        /// Rows.
        variant: Vec<Variant>,
        /// What is measured in the place of training and scoring: the cells are its quantities.
        measure: Option<MeasureOptions>,
        /// A search step by step instead of rows: the rows are the candidates of each step, and the
        /// best of them goes into all later steps.
        step: Vec<Variant>,
        /// Sentences to test on the numbers.
        claim: Vec<Claim>,
    }

    /// One row of a table.
    Variant {
        /// Name in the table; `{amlp.patch}` is replaced by the value of a matrix axis.
        name: Option<String>,
        /// Name of the row in the published ledger, where it differs.
        published: Option<String>,
        /// `setting` of the row in the published ledger.
        setting: Option<String>,
        /// Part of a measurement that the row shows; the first where none is named.
        part: Option<String>,
        /// Axes that multiply this row.
        matrix: Matrix,
        /// Overrides for a profile.
        profile: BTreeMap<String, Scope>,
    }

    /// Overrides for a profile inside a study or a variant.
    Scope {
        /// Axes instead of those without the profile.
        matrix: Option<Matrix>,
        /// Seeds of the runs.
        seeds: Option<Vec<u64>>,
    }
}

/// A data set: a folder in a known layout.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataSet {
    /// Layout of the folder.
    pub layout: Option<String>,
    /// The folder, relative to the project's root.
    pub root: Option<String>,
    /// Name in the published ledger, where it differs.
    pub published: Option<String>,
    /// Options of the layout.
    pub files: LayoutOptions,
    /// Preparation.
    pub prepare: PrepareOptions,
    /// Synthetic patients instead of the folder.
    pub phantom: Option<PhantomOptions>,
}

/// A sentence of the paper as a test on our numbers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claim {
    /// The sentence, with its section.
    pub text: Option<String>,
    /// Rows from best to worst.
    pub order: Vec<String>,
    /// Row that is better than each of the others, instead of `order`.
    pub best: Option<String>,
    /// Row that is worse than each of the others, instead of `order`.
    pub worst: Option<String>,
    /// Rows that `best` or `worst` is compared with; all others where absent.
    pub among: Option<Vec<String>>,
    /// Column that is better than each of the others, for every row of `order`.
    pub best_column: Option<String>,
    /// Metric it is about; the first of the study where absent.
    pub metric: Option<String>,
    /// Regions it is about; the mean of all where absent.
    pub regions: Option<Vec<String>>,
    /// Difference that the better row must exceed.
    pub margin: Option<f64>,
    /// Difference that the first row may be worse by, for rows on a par.
    pub within: Option<f64>,
    /// Columns it is about; all where absent.
    pub data: Option<Vec<String>>,
    /// Label ratios it is about; all where absent.
    pub labels: Option<Vec<u32>>,
    /// Label ratio of each row of `order`, where they differ.
    pub at: Option<Vec<u32>>,
    /// Whether it holds in every column, or for their mean.
    pub over: ClaimOver,
}
