//! A gzip file unpacked at once, which is faster than piece by piece.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_free_decompressor,
    libdeflate_gzip_decompress_ex, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// Bytes beyond which no file is unpacked at once.
const LARGEST: u64 = 1 << 28;
/// Bytes that a packed one can stand for at most: a header that claims more is wrong.
const DENSEST: u64 = 1032;

/// Memory to unpack a file in, which the next file can use.
#[derive(Debug, Default)]
pub(crate) struct Room {
    packed: Vec<u8>,
    content: Vec<u8>,
}

impl Room {
    /// The content of the file at `path` of `packed` bytes, if that is one gzip member of exactly
    /// `length` bytes. Whatever else it is, and where it is large or corrupt, there is `None`, and
    /// whoever reads it piece by piece finds out.
    pub(super) fn unpack(&mut self, path: &Path, packed: u64, length: u64) -> Option<&[u8]> {
        if packed > LARGEST || length > LARGEST.min(packed.saturating_mul(DENSEST)) {
            return None;
        }
        self.packed.clear();
        let file = File::open(path).ok()?;
        file.take(packed + 1).read_to_end(&mut self.packed).ok()?;
        self.content.clear();
        // A header that lies costs addresses, no memory: pages are there once they are written.
        self.content.try_reserve_exact(length as usize).ok()?;
        Decompressor::new()?.gzip(&self.packed, &mut self.content, length as usize)?;
        (self.content.len() as u64 == length).then_some(&self.content)
    }
}

/// The state of libdeflate.
struct Decompressor(NonNull<libdeflate_decompressor>);

impl Decompressor {
    /// `None` where there is no memory.
    fn new() -> Option<Self> {
        // SAFETY: the call has no conditions.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Unpacks `input`, all of it one member of at most `length` bytes, into `out`, which has room.
    fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>, length: usize) -> Option<()> {
        out.clear();
        let (mut used, mut made) = (0, 0);
        // SAFETY: the state is live and nobody else's; as many bytes may be read and written as are
        // said; the places of the counts are live.
        let result = unsafe {
            libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                out.as_mut_ptr().cast(),
                length.min(out.capacity()),
                &raw mut used,
                &raw mut made,
            )
        };
        if result != libdeflate_result_LIBDEFLATE_SUCCESS || used != input.len() {
            return None;
        }
        // SAFETY: so many bytes were written, within the capacity.
        unsafe { out.set_len(made) };
        Some(())
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: made by `libdeflate_alloc_decompressor`, freed once.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(file: &[u8], length: u64) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        std::fs::write(&path, file).unwrap();
        let mut room = Room {
            packed: vec![9; 200],
            content: vec![9; 200_000],
        };
        let found = room.unpack(&path, file.len() as u64, length);
        found.map(<[u8]>::to_vec)
    }

    #[test]
    fn one_whole_member_or_nothing() {
        let content: Vec<u8> = (0..100_000u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        let file = packed(&content);
        let length = content.len() as u64;
        assert_eq!(unpacked(&file, length).as_ref(), Some(&content));
        // More or less than the header says.
        assert_eq!(unpacked(&file, length - 1), None);
        assert_eq!(unpacked(&file, length + 1), None);
        assert_eq!(unpacked(&file, 1 << 40), None);
        assert_eq!(unpacked(&file, DENSEST * file.len() as u64 + 1), None);
        // The densest content there is.
        let air = vec![0; 200_000];
        assert_eq!(unpacked(&packed(&air), 200_000), Some(air));
        // Several members, padding, a cut, a wrong bit anywhere, no gzip at all.
        let two = [packed(&content[..500]), packed(&content[500..])].concat();
        assert_eq!(unpacked(&two, length), None);
        assert_eq!(unpacked(&[&file[..], &[0; 9]].concat(), length), None);
        assert_eq!(unpacked(&file[..file.len() - 1], length), None);
        for at in [0, 9, 10, 5000, file.len() - 8, file.len() - 1] {
            let mut wrong = file.clone();
            wrong[at] ^= 4;
            // A bit of the time stamp or of the system's name is no content.
            assert!(at == 9 || unpacked(&wrong, length).is_none(), "{at}");
        }
        assert_eq!(unpacked(&content, length), None);
        assert_eq!(unpacked(&[], 0), None);
    }
}
