//! `measure`: numbers of a table that need no training.

use super::files::write_json;
use super::prepare::reference_slices;
use super::split;
use crate::data::images::Images;
use crate::engine::{StageContext, StageError};
use crate::measure::{self, Drawn, MeasureJob, Measurement};
use crate::plan::MeasureSpec;

/// What was measured.
pub(super) const MEASURED: &str = "measured.json";

pub(super) fn run(spec: &MeasureSpec, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    let images = reference_slices(&spec.slices, cx)?;
    let entry = measure::find(spec.measure.kind);
    let job = MeasureJob {
        images: Drawn::new(&images, spec.measure.samples, spec.seed),
        clusters: &spec.clusters,
        repeats: spec.measure.repeats,
        seed: spec.seed,
    };
    let values = entry.measure(&job)?;
    write_json(
        &cx.output().join(MEASURED),
        &Measurement {
            fold_sizes: split::read(cx)?.sizes(),
            images: job.images.len(),
            machine: entry.timed.then(processor),
            values,
        },
    )?;
    Ok(())
}

/// The processor as the system names it.
fn processor() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
