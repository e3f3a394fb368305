//! The devices that tests of tensors run on.

use std::cell::RefCell;

use burn::tensor::Device;

use super::{DeviceChoice, open};

/// The CPU devices of this build, each with kernels of its own, and the one that `AMLP_TEST_DEVICE`
/// names.
pub fn devices() -> Vec<Device> {
    let named = std::env::var("AMLP_TEST_DEVICE").ok();
    let named = named.map(|name| open(name.parse().unwrap()).unwrap());
    [DeviceChoice::Cpu, DeviceChoice::Libtorch]
        .into_iter()
        .filter_map(|choice| open(choice).ok())
        .chain(named)
        .collect()
}

thread_local! {
    static CURRENT: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Runs a test once for each of [`devices`]; meanwhile [`device`] is that one.
pub fn on_each_device(test: impl Fn()) {
    for device in devices() {
        // Shown where the test fails.
        println!("on {device:?}");
        CURRENT.set(Some(device));
        test();
    }
    CURRENT.set(None);
}

/// The device of the running test, with gradients.
///
/// # Panics
///
/// Outside of [`on_each_device`].
pub fn device() -> Device {
    let current = CURRENT.with_borrow(Option::clone);
    current.expect("a test inside `on_each_device`").autodiff()
}
