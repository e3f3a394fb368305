//! What a header says, checked: shape, type, scaling, and the affine by the rules of
//! `metrics-and-data.md` section 7.

use std::path::{Path, PathBuf};

use super::affine::{Affine, IDENTITY, from_quaternion, invert, spacing};
use super::error::VolumeError;
use super::raw::{RawHeader, SIZE_1, SIZE_2, identify};
use super::scalar::{ByteOrder, ScalarType};
use super::source::{Source, header_file, image_file, read_up_to};

/// Largest difference in mm between sform and qform, at a corner of the volume, without a warning.
const FORMS_TOLERANCE: f64 = 1e-3;

/// A checked header of NIfTI-1 or NIfTI-2.
#[derive(Clone, Debug)]
pub struct Header {
    /// Sizes of all axes as stored, x first; 1 to 7 of them.
    pub shape: Vec<usize>,
    /// Distance of voxel centres along x, y, z in mm: column norms of the affine.
    pub spacing: [f64; 3],
    /// Voxel index to world, RAS+, mm.
    pub affine: Affine,
    /// Voxel type on disk.
    pub dtype: ScalarType,
    /// Factor on stored values; 1 where the file has none.
    pub slope: f32,
    /// Summand after the factor; 0 where the file has none.
    pub inter: f32,
    /// Byte order on disk.
    pub order: ByteOrder,
    /// 1 or 2.
    pub version: u8,
    /// Fields that a writer carries over.
    pub carried: Carried,
    /// What was odd and how it was understood, one line each.
    pub warnings: Vec<String>,
    /// File that holds the voxels.
    pub(super) voxels: PathBuf,
    /// Place of the first voxel there.
    pub(super) offset: u64,
}

/// Transforms, units and intent as stored, for files written on the same grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// `qform_code`, 0 where the file has no usable one.
    pub qform_code: i16,
    /// `sform_code`, 0 where the file has no usable one.
    pub sform_code: i16,
    /// `quatern_b`, `c`, `d`.
    pub quatern: [f64; 3],
    /// `qoffset_x`, `y`, `z`.
    pub qoffset: [f64; 3],
    /// `pixdim[0..=3]`; 0 is the sign of the third axis in the qform.
    pub pixdim: [f64; 4],
    /// `xyzt_units`.
    pub xyzt_units: u8,
    /// `intent_code`.
    pub intent_code: i16,
    /// `intent_p1`, `p2`, `p3`.
    pub intent_p: [f64; 3],
    /// `intent_name`.
    pub intent_name: [u8; 16],
}

impl Header {
    /// Sizes of x, y and z; missing axes are 1.
    #[must_use]
    pub fn grid(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.shape.get(i).copied().unwrap_or(1))
    }

    /// Number of volumes on the grid: product of the sizes beyond z.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shape.iter().skip(3).product()
    }

    /// Number of voxels of one volume.
    #[must_use]
    pub fn voxels_per_channel(&self) -> usize {
        self.grid().iter().product()
    }
}

/// Reads and checks the header of `.nii`, `.nii.gz`, or of either member of a `.hdr`/`.img` pair.
/// Voxels are not touched.
///
/// # Errors
/// The file cannot be read, is not NIfTI, or a field cannot be used; the message names both.
pub fn read_header(path: &Path) -> Result<Header, VolumeError> {
    let header_path = header_file(path);
    let raw = read_raw(&header_path)?;
    check(&header_path, &raw)
}

fn read_raw(path: &Path) -> Result<RawHeader, VolumeError> {
    let mut source = Source::open(path)?;
    let io = |e| VolumeError::io(path, e);
    let mut block = [0; SIZE_2];
    let got = read_up_to(&mut source, &mut block[..SIZE_1]).map_err(io)?;
    let cut = |got: usize, size: usize| {
        VolumeError::field(
            path,
            "sizeof_hdr",
            format!("the file ends after {got} bytes, a header has {size}"),
        )
    };
    if got < 4 {
        return Err(cut(got, SIZE_1));
    }
    let first = [block[0], block[1], block[2], block[3]];
    let Some((order, version)) = identify(first) else {
        return Err(VolumeError::field(
            path,
            "sizeof_hdr",
            format!(
                "{} is neither 348 (NIfTI-1) nor 540 (NIfTI-2) in either byte order",
                i32::from_le_bytes(first)
            ),
        ));
    };
    if got < SIZE_1 {
        return Err(cut(got, SIZE_1));
    }
    if version == 1 {
        return RawHeader::parse(path, &block[..SIZE_1], order, version);
    }
    let more = read_up_to(&mut source, &mut block[SIZE_1..]).map_err(io)?;
    if SIZE_1 + more < SIZE_2 {
        return Err(cut(SIZE_1 + more, SIZE_2));
    }
    RawHeader::parse(path, &block, order, version)
}

fn check(path: &Path, raw: &RawHeader) -> Result<Header, VolumeError> {
    let mut warnings = Vec::new();
    let shape = check_shape(path, raw)?;
    let dtype = ScalarType::from_code(raw.datatype)
        .map_err(|why| VolumeError::field(path, "datatype", why))?;
    check_size(path, &shape, dtype)?;
    if raw.bitpix != 8 * dtype.size() as i64 {
        warnings.push(format!(
            "bitpix is {}, {} has {}",
            raw.bitpix,
            dtype.name(),
            8 * dtype.size()
        ));
    }
    let (slope, inter) = check_scaling(path, raw)?;
    let (voxels, offset) = locate(path, raw)?;
    let (affine, carried) = check_forms(path, raw, &shape, &mut warnings)?;
    if let Some(unit) = match raw.xyzt_units & 7 {
        1 => Some("metres"),
        3 => Some("micrometres"),
        _ => None,
    } {
        warnings.push(format!("xyzt_units says {unit}; distances are taken as mm"));
    }
    Ok(Header {
        spacing: spacing(&affine),
        shape,
        affine,
        dtype,
        slope,
        inter,
        order: raw.order,
        version: raw.version,
        carried,
        warnings,
        voxels,
        offset,
    })
}

fn check_shape(path: &Path, raw: &RawHeader) -> Result<Vec<usize>, VolumeError> {
    let axes = usize::try_from(raw.dim[0])
        .ok()
        .filter(|n| (1..=7).contains(n))
        .ok_or_else(|| {
            VolumeError::field(
                path,
                "dim[0]",
                format!("{} axes, 1 to 7 are possible", raw.dim[0]),
            )
        })?;
    const NAMES: [&str; 7] = [
        "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]",
    ];
    raw.dim[1..=axes]
        .iter()
        .zip(NAMES)
        .map(|(&n, name)| {
            usize::try_from(n)
                .ok()
                .filter(|&n| n > 0)
                .ok_or_else(|| VolumeError::field(path, name, format!("size {n}")))
        })
        .collect()
}

/// The product of the sizes must be a number of bytes that a file can have.
fn check_size(path: &Path, shape: &[usize], dtype: ScalarType) -> Result<(), VolumeError> {
    shape
        .iter()
        .try_fold(dtype.size(), |bytes, &n| bytes.checked_mul(n))
        .filter(|&bytes| bytes < 1 << 50)
        .map(|_| ())
        .ok_or_else(|| {
            VolumeError::field(path, "dim", format!("{shape:?} is larger than any file"))
        })
}

fn check_scaling(path: &Path, raw: &RawHeader) -> Result<(f32, f32), VolumeError> {
    if raw.slope == 0.0 || !raw.slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    let (slope, inter) = (raw.slope as f32, raw.inter as f32);
    if !inter.is_finite() {
        return Err(VolumeError::field(
            path,
            "scl_inter",
            format!("{} beside a usable scl_slope", raw.inter),
        ));
    }
    if !slope.is_finite() || slope == 0.0 {
        return Err(VolumeError::field(
            path,
            "scl_slope",
            format!("{} is outside of 32-bit floats", raw.slope),
        ));
    }
    Ok((slope, inter))
}

fn locate(path: &Path, raw: &RawHeader) -> Result<(PathBuf, u64), VolumeError> {
    let offset = raw.vox_offset;
    if !(offset.is_finite() && offset >= 0.0 && offset.fract() == 0.0 && offset < 1e15) {
        return Err(VolumeError::field(
            path,
            "vox_offset",
            format!("{offset} is no place in a file"),
        ));
    }
    if raw.pair {
        return Ok((image_file(path)?, offset as u64));
    }
    if image_file(path).is_ok() {
        return Err(VolumeError::field(
            path,
            "magic",
            "says single file, but the name says header of a header/image pair",
        ));
    }
    let least = if raw.version == 1 { 352.0 } else { 544.0 };
    if offset < least {
        return Err(VolumeError::field(
            path,
            "vox_offset",
            format!("{offset} lies in the header; a single file has at least {least}"),
        ));
    }
    Ok((path.to_path_buf(), offset as u64))
}

/// sform, else qform, else pixdim (section 7).
fn check_forms(
    path: &Path,
    raw: &RawHeader,
    shape: &[usize],
    warnings: &mut Vec<String>,
) -> Result<(Affine, Carried), VolumeError> {
    let mut known = |code: i64, name: &str| match i16::try_from(code) {
        Ok(c @ 0..=5) => c,
        _ => {
            warnings.push(format!("{name} is {code}, taken as 0 (no transform)"));
            0
        }
    };
    let sform_code = known(raw.sform_code, "sform_code");
    let mut qform_code = known(raw.qform_code, "qform_code");
    let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());

    let pixdim = check_pixdim(raw, sform_code, warnings);
    let qfac = if raw.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let q_finite = finite(&raw.quatern) && finite(&raw.qoffset) && pixdim.is_some();
    let q_affine = pixdim
        .filter(|_| q_finite)
        .map(|size| from_quaternion(raw.quatern, raw.qoffset, size, qfac));

    let affine = if sform_code > 0 {
        let [x, y, z] = raw.srow;
        if qform_code > 0 && q_affine.is_none() {
            warnings.push("qform has numbers that are not finite; sform is used".into());
            qform_code = 0;
        }
        [x, y, z, IDENTITY[3]]
    } else if qform_code > 0 {
        let square: f64 = raw.quatern.iter().map(|v| v * v).sum();
        if square > 1.0 + 1e-5 {
            warnings.push(format!(
                "quatern_b, c, d have length {:.6}, brought back to 1",
                square.sqrt()
            ));
        }
        q_affine.ok_or_else(|| {
            VolumeError::field(
                path,
                "qform",
                "quatern, qoffset or pixdim is not finite, and there is no sform",
            )
        })?
    } else {
        let size = pixdim.ok_or_else(|| {
            VolumeError::field(
                path,
                "pixdim",
                "not finite, and there is neither sform nor qform",
            )
        })?;
        warnings.push(
            "neither sform nor qform: the affine is diag(pixdim), position and direction are \
             unknown"
                .into(),
        );
        let mut affine = IDENTITY;
        for (i, s) in size.into_iter().enumerate() {
            affine[i][i] = s;
        }
        affine
    };
    if invert(&affine).is_none() {
        let field = match (sform_code > 0, qform_code > 0) {
            (true, _) => "srow",
            (false, true) => "qform",
            (false, false) => "pixdim",
        };
        return Err(VolumeError::field(
            path,
            field,
            "the affine has no inverse: its axes do not span space or are not finite",
        ));
    }
    if let Some(q) = q_affine.filter(|_| sform_code > 0 && qform_code > 0) {
        let distance = corner_distance(&affine, &q, shape);
        if distance > FORMS_TOLERANCE {
            warnings.push(format!(
                "sform and qform disagree by {distance:.3} mm at a corner; sform is used"
            ));
        }
    }
    let size = pixdim.unwrap_or_else(|| spacing(&affine));
    Ok((
        affine,
        Carried {
            qform_code,
            sform_code,
            quatern: raw.quatern,
            qoffset: raw.qoffset,
            pixdim: [qfac, size[0], size[1], size[2]],
            xyzt_units: (raw.xyzt_units & 0x3f) as u8,
            intent_code: i16::try_from(raw.intent_code).unwrap_or(0),
            intent_p: raw.intent_p,
            intent_name: raw.intent_name,
        },
    ))
}

/// `pixdim[1..=3]` as positive numbers; `None` where one is not finite.
fn check_pixdim(raw: &RawHeader, sform_code: i16, warnings: &mut Vec<String>) -> Option<[f64; 3]> {
    let size = [raw.pixdim[1], raw.pixdim[2], raw.pixdim[3]];
    if !size.iter().all(|v| v.is_finite()) {
        return None;
    }
    // Axes beyond dim[0] mean nothing, and an sform carries its own spacing.
    let meant = sform_code == 0;
    Some(std::array::from_fn(|i| {
        let used = meant && (i as i64) < raw.dim[0];
        if size[i] < 0.0 {
            if used {
                warnings.push(format!(
                    "pixdim[{}] is {}, its sign is dropped",
                    i + 1,
                    size[i]
                ));
            }
            -size[i]
        } else if size[i] == 0.0 {
            if used {
                warnings.push(format!("pixdim[{}] is 0, taken as 1 mm", i + 1));
            }
            1.0
        } else {
            size[i]
        }
    }))
}

/// Largest distance in mm between the places of a corner voxel under two affines.
fn corner_distance(a: &Affine, b: &Affine, shape: &[usize]) -> f64 {
    let last: [f64; 3] = std::array::from_fn(|i| shape.get(i).map_or(0.0, |&n| (n - 1) as f64));
    (0..8)
        .map(|corner| {
            let point = std::array::from_fn(|i| if corner >> i & 1 == 1 { last[i] } else { 0.0 });
            let (p, q) = (
                super::affine::transform(a, point),
                super::affine::transform(b, point),
            );
            p.iter()
                .zip(q)
                .map(|(x, y)| (x - y) * (x - y))
                .sum::<f64>()
                .sqrt()
        })
        .fold(0.0, f64::max)
}
