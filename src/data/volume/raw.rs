//! Header fields as they stand in the file, for NIfTI-1 (348 bytes) and NIfTI-2 (540 bytes).

use std::path::Path;

use super::error::VolumeError;
use super::scalar::ByteOrder;

/// Size of a NIfTI-1 header.
pub(super) const SIZE_1: usize = 348;
/// Size of a NIfTI-2 header.
pub(super) const SIZE_2: usize = 540;

/// The fields that are used, widened; nothing is checked but the header's size and magic.
#[derive(Clone, Debug)]
pub(super) struct RawHeader {
    pub order: ByteOrder,
    pub version: u8,
    /// Voxels in a file of their own (`.img`).
    pub pair: bool,
    pub dim: [i64; 8],
    pub datatype: i64,
    pub bitpix: i64,
    pub pixdim: [f64; 8],
    pub vox_offset: f64,
    pub slope: f64,
    pub inter: f64,
    pub xyzt_units: i64,
    pub intent_code: i64,
    pub intent_p: [f64; 3],
    pub intent_name: [u8; 16],
    pub qform_code: i64,
    pub sform_code: i64,
    pub quatern: [f64; 3],
    pub qoffset: [f64; 3],
    pub srow: [[f64; 4]; 3],
}

/// Byte order and version by `sizeof_hdr`; `None` where it is neither 348 nor 540.
pub(super) fn identify(first: [u8; 4]) -> Option<(ByteOrder, u8)> {
    let little = i32::from_le_bytes(first);
    let big = i32::from_be_bytes(first);
    match (little, big) {
        (348, _) => Some((ByteOrder::Little, 1)),
        (_, 348) => Some((ByteOrder::Big, 1)),
        (540, _) => Some((ByteOrder::Little, 2)),
        (_, 540) => Some((ByteOrder::Big, 2)),
        _ => None,
    }
}

/// Reads numbers at fixed places of a header block. A place beyond the block reads as 0; the blocks
/// are of full length, so that this does not happen.
struct Fields<'a> {
    block: &'a [u8],
    order: ByteOrder,
}

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        if let Some(source) = self.block.get(at..at + N) {
            out.copy_from_slice(source);
        }
        if self.order == ByteOrder::Big {
            out.reverse();
        }
        out
    }

    fn text<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = self.bytes(at);
        if self.order == ByteOrder::Big {
            out.reverse();
        }
        out
    }

    fn i16(&self, at: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.bytes(at)))
    }

    fn i32(&self, at: usize) -> i64 {
        i64::from(i32::from_le_bytes(self.bytes(at)))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.bytes(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.bytes(at)))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.bytes(at))
    }
}

impl RawHeader {
    /// Parses a block of [`SIZE_1`] or [`SIZE_2`] bytes, as `version` says.
    ///
    /// # Errors
    /// The magic is not one of NIfTI.
    pub(super) fn parse(
        path: &Path,
        block: &[u8],
        order: ByteOrder,
        version: u8,
    ) -> Result<Self, VolumeError> {
        let fields = Fields { block, order };
        if version == 1 {
            Self::version_1(path, &fields)
        } else {
            Self::version_2(path, &fields)
        }
    }

    fn version_1(path: &Path, f: &Fields<'_>) -> Result<Self, VolumeError> {
        let pair = match &f.text::<4>(344) {
            b"n+1\0" => false,
            b"ni1\0" => true,
            other => {
                return Err(VolumeError::field(
                    path,
                    "magic",
                    format!("{} is not NIfTI-1 (ANALYZE 7.5 is not read)", quoted(other)),
                ));
            }
        };
        Ok(Self {
            order: f.order,
            version: 1,
            pair,
            dim: std::array::from_fn(|i| f.i16(40 + 2 * i)),
            datatype: f.i16(70),
            bitpix: f.i16(72),
            pixdim: std::array::from_fn(|i| f.f32(76 + 4 * i)),
            vox_offset: f.f32(108),
            slope: f.f32(112),
            inter: f.f32(116),
            xyzt_units: i64::from(f.text::<1>(123)[0]),
            intent_code: f.i16(68),
            intent_p: std::array::from_fn(|i| f.f32(56 + 4 * i)),
            intent_name: f.text(328),
            qform_code: f.i16(252),
            sform_code: f.i16(254),
            quatern: std::array::from_fn(|i| f.f32(256 + 4 * i)),
            qoffset: std::array::from_fn(|i| f.f32(268 + 4 * i)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| f.f32(280 + 16 * r + 4 * c))),
        })
    }

    fn version_2(path: &Path, f: &Fields<'_>) -> Result<Self, VolumeError> {
        let pair = match &f.text::<8>(4) {
            b"n+2\0\r\n\x1a\n" => false,
            b"ni2\0\r\n\x1a\n" => true,
            other => {
                return Err(VolumeError::field(
                    path,
                    "magic",
                    format!("{} is not NIfTI-2", quoted(other)),
                ));
            }
        };
        let offset = f.i64(168);
        if !(0..=1 << 50).contains(&offset) {
            return Err(VolumeError::field(
                path,
                "vox_offset",
                format!("{offset} is outside of any file"),
            ));
        }
        Ok(Self {
            order: f.order,
            version: 2,
            pair,
            dim: std::array::from_fn(|i| f.i64(16 + 8 * i)),
            datatype: f.i16(12),
            bitpix: f.i16(14),
            pixdim: std::array::from_fn(|i| f.f64(104 + 8 * i)),
            vox_offset: offset as f64,
            slope: f.f64(176),
            inter: f.f64(184),
            xyzt_units: f.i32(500),
            intent_code: f.i32(504),
            intent_p: std::array::from_fn(|i| f.f64(80 + 8 * i)),
            intent_name: f.text(508),
            qform_code: f.i32(344),
            sform_code: f.i32(348),
            quatern: std::array::from_fn(|i| f.f64(352 + 8 * i)),
            qoffset: std::array::from_fn(|i| f.f64(376 + 8 * i)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| f.f64(400 + 32 * r + 8 * c))),
        })
    }
}

/// Bytes as a short quoted text, whatever they are.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
