//! The registry of layouts.

use std::path::Path;

use super::error::LayoutError;
use super::scan::Scan;
use super::{abd110, brats2018, hecktor2020, msd, pairs};
use crate::options::LayoutOptions;

/// How one data set lies on disk.
#[derive(Debug)]
pub struct Layout {
    /// Name in manifests.
    pub name: &'static str,
    /// One line for `list`.
    pub doc: &'static str,
    /// What lies in the root folder.
    pub expects: &'static str,
    /// Where to register or download.
    pub obtain: &'static str,
    /// Modalities that every data set of this layout has; empty where the data set or the options
    /// name them.
    pub modalities: &'static [&'static str],
    /// Whether the images and the label of a case share one grid by the data set's own rules.
    pub one_grid: bool,
    /// Whether `images`, `labels` and `strata` of the options are for this layout.
    pub(super) takes_patterns: bool,
    pub(super) scan: fn(&Path, &LayoutOptions) -> Result<Scan, LayoutError>,
}

/// Every layout.
pub const LAYOUTS: &[&Layout] = &[
    &abd110::LAYOUT,
    &brats2018::LAYOUT,
    &hecktor2020::LAYOUT,
    &msd::LAYOUT,
    &pairs::LAYOUT,
];

/// The layout of this name.
///
/// # Errors
/// [`LayoutError::Unknown`].
pub fn find(name: &str) -> Result<&'static Layout, LayoutError> {
    LAYOUTS
        .iter()
        .copied()
        .find(|layout| layout.name == name)
        .ok_or_else(|| LayoutError::Unknown {
            name: name.to_owned(),
            known: LAYOUTS
                .iter()
                .map(|layout| layout.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

impl Layout {
    /// Lists the data set under `root`: names and tables only, no image file is opened.
    ///
    /// The result depends on the files alone, not on the order in which the operating system lists
    /// them.
    ///
    /// # Errors
    /// Where `root` is missing or not of this layout, a folder or table cannot be read, or an
    /// option does not fit. What is wrong with single cases is in [`Scan::problems`].
    pub fn scan(&self, root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
        self.check_options(options)?;
        if !root.is_dir() {
            return Err(LayoutError::MissingRoot {
                root: root.to_path_buf(),
                layout: self.name,
                expects: self.expects,
                obtain: self.obtain,
            });
        }
        (self.scan)(root, options)
    }

    /// Modalities known without looking at the disk, in name order: the layout's own, or those of
    /// the options. `None` where only the data set itself says (`msd`).
    #[must_use]
    pub fn known_modalities(&self, options: &LayoutOptions) -> Option<Vec<String>> {
        let mut names: Vec<String> = if self.takes_patterns {
            options.images.keys().cloned().collect()
        } else if self.modalities.is_empty() {
            return None;
        } else {
            self.modalities.iter().map(|&m| m.to_owned()).collect()
        };
        names.sort_unstable();
        Some(names)
    }

    /// Checks `options` without looking at the disk.
    ///
    /// # Errors
    /// [`LayoutError::Option`] with the field that does not fit.
    pub fn check_options(&self, options: &LayoutOptions) -> Result<(), LayoutError> {
        let refuse = |option: &str, reason: String| {
            Err(LayoutError::Option {
                layout: self.name,
                option: option.to_owned(),
                reason,
            })
        };
        if !self.takes_patterns {
            for (option, given) in [
                ("images", !options.images.is_empty()),
                ("labels", !options.labels.is_empty()),
                ("strata", !options.strata.is_empty()),
            ] {
                if given {
                    let reason = "this layout knows its own file names; use layout 'pairs' for \
                                  patterns";
                    return refuse(option, reason.to_owned());
                }
            }
        }
        for (name, labels) in &options.regions {
            let option = format!("regions.{name}");
            if labels.is_empty() {
                return refuse(
                    &option,
                    "a region needs at least one label value".to_owned(),
                );
            }
            if labels.contains(&0) {
                return refuse(&option, "label value 0 is the background".to_owned());
            }
        }
        if let Some(known) = self.known_modalities(options) {
            for name in options.kinds.keys() {
                if !known.contains(name) {
                    let option = format!("kinds.{name}");
                    let reason = format!("no such modality; known are {}", known.join(", "));
                    return refuse(&option, reason);
                }
            }
        }
        if self.takes_patterns {
            pairs::check_patterns(options)?;
        }
        Ok(())
    }

    /// The error for a folder that holds something else.
    pub(super) fn not_this(&self, root: &Path, found: impl Into<String>) -> LayoutError {
        LayoutError::NotThisLayout {
            root: root.to_path_buf(),
            layout: self.name,
            found: found.into(),
            expects: self.expects,
            obtain: self.obtain,
        }
    }
}
