//! Hints for settings that were written without the tables they live in.

use serde_json::{Value, json};

use crate::options::{
    BackboneOptions, EvaluateOptions, FinetuneOptions, PrepareOptions, PretrainOptions,
    SliceOptions, SlurmOptions, SplitOptions,
};
use crate::pretext::REGISTRY;

/// Most paths that a hint names.
const MAX_PATHS: usize = 3;

/// Where `key` belongs, if not among the `known` keys of this table: `epochs` in a scope of
/// settings is `pretrain.epochs` or `finetune.epochs`, and a dotted key takes no quotes.
pub(super) fn misplaced(key: &str, known: &[&str]) -> Option<String> {
    if let Some((first, _)) = key.split_once('.')
        && known.contains(&first)
    {
        return Some(format!(
            "a dotted key is written without quotes: {key} = ..."
        ));
    }
    let mut paths = if known.contains(&"pretext") {
        of_methods(key)
    } else {
        Vec::new()
    };
    for (name, options) in settings() {
        if known.contains(&name) {
            let mut found = Vec::new();
            collect(name, &options, key, &mut found);
            paths.extend(found.into_iter().map(|path| format!("'{path}'")));
        }
    }
    if paths.is_empty() || paths.len() > MAX_PATHS {
        return None;
    }
    Some(format!("did you mean {}?", paths.join(" or ")))
}

/// Paths below the tables of methods; one path for all that share it.
fn of_methods(key: &str) -> Vec<String> {
    let mut paths: Vec<(&str, String)> = Vec::new();
    for entry in REGISTRY {
        let mut found = Vec::new();
        collect("", &(entry.defaults)(), key, &mut found);
        for path in found {
            match paths.iter_mut().find(|(_, p)| *p == path) {
                Some((name, _)) => *name = "<method>",
                None => paths.push((entry.name, path)),
            }
        }
    }
    let whole = paths
        .into_iter()
        .map(|(name, path)| format!("'{name}{path}'"));
    whole.collect()
}

/// The other tables of settings with their defaults.
fn settings() -> [(&'static str, Value); 8] {
    [
        ("backbone", json!(BackboneOptions::default())),
        ("pretrain", json!(PretrainOptions::default())),
        ("finetune", json!(FinetuneOptions::default())),
        ("prepare", json!(PrepareOptions::default())),
        ("slices", json!(SliceOptions::default())),
        ("split", json!(SplitOptions::default())),
        ("evaluate", json!(EvaluateOptions::default())),
        ("slurm", json!(SlurmOptions::default())),
    ]
}

/// Paths below `path` that end in `key`, or in something one letter away from it.
fn collect(path: &str, value: &Value, key: &str, found: &mut Vec<String>) {
    let Value::Object(map) = value else { return };
    for (name, inner) in map {
        let path = format!("{path}.{name}");
        let near = key.len() > 3 && strsim::damerau_levenshtein(key, name) == 1;
        if name == key || near {
            found.push(path.clone());
        }
        collect(&path, inner, key, found);
    }
}
