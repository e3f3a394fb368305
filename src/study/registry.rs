//! Names that a manifest may use, from the registries.

use super::PretextSpec;
use crate::data::layout::LayoutError;
use crate::measure;
use crate::options::{LayoutOptions, MeasureKind, Needs, OptimiserOptions, PretrainOptions};

/// Pretext tasks.
#[must_use]
pub fn pretext_names() -> Vec<&'static str> {
    crate::pretext::REGISTRY.iter().map(|e| e.name).collect()
}

/// Layouts of data sets.
#[must_use]
pub fn layout_names() -> Vec<&'static str> {
    crate::data::layout::LAYOUTS
        .iter()
        .map(|l| l.name)
        .collect()
}

/// Metrics.
#[must_use]
pub fn metric_names() -> Vec<&'static str> {
    crate::metric::METRICS.iter().map(|m| m.name).collect()
}

/// Modalities of a layout, where the layout fixes them.
#[must_use]
pub fn modalities_of(layout: &str) -> Option<&'static [&'static str]> {
    crate::data::layout::LAYOUTS
        .iter()
        .find(|l| l.name == layout)
        .map(|l| l.modalities)
        .filter(|m| !m.is_empty())
}

/// Version of a pretext task; part of the key of its stages.
#[must_use]
pub fn pretext_version(name: &str) -> u32 {
    crate::pretext::REGISTRY
        .iter()
        .find(|e| e.name == name)
        .map_or(0, |e| e.version)
}

/// The training of a pretext task, with what the task does not read at its default.
#[must_use]
pub fn pretext_training(name: &str, options: &PretrainOptions) -> PretrainOptions {
    crate::pretext::find(name).map_or_else(|| options.clone(), |entry| entry.canonical(options))
}

/// What a pretext task reads beside the training slices.
#[must_use]
pub fn pretext_needs(pretext: &PretextSpec) -> Needs {
    crate::pretext::find(&pretext.name).map_or_else(Needs::default, |e| (e.needs)(&pretext.options))
}

/// The optimiser that a pretext task asks for in place of the study's.
#[must_use]
pub fn pretext_optimiser(pretext: &PretextSpec, batch: usize) -> Option<OptimiserOptions> {
    let entry = crate::pretext::find(&pretext.name)?;
    (entry.optimiser)(&pretext.options, batch)
}

/// Version of the tokenizer; part of the key of its stages.
#[must_use]
pub fn tokenizer_version() -> u32 {
    <crate::pretext::beit2::Tokenizer as crate::pretext::Pretext>::ABOUT.version
}

/// Quantities of a measure.
#[must_use]
pub(super) fn quantities(kind: MeasureKind) -> Vec<&'static str> {
    measure::find(kind).quantity_names()
}

/// Parts of a measure that a row may show.
#[must_use]
pub(super) fn parts(kind: MeasureKind) -> &'static [&'static str] {
    measure::find(kind).parts
}

/// Version of a measure; part of the key of its stages.
#[must_use]
pub fn measure_version(kind: MeasureKind) -> u32 {
    measure::find(kind).version
}

/// Checks the options of a layout.
///
/// # Errors
/// The option that does not fit, below `files`, and why.
pub(super) fn check_layout(layout: &str, files: &LayoutOptions) -> Result<(), (String, String)> {
    match crate::data::layout::find(layout).and_then(|l| l.check_options(files)) {
        Ok(()) => Ok(()),
        Err(LayoutError::Option { option, reason, .. }) => Err((option, reason)),
        Err(other) => Err((String::new(), other.to_string())),
    }
}
