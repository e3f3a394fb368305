//! Mean and standard deviation of a volume (`metrics-and-data.md` section 8).

use crate::data::case::ModalityKind;
use crate::options::ZscoreMask;
use crate::wide::wide;

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

/// What [`moments_of`] gives, one value after the other.
#[cfg(test)]
pub(super) fn moments<T: Into<f64>>(values: impl Iterator<Item = T> + Clone) -> Option<(f64, f64)> {
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

/// Values at a time in [`moments_of`].
const BLOCK: usize = 1 << 10;

/// Up to this size, whole numbers add up exactly: as many as there can be stay below 2^53.
const LARGEST_WHOLE: f32 = (1 << 20) as f32;

/// Mean and population standard deviation (divided by n) of what `change` makes of `values`, block by
/// block; in f64 and with the bits of sums in order, so that they do not depend on threads. `None` where
/// there are no values.
pub(super) fn moments_of(
    values: &[f32],
    mut change: impl FnMut(&[f32], &mut [f32]),
) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let mut room = [0.0; BLOCK];
    let mut blocks = |each: &mut dyn FnMut(&[f32])| {
        for block in values.chunks(BLOCK) {
            let changed = &mut room[..block.len()];
            change(block, changed);
            each(changed);
        }
    };
    let n = values.len() as f64;
    let (mut sum, mut whole) = (0.0, true);
    blocks(&mut |block| whole &= add_whole(block, &mut sum));
    if !whole {
        sum = 0.0;
        blocks(&mut |block| block.iter().for_each(|&v| sum += f64::from(v)));
    }
    let mean = sum / n;
    let mut square = 0.0;
    let mut squares = [0.0; BLOCK];
    blocks(&mut |block| {
        square_deviations(block, mean, &mut squares);
        // In order, one by one: what takes the time.
        squares[..block.len()].iter().for_each(|s| square += s);
    });
    Some((mean, (square / n).sqrt()))
}

wide! {
    /// Adds `values` to `sum` in any order; false, and `sum` of no use, where the order may matter.
    fn add_whole(values: &[f32], sum: &mut f64) -> bool {
        let mut sums = [0.0; 16];
        let mut whole = true;
        let (groups, rest) = values.as_chunks::<16>();
        for group in groups {
            for lane in 0..16 {
                let v = group[lane];
                whole &= (v.trunc() == v) & (v.abs() <= LARGEST_WHOLE);
                sums[lane] += f64::from(v);
            }
        }
        for &v in rest {
            whole &= (v.trunc() == v) & (v.abs() <= LARGEST_WHOLE);
            *sum += f64::from(v);
        }
        for s in sums {
            *sum += s;
        }
        whole
    }

    fn square_deviations(values: &[f32], mean: f64, out: &mut [f64; BLOCK]) {
        for (&v, out) in values.iter().zip(out) {
            let deviation = f64::from(v) - mean;
            *out = deviation * deviation;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};
    use crate::wide::levels::at_each;

    #[test]
    fn the_fast_way_gives_the_same_bits() {
        let mut stream = Stream::new(Purpose::Phantom, &[5]);
        let fine: Vec<f32> = (0..5000)
            .map(|_| (300.0 * stream.normal()) as f32)
            .collect();
        let whole: Vec<f32> = fine.iter().map(|v| v.round()).collect();
        let large: Vec<f32> = whole.iter().map(|v| v * 1e6).collect();
        let mut one_fine = whole.clone();
        one_fine[4000] = 0.1;
        for values in [fine, whole, large, one_fine, vec![7.0], Vec::new()] {
            let low = |v: &f32| v.max(-200.0);
            let bits = |m: Option<(f64, f64)>| m.map(|(a, b)| (a.to_bits(), b.to_bits()));
            let expected = moments(values.iter().map(low));
            let found = at_each(|| {
                moments_of(&values, |from, to| {
                    for (v, to) in from.iter().zip(to) {
                        *to = low(v);
                    }
                })
            });
            for found in found {
                assert_eq!(bits(found), bits(expected));
            }
        }
    }
}
