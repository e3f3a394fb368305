//! SelfMedMAE (Zhou et al. 2023) on the U-Net: MAE on the images of the task itself, with another
//! ratio, another normalisation and flips (`methods/masked.md` section 3.7). Network and loss are
//! those of [`super::mae`].

use super::mae::{MaeKind, MaeLike};
use super::part::masked::{Masking, Target};
use super::{About, Family};
use crate::mask::target::Normalisation;
use crate::options::SelfmedmaeOptions;

/// SelfMedMAE as a pretext task.
pub type SelfMedMae = Masking<MaeLike<SelfmedmaeOptions>>;

impl MaeKind for SelfmedmaeOptions {
    const ABOUT: About = About {
        doc: "MAE on the task's own images, 12.5 % masked, layer-normalised targets, flips",
        family: Family::Masked,
        year: 2023,
        paper: "Zhou et al., ISBI 2023, arXiv 2203.05573",
        version: 1,
    };

    fn patch(&self) -> Option<usize> {
        self.patch
    }

    fn ratio(&self) -> f64 {
        self.ratio
    }

    fn skips(&self) -> Option<usize> {
        self.skips
    }

    fn target(&self) -> Target<'static> {
        Target::Normalised(Normalisation::LayerNorm)
    }

    fn flip(&self) -> f64 {
        self.flip
    }
}
