//! Masks made of blocks, as BEiT draws them (`methods/masked.md` section 1.5): MaskFeat, BEiT v2 and
//! BootMAE, which differ in how they end.

use crate::random::Stream;

/// Logarithm of the most elongated block's aspect ratio: 0.3 to 1 / 0.3.
const LOG_ASPECT: f64 = 1.203_972_804_325_936;
/// Tries for one block.
const TRIES: usize = 10;
/// Tries in all of [`Ending::Persistent`], so that it ends for any grid.
const MOST_TRIES: usize = 10_000;

/// What happens where no further block fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The mask stays short of its target: MaskFeat.
    Short,
    /// Single patches are masked at random up to the target: BEiT v2.
    Exact,
    /// Further tries, until the target is reached: BootMAE.
    Persistent,
}

/// How masks of blocks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Patches to mask.
    pub target: usize,
    /// Least area of a block, as long as so much is left to mask.
    pub min: usize,
    /// Most new patches of a block.
    pub max: usize,
    /// What happens at the end.
    pub ending: Ending,
}

impl Blocks {
    /// Masked patches of a grid of `rows x cols`, in ascending order.
    #[must_use]
    pub fn draw(&self, rows: usize, cols: usize, stream: &mut Stream) -> Vec<usize> {
        let patches = rows * cols;
        let target = self.target.min(patches);
        let mut mask = vec![false; patches];
        let mut count = 0;
        let mut tries = 0;
        while count < target {
            let added = (0..TRIES).find_map(|_| {
                let cap = (target - count).min(self.max);
                self.block(rows, cols, cap, &mut mask, stream)
            });
            tries += TRIES;
            match added {
                Some(new) => count += new,
                None if self.ending == Ending::Persistent && tries < MOST_TRIES => {}
                None => break,
            }
        }
        if self.ending != Ending::Short && count < target {
            let mut rest: Vec<usize> = (0..patches).filter(|&p| !mask[p]).collect();
            stream.shuffle(&mut rest);
            for &patch in &rest[..target - count] {
                mask[patch] = true;
            }
        }
        (0..patches).filter(|&p| mask[p]).collect()
    }

    /// Tries one block; returns how many patches it masked anew, at most `cap`.
    fn block(
        &self,
        rows: usize,
        cols: usize,
        cap: usize,
        mask: &mut [bool],
        stream: &mut Stream,
    ) -> Option<usize> {
        // With less left than a block's least area the interval is reversed, as in the source.
        let area = stream.range(self.min as f64, cap as f64);
        let aspect = stream.range(-LOG_ASPECT, LOG_ASPECT).exp();
        let height = (area * aspect).sqrt().round() as usize;
        let width = (area / aspect).sqrt().round() as usize;
        if height >= rows || width >= cols {
            return None;
        }
        let top = stream.below(rows - height + 1);
        let left = stream.below(cols - width + 1);
        let inside = || {
            (top..top + height).flat_map(move |y| (left..left + width).map(move |x| y * cols + x))
        };
        let new = inside().filter(|&p| !mask[p]).count();
        if new == 0 || new > cap {
            return None;
        }
        for patch in inside() {
            mask[patch] = true;
        }
        Some(new)
    }
}

/// The mask of BootMAE: all of `blocks` and random patches up to `masked`, after which up to three
/// masked patches change places with visible ones. Ascending, always `masked` of them.
///
/// Source: `mask_to_index` of BootMAE; visible patches first, the last `masked` of the list are
/// masked, then the list is rolled by 0 to 3.
#[must_use]
pub fn rolled(patches: usize, blocks: &[usize], masked: usize, stream: &mut Stream) -> Vec<usize> {
    let mut visible: Vec<usize> = (0..patches).filter(|p| !blocks.contains(p)).collect();
    let mut hidden = blocks.to_vec();
    stream.shuffle(&mut visible);
    stream.shuffle(&mut hidden);
    visible.extend(hidden);
    if !visible.is_empty() {
        let by = stream.below(4) % patches;
        visible.rotate_right(by);
    }
    let mut last = visible.split_off(patches - masked.min(patches));
    last.sort_unstable();
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn draw(blocks: Blocks, side: usize, seed: u64) -> Vec<usize> {
        blocks.draw(side, side, &mut Stream::new(Purpose::Mask, &[seed]))
    }

    #[test]
    fn beit_masks_have_the_exact_count() {
        for (side, target, min) in [(9, 31, 7), (10, 38, 8), (14, 75, 16), (2, 2, 1), (1, 1, 1)] {
            let blocks = Blocks {
                target,
                min,
                max: target,
                ending: Ending::Exact,
            };
            for seed in 0..300 {
                let mask = draw(blocks, side, seed);
                assert_eq!(mask.len(), target, "{side} {seed}");
                assert!(mask.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }

    #[test]
    fn maskfeat_masks_never_exceed_the_count_and_are_mostly_blocks() {
        let mut short = 0;
        for (side, target) in [(9, 32), (10, 40), (14, 78)] {
            let blocks = Blocks {
                target,
                min: target / 5,
                max: target,
                ending: Ending::Short,
            };
            let mut neighbours = 0;
            let mut masked = 0;
            for seed in 0..300 {
                let mask = draw(blocks, side, seed);
                assert!(!mask.is_empty() && mask.len() <= target);
                short += usize::from(mask.len() < target);
                masked += mask.len();
                let right = |p: &&usize| **p % side + 1 < side && mask.contains(&(**p + 1));
                neighbours += mask.iter().filter(right).count();
            }
            // A random mask of 40 % has a masked right neighbour for a third of its patches.
            assert!(neighbours as f64 > 0.5 * masked as f64, "{side}");
        }
        assert!(short > 0, "the count can be short");
    }

    #[test]
    fn bootmae_masks_hold_blocks_and_have_the_exact_count() {
        for (side, target, min, max, masked) in [(9, 50, 7, 25, 61), (10, 61, 8, 31, 75)] {
            let blocks = Blocks {
                target,
                min,
                max,
                ending: Ending::Persistent,
            };
            for seed in 0..100 {
                let mut stream = Stream::new(Purpose::Mask, &[seed]);
                let part = blocks.draw(side, side, &mut stream);
                assert_eq!(part.len(), target);
                let mask = rolled(side * side, &part, masked, &mut stream);
                assert_eq!(mask.len(), masked);
                let lost = part.iter().filter(|p| !mask.contains(p)).count();
                assert!(lost <= 3, "{lost}");
            }
        }
    }
}
