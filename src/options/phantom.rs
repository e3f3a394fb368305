//! Options of the phantoms (synthetic patients in a data set's own layout).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which data set the phantoms stand in for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhantomKind {
    /// Four MR contrasts with nested WT/TC/ET lesions.
    #[default]
    Brats2018,
    /// CT and PET on different grids with one tumour.
    Hecktor2020,
    /// Abdominal CT with eleven organs.
    Abd110,
}

/// Synthetic patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomOptions {
    /// Data set that they stand in for.
    pub kind: PhantomKind,
    /// Number of patients.
    pub cases: usize,
    /// Scale of the anatomy: 1 is the data set's own size, 0.25 a quarter of it along each axis
    /// (voxels, not mm).
    pub scale: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for PhantomOptions {
    fn default() -> Self {
        Self {
            kind: PhantomKind::default(),
            cases: 20,
            scale: 1.0,
            seed: 0,
        }
    }
}
