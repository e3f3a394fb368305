//! Convolution of kernel 1 or 3, stride 1, same padding: forward and both gradients.
//!
//! Direct convolution on rows that were copied with a zero border: under every tap of the kernel
//! the pixels of a tile lie at one fixed distance, so that no column matrix is built.

use super::input::{Images, Input};
use super::lanes::LANES;
use super::micro::{BLOCK, GRADS, Level, ROWS, Stack, TILE};
use super::pack::{Band, Layout, Weight, interleave, zeros};
use super::tasks;

pub(in crate::nn::layer) use super::pack::turn;

/// Bytes of packed rows that a task works on: they should stay in its second-level cache.
const CACHE: usize = 768 * 1024;
/// Pixels of one channel that go into one scalar product: those of five channels should stay in
/// the first-level cache.
const SEGMENTS: usize = 2048;
/// Most partial sums of a weight gradient; their number does not depend on that of threads.
const PARTS: usize = 16;
/// Pixels that a partial sum covers at least.
const PART: usize = 2048;

/// Shape of a convolution `[n, inputs, height, width]` to `[n, outputs, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nn::layer) struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Channels in; of volumes those of three slices.
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

    /// Processor cycles that one pass takes, roughly.
    fn cost(&self) -> usize {
        self.batch * self.inputs * self.outputs * self.area() * self.taps() / (2 * LANES)
    }

    /// Distance from one packed row to the next.
    fn stride(&self) -> usize {
        self.width + self.kernel - 1
    }

    /// Distances of the taps of the kernel in packed rows.
    fn offsets(&self) -> Vec<usize> {
        let taps = 0..self.taps();
        let offset = |t| t / self.kernel * self.stride() + t % self.kernel;
        taps.map(offset).collect()
    }

    fn weight<'a>(&self, values: &'a [f32], turned: bool) -> Weight<'a> {
        Weight {
            values,
            outputs: self.outputs,
            inputs: self.inputs,
            taps: self.taps(),
            turned,
        }
    }

    /// Bands of at most `most` output rows, all of nearly the same height.
    fn bands(&self, most: usize) -> impl Iterator<Item = Band> + Clone + use<> {
        let (height, width, halo) = (self.height, self.width, self.kernel / 2);
        let count = height.div_ceil(most.max(1)).max(1);
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
    input: &Input,
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
) -> Vec<f32> {
    let mut output = vec![0.0; shape.batch * shape.outputs * shape.area()];
    forward_into(input, weight, bias, shape, &mut output);
    output
}

/// [`forward`] into `output`, whatever it holds.
pub(in crate::nn::layer) fn forward_into(
    input: &Input,
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
    output: &mut [f32],
) {
    convolve(input, &shape.weight(weight, false), bias, shape, output);
}

/// Gradient of the input from that of the output.
pub(in crate::nn::layer) fn input_grad(
    grad: &[f32],
    weight: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let shape = ConvShape {
        inputs: shape.outputs,
        outputs: shape.inputs,
        ..*shape
    };
    let grad = Input::of(Images::new(grad, shape.inputs));
    let mut output = vec![0.0; shape.batch * shape.outputs * shape.area()];
    let weight = shape.weight(weight, true);
    convolve(&grad, &weight, None, &shape, &mut output);
    output
}

fn convolve(
    input: &Input,
    weight: &Weight,
    bias: Option<&[f32]>,
    shape: &ConvShape,
    output: &mut [f32],
) {
    let area = shape.area();
    if output.is_empty() || shape.inputs == 0 {
        output.fill(0.0);
        return;
    }
    let bias = |b: usize| {
        std::array::from_fn(|c| {
            let bias = bias.and_then(|v| v.get(b * BLOCK + c));
            bias.copied().unwrap_or(0.0)
        })
    };
    let level = Level::detect();
    let mut weights = vec![0.0; weight.packed()];
    let block = weight.block();
    tasks::for_each_chunk(&mut weights, block, block, |(), b, packed| {
        weight.pack(b, packed);
    });
    let row = shape.inputs * shape.stride() * size_of::<f32>();
    let rows = (CACHE / row).saturating_sub(shape.kernel - 1).max(4);
    let offsets = shape.offsets();
    let cost = shape.cost() / shape.batch;
    tasks::for_each_chunk(
        output,
        shape.outputs * area,
        cost,
        |packed: &mut Vec<f32>, n, output| {
            for band in shape.bands(rows) {
                let plane = band.input_plane();
                let packed = zeros(packed, shape.inputs * plane);
                tasks::for_each_chunk(packed, plane, plane, |(), i, packed| {
                    if let Some(plane) = input.plane(n, i, area) {
                        band.pack_input(plane, packed);
                    }
                });
                let packed = Stack {
                    values: packed,
                    distance: plane,
                    offsets: &offsets,
                };
                // In parallel within an image, too: there may be fewer images than threads.
                let cost = cost * band.rows / shape.height / shape.outputs.div_ceil(BLOCK);
                tasks::for_each_chunk(output, BLOCK * area, cost, |(), b, output| {
                    // A block of weights serves the whole band.
                    let weight = &weights[b * block..weights.len().min((b + 1) * block)];
                    let init = bias(b);
                    let mut tile = [[0.0; TILE]; BLOCK];
                    for pixels in band.tiles() {
                        level.tile(packed, weight, init, pixels.clone(), &mut tile);
                        for (plane, tile) in output.chunks_exact_mut(area).zip(&tile) {
                            band.unpack(&tile[..pixels.len()], pixels.start, plane);
                        }
                    }
                });
            }
        },
    );
}

/// Gradient of the weight, `[outputs, inputs, k, k]`.
pub(in crate::nn::layer) fn weight_grad(
    input: &Input,
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let units: Vec<(usize, Band)> = (0..shape.batch)
        .flat_map(|n| {
            shape
                .bands(SEGMENTS / shape.stride())
                .map(move |band| (n, band))
        })
        .collect();
    let length: usize = units.iter().map(|(_, band)| band.length()).sum();
    let parts = (length / PART).clamp(1, PARTS);
    let per_part = units.len().div_ceil(parts).max(1);
    let parts: Vec<&[(usize, Band)]> = units.chunks(per_part).collect();
    let cost = shape.cost() / parts.len().max(1);
    let sums = tasks::map(parts.len(), cost, |i| {
        weight_grad_part(parts[i], input, grad, shape)
    });
    let mut parts = sums.into_iter();
    let size = shape.outputs * shape.inputs * shape.taps();
    let mut sums = parts.next().unwrap_or_else(|| vec![0.0; size]);
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums
}

/// Sum over some bands of some images.
fn weight_grad_part(
    units: &[(usize, Band)],
    input: &Input,
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let level = Level::detect();
    let mut sums = vec![0.0; shape.outputs * shape.inputs * shape.taps()];
    // The rows of one scalar product: the taps of a channel, or channels.
    let channels = ROWS / shape.taps();
    let (mut x, mut dy) = (Vec::new(), Vec::new());
    let area = shape.area();
    // Bands of one shape go together, so that the sums of lanes at the end cost little.
    for units in units.chunk_by(|(_, a), (_, b)| a.rows == b.rows) {
        let band = units[0].1;
        for units in units.chunks((SEGMENTS / band.grad_plane()).max(1)) {
            let layout = Layout::new(&band, units.len());
            let inputs = shape.inputs.next_multiple_of(channels);
            let x = zeros(&mut x, inputs * layout.input_channel);
            let length = layout.input_channel;
            tasks::for_each_chunk(x, length, length, |(), i, x| {
                if i >= shape.inputs {
                    return;
                }
                for (g, (n, band)) in units.iter().enumerate() {
                    if let Some(plane) = input.plane(*n, i, area) {
                        band.pack_input(plane, &mut x[g * layout.input_slot..]);
                    }
                }
            });
            let group = GRADS * layout.grad_channel;
            let dy = zeros(&mut dy, shape.outputs.div_ceil(GRADS) * group);
            tasks::for_each_chunk(dy, group, group, |flat: &mut Vec<f32>, b, dy| {
                let flat = zeros(flat, layout.grad_channel);
                for o in b * GRADS..shape.outputs.min((b + 1) * GRADS) {
                    for (g, (n, band)) in units.iter().enumerate() {
                        let plane = &grad[(n * shape.outputs + o) * area..][..area];
                        band.pack_grad(plane, &mut flat[g * layout.grad_slot..]);
                    }
                    interleave(flat, o % GRADS, dy);
                }
            });
            let taps = shape.offsets();
            let offset = |r: usize| r / taps.len() * layout.input_channel + taps[r % taps.len()];
            let offsets: [usize; ROWS] = std::array::from_fn(offset);
            let row = shape.inputs * shape.taps();
            let cost = row * group / LANES;
            tasks::for_each_chunk(&mut sums, GRADS * row, cost, |(), b, sums| {
                let dy = &dy[b * group..][..group];
                for (i, x) in x.chunks_exact(channels * layout.input_channel).enumerate() {
                    let x = Stack {
                        values: x,
                        distance: layout.input_slot,
                        offsets: &offsets,
                    };
                    let dots = level.dots(dy, layout.length, x);
                    for (c, sums) in sums.chunks_exact_mut(row).enumerate() {
                        for (sum, dots) in sums[i * ROWS..].iter_mut().zip(&dots) {
                            *sum += dots[c];
                        }
                    }
                }
            });
        }
    }
    sums
}
