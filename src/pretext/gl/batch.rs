//! Batches of the two stages.

use std::sync::Arc;

use super::super::part::Source;
use super::super::part::augment::{Window, add, contrast, in_unit, resize};
use super::{GlOptions, JitterPer, PartBounds};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, TrainError, whole_steps};

/// The view of one epoch.
pub struct Plan<'a> {
    pub(super) source: Source<'a>,
    /// The images of each volume, in order of z.
    pub(super) volumes: Arc<Vec<Vec<usize>>>,
    pub(super) options: GlOptions,
    pub(super) epoch: u64,
    /// Whether the epoch belongs to the local stage.
    pub(super) local: bool,
}

/// What one pass reads.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Images of several volumes: of each volume all parts as they are, then augmented copies.
    Global {
        /// Volumes.
        volumes: usize,
        /// `[volumes * copies * parts, c, h, w]`.
        values: Vec<f32>,
    },
    /// Two copies of every image that differ in intensity alone.
    Local {
        /// Images.
        n: usize,
        /// `[2 n, c, h, w]`, all first copies before the second ones.
        values: Vec<f32>,
    },
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    /// In the global stage as many steps of as many images as there would be, but of volumes, each
    /// with one slice of every part.
    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        if self.local {
            return whole_steps(shuffled);
        }
        let size = shuffled.first().map_or(0, Vec::len);
        let parts = self.options.parts;
        let count = (size / parts).max(2);
        let key = [self.source.seed, self.epoch, u64::MAX];
        let mut stream = Stream::new(Purpose::Shuffle, &key);
        let whole = whole_steps(shuffled).len();
        (0..whole)
            .map(|_| {
                let chosen = self.draw(count, &mut stream);
                chosen
                    .into_iter()
                    .flat_map(|slices| {
                        let bound = |k: usize| match self.options.bounds {
                            PartBounds::Even => k * slices.len() / parts,
                            PartBounds::Floor => k * (slices.len() / parts),
                        };
                        (0..parts)
                            .map(|k| slices[bound(k) + stream.below(bound(k + 1) - bound(k))])
                            .collect::<Vec<_>>()
                    })
                    .collect()
            })
            .collect()
    }

    fn batch(&self, slices: &[usize]) -> Result<Batch, TrainError> {
        if self.local {
            Ok(self.copies(slices))
        } else {
            self.of_volumes(slices)
        }
    }
}

impl Plan<'_> {
    /// `count` volumes of a step, or as many distinct ones as there are.
    fn draw(&self, count: usize, stream: &mut Stream) -> Vec<&Vec<usize>> {
        let mut order: Vec<&Vec<usize>> = self.volumes.iter().collect();
        if self.options.repeat_volumes {
            return (0..count)
                .map(|_| order[stream.below(order.len())])
                .collect();
        }
        stream.shuffle(&mut order);
        order.truncate(count);
        order
    }

    fn copies(&self, slices: &[usize]) -> Batch {
        let [channels, height, width] = self.source.images.shape();
        let size = channels * height * width;
        let mut values = vec![0.0; 2 * slices.len() * size];
        let copies = [0, 1].map(|copy| slices.iter().map(move |&index| (copy, index)));
        let rows = copies.into_iter().flatten();
        for ((copy, index), image) in rows.zip(values.chunks_exact_mut(size)) {
            self.source.images.image(index, image);
            let mut stream = self.jitters(slices, index, copy);
            self.jitter(index, image, &mut stream);
        }
        Batch::Local {
            n: slices.len(),
            values,
        }
    }

    fn of_volumes(&self, slices: &[usize]) -> Result<Batch, TrainError> {
        let parts = self.options.parts;
        if slices.len() < 2 * parts || !slices.len().is_multiple_of(parts) {
            return Err(TrainError::Options {
                field: "pretrain.micro_batch",
                reason: format!(
                    "{} images do not hold {parts} parts of two volumes or more",
                    slices.len()
                ),
            });
        }
        let [channels, height, width] = self.source.images.shape();
        let size = channels * height * width;
        let copies = self.options.attraction.copies();
        let mut values = Vec::with_capacity(slices.len() * copies * size);
        for volume in slices.chunks(parts) {
            let start = values.len();
            for &index in volume {
                let from = values.len();
                values.resize(from + size, 0.0);
                self.source.images.image(index, &mut values[from..]);
            }
            for copy in 1..copies {
                for (p, &index) in volume.iter().enumerate() {
                    let from = start + p * size;
                    let image = values[from..from + size].to_vec();
                    values.extend(self.augmented(slices, index, &image, copy));
                }
            }
        }
        Ok(Batch::Global {
            volumes: slices.len() / parts,
            values,
        })
    }

    /// What is drawn for a copy of an image.
    fn stream(&self, index: usize, copy: usize) -> Stream {
        let id = self.source.images.id(index);
        let key = [self.source.seed, self.epoch, id, copy as u64];
        Stream::new(Purpose::Augment, &key)
    }

    /// What is drawn for the intensities of a copy of an image in a pass of `slices`, if nothing
    /// else is drawn for it.
    fn jitters(&self, slices: &[usize], index: usize, copy: usize) -> Stream {
        match (self.options.jitter_per, slices) {
            (JitterPer::Batch, [first, ..]) => self.stream(*first, copy),
            _ => self.stream(index, copy),
        }
    }

    /// A window of 100 of 192 pixels, brought back to the size of the slice, with another brightness
    /// and contrast.
    fn augmented(&self, slices: &[usize], index: usize, image: &[f32], copy: usize) -> Vec<f32> {
        let [height, width] = self.source.size();
        let mut stream = self.stream(index, copy);
        let [(top, rows), (left, cols)] = [height, width].map(|side| {
            let (crop, low, high) = window(side);
            (low + stream.below(high - low + 1), crop)
        });
        let window = Window {
            top,
            left,
            height: rows,
            width: cols,
        };
        let mut view = resize(image, [height, width], window, [height, width]);
        if self.options.jitter_per == JitterPer::Batch {
            stream = self.jitters(slices, index, copy);
        }
        self.jitter(index, &mut view, &mut stream);
        view
    }

    /// Another brightness and contrast.
    fn jitter(&self, index: usize, view: &mut [f32], stream: &mut Stream) {
        let [height, width] = self.source.size();
        let j = self.options.jitter;
        let shift = stream.range(-j, j) as f32;
        let factor = stream.range(1.0 - j, 1.0 + j) as f32;
        let bounds = self.source.bounds(index);
        let top = self.options.brightest as f32;
        in_unit(view, height * width, bounds, |plane| {
            add(plane, shift, top);
            contrast(plane, factor, top);
        });
    }
}

/// Side of the window in a slice of `side` pixels, and the first and last place where it begins.
fn window(side: usize) -> (usize, usize, usize) {
    let crop = ((100 * side) as f64 / 192.0).round().max(1.0) as usize;
    let last = (69 * side / 192).min(side - crop.min(side));
    let first = (10 * side).div_ceil(192).min(last);
    (crop.min(side), first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_the_specification() {
        assert_eq!(window(192), (100, 10, 69));
        assert_eq!(window(144), (75, 8, 51));
        assert_eq!(window(160), (83, 9, 57));
        assert_eq!(window(16), (8, 1, 5));
    }
}
