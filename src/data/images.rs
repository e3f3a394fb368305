//! The one view that training has of data: numbered 2D images with labels.

/// Numbered slices of equal shape. Implementations read from prepared files without copying
/// volumes; the index order is fixed, so that every random choice can be keyed by it.
pub trait Images: Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape `[channels, height, width]` of every image.
    fn shape(&self) -> [usize; 3];

    /// Stable identity of image `index`: the same for the same slice of the same case, whatever
    /// subset it appears in.
    fn id(&self, index: usize) -> u64;

    /// Writes image `index` into `out`, `[channels, height, width]` row-major.
    fn image(&self, index: usize, out: &mut [f32]);

    /// Volume of image `index`, counted from 0: the images of a volume follow each other, in the
    /// order of z. Without volumes each image is one.
    fn volume(&self, index: usize) -> usize {
        index
    }

    /// Number of label regions.
    fn regions(&self) -> usize;

    /// Writes the region masks of image `index` into `out`, `[regions, height, width]`, 0 or 1.
    fn masks(&self, index: usize, out: &mut [f32]);
}

/// Images held in memory: phantoms in tests, and small subsets.
#[derive(Clone, Debug)]
pub struct InMemory {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Number of regions.
    pub regions: usize,
    /// One `[channels, height, width]` block per image.
    pub images: Vec<Vec<f32>>,
    /// One `[regions, height, width]` block per image.
    pub masks: Vec<Vec<f32>>,
    /// Identity per image.
    pub ids: Vec<u64>,
}

impl Images for InMemory {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.shape
    }
    fn id(&self, index: usize) -> u64 {
        self.ids[index]
    }
    fn image(&self, index: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.images[index]);
    }
    fn regions(&self) -> usize {
        self.regions
    }
    fn masks(&self, index: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.masks[index]);
    }
}
