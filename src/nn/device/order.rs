//! How GPUs are numbered.

const VARIABLE: &str = "CUDA_DEVICE_ORDER";

/// Numbers GPUs by their bus addresses, as `nvidia-smi` does, unless the environment says otherwise;
/// by default CUDA counts the fastest one first. To be called before other threads start.
pub fn number_by_bus() {
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: called before other threads start, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var(VARIABLE, "PCI_BUS_ID") };
    }
}
