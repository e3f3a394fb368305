//! Percentiles and clipping (`metrics-and-data.md` section 8).

use super::error::PrepareError;
use crate::data::case::ModalityKind;
use crate::options::{ClipBase, ClipOptions};

/// Whether only voxels that are not 0 take part, for this physics.
pub(super) fn nonzero_only(base: ClipBase, kind: ModalityKind) -> bool {
    match base {
        ClipBase::Auto => kind == ModalityKind::Mr,
        ClipBase::Nonzero => true,
        ClipBase::All => false,
    }
}

/// Percentile `q` (0 to 100) by linear interpolation at index `(n - 1) q / 100`, as numpy does;
/// reorders `values`. `None` where there are none.
#[must_use]
pub fn percentile(values: &mut [f32], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = last as f64 * q.clamp(0.0, 100.0) / 100.0;
    let index = (place.floor() as usize).min(last);
    let (_, &mut low, above) = values.select_nth_unstable_by(index, f32::total_cmp);
    let low = f64::from(low);
    let t = place - index as f64;
    if t == 0.0 {
        return Some(low);
    }
    let high = above.iter().copied().min_by(f32::total_cmp);
    Some(high.map_or(low, |h| low + (f64::from(h) - low) * t))
}

/// Clip window of a volume: the two percentiles over the voxels that `options.base` names. `None`
/// where no voxel takes part.
#[must_use]
pub fn clip_bounds(
    values: &[f32],
    kind: ModalityKind,
    options: &ClipOptions,
) -> Option<(f64, f64)> {
    let mut part: Vec<f32> = if nonzero_only(options.base, kind) {
        values.iter().copied().filter(|&v| v != 0.0).collect()
    } else {
        values.to_vec()
    };
    let low = percentile(&mut part, options.low)?;
    let high = percentile(&mut part, options.high)?;
    Some((low, high))
}

/// Refuses percentiles that are none.
pub(super) fn check(options: &ClipOptions) -> Result<(), PrepareError> {
    let percent = 0.0..=100.0;
    if !percent.contains(&options.low)
        || !percent.contains(&options.high)
        || options.low > options.high
    {
        return Err(PrepareError::option(
            "prepare.clip",
            format!(
                "low {} and high {} are no percentiles in order",
                options.low, options.high
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 10] = [0.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 100.0, 4.0];

    #[test]
    fn spec_section_8_bounds() {
        for (base, low, high) in [(ClipBase::All, 0.0, 91.9), (ClipBase::Nonzero, 4.07, 93.7)] {
            let options = ClipOptions {
                base,
                ..ClipOptions::default()
            };
            let (l, h) = clip_bounds(&A, ModalityKind::Mr, &options).expect("bounds");
            assert!((l - low).abs() < 1e-9 && (h - high).abs() < 1e-9, "{l} {h}");
        }
        let auto = ClipOptions::default();
        let mr = clip_bounds(&A, ModalityKind::Mr, &auto).expect("bounds");
        assert!((mr.0 - 4.07).abs() < 1e-9);
        for kind in [ModalityKind::Ct, ModalityKind::Pet] {
            assert_eq!(clip_bounds(&A, kind, &auto).expect("bounds").0, 0.0);
        }
    }

    #[test]
    fn ends_and_empties() {
        assert_eq!(percentile(&mut [], 50.0), None);
        assert_eq!(percentile(&mut [3.0], 99.0), Some(3.0));
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 0.0), Some(1.0));
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 100.0), Some(3.0));
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0, 4.0], 50.0), Some(2.5));
    }
}
