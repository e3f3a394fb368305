//! JSON that carries its own digest as its last member, so that every changed byte shows.
//!
//! The digest is over the text before it, not over what the text means: `1.0` that became `1e0`, or
//! an optional field whose name was hit, would parse and mean the same.

use serde::Serialize;

/// What stands between the sealed text and its digest.
const MARK: &[u8] = b",\"blake3\":\"";

/// What stands after the digest.
const END: &[u8] = b"\"}";

/// Digits of a digest.
const DIGITS: usize = 64;

/// How a text and its digest go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// The digest is that of the text.
    Whole,
    /// It is another.
    Broken,
    /// The text carries none.
    Absent,
}

/// `value`, which must be a struct or map with at least one member, as one line of sealed JSON.
///
/// # Errors
/// `value` cannot be JSON.
pub(crate) fn seal(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec(value)?;
    text.pop();
    let digest = blake3::hash(&text).to_hex();
    text.extend_from_slice(MARK);
    text.extend_from_slice(digest.as_bytes());
    text.extend_from_slice(END);
    Ok(text)
}

/// Checks a text that [`seal`] may have written.
pub(crate) fn check(text: &[u8]) -> Seal {
    let tail = MARK.len() + DIGITS + END.len();
    let Some(split) = text.len().checked_sub(tail) else {
        return Seal::Absent;
    };
    let (body, tail) = text.split_at(split);
    let (mark, tail) = tail.split_at(MARK.len());
    let (digest, end) = tail.split_at(DIGITS);
    if mark != MARK || end != END {
        Seal::Absent
    } else if blake3::hash(body).to_hex().as_bytes() == digest {
        Seal::Whole
    } else {
        Seal::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_changed_byte_breaks_the_seal_or_removes_it() {
        let text = seal(&json!({"a": 1.0, "b": ["\u{e9}", null]})).unwrap();
        assert_eq!(check(&text), Seal::Whole);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["a"], 1.0);
        for i in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[i] ^= 1 << bit;
                assert_ne!(check(&changed), Seal::Whole, "byte {i} bit {bit}");
            }
        }
        for length in 0..text.len() {
            assert_ne!(check(&text[..length]), Seal::Whole);
        }
    }
}
