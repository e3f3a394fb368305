//! Voxel types of NIfTI and their decoding.

use serde::{Deserialize, Serialize};

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
        macro_rules! decode {
            ($type:ty, $size:literal) => {
                match order {
                    ByteOrder::Little => out.extend(
                        bytes
                            .as_chunks::<$size>()
                            .0
                            .iter()
                            .map(|&c| <$type>::from_le_bytes(c) as f64),
                    ),
                    ByteOrder::Big => out.extend(
                        bytes
                            .as_chunks::<$size>()
                            .0
                            .iter()
                            .map(|&c| <$type>::from_be_bytes(c) as f64),
                    ),
                }
            };
        }
        match self {
            Self::Uint8 => decode!(u8, 1),
            Self::Int8 => decode!(i8, 1),
            Self::Int16 => decode!(i16, 2),
            Self::Uint16 => decode!(u16, 2),
            Self::Int32 => decode!(i32, 4),
            Self::Uint32 => decode!(u32, 4),
            Self::Int64 => decode!(i64, 8),
            Self::Uint64 => decode!(u64, 8),
            Self::Float32 => decode!(f32, 4),
            Self::Float64 => decode!(f64, 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
