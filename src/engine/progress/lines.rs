//! A few lines where nothing can move: a training that is done, the last stage of a cheap kind,
//! trouble, and a line a minute on what runs.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::outlook::Ahead;
use super::text::{describe, seconds};
use super::{Reporter, news};
use crate::engine::events::{Entry, KindCount};
use crate::engine::{Event, EventSink, Tracker};
use crate::plan::StageKind;
use crate::store::unix_now;

/// Running stages are told of this often.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many stages a line names.
const NAMED: usize = 4;

pub(super) struct Lines<'a> {
    state: Mutex<State<'a>>,
}

struct State<'a> {
    out: Box<dyn Write + Send>,
    tracker: Tracker,
    ahead: Ahead<'a>,
    kinds: BTreeMap<StageKind, KindProgress>,
    told: Instant,
}

/// Stages of a kind that have not ended, how many ran, and the seconds that those took.
#[derive(Default)]
struct KindProgress {
    open: usize,
    ran: usize,
    wall_s: f64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(tracker: Tracker, ahead: Ahead<'a>, out: Box<dyn Write + Send>) -> Self {
        Self {
            state: Mutex::new(State {
                out,
                tracker,
                ahead,
                kinds: BTreeMap::new(),
                told: Instant::now(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<'_> {
    fn say(&mut self, text: &str) {
        // Nobody to tell that standard error is gone.
        let _ = writeln!(self.out, "{text}");
    }

    fn take(&mut self, entry: &Entry) {
        self.tracker.take(entry);
        self.ahead.take(&entry.event);
    }

    /// Counts the end of a stage; of the last of a cheap kind there is something to say.
    fn count(&mut self, event: &Event) -> Option<String> {
        let (kind, wall_s) = match event {
            Event::RunStarted { to_run, .. } => {
                for KindCount { kind, count } in to_run {
                    self.kinds.entry(*kind).or_default().open = *count;
                }
                return None;
            }
            Event::Done { kind, wall_s, .. } => (*kind, Some(*wall_s)),
            Event::Cached { kind, .. } | Event::Skipped { kind, .. } => (*kind, None),
            Event::Failed { failure } => (failure.kind, None),
            _ => return None,
        };
        let entry = self.kinds.entry(kind).or_default();
        entry.open = entry.open.saturating_sub(1);
        if let Some(wall_s) = wall_s {
            entry.ran += 1;
            entry.wall_s += wall_s;
        }
        (entry.open == 0 && entry.ran > 0 && !kind.is_training())
            .then(|| format!("{kind}: {} done in {}", entry.ran, seconds(entry.wall_s)))
    }

    fn position(&self) -> String {
        let counts = self.tracker.counts();
        format!("[{}/{}]", counts.ended(), counts.total)
    }

    /// What runs now, in a line.
    fn tell(&mut self) {
        let now = unix_now();
        let stages = self.tracker.stages(now);
        let named: Vec<String> = stages
            .iter()
            .take(NAMED)
            .map(|stage| match &stage.progress {
                Some(progress) => {
                    format!("{}: {}", stage.label, describe(progress, stage.left_s))
                }
                None => stage.label.clone(),
            })
            .collect();
        let mut text = self.position();
        let trouble = self.tracker.counts().trouble();
        if !trouble.is_empty() {
            text.push_str(&format!(" {trouble};"));
        }
        match stages.len() {
            0 => text.push_str(" waiting"),
            n if n <= NAMED => text.push_str(&format!(" {}", named.join("; "))),
            n => text.push_str(&format!(" {}; and {} more", named.join("; "), n - NAMED)),
        }
        if let Some(left) = self.ahead.left(&stages, now) {
            text.push_str(&format!("; about {} left", seconds(left)));
        }
        self.say(&text);
        self.told = Instant::now();
    }
}

impl Reporter for Lines<'_> {
    fn catch_up(&self, entries: &[Entry]) {
        let mut state = self.lock();
        for entry in entries {
            state.count(&entry.event);
            state.take(entry);
        }
        state.tell();
    }

    fn take(&self, entry: &Entry) {
        let mut state = self.lock();
        let state = &mut *state;
        let said = news(&entry.event, &state.tracker);
        state.take(entry);
        let counted = state.count(&entry.event);
        for text in said.into_iter().chain(counted) {
            state.say(&text);
        }
        match &entry.event {
            Event::RunStarted { cached, to_run, .. } => {
                let kinds: Vec<String> = to_run
                    .iter()
                    .map(|KindCount { kind, count }| format!("{count} {kind}"))
                    .collect();
                let total = state.tracker.counts().total;
                state.say(&format!(
                    "{total} stages to run ({}), {cached} cached",
                    kinds.join(", ")
                ));
                state.told = Instant::now();
            }
            Event::Done {
                kind,
                label,
                wall_s,
                ..
            } if kind.is_training() => {
                let position = state.position();
                state.say(&format!("{position} {label} done in {}", seconds(*wall_s)));
            }
            _ => {}
        }
    }
}

impl EventSink for Lines<'_> {
    fn emit(&self, event: &Event) {
        self.take(&Entry::now(event.clone()));
    }

    fn tick(&self) {
        let mut state = self.lock();
        if state.told.elapsed() >= INTERVAL {
            state.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Progress;
    use crate::engine::events::Origin;
    use crate::plan::Key;
    use serde_json::json;

    /// Where lines go in a test.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn started(name: &str, kind: StageKind) -> Event {
        Event::Started {
            key: Key::of(&json!(name)),
            kind,
            label: name.to_owned(),
            pid: 1,
            attempt: 1,
        }
    }

    fn done(name: &str, kind: StageKind) -> Event {
        Event::Done {
            key: Key::of(&json!(name)),
            kind,
            label: name.to_owned(),
            wall_s: 2.0,
        }
    }

    #[test]
    fn without_a_terminal_few_lines_are_written() {
        let paper = Paper::default();
        let lines = Lines::new(
            Tracker::new("r".to_owned(), Origin::default()),
            Ahead::new(|| None),
            Box::new(paper.clone()),
        );
        lines.emit(&Event::RunStarted {
            pid: 1,
            host: "here".to_owned(),
            stages: 9,
            cached: 6,
            to_run: vec![
                KindCount {
                    kind: StageKind::Prepare,
                    count: 2,
                },
                KindCount {
                    kind: StageKind::Pretrain,
                    count: 1,
                },
            ],
        });
        for name in ["a", "b"] {
            lines.emit(&started(name, StageKind::Prepare));
            lines.emit(&done(name, StageKind::Prepare));
        }
        lines.emit(&started("pretrain x", StageKind::Pretrain));
        lines.emit(&Event::Progress {
            key: Key::of(&json!("pretrain x")),
            progress: Progress {
                epoch: Some(1),
                epochs: Some(4),
                loss: Some(0.25),
                ..Progress::default()
            },
        });
        lines.tick();
        lines.lock().tell();
        lines.emit(&done("pretrain x", StageKind::Pretrain));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "3 stages to run (2 prepare, 1 pretrain), 6 cached\n\
             prepare: 2 done in 4.0 s\n\
             [2/3] pretrain x: epoch 1/4  loss 0.2500\n\
             [3/3] pretrain x done in 2.0 s\n"
        );
    }
}
