//! Writes synthetic patients in the layout of their data set.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::volume::{
    Header, LabelVolume, Volume, VolumeError, VoxelFormat, write_labels, write_volume,
};
use crate::options::{PhantomKind, PhantomOptions};

use super::grid::Grid;
use super::{abdomen, brats, hecktor};

/// The file that says what the folder holds, so that nobody takes it for patients.
const MARKER: &str = "PHANTOM.json";
/// As the organisers name it.
const BOX_TABLE: &str = "hecktor2020_bbox_training.csv";

/// What was written for one synthetic patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhantomCase {
    /// Name.
    pub id: String,
    /// HGG or LGG, or the centre.
    pub stratum: String,
    /// Number of lesions, which may touch; of organs in the abdomen.
    pub lesions: usize,
    /// Voxels by label value, without the background.
    pub voxels: BTreeMap<u8, usize>,
    /// Number of axial slices of the label file that hold a lesion, and of all.
    pub slices: [usize; 2],
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhantomReport {
    /// The options.
    pub options: PhantomOptions,
    /// Patients, in the order of their numbers.
    pub cases: Vec<PhantomCase>,
}

/// Phantoms that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// An option out of range.
    #[error("phantom: option '{option}': {reason}")]
    Option {
        /// Name.
        option: &'static str,
        /// Reason.
        reason: String,
    },
    /// The folder holds something already.
    #[error("phantom: '{}' is not empty; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A file or folder that cannot be written.
    #[error("phantom: cannot write '{}': {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// A volume that cannot be written.
    #[error("phantom: {0}")]
    Volume(#[from] VolumeError),
    /// A description that cannot be encoded.
    #[error("phantom: {0}")]
    Encode(#[from] serde_json::Error),
}

/// Writes `options.cases` synthetic patients into `out`, which must be empty or not exist.
///
/// Every file is a pure function of `options` without `cases`, and of the patient's number: more
/// patients leave the first ones as they are. `BraTS` lands in `{HGG,LGG}/<case>/`, HECKTOR in
/// `hecktor_nii/` with its table of bounding boxes beside it, ABD-110 in `images/` and `labels/`. Spacing is the data set's own at every
/// `scale`; the number of voxels and the size of the anatomy in mm shrink.
///
/// # Errors
/// An option out of range, a folder that is not empty, or a file that cannot be written.
pub fn write_phantoms(options: &PhantomOptions, out: &Path) -> Result<PhantomReport, PhantomError> {
    check(options)?;
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| PhantomError::Io { path, source }
    };
    std::fs::create_dir_all(out).map_err(io(out))?;
    if std::fs::read_dir(out).map_err(io(out))?.next().is_some() {
        return Err(PhantomError::NotEmpty(out.to_path_buf()));
    }
    let numbers: Vec<u64> = (0..options.cases as u64).collect();
    let cases = match options.kind {
        PhantomKind::Brats2018 => numbers
            .par_iter()
            .map(|&case| write_brats(options, case, out))
            .collect::<Result<_, _>>()?,
        PhantomKind::Hecktor2020 => {
            let written: Vec<(PhantomCase, [f64; 6])> = numbers
                .par_iter()
                .map(|&case| write_hecktor(options, case, out))
                .collect::<Result<_, _>>()?;
            write_boxes(&out.join(BOX_TABLE), &written)?;
            written.into_iter().map(|(case, _)| case).collect()
        }
        PhantomKind::Abd110 => numbers
            .par_iter()
            .map(|&case| write_abdomen(options, case, out))
            .collect::<Result<_, _>>()?,
    };
    let report = PhantomReport {
        options: options.clone(),
        cases,
    };
    let marker = out.join(MARKER);
    let text = serde_json::to_vec_pretty(&report)?;
    std::fs::write(&marker, text).map_err(io(&marker))?;
    Ok(report)
}

fn check(options: &PhantomOptions) -> Result<(), PhantomError> {
    let refuse = |option, reason: String| Err(PhantomError::Option { option, reason });
    if !(0.1..=1.0).contains(&options.scale) {
        return refuse("scale", format!("{} is not in 0.1 to 1", options.scale));
    }
    if !(1..=999).contains(&options.cases) {
        // The names of patients have three digits.
        return refuse("cases", format!("{} is not in 1 to 999", options.cases));
    }
    Ok(())
}

fn write_brats(
    options: &PhantomOptions,
    case: u64,
    out: &Path,
) -> Result<PhantomCase, PhantomError> {
    let phantom = brats::generate(options.seed, case, options.scale);
    let stratum = if brats::is_low_grade(case) {
        "LGG"
    } else {
        "HGG"
    };
    let id = format!("Brats18_PHANTOM_{:03}_1", case + 1);
    let folder = out.join(stratum).join(&id);
    make_folder(&folder)?;
    let header = Header::of_grid(phantom.grid.shape, phantom.grid.affine);
    let report = report_of(
        &id,
        stratum,
        phantom.lesions,
        &phantom.labels,
        &phantom.grid,
    );
    for (suffix, data) in brats::SUFFIXES.into_iter().zip(phantom.images) {
        let path = folder.join(format!("{id}_{suffix}.nii.gz"));
        let volume = volume_of(data, &phantom.grid);
        write_volume(&path, &volume, VoxelFormat::Int16, &header)?;
    }
    let labels = labels_of(phantom.labels, &phantom.grid);
    write_labels(&folder.join(format!("{id}_seg.nii.gz")), &labels, &header)?;
    Ok(report)
}

fn write_hecktor(
    options: &PhantomOptions,
    case: u64,
    out: &Path,
) -> Result<(PhantomCase, [f64; 6]), PhantomError> {
    let phantom = hecktor::generate(options.seed, case, options.scale);
    let id = hecktor::id(case);
    let stratum: String = id.chars().take_while(char::is_ascii_alphabetic).collect();
    let folder = out.join("hecktor_nii");
    make_folder(&folder)?;
    let report = report_of(
        &id,
        &stratum,
        phantom.lesions,
        &phantom.mask,
        &phantom.ct_grid,
    );
    let file = |suffix: &str| folder.join(format!("{id}_{suffix}.nii.gz"));
    let header = Header::of_grid(phantom.ct_grid.shape, phantom.ct_grid.affine);
    let ct = volume_of(phantom.ct, &phantom.ct_grid);
    write_volume(&file("ct"), &ct, VoxelFormat::Int16, &header)?;
    drop(ct);
    let mask = labels_of(phantom.mask, &phantom.ct_grid);
    write_labels(&file("ct_gtvt"), &mask, &header)?;
    let header = Header::of_grid(phantom.pet_grid.shape, phantom.pet_grid.affine);
    let pet = volume_of(phantom.pet, &phantom.pet_grid);
    write_volume(&file("pt"), &pet, VoxelFormat::Float32, &header)?;
    Ok((report, phantom.bbox))
}

fn write_abdomen(
    options: &PhantomOptions,
    case: u64,
    out: &Path,
) -> Result<PhantomCase, PhantomError> {
    let phantom = abdomen::generate(options.seed, case, options.scale);
    let id = format!("abd_phantom_{:03}", case + 1);
    let report = report_of(&id, "", phantom.organs, &phantom.labels, &phantom.grid);
    let file = |folder: &str| out.join(folder).join(format!("{id}.nii.gz"));
    make_folder(&out.join("images"))?;
    make_folder(&out.join("labels"))?;
    let header = Header::of_grid(phantom.grid.shape, phantom.grid.affine);
    let ct = volume_of(phantom.ct, &phantom.grid);
    write_volume(&file("images"), &ct, VoxelFormat::Int16, &header)?;
    let labels = labels_of(phantom.labels, &phantom.grid);
    write_labels(&file("labels"), &labels, &header)?;
    Ok(report)
}

fn write_boxes(path: &Path, cases: &[(PhantomCase, [f64; 6])]) -> Result<(), PhantomError> {
    let mut text = b"PatientID,x1,x2,y1,y2,z1,z2\n".to_vec();
    let failed = |source| PhantomError::Io {
        path: path.to_path_buf(),
        source,
    };
    for (case, [x1, x2, y1, y2, z1, z2]) in cases {
        writeln!(text, "{},{x1},{x2},{y1},{y2},{z1},{z2}", case.id).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

fn make_folder(folder: &Path) -> Result<(), PhantomError> {
    std::fs::create_dir_all(folder).map_err(|source| PhantomError::Io {
        path: folder.to_path_buf(),
        source,
    })
}

fn volume_of(data: Vec<f32>, grid: &Grid) -> Volume {
    Volume {
        data,
        shape: grid.shape,
        affine: grid.affine,
    }
}

fn labels_of(data: Vec<u8>, grid: &Grid) -> LabelVolume {
    LabelVolume {
        data,
        shape: grid.shape,
        affine: grid.affine,
    }
}

fn report_of(id: &str, stratum: &str, lesions: usize, labels: &[u8], grid: &Grid) -> PhantomCase {
    let mut voxels = BTreeMap::new();
    for &label in labels.iter().filter(|&&label| label > 0) {
        *voxels.entry(label).or_default() += 1;
    }
    let slice = grid.shape[0] * grid.shape[1];
    let with_lesion = labels
        .chunks(slice)
        .filter(|slice| slice.iter().any(|&label| label > 0))
        .count();
    PhantomCase {
        id: id.to_owned(),
        stratum: stratum.to_owned(),
        lesions,
        voxels,
        slices: [with_lesion, grid.shape[2]],
    }
}
