//! What a measure works on: some images of a data set, drawn at random.

use crate::data::images::Images;
use crate::options::PatchClusters;
use crate::random::{Purpose, Stream};

/// Images drawn from others, without repeats: a function of the seed and of their number.
pub struct Drawn<'a> {
    from: &'a dyn Images,
    taken: Vec<usize>,
}

impl<'a> Drawn<'a> {
    /// `samples` of the images, or all where there are fewer, in their own order.
    #[must_use]
    pub fn new(from: &'a dyn Images, samples: usize, seed: u64) -> Self {
        let mut taken = Stream::new(Purpose::Sample, &[seed]).permutation(from.len());
        taken.truncate(samples);
        taken.sort_unstable();
        Self { from, taken }
    }
}

impl Images for Drawn<'_> {
    fn len(&self) -> usize {
        self.taken.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.from.shape()
    }
    fn id(&self, index: usize) -> u64 {
        self.from.id(self.taken[index])
    }
    fn image(&self, index: usize, out: &mut [f32]) {
        self.from.image(self.taken[index], out);
    }
    fn volume(&self, index: usize) -> usize {
        self.from.volume(self.taken[index])
    }
    fn regions(&self) -> usize {
        self.from.regions()
    }
    fn masks(&self, index: usize, out: &mut [f32]) {
        self.from.masks(self.taken[index], out);
    }
}

/// One measurement.
pub struct MeasureJob<'a> {
    /// The images, with masks.
    pub images: Drawn<'a>,
    /// The clustering that it is about.
    pub clusters: &'a PatchClusters,
    /// Timings of each image.
    pub repeats: usize,
    /// Seed of the run.
    pub seed: u64,
}
