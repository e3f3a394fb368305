//! Options of a data set's layout: what the folder cannot say about itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::case::ModalityKind;

/// How files map to cases, modalities and regions.
///
/// `images`, `labels` and `strata` belong to the layout `pairs`; the other layouts know their own
/// file names and refuse them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutOptions {
    /// Image file pattern by modality, below the root: `CT = "*/CT_image.nii.gz"`. `*` matches
    /// within one path segment; `{case}` does too and names the case. Without `{case}`, what the
    /// `*` matched names it.
    pub images: BTreeMap<String, String>,
    /// Label file pattern, as `images`. Empty where the data has no labels.
    pub labels: String,
    /// CSV file below the root with the columns `case,stratum`. Empty where there are no strata.
    pub strata: String,
    /// Label values by region, in the place of the layout's own: `{ GTV = [1] }`. The network's
    /// output channels follow the order of the names.
    pub regions: BTreeMap<String, Vec<u8>>,
    /// Physics by modality, in the place of what the layout takes from the modality's name.
    pub kinds: BTreeMap<String, ModalityKind>,
}
