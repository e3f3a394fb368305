//! The measures, one entry each: what manifests may name, and what `list` shows.

use super::{MeasureError, MeasureJob, Values, clustering, clustering_time};
use crate::options::MeasureKind;

/// A number that a measure gives.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Name in manifests and tables.
    pub name: &'static str,
    /// What it is, with its unit.
    pub doc: &'static str,
}

/// A measure.
#[derive(Clone, Copy, Debug)]
pub struct MeasureEntry {
    /// Option that selects it.
    pub kind: MeasureKind,
    /// Name in manifests.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Where the paper has it.
    pub reference: &'static str,
    /// Version of its method; part of the key of its stages.
    pub version: u32,
    /// What its values are of; a row of a table shows one part.
    pub parts: &'static [&'static str],
    /// Its numbers, for each part.
    pub quantities: &'static [Quantity],
    /// Whether the numbers depend on the machine.
    pub timed: bool,
    pub(super) run: fn(&MeasureJob<'_>) -> Result<Values, MeasureError>,
}

/// All measures.
pub static MEASURES: &[MeasureEntry] = &[clustering::MEASURE, clustering_time::MEASURE];

/// The entry of a measure.
#[must_use]
pub fn find(kind: MeasureKind) -> &'static MeasureEntry {
    match kind {
        MeasureKind::Clustering => &clustering::MEASURE,
        MeasureKind::ClusteringTime => &clustering_time::MEASURE,
    }
}

impl MeasureEntry {
    /// Measures.
    ///
    /// # Errors
    /// There are no images, or they do not fit the clustering.
    pub fn measure(&self, job: &MeasureJob<'_>) -> Result<Values, MeasureError> {
        use crate::data::images::Images;
        if job.images.is_empty() {
            return Err(MeasureError::NoImages);
        }
        (self.run)(job)
    }

    /// Names of its quantities.
    #[must_use]
    pub fn quantity_names(&self) -> Vec<&'static str> {
        self.quantities.iter().map(|q| q.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn entries_are_complete_and_named_as_in_manifests() {
        let mut names = BTreeSet::new();
        for entry in MEASURES {
            assert!(names.insert(entry.name));
            assert!(!entry.doc.is_empty() && !entry.reference.is_empty());
            assert!(!entry.parts.is_empty() && !entry.quantities.is_empty());
            assert_eq!(find(entry.kind).name, entry.name);
            let written = toml::Value::try_from(entry.kind).unwrap();
            assert_eq!(written.as_str(), Some(entry.name));
        }
    }
}
