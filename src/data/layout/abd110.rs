//! ABD-110: abdominal CT with eleven organs (`metrics-and-data.md` section 6.3).
//!
//! How its owners lay it out is not public. This is the plain form that any abdominal CT set can be
//! brought into: a folder of images and a folder of labels, the two files of a case of one name.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::LayoutError;
use super::pairs;
use super::registry::Layout;
use super::scan::Scan;
use crate::options::LayoutOptions;

/// Organs in the order of the publication; the numbering on disk is not published.
pub const ORGANS: [(&str, u8); 11] = [
    ("large bowel", 1),
    ("duodenum", 2),
    ("spinal cord", 3),
    ("liver", 4),
    ("spleen", 5),
    ("small bowel", 6),
    ("pancreas", 7),
    ("left kidney", 8),
    ("right kidney", 9),
    ("stomach", 10),
    ("gallbladder", 11),
];

/// See the module.
pub(super) const LAYOUT: Layout = Layout {
    name: "abd110",
    doc: "abdominal CT with eleven organs: images and labels of one name in two folders",
    expects: "images/<case>.nii.gz and labels/<case>.nii.gz, label values 1 to 11 (the option \
              'regions' names others)",
    obtain: "published with Tang et al., WACV 2021; any abdominal CT set in this form will do, such \
             as https://www.synapse.org/#!Synapse:syn3193805 (BTCV)",
    modalities: &["CT"],
    one_grid: true,
    takes_patterns: false,
    scan,
};

fn scan(root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
    if !root.join("images").is_dir() {
        return Err(LAYOUT.not_this(root, "there is no folder 'images'"));
    }
    let mut patterns = options.clone();
    patterns.images = BTreeMap::from([("CT".to_owned(), "images/{case}.nii.gz".to_owned())]);
    patterns.labels = "labels/{case}.nii.gz".to_owned();
    if patterns.regions.is_empty() {
        patterns.regions = ORGANS
            .iter()
            .map(|&(name, value)| (name.to_owned(), vec![value]))
            .collect();
    }
    pairs::scan(root, &patterns)
}
