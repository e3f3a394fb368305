//! Telling from what a stage left behind that memory ran out.

/// What libraries say when there is no memory left, in lower case.
const WORDS: [&str; 6] = [
    // libtorch, CUDA, and ours.
    "out of memory",
    "outofmemoryerror",
    "cuda_error_out_of_memory",
    // The C library and C++.
    "cannot allocate memory",
    "std::bad_alloc",
    // Rust, before it aborts: "memory allocation of 4096 bytes failed".
    "memory allocation of ",
];

/// Whether a message or a line of a log says that memory ran out.
pub(super) fn says_so(text: &str) -> bool {
    let text = text.to_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

/// How many processes the kernel has killed since boot because memory ran out, where it tells.
pub(super) fn kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let count = text.lines().find_map(|l| l.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_libraries_are_known() {
        for text in [
            "memory allocation of 1099511627776 bytes failed",
            "panicked: CUDA out of memory. Tried to allocate 2.00 GiB",
            "c10::OutOfMemoryError: CUDA out of memory.",
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "cannot read slices: Cannot allocate memory (os error 12)",
        ] {
            assert!(says_so(text), "{text}");
        }
        for text in [
            "the loss became NaN",
            "case 7 has no image",
            "memory is 12 GiB",
            "",
        ] {
            assert!(!says_so(text), "{text}");
        }
    }
}
