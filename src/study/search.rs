//! A search step by step (Table XIV): what `[[study.step]]` may say, and what its rows try.
//!
//! Every step tries the values of its axes with the winners of the steps before it. Which these are
//! is known when they have run; until then the plan holds all that a step might have chosen.

use serde_json::{Map, Value, json};

use super::layers::{self, AxisValue};
use super::resolved::{Candidate, Row};
use crate::manifest::{self, Diagnostic, Node, Origin, Study, Table};

/// What may be searched: settings that the pre-training alone reads.
const SEARCHED: &str = "pretrain.";

/// Says what is wrong with the steps of a study.
pub(super) fn check(
    study: &Study,
    table: &Table,
    profile: &str,
    fallback: &Origin,
    problems: &mut Vec<Diagnostic>,
) {
    let steps = layers::tables(table, "step");
    if steps.is_empty() {
        return;
    }
    if !study.variant.is_empty() || !study.matrix.is_empty() || study.measure.is_some() {
        let other = ["variant", "matrix", "measure"]
            .iter()
            .find_map(|key| table.origin(key));
        problems.push(
            Diagnostic::new(
                "the rows of a search are its steps",
                other.or(Some(fallback)),
            )
            .hint("make a study of its own for other rows"),
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    for (step, node) in steps {
        let axes = layers::profile_of(step, profile)
            .and_then(|p| p.get("matrix"))
            .or_else(|| step.get("matrix"))
            .and_then(Node::as_table);
        let Some(axes) = axes.filter(|axes| !axes.entries.is_empty()) else {
            problems.push(
                Diagnostic::new("the step searches nothing", Some(&node.origin))
                    .hint("matrix = { \"pretrain.optimiser.lr\" = [1e-4, 1e-3] }"),
            );
            continue;
        };
        for (key, entry) in &axes.entries {
            if !key.starts_with(SEARCHED) {
                problems.push(
                    Diagnostic::new(format!("'{key}' cannot be searched"), Some(&entry.key))
                        .hint("later steps change settings of 'pretrain' alone"),
                );
            }
            if seen.contains(&key.as_str()) {
                problems.push(Diagnostic::new(
                    format!("'{key}' is searched by two steps"),
                    Some(&entry.key),
                ));
            }
            seen.push(key);
        }
        if step.get("pretext").and_then(Node::as_str) == Some("none") {
            problems.push(Diagnostic::new(
                "without pre-training there is nothing to search",
                step.origin("pretext"),
            ));
        }
    }
}

/// What a row with these axes tries. The values are those of the resolved options, so that a
/// number has one spelling.
pub(super) fn candidate(axes: &[AxisValue], row: &Row) -> Option<Candidate> {
    let settings = &row.cells.first()?.settings;
    // Options are plain structs with string keys: they always serialise.
    let whole = json!({ "pretrain": settings.pretrain });
    let mut patch = Value::Object(Map::new());
    for axis in axes {
        let path: Vec<&str> = axis.key.split('.').collect();
        let found = whole.pointer(&format!("/{}", path.join("/")));
        let value = found.cloned().unwrap_or_else(|| scalar(&axis.node));
        set(&mut patch, &path[1..], value);
    }
    let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
    Some(Candidate {
        step: keys.join("+"),
        patch,
    })
}

/// A value that options at their defaults leave out.
fn scalar(node: &Node) -> Value {
    match &node.value {
        manifest::Value::String(text) => json!(text),
        manifest::Value::Integer(number) => json!(number),
        manifest::Value::Float(number) => json!(number),
        manifest::Value::Bool(truth) => json!(truth),
        _ => Value::Null,
    }
}

fn set(table: &mut Value, path: &[&str], value: Value) {
    match (path, table) {
        ([], table) => *table = value,
        ([first, rest @ ..], Value::Object(map)) => {
            let inner = map
                .entry(*first)
                .or_insert_with(|| Value::Object(Map::new()));
            set(inner, rest, value);
        }
        // A path goes through tables alone.
        _ => {}
    }
}
