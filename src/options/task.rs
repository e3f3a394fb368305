//! What the options of every pretext task have in common.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{BackboneOptions, ClusterOptions, OptimiserOptions, PretrainOptions, TokenizerOptions};

/// Options of a pretext task: the table of its name in a manifest.
pub trait TaskOptions:
    Clone + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema
{
    /// The same task with every option that it does not read at its default, so that two rows that
    /// mean the same are equal values and run once.
    #[must_use]
    fn canonical(&self) -> Self {
        self.clone()
    }

    /// What can be known to be wrong before any data is read.
    ///
    /// # Errors
    /// The first option that is out of range or does not fit.
    fn check(&self, _: &Frame<'_>) -> Result<(), Misfit> {
        Ok(())
    }

    /// What the task reads beside the training slices.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The optimiser that takes the place of the study's at `batch` images per step, where the
    /// task asks for its own.
    fn optimiser(&self, _batch: usize) -> Option<OptimiserOptions> {
        None
    }
}

/// What options are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Height and width of the slices.
    pub image: [usize; 2],
    /// The network.
    pub backbone: &'a BackboneOptions,
    /// The training.
    pub pretrain: &'a PretrainOptions,
}

/// What a task reads beside the training slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Two categories of patches per slice.
    pub clusters: Option<PatchClusters>,
    /// The masks of the training slices, for experiments that start from the ground truth.
    pub masks: bool,
    /// Codes of the patches of the training slices.
    pub tokens: Option<Tokens>,
}

/// A tokenizer of the patches of the training slices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Side of a patch; the stride of the network where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// The tokenizer.
    pub tokenizer: TokenizerOptions,
}

impl TaskOptions for Tokens {}

/// A clustering of the patches of the training slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchClusters {
    /// Side of a patch.
    pub patch: usize,
    /// Algorithm.
    pub cluster: ClusterOptions,
}

/// Options that do not fit, and the dotted keys that could be at fault, most likely first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Keys as a manifest writes them.
    pub keys: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Misfit {
    /// A fault at the first of `keys` that was written.
    #[must_use]
    pub fn new(keys: &[&str], message: String) -> Self {
        Self {
            keys: keys.iter().map(|&k| k.to_owned()).collect(),
            message,
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `low` to `high`, both included.
///
/// # Errors
/// A value outside.
pub fn within(key: &str, value: f64, low: f64, high: f64) -> Result<(), Misfit> {
    range(key, value, value >= low && value <= high, || {
        format!("{low} to {high}")
    })
}

/// Above `low` and below `high`.
///
/// # Errors
/// A value outside.
pub fn inside(key: &str, value: f64, low: f64, high: f64) -> Result<(), Misfit> {
    range(key, value, value > low && value < high, || {
        format!("above {low} and below {high}")
    })
}

/// Above `low`, at most `high`.
///
/// # Errors
/// A value outside.
pub fn up_to(key: &str, value: f64, low: f64, high: f64) -> Result<(), Misfit> {
    range(key, value, value > low && value <= high, || {
        format!("above {low}, at most {high}")
    })
}

fn range(
    key: &str,
    value: f64,
    fits: bool,
    allowed: impl FnOnce() -> String,
) -> Result<(), Misfit> {
    if fits {
        return Ok(());
    }
    let message = format!("{key} = {value} is out of range: {}", allowed());
    Err(Misfit::new(&[key], message))
}
