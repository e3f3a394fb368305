//! serde over the tree: an error carries the place of the value or key that caused it.

use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::diagnostic::did_you_mean;
use super::misplaced::misplaced;
use super::{Diagnostic, Node, Origin, Value};

/// Reads a `T` out of a node.
///
/// # Errors
/// The first key or value that does not fit, with its place and, for unknown names, the nearest
/// known one.
pub fn from_node<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, Diagnostic> {
    T::deserialize(De(node)).map_err(|e| e.into_diagnostic(&node.origin))
}

#[derive(Debug)]
struct Error {
    message: String,
    hint: Option<String>,
    origin: Option<Origin>,
}

impl Error {
    fn at(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// A table in the place of an array is one of two slips of TOML.
    fn in_place_of_array(mut self, key: &str, node: &Node) -> Self {
        let here = self.origin.as_ref() == Some(&node.origin);
        if let (true, Value::Table(table)) = (
            here && self.message.starts_with("expected an array"),
            &node.value,
        ) {
            self.hint.get_or_insert_with(|| match key {
                "study" | "when" => format!("a list of tables is written [[{key}]]"),
                "variant" | "claim" => format!("a list of tables is written [[study.{key}]]"),
                _ => {
                    let inner = table.entries.keys().next().map_or("...", String::as_str);
                    format!("a dotted key of a matrix is quoted: \"{key}.{inner}\" = [...]")
                }
            });
        }
        self
    }

    fn into_diagnostic(self, fallback: &Origin) -> Diagnostic {
        let origin = self.origin.unwrap_or_else(|| fallback.clone());
        Diagnostic::new(self.message, Some(&origin)).maybe_hint(self.hint)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// serde's names of types, as a researcher would say them.
fn in_words(expected: &str) -> String {
    match expected {
        "usize" | "u64" => "a whole number".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

fn list(expected: &[&str]) -> String {
    expected.join(", ")
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            hint: None,
            origin: None,
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint =
            did_you_mean(field, expected.iter().copied()).or_else(|| misplaced(field, expected));
        Self {
            message: format!("unknown key '{field}'"),
            hint: Some(hint.unwrap_or_else(|| format!("known here: {}", list(expected)))),
            origin: None,
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let near = did_you_mean(variant, expected.iter().copied());
        let known = format!("one of: {}", list(expected));
        Self {
            message: format!("unknown value '{variant}'"),
            hint: Some(near.map_or(known.clone(), |n| format!("{n} ({known})"))),
            origin: None,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            message: format!("the key '{field}' is missing"),
            hint: None,
            origin: None,
        }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self {
            message: match expected.to_string().as_str() {
                "u8" | "u16" | "u32" => "expected a whole number".to_owned(),
                other => format!("expected {}", in_words(other)),
            },
            hint: None,
            origin: None,
        }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Signed(i)
                if i < 0 && in_words(&expected.to_string()).starts_with("a whole") =>
            {
                return Self::custom(format!(
                    "{i} is out of range: a whole number from 0 is needed"
                ));
            }
            de::Unexpected::Signed(i) => i.to_string(),
            de::Unexpected::Unsigned(u) => u.to_string(),
            de::Unexpected::Float(f) => f.to_string(),
            de::Unexpected::Str(s) => format!("'{s}'"),
            other => other.to_string(),
        };
        Self {
            message: format!(
                "{found} is out of range: {} is needed",
                in_words(&expected.to_string())
            ),
            hint: None,
            origin: None,
        }
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        let items = if length == 1 { "item" } else { "items" };
        Self {
            message: format!(
                "{length} {items}, but {} is needed",
                in_words(&expected.to_string())
            ),
            hint: None,
            origin: None,
        }
    }
}

struct De<'de>(&'de Node);

impl<'de> De<'de> {
    fn found(&self, mut error: Error) -> Error {
        if error.origin.is_none() && error.message.starts_with("expected ") {
            let found = match &self.0.value {
                Value::Float(f) if f.abs() < 1e15 => format!("{f:?}"),
                other => other.type_name().to_owned(),
            };
            error.message = format!("{}, found {found}", error.message);
        }
        error.at(&self.0.origin)
    }
}

impl<'de> de::Deserializer<'de> for De<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.0.value {
            Value::String(s) => visitor.visit_borrowed_str(s),
            // Counts are unsigned: a negative number is then refused as out of range.
            Value::Integer(i) => match u64::try_from(*i) {
                Ok(u) => visitor.visit_u64(u),
                Err(_) => visitor.visit_i64(*i),
            },
            Value::Float(f) => visitor.visit_f64(*f),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Date(_) => Err(de::Error::invalid_type(
                de::Unexpected::Other("a date"),
                &visitor,
            )),
            Value::Array(items) => {
                let expected = (&visitor as &dyn de::Expected).to_string();
                let mut seq = Seq(items.iter());
                visitor
                    .visit_seq(&mut seq)
                    .and_then(|value| match seq.0.len() {
                        0 => Ok(value),
                        // An array of fixed length stops reading: what is left over is a mistake.
                        _ => Err(de::Error::invalid_length(items.len(), &expected.as_str())),
                    })
            }
            Value::Table(table) => visitor.visit_map(Map {
                entries: table.entries.iter(),
                value: None,
            }),
        };
        result.map_err(|e| self.found(e))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.0.value {
            Value::String(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            other => Err(Error {
                message: format!("expected a name, found {}", other.type_name()),
                hint: Some(format!("one of: {}", list(variants))),
                origin: None,
            }),
        };
        result.map_err(|e: Error| e.at(&self.0.origin))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Seq<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for &mut Seq<'de> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|n| seed.deserialize(De(n))).transpose()
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Map<'de> {
    entries: std::collections::btree_map::Iter<'de, String, super::Entry>,
    value: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Map<'de> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, entry)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, &entry.node));
        let deserializer: de::value::BorrowedStrDeserializer<'de, Error> =
            de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(deserializer)
            .map(Some)
            .map_err(|e| e.at(&entry.key))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some((key, node)) => seed
                .deserialize(De(node))
                .map_err(|e| e.in_place_of_array(key, node)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}
