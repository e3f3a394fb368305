//! What a scan returns, and the rules that every layout shares.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::problem::{Problem, ProblemKind};
use crate::data::case::{Case, CaseIndex, ModalityKind, Region};
use crate::options::LayoutOptions;

/// A data set as found: the complete cases, and what is wrong with the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Cases with every image, the label and the bounding box that the layout asks for.
    pub index: CaseIndex,
    /// Everything that was found wrong, by path.
    pub problems: Vec<Problem>,
}

/// Collects cases and problems.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) cases: Vec<Case>,
    pub(super) problems: Vec<Problem>,
}

impl Findings {
    /// Sorts, and sets aside cases of equal name: which of them is right is not ours to guess.
    pub(super) fn finish(mut self, regions: Vec<Region>, label_values: Vec<u8>) -> Scan {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for case in &self.cases {
            *count.entry(&case.id).or_default() += 1;
        }
        let twice: BTreeSet<String> = count
            .into_iter()
            .filter(|&(_, n)| n > 1)
            .map(|(id, _)| id.to_owned())
            .collect();
        for case in self.cases.iter().filter(|case| twice.contains(&case.id)) {
            let path = case.images.values().next().map(|image| image.path.clone());
            self.problems.push(Problem::error(
                ProblemKind::DuplicateCase,
                Some(&case.id),
                path.unwrap_or_default(),
                format!(
                    "case '{}' occurs more than once; all are set aside",
                    case.id
                ),
            ));
        }
        self.cases.retain(|case| !twice.contains(&case.id));
        self.cases.sort_by(|a, b| a.id.cmp(&b.id));
        self.problems.sort();
        self.problems.dedup();
        Scan {
            index: CaseIndex {
                cases: self.cases,
                regions,
                label_values,
            },
            problems: self.problems,
        }
    }
}

/// The layout's own regions and label values, with what the options put in their place.
pub(super) fn regions_and_values(
    own: &[(&str, &[u8])],
    own_values: &[u8],
    options: &LayoutOptions,
) -> (Vec<Region>, Vec<u8>) {
    let mut values: BTreeSet<u8> = own_values.iter().copied().collect();
    values.insert(0);
    let regions = if options.regions.is_empty() {
        own.iter()
            .map(|&(name, labels)| Region {
                name: name.to_owned(),
                labels: labels.to_vec(),
            })
            .collect()
    } else {
        regions_of(&options.regions)
    };
    values.extend(regions.iter().flat_map(|r| r.labels.iter().copied()));
    (regions, values.into_iter().collect())
}

fn regions_of(table: &BTreeMap<String, Vec<u8>>) -> Vec<Region> {
    table
        .iter()
        .map(|(name, labels)| Region {
            name: name.clone(),
            labels: labels.clone(),
        })
        .collect()
}

/// Physics of a modality: the option, or what its name says.
pub(super) fn kind_of(modality: &str, options: &LayoutOptions) -> ModalityKind {
    if let Some(&kind) = options.kinds.get(modality) {
        return kind;
    }
    let upper = modality.to_ascii_uppercase();
    let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .find_map(|word| match word {
            "CT" | "CBCT" | "CECT" | "NCCT" => Some(ModalityKind::Ct),
            "PET" | "PT" | "FDG" | "SUV" => Some(ModalityKind::Pet),
            _ => None,
        })
        .unwrap_or(ModalityKind::Mr)
}
