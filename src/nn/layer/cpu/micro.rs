//! The two inner loops of a convolution, compiled for the instruction sets of the machine.

#[cfg(target_arch = "x86_64")]
use super::lanes::Avx2;
use super::lanes::{LANES, Lanes, Portable};

/// Output channels that one call computes.
pub(super) const BLOCK: usize = 4;
/// Vectors of pixels that one call of [`Level::tile`] computes.
const WIDE: usize = 3;
/// Pixels that one call of [`Level::tile`] computes.
pub(super) const TILE: usize = WIDE * LANES;

/// [`BLOCK`] channels of [`TILE`] pixels.
pub(super) type Tile = [[f32; TILE]; BLOCK];

/// Instruction set of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What the target guarantees.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The same vectors with the 32 registers of AVX-512: all sums of a tile fit in them.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let more = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
            return if more { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Portable
    }

    /// Sums over input channels and taps:
    /// `out[c][p] = init[c] + sum_ch sum_t weight[ch][t][c] * input[ch * plane + offsets[t] + p]`.
    pub(super) fn tile(
        self,
        input: &[f32],
        plane: usize,
        offsets: &[usize],
        weight: &[f32],
        init: [f32; BLOCK],
        out: &mut Tile,
    ) {
        match self {
            Self::Portable => tile::<Portable>(input, plane, offsets, weight, init, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { avx2::tile(input, plane, offsets, weight, init, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { avx512::tile(input, plane, offsets, weight, init, out) },
        }
    }

    /// Scalar products of [`BLOCK`] channels of gradients with `SHIFTS` shifts of one channel of
    /// inputs, over `segments` (one per band and image) of `length`, a multiple of [`LANES`]:
    /// `sums[c][s] = sum_g sum_p grad[(c * segments + g) * length + p] * input[g * plane + s + p]`.
    pub(super) fn dots<const SHIFTS: usize>(
        self,
        grad: &[f32],
        length: usize,
        segments: usize,
        input: &[f32],
        plane: usize,
    ) -> [[f32; SHIFTS]; BLOCK] {
        match self {
            Self::Portable => dots::<Portable, SHIFTS>(grad, length, segments, input, plane),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { avx2::dots(grad, length, segments, input, plane) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { avx512::dots(grad, length, segments, input, plane) },
        }
    }
}

/// The loops compiled for more instructions than the target guarantees.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($name:ident, $features:literal) => {
        mod $name {
            use super::{Avx2, BLOCK, Tile};

            #[target_feature(enable = $features)]
            pub(super) fn tile(
                input: &[f32],
                plane: usize,
                offsets: &[usize],
                weight: &[f32],
                init: [f32; BLOCK],
                out: &mut Tile,
            ) {
                super::tile::<Avx2>(input, plane, offsets, weight, init, out);
            }

            #[target_feature(enable = $features)]
            pub(super) fn dots<const SHIFTS: usize>(
                grad: &[f32],
                length: usize,
                segments: usize,
                input: &[f32],
                plane: usize,
            ) -> [[f32; SHIFTS]; BLOCK] {
                super::dots::<Avx2, SHIFTS>(grad, length, segments, input, plane)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, "avx2,fma,avx512f,avx512vl");

#[inline(always)]
fn tile<L: Lanes>(
    input: &[f32],
    plane: usize,
    offsets: &[usize],
    weight: &[f32],
    init: [f32; BLOCK],
    out: &mut Tile,
) {
    let mut sums = [[L::splat(0.0); WIDE]; BLOCK];
    for c in 0..BLOCK {
        sums[c] = [L::splat(init[c]); WIDE];
    }
    for (input, weight) in input
        .chunks_exact(plane)
        .zip(weight.chunks_exact(offsets.len() * BLOCK))
    {
        for (offset, weight) in offsets.iter().zip(weight.as_chunks::<BLOCK>().0) {
            let (vectors, _) = input[*offset..*offset + TILE].as_chunks::<LANES>();
            let pixels: [L; WIDE] = [
                L::load(&vectors[0]),
                L::load(&vectors[1]),
                L::load(&vectors[2]),
            ];
            for c in 0..BLOCK {
                let weight = L::splat(weight[c]);
                for v in 0..WIDE {
                    sums[c][v] = pixels[v].mul_add(weight, sums[c][v]);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            *out = sum.store();
        }
    }
}

#[inline(always)]
fn dots<L: Lanes, const SHIFTS: usize>(
    grad: &[f32],
    length: usize,
    segments: usize,
    input: &[f32],
    plane: usize,
) -> [[f32; SHIFTS]; BLOCK] {
    let mut sums = [[L::splat(0.0); SHIFTS]; BLOCK];
    for g in 0..segments {
        let row = |c: usize| {
            let row = &grad[(c * segments + g) * length..][..length];
            row.as_chunks::<LANES>().0
        };
        let shifted = |s: usize| input[g * plane + s..][..length].as_chunks::<LANES>().0;
        let grads: [&[[f32; LANES]]; BLOCK] = [row(0), row(1), row(2), row(3)];
        let inputs: [&[[f32; LANES]]; SHIFTS] = std::array::from_fn(shifted);
        for v in 0..length / LANES {
            // Not closures: they would be compiled without the vector instructions.
            let mut pixels = [L::splat(0.0); SHIFTS];
            for s in 0..SHIFTS {
                pixels[s] = L::load(&inputs[s][v]);
            }
            for c in 0..BLOCK {
                let grad = L::load(&grads[c][v]);
                for s in 0..SHIFTS {
                    sums[c][s] = grad.mul_add(pixels[s], sums[c][s]);
                }
            }
        }
    }
    let mut totals = [[0.0; SHIFTS]; BLOCK];
    for c in 0..BLOCK {
        for s in 0..SHIFTS {
            let v = sums[c][s].store();
            totals[c][s] = ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
        }
    }
    totals
}
