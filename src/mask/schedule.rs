//! Adjustable masking ratio (AMR): how many patches are masked in an epoch.

use crate::options::{AmrOptions, Tau};

/// Added before rounding down, so that a slope typed with few decimals still masks
/// `sigma_max * N` patches in the last epoch; it changes no other epoch.
const GUARD: f64 = 1e-4;

/// Slope `tau` of equation 5 for a run of `epochs`: as typed, or `ln(E) / (sigma_max - sigma0)`.
///
/// Infinite (a constant ratio) where the ratio does not rise or there is a single epoch.
#[must_use]
pub fn tau(epochs: usize, options: &AmrOptions) -> f64 {
    match options.tau {
        Tau::Value(tau) => tau,
        Tau::Auto => {
            let rise = options.sigma_max - options.sigma0;
            if epochs <= 1 || rise <= 0.0 {
                f64::INFINITY
            } else {
                (epochs as f64).ln() / rise
            }
        }
    }
}

/// Share of patches masked in `epoch`, counted from 1 (equation 5: `sigma0 + ln(e) / tau`, at most
/// `sigma_max`); the fixed ratio where the schedule is off. Epoch 0 counts as epoch 1.
#[must_use]
pub fn ratio(epoch: usize, epochs: usize, options: &AmrOptions) -> f64 {
    if !options.enabled {
        return options.fixed;
    }
    let rise = (epoch.max(1) as f64).ln() / tau(epochs, options);
    (options.sigma0 + rise).min(options.sigma_max)
}

/// Number of masked patches of every image in `epoch`, counted from 1: the ratio times `patches`,
/// rounded down.
///
/// At least one patch is masked and, where there are two or more, at least one stays visible.
#[must_use]
pub fn masked_count(epoch: usize, epochs: usize, patches: usize, options: &AmrOptions) -> usize {
    let wanted = (patches as f64 * ratio(epoch, epochs, options) + GUARD).floor();
    // A float converts saturating, so a ratio outside of [0, 1] still ends inside the bounds.
    let upper = patches.saturating_sub(1).max(1).min(patches);
    (wanted as usize).clamp(1.min(patches), upper)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Vector N1: epoch, ratio, masked patches of 81, of 100.
    const N1: [(usize, f64, usize, usize); 16] = [
        (1, 0.250000, 20, 25),
        (2, 0.307031, 24, 30),
        (3, 0.340392, 27, 34),
        (5, 0.382422, 30, 38),
        (10, 0.439453, 35, 43),
        (20, 0.496484, 40, 49),
        (28, 0.524169, 42, 52),
        (50, 0.571875, 46, 57),
        (100, 0.628907, 50, 62),
        (200, 0.685938, 55, 68),
        (400, 0.742969, 60, 74),
        (435, 0.749871, 60, 74),
        (436, 0.750059, 60, 75),
        (600, 0.776330, 62, 77),
        (799, 0.799897, 64, 79),
        (800, 0.800000, 64, 80),
    ];

    #[test]
    fn spec_vectors_n1() {
        let o = AmrOptions::default();
        for (epoch, sigma, of_81, of_100) in N1 {
            assert!(
                (ratio(epoch, 800, &o) - sigma).abs() < 5e-7,
                "epoch {epoch}"
            );
            assert_eq!(masked_count(epoch, 800, 81, &o), of_81, "epoch {epoch}");
            assert_eq!(masked_count(epoch, 800, 100, &o), of_100, "epoch {epoch}");
        }
    }

    #[test]
    fn n1_distinct_counts_and_their_first_epochs() {
        let o = AmrOptions::default();
        let mut first = Vec::new();
        for epoch in 1..=800 {
            let n = masked_count(epoch, 800, 81, &o);
            if first.last().is_none_or(|&(_, last)| last != n) {
                first.push((epoch, n));
            }
        }
        assert_eq!(first.len(), 38);
        assert_eq!(
            first[..9],
            [
                (1, 20),
                (2, 24),
                (3, 27),
                (4, 29),
                (5, 30),
                (6, 32),
                (7, 33),
                (8, 34),
                (10, 35)
            ]
        );
    }

    #[test]
    fn tau_of_the_run_lengths_of_figure_7() {
        let o = AmrOptions::default();
        for (epochs, expected) in [
            (800, 12.153840),
            (400, 10.893572),
            (1200, 12.891049),
            (1600, 13.414107),
        ] {
            assert!((tau(epochs, &o) - expected).abs() < 5e-7);
        }
        for (sigma0, expected) in [(0.15, 10.284018), (0.10, 9.549445)] {
            let o = AmrOptions {
                sigma0,
                ..AmrOptions::default()
            };
            assert!((tau(800, &o) - expected).abs() < 5e-7);
        }
    }

    #[test]
    fn guard_repairs_the_rounded_slope_and_nothing_else() {
        let typed = AmrOptions {
            tau: Tau::Value(12.153_840),
            ..AmrOptions::default()
        };
        // Without the guard the last epoch would mask 79 of 100.
        assert_eq!((100.0 * ratio(800, 800, &typed)).floor() as usize, 79);
        assert_eq!(masked_count(800, 800, 100, &typed), 80);
        let auto = AmrOptions::default();
        for patches in [25, 81, 100, 324, 400, 512] {
            for epoch in 1..800 {
                let bare = (patches as f64 * ratio(epoch, 800, &auto)).floor() as usize;
                assert_eq!(masked_count(epoch, 800, patches, &auto), bare);
            }
        }
    }

    #[test]
    fn fixed_ratio_when_off() {
        let o = AmrOptions {
            enabled: false,
            ..AmrOptions::default()
        };
        for epoch in [1, 400, 800] {
            assert_eq!(masked_count(epoch, 800, 100, &o), 75);
            assert_eq!(masked_count(epoch, 800, 81, &o), 60);
        }
    }

    #[test]
    fn short_runs_and_tiny_grids_stay_inside_the_bounds() {
        let o = AmrOptions::default();
        assert_eq!(ratio(1, 1, &o), 0.25);
        assert_eq!(masked_count(1, 1, 100, &o), 25);
        assert_eq!(masked_count(0, 800, 100, &o), 25);
        assert_eq!(masked_count(1, 800, 0, &o), 0);
        assert_eq!(masked_count(1, 800, 1, &o), 1);
        assert_eq!(masked_count(1, 800, 2, &o), 1);
        let all = AmrOptions {
            enabled: false,
            fixed: 1.0,
            ..AmrOptions::default()
        };
        assert_eq!(masked_count(1, 800, 4, &all), 3);
    }

    proptest! {
        #[test]
        fn counts_never_fall_and_never_pass_the_maximum(
            epochs in 1usize..2000, patches in 1usize..600, sigma0 in 0.0f64..0.5
        ) {
            let o = AmrOptions { sigma0, ..AmrOptions::default() };
            let mut last = 0;
            for epoch in 1..=epochs {
                let n = masked_count(epoch, epochs, patches, &o);
                prop_assert!(n >= last);
                prop_assert!(n <= ((0.8 * patches as f64 + GUARD).floor() as usize).max(1));
                last = n;
            }
        }
    }
}
