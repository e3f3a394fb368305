//! Clipping and z-score of one volume, in place.

use super::{clip, zscore};
use crate::data::case::ModalityKind;
use crate::options::{ClipOptions, ZscoreOptions};

/// Clips to percentiles, then subtracts the mean and divides by the standard deviation.
///
/// Voxels that are 0 before clipping are background where a mask of non-zero voxels is asked for:
/// they take no part and stay 0 (`metrics-and-data.md` section 8). Values must be finite.
pub fn normalise(
    values: &mut [f32],
    kind: ModalityKind,
    clip: &ClipOptions,
    zscore: &ZscoreOptions,
) {
    let clip_nonzero = clip::nonzero_only(clip.base, kind);
    let score_nonzero = zscore::nonzero_only(zscore.mask, kind);
    let masked = (clip.enabled && clip_nonzero) || (zscore.enabled && score_nonzero);
    // Clipping may turn a value into 0, so the background is noted first.
    let inside: Vec<bool> = if masked {
        values.iter().map(|&v| v != 0.0).collect()
    } else {
        Vec::new()
    };
    if clip.enabled
        && let Some((low, high)) = clip::clip_bounds(values, kind, clip)
    {
        let (low, high) = (low as f32, high as f32);
        for (i, v) in values.iter_mut().enumerate() {
            if !clip_nonzero || inside[i] {
                *v = v.max(low).min(high);
            }
        }
    }
    if !zscore.enabled {
        return;
    }
    let moments = if score_nonzero {
        zscore::moments(
            values
                .iter()
                .zip(&inside)
                .filter(|(_, inside)| **inside)
                .map(|(&v, _)| v),
        )
    } else {
        zscore::moments(values.iter().copied())
    };
    let Some((mean, std)) = moments else { return };
    let std = std.max(zscore::STD_FLOOR);
    for (i, v) in values.iter_mut().enumerate() {
        *v = if !score_nonzero || inside[i] {
            ((f64::from(*v) - mean) / std) as f32
        } else {
            0.0
        };
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
