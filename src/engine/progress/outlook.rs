//! Time left of the whole graph, from what its stages are expected to take.

use std::collections::HashMap;

use crate::engine::{Event, RunningStage};
use crate::plan::Key;

/// Expected seconds of the stages that have not ended.
#[derive(Clone, Debug)]
pub struct Outlook {
    open: HashMap<Key, f64>,
    /// Their sum.
    work_s: f64,
    slots: f64,
    /// How much longer the graph takes than its work takes on slots that are always busy.
    stretch: f64,
}

impl Outlook {
    /// An outlook on stages with their expected seconds, which take `wall_s` seconds on `slots`
    /// slots by the order in which they can run.
    #[must_use]
    pub fn new(stages: impl IntoIterator<Item = (Key, f64)>, wall_s: f64, slots: usize) -> Self {
        let open: HashMap<Key, f64> = stages.into_iter().collect();
        let work_s: f64 = open.values().sum();
        let slots = slots.max(1) as f64;
        Self {
            open,
            work_s,
            slots,
            stretch: if work_s > 0.0 {
                (wall_s * slots / work_s).clamp(1.0, slots)
            } else {
                1.0
            },
        }
    }

    fn take(&mut self, event: &Event) {
        if let Event::Done { key, .. }
        | Event::Cached { key, .. }
        | Event::Skipped { key, .. }
        | Event::Failed {
            failure: crate::store::Failure { key, .. },
        } = event
            && let Some(seconds) = self.open.remove(key)
        {
            self.work_s -= seconds;
        }
    }

    /// Seconds left at `now`, while `running` run.
    fn left(&self, running: &[RunningStage], now: f64) -> f64 {
        let mut work_s = self.work_s;
        let mut longest = 0.0_f64;
        for stage in running {
            let expected = self.open.get(&stage.key).copied().unwrap_or(0.0);
            // What a stage says of itself is better than what others took.
            let left = stage
                .left_s
                .unwrap_or_else(|| (expected - (now - stage.since)).max(0.0));
            work_s += left - expected;
            longest = longest.max(left);
        }
        (work_s.max(0.0) / self.slots * self.stretch).max(longest)
    }
}

/// The outlook of a display, made when the run begins: a run of nothing needs none.
pub(super) struct Ahead<'a> {
    forecast: Option<Box<dyn FnOnce() -> Option<Outlook> + Send + 'a>>,
    outlook: Option<Outlook>,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(forecast: impl FnOnce() -> Option<Outlook> + Send + 'a) -> Self {
        Self {
            forecast: Some(Box::new(forecast)),
            outlook: None,
        }
    }

    /// Takes in the next event.
    pub(super) fn take(&mut self, event: &Event) {
        if let Event::RunStarted { .. } = event
            && let Some(forecast) = self.forecast.take()
        {
            self.outlook = forecast();
        }
        if let Some(outlook) = &mut self.outlook {
            outlook.take(event);
        }
    }

    /// Seconds left, where that can be told.
    pub(super) fn left(&self, running: &[RunningStage], now: f64) -> Option<f64> {
        Some(self.outlook.as_ref()?.left(running, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::StageKind;
    use serde_json::json;

    #[test]
    fn time_left_shrinks_with_what_is_done_and_what_runs() {
        let key = |name: &str| Key::of(&json!(name));
        let stages = ["a", "b", "c", "d"].map(|name| (key(name), 10.0));
        // A chain of three beside a single one, on two slots.
        let mut outlook = Outlook::new(stages, 30.0, 2);
        assert_eq!(outlook.left(&[], 0.0), 30.0);
        let mut running = RunningStage {
            key: key("a"),
            kind: StageKind::Pretrain,
            label: String::new(),
            since: 100.0,
            pid: 1,
            attempt: 1,
            progress: None,
            left_s: None,
        };
        // Six of its ten seconds are over.
        let left = outlook.left(std::slice::from_ref(&running), 106.0);
        assert_eq!(left, 34.0 / 2.0 * 1.5);
        running.left_s = Some(90.0);
        let left = outlook.left(std::slice::from_ref(&running), 106.0);
        assert_eq!(left, 90.0, "it takes longer than expected");
        for name in ["a", "b", "c", "d", "d", "of another run"] {
            outlook.take(&Event::Done {
                key: key(name),
                kind: StageKind::Pretrain,
                label: String::new(),
                wall_s: 1.0,
            });
        }
        assert_eq!(outlook.left(&[], 200.0), 0.0);
    }
}
