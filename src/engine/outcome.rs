//! What a run came to.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::stop::INTERRUPTED;
use crate::plan::{Key, StageKind};
use crate::store::{Failure, FailureKind};

/// A stage that could not run because another failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its key.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// The stage that failed.
    pub because: Key,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Stages that it made, in the order in which they were done.
    pub ran: Vec<Key>,
    /// How many stages of the plan were in the store, or were put there by others meanwhile.
    pub cached: usize,
    /// How many stages are missing and nothing that is missing needs them.
    pub unneeded: usize,
    /// Stages that failed.
    pub failed: Vec<Failure>,
    /// Stages that could not run because others failed.
    pub skipped: Vec<Skipped>,
    /// How many stages were not run, or not to the end, because the run was stopped.
    pub unfinished: usize,
    /// Names of the stages that ran out of memory and were tried again at half of it.
    pub halved: Vec<String>,
    /// Whether the run was stopped from outside.
    pub interrupted: bool,
    /// How long it took.
    pub wall: Duration,
    /// Folder of the records of failures.
    pub failures: PathBuf,
    /// Folder of its events; absent where there was nothing to run.
    pub folder: Option<PathBuf>,
    /// Why the log of events is not whole, if it is not.
    pub log_error: Option<String>,
}

impl RunReport {
    /// Whether all that was asked for is in the store.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.unfinished == 0
    }

    /// Exit code of the command: 0 complete, 3 some stages failed, 4 all failures are for want of
    /// valid data, 130 interrupted.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        if self.interrupted {
            INTERRUPTED
        } else if self.is_complete() {
            0
        } else if !self.failed.is_empty()
            && self.failed.iter().all(|f| f.failure == FailureKind::Data)
        {
            4
        } else {
            3
        }
    }

    /// For people: a block for each failure but those of a full disk, with an empty line after it.
    #[must_use]
    pub fn failures_text(&self) -> String {
        let mut text = String::new();
        // A full disk is no fault of a stage, and is told once.
        let own = |f: &&Failure| f.failure != FailureKind::Full;
        for failure in self.failed.iter().filter(own) {
            // Writing to a string does not fail.
            let _ = self.write_failure(&mut text, failure);
        }
        text
    }

    /// For people: a block for each failure, and a line of counts last. Ends with a line break.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self.failures_text();
        for label in &self.halved {
            let _ = writeln!(
                text,
                "{label} ran out of memory and was tried again with half the images per pass; \
                 with batch normalisation its numbers differ from those of the whole batch"
            );
        }
        let full = self.failed.iter().find(|f| f.failure == FailureKind::Full);
        match (full, &self.log_error) {
            // Once, however many stages met it, and the log with them.
            (Some(first), _) => {
                let _ = writeln!(
                    text,
                    "the disk is full, so no further stage was begun: {}\n  \
                     free some space and give the same command again; what is done stays done",
                    first.message.lines().next().unwrap_or_default()
                );
            }
            (None, Some(error)) => {
                let _ = writeln!(text, "the log of the run is not whole: {error}");
            }
            (None, None) => {}
        }
        let mut counts = vec![
            format!("{} ran", self.ran.len()),
            format!("{} cached", self.cached),
        ];
        for (count, what) in [
            (self.failed.len(), "failed"),
            (self.skipped.len(), "skipped"),
            (self.unfinished, "not finished"),
        ] {
            if count > 0 {
                counts.push(format!("{count} {what}"));
            }
        }
        let state = if self.interrupted {
            "interrupted"
        } else if self.is_complete() {
            "done"
        } else {
            "incomplete"
        };
        let _ = writeln!(
            text,
            "{state}: {} in {}",
            counts.join(", "),
            duration(self.wall)
        );
        text
    }

    fn write_failure(&self, text: &mut String, failure: &Failure) -> std::fmt::Result {
        writeln!(text, "failed: {} ({})", failure.label, failure.key.short())?;
        for line in failure.message.lines() {
            writeln!(text, "  {line}")?;
        }
        for line in &failure.log {
            writeln!(text, "  | {line}")?;
        }
        match &failure.log_file {
            Some(file) => writeln!(text, "  log: {}", file.display())?,
            None => {
                let record = self.failures.join(format!("{}.json", failure.key));
                writeln!(text, "  record: {}", record.display())?;
            }
        }
        if let Some(file) = &failure.checkpoint {
            let file = file.display().to_string();
            if !failure.message.contains(&file) {
                writeln!(text, "  checkpoint: {file}")?;
            }
        }
        if failure.failure == FailureKind::OutOfMemory {
            writeln!(
                text,
                "  hint: fewer --jobs, a smaller {0}.micro_batch, or {0}.on_out_of_memory = \"halve\"",
                failure.kind
            )?;
        }
        let skipped: Vec<&str> = self
            .skipped
            .iter()
            .filter(|s| s.because == failure.key)
            .map(|s| s.label.as_str())
            .collect();
        match skipped.as_slice() {
            [] => {}
            [one] => writeln!(text, "  skipped because of it: {one}")?,
            [first, rest @ ..] => {
                writeln!(
                    text,
                    "  skipped because of it: {first} and {} more",
                    rest.len()
                )?;
            }
        }
        writeln!(text)
    }
}

/// A duration for people: `0.4 s`, `12 s`, `3m 05s`, `2h 07m`, `3d 04h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 10 {
        format!("{:.1} s", time.as_secs_f64())
    } else if seconds < 60 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else if seconds < 2 * 86_400 {
        format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60)
    } else {
        format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failure(kind: FailureKind) -> Failure {
        Failure {
            key: Key::of(&json!("a")),
            kind: StageKind::Pretrain,
            label: "pretrain AMLP".to_owned(),
            failure: kind,
            message: "loss is not finite".to_owned(),
            log: vec!["step 7".to_owned()],
            log_file: Some("store/log.txt".into()),
            checkpoint: Some("store/checkpoint".into()),
            when: String::new(),
            when_unix: 0.0,
            host: String::new(),
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.44, "0.4 s"),
            (12.9, "12 s"),
            (185.0, "3m 05s"),
            (7620.0, "2h 07m"),
            (4.5 * 86_400.0, "4d 12h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_summary_says_what_failed_and_where_to_look() {
        let failed = failure(FailureKind::Error);
        let skipped = |label: &str| Skipped {
            key: Key::of(&json!(label)),
            kind: StageKind::Evaluate,
            label: label.to_owned(),
            because: failed.key.clone(),
        };
        let report = RunReport {
            ran: vec![Key::of(&json!("b"))],
            cached: 4,
            skipped: vec![skipped("evaluate AMLP"), skipped("table IV")],
            failed: vec![failed],
            wall: Duration::from_secs(61),
            ..RunReport::default()
        };
        let short = report.failed[0].key.short();
        assert_eq!(
            report.summary(),
            format!(
                "failed: pretrain AMLP ({short})\n  loss is not finite\n  | step 7\n  log: store/log.txt\n  \
                 checkpoint: store/checkpoint\n  skipped because of it: evaluate AMLP and 1 more\n\n\
                 incomplete: 1 ran, 4 cached, 1 failed, 2 skipped in 1m 01s\n"
            )
        );
        assert_eq!(report.exit_code(), 3);
    }

    #[test]
    fn a_full_disk_is_told_once() {
        let full = |message: &str| Failure {
            message: message.to_owned(),
            log: Vec::new(),
            log_file: None,
            ..failure(FailureKind::Full)
        };
        let report = RunReport {
            failed: vec![full("cannot write 'a'"), full("cannot write 'b'")],
            unfinished: 7,
            log_error: Some("cannot write 'events'".to_owned()),
            ..RunReport::default()
        };
        assert_eq!(
            report.summary(),
            "the disk is full, so no further stage was begun: cannot write 'a'\n  free some space \
             and give the same command again; what is done stays done\n\
             incomplete: 0 ran, 0 cached, 2 failed, 7 not finished in 0.0 s\n"
        );
        assert_eq!(report.exit_code(), 3);
    }

    #[test]
    fn exit_codes() {
        assert_eq!(RunReport::default().exit_code(), 0);
        let data = RunReport {
            failed: vec![failure(FailureKind::Data)],
            ..RunReport::default()
        };
        assert_eq!(data.exit_code(), 4);
        let mixed = RunReport {
            failed: vec![failure(FailureKind::Data), failure(FailureKind::Died)],
            ..RunReport::default()
        };
        assert_eq!(mixed.exit_code(), 3);
        let interrupted = RunReport {
            interrupted: true,
            ..data
        };
        assert_eq!(interrupted.exit_code(), 130);
    }
}
