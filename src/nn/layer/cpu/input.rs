//! What a convolution reads, as it lies.
//!
//! Images whose channels follow one another, slices of a volume, numbers that are still to be
//! normalised: they come together where rows are packed, and are never written down before.

use std::ops::Range;

use super::map::{self, Affine};

/// Images `[n, channels, area]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct Images<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Channels of an image.
    pub channels: usize,
    /// What is done to the numbers of each channel on the way; nothing where this is empty.
    pub maps: &'a [Affine],
}

impl<'a> Images<'a> {
    /// Images as they are.
    pub(in crate::nn::layer) fn new(values: &'a [f32], channels: usize) -> Self {
        let maps = &[];
        Self {
            values,
            channels,
            maps,
        }
    }

    fn plane(&self, n: usize, i: usize, area: usize) -> Plane<'a> {
        Plane {
            pixels: &self.values[(n * self.channels + i) * area..][..area],
            map: self.maps.get(i).copied(),
        }
    }
}

/// Input of a convolution.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct Input<'a> {
    /// The first channels.
    pub first: Images<'a>,
    /// The channels behind them.
    pub second: Option<Images<'a>>,
    /// Slices of a volume, of which each image is one: its channels are then those of the slice
    /// before it, its own, and those of the slice behind it, zeros beyond the ends.
    pub depth: Option<usize>,
}

impl<'a> Input<'a> {
    /// Images alone.
    pub(in crate::nn::layer) fn of(first: Images<'a>) -> Self {
        Self {
            first,
            second: None,
            depth: None,
        }
    }

    /// Channel `i` of image `n`; nothing beyond the ends of a volume.
    pub(super) fn plane(&self, n: usize, i: usize, area: usize) -> Option<Plane<'a>> {
        let (mut n, mut i) = (n, i);
        if let Some(depth) = self.depth {
            let channels = self.first.channels + self.second.map_or(0, |images| images.channels);
            let place = (n % depth + i / channels).checked_sub(1);
            n = n - n % depth + place.filter(|place| *place < depth)?;
            i %= channels;
        }
        match i.checked_sub(self.first.channels) {
            None => Some(self.first.plane(n, i, area)),
            Some(i) => Some(self.second?.plane(n, i, area)),
        }
    }
}

/// One channel of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane<'a> {
    pixels: &'a [f32],
    map: Option<Affine>,
}

impl Plane<'_> {
    /// Writes some of its pixels.
    pub(super) fn write(&self, pixels: Range<usize>, to: &mut [f32]) {
        match self.map {
            None => to.copy_from_slice(&self.pixels[pixels]),
            Some(affine) => map::apply(&self.pixels[pixels], affine, to),
        }
    }
}
