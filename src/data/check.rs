//! `check data`: what is missing, unpaired, misplaced or broken in a data set, by file.
//!
//! Beside what the scan finds, every file is read. The rules, in world coordinates (mm):
//!
//! - images and label of a case lie on one grid where the layout says so; elsewhere the label lies
//!   on the grid of one of the images. Grids are the same where the shapes are equal and no corner
//!   is farther off than a twentieth of a voxel;
//! - the grids of two images overlap by at least half of the smaller one;
//! - the centroid of the label lies inside of every image, and inside of the box around what the
//!   image shows (not 0; above -500 HU for CT);
//! - on a shared grid, at least half of the label lies on voxels of MR or PET that are not 0;
//! - a bounding box overlaps every image by at least half of the box, and holds the centroid;
//! - label values are those of the task.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::case::{Case, ImageFile, ModalityKind};
use super::layout::{Layout, LayoutError, Problem, ProblemKind, Severity};
use super::volume::{
    Affine, LabelVolume, Volume, VolumeError, invert, read_header, read_labels, read_volume,
    spacing, transform,
};
use crate::options::LayoutOptions;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Layout.
    pub layout: String,
    /// Folder.
    pub root: String,
    /// Number of complete cases.
    pub cases: usize,
    /// Number of complete cases by stratum.
    pub strata: BTreeMap<String, usize>,
    /// Number of cases in which a label value occurs.
    pub label_values: BTreeMap<u8, usize>,
    /// Cases whose label file is all background; no problem, but worth knowing.
    pub without_lesion: Vec<String>,
    /// Everything that is wrong, by path.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Number of problems that exclude a case or file.
    #[must_use]
    pub fn errors(&self) -> usize {
        let of_weight = |p: &&Problem| p.severity == Severity::Error;
        self.problems.iter().filter(of_weight).count()
    }

    /// Number of problems that exclude nothing.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }
}

/// Checks the data set under `root`: everything that [`Layout::scan`] finds, and every file of
/// every complete case. `progress` hears of each case that is done.
///
/// # Errors
/// As [`Layout::scan`].
pub fn check_data(
    layout: &Layout,
    root: &Path,
    options: &LayoutOptions,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<CheckReport, LayoutError> {
    let scan = layout.scan(root, options)?;
    let found: Vec<Findings> = scan
        .index
        .cases
        .par_iter()
        .map(|case| {
            let mut checker = Checker {
                root,
                case,
                one_grid: layout.one_grid,
                allowed: &scan.index.label_values,
                findings: Findings::default(),
            };
            checker.run();
            progress(&case.id);
            checker.findings
        })
        .collect();
    let mut report = CheckReport {
        layout: layout.name.to_owned(),
        root: root.display().to_string(),
        cases: scan.index.cases.len(),
        strata: BTreeMap::new(),
        label_values: BTreeMap::new(),
        without_lesion: Vec::new(),
        problems: scan.problems,
    };
    for (case, findings) in scan.index.cases.iter().zip(found) {
        *report.strata.entry(case.stratum.clone()).or_default() += 1;
        if let Some(values) = findings.values {
            if values.iter().all(|&value| value == 0) {
                report.without_lesion.push(case.id.clone());
            }
            for value in values {
                *report.label_values.entry(value).or_default() += 1;
            }
        }
        report.problems.extend(findings.problems);
    }
    report.problems.sort();
    report.problems.dedup();
    Ok(report)
}

#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    /// Values of the label file, where it could be read.
    values: Option<BTreeSet<u8>>,
}

/// Where voxels lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    shape: [usize; 3],
    affine: Affine,
}

impl Place {
    /// World coordinates of the corners of the first and last voxel centres.
    fn corners(&self) -> [[f64; 3]; 8] {
        std::array::from_fn(|corner| {
            let voxel = std::array::from_fn(|axis| {
                let last = self.shape[axis].saturating_sub(1) as f64;
                if corner >> axis & 1 == 1 { last } else { 0.0 }
            });
            transform(&self.affine, voxel)
        })
    }

    /// Largest distance between the corners of two grids.
    fn distance(&self, other: &Self) -> f64 {
        let pairs = self.corners().into_iter().zip(other.corners());
        pairs.map(|(a, b)| length(a, b)).fold(0.0, f64::max)
    }

    fn is_same(&self, other: &Self) -> bool {
        let voxel = spacing(&self.affine)
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        self.shape == other.shape && self.distance(other) <= 0.05 * voxel
    }

    /// Axis-aligned box around the grid in the world.
    fn world_box(&self) -> WorldBox {
        WorldBox::around(self.corners())
    }

    /// Voxel index of a point of the world; `None` where the affine has no inverse.
    fn voxel(&self, world: [f64; 3]) -> Option<[f64; 3]> {
        Some(transform(&invert(&self.affine)?, world))
    }

    fn position(&self, index: usize) -> [usize; 3] {
        let [nx, ny, _] = self.shape;
        [index % nx, index / nx % ny, index / (nx * ny)]
    }
}

/// A box in the world, mm, RAS+.
#[derive(Clone, Copy, Debug)]
struct WorldBox {
    low: [f64; 3],
    high: [f64; 3],
}

impl WorldBox {
    fn around(points: impl IntoIterator<Item = [f64; 3]>) -> Self {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for point in points {
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        Self { low, high }
    }

    /// From ITK's LPS coordinates `x1, x2, y1, y2, z1, z2`.
    fn from_lps(b: [f64; 6]) -> Self {
        Self {
            low: [-b[1], -b[3], b[4]],
            high: [-b[0], -b[2], b[5]],
        }
    }

    fn volume(&self) -> f64 {
        let sides = (0..3).map(|axis| (self.high[axis] - self.low[axis]).max(0.0));
        sides.product()
    }

    fn overlap(&self, other: &Self) -> f64 {
        let both = Self {
            low: std::array::from_fn(|a| self.low[a].max(other.low[a])),
            high: std::array::from_fn(|a| self.high[a].min(other.high[a])),
        };
        both.volume()
    }

    fn holds(&self, p: [f64; 3]) -> bool {
        (0..3).all(|axis| (self.low[axis]..=self.high[axis]).contains(&p[axis]))
    }
}

fn length(a: [f64; 3], b: [f64; 3]) -> f64 {
    let squares = (0..3).map(|axis| (a[axis] - b[axis]).powi(2));
    squares.sum::<f64>().sqrt()
}

fn show(p: [f64; 3]) -> String {
    format!("({:.1}, {:.1}, {:.1}) mm", p[0], p[1], p[2])
}

/// A label file and what is known of it.
struct Label<'a> {
    path: &'a str,
    volume: LabelVolume,
    place: Place,
    /// Centroid of the voxels above 0, in the world.
    centroid: Option<[f64; 3]>,
}

struct Checker<'a> {
    root: &'a Path,
    case: &'a Case,
    one_grid: bool,
    allowed: &'a [u8],
    findings: Findings,
}

impl<'a> Checker<'a> {
    fn run(&mut self) {
        let case = self.case;
        let label = case.label.as_deref().and_then(|path| self.label(path));
        let mut places: Vec<(&str, &ImageFile, Place)> = Vec::new();
        let mut headers_seen = BTreeSet::new();
        for (modality, image) in &case.images {
            if headers_seen.insert(image.path.as_str()) {
                self.header(&image.path);
            }
            if let Some(place) = self.image(image, label.as_ref()) {
                places.push((modality, image, place));
            }
        }
        self.images_together(&places);
        // An image that cannot be read may be the one that the label belongs to.
        if let Some(label) = label.as_ref().filter(|_| places.len() == case.images.len()) {
            self.label_grid(label, &places);
        }
        if let Some(bbox) = case.bbox {
            self.bounding_box(bbox, &places, label.as_ref());
        }
    }

    fn error(&mut self, kind: ProblemKind, path: &str, detail: impl Into<String>) {
        let problem = Problem::error(kind, Some(&self.case.id), path, detail);
        self.findings.problems.push(problem);
    }

    fn warning(&mut self, kind: ProblemKind, path: &str, detail: impl Into<String>) {
        let problem = Problem::warning(kind, Some(&self.case.id), path, detail);
        self.findings.problems.push(problem);
    }

    /// Warnings of a header; what cannot be read is reported with its voxels.
    fn header(&mut self, path: &str) {
        if let Ok(header) = read_header(&self.root.join(path)) {
            for warning in header.warnings {
                self.warning(ProblemKind::Header, path, warning);
            }
        }
    }

    fn label(&mut self, path: &'a str) -> Option<Label<'a>> {
        self.header(path);
        let volume = match read_labels(&self.root.join(path)) {
            Ok(volume) => volume,
            Err(error) => {
                self.error(ProblemKind::Unreadable, path, reason(&error));
                return None;
            }
        };
        let mut occurs = [false; 256];
        for &value in &volume.data {
            occurs[usize::from(value)] = true;
        }
        let values: BTreeSet<u8> = (0..=u8::MAX).filter(|&v| occurs[usize::from(v)]).collect();
        let foreign: Vec<String> = values
            .iter()
            .filter(|value| !self.allowed.contains(value))
            .map(u8::to_string)
            .collect();
        if !foreign.is_empty() {
            let allowed: Vec<String> = self.allowed.iter().map(u8::to_string).collect();
            let detail = format!(
                "label values {} are not of this task ({}); a label file of another task?",
                foreign.join(", "),
                allowed.join(", ")
            );
            self.error(ProblemKind::LabelValues, path, detail);
        }
        self.findings.values = Some(values);
        let place = Place {
            shape: volume.shape,
            affine: volume.affine,
        };
        let mut sum = [0u64; 3];
        let mut count = 0u64;
        for (index, _) in volume.data.iter().enumerate().filter(|&(_, &v)| v > 0) {
            let at = place.position(index);
            for axis in 0..3 {
                sum[axis] += at[axis] as u64;
            }
            count += 1;
        }
        let centroid = (count > 0)
            .then(|| transform(&place.affine, sum.map(|total| total as f64 / count as f64)));
        Some(Label {
            path,
            volume,
            place,
            centroid,
        })
    }

    /// Reads an image and holds it against the label.
    fn image(&mut self, image: &ImageFile, label: Option<&Label>) -> Option<Place> {
        let path = &image.path;
        let volume = match read_volume(&self.root.join(path), image.channel) {
            Ok(volume) => volume,
            Err(error) => {
                self.error(ProblemKind::Unreadable, path, reason(&error));
                return None;
            }
        };
        let place = Place {
            shape: volume.shape,
            affine: volume.affine,
        };
        self.voxels(path, &volume);
        if let Some(label) = label {
            self.label_on_image(image, &volume, &place, label);
        }
        Some(place)
    }

    fn voxels(&mut self, path: &str, volume: &Volume) {
        let broken = volume.data.iter().filter(|v| !v.is_finite()).count();
        if broken > 0 {
            let detail = format!("{broken} voxels are not finite numbers");
            self.error(ProblemKind::Voxels, path, detail);
        }
        if let Some(first) = volume.data.first()
            && volume.data.iter().all(|v| v == first)
        {
            let detail = format!("every voxel is {first}");
            self.error(ProblemKind::Voxels, path, detail);
        }
    }

    fn label_on_image(&mut self, image: &ImageFile, volume: &Volume, place: &Place, label: &Label) {
        let Some(centroid) = label.centroid else {
            return;
        };
        let inside = |voxel: [f64; 3], low: [usize; 3], high: [usize; 3]| {
            (0..3).all(|axis| {
                (low[axis] as f64 - 0.5..=high[axis] as f64 + 0.5).contains(&voxel[axis])
            })
        };
        let Some(voxel) = place.voxel(centroid) else {
            return;
        };
        let path = &image.path;
        let last = place.shape.map(|n| n.saturating_sub(1));
        if !inside(voxel, [0; 3], last) {
            let detail = format!("its centroid {} lies outside of '{path}'", show(centroid));
            self.error(ProblemKind::Centroid, label.path, detail);
            return;
        }
        let shows = shown(image.kind);
        if let Some((low, high)) = shown_box(volume, place, shows)
            && !inside(voxel, low, high)
        {
            let detail = format!(
                "its centroid {} lies outside of what '{path}' shows",
                show(centroid)
            );
            self.error(ProblemKind::Centroid, label.path, detail);
        } else if image.kind != ModalityKind::Ct && place.is_same(&label.place) {
            let (mut on, mut all) = (0usize, 0usize);
            let pairs = label.volume.data.iter().zip(&volume.data);
            for (_, &value) in pairs.filter(|&(&label, _)| label > 0) {
                all += 1;
                on += usize::from(shows(value));
            }
            if 2 * on < all {
                let percent = 100.0 * (all - on) as f64 / all as f64;
                let detail = format!("{percent:.0} % of it lies on background of '{path}'");
                self.error(ProblemKind::Centroid, label.path, detail);
            }
        }
    }

    /// Holds the images of a case against each other.
    fn images_together(&mut self, places: &[(&str, &ImageFile, Place)]) {
        let Some(((_, first, first_place), rest)) = places.split_first() else {
            return;
        };
        for (_, image, place) in rest {
            let (a, b) = (first_place.world_box(), place.world_box());
            let smaller = a.volume().min(b.volume());
            // A single slice has no volume to overlap.
            if smaller > 0.0 && a.overlap(&b) < 0.5 * smaller {
                let detail = format!("shows another place than '{}'", first.path);
                self.error(ProblemKind::Grid, &image.path, detail);
            } else if self.one_grid && !first_place.is_same(place) {
                let detail = difference(first_place, place, &first.path);
                self.warning(ProblemKind::Grid, &image.path, detail);
            }
        }
    }

    fn label_grid(&mut self, label: &Label, places: &[(&str, &ImageFile, Place)]) {
        if places.is_empty() || places.iter().any(|(_, _, p)| p.is_same(&label.place)) {
            return;
        }
        let equal_shape = places.iter().find(|(_, _, p)| p.shape == label.place.shape);
        if let Some((_, image, place)) = equal_shape {
            let detail = difference(place, &label.place, &image.path);
            self.error(ProblemKind::Grid, label.path, detail);
        } else if self.one_grid {
            let (_, image, place) = &places[0];
            let detail = difference(place, &label.place, &image.path);
            self.error(ProblemKind::Grid, label.path, detail);
        } else {
            let detail = "lies on the grid of none of the images; it is resampled";
            self.warning(ProblemKind::Grid, label.path, detail);
        }
    }

    fn bounding_box(
        &mut self,
        bbox: [f64; 6],
        places: &[(&str, &ImageFile, Place)],
        label: Option<&Label>,
    ) {
        let world = WorldBox::from_lps(bbox);
        for (_, image, place) in places {
            if world.overlap(&place.world_box()) < 0.5 * world.volume() {
                let detail = "the bounding box lies outside of it";
                self.error(ProblemKind::Grid, &image.path, detail);
            }
        }
        if let Some((path, centroid)) = label.and_then(|l| Some((l.path, l.centroid?)))
            && !world.holds(centroid)
        {
            let detail = format!(
                "its centroid {} lies outside of the bounding box",
                show(centroid)
            );
            self.error(ProblemKind::Centroid, path, detail);
        }
    }
}

/// How two grids differ, for people.
fn difference(expected: &Place, found: &Place, path: &str) -> String {
    if expected.shape == found.shape {
        let distance = expected.distance(found);
        format!("has the shape of '{path}' but lies up to {distance:.1} mm off it")
    } else {
        format!(
            "has shape {:?}, '{path}' has {:?}",
            found.shape, expected.shape
        )
    }
}

/// Whether a voxel of a modality shows something.
fn shown(kind: ModalityKind) -> fn(f32) -> bool {
    match kind {
        ModalityKind::Ct => |value| value > -500.0,
        ModalityKind::Mr | ModalityKind::Pet => |value| value != 0.0,
    }
}

/// First and last voxel along each axis that shows something.
fn shown_box(
    volume: &Volume,
    place: &Place,
    shows: fn(f32) -> bool,
) -> Option<([usize; 3], [usize; 3])> {
    let mut low = [usize::MAX; 3];
    let mut high = [0; 3];
    let width = place.shape[0].max(1);
    for (row, values) in volume.data.chunks(width).enumerate() {
        let Some(first) = values.iter().position(|&v| shows(v)) else {
            continue;
        };
        let last = values.iter().rposition(|&v| shows(v)).unwrap_or(first);
        let [_, y, z] = place.position(row * width);
        for (axis, from, to) in [(0, first, last), (1, y, y), (2, z, z)] {
            low[axis] = low[axis].min(from);
            high[axis] = high[axis].max(to);
        }
    }
    (low[0] != usize::MAX).then_some((low, high))
}

/// The reason alone: the problem names the file.
fn reason(error: &VolumeError) -> String {
    match error {
        VolumeError::Io { source, .. } => source.to_string(),
        VolumeError::Field { field, why, .. } => format!("{field}: {why}"),
        VolumeError::Voxels { why, .. } => format!("voxels: {why}"),
        VolumeError::Request { why, .. } => why.clone(),
    }
}
