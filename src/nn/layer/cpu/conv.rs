//! Convolution of kernel 1 or 3, stride 1, same padding: forward and both gradients.
//!
//! Direct convolution on rows that were copied with a zero border: under every tap of the kernel
//! the pixels of a tile lie at one fixed distance, so that no column matrix is built.

use super::lanes::LANES;
use super::micro::{BLOCK, GRADS, Level, ROWS, Stack, TILE};
use super::pack::{Band, Layout, Weight, interleave};
use super::tasks;

/// Bytes of packed rows that a task works on: they should stay in its second-level cache.
const CACHE: usize = 768 * 1024;
/// How many more weights than pixels there are where the weights decide how a convolution goes.
const MANY: usize = 8;
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
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &ConvShape,
) -> Vec<f32> {
    convolve(input, &shape.weight(weight, false), bias, shape)
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
    convolve(grad, &shape.weight(weight, true), None, &shape)
}

/// Gradient of the weight, `[outputs, inputs, k, k]`.
pub(in crate::nn::layer) fn weight_grad(
    input: &[f32],
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    correlate(input, grad, shape)
}

/// One band of one block of output channels: a block of weights serves all its tiles.
struct Block<'a> {
    level: Level,
    band: Band,
    /// Distances of the taps of the kernel.
    taps: &'a [usize],
    /// Packed weights.
    weight: &'a [f32],
    bias: [f32; BLOCK],
}

impl Block<'_> {
    /// From packed rows of all channels in to the planes of these channels out.
    fn run(&self, input: &[f32], output: &mut [f32]) {
        let input = Stack {
            values: input,
            distance: self.band.input_plane(),
        };
        let mut tile = [[0.0; TILE]; BLOCK];
        let mut taps = [0; 9];
        let taps = &mut taps[..self.taps.len()];
        let area = self.band.height * self.band.width;
        for (start, pixels) in self.band.tiles() {
            for (tap, offset) in taps.iter_mut().zip(self.taps) {
                *tap = start + offset;
            }
            self.level
                .tile(input, taps, self.weight, self.bias, pixels, &mut tile);
            for (plane, tile) in output.chunks_exact_mut(area).zip(&tile) {
                self.band.unpack(&tile[..pixels], start, plane);
            }
        }
    }
}

fn convolve(input: &[f32], weight: &Weight, bias: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let mut output = vec![0.0; shape.batch * shape.outputs * shape.area()];
    if output.is_empty() || shape.inputs == 0 {
        return output;
    }
    let bias = |b: usize| {
        std::array::from_fn(|c| {
            let bias = bias.and_then(|v| v.get(b * BLOCK + c));
            bias.copied().unwrap_or(0.0)
        })
    };
    if shape.taps() * shape.outputs > MANY * shape.batch * shape.area() {
        convolve_blocks(input, weight, bias, shape, &mut output);
    } else {
        convolve_images(input, weight, bias, shape, &mut output);
    }
    output
}

/// Image by image: its rows are packed band by band, the weights once.
fn convolve_images(
    input: &[f32],
    weight: &Weight,
    bias: impl Fn(usize) -> [f32; BLOCK] + Sync,
    shape: &ConvShape,
    output: &mut [f32],
) {
    let level = Level::detect();
    let mut packed_weight = vec![0.0; weight.packed()];
    let block = weight.block();
    tasks::for_each_chunk(&mut packed_weight, block, block, |(), b, packed| {
        weight.pack(b, packed);
    });
    let row = shape.inputs * shape.stride() * size_of::<f32>();
    let rows = (CACHE / row).saturating_sub(shape.kernel - 1).max(4);
    let image = shape.inputs * shape.area();
    let taps = shape.offsets();
    let cost = shape.cost() / shape.batch;
    tasks::for_each_chunk(
        output,
        shape.outputs * shape.area(),
        cost,
        |packed: &mut Vec<f32>, n, output| {
            for band in shape.bands(rows) {
                let plane = band.input_plane();
                packed.clear();
                packed.resize(shape.inputs * plane, 0.0);
                band.pack_input(&input[n * image..][..image], packed, plane);
                // Within an image, too: there may be fewer images than threads.
                let length = BLOCK * shape.area();
                let cost = cost * band.rows / shape.height / shape.outputs.div_ceil(BLOCK);
                tasks::for_each_chunk(output, length, cost, |(), b, output| {
                    let weight = &packed_weight[b * block..];
                    let weight = &weight[..block.min(weight.len())];
                    let block = Block {
                        level,
                        band,
                        taps: &taps,
                        weight,
                        bias: bias(b),
                    };
                    block.run(packed, output);
                });
            }
        },
    );
}

/// Block of output channels by block, where weights are far more than pixels: a block of weights is packed once for all images, which are packed whole.
fn convolve_blocks(
    input: &[f32],
    weight: &Weight,
    bias: impl Fn(usize) -> [f32; BLOCK] + Sync,
    shape: &ConvShape,
    output: &mut [f32],
) {
    let level = Level::detect();
    let taps = shape.offsets();
    let area = shape.area();
    for band in shape.bands(shape.height) {
        let plane = band.input_plane();
        let mut packed = vec![0.0; shape.batch * shape.inputs * plane];
        tasks::for_each_chunk(&mut packed, plane, plane, |(), i, packed| {
            band.pack_input(&input[i * area..][..area], packed, plane);
        });
        let mut blocks: Vec<Vec<&mut [f32]>> = Vec::new();
        blocks.resize_with(shape.outputs.div_ceil(BLOCK), Vec::new);
        for image in output.chunks_exact_mut(shape.outputs * area) {
            for (block, planes) in blocks.iter_mut().zip(image.chunks_mut(BLOCK * area)) {
                block.push(planes);
            }
        }
        let cost = shape.cost() / blocks.len();
        tasks::for_each(blocks, cost, |packed_weight: &mut Vec<f32>, b, images| {
            packed_weight.clear();
            packed_weight.resize(
                weight.block().min(weight.packed() - b * weight.block()),
                0.0,
            );
            weight.pack(b, packed_weight);
            let bias = bias(b);
            let block = Block {
                level,
                band,
                taps: &taps,
                weight: packed_weight,
                bias,
            };
            for (input, output) in packed.chunks_exact(shape.inputs * plane).zip(images) {
                block.run(input, output);
            }
        });
    }
}

fn correlate(input: &[f32], grad: &[f32], shape: &ConvShape) -> Vec<f32> {
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
        correlate_part(parts[i], input, grad, shape)
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
fn correlate_part(
    units: &[(usize, Band)],
    input: &[f32],
    grad: &[f32],
    shape: &ConvShape,
) -> Vec<f32> {
    let level = Level::detect();
    let mut sums = vec![0.0; shape.outputs * shape.inputs * shape.taps()];
    // The rows of one scalar product: the taps of a channel, or channels.
    let channels = ROWS / shape.taps();
    let (mut x, mut dy, mut flat) = (Vec::new(), Vec::new(), Vec::new());
    // Bands of one shape go together, so that the sums of lanes at the end cost little.
    for units in units.chunk_by(|(_, a), (_, b)| a.rows == b.rows) {
        let band = units[0].1;
        for units in units.chunks((SEGMENTS / band.grad_plane()).max(1)) {
            let layout = Layout::new(&band, units.len());
            x.clear();
            x.resize(
                shape.inputs.next_multiple_of(channels) * layout.input_channel,
                0.0,
            );
            for (g, (n, band)) in units.iter().enumerate() {
                band.pack_input(
                    &input[n * shape.inputs * shape.area()..][..shape.inputs * shape.area()],
                    &mut x[g * layout.input_slot..],
                    layout.input_channel,
                );
            }
            let group = GRADS * layout.grad_channel;
            dy.clear();
            dy.resize(shape.outputs.div_ceil(GRADS) * group, 0.0);
            flat.clear();
            flat.resize(layout.grad_channel, 0.0);
            for o in 0..shape.outputs {
                for (g, (n, band)) in units.iter().enumerate() {
                    let plane = &grad[(n * shape.outputs + o) * shape.area()..][..shape.area()];
                    band.pack_grad(plane, &mut flat[g * layout.grad_slot..]);
                }
                interleave(&flat, o % GRADS, &mut dy[o / GRADS * group..][..group]);
            }
            let taps = shape.offsets();
            let offsets: [usize; ROWS] = std::array::from_fn(|r| {
                r / taps.len() * layout.input_channel + taps[r % taps.len()]
            });
            let row = shape.inputs * shape.taps();
            let cost = row * group / LANES;
            tasks::for_each_chunk(&mut sums, GRADS * row, cost, |(), b, sums| {
                let dy = &dy[b * group..][..group];
                for (i, x) in x.chunks_exact(channels * layout.input_channel).enumerate() {
                    let x = Stack {
                        values: x,
                        distance: layout.input_slot,
                    };
                    let dots = level.dots(dy, layout.length, x, &offsets);
                    for (sums, dots) in sums.chunks_exact_mut(row).zip(dots) {
                        for (sum, dot) in sums[i * ROWS..].iter_mut().zip(dots) {
                            *sum += dot;
                        }
                    }
                }
            });
        }
    }
    sums
}
