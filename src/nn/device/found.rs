//! What devices the build and the machine have.

/// CUDA devices that libtorch sees; `None` where the build has no libtorch.
pub(super) fn libtorch_cuda_devices() -> Option<usize> {
    #[cfg(feature = "libtorch")]
    {
        // burn lists only CUDA devices for libtorch, never its CPU.
        let devices = burn::tensor::Device::enumerate(burn::tensor::DeviceType::LibTorch);
        Some(devices.into_iter().count())
    }
    #[cfg(not(feature = "libtorch"))]
    {
        None
    }
}

/// CUDA devices that burn's own backend sees; `None` where the build has no CUDA.
pub(super) fn cuda_devices() -> Option<usize> {
    #[cfg(feature = "cuda")]
    {
        let devices = burn::tensor::Device::enumerate(burn::tensor::DeviceType::Cuda);
        Some(devices.into_iter().count())
    }
    #[cfg(not(feature = "cuda"))]
    {
        None
    }
}

/// A GPU as its driver describes it.
#[cfg_attr(
    not(any(feature = "libtorch", feature = "cuda")),
    allow(dead_code, reason = "only these builds look for GPUs")
)]
pub(super) struct Gpu {
    /// Model.
    pub name: String,
    /// Bytes of memory in all.
    pub memory: u64,
    /// Bytes that nobody uses.
    pub free: u64,
}

/// The GPU that CUDA numbers `index` in the order of their bus addresses, among those that are
/// visible; `None` without NVIDIA's driver.
#[cfg(any(feature = "libtorch", feature = "cuda"))]
pub(super) fn gpu(index: usize) -> Option<Gpu> {
    let nvml = nvml_wrapper::Nvml::init().ok()?;
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let device = match visible.as_deref() {
        None => nvml.device_by_index(index as u32),
        Some(names) => {
            let name = names.split(',').nth(index)?.trim();
            match name.parse() {
                Ok(number) => nvml.device_by_index(number),
                Err(_) => nvml.device_by_uuid(name),
            }
        }
    };
    let device = device.ok()?;
    let memory = device.memory_info().ok()?;
    Some(Gpu {
        name: device.name().ok()?,
        memory: memory.total,
        free: memory.free,
    })
}

#[cfg(not(any(feature = "libtorch", feature = "cuda")))]
pub(super) fn gpu(_: usize) -> Option<Gpu> {
    None
}
