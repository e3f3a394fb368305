//! The methods that there are.

use serde_json::Value;

use super::Pretext;
use super::amlp::Amlp;
use crate::train::{Observer, PretrainJob, PretrainOutput, TrainError, pretrain};

/// What kind of method it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Trains from scratch.
    Supervised,
    /// Reconstructs what is masked.
    Masked,
}

/// One method.
pub struct PretextEntry {
    /// Name in manifests, keys and tables.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Kind of method.
    pub family: Family,
    /// Year of publication.
    pub year: u16,
    /// Where it comes from.
    pub paper: &'static str,
    /// Version of the algorithm; bumped when the same inputs give other weights. Part of keys.
    pub version: u32,
    /// Default options.
    pub defaults: fn() -> Value,
    /// JSON Schema of the options.
    pub schema: fn() -> Value,
    /// Pre-trains with options as JSON; `None` where there is nothing to pre-train.
    pub train: Option<TrainFn>,
}

/// See [`PretextEntry::train`].
pub type TrainFn = fn(&PretrainJob<'_>, &Value, Observer<'_>) -> Result<PretrainOutput, TrainError>;

/// Every method, baselines first.
pub const REGISTRY: &[PretextEntry] = &[
    PretextEntry {
        name: "none",
        doc: "no pre-training: the segmentation network starts from random weights",
        family: Family::Supervised,
        year: 2015,
        paper: "Ronneberger et al., MICCAI 2015, arXiv 1505.04597",
        version: 1,
        defaults: || Value::Object(serde_json::Map::new()),
        schema: || serde_json::json!({ "type": "object", "additionalProperties": false }),
        train: None,
    },
    PretextEntry {
        name: "amlp",
        doc: "masks lesion patches by category, with an adjustable ratio and two losses on them",
        family: Family::Masked,
        year: 2025,
        paper: "X. Wang et al., arXiv 2309.04312v2",
        version: 1,
        defaults: defaults::<Amlp>,
        schema: schema::<Amlp>,
        train: Some(train::<Amlp>),
    },
];

/// The method called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static PretextEntry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}

fn defaults<P: Pretext>() -> Value {
    serde_json::to_value(P::Options::default()).unwrap_or(Value::Null)
}

fn schema<P: Pretext>() -> Value {
    schemars::schema_for!(P::Options).to_value()
}

fn train<P: Pretext>(
    job: &PretrainJob<'_>,
    options: &Value,
    observer: Observer<'_>,
) -> Result<PretrainOutput, TrainError> {
    let options: P::Options =
        serde_json::from_value(options.clone()).map_err(|e| TrainError::Options {
            field: "pretext",
            reason: e.to_string(),
        })?;
    pretrain::<P>(job, &options, observer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete_and_distinct() {
        for (i, entry) in REGISTRY.iter().enumerate() {
            assert!(entry.doc.len() > 10 && entry.paper.len() > 5 && entry.version >= 1);
            assert!(REGISTRY[..i].iter().all(|other| other.name != entry.name));
            assert!((entry.defaults)().is_object(), "{}", entry.name);
            assert!((entry.schema)().is_object(), "{}", entry.name);
            assert!(std::ptr::eq(find(entry.name).unwrap(), entry));
        }
        assert!(find("nothing").is_none());
    }
}
