//! Why a stage is not cached: which field changed, from what, to what.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::Value;

use super::Key;

/// A field of a pre-image that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Dotted path (`spec.pretrain.epochs`, `inputs.prepared`).
    pub path: String,
    /// Value of the stage that is in the store; `None` where the field is new.
    pub old: Option<Value>,
    /// Value now; `None` where the field is gone.
    pub new: Option<Value>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |v: &Option<Value>| {
            v.as_ref()
                .map_or_else(|| "nothing".to_owned(), Value::to_string)
        };
        let path = self.path.strip_prefix("spec.").unwrap_or(&self.path);
        write!(f, "{path}: {} -> {}", show(&self.old), show(&self.new))
    }
}

/// The leaves in which two pre-images differ, in path order.
#[must_use]
pub fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk("", Some(old), Some(new), &mut found);
    found
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Change>) {
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (old, new) {
        let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let inner = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            walk(&inner, a.get(name), b.get(name), found);
        }
        return;
    }
    let same = match (old, new) {
        (Some(a), Some(b)) => super::canonical_json(a) == super::canonical_json(b),
        _ => false,
    };
    if !same {
        found.push(Change {
            path: path.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        });
    }
}

/// The candidate with the fewest differences, with those differences.
#[must_use]
pub fn nearest<'a, T>(
    new: &Value,
    candidates: impl IntoIterator<Item = (&'a Value, T)>,
) -> Option<(T, Vec<Change>)> {
    candidates
        .into_iter()
        .map(|(old, tag)| (tag, changes(old, new)))
        .min_by_key(|(_, found)| found.len())
}

/// What a kind of stage was already run with: the fields of its own (all of the pre-image but the
/// inputs), each combination once, so that explaining thousands of stages stays cheap.
#[derive(Clone, Debug, Default)]
pub struct History {
    seen: HashMap<String, usize>,
    fields: Vec<(Value, Key)>,
    by_label: HashMap<String, Vec<usize>>,
    explained: RefCell<HashMap<String, Difference>>,
}

/// How a stage differs from what was run before.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Nothing near was run.
    New,
    /// A stage was run with the same fields, on other inputs.
    Inputs,
    /// Fields differ from the nearest stage: one of the same name, or one that differs in a single
    /// field.
    Fields(Key, Vec<Change>),
}

impl History {
    /// Adds an artifact: its key, its name for people, its pre-image.
    pub fn add(&mut self, key: Key, label: &str, preimage: &Value) {
        let own = own_fields(preimage);
        let next = self.fields.len();
        let index = *self.seen.entry(super::canonical_json(&own)).or_insert(next);
        if index == next {
            self.fields.push((own, key));
        }
        let same_name = self.by_label.entry(label.to_owned()).or_default();
        if !same_name.contains(&index) {
            same_name.push(index);
        }
    }

    /// How a stage with this name and pre-image differs.
    #[must_use]
    pub fn difference(&self, label: &str, preimage: &Value) -> Difference {
        let own = own_fields(preimage);
        let text = super::canonical_json(&own);
        if self.seen.contains_key(&text) {
            return Difference::Inputs;
        }
        if let Some(indices) = self.by_label.get(label) {
            let candidates = indices
                .iter()
                .map(|&i| (&self.fields[i].0, &self.fields[i].1));
            if let Some((key, changes)) = nearest(&own, candidates) {
                return Difference::Fields(key.clone(), changes);
            }
        }
        if let Some(known) = self.explained.borrow().get(&text) {
            return known.clone();
        }
        let found = match nearest(&own, self.fields.iter().map(|(v, k)| (v, k))) {
            Some((key, changes)) if changes.len() == 1 => Difference::Fields(key.clone(), changes),
            _ => Difference::New,
        };
        self.explained.borrow_mut().insert(text, found.clone());
        found
    }
}

/// A pre-image without its inputs; the cells of a table are keys of its inputs too.
fn own_fields(preimage: &Value) -> Value {
    let mut own = preimage.clone();
    if let Some(map) = own.as_object_mut() {
        map.remove("inputs");
        if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("cells");
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_the_one_field_that_changed() {
        let old = json!({"spec": {"pretrain": {"epochs": 10, "batch": 4}}, "inputs": {"a": "x"}});
        let new = json!({"spec": {"pretrain": {"epochs": 20, "batch": 4}}, "inputs": {"a": "x"}});
        let found = changes(&old, &new);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "pretrain.epochs: 10 -> 20");
    }

    #[test]
    fn nearest_prefers_the_smallest_difference() {
        let new = json!({"spec": {"a": 1, "b": 2}});
        let far = json!({"spec": {"a": 5, "b": 6}});
        let near = json!({"spec": {"a": 1, "b": 3}});
        let (tag, found) = nearest(&new, [(&far, "far"), (&near, "near")]).unwrap();
        assert_eq!((tag, found.len()), ("near", 1));
    }
}
