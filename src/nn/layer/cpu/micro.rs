//! The two inner loops of a convolution, compiled for several instruction sets.
//!
//! A vector is an array of [`LANES`] numbers that stays in one register; the compiler vectorises
//! the fixed-size loops. Every instruction set adds in the same order, and those with fused
//! multiply-add give the same bits.

/// Numbers in a vector.
pub(super) const LANES: usize = 8;
/// Output channels that one call computes.
pub(super) const BLOCK: usize = 4;
/// Pixels that one call of [`Level::tile`] computes.
pub(super) const TILE: usize = 3 * LANES;

/// [`BLOCK`] channels of [`TILE`] pixels.
pub(super) type Tile = [[f32; TILE]; BLOCK];

type Vector = [f32; LANES];

/// Instruction set of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What the target guarantees.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512, for its 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fma && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                return Self::Avx512;
            }
            if fma {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Sums over input channels and taps:
    /// `out[c][p] = init[c] + sum_ch sum_t weight[ch][t][c] * input[ch * plane + offsets[t] + p]`.
    pub(super) fn tile<const TAPS: usize>(
        self,
        input: &[f32],
        plane: usize,
        offsets: &[usize; TAPS],
        weight: &[f32],
        init: [f32; BLOCK],
        out: &mut Tile,
    ) {
        match self {
            Self::Portable => tile::<false, TAPS>(input, plane, offsets, weight, init, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { tile_avx2(input, plane, offsets, weight, init, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { tile_avx512(input, plane, offsets, weight, init, out) },
        }
    }

    /// Scalar products of [`BLOCK`] gradient planes with `SHIFTS` shifts of one input plane:
    /// `sums[c][s] = sum_p grad[c * plane + p] * input[s + p]` for `p < length`, a multiple of
    /// [`LANES`].
    pub(super) fn dots<const SHIFTS: usize>(
        self,
        grad: &[f32],
        plane: usize,
        input: &[f32],
        length: usize,
    ) -> [[f32; SHIFTS]; BLOCK] {
        match self {
            Self::Portable => dots::<false, SHIFTS>(grad, plane, input, length),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` made this value after it found the instructions.
            Self::Avx2 => unsafe { dots_avx2(grad, plane, input, length) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 => unsafe { dots_avx512(grad, plane, input, length) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2<const TAPS: usize>(
    input: &[f32],
    plane: usize,
    offsets: &[usize; TAPS],
    weight: &[f32],
    init: [f32; BLOCK],
    out: &mut Tile,
) {
    tile::<true, TAPS>(input, plane, offsets, weight, init, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
fn tile_avx512<const TAPS: usize>(
    input: &[f32],
    plane: usize,
    offsets: &[usize; TAPS],
    weight: &[f32],
    init: [f32; BLOCK],
    out: &mut Tile,
) {
    tile::<true, TAPS>(input, plane, offsets, weight, init, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dots_avx2<const SHIFTS: usize>(
    grad: &[f32],
    plane: usize,
    input: &[f32],
    length: usize,
) -> [[f32; SHIFTS]; BLOCK] {
    dots::<true, SHIFTS>(grad, plane, input, length)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
fn dots_avx512<const SHIFTS: usize>(
    grad: &[f32],
    plane: usize,
    input: &[f32],
    length: usize,
) -> [[f32; SHIFTS]; BLOCK] {
    dots::<true, SHIFTS>(grad, plane, input, length)
}

/// `a * b + c` per lane; fused where the machine does it in one instruction.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: Vector, b: Vector, c: Vector) -> Vector {
    let mut sum = [0.0; LANES];
    for i in 0..LANES {
        sum[i] = if FUSED {
            a[i].mul_add(b[i], c[i])
        } else {
            a[i] * b[i] + c[i]
        };
    }
    sum
}

#[inline(always)]
fn load(slice: &[f32]) -> Vector {
    let mut vector = [0.0; LANES];
    vector.copy_from_slice(&slice[..LANES]);
    vector
}

#[inline(always)]
fn tile<const FUSED: bool, const TAPS: usize>(
    input: &[f32],
    plane: usize,
    offsets: &[usize; TAPS],
    weight: &[f32],
    init: [f32; BLOCK],
    out: &mut Tile,
) {
    let mut sums = init.map(|v| [[v; LANES]; TILE / LANES]);
    for (input, weight) in input
        .chunks_exact(plane)
        .zip(weight.chunks_exact(TAPS * BLOCK))
    {
        for t in 0..TAPS {
            let pixels = &input[offsets[t]..offsets[t] + TILE];
            let pixels = [
                load(&pixels[..LANES]),
                load(&pixels[LANES..2 * LANES]),
                load(&pixels[2 * LANES..]),
            ];
            for c in 0..BLOCK {
                let weight = [weight[t * BLOCK + c]; LANES];
                for (sum, pixels) in sums[c].iter_mut().zip(pixels) {
                    *sum = multiply_add::<FUSED>(pixels, weight, *sum);
                }
            }
        }
    }
    for c in 0..BLOCK {
        for v in 0..TILE / LANES {
            out[c][v * LANES..(v + 1) * LANES].copy_from_slice(&sums[c][v]);
        }
    }
}

#[inline(always)]
fn dots<const FUSED: bool, const SHIFTS: usize>(
    grad: &[f32],
    plane: usize,
    input: &[f32],
    length: usize,
) -> [[f32; SHIFTS]; BLOCK] {
    let mut sums = [[[0.0f32; LANES]; SHIFTS]; BLOCK];
    let grads: [&[f32]; BLOCK] = std::array::from_fn(|c| &grad[c * plane..c * plane + length]);
    let input = &input[..length + SHIFTS - 1];
    for p in (0..length / LANES).map(|v| v * LANES) {
        let pixels: [Vector; SHIFTS] = std::array::from_fn(|s| load(&input[p + s..p + s + LANES]));
        for c in 0..BLOCK {
            let grad = load(&grads[c][p..p + LANES]);
            for s in 0..SHIFTS {
                sums[c][s] = multiply_add::<FUSED>(grad, pixels[s], sums[c][s]);
            }
        }
    }
    sums.map(|row| row.map(|v| ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]))))
}
