//! The clustering methods, one entry each; lists, schemas and documentation come from here.

use super::outcome::{Outcome, Reason};
use super::points::{DISTINCT, Points, all_within, distance};
use super::{dbscan, hierarchical, kmeans, tsne};
use crate::options::{ClusterMethod, ClusterOptions};

/// A clustering method.
#[derive(Clone, Copy, Debug)]
pub struct Clusterer {
    /// Option that selects it.
    pub method: ClusterMethod,
    /// Name in manifests.
    pub name: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Where it was published.
    pub reference: &'static str,
    pub(super) run: fn(Points<'_>, &ClusterOptions, u64, u64) -> Outcome,
}

/// All methods of Table VIII.
pub static CLUSTERERS: &[Clusterer] = &[
    kmeans::METHOD,
    hierarchical::METHOD,
    tsne::METHOD,
    dbscan::METHOD,
];

/// The entry of a method.
#[must_use]
pub fn find(method: ClusterMethod) -> &'static Clusterer {
    match method {
        ClusterMethod::Kmeans => &kmeans::METHOD,
        ClusterMethod::Hierarchical => &hierarchical::METHOD,
        ClusterMethod::Tsne => &tsne::METHOD,
        ClusterMethod::Dbscan => &dbscan::METHOD,
    }
}

impl Clusterer {
    /// Divides the patches of the image `image_id` into foreground and background: a function of
    /// its arguments alone.
    #[must_use]
    pub fn cluster(
        &self,
        patches: Points<'_>,
        options: &ClusterOptions,
        seed: u64,
        image_id: u64,
    ) -> Outcome {
        if let Some(reason) = unusable(patches) {
            return Outcome::None(reason);
        }
        match (self.run)(patches, options, seed, image_id) {
            Outcome::Labels(labels) if !(labels.contains(&0) && labels.contains(&1)) => {
                Outcome::None(Reason::OneCategory)
            }
            outcome => outcome,
        }
    }
}

/// Why no method can divide these patches.
fn unusable(patches: Points<'_>) -> Option<Reason> {
    if patches.len() < 2 {
        return Some(Reason::TooFew);
    }
    // Squared distances are summed in `f32`: bound the values so that they stay finite.
    let limit = (f32::MAX / 16.0 / patches.dim() as f32).sqrt();
    if !all_within(patches.values(), limit) {
        return Some(Reason::NotFinite);
    }
    let first = patches.row(0);
    let identical = patches.rows().all(|row| distance(first, row) <= DISTINCT);
    identical.then_some(Reason::Identical)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn entries_are_complete_and_named_as_in_manifests() {
        let mut names = BTreeSet::new();
        for entry in CLUSTERERS {
            assert!(names.insert(entry.name));
            assert!(!entry.doc.is_empty() && !entry.reference.is_empty());
            assert_eq!(find(entry.method).name, entry.name);
            let written = toml::Value::try_from(entry.method).unwrap();
            assert_eq!(written.as_str(), Some(entry.name));
        }
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn unusable_patches_have_a_reason_in_every_method() {
        let options = ClusterOptions::default();
        let mut overflow = vec![0.0f32; 50];
        overflow[7] = 1e30;
        let mut nan = vec![0.0f32; 50];
        nan[3] = f32::NAN;
        let cases: [(&[f32], Reason); 6] = [
            (&[], Reason::TooFew),
            (&[1.0; 5], Reason::TooFew),
            (&[3.5; 500], Reason::Identical),
            (&[0.0; 10], Reason::Identical),
            (&overflow, Reason::NotFinite),
            (&nan, Reason::NotFinite),
        ];
        for entry in CLUSTERERS {
            for (values, reason) in cases {
                let points = Points::new(values, 5).unwrap();
                assert_eq!(
                    entry.cluster(points, &options, 1, 2),
                    Outcome::None(reason),
                    "{}",
                    entry.name
                );
            }
        }
    }
}
