//! The one place where a device is chosen, opened and listed.

mod choice;
mod found;
mod listing;
mod open;
mod order;
#[cfg(test)]
pub(crate) mod testing;

pub use choice::{DeviceChoice, DeviceError};
pub use listing::{DeviceInfo, devices};
pub use open::{is_cpu, open};
pub use order::number_by_bus;
