//! What is wrong with one file or case of a data set.

use serde::{Deserialize, Serialize};

/// Whether a problem excludes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The case or file cannot be used.
    Error,
    /// Worth a look; the data can be used.
    Warning,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A case lacks the image of a modality.
    MissingImage,
    /// A case lacks its label file.
    MissingLabel,
    /// A case has no bounding box.
    MissingBox,
    /// A label file without any image.
    UnpairedLabel,
    /// Two cases of the same name.
    DuplicateCase,
    /// Two files for the same image or label.
    DuplicateFile,
    /// A file or folder where none of its kind belongs.
    Misplaced,
    /// A file that cannot be opened or decoded.
    Unreadable,
    /// A header that contradicts itself; read as the warning says.
    Header,
    /// A line or field of a describing file (bounding boxes, `dataset.json`) that is not valid.
    Metadata,
    /// Grids that must agree and do not.
    Grid,
    /// Image and label lie in different places of the world.
    Centroid,
    /// Label values that the task does not have.
    LabelValues,
    /// Voxels that are no numbers, or all the same.
    Voxels,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Path below the root of the data set, with `/`: the file that is wrong, or the one that is
    /// expected and missing.
    pub path: String,
    /// Case, where one is known.
    pub case: Option<String>,
    /// Class.
    pub kind: ProblemKind,
    /// Weight.
    pub severity: Severity,
    /// The reason, for people.
    pub detail: String,
}

impl Problem {
    /// A problem that excludes the file or its case.
    pub(crate) fn error(
        kind: ProblemKind,
        case: Option<&str>,
        path: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            case: case.map(str::to_owned),
            kind,
            severity: Severity::Error,
            detail: detail.into(),
        }
    }

    /// A problem that excludes nothing.
    pub(crate) fn warning(
        kind: ProblemKind,
        case: Option<&str>,
        path: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(kind, case, path, detail)
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.detail)
    }
}
