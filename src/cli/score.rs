//! `score`: a segmentation against its reference.

use super::args::{Format, ScoreArgs};
use super::exit::{CliError, ExitStatus};
use crate::data::volume::{LabelVolume, read_labels, spacing};
use crate::metric::{Grid, RegionPreset, score_labels};
use crate::options::MetricOptions;

/// Largest difference between the affines of two files that still lie on one grid, in mm.
const SAME_GRID: f64 = 1e-2;

pub(super) fn score(args: &ScoreArgs) -> Result<ExitStatus, CliError> {
    let preset = match &args.regions {
        None => None,
        Some(name) => Some(RegionPreset::named(name).ok_or_else(|| {
            let known: Vec<&str> = RegionPreset::ALL.iter().map(|(n, _)| *n).collect();
            CliError::usage(format!("unknown regions '{name}'"))
                .hint(format!("known: {}", known.join(", ")))
        })?),
    };
    let prediction = read_labels(&args.prediction).map_err(CliError::data)?;
    let reference = read_labels(&args.reference).map_err(CliError::data)?;
    same_grid(args, &prediction, &reference)?;
    if let Some(preset) = preset {
        preset
            .check("prediction", &prediction.data)
            .and_then(|()| preset.check("reference", &reference.data))
            .map_err(CliError::data)?;
    }
    let [x, y, z] = reference.shape;
    let [sx, sy, sz] = spacing(&reference.affine);
    let grid = Grid::volume([z, y, x], [sz, sy, sx]).map_err(CliError::data)?;
    let regions = preset.map(RegionPreset::regions);
    let report = score_labels(
        &prediction.data,
        &reference.data,
        regions.as_deref(),
        &grid,
        &MetricOptions::default(),
    )
    .map_err(CliError::data)?;
    if args.format == Format::Json {
        println!(
            "{}",
            serde_json::to_string(&report).map_err(CliError::internal)?
        );
        return Ok(ExitStatus::Done);
    }
    println!(
        "{:<10} {:>8} {:>8} {:>8} {:>10} {:>12}",
        "region", "DSC", "Sen", "BIoU", "HD95 (mm)", "HD95 pooled"
    );
    let show = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    for r in &report.regions {
        println!(
            "{:<10} {:>8} {:>8} {:>8} {:>10} {:>12}",
            r.name,
            show(r.dsc),
            show(r.sensitivity),
            show(r.biou),
            show(r.hd95),
            show(r.hd95_pooled)
        );
    }
    if report.regions.is_empty() {
        println!("both files are empty");
    }
    Ok(ExitStatus::Done)
}

/// Scores compare voxel by voxel: both files must lie on one grid in the world.
fn same_grid(args: &ScoreArgs, p: &LabelVolume, r: &LabelVolume) -> Result<(), CliError> {
    if p.shape != r.shape {
        return Err(CliError::data(format!(
            "{} has shape {:?}, {} has {:?}",
            args.prediction.display(),
            p.shape,
            args.reference.display(),
            r.shape
        )));
    }
    let apart = p
        .affine
        .iter()
        .flatten()
        .zip(r.affine.iter().flatten())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    if apart > SAME_GRID {
        return Err(CliError::data(format!(
            "{} and {} have the same shape but lie elsewhere: their affines differ by {apart:.3}",
            args.prediction.display(),
            args.reference.display()
        )));
    }
    Ok(())
}
