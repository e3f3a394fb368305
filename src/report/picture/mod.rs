//! Pictures of slices: grey images as PNG inside the page, masks and patches drawn over them.

mod grey;
mod mask;
mod patches;

pub use grey::Grey;
pub use mask::{fill, outline};
pub use patches::{Agreement, PatchGrid};
