//! Squared distances of many vectors: each number that is loaded serves several of them.
//!
//! Every distance has the bits of the loop in [`points`](super::points): [`LANES`] partial sums, then
//! their sum in order. Written in vectors, as compilers do not find them in a block of sums.

use super::points::{LANES, Points};
use super::vector::Vector;
#[cfg(target_arch = "x86_64")]
use super::vector::{F32x8, F32x16, F64x4, F64x8};
use crate::wide::Level;

/// Squared distances between all `n` vectors, of pairs `(i, j)` with `i < j`, row after row, into
/// `out`, one for each pair. `rows` are the vectors, each filled up with zeros.
pub(super) fn fill_pairs(rows: &[[f64; LANES]], n: usize, out: &mut [f64]) {
    match Level::best() {
        Level::Baseline => pairs::<[f64; 8], 8>(rows, n, out),
        // SAFETY: `best` found the instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { pairs_avx2(rows, n, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { pairs_avx512(rows, n, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn pairs_avx2(rows: &[[f64; LANES]], n: usize, out: &mut [f64]) {
    pairs::<F64x4, 4>(rows, n, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn pairs_avx512(rows: &[[f64; LANES]], n: usize, out: &mut [f64]) {
    pairs::<F64x8, 8>(rows, n, out);
}

/// Squared distances of every vector to two others, which have as many values.
pub(super) fn fill_to_two(points: Points<'_>, two: [&[f32]; 2], out: &mut [[f32; 2]]) {
    match Level::best() {
        Level::Baseline => to_two::<[f32; 8], 8>(points, two, out),
        // SAFETY: `best` found the instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { to_two_avx2(points, two, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { to_two_avx512(points, two, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn to_two_avx2(points: Points<'_>, two: [&[f32]; 2], out: &mut [[f32; 2]]) {
    to_two::<F32x8, 8>(points, two, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn to_two_avx512(points: Points<'_>, two: [&[f32]; 2], out: &mut [[f32; 2]]) {
    to_two::<F32x16, 16>(points, two, out);
}

#[inline(always)]
fn pairs<V: Vector<f64, N>, const N: usize>(rows: &[[f64; LANES]], n: usize, mut out: &mut [f64]) {
    let length = rows.len() / n.max(1);
    let row = |i: usize| &rows[i * length..(i + 1) * length];
    // Two vectors, with two others at a time.
    for i in (0..n.saturating_sub(1)).step_by(2) {
        let (first, rest) = out.split_at_mut(n - i - 1);
        let (second, rest) = rest.split_at_mut(n - i - 2);
        out = rest;
        let a = [row(i), row(i + 1)];
        [[first[0]]] = totals(partial_sums::<_, V, N, 1, 1>([a[0]], [a[1]]));
        let mut j = i + 2;
        while j < n {
            let at = j - i - 2;
            if j + 1 < n {
                let d = totals(partial_sums::<_, V, N, 2, 2>(a, [row(j), row(j + 1)]));
                first[at + 1..at + 3].copy_from_slice(&d[0]);
                second[at..at + 2].copy_from_slice(&d[1]);
            } else {
                [[first[at + 1]], [second[at]]] =
                    totals(partial_sums::<_, V, N, 2, 1>(a, [row(j)]));
            }
            j += 2;
        }
    }
}

#[inline(always)]
fn to_two<V: Vector<f32, N>, const N: usize>(
    points: Points<'_>,
    two: [&[f32]; 2],
    out: &mut [[f32; 2]],
) {
    let dim = points.dim();
    let (pairs, rest) = out.as_chunks_mut::<2>();
    for (rows, out) in points.values().chunks_exact(2 * dim).zip(pairs) {
        *out = squares::<V, N, 2>([&rows[..dim], &rows[dim..]], two);
    }
    for out in rest {
        [*out] = squares::<V, N, 1>([points.row(points.len() - 1)], two);
    }
}

/// Squared distances of vectors `a` from vectors `b`, all of one length.
#[inline(always)]
fn squares<V: Vector<f32, N>, const N: usize, const A: usize>(
    a: [&[f32]; A],
    b: [&[f32]; 2],
) -> [[f32; 2]; A] {
    let (a, b) = (a.map(<[f32]>::as_chunks), b.map(<[f32]>::as_chunks));
    let mut sums = partial_sums::<_, V, N, A, 2>(a.map(|v| v.0), b.map(|v| v.0));
    if !a[0].1.is_empty() {
        for i in 0..A {
            for j in 0..2 {
                for (lane, (x, y)) in a[i].1.iter().zip(b[j].1).enumerate() {
                    let d = x - y;
                    sums[i][j][lane] += d * d;
                }
            }
        }
    }
    totals(sums)
}

/// The partial sums of the squared distances of vectors `a` from vectors `b`, all of one length.
#[inline(always)]
fn partial_sums<T, V, const N: usize, const A: usize, const B: usize>(
    a: [&[[T; LANES]]; A],
    b: [&[[T; LANES]]; B],
) -> [[[T; LANES]; B]; A]
where
    T: Copy + Default,
    V: Vector<T, N>,
{
    let chunks = a[0].len();
    let b = b.map(|v| &v[..chunks]);
    let a = a.map(|v| &v[..chunks]);
    let mut sums = [[[T::default(); LANES]; B]; A];
    for part in 0..LANES / N {
        let mut own = [[V::zero(); B]; A];
        for at in 0..chunks {
            let x: [V; A] = a.map(|v| V::load(&v[at].as_chunks().0[part]));
            let y: [V; B] = b.map(|v| V::load(&v[at].as_chunks().0[part]));
            for i in 0..A {
                for j in 0..B {
                    own[i][j] = own[i][j].add_square(x[i], y[j]);
                }
            }
        }
        for i in 0..A {
            for j in 0..B {
                sums[i][j].as_chunks_mut().0[part] = own[i][j].store();
            }
        }
    }
    sums
}

/// Sums of partial sums, in order.
#[inline(always)]
fn totals<T: Copy + Default + std::ops::AddAssign, const A: usize, const B: usize>(
    sums: [[[T; LANES]; B]; A],
) -> [[T; B]; A] {
    let mut totals = [[T::default(); B]; A];
    // All sums side by side, as each addition waits for the one before.
    for lane in 0..LANES {
        for (totals, sums) in totals.iter_mut().zip(&sums) {
            for (total, sums) in totals.iter_mut().zip(sums) {
                *total += sums[lane];
            }
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::super::points::{Distances, Sums, all_within, distance, squared_distance};
    use super::*;
    use crate::wide::levels::at_each;

    /// Values that round differently in any other order of additions.
    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.737).sin() * 3.1).collect()
    }

    /// What [`LANES`] says, number by number.
    fn plain_f32(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0; LANES];
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            sums[i % LANES] += (x - y) * (x - y);
        }
        sums.iter().sum()
    }

    fn plain_f64(a: &[f32], b: &[f32]) -> f64 {
        let mut sums = [0.0; LANES];
        for (i, (&x, &y)) in a.iter().zip(b).enumerate() {
            let d = f64::from(x) - f64::from(y);
            sums[i % LANES] += d * d;
        }
        sums.iter().sum::<f64>().sqrt()
    }

    #[test]
    fn blocks_have_the_bits_of_plain_loops_at_every_level() {
        for dim in [1, 2, 15, 16, 17, 48, 69] {
            for n in 0..8 {
                let values = values((n + 2) * dim);
                let points = Points::new(&values[2 * dim..], dim).unwrap();
                let two = [&values[..dim], &values[dim..2 * dim]];
                let mut pairs = Vec::new();
                for i in 0..n {
                    for j in i + 1..n {
                        pairs.push(plain_f64(points.row(i), points.row(j)).to_bits());
                    }
                }
                let plain: Vec<[u32; 2]> = points
                    .rows()
                    .map(|row| two.map(|other| plain_f32(row, other).to_bits()))
                    .collect();
                at_each(|| {
                    let found = Distances::between(points).into_condensed();
                    assert_eq!(found.iter().map(|d| d.to_bits()).collect::<Vec<_>>(), pairs);
                    let mut to = vec![[f32::NAN; 2]; n];
                    fill_to_two(points, two, &mut to);
                    assert_eq!(
                        to.iter().map(|d| d.map(f32::to_bits)).collect::<Vec<_>>(),
                        plain
                    );
                    let [a, b] = two;
                    assert_eq!(distance(a, b).to_bits(), plain_f64(a, b).to_bits());
                    assert_eq!(squared_distance(a, b).to_bits(), plain_f32(a, b).to_bits());
                });
            }
        }
    }

    #[test]
    fn sums_have_the_bits_of_plain_loops_at_every_level() {
        for dim in [1, 7, 16, 37] {
            for n in [1, 4, 5, 23] {
                let values = values(n * dim);
                let points = Points::new(&values, dim).unwrap();
                let labels: Vec<u8> = (0..n).map(|i| (i * i % 3 == 1).into()).collect();
                let mut plain = [vec![0.0_f64; dim], vec![0.0; dim]];
                for (row, &label) in points.rows().zip(&labels) {
                    for (sum, &v) in plain[usize::from(label)].iter_mut().zip(row) {
                        *sum += f64::from(v);
                    }
                }
                at_each(|| {
                    let mut sums = Sums::new(dim);
                    sums.add_all(points, &labels);
                    for (category, plain) in plain.iter().enumerate() {
                        let mut mean = vec![0.0; dim];
                        sums.mean_into(category, &mut mean);
                        let count = sums.counts[category].max(1) as f64;
                        let expected: Vec<f32> = plain.iter().map(|s| (s / count) as f32).collect();
                        assert_eq!(mean, expected);
                    }
                });
            }
        }
    }

    #[test]
    fn limits_hold_at_every_level() {
        for strange in [f32::NAN, f32::INFINITY, -2.5, 2.5] {
            for at in [0, 31, 32, 40] {
                let mut values = vec![-2.0; 41];
                assert!(
                    at_each(|| all_within(&values, 2.0))
                        .iter()
                        .all(|within| *within)
                );
                values[at] = strange;
                assert!(!at_each(|| all_within(&values, 2.0)).contains(&true));
            }
        }
    }
}
