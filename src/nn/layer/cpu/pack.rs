//! Copies of image rows with zeros around them, and of weights in the order of the inner loop.

use super::lanes::LANES;
use super::micro::{BLOCK, TILE};

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

    /// Packs the planes of `image` (`[planes, height, width]`) with their halo to `packed`, which
    /// is zero, at distances of `channel`.
    pub(super) fn pack_input(&self, image: &[f32], packed: &mut [f32], channel: usize) {
        let stride = self.stride();
        for (plane, packed) in image
            .chunks_exact(self.height * self.width)
            .zip(packed.chunks_mut(channel))
        {
            let above = self.start.saturating_sub(self.halo);
            let below = (self.start + self.rows + self.halo).min(self.height);
            for y in above..below {
                packed[(y + self.halo - self.start) * stride + self.halo..][..self.width]
                    .copy_from_slice(&plane[y * self.width..][..self.width]);
            }
        }
    }

    /// Packs the planes of `grad` (`[planes, height, width]`) without halo at distances of
    /// `channel`; the places between rows stay zero.
    pub(super) fn pack_grad(&self, grad: &[f32], packed: &mut [f32], channel: usize) {
        let stride = self.stride();
        for (plane, packed) in grad
            .chunks_exact(self.height * self.width)
            .zip(packed.chunks_mut(channel))
        {
            for i in 0..self.rows {
                packed[i * stride..][..self.width]
                    .copy_from_slice(&plane[(self.start + i) * self.width..][..self.width]);
            }
        }
    }

    /// Flat positions where tiles start, so that together they cover every pixel of the band.
    pub(super) fn tiles(&self) -> impl Iterator<Item = usize> {
        let (stride, rows) = (self.stride(), self.rows);
        let per_row = self.width.div_ceil(TILE);
        let flat = self.length().div_ceil(TILE);
        let by_row = rows * per_row <= flat;
        let count = if by_row { rows * per_row } else { flat };
        (0..count).map(move |i| {
            if by_row {
                i / per_row * stride + i % per_row * TILE
            } else {
                i * TILE
            }
        })
    }

    /// Writes the pixels of a tile that starts at flat position `start` to a plane of the output.
    pub(super) fn unpack(&self, tile: &[f32; TILE], start: usize, plane: &mut [f32]) {
        let stride = self.stride();
        let (mut y, mut x) = (start / stride, start % stride);
        if x + TILE <= self.width {
            let to = (self.start + y) * self.width + x;
            plane[to..to + TILE].copy_from_slice(tile);
            return;
        }
        let mut done = 0;
        while done < TILE && y < self.rows {
            if x < self.width {
                let count = (self.width - x).min(TILE - done);
                let to = (self.start + y) * self.width + x;
                plane[to..to + count].copy_from_slice(&tile[done..done + count]);
            }
            done += stride - x;
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
    /// Distance from one channel of packed inputs to the next.
    pub(super) input_channel: usize,
    /// Distance from one image to the next in a channel of packed gradients.
    pub(super) grad_slot: usize,
    /// Distance from one channel of packed gradients to the next.
    pub(super) grad_channel: usize,
    /// Pieces of a scalar product.
    pub(super) segments: usize,
    /// Length of a piece.
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
                segments: images,
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
            segments: 1,
            length,
        }
    }
}

/// Weights `[out, in, taps]` as `[out / BLOCK, in, taps, BLOCK]`, zero where the last block has no
/// channel.
pub(super) fn pack_weight(weight: &[f32], outputs: usize, inputs: usize, taps: usize) -> Vec<f32> {
    let mut packed = vec![0.0; outputs.next_multiple_of(BLOCK) * inputs * taps];
    for (o, rows) in weight.chunks_exact(inputs * taps).enumerate() {
        let block = &mut packed[o / BLOCK * BLOCK * inputs * taps..][..BLOCK * inputs * taps];
        for (to, from) in block[o % BLOCK..].iter_mut().step_by(BLOCK).zip(rows) {
            *to = *from;
        }
    }
    packed
}

/// Weights of the convolution that gives the input gradient: channels swapped, kernel turned
/// by half a turn.
pub(super) fn turn_weight(weight: &[f32], outputs: usize, inputs: usize, taps: usize) -> Vec<f32> {
    let mut turned = vec![0.0; weight.len()];
    for o in 0..outputs {
        for i in 0..inputs {
            let from = &weight[(o * inputs + i) * taps..][..taps];
            let to = &mut turned[(i * outputs + o) * taps..][..taps];
            for (to, from) in to.iter_mut().zip(from.iter().rev()) {
                *to = *from;
            }
        }
    }
    turned
}
