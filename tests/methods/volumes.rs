//! Images in memory that are the slices of volumes; for tests and benchmarks.

use amlp_run::data::images::{Images, InMemory};

/// Images of which `slices` follow each other as one volume.
pub struct Volumes {
    pub images: InMemory,
    pub slices: usize,
}

impl Images for Volumes {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.images.shape()
    }
    fn id(&self, index: usize) -> u64 {
        self.images.id(index)
    }
    fn image(&self, index: usize, out: &mut [f32]) {
        self.images.image(index, out);
    }
    fn volume(&self, index: usize) -> usize {
        index / self.slices
    }
    fn regions(&self) -> usize {
        self.images.regions()
    }
    fn masks(&self, index: usize, out: &mut [f32]) {
        self.images.masks(index, out);
    }
}
