//! Codes on disk: `[images, patches]`, 16 bits each, little-endian.

/// File of the codes in the artifact of a tokenizer.
pub const CODES: &str = "codes.u16";

/// Bytes of codes.
#[must_use]
pub fn write_codes(codes: &[u16]) -> Vec<u8> {
    codes.iter().flat_map(|c| c.to_le_bytes()).collect()
}

/// Codes of bytes; an incomplete last one is dropped.
#[must_use]
pub fn read_codes(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.as_chunks::<2>().0;
    pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_through_bytes() {
        let codes = [0, 1, 300, u16::MAX];
        assert_eq!(read_codes(&write_codes(&codes)), codes);
    }
}
