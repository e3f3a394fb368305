//! `trace`: where the time of a run went; exports for TensorBoard and trace viewers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::args::{Format, TraceArgs};
use super::chosen::Chosen;
use super::exit::{CliError, ExitStatus};
use crate::engine::duration;
use crate::engine::events::Entry;
use crate::engine::export::tensorboard::TensorBoard;
use crate::engine::export::trace::{self, Span};
use crate::plan::StageKind;

pub(super) fn trace(args: &TraceArgs) -> Result<ExitStatus, CliError> {
    let chosen = Chosen::find(&args.choice)?;
    let run = chosen.folder.id();
    let entries = chosen.folder.events().map_err(CliError::internal)?;
    let spans = trace::spans(&entries);
    if let Some(path) = &args.chrome {
        let text = trace::chrome(&run, &spans).to_string();
        std::fs::write(path, text)
            .map_err(|e| CliError::internal(format!("{}: {e}", path.display())))?;
        eprintln!("trace: {}", path.display());
    }
    if let Some(dir) = &args.tensorboard {
        write_tensorboard(dir, &entries)?;
    }
    match args.format {
        Format::Json => println!("{}", json!({ "run": run, "spans": spans })),
        // An export was all that was asked for.
        Format::Text if args.chrome.is_some() || args.tensorboard.is_some() => {}
        Format::Text => print!("{}", summary(&run, &spans)),
    }
    Ok(ExitStatus::Done)
}

fn write_tensorboard(dir: &Path, entries: &[Entry]) -> Result<(), CliError> {
    let board = TensorBoard::new(dir);
    for entry in entries {
        board.take(entry);
    }
    if let Some(error) = board.broken() {
        return Err(CliError::internal(error));
    }
    eprintln!(
        "TensorBoard: {} trainings in {}",
        board.files(),
        dir.display()
    );
    Ok(())
}

fn time(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Time by kind, how busy the slots were, and what took longest.
fn summary(run: &str, spans: &[Span]) -> String {
    const LONGEST: usize = 5;
    let start = spans.iter().map(|s| s.start).fold(f64::INFINITY, f64::min);
    let end = spans.iter().map(|s| s.end).fold(start, f64::max);
    let slots = spans.iter().map(|s| s.slot + 1).max().unwrap_or(0);
    if slots == 0 {
        return format!("run {run} has started no stage\n");
    }
    let mut kinds: BTreeMap<StageKind, (usize, f64)> = BTreeMap::new();
    for span in spans {
        let (count, sum) = kinds.entry(span.kind).or_default();
        *count += 1;
        *sum += span.wall_s();
    }
    let busy: f64 = kinds.values().map(|(_, sum)| sum).sum();
    let all = (end - start) * slots as f64;
    let mut text = format!(
        "run {run}: {} on {slots} slots, {:.0} % busy\n\n  {:<10} {:>7} {:>9} {:>9}\n",
        time(end - start),
        if all > 0.0 { 100.0 * busy / all } else { 100.0 },
        "stage",
        "runs",
        "time",
        "mean",
    );
    for (kind, (count, sum)) in &kinds {
        let mean = sum / *count as f64;
        text.push_str(&format!(
            "  {kind:<10} {count:>7} {:>9} {:>9}\n",
            time(*sum),
            time(mean)
        ));
    }
    let mut longest: Vec<&Span> = spans.iter().collect();
    longest.sort_by(|a, b| b.wall_s().total_cmp(&a.wall_s()));
    text.push_str("\n  longest\n");
    for span in longest.iter().take(LONGEST) {
        text.push_str(&format!("  {:>9}  {}\n", time(span.wall_s()), span.label));
    }
    text
}
