//! Manifests that name others (`include`): each keeps its own settings, and together they are one
//! graph.

use std::path::{Path, PathBuf};

use super::load::MAX_DEPTH;
use super::{Diagnostic, Diagnostics, Loaded, Node, load};

/// What may stand beside `include`.
const BESIDE: [&str; 2] = ["include", "description"];

/// Reads manifests and all that they include, in order, each once.
///
/// # Errors
/// As [`load`], and manifests that include themselves or have studies beside what they include.
pub fn load_all(paths: &[PathBuf]) -> Result<Vec<Loaded>, Diagnostics> {
    let mut all = Vec::new();
    let mut known = Vec::new();
    for path in paths {
        gather(path, &mut Vec::new(), &mut known, &mut all)?;
    }
    Ok(all)
}

/// Adds the manifest at `path`, or those that it names. `chain` leads to it, `known` are all so far.
fn gather(
    path: &Path,
    chain: &mut Vec<PathBuf>,
    known: &mut Vec<PathBuf>,
    all: &mut Vec<Loaded>,
) -> Result<(), Diagnostics> {
    let identity = identity(path);
    if known.contains(&identity) {
        return Ok(());
    }
    let loaded = load(path)?;
    known.push(identity.clone());
    let Some(names) = &loaded.document.include else {
        all.push(loaded);
        return Ok(());
    };
    let fail = |diagnostic: Diagnostic| Diagnostics {
        sources: loaded.sources.clone(),
        list: vec![diagnostic],
    };
    let other = loaded.tree.entries.iter();
    if let Some((key, entry)) = other
        .into_iter()
        .find(|(key, _)| !BESIDE.contains(&key.as_str()))
    {
        return Err(fail(
            Diagnostic::new(
                format!("'{key}' has no place beside 'include'"),
                Some(&entry.key),
            )
            .hint(
                "manifests that are included keep their own settings; put studies into one of them",
            ),
        ));
    }
    let items = loaded.tree.get("include").and_then(Node::as_array);
    chain.push(identity);
    for (name, item) in names.iter().zip(items.unwrap_or_default()) {
        let target = path.parent().unwrap_or(Path::new("")).join(name);
        let origin = Some(&item.origin);
        if chain.contains(&self::identity(&target)) {
            return Err(fail(Diagnostic::new(
                "'include' leads back to itself",
                origin,
            )));
        }
        if chain.len() >= MAX_DEPTH {
            let message = format!("'include' is nested more than {MAX_DEPTH} deep");
            return Err(fail(Diagnostic::new(message, origin)));
        }
        if !target.is_file() {
            let message = format!("there is no manifest {}", target.display());
            return Err(fail(Diagnostic::new(message, origin)));
        }
        gather(&target, chain, known, all)?;
    }
    chain.pop();
    Ok(())
}

/// The file, whatever it is called.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
