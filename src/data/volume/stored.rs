//! Voxels of one volume as the file stores them, decoded where they are wanted.

use std::path::Path;

use super::error::VolumeError;
use super::header::Header;
use super::read::{select, whole_file};
use super::scalar::{ByteOrder, ScalarType, decode_into};
use super::source::Source;
use super::unpack::Room;
use crate::wide::wide;

/// Voxels that are looked at together, about two rows.
const PIECE: usize = 1 << 9;

/// One volume, unpacked but not decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    bytes: &'a [u8],
    dtype: ScalarType,
    order: ByteOrder,
    slope: f32,
    inter: f32,
}

impl<'a> Stored<'a> {
    /// Unpacks the volume of `header`, read from `path`, in `room`; `None` where the file is not one
    /// that can be unpacked at once, and for whoever reads it piece by piece to say why.
    ///
    /// # Errors
    /// As [`super::read_volume`], for what is known before the voxels.
    pub(crate) fn unpack(
        path: &Path,
        header: &Header,
        channel: Option<usize>,
        room: &'a mut Room,
    ) -> Result<Option<Self>, VolumeError> {
        let (first, count) = select(path, header, channel)?;
        let source = Source::open(&header.voxels)?;
        let size = header.dtype.size();
        let bytes = whole_file(header, &source, room);
        Ok(bytes.map(|bytes| Self {
            bytes: &bytes[header.offset as usize + first * size..][..count * size],
            dtype: header.dtype,
            order: header.order,
            slope: header.slope,
            inter: header.inter,
        }))
    }

    /// Decodes the voxels from `first` on, as many as `out` has room for: the values that
    /// [`super::read_volume`] gives.
    pub(crate) fn decode(&self, first: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        let bytes = &self.bytes[first * size..(first + out.len()) * size];
        decode_into(self.dtype, self.order, bytes, out);
        if self.is_scaled() {
            for v in out {
                *v = *v * self.slope + self.inter;
            }
        }
    }

    /// Shows all values in order, piece by piece, to `look`, but for pieces that are stored as 0 and
    /// mean 0. Says where those are.
    pub(crate) fn pieces(&self, mut look: impl FnMut(&[f32])) -> Air {
        let mut values = [0.0; PIECE];
        let bytes = self.bytes.chunks(PIECE * self.dtype.size());
        let pieces = bytes.enumerate().map(|(i, bytes)| {
            let air = !self.is_scaled() && is_blank(bytes);
            if !air {
                let piece = &mut values[..bytes.len() / self.dtype.size()];
                self.decode(i * PIECE, piece);
                look(piece);
            }
            air
        });
        Air(pieces.collect())
    }

    fn is_scaled(&self) -> bool {
        self.slope != 1.0 || self.inter != 0.0
    }
}

/// Pieces of a volume where all values are 0.
#[derive(Debug)]
pub(crate) struct Air(Vec<bool>);

impl Air {
    /// Whether the `count` values from voxel `first` on, one at least, lie in such pieces.
    pub(crate) fn holds(&self, first: usize, count: usize) -> bool {
        self.0[first / PIECE..=(first + count - 1) / PIECE]
            .iter()
            .all(|&air| air)
    }
}

wide! {
    fn is_blank(bytes: &[u8]) -> bool {
        let mut any = 0;
        for &b in bytes {
            any |= b;
        }
        any == 0
    }
}
