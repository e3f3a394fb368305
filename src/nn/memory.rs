//! How the process treats freed memory.

/// Keeps freed memory in the process instead of handing it back to the system.
///
/// A training step frees and takes the same large buffers over and over; by default glibc returns
/// each of them to the system and faults it in again.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Buffers below this come from the heap.
        const LARGEST_ON_HEAP: libc::c_int = 512 << 20;
        /// Free memory at the top of the heap that is kept.
        const KEPT: libc::c_int = 1 << 30;
        // SAFETY: mallopt only sets parameters of the allocator; it is called before other threads
        // start.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_ON_HEAP);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        }
        #[cfg(feature = "libtorch")]
        if let Err(error) = super::libtorch::reuse_memory() {
            tracing::debug!("{error}; memory comes from libtorch's own allocator");
        }
    }
}
