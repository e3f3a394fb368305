//! Convolution of kernel 1 or 3, stride 1, same padding: forward and both gradients.
//!
//! Direct convolution on rows that were copied with a zero border: under every tap of the kernel
//! the pixels of a tile lie at one fixed distance, so that no column matrix is built.

use rayon::prelude::*;

use super::micro::{BLOCK, Level};
use super::pack::{Band, pack_weight, turn_weight};

/// Bytes of packed rows that a task works on: they should stay in its second-level cache.
const CACHE: usize = 192 * 1024;
/// Partial sums of a weight gradient; they do not depend on the number of threads.
const PARTS: usize = 16;

/// Shape of a convolution `[n, inputs, height, width]` to `[n, outputs, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nn::layer) struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Side of the kernel, 1 or 3.
    pub kernel: usize,
}

impl ConvShape {
    fn area(&self) -> usize {
        self.height * self.width
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Bands of output rows whose packed planes, `planes` of them, fit in the cache.
    fn bands(&self, planes: usize) -> impl Iterator<Item = Band> + Clone + use<> {
        let (height, width, halo) = (self.height, self.width, self.kernel / 2);
        let row = planes * (width + 2 * halo) * size_of::<f32>();
        let most = (CACHE / row).saturating_sub(2 * halo).max(4);
        let count = height.div_ceil(most).max(1);
        let rows = height.div_ceil(count).max(1);
        (0..height).step_by(rows).map(move |start| Band {
            start,
            rows: rows.min(height - start),
            height,
            width,
            halo,
        })
    }
}

/// `[n, inputs, h, w]` to `[n, outputs, h, w]`; `weight` is `[outputs, inputs, k, k]`.
pub(in crate::nn::layer) fn forward(
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
) -> Vec<f32> {
    match shape.kernel {
        1 => convolve::<1>(input, weight, bias, shape),
        _ => convolve::<9>(input, weight, bias, shape),
    }
}

/// Gradient of the input from that of the output.
pub(in crate::nn::layer) fn input_grad(
    grad: &[f32],
    weight: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let turned = turn_weight(weight, shape.outputs, shape.inputs, shape.taps());
    let shape = ConvShape {
        inputs: shape.outputs,
        outputs: shape.inputs,
        ..*shape
    };
    forward(grad, &turned, None, &shape)
}

/// Gradient of the weight, `[outputs, inputs, k, k]`.
pub(in crate::nn::layer) fn weight_grad(
    input: &[f32],
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    match shape.kernel {
        1 => correlate::<1, 1>(input, grad, shape),
        _ => correlate::<3, 9>(input, grad, shape),
    }
}

/// Distances of the taps of a kernel in packed rows of length `stride`.
fn offsets<const TAPS: usize>(kernel: usize, stride: usize) -> [usize; TAPS] {
    std::array::from_fn(|t| t / kernel * stride + t % kernel)
}

fn convolve<const TAPS: usize>(
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
) -> Vec<f32> {
    let level = Level::detect();
    let area = shape.area();
    let mut output = vec![0.0; shape.batch * shape.outputs * area];
    if output.is_empty() || shape.inputs == 0 {
        return output;
    }
    let weight = pack_weight(weight, shape.outputs, shape.inputs, TAPS);
    let block = BLOCK * shape.inputs * TAPS;
    output
        .par_chunks_exact_mut(shape.outputs * area)
        .zip(input.par_chunks_exact(shape.inputs * area))
        .for_each_init(Vec::new, |packed, (output, input)| {
            for band in shape.bands(shape.inputs) {
                band.pack_input(input, packed);
                let plane = band.input_plane();
                let taps = offsets::<TAPS>(shape.kernel, band.stride());
                let mut tile = [[0.0; _]; BLOCK];
                for start in band.tiles() {
                    let taps = taps.map(|t| t + start);
                    for (b, (output, weight)) in output
                        .chunks_mut(BLOCK * area)
                        .zip(weight.chunks_exact(block))
                        .enumerate()
                    {
                        let init = std::array::from_fn(|c| {
                            bias.and_then(|v| v.get(b * BLOCK + c))
                                .copied()
                                .unwrap_or(0.0)
                        });
                        level.tile(packed, plane, &taps, weight, init, &mut tile);
                        for (plane, tile) in output.chunks_exact_mut(area).zip(&tile) {
                            band.unpack(tile, start, plane);
                        }
                    }
                }
            }
        });
    output
}

fn correlate<const SIDE: usize, const TAPS: usize>(
    input: &[f32],
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let level = Level::detect();
    let size = shape.outputs * shape.inputs * TAPS;
    let units: Vec<(usize, Band)> = (0..shape.batch)
        .flat_map(|n| {
            shape
                .bands(shape.inputs + shape.outputs)
                .map(move |band| (n, band))
        })
        .collect();
    let per_part = units.len().div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f32>> = units
        .par_chunks(per_part)
        .map(|units| {
            let mut sums = vec![0.0; size];
            let (mut x, mut dy) = (Vec::new(), Vec::new());
            for &(n, band) in units {
                let images = shape.inputs * shape.area();
                band.pack_input(&input[n * images..(n + 1) * images], &mut x);
                let images = shape.outputs * shape.area();
                band.pack_grad(&grad[n * images..(n + 1) * images], &mut dy);
                let plane = band.grad_plane();
                for (dy, sums) in dy
                    .chunks_exact(BLOCK * plane)
                    .zip(sums.chunks_mut(BLOCK * shape.inputs * TAPS))
                {
                    for (i, x) in x.chunks_exact(band.input_plane()).enumerate() {
                        for row in 0..SIDE {
                            let x = &x[row * band.stride()..];
                            let dots = level.dots::<SIDE>(dy, plane, x, plane);
                            for (sums, dots) in sums.chunks_exact_mut(shape.inputs * TAPS).zip(dots)
                            {
                                let to = &mut sums[i * TAPS + row * SIDE..][..SIDE];
                                for (sum, dot) in to.iter_mut().zip(dots) {
                                    *sum += dot;
                                }
                            }
                        }
                    }
                }
            }
            sums
        })
        .collect();
    let mut parts = parts.into_iter();
    let mut sums = parts.next().unwrap_or_else(|| vec![0.0; size]);
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums
}
