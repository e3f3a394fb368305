//! File names of NIfTI volumes.

/// Name without `.nii.gz` or `.nii`; `None` for other files.
pub(super) fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".nii.gz")
        .or_else(|| name.strip_suffix(".nii"))
        .filter(|stem| !stem.is_empty())
}

/// The file name at the end of a path with `/`.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
