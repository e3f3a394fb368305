//! The folder that a manifest belongs to: where the store and the results live.

use std::path::{Path, PathBuf};

/// The nearest folder above the manifest that holds `.amlp` or `.git`; otherwise the folder that
/// holds the manifest, or its parent where that folder is called `experiments`.
#[must_use]
pub fn project_root(manifest: &Path) -> PathBuf {
    let absolute = std::path::absolute(manifest).unwrap_or_else(|_| manifest.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    if let Some(root) = folder
        .ancestors()
        .find(|d| d.join(".amlp").is_dir() || d.join(".git").exists())
    {
        return root.to_owned();
    }
    match (folder.file_name(), folder.parent()) {
        (Some(name), Some(parent)) if name == "experiments" => parent.to_owned(),
        _ => folder.to_owned(),
    }
}
