//! Patches of an image with their categories.

use std::fmt::Write as _;

/// Counts of patches by category and truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Lesion patches of the lesion category.
    pub hits: u64,
    /// Other patches of the lesion category.
    pub false_alarms: u64,
    /// Lesion patches of the background category.
    pub misses: u64,
    /// Other patches of the background category.
    pub rest: u64,
}

impl Agreement {
    /// Adds patches: `labels` are categories, `truth` is 1 where a patch holds lesion.
    pub fn add(&mut self, labels: &[u8], truth: &[u8]) {
        for (&label, &lesion) in labels.iter().zip(truth) {
            *match (label != 0, lesion != 0) {
                (true, true) => &mut self.hits,
                (true, false) => &mut self.false_alarms,
                (false, true) => &mut self.misses,
                (false, false) => &mut self.rest,
            } += 1;
        }
    }

    /// All patches.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.hits + self.false_alarms + self.misses + self.rest
    }

    /// Share of patches whose category is not the truth; `None` without patches.
    #[must_use]
    pub fn wrong(&self) -> Option<f64> {
        share(self.false_alarms + self.misses, self.total())
    }

    /// Share of the lesion category that is lesion.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// Share of lesion patches that are in the lesion category.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A grid of square patches over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Patches in a row.
    pub columns: usize,
    /// Side in pixels.
    pub side: usize,
}

impl PatchGrid {
    /// The patches for which `holds`, as one path of squares a little smaller than the patches.
    #[must_use]
    pub fn squares(&self, patches: usize, holds: impl Fn(usize) -> bool) -> String {
        let mut out = String::new();
        let inner = self.side as f64 - 0.6;
        for (x, y) in self.places(patches, holds) {
            let _ = write!(
                out,
                "M{} {}h{inner}v{inner}h-{inner}z",
                x as f64 + 0.3,
                y as f64 + 0.3
            );
        }
        out
    }

    /// Crosses in the middle of the patches for which `holds`.
    #[must_use]
    pub fn crosses(&self, patches: usize, holds: impl Fn(usize) -> bool) -> String {
        let mut out = String::new();
        let arm = self.side as f64 * 0.4;
        let gap = (self.side as f64 - arm) / 2.0;
        for (x, y) in self.places(patches, holds) {
            let (x, y) = (x as f64 + gap, y as f64 + gap);
            let _ = write!(
                out,
                "M{x:.1} {y:.1}l{arm:.1} {arm:.1}m0 -{arm:.1}l-{arm:.1} {arm:.1}"
            );
        }
        out
    }

    fn places(
        &self,
        patches: usize,
        holds: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (usize, usize)> {
        let Self { columns, side } = *self;
        (0..patches)
            .filter(move |&p| columns > 0 && holds(p))
            .map(move |p| (p % columns * side, p / columns * side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares() {
        let mut a = Agreement::default();
        a.add(&[1, 1, 0, 0, 1], &[1, 0, 1, 0, 1]);
        assert_eq!(
            (a.hits, a.false_alarms, a.misses, a.rest, a.total()),
            (2, 1, 1, 1, 5)
        );
        assert_eq!(a.wrong(), Some(0.4));
        assert_eq!(a.precision(), Some(2.0 / 3.0));
        assert_eq!(a.recall(), Some(2.0 / 3.0));
        assert_eq!(Agreement::default().wrong(), None);
    }

    #[test]
    fn squares_lie_in_their_patches() {
        let grid = PatchGrid {
            columns: 2,
            side: 4,
        };
        assert_eq!(grid.squares(4, |p| p == 3), "M4.3 4.3h3.4v3.4h-3.4z");
        assert_eq!(grid.crosses(4, |p| p == 0).matches('M').count(), 1);
        let none = PatchGrid {
            columns: 0,
            side: 4,
        };
        assert_eq!(none.squares(4, |_| true), "");
    }
}
