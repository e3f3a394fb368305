//! The artifact of a measurement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Values by part, then by quantity.
pub type Values = BTreeMap<String, BTreeMap<String, f64>>;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Number of patients in training, validation and test.
    pub fold_sizes: [usize; 3],
    /// How many images it is of.
    pub images: usize,
    /// Processor, where the values depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The values.
    pub values: Values,
}

impl Measurement {
    /// A value; `None` where it is not defined, for instance the precision of an empty category.
    #[must_use]
    pub fn value(&self, part: &str, quantity: &str) -> Option<f64> {
        self.values.get(part)?.get(quantity).copied()
    }
}

/// The parts with their values, those that are defined.
pub(super) fn values<const N: usize>(
    parts: impl IntoIterator<Item = (&'static str, [(&'static str, Option<f64>); N])>,
) -> Values {
    parts
        .into_iter()
        .map(|(part, all)| {
            let defined = all
                .into_iter()
                .filter_map(|(q, v)| Some((q.to_owned(), v?)));
            (part.to_owned(), defined.collect())
        })
        .collect()
}
