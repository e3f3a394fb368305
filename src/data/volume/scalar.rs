//! Voxel types of NIfTI and their decoding.

use serde::{Deserialize, Serialize};

use crate::wide::wide;

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Real voxel types of NIfTI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalarType {
    /// Code 2.
    Uint8,
    /// Code 256.
    Int8,
    /// Code 4.
    Int16,
    /// Code 512.
    Uint16,
    /// Code 8.
    Int32,
    /// Code 768.
    Uint32,
    /// Code 1024.
    Int64,
    /// Code 1280.
    Uint64,
    /// Code 16.
    Float32,
    /// Code 64.
    Float64,
}

/// Gives an iterator over the numbers in `bytes` to the closure, compiled for every type.
macro_rules! decode {
    ($scalar:expr, $order:expr, $bytes:expr, |$voxels:ident| $body:expr) => {{
        macro_rules! with {
            ($type:ty, $size:literal) => {{
                let chunks = $bytes.as_chunks::<$size>().0.iter();
                match $order {
                    ByteOrder::Little => {
                        let $voxels = chunks.map(|&c| <$type>::from_le_bytes(c));
                        $body
                    }
                    ByteOrder::Big => {
                        let $voxels = chunks.map(|&c| <$type>::from_be_bytes(c));
                        $body
                    }
                }
            }};
        }
        match $scalar {
            ScalarType::Uint8 => with!(u8, 1),
            ScalarType::Int8 => with!(i8, 1),
            ScalarType::Int16 => with!(i16, 2),
            ScalarType::Uint16 => with!(u16, 2),
            ScalarType::Int32 => with!(i32, 4),
            ScalarType::Uint32 => with!(u32, 4),
            ScalarType::Int64 => with!(i64, 8),
            ScalarType::Uint64 => with!(u64, 8),
            ScalarType::Float32 => with!(f32, 4),
            ScalarType::Float64 => with!(f64, 8),
        }
    }};
}

impl ScalarType {
    /// Type of a `datatype` code, or why there is none.
    pub(super) fn from_code(code: i64) -> Result<Self, String> {
        Ok(match code {
            2 => Self::Uint8,
            256 => Self::Int8,
            4 => Self::Int16,
            512 => Self::Uint16,
            8 => Self::Int32,
            768 => Self::Uint32,
            1024 => Self::Int64,
            1280 => Self::Uint64,
            16 => Self::Float32,
            64 => Self::Float64,
            1 => return Err("1 (one bit per voxel) is not read".into()),
            32 | 1792 | 2048 => return Err(format!("{code} (complex numbers) is not read")),
            128 | 2304 => return Err(format!("{code} (RGB colours) is not read")),
            1536 => return Err("1536 (128-bit float) is not read".into()),
            _ => return Err(format!("{code} is no voxel type of NIfTI")),
        })
    }

    /// `datatype` code.
    pub(super) fn code(self) -> i16 {
        match self {
            Self::Uint8 => 2,
            Self::Int8 => 256,
            Self::Int16 => 4,
            Self::Uint16 => 512,
            Self::Int32 => 8,
            Self::Uint32 => 768,
            Self::Int64 => 1024,
            Self::Uint64 => 1280,
            Self::Float32 => 16,
            Self::Float64 => 64,
        }
    }

    /// Bytes per voxel.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Int64 | Self::Uint64 | Self::Float64 => 8,
        }
    }

    /// Name as numpy writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Appends the voxels in `bytes` (whole voxels) to `out`. Integers beyond 2^53 are rounded.
    pub(super) fn decode(self, order: ByteOrder, bytes: &[u8], out: &mut Vec<f64>) {
        decode!(self, order, bytes, |voxels| out
            .extend(voxels.map(|v| v as f64)));
    }

    /// [`ScalarType::decode`] to f32: the same numbers, rounded once more.
    pub(super) fn decode_f32(self, order: ByteOrder, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            // Through f64 as well, so that both ways round alike.
            Self::Int64 | Self::Uint64 => {
                decode!(self, order, bytes, |voxels| out
                    .extend(voxels.map(|v| v as f64 as f32)));
            }
            _ => decode!(self, order, bytes, |voxels| out
                .extend(voxels.map(|v| v as f32))),
        }
    }

    /// Appends the voxels in `bytes`, of an integer type, as labels to `out`; the first one beyond
    /// 0 to 255 comes back, and `out` is then of no use. `None` for floats, which may be no whole
    /// numbers.
    pub(super) fn decode_labels(
        self,
        order: ByteOrder,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Result<(), f64>> {
        if matches!(self, Self::Float32 | Self::Float64) {
            return None;
        }
        let mut fits = true;
        decode!(self, order, bytes, |voxels| out.extend(voxels.map(|v| {
            let label = v as u8;
            fits &= label as f64 == v as f64;
            label
        })));
        if fits {
            return Some(Ok(()));
        }
        let mut values = Vec::new();
        self.decode(order, bytes, &mut values);
        let strange = values.into_iter().find(|v| !(0.0..=255.0).contains(v));
        Some(strange.map_or(Ok(()), Err))
    }
}

wide! {
    /// [`ScalarType::decode_f32`] into a place that is there already, of as many values.
    pub(super) fn decode_into(scalar: ScalarType, order: ByteOrder, bytes: &[u8], out: &mut [f32]) {
        match scalar {
            ScalarType::Int64 | ScalarType::Uint64 => decode!(scalar, order, bytes, |voxels| {
                for (out, v) in out.iter_mut().zip(voxels) {
                    *out = v as f64 as f32;
                }
            }),
            _ => decode!(scalar, order, bytes, |voxels| {
                for (out, v) in out.iter_mut().zip(voxels) {
                    *out = v as f32;
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wide::levels::at_each;

    #[test]
    fn codes_come_back() {
        for code in -2000..3000 {
            if let Ok(scalar) = ScalarType::from_code(code) {
                assert_eq!(i64::from(scalar.code()), code);
            }
        }
    }

    #[test]
    fn both_orders_decode() {
        let mut out = Vec::new();
        ScalarType::Int16.decode(ByteOrder::Little, &[0xfe, 0xff, 1, 0], &mut out);
        ScalarType::Int16.decode(ByteOrder::Big, &[0xff, 0xfe, 0, 1], &mut out);
        assert_eq!(out, [-2.0, 1.0, -2.0, 1.0]);
    }

    #[test]
    fn the_short_ways_give_what_the_long_one_gives() {
        let bytes: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(91)).collect();
        for code in [2, 256, 4, 512, 8, 768, 1024, 1280, 16, 64] {
            let scalar = ScalarType::from_code(code).unwrap();
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let (mut long, mut short) = (Vec::new(), Vec::new());
                scalar.decode(order, &bytes, &mut long);
                scalar.decode_f32(order, &bytes, &mut short);
                let rounded = long.iter().map(|&v| (v as f32).to_bits());
                assert!(rounded.eq(short.iter().map(|v| v.to_bits())), "{scalar:?}");
                for placed in at_each(|| {
                    let mut placed = vec![0.5; long.len()];
                    decode_into(scalar, order, &bytes, &mut placed);
                    placed
                }) {
                    let same = placed.iter().map(|v| v.to_bits());
                    assert!(same.eq(short.iter().map(|v| v.to_bits())), "{scalar:?}");
                }
                let mut labels = Vec::new();
                match scalar.decode_labels(order, &bytes, &mut labels) {
                    None => assert!(matches!(scalar, ScalarType::Float32 | ScalarType::Float64)),
                    Some(Ok(())) => assert!(labels.iter().map(|&v| f64::from(v)).eq(long)),
                    Some(Err(found)) => {
                        let strange = long.iter().find(|v| !(0.0..=255.0).contains(*v));
                        assert_eq!(strange, Some(&found));
                    }
                }
            }
        }
    }
}
