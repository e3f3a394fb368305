//! What is to be predicted of masked patches, made of the image on the host: a file each.

mod hog;
mod pixels;

pub use hog::{BINS, gradients, hog, hog_of_patches};
pub use pixels::{Normalisation, masked_mean, normalise, normalise_patches};
