//! The two inner loops of a convolution, compiled for the instruction sets of the machine.
//!
//! What a loop computes has the same bits with vectors of eight and of sixteen numbers: every sum
//! over pixels or channels keeps its order, and a wider vector holds more sums.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Portable};

/// Output channels that one call of [`Level::tile`] computes; the last call may have half of them.
pub(super) const BLOCK: usize = 8;
/// Half a block: the channels of a loop where registers are few.
pub(super) const HALF: usize = BLOCK / 2;
/// Vectors of pixels of that loop.
const WIDE: usize = 3;
/// Pixels that one call of [`Level::tile`] computes at most: three vectors of the widest kind.
pub(super) const TILE: usize = 48;
/// Rows of inputs that one call of [`Level::dots`] takes.
pub(super) const ROWS: usize = 9;
/// Channels of gradients that one call of [`Level::dots`] takes.
pub(super) const GRADS: usize = 4;

/// Up to [`BLOCK`] channels of up to [`TILE`] pixels.
pub(super) type Tile = [[f32; TILE]; BLOCK];

/// Instruction set of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What the target guarantees.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512: twice as many registers, twice as wide.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let more = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            return if more { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Portable
    }

    /// Sums over input channels and taps for `pixels`, which go to the start of `out`:
    /// `init[c] + sum_ch sum_t weight[ch][t][c] * input[ch * distance + offsets[t] + p]`.
    /// `weight` has [`BLOCK`] output channels or [`HALF`], which its length decides.
    pub(super) fn tile(
        self,
        input: Stack,
        weight: &[f32],
        init: [f32; BLOCK],
        pixels: Range<usize>,
        out: &mut Tile,
    ) {
        match self {
            Self::Portable => tile::<Portable, _, HALF>(input, weight, init, pixels, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { tile_avx2(input, weight, init, pixels, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { tile_avx512(input, weight, init, pixels, out) },
        }
    }

    /// Scalar products of [`GRADS`] channels of gradients with [`ROWS`] rows of inputs, over
    /// pieces (one per band and image) of `length`, a multiple of [`LANES`]:
    /// `sums[r][c] = sum_g sum_p grad[g][p][c] * input[g * distance + offsets[r] + p]`. Gradients lie
    /// as [`interleave`](super::pack::interleave) leaves them.
    pub(super) fn dots(self, grad: &[f32], length: usize, input: Stack) -> Dots {
        match self {
            Self::Portable => dots::<Portable, _, GRADS, 3>(grad, length, input),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { dots_avx2(grad, length, input) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { dots_avx512(grad, length, input) },
        }
    }
}

/// Planes at one distance, and the shifts in which they are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack<'a> {
    /// The numbers.
    pub(super) values: &'a [f32],
    /// From one plane to the next.
    pub(super) distance: usize,
    /// Where the rows of a loop start in each plane.
    pub(super) offsets: &'a [usize],
}

/// What [`Level::dots`] gives.
pub(super) type Dots = [[f32; GRADS]; ROWS];

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2(
    input: Stack,
    weight: &[f32],
    init: [f32; BLOCK],
    pixels: Range<usize>,
    out: &mut Tile,
) {
    tile::<Avx2, _, HALF>(input, weight, init, pixels, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn tile_avx512(
    input: Stack,
    weight: &[f32],
    init: [f32; BLOCK],
    pixels: Range<usize>,
    out: &mut Tile,
) {
    if weight.len() == input.count() * input.offsets.len() * BLOCK {
        tile::<Avx512, _, BLOCK>(input, weight, init, pixels, out);
    } else {
        tile::<Avx512, _, HALF>(input, weight, init, pixels, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dots_avx2(grad: &[f32], length: usize, input: Stack) -> Dots {
    dots::<Avx2, _, GRADS, 3>(grad, length, input)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn dots_avx512(grad: &[f32], length: usize, input: Stack) -> Dots {
    dots::<Avx512, _, { GRADS / 2 }, ROWS>(grad, length, input)
}

impl Stack<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.distance
    }
}

/// [`Level::tile`] with `C` channels at a time.
#[inline(always)]
fn tile<L: Lanes<N>, const N: usize, const C: usize>(
    input: Stack,
    weight: &[f32],
    init: [f32; BLOCK],
    pixels: Range<usize>,
    out: &mut Tile,
) {
    let width = weight.len() / (input.count() * input.offsets.len());
    for c in (0..width).step_by(C) {
        for p in pixels.clone().step_by(WIDE * N) {
            let (init, out) = (&init[c..c + C], &mut out[c..c + C]);
            let at = (p, p - pixels.start);
            let weight = (weight, width, c);
            match (pixels.end - p).div_ceil(N) {
                1 => part::<L, N, C, 1>(input, weight, init, at, out),
                2 => part::<L, N, C, 2>(input, weight, init, at, out),
                _ => part::<L, N, C, WIDE>(input, weight, init, at, out),
            }
        }
    }
}

/// `C` channels of `V` vectors of a tile, from pixel `from` of the input to `to` of the tile;
/// `weight` comes with the number of channels that it has and the first of these.
#[inline(always)]
fn part<L: Lanes<N>, const N: usize, const C: usize, const V: usize>(
    input: Stack,
    (weight, width, first): (&[f32], usize, usize),
    init: &[f32],
    (from, to): (usize, usize),
    out: &mut [[f32; TILE]],
) {
    let mut sums = [[L::splat(0.0); V]; C];
    for c in 0..C {
        sums[c] = [L::splat(init[c]); V];
    }
    for (plane, weight) in input
        .values
        .chunks_exact(input.distance)
        .zip(weight.chunks_exact(input.offsets.len() * width))
    {
        for (offset, weight) in input.offsets.iter().zip(weight.chunks_exact(width)) {
            let weight = &weight[first..first + C];
            let vectors = plane[offset + from..][..V * N].as_chunks::<N>().0;
            // Not closures: they would be compiled without the vector instructions.
            let mut pixels = [L::splat(0.0); V];
            for v in 0..V {
                pixels[v] = L::load(&vectors[v]);
            }
            for c in 0..C {
                let weight = L::splat(weight[c]);
                for v in 0..V {
                    sums[c][v] = pixels[v].mul_add(weight, sums[c][v]);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        let out = out[to..to + V * N].as_chunks_mut::<N>().0;
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum.store();
        }
    }
}

/// [`Level::dots`] with `C` vectors for the channels of a group of pixels, `R` rows at a time.
#[inline(always)]
fn dots<L: Lanes<N>, const N: usize, const C: usize, const R: usize>(
    grad: &[f32],
    length: usize,
    input: Stack,
) -> Dots {
    let mut totals = [[0.0; GRADS]; ROWS];
    for (k, offsets) in input.offsets.as_chunks::<R>().0.iter().enumerate() {
        let mut sums = [[L::splat(0.0); R]; C];
        for (g, grad) in grad.chunks_exact(length * GRADS).enumerate() {
            let mut rows: [&[[f32; LANES]]; R] = [&[]; R];
            for r in 0..R {
                let row = &input.values[g * input.distance + offsets[r]..][..length];
                rows[r] = row.as_chunks::<LANES>().0;
            }
            let grads = grad.as_chunks::<N>().0.as_chunks::<C>().0;
            for v in 0..length / LANES {
                // The fewer of the two stay in registers, the others pass.
                if C < R {
                    let mut grad = [L::splat(0.0); C];
                    for c in 0..C {
                        grad[c] = L::load(&grads[v][c]);
                    }
                    for r in 0..R {
                        let pixels = L::repeat(&rows[r][v]);
                        for c in 0..C {
                            sums[c][r] = grad[c].mul_add(pixels, sums[c][r]);
                        }
                    }
                } else {
                    let mut pixels = [L::splat(0.0); R];
                    for r in 0..R {
                        pixels[r] = L::repeat(&rows[r][v]);
                    }
                    for c in 0..C {
                        let grad = L::load(&grads[v][c]);
                        for r in 0..R {
                            sums[c][r] = grad.mul_add(pixels[r], sums[c][r]);
                        }
                    }
                }
            }
        }
        let mut stored = [[[0.0; N]; C]; R];
        for r in 0..R {
            for c in 0..C {
                stored[r][c] = sums[c][r].store();
            }
        }
        add_lanes(stored.as_flattened().as_flattened(), &mut totals[k * R..]);
    }
    totals
}

/// Sums of the lanes of [`GRADS`] vectors for each of `totals`. Not a part of the loop above, whose
/// sums would leave their registers for it.
#[inline(never)]
fn add_lanes(vectors: &[f32], totals: &mut [[f32; GRADS]]) {
    let vectors = vectors.as_chunks::<LANES>().0.as_chunks::<GRADS>().0;
    for (totals, vectors) in totals.iter_mut().zip(vectors) {
        let mut halves = [[0.0; LANES / 2]; GRADS];
        for (half, v) in halves.iter_mut().zip(vectors) {
            for (i, half) in half.iter_mut().enumerate() {
                *half = v[i] + v[i + LANES / 2];
            }
        }
        for (total, v) in totals.iter_mut().zip(halves) {
            *total = (v[0] + v[1]) + (v[2] + v[3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layer::testing::{assert_close, noise};

    /// What this machine can run, the best first.
    fn levels() -> Vec<Level> {
        let best = Level::detect();
        #[cfg(target_arch = "x86_64")]
        if best == Level::Avx512 {
            return vec![best, Level::Avx2, Level::Portable];
        }
        if best == Level::Portable {
            return vec![best];
        }
        vec![best, Level::Portable]
    }

    /// Runs `f` at every level: the vectors of all sizes give the same bits, those of machines
    /// that cannot fuse products into sums nearly `expected`.
    fn check(expected: &[f32], what: &str, f: impl Fn(Level) -> Vec<f32>) {
        let levels = levels();
        let best = f(levels[0]);
        assert_close(&best, expected, 1e-6, what);
        for level in levels {
            let found = f(level);
            if level == Level::Portable {
                assert_close(&found, expected, 1e-6, what);
            } else {
                assert_eq!(found, best, "{what} {level:?}");
            }
        }
    }

    #[test]
    fn tiles_at_every_level() {
        let (channels, distance) = (5, 90);
        let input = noise(1, channels * distance);
        let offsets = [0, 7, 40];
        let init: [f32; BLOCK] = std::array::from_fn(|c| c as f32);
        for width in [HALF, BLOCK] {
            let weight = noise(2, channels * offsets.len() * width);
            for pixels in [1, 16, 17, 25, 33, TILE] {
                let at = |c: usize, p: usize| {
                    let mut sum = f64::from(init[c]);
                    for ch in 0..channels {
                        for (t, offset) in offsets.iter().enumerate() {
                            let weight = weight[(ch * offsets.len() + t) * width + c];
                            let input = input[ch * distance + offset + p];
                            sum += f64::from(weight) * f64::from(input);
                        }
                    }
                    sum as f32
                };
                let expected: Vec<f32> = (0..width * pixels)
                    .map(|i| at(i / pixels, i % pixels))
                    .collect();
                check(&expected, &format!("{width} {pixels}"), |level| {
                    let mut out = [[0.0; TILE]; BLOCK];
                    let input = Stack {
                        values: &input,
                        distance,
                        offsets: &offsets,
                    };
                    level.tile(input, &weight, init, 0..pixels, &mut out);
                    let channels = out.iter().take(width);
                    channels.flat_map(|c| c[..pixels].to_vec()).collect()
                });
            }
        }
    }

    #[test]
    fn dots_at_every_level() {
        let (length, distance) = (24, 70);
        let offsets: [usize; ROWS] = std::array::from_fn(|r| 5 * r);
        for pieces in [1, 3] {
            let input = noise(1, pieces * distance);
            let grad = noise(2, pieces * length * GRADS);
            let at = |c: usize, r: usize| {
                let mut sum = 0.0;
                for g in 0..pieces {
                    for p in 0..length {
                        let group = (g * length + p) / LANES * GRADS;
                        let grad = grad[(group + c) * LANES + p % LANES];
                        let input = input[g * distance + offsets[r] + p];
                        sum += f64::from(grad) * f64::from(input);
                    }
                }
                sum as f32
            };
            let expected: Vec<f32> = (0..ROWS * GRADS)
                .map(|i| at(i % GRADS, i / GRADS))
                .collect();
            check(&expected, &format!("{pieces} pieces"), |level| {
                let input = Stack {
                    values: &input,
                    distance,
                    offsets: &offsets,
                };
                level.dots(&grad, length, input).concat()
            });
        }
    }
}
