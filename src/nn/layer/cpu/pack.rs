//! Copies of image rows with zeros around them, and of weights in the order of the inner loop.

use std::ops::Range;

use super::input::Plane;
use super::lanes::LANES;
use super::micro::{BLOCK, GRADS, HALF, TILE};

/// Bytes of a line of the caches.
const LINE: usize = 64;

/// `length` zeros in `buffer`, from the start of a cache line on, so that no vector at a multiple
/// of its length straddles two.
pub(super) fn zeros(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    let most = LINE / size_of::<f32>();
    buffer.clear();
    buffer.resize(length + most, 0.0);
    let start = buffer.as_ptr().align_offset(LINE).min(most);
    &mut buffer[start..start + length]
}

/// Rows of a stack of planes, laid out so that a pixel and its neighbours under the kernel are at
/// fixed distances: every row is `stride` long, the image's `width` pixels and then zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// First output row.
    pub(super) start: usize,
    /// Output rows.
    pub(super) rows: usize,
    /// Height of the image.
    pub(super) height: usize,
    /// Width of the image.
    pub(super) width: usize,
    /// Pixels around the image, 0 or 1.
    pub(super) halo: usize,
}

impl Band {
    /// Distance from a row to the next.
    pub(super) fn stride(&self) -> usize {
        self.width + 2 * self.halo
    }

    /// Flat output positions, those between rows included.
    pub(super) fn length(&self) -> usize {
        self.rows * self.stride()
    }

    /// Length of one packed input plane; a whole tile may be read from any output position under
    /// any tap.
    pub(super) fn input_plane(&self) -> usize {
        (self.rows + 2 * self.halo) * self.stride() + TILE + 2 * self.halo
    }

    /// Length of one packed gradient plane.
    pub(super) fn grad_plane(&self) -> usize {
        self.length().next_multiple_of(LANES)
    }

    /// Packs a plane of `height` rows with its halo to `packed`, which is zero.
    pub(super) fn pack_input(&self, plane: Plane, packed: &mut [f32]) {
        let above = self.start.saturating_sub(self.halo);
        let below = (self.start + self.rows + self.halo).min(self.height);
        for y in above..below {
            let to = (y + self.halo - self.start) * self.stride() + self.halo;
            let row = y * self.width..(y + 1) * self.width;
            plane.write(row, &mut packed[to..][..self.width]);
        }
    }

    /// Packs a plane of `height` rows without halo; the places between rows stay zero.
    pub(super) fn pack_grad(&self, plane: &[f32], packed: &mut [f32]) {
        let rows = &plane[self.start * self.width..];
        for (row, packed) in rows
            .chunks_exact(self.width)
            .zip(packed.chunks_mut(self.stride()).take(self.rows))
        {
            packed[..self.width].copy_from_slice(row);
        }
    }

    /// Flat positions of tiles, which together cover every pixel of the band.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        // Rows one by one, or one after the other with what lies between: where it takes less time,
        // of which the vectors of a tile that is not full have more.
        let time = |length: usize| {
            2 * length.div_ceil(2 * LANES) + usize::from(!length.is_multiple_of(TILE))
        };
        let by_row = self.rows * time(self.width) <= time(self.length());
        let (count, distance, length) = if by_row {
            (self.rows, self.stride(), self.width)
        } else {
            (1, 0, self.length())
        };
        (0..count).flat_map(move |i| {
            let (start, end) = (i * distance, i * distance + length);
            (start..end)
                .step_by(TILE)
                .map(move |at| at..end.min(at + TILE))
        })
    }

    /// Writes the pixels of a tile that starts at flat position `start` to a plane of the output.
    pub(super) fn unpack(&self, tile: &[f32], start: usize, plane: &mut [f32]) {
        let stride = self.stride();
        let (mut y, mut x, mut tile) = (start / stride, start % stride, tile);
        while !tile.is_empty() && y < self.rows {
            if x < self.width {
                let count = (self.width - x).min(tile.len());
                let to = (self.start + y) * self.width + x;
                plane[to..to + count].copy_from_slice(&tile[..count]);
            }
            tile = &tile[(stride - x).min(tile.len())..];
            (y, x) = (y + 1, 0);
        }
    }
}

/// Flat positions of a band below which images are laid end to end.
const SMALL: usize = 128;

/// How bands of several images lie side by side for scalar products over all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Distance from one image to the next in a channel of packed inputs.
    pub(super) input_slot: usize,
    /// Length of a channel of packed inputs.
    pub(super) input_channel: usize,
    /// Distance from one image to the next in a channel of packed gradients.
    pub(super) grad_slot: usize,
    /// Length of a channel of packed gradients.
    pub(super) grad_channel: usize,
    /// Length of a piece of a scalar product.
    pub(super) length: usize,
}

impl Layout {
    /// Layout of `images` bands like `band`.
    pub(super) fn new(band: &Band, images: usize) -> Self {
        let length = band.grad_plane();
        if length >= SMALL {
            return Self {
                input_slot: band.input_plane(),
                input_channel: images * band.input_plane(),
                grad_slot: length,
                grad_channel: images * length,
                length,
            };
        }
        // Gradients get the gaps of the inputs, so that a product runs through all images.
        let slot = (band.rows + 2 * band.halo) * band.stride();
        let length = (images * slot).next_multiple_of(LANES);
        Self {
            input_slot: slot,
            input_channel: length + 2 * band.halo * (band.stride() + 1),
            grad_slot: slot,
            grad_channel: length,
            length,
        }
    }
}

/// Puts `channel`, the number `c` of a group of [`GRADS`], beside the others: [`LANES`] pixels of
/// each in turn.
pub(super) fn interleave(channel: &[f32], c: usize, group: &mut [f32]) {
    let groups = group.as_chunks_mut::<LANES>().0.chunks_exact_mut(GRADS);
    for (group, pixels) in groups.zip(channel.as_chunks().0) {
        group[c] = *pixels;
    }
}

/// Weights of a convolution in the order of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<'a> {
    /// `[out, in, taps]`, or `[in, out, taps]` where turned.
    pub(super) values: &'a [f32],
    /// Channels out.
    pub(super) outputs: usize,
    /// Channels in.
    pub(super) inputs: usize,
    /// Numbers of a pair of channels.
    pub(super) taps: usize,
    /// Whether they are those of a convolution of which this one gives the input gradient: channels
    /// swapped, kernels turned by half a turn.
    pub(super) turned: bool,
}

impl Weight<'_> {
    /// Length of a packed block.
    pub(super) fn block(&self) -> usize {
        BLOCK * self.inputs * self.taps
    }

    /// Length of all packed blocks: [`BLOCK`] channels out each, the last one [`HALF`] of them
    /// where that is enough.
    pub(super) fn packed(&self) -> usize {
        self.outputs.next_multiple_of(HALF) * self.inputs * self.taps
    }

    /// Packs block `b` as `[in, taps, out]` to `packed`, which is zero where it has no channel.
    pub(super) fn pack(&self, b: usize, packed: &mut [f32]) {
        let width = packed.len() / (self.inputs * self.taps);
        let first = b * BLOCK;
        let count = width.min(self.outputs - first);
        for (i, packed) in packed.chunks_exact_mut(self.taps * width).enumerate() {
            for c in 0..count {
                let to = packed[c..].iter_mut().step_by(width);
                let kernel = if self.turned {
                    i * self.outputs + first + c
                } else {
                    (first + c) * self.inputs + i
                };
                let from = &self.values[kernel * self.taps..][..self.taps];
                if self.turned {
                    to.zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
                } else {
                    to.zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(in crate::nn::layer) fn turn(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = vec![0.0; matrix.len()];
    for (i, row) in matrix.chunks_exact(columns.max(1)).take(rows).enumerate() {
        for (to, from) in turned[i..].iter_mut().step_by(rows).zip(row) {
            *to = *from;
        }
    }
    turned
}
