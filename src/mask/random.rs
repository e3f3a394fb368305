//! Random masks: which patches a method that draws them blindly hides (`methods/masked.md` sections
//! 1.5, 3.1 and 3.2).

use crate::random::Stream;

/// Patches in the order of their noise, smallest first; equal noise keeps the order of the patches.
/// MAE calls this `ids_shuffle`; its first entries stay visible.
#[must_use]
pub fn order_by_noise(noise: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..noise.len()).collect();
    order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
    order
}

/// `masked` of `patches` patches by uniform noise, in ascending order.
#[must_use]
pub fn random_mask(patches: usize, masked: usize, stream: &mut Stream) -> Vec<usize> {
    let noise: Vec<f64> = (0..patches).map(|_| stream.uniform()).collect();
    let mut hidden = order_by_noise(&noise).split_off(patches - masked.min(patches));
    hidden.sort_unstable();
    hidden
}

/// How a share of the patches becomes a number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The visible share is rounded down: MAE keeps `int(N (1 - ratio))`.
    KeepDown,
    /// The masked share is rounded up: SimMIM.
    Up,
    /// The masked share is rounded to the nearest: MaskFeat, BEiT v2.
    Nearest,
}

/// Number of masked patches of `patches` at `ratio`; at least one is masked and, where there are
/// two or more, at least one stays visible.
#[must_use]
pub fn count_masked(patches: usize, ratio: f64, rounding: Rounding) -> usize {
    let n = patches as f64;
    let masked = match rounding {
        Rounding::KeepDown => n - (n * (1.0 - ratio)).floor(),
        Rounding::Up => (n * ratio).ceil(),
        Rounding::Nearest => (n * ratio).round(),
    };
    let most = patches.saturating_sub(1).max(1).min(patches);
    (masked as usize).clamp(1.min(patches), most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const NOISE: [f64; 9] = [0.52, 0.13, 0.87, 0.34, 0.05, 0.71, 0.29, 0.96, 0.44];

    #[test]
    fn spec_vectors_n8() {
        let shuffle = order_by_noise(&NOISE);
        assert_eq!(shuffle, [4, 1, 6, 3, 8, 0, 5, 2, 7]);
        let mut restore = [0; 9];
        for (at, &patch) in shuffle.iter().enumerate() {
            restore[patch] = at;
        }
        assert_eq!(restore, [5, 1, 7, 3, 0, 6, 2, 8, 4]);
        for (ratio, keep, mask) in [
            (0.75, 2, [1, 0, 1, 1, 0, 1, 1, 1, 1]),
            (0.50, 4, [1, 0, 1, 0, 0, 1, 0, 1, 1]),
            (0.25, 6, [0, 0, 1, 0, 0, 1, 0, 1, 0]),
        ] {
            assert_eq!(9 - count_masked(9, ratio, Rounding::KeepDown), keep);
            let mut of_order = [1; 9];
            for &patch in &shuffle[..keep] {
                of_order[patch] = 0;
            }
            assert_eq!(of_order, mask);
        }
        // Visible values and mask tokens, put back by `ids_restore`.
        let tokens = [40, 10, -1, -1, -1, -1, -1, -1, -1];
        let whole = restore.map(|at| tokens[at]);
        assert_eq!(whole, [-1, 10, -1, -1, 40, -1, -1, -1, -1]);
    }

    #[test]
    fn counts_of_the_methods() {
        for (ratio, rounding, of_81, of_100) in [
            (0.75, Rounding::KeepDown, 61, 75),
            (0.125, Rounding::KeepDown, 11, 13),
            (0.6, Rounding::Up, 49, 60),
            (0.4, Rounding::Nearest, 32, 40),
            (75.0 / 196.0, Rounding::Nearest, 31, 38),
        ] {
            assert_eq!(count_masked(81, ratio, rounding), of_81);
            assert_eq!(count_masked(100, ratio, rounding), of_100);
        }
        assert_eq!(count_masked(36, 0.6, Rounding::Up), 22);
        for ratio in [0.0, 1.0, 7.0, f64::NAN] {
            for patches in [0, 1, 2, 9] {
                let masked = count_masked(patches, ratio, Rounding::Up);
                assert!(masked <= patches && (masked >= 1 || patches == 0));
                assert!(patches < 2 || masked < patches);
            }
        }
    }

    #[test]
    fn masks_are_of_the_size_and_repeat() {
        let draw = |epoch| random_mask(81, 61, &mut Stream::new(Purpose::Mask, &[1, epoch, 5]));
        let mask = draw(3);
        assert_eq!(mask.len(), 61);
        assert!(mask.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(mask, draw(3));
        assert_ne!(mask, draw(4));
    }
}
