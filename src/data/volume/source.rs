//! Opening the files of a volume: plain or gzip (by content), single file or header/image pair.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::error::VolumeError;

/// Largest ratio of deflate: a match of 258 bytes costs at least two bits.
const DEFLATE_RATIO: u64 = 1032;

/// An open file and what its size promises.
pub(super) enum Source {
    /// Plain file.
    Plain {
        /// Reader at the start of the file.
        reader: BufReader<File>,
        /// Bytes in the file.
        length: u64,
    },
    /// gzip file of one or several members.
    Gzip {
        /// Reader at the start of the content.
        reader: Box<MultiGzDecoder<BufReader<File>>>,
        /// Bytes in the compressed file.
        compressed: u64,
    },
}

impl Source {
    /// Opens `path`, whatever its name says about compression.
    pub(super) fn open(path: &Path) -> Result<Self, VolumeError> {
        let io = |e| VolumeError::io(path, e);
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(VolumeError::request(path, "not a regular file"));
        }
        let mut file = File::open(path).map_err(io)?;
        let mut start = [0; 2];
        let gzip = read_up_to(&mut file, &mut start).map_err(io)? == 2 && start == [0x1f, 0x8b];
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(if gzip {
            Self::Gzip {
                reader: Box::new(MultiGzDecoder::new(reader)),
                compressed: meta.len(),
            }
        } else {
            Self::Plain {
                reader,
                length: meta.len(),
            }
        })
    }

    /// Most bytes that the file can hold once unpacked.
    pub(super) fn capacity(&self) -> u64 {
        match self {
            Self::Plain { length, .. } => *length,
            Self::Gzip { compressed, .. } => compressed.saturating_mul(DEFLATE_RATIO),
        }
    }

    /// Whether the length is known before reading.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// Moves on by `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<()> {
        match self {
            Self::Plain { reader, .. } => {
                let count = i64::try_from(count).map_err(io::Error::other)?;
                reader.seek_relative(count)
            }
            Self::Gzip { reader, .. } => {
                let skipped = io::copy(&mut reader.take(count), &mut io::sink())?;
                if skipped == count {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            }
        }
    }

    /// After the last voxel: reads on to the check sum of the gzip member, so that a corrupt file is
    /// told from a good one. Whatever else follows is of no interest, and little of it is read.
    pub(super) fn verify_end(&mut self) -> io::Result<()> {
        let Self::Gzip { reader, .. } = self else {
            return Ok(());
        };
        let mut rest = [0; 4096];
        for _ in 0..16 {
            match reader.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Padding after the last member is no gzip header; that is common and harmless.
                Err(e) if e.to_string().contains("header") => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { reader, .. } => reader.read(buffer),
            Self::Gzip { reader, .. } => reader.read(buffer),
        }
    }
}

/// Fills as much of `buffer` as the reader has.
pub(super) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// The header file for `path`: for `.img` and `.img.gz` its `.hdr` or `.hdr.gz`, else itself.
pub(super) fn header_file(path: &Path) -> PathBuf {
    partner(path, ".img", ".hdr").unwrap_or_else(|| path.to_path_buf())
}

/// The image file of a header/image pair, for its header file.
///
/// # Errors
/// The name does not end in `.hdr` or `.hdr.gz`.
pub(super) fn image_file(header: &Path) -> Result<PathBuf, VolumeError> {
    partner(header, ".hdr", ".img").ok_or_else(|| {
        VolumeError::field(
            header,
            "magic",
            "says header/image pair, but the name does not end in .hdr or .hdr.gz",
        )
    })
}

/// `x<from>[.gz]` to `x<to>` or `x<to>.gz`, whichever exists; same compression first. Upper case
/// endings have upper case partners.
fn partner(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let (cut, gz) = match lower.strip_suffix(".gz") {
        Some(rest) => (rest.len(), true),
        None => (lower.len(), false),
    };
    if !lower[..cut].ends_with(from) {
        return None;
    }
    let stem = &name[..cut - from.len()];
    let upper = name[..cut].ends_with(&from.to_ascii_uppercase());
    let ending = if upper {
        to.to_ascii_uppercase()
    } else {
        to.to_string()
    };
    let packed_ending = if upper { ".GZ" } else { ".gz" };
    let plain = path.with_file_name(format!("{stem}{ending}"));
    let packed = path.with_file_name(format!("{stem}{ending}{packed_ending}"));
    let (first, second) = if gz { (packed, plain) } else { (plain, packed) };
    Some(if !first.exists() && second.exists() {
        second
    } else {
        first
    })
}
