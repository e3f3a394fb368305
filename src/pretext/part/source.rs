//! The slices that views are made of.

use std::sync::Arc;

use super::Ranges;
use super::augment::{Window, foreground, random_resized_crop};
use crate::data::images::Images;
use crate::options::ViewOptions;
use crate::pretext::Setup;
use crate::random::{Purpose, Stream};
use crate::train::whole_steps;

/// Slices, their intensities, and how views of them are made. Clones share the ranges.
#[derive(Clone)]
pub struct Source<'a> {
    /// Slices.
    pub images: &'a dyn Images,
    /// What all views have in common.
    pub options: ViewOptions,
    /// Seed of the run.
    pub seed: u64,
    ranges: Arc<Ranges>,
}

impl<'a> Source<'a> {
    /// The training slices of a run. Reads each of them once.
    #[must_use]
    pub fn new(setup: &Setup<'a>) -> Self {
        Self::of(setup.images, setup.pretrain.views, setup.seed)
    }

    /// `images`, each of which is read once.
    #[must_use]
    pub fn of(images: &'a dyn Images, options: ViewOptions, seed: u64) -> Self {
        Self {
            images,
            options,
            seed,
            ranges: Arc::new(Ranges::of(images, options.range)),
        }
    }

    /// Height and width of the slices.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        let [_, height, width] = self.images.shape();
        [height, width]
    }

    /// `[low, high]` of each channel: what stands for 0 and 1 while intensities are changed.
    #[must_use]
    pub fn bounds(&self, index: usize) -> &[[f32; 2]] {
        self.ranges.bounds(self.images, index)
    }

    /// A window of slice `index`, whose pixels are `image`, of a random share within `crop`.
    #[must_use]
    pub fn window(
        &self,
        index: usize,
        image: &[f32],
        crop: [f64; 2],
        stream: &mut Stream,
    ) -> Window {
        let size = self.size();
        let shown = foreground(image, size[0] * size[1], self.bounds(index));
        random_resized_crop(size, crop, &shown, &self.options, stream)
    }

    /// The steps of an epoch: whole ones, of distinct volumes where that is asked for.
    #[must_use]
    pub fn steps(&self, shuffled: Vec<Vec<usize>>, epoch: u64) -> Vec<Vec<usize>> {
        let steps = whole_steps(shuffled);
        if !self.options.distinct_volumes {
            return steps;
        }
        let mut stream = Stream::new(Purpose::Shuffle, &[self.seed, epoch, u64::MAX]);
        let of = |index: usize| self.images.volume(index);
        distinct(&steps, of, &mut stream)
    }
}

/// As many steps as there are, of as many slices or as many as there are volumes: each draws its
/// volumes anew and goes on with the slices of each where the last one that had it stopped.
fn distinct(
    steps: &[Vec<usize>],
    volume_of: impl Fn(usize) -> usize,
    stream: &mut Stream,
) -> Vec<Vec<usize>> {
    let mut volumes: Vec<Vec<usize>> = Vec::new();
    for &index in steps.iter().flatten() {
        let volume = volume_of(index);
        if volumes.len() <= volume {
            volumes.resize(volume + 1, Vec::new());
        }
        volumes[volume].push(index);
    }
    volumes.retain(|slices| !slices.is_empty());
    let mut next = vec![0; volumes.len()];
    let mut order: Vec<usize> = (0..volumes.len()).collect();
    steps
        .iter()
        .map(|step| {
            stream.shuffle(&mut order);
            let drawn = order.iter().take(step.len());
            drawn
                .map(|&v| {
                    let slice = volumes[v][next[v] % volumes[v].len()];
                    next[v] += 1;
                    slice
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_distinct_volumes() {
        // Three volumes of 6, 4 and 2 slices.
        let of = |index: usize| [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2][index];
        let shuffled: Vec<Vec<usize>> =
            vec![vec![3, 7, 0, 11], vec![10, 2, 5, 6], vec![1, 4, 8, 9]];
        let draw = |shuffled: &[Vec<usize>]| {
            distinct(shuffled, of, &mut Stream::new(Purpose::Shuffle, &[1]))
        };
        let steps = draw(&shuffled);
        assert_eq!(steps.len(), 3);
        for step in &steps {
            let mut volumes: Vec<usize> = step.iter().map(|&i| of(i)).collect();
            volumes.sort_unstable();
            assert_eq!(volumes, [0, 1, 2], "fewer volumes than images in a batch");
        }
        // Slices come in their shuffled order, and begin anew where there are no more.
        let of_volume = |v: usize| -> Vec<usize> {
            let all = steps.iter().flatten().copied();
            all.filter(|&i| of(i) == v).collect()
        };
        assert_eq!(of_volume(0), [3, 0, 2]);
        assert_eq!(of_volume(2), [11, 10, 11]);
        let pairs: Vec<Vec<usize>> = shuffled.concat().chunks(2).map(<[_]>::to_vec).collect();
        let steps = draw(&pairs);
        assert_eq!(steps.len(), 6);
        assert!(steps.iter().all(|s| s.len() == 2 && of(s[0]) != of(s[1])));
        assert_eq!(steps, draw(&pairs));
    }
}
