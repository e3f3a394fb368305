//! Percentiles and clipping (`metrics-and-data.md` section 8).

use super::error::PrepareError;
use crate::data::case::ModalityKind;
use crate::options::{ClipBase, ClipOptions};
use crate::wide::wide;

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
    let high = || above.iter().copied().min_by(f32::total_cmp);
    Some(between(low, t, || high().map_or(low, f64::from)))
}

/// What lies `t` of the way from `low` to `high`, which is asked for only where it matters.
fn between(low: f64, t: f64, high: impl FnOnce() -> f64) -> f64 {
    if t == 0.0 {
        return low;
    }
    low + (high() - low) * t
}

/// Clip window of a volume: the two percentiles over the voxels that `options.base` names. `None`
/// where no voxel takes part.
#[must_use]
pub fn clip_bounds(
    values: &[f32],
    kind: ModalityKind,
    options: &ClipOptions,
) -> Option<(f64, f64)> {
    if nonzero_only(options.base, kind) {
        let mut kept = Vec::new();
        keep_nonzero(values, &mut kept);
        bounds(&kept, options)
    } else {
        bounds(values, options)
    }
}

wide! {
    /// Adds the values that are not 0, in order, to `kept`.
    pub(super) fn keep_nonzero(values: &[f32], kept: &mut Vec<f32>) {
        let (groups, rest) = values.as_chunks::<64>();
        for group in groups {
            let mut zeros = 0;
            for &v in group {
                zeros += u32::from(v == 0.0);
            }
            // Most groups are air, or all tissue.
            if zeros == 0 {
                kept.extend_from_slice(group);
            } else if zeros < 64 {
                sift(group, kept);
            }
        }
        sift(rest, kept);
    }
}

/// Adds the values that are not 0, of at most 64, to `kept`.
#[inline(always)]
fn sift(values: &[f32], kept: &mut Vec<f32>) {
    let mut part = [0.0; 64];
    let mut count = 0;
    // Without a branch per value: each is written, and the next one over it where it was 0.
    for &v in values {
        part[count] = v;
        count += usize::from(v != 0.0);
    }
    kept.extend_from_slice(&part[..count]);
}

/// The two percentiles over all `values`.
pub(super) fn bounds(values: &[f32], options: &ClipOptions) -> Option<(f64, f64)> {
    let quantiles = [options.low, options.high];
    if values.len() < WORTH_COUNTING {
        let mut part = values.to_vec();
        let [low, high] = quantiles.map(|q| percentile(&mut part, q));
        return Some((low?, high?));
    }
    let [low, high] =
        by_counting_whole(values, quantiles).unwrap_or_else(|| by_counting(values, quantiles));
    Some((low, high))
}

/// Values from which on counting is faster than partitioning a copy.
const WORTH_COUNTING: usize = 1 << 16;

/// [`percentile`] of many whole numbers of 16 bits, as scanners give; `None` where one is not.
fn by_counting_whole(values: &[f32], quantiles: [f64; 2]) -> Option<[f64; 2]> {
    // Neighbours are alike: in turn, so that one count need not wait for the other.
    let (mut counts, mut odd) = (vec![0_usize; 1 << 16], vec![0_usize; 1 << 16]);
    let mut numbers = [0; WHOLE_BLOCK];
    for block in values.chunks(WHOLE_BLOCK) {
        let numbers = &mut numbers[..block.len()];
        if !whole_numbers(block, numbers) {
            return None;
        }
        let (pairs, rest) = numbers.as_chunks::<2>();
        for &[a, b] in pairs {
            counts[usize::from(a)] += 1;
            odd[usize::from(b)] += 1;
        }
        for &a in rest {
            counts[usize::from(a)] += 1;
        }
    }
    for (count, odd) in counts.iter_mut().zip(odd) {
        *count += odd;
    }
    let last = values.len() - 1;
    let value = |rank: usize| locate(&counts, rank.min(last)).0 as f64 - f64::from(SHIFT);
    Some(quantiles.map(|q| {
        let place = last as f64 * q.clamp(0.0, 100.0) / 100.0;
        let index = place.floor();
        let (low, high) = (index as usize, index as usize + 1);
        between(value(low), place - index, || value(high))
    }))
}

/// Values that are made whole numbers at a time.
const WHOLE_BLOCK: usize = 1 << 10;

/// What makes a count's place of a whole number.
const SHIFT: f32 = (1 << 15) as f32;

/// Floats from here to its double are whole numbers.
const UNITS: f32 = (1 << 23) as f32;

wide! {
    /// The values as whole numbers from -2^15 on; false where one is none of 16 bits.
    fn whole_numbers(values: &[f32], numbers: &mut [u16]) -> bool {
        let mut whole = true;
        for (number, &v) in numbers.iter_mut().zip(values) {
            // From 2^23 to 2^24 the bits of a float count whole numbers, and a fraction is lost.
            let shifted = v + (UNITS + SHIFT);
            *number = shifted.to_bits() as u16;
            // Bits tell 0 from -0.
            let same = (shifted - (UNITS + SHIFT)).to_bits() == v.to_bits();
            whole &= same & (shifted.to_bits() >> 16 == UNITS.to_bits() >> 16);
        }
        whole
    }
}

/// [`percentile`] of many values: they are counted by the upper half of their bits, in the order of
/// `total_cmp`; only those that share it with a wanted one are looked at again.
fn by_counting(values: &[f32], quantiles: [f64; 2]) -> [f64; 2] {
    let key = |v: f32| {
        let bits = v.to_bits();
        bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 }
    };
    let mut counts = vec![0_usize; 1 << 16];
    for &v in values {
        counts[(key(v) >> 16) as usize] += 1;
    }
    let last = values.len() - 1;
    let places = quantiles.map(|q| last as f64 * q.clamp(0.0, 100.0) / 100.0);
    let indices = places.map(|place| (place.floor() as usize).min(last));
    // For each wanted rank: its half, and its rank among the values that share it.
    let wanted = indices.map(|i| [i, (i + 1).min(last)].map(|rank| locate(&counts, rank)));
    let mut shared = vec![false; 1 << 16];
    for (half, _) in wanted.iter().flatten() {
        shared[*half] = true;
    }
    let mut kept: Vec<u32> = Vec::new();
    for &v in values {
        if shared[(key(v) >> 16) as usize] {
            kept.push(key(v));
        }
    }
    let value = |(half, rank): (usize, usize)| {
        let mut own: Vec<u32> = kept
            .iter()
            .copied()
            .filter(|k| (k >> 16) as usize == half)
            .collect();
        let found = *own.select_nth_unstable(rank).1;
        f64::from(f32::from_bits(
            found ^ if found >> 31 == 1 { 1 << 31 } else { u32::MAX },
        ))
    };
    std::array::from_fn(|i| {
        let t = places[i] - indices[i] as f64;
        between(value(wanted[i][0]), t, || value(wanted[i][1]))
    })
}

/// The place of the `rank`-th of all that were counted, and its rank there.
fn locate(counts: &[usize], rank: usize) -> (usize, usize) {
    let mut before = 0;
    for (place, &count) in counts.iter().enumerate() {
        if rank < before + count {
            return (place, rank - before);
        }
        before += count;
    }
    (0, 0)
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
    use crate::random::{Purpose, Stream};
    use crate::wide::levels::at_each;

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
    fn counting_finds_what_partitioning_finds() {
        let mut stream = Stream::new(Purpose::Phantom, &[3]);
        let tissue: Vec<f32> = (0..WORTH_COUNTING + 7)
            .map(|_| (400.0 * stream.normal()).round() as f32)
            .collect();
        let fine: Vec<f32> = tissue.iter().map(|v| v * 1.37e-3 - 0.2).collect();
        let mut mostly_air = vec![0.0; WORTH_COUNTING];
        mostly_air[9] = -0.0;
        mostly_air[10] = 1e-3;
        let mut large = tissue.clone();
        large[99] = 65_536.0;
        let same = vec![-7.25; WORTH_COUNTING];
        for values in [tissue, fine, large, mostly_air, same] {
            for quantiles in [[1.0, 99.0], [0.0, 100.0], [37.3, 37.4], [50.0, 99.999]] {
                let mut copy = values.clone();
                let expected = quantiles.map(|q| percentile(&mut copy, q).unwrap().to_bits());
                assert_eq!(by_counting(&values, quantiles).map(f64::to_bits), expected);
                for whole in at_each(|| by_counting_whole(&values, quantiles)) {
                    assert_eq!(whole.is_some(), is_whole(&values));
                    assert!(whole.is_none_or(|w| w.map(f64::to_bits) == expected));
                }
            }
        }
    }

    fn is_whole(values: &[f32]) -> bool {
        let whole = |v: &f32| v.fract() == 0.0 && v.abs() < 3e4 && v.to_bits() != 1 << 31;
        values.iter().all(whole)
    }

    /// The values that are not 0, alike at every level.
    fn kept(values: &[f32]) -> Vec<f32> {
        let mut found = at_each(|| {
            let mut kept = Vec::new();
            keep_nonzero(values, &mut kept);
            kept
        });
        found.dedup();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn only_zeros_are_left_out() {
        let values: Vec<f32> = (0..9000).map(|i| (i % 3) as f32 - 1.0).collect();
        let expected: Vec<f32> = values.iter().copied().filter(|v| *v != 0.0).collect();
        assert_eq!(kept(&values), expected);
        assert!(kept(&[0.0, -0.0]).is_empty());
        // Groups of air and of tissue, and one that is not whole.
        let values: Vec<f32> = (0..9001).map(|i| (i / 100 % 2 * i) as f32).collect();
        let expected: Vec<f32> = values.iter().copied().filter(|v| *v != 0.0).collect();
        assert_eq!(kept(&values), expected);
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
