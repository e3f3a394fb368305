//! Clipping and z-score of one volume.

use super::{clip, zscore};
use crate::data::case::ModalityKind;
use crate::options::{ClipOptions, ZscoreOptions};
use crate::wide::wide;

/// Clips to percentiles, then subtracts the mean and divides by the standard deviation, in place.
///
/// Voxels that are 0 before clipping are background where a mask of non-zero voxels is asked for:
/// they take no part and stay 0 (`metrics-and-data.md` section 8). Values must be finite.
pub fn normalise(
    values: &mut [f32],
    kind: ModalityKind,
    clip: &ClipOptions,
    zscore: &ZscoreOptions,
) {
    let mut nonzero = Vec::new();
    if Scaling::asks_for_nonzero(kind, clip, zscore) {
        clip::keep_nonzero(values, &mut nonzero);
    }
    let scaling = Scaling::of(values, &nonzero, kind, clip, zscore);
    let raw = values.to_vec();
    scaling.apply(&raw, values);
}

/// How the values of one volume are normalised, so that a part of it can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaling {
    /// Clip window; all numbers where nothing is clipped.
    bounds: (f32, f32),
    /// Whether 0 is clipped too.
    clips_zero: bool,
    /// Mean and standard deviation, where there are any.
    moments: Option<(f64, f64)>,
    /// Whether 0 is a value like others, or background that stays 0.
    scores_zero: bool,
}

impl Scaling {
    /// Whether [`Scaling::of`] wants to know the values that are not 0.
    pub(super) fn asks_for_nonzero(
        kind: ModalityKind,
        clip: &ClipOptions,
        zscore: &ZscoreOptions,
    ) -> bool {
        (clip.enabled && clip::nonzero_only(clip.base, kind))
            || (zscore.enabled && zscore::nonzero_only(zscore.mask, kind))
    }

    /// Whether [`Scaling::of`] wants to know all values.
    pub(super) fn asks_for_all(
        kind: ModalityKind,
        clip: &ClipOptions,
        zscore: &ZscoreOptions,
    ) -> bool {
        (clip.enabled && !clip::nonzero_only(clip.base, kind))
            || (zscore.enabled && !zscore::nonzero_only(zscore.mask, kind))
    }

    /// For `values`, of which `nonzero` are those that are not 0, where they are asked for.
    pub(super) fn of(
        values: &[f32],
        nonzero: &[f32],
        kind: ModalityKind,
        clip: &ClipOptions,
        zscore: &ZscoreOptions,
    ) -> Self {
        let clip_nonzero = clip::nonzero_only(clip.base, kind);
        let score_nonzero = zscore::nonzero_only(zscore.mask, kind);
        let part = |only: bool| if only { nonzero } else { values };
        let bounds = if clip.enabled {
            clip::bounds(part(clip_nonzero), clip)
        } else {
            None
        };
        let mut scaling = Self {
            bounds: bounds.map_or((f32::NEG_INFINITY, f32::INFINITY), |(low, high)| {
                (low as f32, high as f32)
            }),
            clips_zero: !clip_nonzero,
            moments: None,
            scores_zero: !score_nonzero,
        };
        if zscore.enabled {
            let clip = |from: &[f32], to: &mut [f32]| clip_all(from, to, &scaling);
            scaling.moments = zscore::moments_of(part(score_nonzero), clip)
                .map(|(mean, std)| (mean, std.max(zscore::STD_FLOOR)));
        }
        scaling
    }

    #[inline(always)]
    fn clip(&self, v: f32) -> f32 {
        if self.clips_zero | (v != 0.0) {
            v.max(self.bounds.0).min(self.bounds.1)
        } else {
            v
        }
    }

    /// Normalises the values of `from` into `to`.
    pub(super) fn apply(&self, from: &[f32], to: &mut [f32]) {
        match self.moments {
            Some(moments) => score(from, to, self, moments),
            None => clip_all(from, to, self),
        }
    }
}

wide! {
    fn score(from: &[f32], to: &mut [f32], scaling: &Scaling, moments: (f64, f64)) {
        let (mean, std) = moments;
        for (&v, to) in from.iter().zip(to) {
            let scored = ((f64::from(scaling.clip(v)) - mean) / std) as f32;
            *to = if scaling.scores_zero | (v != 0.0) { scored } else { 0.0 };
        }
    }

    fn clip_all(from: &[f32], to: &mut [f32], scaling: &Scaling) {
        for (&v, to) in from.iter().zip(to) {
            *to = scaling.clip(v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{ClipBase, ZscoreMask};

    const A: [f32; 10] = [0.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 100.0, 4.0];

    fn run(base: ClipBase) -> Vec<f32> {
        let mut values = A.to_vec();
        let clip = ClipOptions {
            base,
            ..ClipOptions::default()
        };
        let zscore = ZscoreOptions {
            mask: ZscoreMask::Nonzero,
            ..ZscoreOptions::default()
        };
        normalise(&mut values, ModalityKind::Mr, &clip, &zscore);
        values
    }

    fn close(values: &[f32], expected: &[f64]) {
        for (v, e) in values.iter().zip(expected) {
            assert!((f64::from(*v) - e).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn spec_section_8_base_all() {
        close(
            &run(ClipBase::All),
            &[
                0.0, 0.0, -0.448_201, -0.412_665, -0.377_128, -0.341_592, -0.306_056, -0.270_520,
                2.639_898, -0.483_737,
            ],
        );
        let clipped = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 91.9, 4.0];
        let (mean, std) = moments_of(&clipped);
        assert!((mean - 17.6125).abs() < 1e-6 && (std - 28.140_293).abs() < 1e-6);
    }

    #[test]
    fn spec_section_8_base_nonzero() {
        close(
            &run(ClipBase::Nonzero),
            &[
                0.0, 0.0, -0.447_136, -0.412_329, -0.377_522, -0.342_716, -0.307_909, -0.273_102,
                2.640_219, -0.479_506,
            ],
        );
        let clipped = [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 93.7, 4.07];
        let (mean, std) = moments_of(&clipped);
        assert!((mean - 17.846_25).abs() < 1e-6 && (std - 28.730_093).abs() < 1e-6);
    }

    fn moments_of(values: &[f64]) -> (f64, f64) {
        zscore::moments(values.iter().copied()).expect("values")
    }

    #[test]
    fn constant_and_empty_volumes_stay_finite() {
        for values in [vec![7.0; 5], vec![0.0; 5], Vec::new()] {
            for kind in [ModalityKind::Mr, ModalityKind::Ct, ModalityKind::Pet] {
                let mut v = values.clone();
                normalise(
                    &mut v,
                    kind,
                    &ClipOptions::default(),
                    &ZscoreOptions::default(),
                );
                assert!(v.iter().all(|&x| x == 0.0), "{v:?}");
            }
        }
    }

    #[test]
    fn ct_takes_the_whole_box() {
        let mut v = vec![-1.0, 0.0, 1.0];
        let clip = ClipOptions {
            enabled: false,
            ..ClipOptions::default()
        };
        normalise(&mut v, ModalityKind::Ct, &clip, &ZscoreOptions::default());
        close(&v, &[-1.5_f64.sqrt(), 0.0, 1.5_f64.sqrt()]);
    }
}
