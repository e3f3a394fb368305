//! Which scope wins: later layers lie over earlier ones.
//!
//! root < `[[when]]` < profile < study < study's profile < variant < variant's profile < matrix <
//! `--set`. The most specific place where a value is written is the one that counts.

use crate::manifest::{Node, Origin, SETTING_KEYS, Table, Value};

/// The settings among the entries of a scope.
pub(super) fn settings_of(scope: &Table) -> Table {
    let entries = scope
        .entries
        .iter()
        .filter(|(key, _)| SETTING_KEYS.contains(&key.as_str()))
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect();
    Table { entries }
}

/// The scope's own overrides for a profile.
pub(super) fn profile_of<'a>(scope: &'a Table, profile: &str) -> Option<&'a Table> {
    scope.get("profile")?.as_table()?.get(profile)?.as_table()
}

/// Tables of an array of tables.
pub(super) fn tables<'a>(scope: &'a Table, key: &str) -> Vec<(&'a Table, &'a Node)> {
    scope
        .get(key)
        .and_then(Node::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|n| n.as_table().map(|t| (t, n)))
        .collect()
}

/// A value of a matrix axis.
#[derive(Clone, Debug)]
pub(super) struct AxisValue {
    /// Dotted key of a setting.
    pub key: String,
    /// Where the key was written.
    pub place: Origin,
    /// The value.
    pub node: Node,
}

/// One combination of the values of a matrix.
pub(super) type Combination = Vec<AxisValue>;

/// All combinations, the last axis running fastest; axes in key order. No axis gives one empty
/// combination.
pub(super) fn combinations(matrix: Option<&Table>) -> Vec<Combination> {
    let mut all: Vec<Combination> = vec![Vec::new()];
    let Some(matrix) = matrix else {
        return all;
    };
    for (key, entry) in &matrix.entries {
        let values = entry.node.as_array().unwrap_or_default();
        all = all
            .into_iter()
            .flat_map(|combination| {
                values.iter().map(move |node| {
                    let mut extended = combination.clone();
                    extended.push(AxisValue {
                        key: key.clone(),
                        place: entry.key.clone(),
                        node: node.clone(),
                    });
                    extended
                })
            })
            .collect();
    }
    all
}

/// A matrix value in a row's name.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::String(s) => s.clone(),
        Value::Integer(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Bool(b) => b.to_string(),
        _ => String::new(),
    }
}
