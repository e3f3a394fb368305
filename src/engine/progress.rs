//! Progress for people, on standard error: bars on a terminal, a few lines elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::events::{KindCount, Silent};
use super::outcome::duration;
use super::{Event, EventSink, Progress};
use crate::plan::{Key, StageKind};

/// Without a terminal, running stages are told of this often.
const QUIET_INTERVAL: Duration = Duration::from_secs(60);

/// The display for a run: none with `quiet`, bars if standard error is a terminal that can move its
/// cursor, and otherwise short lines. Neither uses colour, so `NO_COLOR` needs no asking.
#[must_use]
pub fn reporter(quiet: bool) -> Box<dyn EventSink> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() && !dumb {
        Box::new(Bars::new(MultiProgress::new()))
    } else {
        Box::new(Lines::new(Box::new(std::io::stderr())))
    }
}

/// `epoch 3/10  loss 0.1234  2m 10s left  45 images/s  note`, of what is known. A narrow terminal
/// cuts the end.
fn describe(progress: &Progress, left: Option<Duration>) -> String {
    let mut words = Vec::new();
    match (progress.epoch, progress.epochs) {
        (Some(epoch), Some(epochs)) => words.push(format!("epoch {epoch}/{epochs}")),
        (Some(epoch), None) => words.push(format!("epoch {epoch}")),
        _ => {}
    }
    if progress.epoch.is_none()
        && let (Some(step), Some(steps)) = (progress.step, progress.steps)
    {
        words.push(format!("{step}/{steps}"));
    }
    if let Some(loss) = progress.loss {
        words.push(format!("loss {loss:.4}"));
    }
    if let Some(left) = left {
        words.push(format!("{} left", duration(left)));
    }
    if let Some(rate) = progress.rate {
        words.push(format!("{rate:.0} images/s"));
    }
    if let Some(note) = &progress.note {
        words.push(note.replace(['\n', '\r'], " "));
    }
    words.join("  ")
}

/// A stage that runs, and how fast.
struct Running {
    kind: StageKind,
    label: String,
    last: Option<Progress>,
    /// When it first told a fraction, and which: a resumed training does not begin at zero.
    first: Option<(Instant, f64)>,
}

impl Running {
    fn new(kind: StageKind, label: &str) -> Self {
        Self {
            kind,
            label: label.to_owned(),
            last: None,
            first: None,
        }
    }

    fn update(&mut self, progress: &Progress, now: Instant) {
        if self.first.is_none() {
            self.first = progress.fraction().map(|fraction| (now, fraction));
        }
        self.last = Some(progress.clone());
    }

    /// Time left at the speed so far.
    fn left(&self, now: Instant) -> Option<Duration> {
        let (start, first) = self.first?;
        let fraction = self.last.as_ref()?.fraction()?;
        let gained = fraction - first;
        if gained <= 0.0 {
            return None;
        }
        let seconds = (now - start).as_secs_f64() * (1.0 - fraction) / gained;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn describe(&self, now: Instant) -> String {
        self.last
            .as_ref()
            .map_or_else(String::new, |last| describe(last, self.left(now)))
    }
}

/// How many stages have come to what end.
#[derive(Default)]
struct Counts {
    total: usize,
    done: usize,
    failed: usize,
    skipped: usize,
    waiting: usize,
}

impl Counts {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { to_run, .. } => {
                self.total = to_run.iter().map(|entry| entry.count).sum();
            }
            Event::Done { .. } | Event::Cached { .. } => self.done += 1,
            Event::Failed { .. } => self.failed += 1,
            Event::Skipped { .. } => self.skipped += 1,
            Event::Waiting { .. } => self.waiting += 1,
            _ => {}
        }
    }

    fn ended(&self) -> usize {
        self.done + self.failed + self.skipped
    }

    /// `1 failed, 3 skipped`, or nothing.
    fn trouble(&self) -> String {
        let mut words = Vec::new();
        if self.failed > 0 {
            words.push(format!("{} failed", self.failed));
        }
        if self.skipped > 0 {
            words.push(format!("{} skipped", self.skipped));
        }
        words.join(", ")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar for each running stage, and one for the graph below them.
struct Bars {
    bars: MultiProgress,
    state: Mutex<BarsState>,
}

struct BarsState {
    counts: Counts,
    graph: ProgressBar,
    running: HashMap<Key, (Running, ProgressBar)>,
}

/// Steps of a stage's bar.
const STEPS: f64 = 1000.0;

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a mistake in one would cost the look, not the run.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Bars {
    fn new(bars: MultiProgress) -> Self {
        let graph = bars.add(ProgressBar::new(0));
        graph.set_style(style(
            "{elapsed_precise} [{bar:24}] {pos}/{len} stages  {msg}",
        ));
        Self {
            bars,
            state: Mutex::new(BarsState {
                counts: Counts::default(),
                graph,
                running: HashMap::new(),
            }),
        }
    }

    fn end(&self, state: &mut BarsState, key: &Key) {
        if let Some((_, bar)) = state.running.remove(key) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn say(&self, text: &str) {
        // Nobody to tell that the terminal is gone.
        let _ = self.bars.println(text);
    }
}

impl EventSink for Bars {
    fn emit(&self, event: &Event) {
        let mut state = locked(&self.state);
        state.counts.take(event);
        match event {
            Event::RunStarted { .. } => {
                state.graph.set_length(state.counts.total as u64);
                state.graph.enable_steady_tick(Duration::from_millis(500));
            }
            Event::Started {
                key, kind, label, ..
            } => {
                let bar = self
                    .bars
                    .insert_before(&state.graph, ProgressBar::new(STEPS as u64));
                bar.set_style(style("  {prefix:36!} [{bar:6}] {wide_msg}"));
                bar.set_prefix(label.clone());
                bar.tick();
                let running = Running::new(*kind, label);
                state.running.insert(key.clone(), (running, bar));
            }
            Event::Progress { key, progress } => {
                let now = Instant::now();
                if let Some((running, bar)) = state.running.get_mut(key) {
                    running.update(progress, now);
                    if let Some(fraction) = progress.fraction() {
                        bar.set_position((fraction * STEPS) as u64);
                    }
                    bar.set_message(running.describe(now));
                }
            }
            Event::Note { key, text } => {
                let label = state.running.get(key).map_or("", |(r, _)| &r.label);
                self.say(&format!("{label}: {text}"));
            }
            Event::SetAside { text, .. } => self.say(text),
            Event::Waiting { label, holder, .. } => {
                self.say(&format!("waiting for {holder} to make {label}"));
            }
            Event::Retrying { key, message } => {
                self.say(&format!("{message}; trying again"));
                self.end(&mut state, key);
            }
            Event::Done {
                key,
                kind,
                label,
                wall_s,
            } => {
                self.end(&mut state, key);
                if kind.is_training() {
                    self.say(&format!("done: {label} in {}", seconds(*wall_s)));
                }
            }
            Event::Cached { key, .. } | Event::Stopped { key } => self.end(&mut state, key),
            Event::Failed { failure } => {
                self.end(&mut state, &failure.key);
                self.say(&failed(&failure.label, &failure.message));
            }
            Event::Skipped { .. } => {}
            Event::RunFinished { .. } => {
                for (_, (_, bar)) in state.running.drain() {
                    bar.finish_and_clear();
                }
                state.graph.finish_and_clear();
            }
        }
        let (ended, trouble) = (state.counts.ended() as u64, state.counts.trouble());
        if state.graph.position() != ended {
            state.graph.set_position(ended);
            state.graph.set_message(trouble);
        }
    }
}

fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// The first line of a failure; the rest stands in the summary.
fn failed(label: &str, message: &str) -> String {
    format!("failed: {label}: {}", message.lines().next().unwrap_or(""))
}

/// Few lines: a training that is done, the last stage of a cheap kind, trouble, and a line a minute
/// on what runs.
struct Lines {
    state: Mutex<LinesState>,
}

struct LinesState {
    out: Box<dyn Write + Send>,
    counts: Counts,
    running: HashMap<Key, Running>,
    /// Stages of each kind that have not ended, how many ran, and the seconds that those took.
    kinds: BTreeMap<StageKind, KindProgress>,
    told: Instant,
}

#[derive(Default)]
struct KindProgress {
    open: usize,
    ran: usize,
    wall_s: f64,
}

impl Lines {
    fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            state: Mutex::new(LinesState {
                out,
                counts: Counts::default(),
                running: HashMap::new(),
                kinds: BTreeMap::new(),
                told: Instant::now(),
            }),
        }
    }
}

impl LinesState {
    fn say(&mut self, text: &str) {
        // Nobody to tell that standard error is gone.
        let _ = writeln!(self.out, "{text}");
    }

    fn end(&mut self, key: &Key, kind: StageKind, wall_s: Option<f64>) {
        self.running.remove(key);
        let entry = self.kinds.entry(kind).or_default();
        entry.open = entry.open.saturating_sub(1);
        if let Some(wall_s) = wall_s {
            entry.ran += 1;
            entry.wall_s += wall_s;
        }
        if entry.open == 0 && entry.ran > 0 && !kind.is_training() {
            let text = format!("{kind}: {} done in {}", entry.ran, seconds(entry.wall_s));
            self.say(&text);
        }
    }

    fn position(&self) -> String {
        format!("[{}/{}]", self.counts.ended(), self.counts.total)
    }

    /// What runs now, in a line.
    fn tell(&mut self, now: Instant) {
        let mut running: Vec<String> = self
            .running
            .values()
            .map(|running| {
                let how = running.describe(now);
                match how.as_str() {
                    "" => running.label.clone(),
                    how => format!("{}: {how}", running.label),
                }
            })
            .collect();
        running.sort_unstable();
        let mut text = self.position();
        match running.len() {
            0 => text.push_str(" waiting"),
            1..=4 => text.push_str(&format!(" {}", running.join("; "))),
            n => text.push_str(&format!(" {}; and {} more", running[..4].join("; "), n - 4)),
        }
        self.say(&text);
        self.told = now;
    }
}

impl EventSink for Lines {
    fn emit(&self, event: &Event) {
        let mut state = locked(&self.state);
        let state = &mut *state;
        state.counts.take(event);
        match event {
            Event::RunStarted { cached, to_run, .. } => {
                let kinds: Vec<String> = to_run
                    .iter()
                    .map(|KindCount { kind, count }| format!("{count} {kind}"))
                    .collect();
                for KindCount { kind, count } in to_run {
                    state.kinds.entry(*kind).or_default().open = *count;
                }
                state.told = Instant::now();
                let total = state.counts.total;
                state.say(&format!(
                    "{total} stages to run ({}), {cached} cached",
                    kinds.join(", ")
                ));
            }
            Event::Started {
                key, kind, label, ..
            } => {
                state
                    .running
                    .insert(key.clone(), Running::new(*kind, label));
            }
            Event::Progress { key, progress } => {
                if let Some(running) = state.running.get_mut(key) {
                    running.update(progress, Instant::now());
                }
            }
            Event::Note { key, text } => {
                // The notes of cheap stages are for the log: there may be hundreds.
                if let Some(running) = state.running.get(key)
                    && running.kind.is_training()
                {
                    let text = format!("{}: {text}", running.label);
                    state.say(&text);
                }
            }
            Event::SetAside { text, .. } => state.say(text),
            Event::Waiting { label, holder, .. } => {
                state.say(&format!("waiting for {holder} to make {label}"));
            }
            Event::Retrying { key, message } => {
                state.running.remove(key);
                state.say(&format!("{message}; trying again"));
            }
            Event::Done {
                key,
                kind,
                label,
                wall_s,
            } => {
                state.end(key, *kind, Some(*wall_s));
                if kind.is_training() {
                    let position = state.position();
                    state.say(&format!("{position} {label} done in {}", seconds(*wall_s)));
                }
            }
            Event::Cached { key, kind, .. } | Event::Skipped { key, kind, .. } => {
                state.end(key, *kind, None);
            }
            Event::Stopped { key } => {
                state.running.remove(key);
            }
            Event::Failed { failure } => {
                let text = failed(&failure.label, &failure.message);
                state.say(&text);
                state.end(&failure.key, failure.kind, None);
            }
            Event::RunFinished { .. } => state.running.clear(),
        }
    }

    fn tick(&self) {
        let now = Instant::now();
        let mut state = locked(&self.state);
        if now - state.told >= QUIET_INTERVAL {
            state.tell(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    /// Where lines go in a test.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            locked(&self.0).extend_from_slice(bytes);
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
        let lines = Lines::new(Box::new(paper.clone()));
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
        locked(&lines.state).tell(Instant::now());
        lines.emit(&done("pretrain x", StageKind::Pretrain));
        let text = String::from_utf8(locked(&paper.0).clone()).unwrap();
        assert_eq!(
            text,
            "3 stages to run (2 prepare, 1 pretrain), 6 cached\n\
             prepare: 2 done in 4.0 s\n\
             [2/3] pretrain x: epoch 1/4  loss 0.2500\n\
             [3/3] pretrain x done in 2.0 s\n"
        );
    }

    #[test]
    fn bars_come_and_go() {
        let bars = Bars::new(MultiProgress::with_draw_target(
            indicatif::ProgressDrawTarget::hidden(),
        ));
        bars.emit(&started("a", StageKind::Pretrain));
        bars.emit(&Event::Progress {
            key: Key::of(&json!("a")),
            progress: Progress {
                step: Some(1),
                steps: Some(2),
                ..Progress::default()
            },
        });
        {
            let state = locked(&bars.state);
            let (running, bar) = &state.running[&Key::of(&json!("a"))];
            assert_eq!(bar.position(), 500);
            assert_eq!(running.describe(Instant::now()), "1/2");
        }
        bars.emit(&done("a", StageKind::Pretrain));
        let state = locked(&bars.state);
        assert!(state.running.is_empty());
        assert_eq!(state.graph.position(), 1);
    }

    #[test]
    fn time_left_counts_from_where_a_resumed_training_began() {
        let start = Instant::now();
        let mut running = Running::new(StageKind::Pretrain, "a");
        let at = |step| Progress {
            step: Some(step),
            steps: Some(100),
            ..Progress::default()
        };
        running.update(&at(50), start);
        assert_eq!(running.left(start), None);
        running.update(&at(75), start);
        let left = running.left(start + Duration::from_secs(10)).unwrap();
        assert!((left.as_secs_f64() - 10.0).abs() < 1e-6, "{left:?}");
    }
}
