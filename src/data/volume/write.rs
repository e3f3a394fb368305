//! Writing NIfTI-1 single files, whole or not at all, the same bytes for the same content.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::affine::{spacing, to_quaternion};
use super::error::VolumeError;
use super::header::Header;
use super::read::{LabelVolume, Volume};
use super::scalar::ScalarType;

/// First voxel of a single file without extensions.
const OFFSET: usize = 352;

/// Transform code of a source that said nothing about where it lies.
const ALIGNED: i16 = 2;

/// Voxel type of a written image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoxelFormat {
    /// 32-bit float.
    Float32,
    /// 16-bit integer; values are rounded, and refused where they do not fit.
    Int16,
}

/// Writes labels as u8 with slope 1, on the grid of `like`, whose transforms and units are kept.
///
/// `.nii` is plain, `.nii.gz` compressed. The file appears by renaming, and its bytes depend on the
/// content only.
///
/// # Errors
/// The name ends otherwise; the shape is not that of `like`; the file cannot be written.
pub fn write_labels(path: &Path, labels: &LabelVolume, like: &Header) -> Result<(), VolumeError> {
    check_grid(path, labels.shape, labels.data.len(), like)?;
    let header = encode_header(path, like, ScalarType::Uint8)?;
    publish(path, &header, |out| out.write_all(&labels.data))
}

/// Writes an image with slope 1, on the grid of `like`, whose transforms and units are kept.
///
/// # Errors
/// As [`write_labels`]; a value does not fit into 16 bits where those are asked for.
pub fn write_volume(
    path: &Path,
    volume: &Volume,
    format: VoxelFormat,
    like: &Header,
) -> Result<(), VolumeError> {
    check_grid(path, volume.shape, volume.data.len(), like)?;
    let dtype = match format {
        VoxelFormat::Float32 => ScalarType::Float32,
        VoxelFormat::Int16 => {
            let fits = |v: f32| (-32768.5..32767.5).contains(&v);
            if let Some(&v) = volume.data.iter().find(|v| !fits(**v)) {
                return Err(VolumeError::request(
                    path,
                    format!("value {v} does not fit into 16-bit integers"),
                ));
            }
            ScalarType::Int16
        }
    };
    let header = encode_header(path, like, dtype)?;
    publish(path, &header, |out| {
        for part in volume.data.chunks(1 << 14) {
            let bytes: Vec<u8> = match format {
                VoxelFormat::Float32 => part.iter().flat_map(|v| v.to_le_bytes()).collect(),
                VoxelFormat::Int16 => part
                    .iter()
                    .flat_map(|v| (v.round() as i16).to_le_bytes())
                    .collect(),
            };
            out.write_all(&bytes)?;
        }
        Ok(())
    })
}

fn check_grid(
    path: &Path,
    shape: [usize; 3],
    voxels: usize,
    like: &Header,
) -> Result<(), VolumeError> {
    if shape != like.grid() || voxels != like.voxels_per_channel() {
        return Err(VolumeError::request(
            path,
            format!(
                "a volume of shape {shape:?} ({voxels} voxels) does not lie on the grid {:?} of \
                 its source",
                like.grid()
            ),
        ));
    }
    Ok(())
}

/// A little-endian NIfTI-1 header with four bytes "no extensions" after it.
fn encode_header(
    path: &Path,
    like: &Header,
    dtype: ScalarType,
) -> Result<[u8; OFFSET], VolumeError> {
    let mut block = [0; OFFSET];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    put(38, b"r");

    let grid = like.grid();
    put(40, &3_i16.to_le_bytes());
    for i in 0..7 {
        let n = grid.get(i).copied().unwrap_or(1);
        let n = i16::try_from(n).map_err(|_| {
            VolumeError::field(path, "dim", format!("{n} does not fit into NIfTI-1"))
        })?;
        put(42 + 2 * i, &n.to_le_bytes());
    }
    put(68, &like.carried.intent_code.to_le_bytes());
    for (i, &p) in like.carried.intent_p.iter().enumerate() {
        put(56 + 4 * i, &(p as f32).to_le_bytes());
    }
    put(328, &like.carried.intent_name);
    put(70, &dtype.code().to_le_bytes());
    put(72, &(8 * dtype.size() as i16).to_le_bytes());

    let carried = &like.carried;
    let size = spacing(&like.affine);
    let sform_code = match (carried.sform_code, carried.qform_code) {
        (s, _) if s > 0 => s,
        (_, q) if q > 0 => q,
        _ => ALIGNED,
    };
    // A source without a qform gets one where its affine can be written as one.
    let (qform_code, quatern, qoffset, pixdim) = if carried.qform_code > 0 {
        (
            carried.qform_code,
            carried.quatern,
            carried.qoffset,
            carried.pixdim,
        )
    } else {
        let origin = std::array::from_fn(|r| like.affine[r][3]);
        match to_quaternion(&like.affine) {
            Some((bcd, qfac)) => (sform_code, bcd, origin, [qfac, size[0], size[1], size[2]]),
            None => (0, [0.0; 3], [0.0; 3], [1.0, size[0], size[1], size[2]]),
        }
    };
    for i in 0..8 {
        let value = pixdim.get(i).copied().unwrap_or(1.0) as f32;
        put(76 + 4 * i, &value.to_le_bytes());
    }
    put(108, &(OFFSET as f32).to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(123, &[carried.xyzt_units & 7]);
    put(252, &qform_code.to_le_bytes());
    put(254, &sform_code.to_le_bytes());
    for i in 0..3 {
        put(256 + 4 * i, &(quatern[i] as f32).to_le_bytes());
        put(268 + 4 * i, &(qoffset[i] as f32).to_le_bytes());
        for c in 0..4 {
            let value = like.affine[i][c] as f32;
            put(280 + 16 * i + 4 * c, &value.to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    Ok(block)
}

/// Writes beside the target and renames.
fn publish(
    path: &Path,
    header: &[u8],
    body: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), VolumeError> {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let packed = name.ends_with(".nii.gz");
    if !packed && !name.ends_with(".nii") {
        return Err(VolumeError::request(
            path,
            "a written volume ends in .nii or .nii.gz",
        ));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".volume-");
        // As an ordinary file: what the user's mask allows, not only the owner.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        {
            let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
            if packed {
                let mut gz = GzBuilder::new()
                    .mtime(0)
                    .operating_system(255)
                    .write(&mut out, Compression::default());
                gz.write_all(header)?;
                body(&mut gz)?;
                gz.finish()?;
            } else {
                out.write_all(header)?;
                body(&mut out)?;
            }
            out.flush()?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| VolumeError::io(path, e))
}
