//! `info`: header and statistics of a NIfTI file.

use super::args::{Format, InfoArgs};
use super::exit::{CliError, ExitStatus};
use crate::data::volume::{Info, info as read_info};

pub(super) fn info(args: &InfoArgs) -> Result<ExitStatus, CliError> {
    let info = read_info(&args.file).map_err(CliError::data)?;
    if args.format == Format::Json {
        println!(
            "{}",
            serde_json::to_string(&info).map_err(CliError::internal)?
        );
        return Ok(ExitStatus::Done);
    }
    print_text(&info);
    Ok(ExitStatus::Done)
}

fn print_text(info: &Info) {
    let join = |values: &[f64]| {
        let words: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
        words.join("  ")
    };
    let shape: Vec<String> = info.shape.iter().map(usize::to_string).collect();
    println!("shape        {}", shape.join(" x "));
    println!("spacing      {} mm", join(&info.spacing));
    println!("orientation  {}", info.orientation);
    println!("type         {}", info.dtype);
    for (i, row) in info.affine.iter().enumerate() {
        let name = if i == 0 { "affine" } else { "" };
        println!("{name:<12} {}", join(row));
    }
    if let (Some(min), Some(max), Some(mean)) = (info.min, info.max, info.mean) {
        println!("values       {min} to {max}, mean {mean:.4}");
    }
    if info.nonfinite > 0 {
        println!("not finite   {} voxels", info.nonfinite);
    }
    if let Some(labels) = &info.labels {
        for (value, count) in labels {
            println!("label {value:<6} {count} voxels");
        }
    }
    for warning in &info.warnings {
        println!("note         {warning}");
    }
}
