//! The learning rate as a pure function of the epoch (`methods/masked.md` section 1.7).

use crate::options::{LrDecay, OptimiserOptions};

/// Learning rate at `epoch`, a fraction counted from 0, of a run of `epochs`.
///
/// Linear from 0 over the warm-up, then half a cosine to `min_lr` (or constant). At most half of the
/// run is warm-up, so that short runs train at all.
#[must_use]
pub fn learning_rate(epoch: f64, epochs: usize, options: &OptimiserOptions) -> f64 {
    let total = epochs as f64;
    let warmup = options.warmup_epochs.clamp(0.0, total / 2.0);
    if epoch < warmup {
        return options.lr * epoch / warmup;
    }
    match options.decay {
        LrDecay::Constant => options.lr,
        LrDecay::Cosine => {
            let progress = ((epoch - warmup) / (total - warmup).max(f64::MIN_POSITIVE)).min(1.0);
            let wave = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
            options.min_lr + (options.lr - options.min_lr) * wave
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_vectors_n12() {
        let options = OptimiserOptions::pretraining();
        for (epoch, expected) in [
            (20.0, 5.000_000e-5),
            (40.0, 1.000_000e-4),
            (100.0, 9.847_001e-5),
            (420.0, 5.000_000e-5),
        ] {
            let lr = learning_rate(epoch, 800, &options);
            assert!((lr - expected).abs() < 5e-12, "epoch {epoch}: {lr}");
        }
        assert_eq!(learning_rate(0.0, 800, &options), 0.0);
        assert!(learning_rate(800.0, 800, &options).abs() < 1e-20);
    }

    #[test]
    fn short_runs_warm_up_for_half_of_their_epochs_at_most() {
        let options = OptimiserOptions::pretraining();
        assert_eq!(learning_rate(1.0, 4, &options), 0.5e-4);
        assert_eq!(learning_rate(2.0, 4, &options), 1e-4);
        let constant = OptimiserOptions {
            decay: LrDecay::Constant,
            warmup_epochs: 0.0,
            ..options
        };
        assert_eq!(learning_rate(0.0, 1, &constant), 1e-4);
        assert_eq!(learning_rate(0.9, 1, &constant), 1e-4);
    }
}
