//! A prepared case, memory-mapped.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use safetensors::SafeTensors;

use super::artifact::{META, PreparedMeta, VERSION};
use super::error::PrepareError;
use crate::options::Precision;

/// A prepared file, open. Slices are read from the page cache; no volume is copied.
#[derive(Debug)]
pub struct PreparedCase {
    meta: PreparedMeta,
    map: Mmap,
    image: Range<usize>,
    label: Range<usize>,
    label_box: Range<usize>,
    nonzero: Vec<f32>,
    counts: Vec<u32>,
}

impl PreparedCase {
    /// Opens and checks a file that [`super::prepare_case`] wrote.
    ///
    /// # Errors
    /// It cannot be read, or tensors and metadata do not fit each other.
    pub fn open(path: &Path) -> Result<Self, PrepareError> {
        let file = File::open(path).map_err(|e| PrepareError::io(path, e))?;
        // SAFETY: prepared files are written beside their place, renamed, and never changed
        // afterwards, so the mapped bytes stay as they are while the map lives.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| PrepareError::io(path, e))?;
        let bad = |why: String| PrepareError::artifact(path, why);
        let (header, tensors) = SafeTensors::read_metadata(&map).map_err(|e| bad(e.to_string()))?;
        let json = tensors
            .metadata()
            .as_ref()
            .and_then(|m| m.get(META))
            .ok_or_else(|| bad(format!("no metadata entry `{META}`: not a prepared case")))?;
        let meta: PreparedMeta = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        if meta.version != VERSION {
            return Err(bad(format!(
                "layout version {}, this program reads {VERSION}",
                meta.version
            )));
        }
        meta.grid.checked().map_err(bad)?;
        if meta.window.pixels() == 0 || meta.label_values.len() != meta.label_totals.len() {
            return Err(bad("empty window or label counts that do not fit".into()));
        }
        let start = 8 + header;
        let range = |name: &str| -> Result<Range<usize>, PrepareError> {
            let Some((_, dtype, shape)) = meta.tensors().into_iter().find(|t| t.0 == name) else {
                return Ok(0..0);
            };
            let info = tensors
                .info(name)
                .ok_or_else(|| bad(format!("no tensor {name}")))?;
            if info.dtype != dtype || info.shape != shape {
                return Err(bad(format!(
                    "tensor {name} is {:?} {:?}, metadata says {dtype:?} {shape:?}",
                    info.dtype, info.shape
                )));
            }
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            if range.end > map.len() {
                return Err(bad(format!("ends within tensor {name}")));
            }
            Ok(range)
        };
        let words = |range: Range<usize>| map[range].as_chunks::<4>().0;
        let nonzero = words(range("nonzero")?)
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect();
        let counts = words(range("counts")?)
            .iter()
            .map(|&b| u32::from_le_bytes(b))
            .collect();
        let (image, label, label_box) = (range("image")?, range("label")?, range("label_box")?);
        let fits = (0..3).all(|i| {
            let full = meta.grid.shape[2 - i];
            meta.label_box.offset[i]
                .checked_add(meta.label_box.shape[i])
                .is_some_and(|end| end <= full)
        });
        if !fits {
            return Err(bad("label_box lies outside of the grid".into()));
        }
        Ok(Self {
            meta,
            image,
            label,
            label_box,
            nonzero,
            counts,
            map,
        })
    }

    /// What the case says about itself.
    #[must_use]
    pub fn meta(&self) -> &PreparedMeta {
        &self.meta
    }

    /// Shape of `image`: `[C, Z, H, W]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        let [h, w] = self.meta.window.size;
        [self.meta.modalities.len(), self.meta.slices(), h, w]
    }

    /// Share of foreground pixels of slice `z`; 0 beyond the last one.
    #[must_use]
    pub fn nonzero(&self, z: usize) -> f32 {
        self.nonzero.get(z).copied().unwrap_or(0.0)
    }

    /// Pixels of slice `z`, within the window, whose label is one of `labels`.
    #[must_use]
    pub fn label_pixels(&self, z: usize, labels: impl Fn(u8) -> bool) -> u64 {
        let values = &self.meta.label_values;
        let row = self
            .counts
            .chunks_exact(values.len().max(1))
            .nth(z)
            .unwrap_or_default();
        values
            .iter()
            .zip(row)
            .filter(|(v, _)| labels(**v))
            .map(|(_, &n)| u64::from(n))
            .sum()
    }

    /// Writes slice `z` of channel `channel` into `out`, `[H, W]`; false, and nothing written, where
    /// there is no such slice or `out` is of another size.
    pub fn image(&self, channel: usize, z: usize, out: &mut [f32]) -> bool {
        let [channels, slices, h, w] = self.shape();
        if channel >= channels || z >= slices || out.len() != h * w {
            return false;
        }
        let bytes = &self.map[self.image.clone()];
        let first = (channel * slices + z) * h * w;
        match self.meta.precision {
            Precision::F32 => {
                let plane = &bytes.as_chunks::<4>().0[first..first + h * w];
                for (value, &b) in out.iter_mut().zip(plane) {
                    *value = f32::from_le_bytes(b);
                }
            }
            Precision::F16 => {
                let plane = &bytes.as_chunks::<2>().0[first..first + h * w];
                for (value, &b) in out.iter_mut().zip(plane) {
                    *value = half::f16::from_le_bytes(b).to_f32();
                }
            }
        }
        true
    }

    /// Labels of slice `z`, `[H, W]`, from the map itself; `None` without a label file.
    #[must_use]
    pub fn label(&self, z: usize) -> Option<&[u8]> {
        let pixels = self.meta.window.pixels();
        self.map[self.label.clone()].chunks_exact(pixels).nth(z)
    }

    /// Labels of the full grid `[Z, Y, X]`, before the crop: what a prediction is scored against.
    /// `None` without a label file.
    #[must_use]
    pub fn full_label(&self) -> Option<Vec<u8>> {
        if !self.meta.labelled {
            return None;
        }
        let [nx, ny, _] = self.meta.grid.shape;
        let mut out = vec![0; self.meta.grid.voxels()];
        let LabelRows { rows, width } = self.box_rows();
        for (i, row) in rows.chunks_exact(width.max(1)).enumerate() {
            let [oz, oy, ox] = self.meta.label_box.offset;
            let height = self.meta.label_box.shape[1];
            let (z, y) = (oz + i / height, oy + i % height);
            let at = (z * ny + y) * nx + ox;
            out[at..at + width].copy_from_slice(row);
        }
        Some(out)
    }

    fn box_rows(&self) -> LabelRows<'_> {
        LabelRows {
            rows: &self.map[self.label_box.clone()],
            width: self.meta.label_box.shape[2],
        }
    }
}

/// The label box, row after row.
struct LabelRows<'a> {
    rows: &'a [u8],
    width: usize,
}
