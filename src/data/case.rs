//! What a data set holds, as a layout finds it on disk: cases, their image files, their labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Physics of a modality, where a default of the preparation depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModalityKind {
    /// Magnetic resonance: 0 is background.
    Mr,
    /// Computed tomography in HU: outside is -1024.
    Ct,
    /// Positron emission tomography (SUV): outside is 0.
    Pet,
}

impl ModalityKind {
    /// Value of voxels outside of the scanned volume.
    #[must_use]
    pub fn outside(self) -> f32 {
        match self {
            Self::Ct => -1024.0,
            Self::Mr | Self::Pet => 0.0,
        }
    }
}

/// One image file of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Path below the root of the data set, with `/`.
    pub path: String,
    /// Index along the fourth axis for 4D files; `None` for 3D files.
    pub channel: Option<usize>,
    /// Physics.
    pub kind: ModalityKind,
}

/// One patient (or scan).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Identity, unique in the data set.
    pub id: String,
    /// Group that the split keeps in proportion (HGG/LGG, centre); empty where there is none.
    pub stratum: String,
    /// Image files by modality.
    pub images: BTreeMap<String, ImageFile>,
    /// Label file below the root, where the case has one.
    pub label: Option<String>,
    /// Bounding box in mm, ITK LPS world coordinates `[x1, x2, y1, y2, z1, z2]`; the prepared grid
    /// starts at `(x1, y1, z1)` where it is given.
    pub bbox: Option<[f64; 6]>,
}

/// A region that is segmented and scored: a set of label values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Name in tables.
    pub name: String,
    /// Label values that belong to it.
    pub labels: Vec<u8>,
}

/// A data set as found on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseIndex {
    /// Cases in name order.
    pub cases: Vec<Case>,
    /// Regions, in the order of the network's output channels.
    pub regions: Vec<Region>,
    /// Values that a label file may hold, 0 included, ascending. A file with another value belongs
    /// to another task and is refused.
    #[serde(default)]
    pub label_values: Vec<u8>,
}
