//! Batches of augmented views, made on the prefetch thread (`methods/contrastive.md` section 2.4).

use burn::tensor::{Device, Tensor, TensorData};

use super::Source;
use super::augment::{TOP, add, blur, contrast, flip, in_unit, multiply, resize, solarise};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, TrainError};

/// Chance of a mirror image.
const FLIP: f64 = 0.5;
/// Standard deviations of the blur, in pixels.
const SIGMA: [f64; 2] = [0.1, 2.0];

/// Change of brightness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// By a factor `1 +- x`, at least 0.
    Multiply(f64),
    /// By `+- x` of the range.
    Add(f64),
}

/// Change of brightness and contrast, in random order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Chance that it happens.
    pub chance: f64,
    /// Brightness.
    pub brightness: Shift,
    /// Contrast: a factor `1 +- x`, at least 0.
    pub contrast: f64,
}

/// How a view is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Height and width of the view.
    pub size: [usize; 2],
    /// Share of the image that it shows.
    pub crop: [f64; 2],
    /// Brightness and contrast.
    pub jitter: Jitter,
    /// Chance of a blur.
    pub blur: f64,
    /// Chance that the upper half of the intensities is turned over.
    pub solarise: f64,
}

impl Recipe {
    /// A view of slice `index` of `source`, whose pixels are `image` `[c, h, w]`.
    #[must_use]
    pub fn view(
        &self,
        source: &Source<'_>,
        index: usize,
        image: &[f32],
        stream: &mut Stream,
    ) -> Vec<f32> {
        let window = source.window(index, image, self.crop, stream);
        let mut view = resize(image, source.size(), window, self.size);
        if stream.uniform() < FLIP {
            flip(&mut view, self.size[1]);
        }
        let Jitter {
            chance,
            brightness,
            contrast: c,
        } = self.jitter;
        // Every number is drawn in every case, so that a chance changes nothing but itself.
        let jitters = stream.uniform() < chance;
        let brightness_first = stream.uniform() < 0.5;
        let shift = match brightness {
            Shift::Multiply(b) => stream.range((1.0 - b).max(0.0), 1.0 + b),
            Shift::Add(d) => stream.range(-d, d),
        } as f32;
        let factor = stream.range((1.0 - c).max(0.0), 1.0 + c) as f32;
        let blurs = stream.uniform() < self.blur;
        let sigma = stream.range(SIGMA[0], SIGMA[1]);
        let solarises = stream.uniform() < self.solarise;
        let [height, width] = self.size;
        in_unit(&mut view, height * width, source.bounds(index), |plane| {
            if jitters {
                let brighten = |plane: &mut [f32]| match brightness {
                    Shift::Multiply(_) => multiply(plane, shift),
                    Shift::Add(_) => add(plane, shift, TOP),
                };
                if brightness_first {
                    brighten(plane);
                }
                contrast(plane, factor, TOP);
                if !brightness_first {
                    brighten(plane);
                }
            }
            if blurs {
                blur(
                    plane,
                    width,
                    sigma,
                    (height / 20).max(1),
                    source.options.border,
                );
            }
            if solarises {
                solarise(plane);
            }
        });
        view
    }
}

/// Views of the images of a pass.
#[derive(Clone, Debug)]
pub struct ViewBatch {
    /// Images.
    pub n: usize,
    /// Channels.
    pub channels: usize,
    /// One block per recipe.
    pub views: Vec<View>,
}

/// The views of one recipe.
#[derive(Clone, Debug)]
pub struct View {
    /// Height and width.
    pub size: [usize; 2],
    /// `[n, c, h, w]`.
    pub values: Vec<f32>,
}

impl ViewBatch {
    /// The views of recipe `i`, on the device.
    #[must_use]
    pub fn tensor(&self, i: usize, device: &Device) -> Tensor<4> {
        self.join(&[i], device)
    }

    /// The views of several recipes of one size, one after the other.
    #[must_use]
    pub fn join(&self, which: &[usize], device: &Device) -> Tensor<4> {
        let views: Vec<&View> = which.iter().filter_map(|&i| self.views.get(i)).collect();
        let size = views.first().map_or([0, 0], |v| v.size);
        let values: Vec<f32> = views.iter().flat_map(|v| &v.values).copied().collect();
        let shape = [self.n * views.len(), self.channels, size[0], size[1]];
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// The view of one epoch: several recipes for every image.
pub struct Views<'a> {
    source: Source<'a>,
    recipes: Vec<Recipe>,
    epoch: u64,
}

impl<'a> Source<'a> {
    /// The views of one `epoch`, counted from 1, for a task that makes one of every image by each
    /// of `recipes`.
    #[must_use]
    pub fn views(&self, recipes: Vec<Recipe>, epoch: usize) -> Views<'a> {
        Views {
            source: self.clone(),
            recipes,
            epoch: epoch as u64,
        }
    }
}

impl EpochPlan for Views<'_> {
    type Batch = ViewBatch;

    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        self.source.steps(shuffled, self.epoch)
    }

    fn batch(&self, indices: &[usize]) -> Result<ViewBatch, TrainError> {
        let images = self.source.images;
        let [channels, height, width] = images.shape();
        let mut image = vec![0.0; channels * height * width];
        let mut views: Vec<View> = self
            .recipes
            .iter()
            .map(|recipe| View {
                size: recipe.size,
                values: Vec::with_capacity(
                    indices.len() * channels * recipe.size[0] * recipe.size[1],
                ),
            })
            .collect();
        for &index in indices {
            images.image(index, &mut image);
            let id = images.id(index);
            for (i, (recipe, view)) in self.recipes.iter().zip(&mut views).enumerate() {
                let key = [self.source.seed, self.epoch, id, i as u64];
                let mut stream = Stream::new(Purpose::Augment, &key);
                let made = recipe.view(&self.source, index, &image, &mut stream);
                view.values.extend(made);
            }
        }
        Ok(ViewBatch {
            n: indices.len(),
            channels,
            views,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::options::ViewOptions;

    fn images() -> InMemory {
        let image = |k: u64| -> Vec<f32> {
            let mut stream = Stream::new(Purpose::Phantom, &[k]);
            (0..256).map(|_| stream.range(-1.0, 2.0) as f32).collect()
        };
        InMemory {
            shape: [1, 16, 16],
            regions: 0,
            images: (0..3).map(image).collect(),
            masks: vec![Vec::new(); 3],
            ids: vec![10, 11, 12],
        }
    }

    fn recipe() -> Recipe {
        Recipe {
            size: [8, 8],
            crop: [0.2, 1.0],
            jitter: Jitter {
                chance: 0.8,
                brightness: Shift::Multiply(0.4),
                contrast: 0.4,
            },
            blur: 0.5,
            solarise: 0.2,
        }
    }

    fn plan(images: &InMemory, epoch: usize) -> Views<'_> {
        Source::of(images, ViewOptions::default(), 1).views(vec![recipe(); 2], epoch)
    }

    #[test]
    fn a_view_is_a_function_of_seed_epoch_image_and_place() {
        on_each_device(|| {
            let images = images();
            let all = plan(&images, 1).batch(&[0, 1, 2]).unwrap();
            let one = plan(&images, 1).batch(&[1]).unwrap();
            assert_eq!(all.views[0].values[64..128], one.views[0].values);
            assert_ne!(one.views[0].values, one.views[1].values);
            let later = plan(&images, 2).batch(&[1]).unwrap();
            assert_ne!(one.views[0].values, later.views[0].values);
            let joined = all.join(&[0, 1], &device().inner());
            assert_eq!(joined.dims(), [6, 1, 8, 8]);
        });
    }

    #[test]
    fn intensities_stay_in_the_range_of_their_volume() {
        let images = images();
        let source = Source::of(&images, ViewOptions::default(), 1);
        let [low, high] = source.bounds(0)[0];
        for seed in 0..50 {
            let mut stream = Stream::new(Purpose::Augment, &[seed]);
            let view = recipe().view(&source, 0, &images.images[0], &mut stream);
            let fits = |v: &f32| *v >= low - 1e-4 && *v <= high + 1e-4;
            assert!(view.iter().all(fits));
        }
    }
}
