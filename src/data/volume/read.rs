//! Voxels: streamed in bounded chunks, never more than the header and the file agree on.

use std::path::Path;

use super::affine::Affine;
use super::error::VolumeError;
use super::header::{Header, read_header};
use super::source::{Source, read_up_to};
use super::unpack::Room;

/// Bytes that are decoded at a time; a multiple of every voxel size.
const CHUNK: usize = 1 << 18;

/// Voxels that are reserved for a compressed file before the first of them has arrived.
const FIRST_RESERVE: usize = 1 << 20;

/// One volume of images.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Values, x fastest: `data[(z * ny + y) * nx + x]`.
    pub data: Vec<f32>,
    /// Sizes `[x, y, z]`.
    pub shape: [usize; 3],
    /// Voxel index to world, RAS+, mm.
    pub affine: Affine,
}

/// One volume of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelVolume {
    /// Values, x fastest: `data[(z * ny + y) * nx + x]`.
    pub data: Vec<u8>,
    /// Sizes `[x, y, z]`.
    pub shape: [usize; 3],
    /// Voxel index to world, RAS+, mm.
    pub affine: Affine,
}

/// Reads one volume as `raw * scl_slope + scl_inter`, in f32.
///
/// `channel` counts the volumes beyond the third axis; `None` is for files that hold one only.
///
/// # Errors
/// As [`read_header`]; the voxels are cut short or corrupt; the channel is missing or not named.
pub fn read_volume(path: &Path, channel: Option<usize>) -> Result<Volume, VolumeError> {
    let room = Some(&mut Room::default());
    read_volume_into(path, channel, Vec::new(), room, |_| ())
}

/// [`read_volume`] into the room of `data`, whose content is lost: memory that was in use already
/// costs nothing to get. Where there is `room`, the file may be unpacked in it at once. `look` sees
/// all values, piece by piece and in order, while they are at hand.
///
/// # Errors
/// As [`read_volume`].
pub(crate) fn read_volume_into(
    path: &Path,
    channel: Option<usize>,
    mut data: Vec<f32>,
    room: Option<&mut Room>,
    mut look: impl FnMut(&[f32]),
) -> Result<Volume, VolumeError> {
    let header = read_header(path)?;
    let (first, count) = select(path, &header, channel)?;
    let (slope, inter) = (header.slope, header.inter);
    let scaled = slope != 1.0 || inter != 0.0;
    data.clear();
    stream(&header, first, count, room, |bytes, total| {
        grow(&mut data, bytes.len() / header.dtype.size(), total);
        let before = data.len();
        header.dtype.decode_f32(header.order, bytes, &mut data);
        if scaled {
            for v in &mut data[before..] {
                *v = *v * slope + inter;
            }
        }
        look(&data[before..]);
        Ok(())
    })?;
    Ok(Volume {
        data,
        shape: header.grid(),
        affine: header.affine,
    })
}

/// Reads a label map: whole numbers from 0 to 255, of any voxel type; floats must be within 0.001 of
/// a whole number.
///
/// # Errors
/// As [`read_volume`]; the file is scaled, holds several volumes, or a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume, VolumeError> {
    read_labels_into(path, Vec::new(), &mut Room::default())
}

/// [`read_labels`] into the room of `data`, whose content is lost.
///
/// # Errors
/// As [`read_labels`].
pub(crate) fn read_labels_into(
    path: &Path,
    mut data: Vec<u8>,
    room: &mut Room,
) -> Result<LabelVolume, VolumeError> {
    let header = read_header(path)?;
    if header.slope != 1.0 || header.inter != 0.0 {
        return Err(VolumeError::field(
            path,
            "scl_slope",
            format!(
                "labels must not be scaled, this file has slope {} and intercept {}",
                header.slope, header.inter
            ),
        ));
    }
    let (first, count) = select(path, &header, None)?;
    let refuse = |v: f64| {
        let text = format!("{v} is no label (whole numbers from 0 to 255)");
        Err(VolumeError::voxels(path, text))
    };
    data.clear();
    let mut values = Vec::new();
    stream(&header, first, count, Some(room), |bytes, total| {
        grow(&mut data, bytes.len() / header.dtype.size(), total);
        let (dtype, order) = (header.dtype, header.order);
        if let Some(done) = dtype.decode_labels(order, bytes, &mut data) {
            return done.or_else(refuse);
        }
        values.clear();
        dtype.decode(order, bytes, &mut values);
        for &v in &values {
            let whole = v.round();
            // Written so that a value that is no number fails too.
            if !((v - whole).abs() < 1e-3 && (0.0..=255.0).contains(&whole)) {
                return refuse(v);
            }
            data.push(whole as u8);
        }
        Ok(())
    })?;
    Ok(LabelVolume {
        data,
        shape: header.grid(),
        affine: header.affine,
    })
}

/// First voxel and number of voxels of a channel.
pub(super) fn select(
    path: &Path,
    header: &Header,
    channel: Option<usize>,
) -> Result<(usize, usize), VolumeError> {
    let (channels, size) = (header.channels(), header.voxels_per_channel());
    match channel {
        None if channels == 1 => Ok((0, size)),
        None => Err(VolumeError::request(
            path,
            format!(
                "holds {channels} volumes (shape {:?}), name one by its channel",
                header.shape
            ),
        )),
        Some(c) if c < channels => Ok((c * size, size)),
        Some(c) => Err(VolumeError::request(
            path,
            format!("channel {c} of {channels} volumes (counted from 0)"),
        )),
    }
}

/// Room for `more` values: doubling, never beyond `total`. What a compressed file claims is not
/// believed before it has delivered.
fn grow<T>(data: &mut Vec<T>, more: usize, total: Reserve) {
    let needed = data.len() + more;
    if needed <= data.capacity() {
        return;
    }
    let target = match total {
        Reserve::Known(n) => n,
        Reserve::Claimed(n) => n.min((2 * needed).max(FIRST_RESERVE)),
    };
    data.reserve_exact(target.max(needed) - data.len());
}

/// How far the number of voxels can be trusted before they are read.
#[derive(Clone, Copy)]
pub(super) enum Reserve {
    /// The plain file is long enough for them.
    Known(usize),
    /// Only the header says so.
    Claimed(usize),
}

/// Feeds the bytes of `count` voxels from `first` on to `sink`, in chunks of whole voxels. Where there
/// is `room`, the file may be unpacked in it at once.
///
/// # Errors
/// The file is too short for its header, ends early, is corrupt, or `sink` refuses.
pub(super) fn stream(
    header: &Header,
    first: usize,
    count: usize,
    room: Option<&mut Room>,
    mut sink: impl FnMut(&[u8], Reserve) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    let path = &header.voxels;
    let size = header.dtype.size();
    let mut source = Source::open(path)?;
    let whole = header.voxels_per_channel() * header.channels() * size;
    let end = header.offset.saturating_add(whole as u64);
    if end > source.capacity() {
        return Err(VolumeError::voxels(
            path,
            if source.is_plain() {
                format!(
                    "shape {:?} of {} needs {end} bytes, the file has {}",
                    header.shape,
                    header.dtype.name(),
                    source.capacity()
                )
            } else {
                format!(
                    "shape {:?} of {} needs {end} bytes, more than this file can unpack to",
                    header.shape,
                    header.dtype.name()
                )
            },
        ));
    }
    let start = header.offset + (first * size) as u64;
    if let Some(room) = room
        && let Some(bytes) = whole_file(header, &source, room)
    {
        for bytes in bytes[start as usize..].chunks(CHUNK) {
            sink(bytes, Reserve::Known(count))?;
        }
        return Ok(());
    }
    let reserve = if source.is_plain() {
        Reserve::Known(count)
    } else {
        Reserve::Claimed(count)
    };
    source.skip(start).map_err(|e| broken(path, &e, 0, count))?;
    let mut bytes = vec![0; CHUNK.min(count * size)];
    let mut done = 0;
    while done < count {
        let wanted = (CHUNK / size).min(count - done) * size;
        let got = read_up_to(&mut source, &mut bytes[..wanted])
            .map_err(|e| broken(path, &e, done, count))?;
        if got < wanted {
            let early = std::io::ErrorKind::UnexpectedEof.into();
            return Err(broken(path, &early, done + got / size, count));
        }
        sink(&bytes[..got], reserve)?;
        done += got / size;
    }
    if first * size + count * size == whole {
        source
            .verify_end()
            .map_err(|e| broken(path, &e, count, count))?;
    }
    Ok(())
}

/// The content of `source`, the file of `header`'s voxels, unpacked at once in `room`, where it is one
/// for that.
pub(super) fn whole_file<'a>(
    header: &Header,
    source: &Source,
    room: &'a mut Room,
) -> Option<&'a [u8]> {
    let Source::Gzip { compressed, .. } = *source else {
        return None;
    };
    let bytes = header.voxels_per_channel() * header.channels() * header.dtype.size();
    let end = header.offset.saturating_add(bytes as u64);
    // Of several volumes one is wanted: not worth the room of all.
    (header.channels() == 1)
        .then(|| room.unpack(&header.voxels, compressed, end))
        .flatten()
}

/// Words for a failed read after `done` of `count` voxels.
fn broken(path: &Path, error: &std::io::Error, done: usize, count: usize) -> VolumeError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        VolumeError::voxels(
            path,
            format!("the file ends after {done} of {count} voxels"),
        )
    } else {
        VolumeError::voxels(path, format!("{error} (after {done} of {count} voxels)"))
    }
}
