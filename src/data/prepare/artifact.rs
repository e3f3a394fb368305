//! The file of a prepared case, and its writer.
//!
//! One safetensors file per case. Arrays are `(z, y, x)` with x fastest; x grows to the patient's
//! left, y to the back, z up (LPS), as nearly as the source's axes allow. Tensors, in file order:
//!
//! | name | type | shape | content |
//! |---|---|---|---|
//! | `nonzero` | f32 | `[Z]` | share of foreground pixels per slice of the window, in any modality, before clipping (CT: above -1024 HU; MR, PET: not 0) |
//! | `counts` | u32 | `[Z, L]` | pixels of each of `label_values` per slice of the window; absent where L is 0 |
//! | `image` | f32 or f16 | `[C, Z, H, W]` | modalities in the order of the metadata, cropped or padded |
//! | `label` | u8 | `[Z, H, W]` | label values as on disk; absent without a label file |
//! | `label_box` | u8 | `label_box.shape` | bounding box of non-zero labels on the uncropped grid; absent where empty |
//!
//! The metadata has one entry, `prepared`: [`PreparedMeta`] as JSON. Equal content gives equal bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::crop::Window;
use super::error::PrepareError;
use super::grid::Grid;
use crate::options::Precision;

/// Version of the layout of the file.
pub(super) const VERSION: u32 = 1;
/// Entry of the safetensors metadata.
pub(super) const META: &str = "prepared";

/// A box of labels on the uncropped grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelBox {
    /// First voxel `[z, y, x]`.
    pub offset: [usize; 3],
    /// Size `[z, y, x]`; zeros where there is no label.
    pub shape: [usize; 3],
}

/// What a prepared case says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparedMeta {
    /// Version of the file layout.
    pub version: u32,
    /// Case identity.
    pub id: String,
    /// Stratum of the split.
    pub stratum: String,
    /// Names of the channels.
    pub modalities: Vec<String>,
    /// Number format of `image`.
    pub precision: Precision,
    /// Full prepared grid, before the crop.
    pub grid: Grid,
    /// Spacing of it along x, y, z in mm.
    pub spacing: [f64; 3],
    /// The in-plane window that was kept.
    pub window: Window,
    /// Source grid that the full grid was made from; `None` where a bounding box decided.
    pub base: Option<Grid>,
    /// Whether the case has a label file.
    pub labelled: bool,
    /// Label values other than 0 on the full grid, ascending.
    pub label_values: Vec<u8>,
    /// Voxels of each of them on the full grid.
    pub label_totals: Vec<u64>,
    /// Where `label_box` lies.
    pub label_box: LabelBox,
}

impl PreparedMeta {
    /// Number of slices.
    #[must_use]
    pub fn slices(&self) -> usize {
        self.grid.shape[2]
    }

    /// `[height, width]` of a slice of the full grid.
    #[must_use]
    pub fn full_size(&self) -> [usize; 2] {
        [self.grid.shape[1], self.grid.shape[0]]
    }

    /// Puts a mask of the window, `[Z, H, W]`, back into the full grid `[Z, Y, X]`; 0 elsewhere.
    ///
    /// # Errors
    /// The mask has another number of voxels.
    pub fn uncrop(&self, mask: &[u8]) -> Result<Vec<u8>, PrepareError> {
        let pixels = self.window.pixels();
        if mask.len() != pixels * self.slices() {
            return Err(PrepareError::Shape(format!(
                "case {}: a mask of {} voxels is not {} slices of {:?}",
                self.id,
                mask.len(),
                self.slices(),
                self.window.size
            )));
        }
        let full = self.full_size();
        let mut out = vec![0; self.grid.voxels()];
        for (slice, window) in out
            .chunks_exact_mut(full[0] * full[1])
            .zip(mask.chunks_exact(pixels))
        {
            self.window.paste(window, full, slice);
        }
        Ok(out)
    }

    /// Tensors that the file must hold: name, type, shape.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Dtype, Vec<usize>)> {
        let z = self.slices();
        let [h, w] = self.window.size;
        let image = match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        };
        let mut out = vec![("nonzero", Dtype::F32, vec![z])];
        if !self.label_values.is_empty() {
            out.push(("counts", Dtype::U32, vec![z, self.label_values.len()]));
        }
        out.push(("image", image, vec![self.modalities.len(), z, h, w]));
        if self.labelled {
            out.push(("label", Dtype::U8, vec![z, h, w]));
        }
        if !self.label_box.shape.contains(&0) {
            out.push(("label_box", Dtype::U8, self.label_box.shape.to_vec()));
        }
        out
    }
}

/// Writes a prepared file tensor by tensor, so that no more than one modality is in memory.
pub(super) struct ArtifactWriter {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    places: HashMap<&'static str, u64>,
    precision: Precision,
    /// Room for planes; the first `waiting` values have not gone to `out` yet.
    planes: Vec<f32>,
    waiting: usize,
    /// Values of a plane.
    pixels: usize,
    /// Bytes of the whole file, until they are reserved.
    length: Option<u64>,
}

/// Values of planes that go to the file at a time, about: few calls, and still in the cache.
const TOGETHER: usize = 1 << 17;

impl ArtifactWriter {
    /// Starts the file beside `path`; it appears there with [`ArtifactWriter::finish`].
    pub(super) fn create(path: &Path, meta: &PreparedMeta) -> Result<Self, PrepareError> {
        let json =
            serde_json::to_string(meta).map_err(|e| PrepareError::artifact(path, e.to_string()))?;
        let mut infos = Vec::new();
        let mut end = 0;
        for (name, dtype, shape) in meta.tensors() {
            let size = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            infos.push((
                name,
                TensorInfo {
                    dtype,
                    shape,
                    data_offsets: (end, end + size),
                },
            ));
            end += size;
        }
        let named = infos
            .iter()
            .map(|(name, info)| ((*name).to_string(), info.clone()))
            .collect();
        // One entry only: the order of several would differ from run to run.
        let entry = HashMap::from([(META.to_string(), json)]);
        let mut header = Metadata::new(Some(entry), named)
            .map_err(|e| e.to_string())
            .and_then(|m| serde_json::to_vec(&m).map_err(|e| e.to_string()))
            .map_err(|e| PrepareError::artifact(path, e))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let start = 8 + header.len() as u64;
        let places = infos
            .iter()
            .map(|(name, info)| (*name, start + info.data_offsets.0 as u64))
            .collect();

        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".prepared-");
        // As an ordinary file: what the user's mask allows, not only the owner.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder
            .tempfile_in(folder)
            .map_err(|e| PrepareError::io(path, e))?;
        let pixels = meta.window.pixels();
        let mut writer = Self {
            path: path.to_path_buf(),
            // Smaller than what is written at a time, which goes to the file without a copy.
            out: BufWriter::with_capacity(1 << 16, file),
            places,
            precision: meta.precision,
            planes: vec![0.0; (TOGETHER / pixels).max(1) * pixels],
            waiting: 0,
            pixels,
            length: Some(start + end as u64),
        };
        writer.bytes(&(header.len() as u64).to_le_bytes())?;
        writer.bytes(&header)?;
        Ok(writer)
    }

    /// Goes to the start of a tensor. A tensor that the file does not have is refused.
    pub(super) fn begin(&mut self, name: &str) -> Result<(), PrepareError> {
        self.write_planes()?;
        let place = *self
            .places
            .get(name)
            .ok_or_else(|| PrepareError::artifact(&self.path, format!("has no tensor {name}")))?;
        self.out
            .seek(SeekFrom::Start(place))
            .map(|_| ())
            .map_err(|e| PrepareError::io(&self.path, e))
    }

    /// Writes on.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), PrepareError> {
        self.out
            .write_all(bytes)
            .map_err(|e| PrepareError::io(&self.path, e))
    }

    /// Writes on the plane of the image that `fill` makes of whatever it finds there.
    pub(super) fn plane(&mut self, fill: impl FnOnce(&mut [f32])) -> Result<(), PrepareError> {
        if self.waiting + self.pixels > self.planes.len() {
            self.write_planes()?;
        }
        fill(&mut self.planes[self.waiting..][..self.pixels]);
        self.waiting += self.pixels;
        Ok(())
    }

    fn write_planes(&mut self) -> Result<(), PrepareError> {
        if self.waiting == 0 {
            return Ok(());
        }
        // Not before there are voxels: what a header claims takes no room on the disk.
        if let Some(length) = self.length.take() {
            reserve(self.out.get_ref().as_file(), length);
        }
        let values = &mut self.planes[..self.waiting];
        self.waiting = 0;
        match self.precision {
            Precision::F32 => self.out.write_all(little_endian(values)),
            Precision::F16 => {
                let halves = values.iter().map(|&v| half::f16::from_f32(v).to_le_bytes());
                self.out
                    .write_all(halves.collect::<Vec<_>>().as_flattened())
            }
        }
        .map_err(|e| PrepareError::io(&self.path, e))
    }

    /// Renames the file to its place. Durability is the business of the store around it.
    pub(super) fn finish(mut self) -> Result<(), PrepareError> {
        self.write_planes()?;
        let file: NamedTempFile<File> = self
            .out
            .into_inner()
            .map_err(|e| PrepareError::io(&self.path, e.into_error()))?;
        file.persist(&self.path)
            .map_err(|e| PrepareError::io(&self.path, e.error))?;
        Ok(())
    }
}

/// The bytes of `values`, in their place.
fn little_endian(values: &mut [f32]) -> &[u8] {
    for v in values.iter_mut() {
        *v = f32::from_bits(v.to_bits().to_le());
    }
    // SAFETY: all bytes of a float are initialised, as many as are said, and borrowed with it.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Asks for the room on the disk at once, which makes writing faster. Where that is not to be had,
/// writing finds out what there is.
fn reserve(file: &File, length: u64) {
    #[cfg(target_os = "linux")]
    if let Ok(length) = libc::off_t::try_from(length) {
        use std::os::fd::AsRawFd;
        // SAFETY: the file is open; the call touches no memory.
        let _ = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, length);
}
