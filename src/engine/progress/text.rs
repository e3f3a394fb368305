//! Lines of progress, cut to the width that there is.

use std::time::Duration;

use crate::engine::outcome::duration;
use crate::engine::{Counts, Progress, RunningStage};

/// Widest column of names.
const LABEL: usize = 48;

/// Narrowest column of names, where the terminal has that much.
const SHORT: usize = 20;

/// Steps of the bar of the graph.
const BAR: usize = 20;

/// Share of the time spent waiting for batches from which on people hear of it.
const WORTH_TELLING: f64 = 0.02;

/// What is known of a stage, what matters most first.
fn pieces(progress: &Progress, left_s: Option<f64>) -> Vec<String> {
    let mut pieces = Vec::new();
    match (progress.epoch, progress.epochs) {
        (Some(epoch), Some(epochs)) => pieces.push(format!("epoch {epoch}/{epochs}")),
        (Some(epoch), None) => pieces.push(format!("epoch {epoch}")),
        _ => {}
    }
    if progress.epoch.is_none()
        && let (Some(step), Some(steps)) = (progress.step, progress.steps)
    {
        pieces.push(format!("{step}/{steps}"));
    }
    if let Some(loss) = progress.loss {
        pieces.push(format!("loss {loss:.4}"));
    }
    if let Some(left) = left_s {
        pieces.push(format!("{} left", seconds(left)));
    }
    if let Some(rate) = progress.rate {
        pieces.push(if rate < 9.95 {
            format!("{rate:.1} images/s")
        } else {
            format!("{rate:.0} images/s")
        });
    }
    if let Some(waiting) = progress.waiting.filter(|w| *w > WORTH_TELLING) {
        pieces.push(format!("waits for data {:.0} %", 100.0 * waiting));
    }
    if let Some(note) = &progress.note {
        pieces.push(note.clone());
    }
    pieces
}

/// `epoch 3/10  loss 0.1234  2m 10s left  45 images/s  note`, of what is known.
pub(super) fn describe(progress: &Progress, left_s: Option<f64>) -> String {
    one_line(&pieces(progress, left_s).join("  "))
}

/// A duration for people.
pub(super) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// `text` without what would move the cursor.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// `text` in at most `width` columns: the middle goes first, for names differ at their ends.
fn fit(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(2);
    let head = kept * 2 / 5;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - (kept - head)).collect();
    let dots = if width < 2 { "" } else { ".." };
    format!("{start}{dots}{end}")
}

/// The line of a stage: its name in `label` columns, and of what is known as much as fits whole.
fn stage(stage: &RunningStage, label: usize, width: usize) -> String {
    let name = one_line(&stage.label);
    let mut line = format!("  {:label$}", fit(&name, label));
    let pieces = stage
        .progress
        .as_ref()
        .map_or_else(Vec::new, |progress| pieces(progress, stage.left_s));
    for piece in pieces {
        let piece = one_line(&piece);
        if line.chars().count() + 2 + piece.chars().count() > width {
            break;
        }
        line.push_str("  ");
        line.push_str(&piece);
    }
    line.trim_end().to_owned()
}

/// The line of the whole graph.
fn graph(counts: Counts, wall_s: f64, left_s: Option<f64>, width: usize) -> String {
    let done = (counts.ended() * BAR)
        .checked_div(counts.total)
        .map_or(0, |done| done.min(BAR));
    let mut pieces = vec![format!("{}/{} stages", counts.ended(), counts.total)];
    let trouble = counts.trouble();
    if !trouble.is_empty() {
        pieces.push(trouble);
    }
    pieces.push(seconds(wall_s));
    if let Some(left) = left_s {
        pieces.push(format!("about {} left", seconds(left)));
    }
    let mut line = if width >= 60 {
        let tip = if done < BAR { ">" } else { "" };
        format!("[{:BAR$}]", format!("{}{tip}", "=".repeat(done)))
    } else {
        String::new()
    };
    for piece in pieces {
        if line.chars().count() + 2 + piece.chars().count() > width && !line.is_empty() {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { "  " });
        line.push_str(&piece);
    }
    line
}

/// The whole picture in `height` lines of `width` columns at most: a line for each stage that runs
/// as far as there is room, and one for the graph.
pub(super) fn picture(
    stages: &[RunningStage],
    counts: Counts,
    (wall_s, left_s): (f64, Option<f64>),
    (height, width): (usize, usize),
) -> Vec<String> {
    let room = height.saturating_sub(2).max(1);
    let mut lines = self::stages(stages, room, width);
    lines.push(graph(counts, wall_s, left_s, width));
    lines
}

/// A line of at most `width` columns for each running stage, `room` lines at most.
#[must_use]
pub fn stages(stages: &[RunningStage], room: usize, width: usize) -> Vec<String> {
    let shown = if stages.len() > room {
        room.saturating_sub(1)
    } else {
        stages.len()
    };
    let longest = stages[..shown]
        .iter()
        .map(|stage| stage.label.chars().count())
        .max()
        .unwrap_or(0);
    // Names take what they need, but leave more than half of a narrow terminal to the numbers.
    let label = longest.min(LABEL).min((width * 2 / 5).max(SHORT));
    let mut lines: Vec<String> = stages[..shown]
        .iter()
        .map(|s| stage(s, label, width))
        .collect();
    if shown < stages.len() {
        lines.push(format!("  and {} more", stages.len() - shown));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Key, StageKind};
    use serde_json::json;

    fn running(label: &str, epoch: u64) -> RunningStage {
        RunningStage {
            key: Key::of(&json!(label)),
            kind: StageKind::Finetune,
            label: label.to_owned(),
            since: 0.0,
            pid: 1,
            attempt: 1,
            progress: Some(Progress {
                epoch: Some(epoch),
                epochs: Some(800),
                step: Some(3),
                steps: Some(12),
                loss: Some(0.123_456),
                rate: Some(45.2),
                note: Some("line\nbreak".to_owned()),
                ..Progress::default()
            }),
            left_s: Some(7620.0),
        }
    }

    const COUNTS: Counts = Counts {
        total: 40,
        done: 12,
        failed: 1,
        skipped: 3,
    };

    fn at(width: usize) -> Vec<String> {
        let stages = [
            running("finetune AMLP-without-CRCL hecktor/CT 5 % seed 0", 12),
            running("pretrain MAE brats2018/FLAIR seed 1", 700),
        ];
        picture(&stages, COUNTS, (725.0, Some(4810.0)), (24, width))
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        assert_eq!(
            at(140),
            [
                "  finetune AMLP-without-CRCL hecktor/CT 5 % seed 0  epoch 12/800  loss 0.1235  2h 07m left  45 images/s  line break",
                "  pretrain MAE brats2018/FLAIR seed 1               epoch 700/800  loss 0.1235  2h 07m left  45 images/s  line break",
                "[========>           ]  16/40 stages  1 failed, 3 skipped  12m 05s  about 1h 20m left",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_leaves_out_whole_numbers_and_the_middle_of_names() {
        assert_eq!(
            at(60),
            [
                "  finetune../CT 5 % seed 0  epoch 12/800  loss 0.1235",
                "  pretrain..8/FLAIR seed 1  epoch 700/800  loss 0.1235",
                "[========>           ]  16/40 stages  1 failed, 3 skipped",
            ]
        );
        for width in 1..160 {
            for line in at(width) {
                let length = line.chars().count();
                // A name and a count are shown however narrow it is.
                assert!(length <= width.max(SHORT + 2), "{width}: {line}");
            }
        }
    }

    #[test]
    fn many_stages_leave_room_for_the_graph() {
        let stages: Vec<RunningStage> = (0..64).map(|i| running(&i.to_string(), i)).collect();
        let lines = picture(&stages, COUNTS, (1.0, None), (24, 80));
        assert_eq!(lines.len(), 23);
        assert_eq!(lines[21], "  and 43 more");
        assert!(lines[22].contains("16/40"));
        let lines = picture(&stages[..2], Counts::default(), (1.0, None), (1, 80));
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}
