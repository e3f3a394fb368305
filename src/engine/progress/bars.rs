//! The picture on a terminal.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::outlook::Ahead;
use super::text::{picture, seconds};
use super::{Reporter, news};
use crate::engine::events::Entry;
use crate::engine::{Event, EventSink, Tracker};
use crate::store::unix_now;

/// The picture changes this often: as fast as anybody reads numbers.
const REDRAW: Duration = Duration::from_millis(250);

/// A line for each running stage, and one for the graph below them, drawn as one.
pub(super) struct Bars<'a> {
    bar: ProgressBar,
    terminal: console::Term,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    tracker: Tracker,
    ahead: Ahead<'a>,
    drawn: Instant,
    over: bool,
}

impl State<'_> {
    fn take(&mut self, entry: &Entry) {
        self.tracker.take(entry);
        self.ahead.take(&entry.event);
    }
}

impl<'a> Bars<'a> {
    pub(super) fn new(tracker: Tracker, ahead: Ahead<'a>) -> Self {
        let bar = ProgressBar::new_spinner();
        // The template is a constant; a mistake in it would cost the look, not the run.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            terminal: console::Term::stderr(),
            state: Mutex::new(State {
                tracker,
                ahead,
                drawn: Instant::now(),
                over: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, state: &mut State<'_>) {
        if state.over {
            return;
        }
        state.drawn = Instant::now();
        let now = unix_now();
        let tracker = &state.tracker;
        let (height, width) = self.terminal.size();
        let stages = tracker.stages(now);
        let left = state.ahead.left(&stages, now);
        let lines = picture(
            &stages,
            tracker.counts(),
            (tracker.wall(now), left),
            // In the last column some terminals break the line.
            (usize::from(height), usize::from(width).saturating_sub(1)),
        );
        self.bar.set_message(lines.join("\n"));
    }
}

impl Reporter for Bars<'_> {
    fn catch_up(&self, entries: &[Entry]) {
        let mut state = self.lock();
        for entry in entries {
            state.take(entry);
        }
        self.draw(&mut state);
    }

    fn take(&self, entry: &Entry) {
        let mut state = self.lock();
        let said = match &entry.event {
            Event::Done {
                kind,
                label,
                wall_s,
                ..
            } if kind.is_training() => Some(format!("done: {label} in {}", seconds(*wall_s))),
            event => news(event, &state.tracker),
        };
        if let Some(text) = said {
            self.bar.println(text);
        }
        state.take(entry);
        if matches!(entry.event, Event::RunFinished { .. }) {
            state.over = true;
            self.bar.finish_and_clear();
        }
    }
}

impl EventSink for Bars<'_> {
    fn emit(&self, event: &Event) {
        self.take(&Entry::now(event.clone()));
    }

    fn tick(&self) {
        let mut state = self.lock();
        if state.drawn.elapsed() >= REDRAW {
            self.draw(&mut state);
        }
    }
}

impl Drop for Bars<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
