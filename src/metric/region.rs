//! Regions: which label values are scored together (`metrics-and-data.md` section 5).

use crate::data::case::Region;

use super::MetricError;

/// Regions that a command line can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionPreset {
    /// BraTS to 2020: labels 1 necrotic core, 2 oedema, 4 enhancing.
    Brats,
    /// BraTS from 2023: enhancing is 3.
    Brats2023,
}

impl RegionPreset {
    /// All presets with their names.
    pub const ALL: [(&'static str, Self); 2] =
        [("brats", Self::Brats), ("brats2023", Self::Brats2023)];

    /// The preset of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }

    /// Its regions: whole tumour, tumour core, enhancing tumour.
    #[must_use]
    pub fn regions(self) -> Vec<Region> {
        let enhancing = match self {
            Self::Brats => 4,
            Self::Brats2023 => 3,
        };
        let region = |name: &str, labels: &[u8]| Region {
            name: name.to_owned(),
            labels: labels.to_vec(),
        };
        vec![
            region("WT", &[1, 2, enhancing]),
            region("TC", &[1, enhancing]),
            region("ET", &[enhancing]),
        ]
    }

    /// Refuses labels that this data set does not have, so that a file in another coding is not
    /// scored as if nothing enhanced.
    ///
    /// # Errors
    /// Names the first strange label.
    pub fn check(self, what: &'static str, labels: &[u8]) -> Result<(), MetricError> {
        let regions = self.regions();
        let known = |label: u8| label == 0 || regions[0].labels.contains(&label);
        match present(labels).find(|&l| !known(l)) {
            None => Ok(()),
            Some(label) => {
                let mut expected = regions[0].labels.clone();
                expected.insert(0, 0);
                Err(MetricError::Label {
                    what,
                    label,
                    expected,
                })
            }
        }
    }
}

/// Regions of BraTS 2018: WT = {1, 2, 4}, TC = {1, 4}, ET = {4}.
#[must_use]
pub fn brats_regions() -> Vec<Region> {
    RegionPreset::Brats.regions()
}

/// One region for each label above 0 that occurs in either volume, named by it.
#[must_use]
pub fn label_regions(prediction: &[u8], reference: &[u8]) -> Vec<Region> {
    let mut labels: Vec<u8> = present(prediction).chain(present(reference)).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
        .into_iter()
        .filter(|&l| l > 0)
        .map(|l| Region {
            name: l.to_string(),
            labels: vec![l],
        })
        .collect()
}

/// Label values that occur, ascending.
fn present(labels: &[u8]) -> impl Iterator<Item = u8> {
    let mut seen = [false; 256];
    for &label in labels {
        seen[usize::from(label)] = true;
    }
    (0..=u8::MAX).filter(move |&l| seen[usize::from(l)])
}

/// Look-up table of a region.
pub(super) fn membership(region: &Region) -> [bool; 256] {
    let mut member = [false; 256];
    for &label in &region.labels {
        member[usize::from(label)] = true;
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brats_coding_is_guarded() {
        assert!(
            RegionPreset::Brats
                .check("reference", &[0, 1, 2, 4])
                .is_ok()
        );
        let error = RegionPreset::Brats.check("reference", &[0, 3]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reference holds label 3, expected one of [0, 1, 2, 4]"
        );
        assert!(RegionPreset::Brats2023.check("prediction", &[3]).is_ok());
        assert_eq!(RegionPreset::named("brats"), Some(RegionPreset::Brats));
        assert_eq!(RegionPreset::named("abd"), None);
    }

    #[test]
    fn labels_of_either_volume() {
        let names: Vec<String> = label_regions(&[0, 9, 2], &[2, 1])
            .into_iter()
            .map(|r| r.name)
            .collect();
        assert_eq!(names, ["1", "2", "9"]);
    }
}
