//! Options of claims: sentences of the paper that are judged on our numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the columns of a claim enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimOver {
    /// It holds in every column.
    #[default]
    Every,
    /// It holds for the mean of all columns.
    Mean,
}

/// What a claim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// Each row is better than the next.
    Order,
    /// Each row is better than the next by more than a margin.
    Margin,
    /// Each row is at most so much worse than the next.
    Within,
    /// One row, or one column, is better than each of the others.
    Best,
    /// One row is worse than each of the others.
    Worst,
}
