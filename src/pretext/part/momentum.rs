//! How fast teachers follow.

use crate::train::Moment;

/// Steps from which a run counts as long.
const LONG: usize = 100_000;
/// Momentum of a short run.
const SHORT: f64 = 0.99;

/// The `option`, or where that is 0 the published `long` one for a run of at least 100,000 steps
/// and 0.99 for a shorter one, which would end before a slower teacher had followed
/// (`methods/contrastive.md` section 11).
#[must_use]
pub fn momentum(option: f64, long: f64, at: &Moment) -> f64 {
    match option {
        0.0 if at.total() >= LONG => long,
        0.0 => SHORT,
        chosen => chosen,
    }
}

/// From `base` to 1 along half a cosine (BYOL).
#[must_use]
pub fn rising(base: f64, done: usize, total: usize) -> f64 {
    let wave = (std::f64::consts::PI * done as f64 / total.max(1) as f64).cos() + 1.0;
    1.0 - (1.0 - base) * wave / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_of_the_specification() {
        for (done, expected) in [
            (0, 0.996),
            (100, 0.996_097_887),
            (250, 0.996_585_786),
            (500, 0.998),
            (750, 0.999_414_214),
            (1000, 1.0),
        ] {
            assert!((rising(0.996, done, 1000) - expected).abs() < 1e-8);
        }
        assert!((rising(0.99, 500, 1000) - 0.995).abs() < 1e-12);
    }

    #[test]
    fn short_runs_have_fast_teachers() {
        let run = |epochs| Moment {
            epoch: 1,
            epochs,
            step: 0,
            steps: 100,
        };
        assert_eq!(momentum(0.0, 0.999, &run(10)), 0.99);
        assert_eq!(momentum(0.0, 0.999, &run(1000)), 0.999);
        assert_eq!(momentum(0.5, 0.999, &run(10)), 0.5);
    }
}
