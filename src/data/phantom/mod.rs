//! Synthetic patients in the official layout and geometry of a data set.

mod abdomen;
mod blob;
mod brain;
mod brats;
mod glioma;
mod grid;
mod hecktor;
mod neck;
mod noise;
mod write;

pub use write::{PhantomCase, PhantomError, PhantomReport, write_phantoms};
