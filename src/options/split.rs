//! Options of the patient split (`metrics-and-data.md` section 10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Split by patient, stratified, seeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitOptions {
    /// Percent of patients for training.
    pub train: u32,
    /// Percent of patients for validation.
    pub val: u32,
    /// Percent of patients for testing.
    pub test: u32,
    /// Seed of the split. The label subsets are drawn by the seed of the run.
    pub seed: u64,
    /// Patients at most, the first in name order; 0 is no limit.
    pub max_cases: usize,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            train: 70,
            val: 10,
            test: 20,
            seed: 0,
            max_cases: 0,
        }
    }
}
