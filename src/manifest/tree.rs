//! TOML as a tree in which every key and value knows where it was written.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the file in [`super::Sources`].
    pub file: usize,
    /// Bytes.
    pub span: Range<usize>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    String(String),
    /// Whole number.
    Integer(i64),
    /// Number.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Date or time, which no manifest key takes.
    Date(String),
    /// List.
    Array(Vec<Node>),
    /// Table.
    Table(Table),
}

/// An entry of a table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key was written.
    pub key: Origin,
    /// The value.
    pub node: Node,
}

/// A table, in key order.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Entries by key.
    pub entries: BTreeMap<String, Entry>,
}

impl Value {
    /// Name of the type, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            // Where `convert` leaves integers that do not fit.
            Self::Float(f) if f.abs() >= 9.3e18 && f.is_finite() => "a number beyond 64 bits",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|e| &e.node)
    }

    /// Lays `over` on top: tables merge, everything else is replaced.
    pub fn merge(&mut self, over: &Self) {
        for (key, entry) in &over.entries {
            match (self.entries.get_mut(key), &entry.node.value) {
                (
                    Some(Entry {
                        node:
                            Node {
                                value: Value::Table(below),
                                ..
                            },
                        ..
                    }),
                    Value::Table(above),
                ) => below.merge(above),
                _ => {
                    self.entries.insert(key.clone(), entry.clone());
                }
            }
        }
    }

    /// Sets the value at a dotted path, making tables on the way.
    pub fn set(&mut self, path: &[&str], node: Node) {
        let key = node.origin.clone();
        self.set_at(path, &key, node);
    }

    /// As [`Self::set`], for a path that was written at `key`.
    pub fn set_at(&mut self, path: &[&str], key: &Origin, node: Node) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let origin = key.clone();
        if rest.is_empty() {
            self.entries
                .insert((*first).to_owned(), Entry { key: origin, node });
            return;
        }
        let entry = self
            .entries
            .entry((*first).to_owned())
            .or_insert_with(|| Entry {
                key: origin.clone(),
                node: Node {
                    value: Value::Table(Self::default()),
                    origin: origin.clone(),
                },
            });
        if !matches!(entry.node.value, Value::Table(_)) {
            entry.node = Node {
                value: Value::Table(Self::default()),
                origin,
            };
        }
        if let Value::Table(inner) = &mut entry.node.value {
            inner.set_at(rest, key, node);
        }
    }

    /// Where the value at a dotted path was written; the nearest enclosing table where it was not.
    #[must_use]
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        let mut table = self;
        let mut found = None;
        for part in path.split('.') {
            let Some(entry) = table.entries.get(part) else {
                break;
            };
            found = Some(&entry.node.origin);
            match &entry.node.value {
                Value::Table(inner) => table = inner,
                _ => break,
            }
        }
        found
    }
}

impl Node {
    /// A node from the parser's table.
    #[must_use]
    pub fn from_toml(file: usize, table: &Spanned<DeTable<'_>>) -> Self {
        Self {
            origin: Origin {
                file,
                span: table.span(),
            },
            value: Value::Table(convert_table(file, table.get_ref())),
        }
    }

    /// The table, where it is one.
    #[must_use]
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(t) => Some(t),
            _ => None,
        }
    }

    /// The items, where it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The text, where it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(s) => Some(s),
            _ => None,
        }
    }
}

fn convert_table(file: usize, table: &DeTable<'_>) -> Table {
    let entries = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: Origin {
                    file,
                    span: key.span(),
                },
                node: convert(file, value),
            };
            (key.get_ref().to_string(), entry)
        })
        .collect();
    Table { entries }
}

fn convert(file: usize, value: &Spanned<DeValue<'_>>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(s) => Value::String(s.to_string()),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
            // An integer beyond 64 bits keeps its magnitude, so that messages can name it.
            .map_or_else(
                |_| Value::Float(i.as_str().parse().unwrap_or(f64::INFINITY)),
                Value::Integer,
            ),
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(d) => Value::Date(d.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|v| convert(file, v)).collect()),
        DeValue::Table(t) => Value::Table(convert_table(file, t)),
    };
    Node {
        value: converted,
        origin: Origin {
            file,
            span: value.span(),
        },
    }
}
