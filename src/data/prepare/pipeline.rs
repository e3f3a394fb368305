//! One case from its files to its prepared file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::artifact::{ArtifactWriter, LabelBox, PreparedMeta, VERSION};
use super::clip;
use super::crop::Window;
use super::error::PrepareError;
use super::grid::Grid;
use super::resample::{Edge, resample_labels};
use super::source::Source;
use super::target::{Target, target_grid};
use crate::data::case::{Case, ModalityKind, Region};
use crate::data::volume::{Room, read_header, read_labels_into};
use crate::options::{CropMode, PrepareOptions};
use crate::wide::wide;

/// What came out of a case, for tables and for the choice of slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseSummary {
    /// Case identity.
    pub id: String,
    /// Stratum of the split.
    pub stratum: String,
    /// Shape of the prepared images `[C, Z, H, W]`.
    pub shape: [usize; 4],
    /// Shape of the full grid `[Z, Y, X]`, before the crop.
    pub grid: [usize; 3],
    /// Share of foreground pixels per slice.
    pub nonzero: Vec<f32>,
    /// Lesion pixels per slice within the window; empty without a label file.
    pub lesion: Vec<u64>,
    /// Lesion voxels of the full grid.
    pub lesion_total: u64,
    /// Lesion voxels of the full grid that the crop cut off.
    pub lesion_lost: u64,
    /// What was odd and how it was understood, one line each; names the case.
    pub warnings: Vec<String>,
}

/// [`Preparation::run`] for one case alone.
///
/// # Errors
/// As there.
pub fn prepare_case(
    root: &Path,
    case: &Case,
    modalities: &[String],
    regions: &[Region],
    label_values: &[u8],
    options: &PrepareOptions,
    out: &Path,
) -> Result<CaseSummary, PrepareError> {
    let preparation = Preparation {
        root,
        modalities,
        regions,
        label_values,
        options,
    };
    preparation.run(case, out, &mut Scratch::default())
}

/// Memory that one case after the other can be prepared in.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Values of a modality on the full grid, where the file does not have them as they are.
    pub(super) values: Vec<f32>,
    /// Those that are not 0.
    pub(super) nonzero: Vec<f32>,
    /// Labels on the full grid.
    labels: Vec<u8>,
    /// To unpack files in.
    pub(super) room: Room,
}

/// How the cases of a data set are prepared.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// What paths of files are relative to.
    pub root: &'a Path,
    /// Names of the channels.
    pub modalities: &'a [String],
    /// Which label values are lesion; where there are no regions, all but 0 are.
    pub regions: &'a [Region],
    /// Label values that there may be; empty where there may be any.
    pub label_values: &'a [u8],
    /// Options.
    pub options: &'a PrepareOptions,
}

impl Preparation<'_> {
    /// Prepares one case and writes it to the file `out`: resampled onto one grid, clipped, normalised,
    /// cropped (`metrics-and-data.md` section 8), one modality in memory at a time.
    ///
    /// # Errors
    /// A modality is missing, a file cannot be read, a label is none of those that there may be,
    /// volumes or options do not fit.
    pub fn run(
        &self,
        case: &Case,
        out: &Path,
        scratch: &mut Scratch,
    ) -> Result<CaseSummary, PrepareError> {
        let &Preparation {
            root,
            modalities,
            regions,
            label_values,
            options,
        } = self;
        check(options)?;
        let refuse = |why: String| PrepareError::case(&case.id, why);
        let mut warnings = Vec::new();

        let mut sources = Vec::with_capacity(modalities.len());
        for name in modalities {
            let image = case
                .images
                .get(name)
                .ok_or_else(|| refuse(format!("has no modality {name}")))?;
            sources.push(Source::open(root, name, image, &mut warnings)?);
        }
        let label_path = case.label.as_ref().map(|p| root.join(p));
        let label_grid = match &label_path {
            Some(path) => {
                let header = read_header(path)?;
                warn_all(&mut warnings, "label", &header.warnings);
                Some(Grid::of(&header))
            }
            None => None,
        };
        let grids: Vec<Grid> = sources.iter().map(|s| s.grid).collect();
        let target = target_grid(&grids, label_grid.as_ref(), case.bbox, &options.resample)
            .map_err(refuse)?;
        if let Some(label) = &label_grid {
            // Equal shapes are meant to be equal grids.
            for s in &sources {
                if s.grid.shape == label.shape && !s.grid.same_as(label) {
                    warnings.push(format!(
                    "label has the shape of {} but lies elsewhere; both are read by their affines",
                    s.name
                ));
                }
            }
        }

        let label = match &label_path {
            Some(path) => Some(Label::read(
                case,
                path,
                label_values,
                &target,
                &mut warnings,
                scratch,
            )?),
            None => None,
        };
        let full = [target.grid.shape[1], target.grid.shape[0]];
        let window = match options.crop.mode {
            CropMode::Center => Window::center(full, options.crop.size),
            CropMode::BrainBbox => brain_window(case, &sources, &target, options, scratch)?,
        };
        if window.pixels() == 0 || window.pixels() > 1 << 26 {
            return Err(PrepareError::option(
                "prepare.crop.size",
                format!("{:?} is no size of a slice", window.size),
            ));
        }

        let meta = PreparedMeta {
            version: VERSION,
            id: case.id.clone(),
            stratum: case.stratum.clone(),
            modalities: modalities.to_vec(),
            precision: options.precision,
            grid: target.grid,
            spacing: target.grid.spacing(),
            window,
            base: target.base,
            labelled: label.is_some(),
            label_values: label.as_ref().map(|l| l.values()).unwrap_or_default(),
            label_totals: label.as_ref().map(|l| l.totals()).unwrap_or_default(),
            label_box: label.as_ref().map(|l| l.bounds).unwrap_or_default(),
        };
        let mut writer = ArtifactWriter::create(out, &meta)?;
        let slices = meta.slices();
        let mut foreground = vec![false; slices * window.pixels()];
        writer.begin("image")?;
        let mut row = vec![0.0; window.size[1]];
        for source in &sources {
            let kind = source.kind;
            let sampled = source.sample(case, &target, options, Some(&mut warnings), scratch)?;
            let scaling = sampled.scaling(kind, options);
            // After the z-score the mean is 0, which is background; before it, air is what lies outside.
            let pad = if options.zscore.enabled {
                0.0
            } else {
                kind.outside()
            };
            let air_shows = is_foreground(0.0, kind);
            let flags = foreground.chunks_exact_mut(window.pixels());
            for (z, flags) in flags.enumerate() {
                let slice = z * full[0] * full[1];
                writer.plane(|plane| {
                    window.pad(full, pad, plane);
                    window.rows(full, |from, to| {
                        let (first, row) = (slice + from.start, &mut row[..to.len()]);
                        if !air_shows && sampled.is_air(first, row.len()) {
                            plane[to].fill(0.0);
                            return;
                        }
                        sampled.read(first, row);
                        mark_foreground(&mut flags[to.clone()], row, kind);
                        scaling.apply(row, &mut plane[to]);
                    });
                })?;
            }
        }
        let nonzero: Vec<f32> = foreground
            .chunks_exact(window.pixels())
            .map(|s| s.iter().filter(|f| **f).count() as f32 / window.pixels() as f32)
            .collect();
        drop(foreground);

        let lesions = LesionSet::of(regions);
        let mut lesion = Vec::new();
        let mut lesion_total = 0;
        if let Some(label) = &label {
            let counts = label.write(&meta, &mut writer)?;
            lesion = counts
                .iter()
                .map(|c| lesions.count(|v| u64::from(c[usize::from(v)])))
                .collect();
            lesion_total = lesions.count(|v| label.histogram[usize::from(v)]);
        }
        writer.begin("nonzero")?;
        for share in &nonzero {
            writer.bytes(&share.to_le_bytes())?;
        }
        writer.finish()?;

        if let Some(label) = label {
            scratch.labels = label.data;
        }
        let kept: u64 = lesion.iter().sum();
        Ok(CaseSummary {
            id: case.id.clone(),
            stratum: case.stratum.clone(),
            shape: [modalities.len(), slices, window.size[0], window.size[1]],
            grid: [slices, full[0], full[1]],
            nonzero,
            lesion,
            lesion_total,
            lesion_lost: lesion_total - kept.min(lesion_total),
            warnings: warnings
                .into_iter()
                .map(|line| format!("case {}: {line}", case.id))
                .collect(),
        })
    }
}

fn check(options: &PrepareOptions) -> Result<(), PrepareError> {
    if !options
        .resample
        .spacing
        .iter()
        .all(|s| s.is_finite() && *s >= 0.0)
    {
        return Err(PrepareError::option(
            "prepare.resample.spacing",
            format!(
                "{:?} is not positive (0 keeps an axis)",
                options.resample.spacing
            ),
        ));
    }
    clip::check(&options.clip)
}

pub(super) fn warn_all(warnings: &mut Vec<String>, name: &str, lines: &[String]) {
    warnings.extend(lines.iter().map(|line| format!("{name}: {line}")));
}

wide! {
    fn mark_foreground(flags: &mut [bool], values: &[f32], kind: ModalityKind) {
        for (flag, &v) in flags.iter_mut().zip(values) {
            *flag |= is_foreground(v, kind);
        }
    }
}

/// Whether a voxel, before clipping, shows anything: for CT all that is denser than nothing at all.
#[inline(always)]
fn is_foreground(v: f32, kind: ModalityKind) -> bool {
    match kind {
        ModalityKind::Ct => v > kind.outside(),
        ModalityKind::Mr | ModalityKind::Pet => v != 0.0,
    }
}

/// Window around the foreground of all modalities, over all slices.
fn brain_window(
    case: &Case,
    sources: &[Source<'_>],
    target: &Target,
    options: &PrepareOptions,
    scratch: &mut Scratch,
) -> Result<Window, PrepareError> {
    let [nx, ny, _] = target.grid.shape;
    let (mut low, mut high) = ([ny, nx], [0, 0]);
    let mut row = vec![0.0; nx];
    for source in sources {
        let sampled = source.sample(case, target, options, None, scratch)?;
        for i in 0..target.grid.voxels() / nx {
            sampled.read(i * nx, &mut row);
            let inside = |v: &f32| is_foreground(*v, source.kind);
            let (Some(first), Some(last)) =
                (row.iter().position(inside), row.iter().rposition(inside))
            else {
                continue;
            };
            let y = i % ny;
            low = [low[0].min(y), low[1].min(first)];
            high = [high[0].max(y + 1), high[1].max(last + 1)];
        }
    }
    let full = [ny, nx];
    Ok(if high == [0, 0] {
        Window::center(full, options.crop.size)
    } else {
        Window::around(full, options.crop.size, low, high)
    })
}

/// Label values that count as lesion.
struct LesionSet([bool; 256]);

impl LesionSet {
    fn of(regions: &[Region]) -> Self {
        let mut set = [regions.is_empty(); 256];
        for &value in regions.iter().flat_map(|r| &r.labels) {
            set[usize::from(value)] = true;
        }
        set[0] = false;
        Self(set)
    }

    fn count(&self, number: impl Fn(u8) -> u64) -> u64 {
        (0..=u8::MAX)
            .filter(|v| self.0[usize::from(*v)])
            .map(number)
            .sum()
    }
}

/// Labels on the full grid.
struct Label {
    data: Vec<u8>,
    histogram: [u64; 256],
    bounds: LabelBox,
}

impl Label {
    fn read(
        case: &Case,
        path: &Path,
        allowed: &[u8],
        target: &Target,
        warnings: &mut Vec<String>,
        scratch: &mut Scratch,
    ) -> Result<Self, PrepareError> {
        let spare = std::mem::take(&mut scratch.labels);
        let mut volume = read_labels_into(path, spare, &mut scratch.room)?;
        let before = histogram(&volume.data);
        for value in 0..=u8::MAX {
            if before[usize::from(value)] > 0 && !allowed.is_empty() && !allowed.contains(&value) {
                return Err(PrepareError::case(
                    &case.id,
                    format!(
                        "{}: label {value} is not one of {allowed:?}",
                        path.display()
                    ),
                ));
            }
        }
        let own = Grid {
            shape: volume.shape,
            affine: volume.affine,
        };
        let (affine, continued) = target.approach(&own);
        volume.affine = affine;
        let edge = if continued {
            Edge::Clamp
        } else {
            Edge::Fill(0)
        };
        let data = resample_labels(volume, &target.grid, edge)
            .map_err(|why| PrepareError::case(&case.id, format!("label: {why}")))?;
        let after = histogram(&data);
        for value in 1..=u8::MAX {
            let i = usize::from(value);
            if before[i] > 0 && after[i] == 0 {
                warnings.push(format!(
                    "label {value}: none of its {} voxels meets the prepared grid",
                    before[i]
                ));
            }
        }
        let bounds = bounds(&data, target.grid.shape);
        Ok(Self {
            data,
            histogram: after,
            bounds,
        })
    }

    fn values(&self) -> Vec<u8> {
        (1..=u8::MAX)
            .filter(|v| self.histogram[usize::from(*v)] > 0)
            .collect()
    }

    fn totals(&self) -> Vec<u64> {
        self.values()
            .iter()
            .map(|v| self.histogram[usize::from(*v)])
            .collect()
    }

    /// Writes the label tensors; returns the histogram of every slice of the window.
    fn write(
        &self,
        meta: &PreparedMeta,
        writer: &mut ArtifactWriter,
    ) -> Result<Vec<[u32; 256]>, PrepareError> {
        let full = meta.full_size();
        let mut counts = Vec::with_capacity(meta.slices());
        let mut plane = vec![0; meta.window.pixels()];
        writer.begin("label")?;
        for slice in self.data.chunks_exact(full[0] * full[1]) {
            meta.window.cut(slice, full, 0, &mut plane);
            writer.bytes(&plane)?;
            counts.push(histogram(&plane).map(|n| n as u32));
        }
        let LabelBox { offset, shape } = self.bounds;
        if !shape.contains(&0) {
            writer.begin("label_box")?;
            for z in offset[0]..offset[0] + shape[0] {
                for y in offset[1]..offset[1] + shape[1] {
                    let at = (z * full[0] + y) * full[1] + offset[2];
                    writer.bytes(&self.data[at..at + shape[2]])?;
                }
            }
        }
        if !meta.label_values.is_empty() {
            writer.begin("counts")?;
            for row in &counts {
                for &v in &meta.label_values {
                    writer.bytes(&row[usize::from(v)].to_le_bytes())?;
                }
            }
        }
        Ok(counts)
    }
}

fn histogram(data: &[u8]) -> [u64; 256] {
    let mut out = [0; 256];
    // Most of a label map is background.
    for part in data.chunks(64) {
        if is_blank(part) {
            out[0] += part.len() as u64;
        } else {
            for &v in part {
                out[usize::from(v)] += 1;
            }
        }
    }
    out
}

/// Whether all is 0; reads all of it, which is fast.
fn is_blank(part: &[u8]) -> bool {
    part.iter().fold(0, |any, &v| any | v) == 0
}

/// Bounding box of what is not 0; zeros where nothing is.
fn bounds(data: &[u8], [nx, ny, _]: [usize; 3]) -> LabelBox {
    let mut low = [usize::MAX; 3];
    let mut high = [0; 3];
    for (i, row) in data.chunks_exact(nx).enumerate() {
        if is_blank(row) {
            continue;
        }
        let inside = |v: &u8| *v != 0;
        let (Some(first), Some(last)) = (row.iter().position(inside), row.iter().rposition(inside))
        else {
            continue;
        };
        let (from, to) = ([i / ny, i % ny, first], [i / ny + 1, i % ny + 1, last + 1]);
        low = std::array::from_fn(|a| low[a].min(from[a]));
        high = std::array::from_fn(|a| high[a].max(to[a]));
    }
    if high == [0; 3] {
        return LabelBox::default();
    }
    LabelBox {
        offset: low,
        shape: std::array::from_fn(|a| high[a] - low[a]),
    }
}
