//! Slices of prepared cases as numbered images.

use std::sync::Arc;

use super::error::PrepareError;
use super::reader::PreparedCase;
use crate::data::case::Region;
use crate::data::images::Images;
use crate::options::SliceUse;

/// A selection of slices of several cases, in the order of the cases and of z.
#[derive(Clone, Debug)]
pub struct SliceSet {
    cases: Vec<Arc<PreparedCase>>,
    regions: Vec<[bool; 256]>,
    entries: Vec<(usize, usize)>,
    shape: [usize; 3],
}

impl SliceSet {
    /// Takes the slices of `cases` that `slices` asks for (`metrics-and-data.md` section 9), at most
    /// `per_case` of each, evenly spaced (0 is no limit).
    ///
    /// A slice has a lesion where a pixel belongs to one of `regions`; it is empty where less than
    /// `min_nonzero` of its pixels are foreground.
    ///
    /// # Errors
    /// The cases have different channels or sizes.
    pub fn new(
        cases: Vec<Arc<PreparedCase>>,
        slices: SliceUse,
        min_nonzero: f64,
        per_case: usize,
        regions: &[Region],
    ) -> Result<Self, PrepareError> {
        let regions: Vec<[bool; 256]> = regions
            .iter()
            .map(|region| {
                let mut set = [false; 256];
                for &value in &region.labels {
                    set[usize::from(value)] = true;
                }
                set
            })
            .collect();
        let lesion = |v: u8| v != 0 && regions.iter().any(|set| set[usize::from(v)]);
        let mut shape = [0; 3];
        let mut entries = Vec::new();
        for (i, case) in cases.iter().enumerate() {
            let [channels, count, height, width] = case.shape();
            let own = [channels, height, width];
            if i == 0 {
                shape = own;
            } else if own != shape || case.meta().modalities != cases[0].meta().modalities {
                return Err(PrepareError::Shape(format!(
                    "slices of {} ({:?}, {own:?}) and of {} ({:?}, {shape:?}) are no one set",
                    case.meta().id,
                    case.meta().modalities,
                    cases[0].meta().id,
                    cases[0].meta().modalities
                )));
            }
            let taken: Vec<usize> = (0..count)
                .filter(|&z| match slices {
                    SliceUse::All => true,
                    SliceUse::Nonempty => f64::from(case.nonzero(z)) >= min_nonzero,
                    SliceUse::Lesion => case.label_pixels(z, lesion) > 0,
                })
                .collect();
            entries.extend(evenly(&taken, per_case).map(|z| (i, z)));
        }
        Ok(Self {
            cases,
            regions,
            entries,
            shape,
        })
    }

    /// Case of image `index` (place in the list given) and its z; `None` beyond the last one.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<(usize, usize)> {
        self.entries.get(index).copied()
    }

    /// The cases, in the order given.
    #[must_use]
    pub fn cases(&self) -> &[Arc<PreparedCase>] {
        &self.cases
    }

    /// Name of image `index`, `<case>_<z:03>`; empty beyond the last one.
    #[must_use]
    pub fn name(&self, index: usize) -> String {
        self.place(index)
            .map(|(case, z)| format!("{}_{z:03}", self.cases[case].meta().id))
            .unwrap_or_default()
    }
}

/// At most `limit` of `items`, from the middles of equal parts.
fn evenly(items: &[usize], limit: usize) -> impl Iterator<Item = usize> {
    let n = items.len();
    let k = if limit == 0 { n } else { n.min(limit) };
    (0..k).map(move |i| items[(2 * i + 1) * n / (2 * k)])
}

/// Identity of a slice, whatever set it is in.
fn identity(case: &str, z: usize) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(case.len() as u64).to_le_bytes());
    hasher.update(case.as_bytes());
    hasher.update(&(z as u64).to_le_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

impl Images for SliceSet {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn id(&self, index: usize) -> u64 {
        let (case, z) = self.entries[index];
        identity(&self.cases[case].meta().id, z)
    }

    fn image(&self, index: usize, out: &mut [f32]) {
        let (case, z) = self.entries[index];
        let pixels = self.shape[1] * self.shape[2];
        for (channel, plane) in out.chunks_exact_mut(pixels).enumerate() {
            let written = self.cases[case].image(channel, z, plane);
            debug_assert!(written, "the set was checked when it was made");
        }
    }

    fn volume(&self, index: usize) -> usize {
        self.entries[index].0
    }

    fn regions(&self) -> usize {
        self.regions.len()
    }

    fn masks(&self, index: usize, out: &mut [f32]) {
        let (case, z) = self.entries[index];
        let Some(label) = self.cases[case].label(z) else {
            out.fill(0.0);
            return;
        };
        for (plane, set) in out.chunks_exact_mut(label.len()).zip(&self.regions) {
            for (value, &v) in plane.iter_mut().zip(label) {
                *value = f32::from(u8::from(set[usize::from(v)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced_and_all_different() {
        let items: Vec<usize> = (0..10).collect();
        assert_eq!(evenly(&items, 0).collect::<Vec<_>>(), items);
        assert_eq!(evenly(&items, 20).collect::<Vec<_>>(), items);
        assert_eq!(evenly(&items, 1).collect::<Vec<_>>(), [5]);
        assert_eq!(evenly(&items, 3).collect::<Vec<_>>(), [1, 5, 8]);
        assert_eq!(evenly(&[], 3).count(), 0);
    }

    #[test]
    fn identities_do_not_collide_by_concatenation() {
        assert_ne!(identity("a", 1), identity("a", 2));
        assert_ne!(identity("a", 1), identity("b", 1));
        assert_eq!(identity("a", 1), identity("a", 1));
    }
}
