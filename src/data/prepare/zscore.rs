//! Mean and standard deviation of a volume (`metrics-and-data.md` section 8).

use crate::data::case::ModalityKind;
use crate::options::ZscoreMask;

/// Standard deviations below this count as this.
pub(super) const STD_FLOOR: f64 = 1e-8;

/// Whether only voxels that are not 0 take part, for this physics.
pub(super) fn nonzero_only(mask: ZscoreMask, kind: ModalityKind) -> bool {
    match mask {
        ZscoreMask::Auto => kind == ModalityKind::Mr,
        ZscoreMask::Nonzero => true,
        ZscoreMask::All => false,
    }
}

/// Mean and population standard deviation (divided by n), in f64 and in order, so that they do not
/// depend on threads. `None` where there are no values.
#[must_use]
pub fn moments<T: Into<f64>>(values: impl Iterator<Item = T> + Clone) -> Option<(f64, f64)> {
    let mut n = 0_u64;
    let mut sum = 0.0;
    for v in values.clone() {
        n += 1;
        sum += v.into();
    }
    if n == 0 {
        return None;
    }
    let mean = sum / n as f64;
    let square: f64 = values.map(|v| (v.into() - mean).powi(2)).sum();
    Some((mean, (square / n as f64).sqrt()))
}
