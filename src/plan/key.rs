//! The identity of a stage: BLAKE3 of its canonical pre-image (design section 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the pre-image format; the first byte of what is hashed.
const FORMAT: u8 = 1;

/// Identity of a stage and address of its artifact: 32 hexadecimal digits (128 bits of BLAKE3).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// A string that is not a key.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a stage key (32 hexadecimal digits)")]
pub struct KeyError(String);

impl Key {
    /// Key of a pre-image. The pre-image must already hold the stage's kind, version, fields, input
    /// keys and device class.
    #[must_use]
    pub fn of(preimage: &Value) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[FORMAT]);
        hasher.update(canonical_json(preimage).as_bytes());
        Self(hasher.finalize().to_hex()[..32].to_owned())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.short())
    }
}

impl FromStr for Key {
    type Err = KeyError;
    fn from_str(s: &str) -> Result<Self, KeyError> {
        if s.len() == 32
            && s.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(s.to_owned()))
        } else {
            Err(KeyError(s.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;
    fn try_from(s: String) -> Result<Self, KeyError> {
        s.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// JSON with sorted object keys and shortest round-trip numbers; whole floats are written as
/// integers, so that `1`, `1.0` and `1e0` in a manifest are one value.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, inner)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_canonical(inner, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 9e15 => {
                out.push_str(&(f as i64).to_string());
            }
            _ => out.push_str(&n.to_string()),
        },
        Value::String(text) => write_string(text, out),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Null => out.push_str("null"),
    }
}

/// A JSON string. Nearly all need no escapes.
fn write_string(text: &str, out: &mut String) {
    if text
        .bytes()
        .all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
    {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::String(text.to_owned()).to_string());
    }
}

/// The part of a device that numbers depend on; it enters the keys of stages that compute on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceClass {
    /// The pure-Rust CPU device.
    #[serde(rename = "cpu-flex")]
    CpuFlex,
    /// libtorch on the CPU.
    #[serde(rename = "libtorch-cpu")]
    LibtorchCpu,
    /// libtorch on CUDA.
    #[serde(rename = "libtorch-cuda")]
    LibtorchCuda,
    /// burn's own CUDA backend.
    #[serde(rename = "cuda")]
    Cuda,
}

impl DeviceClass {
    /// All classes.
    pub const ALL: [Self; 4] = [
        Self::CpuFlex,
        Self::LibtorchCpu,
        Self::LibtorchCuda,
        Self::Cuda,
    ];

    /// The name in keys and table headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuFlex => "cpu-flex",
            Self::LibtorchCpu => "libtorch-cpu",
            Self::LibtorchCuda => "libtorch-cuda",
            Self::Cuda => "cuda",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn field_order_and_number_spelling_do_not_matter() {
        let a = json!({"b": 1.0, "a": [1, 2.5]});
        let b = json!({"a": [1.0, 2.5], "b": 1});
        assert_eq!(Key::of(&a), Key::of(&b));
        assert_ne!(Key::of(&a), Key::of(&json!({"a": [1, 2.5], "b": 2})));
    }

    #[test]
    fn canonical_text() {
        let value = json!({
            "b": [null, true, false, 1.0, -0.0, 0.1, 1e300, -3, u64::MAX],
            "a\"": "\u{e9}\n\\",
            "": {},
        });
        let expected =
            r#"{"":{},"a\"":"é\n\\","b":[null,true,false,1,0,0.1,1e+300,-3,18446744073709551615]}"#;
        assert_eq!(canonical_json(&value), expected);
    }

    #[test]
    fn golden_key() {
        let key = Key::of(&json!({"kind": "prepare", "version": 1}));
        assert_eq!(key.as_str().len(), 32);
        assert_eq!(key.as_str().parse::<Key>().ok(), Some(key));
        assert!("zz".parse::<Key>().is_err());
    }
}
