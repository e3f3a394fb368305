//! Hints for settings that were written without the tables they live in.

use serde_json::{Value, json};

use crate::options::{
    AmlpOptions, BackboneOptions, EvaluateOptions, FinetuneOptions, PrepareOptions,
    PretrainOptions, SliceOptions, SlurmOptions, SplitOptions,
};

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
    let mut paths = Vec::new();
    for (name, options) in settings() {
        if known.contains(&name) {
            collect(name, &options, key, &mut paths);
        }
    }
    if paths.is_empty() || paths.len() > MAX_PATHS {
        return None;
    }
    Some(format!("did you mean {}?", paths.join(" or ")))
}

/// The tables of settings with their defaults.
fn settings() -> [(&'static str, Value); 9] {
    [
        ("amlp", json!(AmlpOptions::default())),
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
            found.push(format!("'{path}'"));
        }
        collect(&path, inner, key, found);
    }
}
