//! Updates of parameters: AdamW in one pass where the device has it.

mod adamw;
mod composed;
mod flex;
#[cfg(feature = "libtorch")]
mod libtorch;

pub use adamw::{Adamw, Moments, adamw};
