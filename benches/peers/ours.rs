//! Our side of `benches/peers/run.py`: reads one task as JSON per line, does it once, answers with
//! seconds and a result to compare. It calls the library as the program does; no harness.
//!
//! Threads are those of `RAYON_NUM_THREADS`. What stands before the clock starts (inputs that a
//! pipeline has in memory already) is not measured on either side.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use amlp_run::cluster::{Outcome, Points, find};
use amlp_run::data::case::{Case, ImageFile, ModalityKind};
use amlp_run::data::images::Images;
use amlp_run::data::prepare::{Preparation, PreparedCase, Scratch, SliceSet};
use amlp_run::data::volume::{read_labels, read_volume, spacing};
use amlp_run::mask::patch::Grid as PatchGrid;
use amlp_run::metric::{Grid, RegionPreset, brats_regions, score_labels};
use amlp_run::options::{ClusterMethod, ClusterOptions, MetricOptions, PrepareOptions, SliceUse};
use serde::Deserialize;
use serde_json::{Value, json};

/// Channels of a BraTS case, as files and as modalities.
const MODALITIES: [(&str, &str); 4] = [
    ("FLAIR", "flair"),
    ("T1", "t1"),
    ("T1CE", "t1ce"),
    ("T2", "t2"),
];

#[derive(Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
enum Task {
    /// A volume as f32.
    Read { path: PathBuf },
    /// A label map as u8.
    ReadLabels { path: PathBuf },
    /// A BraTS case of four modalities and labels, from its files to its prepared file.
    Prepare { folder: PathBuf, out: PathBuf },
    /// Whole-volume metrics of WT, TC, ET, reading included.
    Score {
        prediction: PathBuf,
        reference: PathBuf,
    },
    /// Cuts non-empty slices of prepared cases into patches, for both sides; not measured.
    Patches {
        prepared: Vec<PathBuf>,
        images: usize,
        side: usize,
        out: PathBuf,
    },
    /// Clusters the patches of some images of such a file, one after the other.
    Cluster {
        patches: PathBuf,
        per_image: usize,
        dim: usize,
        from: usize,
        to: usize,
        method: ClusterMethod,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    // As a worker does.
    amlp_run::nn::memory::keep_freed();
    let mut out = std::io::stdout().lock();
    // One case after the other is prepared in it, as in a study.
    let mut scratch = Scratch::default();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&serde_json::from_str(&line?)?, &mut scratch)?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(task: &Task, scratch: &mut Scratch) -> Result<Value, Box<dyn Error>> {
    match task {
        Task::Read { path } => timed(|| {
            let volume = read_volume(path, None)?;
            Ok(move || json!(volume.data.iter().map(|&v| f64::from(v)).sum::<f64>()))
        }),
        Task::ReadLabels { path } => timed(|| {
            let volume = read_labels(path)?;
            Ok(move || json!(volume.data.iter().map(|&v| u64::from(v)).sum::<u64>()))
        }),
        Task::Prepare { folder, out } => {
            let case = brats_case(folder)?;
            let names = MODALITIES.map(|(name, _)| name.to_owned());
            let preparation = Preparation {
                root: folder,
                modalities: &names,
                regions: &brats_regions(),
                label_values: &[0, 1, 2, 4],
                options: &PrepareOptions::default(),
            };
            // A file that takes the place of another is written to the disk at once.
            let _ = std::fs::remove_file(out);
            timed(|| {
                preparation.run(&case, out, scratch)?;
                Ok(move || checks(out).unwrap_or_default())
            })
        }
        Task::Score {
            prediction,
            reference,
        } => timed(|| {
            let prediction = read_labels(prediction)?;
            let reference = read_labels(reference)?;
            let [x, y, z] = reference.shape;
            let [sx, sy, sz] = spacing(&reference.affine);
            let grid = Grid::volume([z, y, x], [sz, sy, sx])?;
            let report = score_labels(
                &prediction.data,
                &reference.data,
                Some(&RegionPreset::Brats.regions()),
                &grid,
                &MetricOptions::default(),
            )?;
            Ok(move || {
                let rows = report.regions.iter().map(|r| json!([r.dsc, r.hd95]));
                rows.collect()
            })
        }),
        Task::Patches {
            prepared,
            images,
            side,
            out,
        } => cut(prepared, *images, *side, out),
        Task::Cluster {
            patches,
            per_image,
            dim,
            from,
            to,
            method,
        } => {
            let all = floats(patches)?;
            let size = per_image * dim;
            let part = &all[from * size..to * size];
            let options = ClusterOptions {
                method: *method,
                ..ClusterOptions::default()
            };
            let method = find(*method);
            timed(|| {
                let outcomes: Vec<Outcome> = part
                    .chunks_exact(size)
                    .enumerate()
                    .map(|(i, image)| {
                        let points = Points::new(image, *dim)?;
                        Ok(method.cluster(points, &options, 0, i as u64))
                    })
                    .collect::<Result<_, Box<dyn Error>>>()?;
                Ok(move || {
                    let labels = |o: &Outcome| json!(o.labels());
                    outcomes.iter().map(labels).collect()
                })
            })
        }
    }
}

/// Seconds on the wall and of the processor for `work`; its result is put into words afterwards.
fn timed<R: FnOnce() -> Value>(
    work: impl FnOnce() -> Result<R, Box<dyn Error>>,
) -> Result<Value, Box<dyn Error>> {
    let (wall, processor) = (Instant::now(), processor_seconds());
    let result = work()?;
    let (processor, wall) = (processor_seconds() - processor, wall.elapsed());
    Ok(json!({"wall": wall.as_secs_f64(), "cpu": processor, "result": result()}))
}

/// Processor time of this process so far.
fn processor_seconds() -> f64 {
    // SAFETY: all zeros is a valid time.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live time, which the call fills.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A case in its own folder, all files named after it.
fn brats_case(folder: &Path) -> Result<Case, Box<dyn Error>> {
    let id = folder
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or("a case is a folder")?;
    let file = |suffix: &str| format!("{id}_{suffix}.nii.gz");
    let image = |(name, suffix): (&str, &str)| {
        let image = ImageFile {
            path: file(suffix),
            channel: None,
            kind: ModalityKind::Mr,
        };
        (name.to_owned(), image)
    };
    Ok(Case {
        id: id.to_owned(),
        stratum: String::new(),
        images: MODALITIES.map(image).into(),
        label: Some(file("seg")),
        bbox: None,
    })
}

/// Per channel the mean and the mean square, then the sum of the labels.
fn checks(path: &Path) -> Result<Value, Box<dyn Error>> {
    let case = PreparedCase::open(path)?;
    let [channels, slices, h, w] = case.shape();
    let mut plane = vec![0.0; h * w];
    let mut found = Vec::new();
    for channel in 0..channels {
        let mut sums = [0.0, 0.0];
        for z in 0..slices {
            case.image(channel, z, &mut plane);
            for &v in &plane {
                sums[0] += f64::from(v);
                sums[1] += f64::from(v) * f64::from(v);
            }
        }
        found.extend(sums.map(|s| s / (slices * h * w) as f64));
    }
    let labels = (0..slices).filter_map(|z| case.label(z)).flatten();
    found.push(labels.map(|&v| f64::from(v)).sum());
    Ok(json!(found))
}

/// `[images, patches, values]` as f32, evenly taken from all channels of all cases.
fn cut(
    prepared: &[PathBuf],
    images: usize,
    side: usize,
    out: &Path,
) -> Result<Value, Box<dyn Error>> {
    let mut slices = Vec::new();
    for path in prepared {
        let case = Arc::new(PreparedCase::open(path)?);
        let set = SliceSet::new(vec![case], SliceUse::Nonempty, 0.05, 0, &[])?;
        let [channels, h, w] = set.shape();
        let grid = PatchGrid::new([1, h, w], side)?;
        let mut image = vec![0.0; channels * h * w];
        for i in 0..set.len() {
            set.image(i, &mut image);
            for plane in image.chunks_exact(h * w) {
                let mut patches = vec![0.0; h * w];
                grid.patchify_into(plane, &mut patches)?;
                slices.push(patches);
            }
        }
    }
    let count = images.min(slices.len());
    let mut bytes = Vec::new();
    for i in 0..count {
        let patches = &slices[i * slices.len() / count];
        bytes.extend(patches.iter().flat_map(|v| v.to_le_bytes()));
    }
    std::fs::write(out, bytes)?;
    Ok(json!(count))
}

fn floats(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let words = bytes.as_chunks::<4>().0;
    Ok(words.iter().map(|&b| f32::from_le_bytes(b)).collect())
}
