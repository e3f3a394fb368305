//! Augmentation on the host (`methods/contrastive.md` section 2.3): pure functions of an image and
//! a stream of random numbers.

mod blur;
mod crop;
mod intensity;
mod place;

pub use blur::{blur, gaussian};
pub use crop::{Window, flip, foreground, random_resized_crop, resize};
pub use intensity::{TOP, add, contrast, in_unit, multiply, solarise};
pub use place::{Turned, cut_out, rotate};
