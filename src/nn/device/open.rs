//! Opening a device: the one place where the tensor library is told where to work.

use burn::tensor::Device;

use super::{DeviceChoice, DeviceError};

/// Opens a device, without autodiff. libtorch then works with as many threads as the pool of the
/// caller has.
///
/// # Errors
/// A device that the build lacks or the machine does not have.
pub fn open(choice: DeviceChoice) -> Result<Device, DeviceError> {
    choice.check()?;
    #[cfg(feature = "libtorch")]
    tch::set_num_threads(rayon::current_num_threads() as i32);
    match choice.resolve() {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::flex()),
        accelerated => open_accelerated(accelerated),
    }
}

/// libtorch's constructors are deprecated in burn 0.22 and gone after it; this function is the only
/// one that calls them.
#[allow(deprecated)]
fn open_accelerated(choice: DeviceChoice) -> Result<Device, DeviceError> {
    match choice {
        #[cfg(feature = "libtorch")]
        DeviceChoice::Libtorch => Ok(Device::libtorch()),
        #[cfg(feature = "libtorch")]
        DeviceChoice::LibtorchCuda(index) => Ok(Device::libtorch_cuda(index)),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda(index) => Ok(Device::cuda(index)),
        other => Err(DeviceError::NotBuilt {
            device: other.to_string(),
            feature: if matches!(other, DeviceChoice::Cuda(_)) {
                "cuda"
            } else {
                "libtorch"
            },
        }),
    }
}

/// Whether work on the device is done when a call returns, so that reading a number waits for
/// nothing else.
#[must_use]
pub fn is_cpu(device: &Device) -> bool {
    let device = device.clone().inner();
    #[cfg(feature = "libtorch")]
    {
        #[allow(deprecated)]
        if device == Device::libtorch() {
            return true;
        }
    }
    device == Device::flex()
}
