//! What clustering an image gives.

use std::fmt;

/// Labels of the patches of one image, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One label per patch, 1 is foreground; both categories have members.
    Labels(Vec<u8>),
    /// The image has no two categories; its patches are masked in random order.
    None(Reason),
}

impl Outcome {
    /// The labels, where there are any.
    #[must_use]
    pub fn labels(&self) -> Option<&[u8]> {
        match self {
            Self::Labels(labels) => Some(labels),
            Self::None(_) => None,
        }
    }
}

/// Why an image has no clustering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Fewer than two patches.
    TooFew,
    /// All patches are the same, to within 1e-6.
    Identical,
    /// A value is not finite, or so large that distances are not.
    NotFinite,
    /// The method found one category only.
    OneCategory,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooFew => "fewer than two patches",
            Self::Identical => "all patches are identical",
            Self::NotFinite => "a value or a distance is not finite",
            Self::OneCategory => "one category only",
        })
    }
}
