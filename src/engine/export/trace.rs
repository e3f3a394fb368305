//! Where the time of a run went: its stages as spans on slots, and as a trace for
//! `chrome://tracing` and Perfetto.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::Event;
use crate::engine::events::Entry;
use crate::plan::{Key, StageKind};

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The stage was made.
    Done,
    /// It failed.
    Failed,
    /// Its process died, and it was tried again.
    Retried,
    /// It was asked to stop.
    Stopped,
    /// The log ends before it does.
    Open,
}

impl Outcome {
    /// Name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Stopped => "stopped",
            Self::Open => "open",
        }
    }
}

/// An epoch of a training, as far as its progress was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// Epoch, from 1.
    pub epoch: u64,
    /// When it was first heard of, in seconds since 1970.
    pub start: f64,
    /// When it was last heard of.
    pub end: f64,
    /// Its last loss.
    pub loss: Option<f64>,
}

/// An attempt at a stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// The stage.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The process that ran it.
    pub pid: u32,
    /// The place that it took, from 0: never two spans at a time, and as few places as that takes.
    pub slot: usize,
    /// Begin, in seconds since 1970.
    pub start: f64,
    /// End, not before the begin.
    pub end: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its epochs.
    pub epochs: Vec<Epoch>,
}

impl Span {
    /// Seconds.
    #[must_use]
    pub fn wall_s(&self) -> f64 {
        self.end - self.start
    }
}

/// The spans of a run, in order of their begin.
#[must_use]
pub fn spans(entries: &[Entry]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut open: HashMap<&Key, usize> = HashMap::new();
    let mut free: BTreeSet<usize> = BTreeSet::new();
    let mut slots = 0;
    // A clock that is set back makes nothing end before it begins.
    let mut now = f64::NEG_INFINITY;
    for entry in entries {
        now = now.max(entry.time);
        let ended = match &entry.event {
            Event::Started {
                key,
                kind,
                label,
                pid,
                attempt,
            } => {
                if let Some(before) = open.remove(key) {
                    end(&mut spans[before], now, Outcome::Retried);
                    free.insert(spans[before].slot);
                }
                let slot = free.pop_first().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
                open.insert(key, spans.len());
                spans.push(Span {
                    key: key.clone(),
                    kind: *kind,
                    label: label.clone(),
                    attempt: *attempt,
                    pid: *pid,
                    slot,
                    start: now,
                    end: now,
                    outcome: Outcome::Open,
                    epochs: Vec::new(),
                });
                None
            }
            Event::Progress { key, progress } => {
                if let (Some(&i), Some(epoch)) = (open.get(key), progress.epoch) {
                    tell(&mut spans[i], epoch, progress.loss, now);
                }
                None
            }
            Event::Done { key, .. } | Event::Cached { key, .. } => Some((key, Outcome::Done)),
            Event::Failed { failure } => Some((&failure.key, Outcome::Failed)),
            Event::Retrying { key, .. } => Some((key, Outcome::Retried)),
            Event::Stopped { key } => Some((key, Outcome::Stopped)),
            _ => None,
        };
        if let Some((key, outcome)) = ended
            && let Some(i) = open.remove(key)
        {
            end(&mut spans[i], now, outcome);
            free.insert(spans[i].slot);
        }
    }
    for i in open.into_values() {
        end(&mut spans[i], now, Outcome::Open);
    }
    spans
}

fn tell(span: &mut Span, epoch: u64, loss: Option<f64>, now: f64) {
    match span.epochs.last_mut() {
        Some(last) if last.epoch == epoch => {
            last.end = now;
            last.loss = loss;
        }
        last => {
            // What was not told lies between the two.
            let start = last.map_or(span.start, |last| last.end);
            span.epochs.push(Epoch {
                epoch,
                start,
                end: now,
                loss,
            });
        }
    }
}

fn end(span: &mut Span, now: f64, outcome: Outcome) {
    span.end = now;
    span.outcome = outcome;
}

/// The spans of run `run` in the JSON form of Chrome's trace events: a track for each slot, times
/// in microseconds from the first begin.
#[must_use]
pub fn chrome(run: &str, spans: &[Span]) -> Value {
    let zero = spans.first().map_or(0.0, |span| span.start);
    let micros = |time: f64| ((time - zero) * 1e6).round().max(0.0) as u64;
    // Rounded ends, so that what touches does not overlap.
    let complete = |name: &str, slot: usize, start: f64, end: f64| {
        json!({
            "name": name,
            "ph": "X",
            "pid": 1,
            "tid": slot + 1,
            "ts": micros(start),
            "dur": micros(end) - micros(start),
        })
    };
    let slots = spans.iter().map(|span| span.slot + 1).max().unwrap_or(0);
    let mut events = vec![json!({
        "name": "process_name", "ph": "M", "pid": 1, "tid": 0,
        "args": { "name": format!("amlp-run {run}") },
    })];
    events.extend((1..=slots).map(|slot| {
        json!({
            "name": "thread_name", "ph": "M", "pid": 1, "tid": slot,
            "args": { "name": format!("slot {slot}") },
        })
    }));
    for span in spans {
        let mut event = complete(&span.label, span.slot, span.start, span.end);
        event["cat"] = json!(span.kind.name());
        event["args"] = json!({
            "key": span.key.as_str(),
            "attempt": span.attempt,
            "pid": span.pid,
            "outcome": span.outcome.name(),
        });
        events.push(event);
        for epoch in &span.epochs {
            let name = format!("epoch {}", epoch.epoch);
            let mut event = complete(&name, span.slot, epoch.start, epoch.end);
            event["cat"] = json!("epoch");
            event["args"] = json!({ "loss": epoch.loss });
            events.push(event);
        }
    }
    json!({
        "displayTimeUnit": "ms",
        "otherData": { "run": run },
        "traceEvents": events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Progress;

    fn key(name: &str) -> Key {
        Key::of(&json!(name))
    }

    fn started(time: f64, name: &str) -> Entry {
        let event = Event::Started {
            key: key(name),
            kind: StageKind::Pretrain,
            label: name.to_owned(),
            pid: 7,
            attempt: 1,
        };
        Entry { time, event }
    }

    fn done(time: f64, name: &str) -> Entry {
        let event = Event::Done {
            key: key(name),
            kind: StageKind::Pretrain,
            label: name.to_owned(),
            wall_s: 1.0,
        };
        Entry { time, event }
    }

    fn progress(time: f64, name: &str, epoch: u64) -> Entry {
        let event = Event::Progress {
            key: key(name),
            progress: Progress {
                epoch: Some(epoch),
                loss: Some(0.5),
                ..Progress::default()
            },
        };
        Entry { time, event }
    }

    fn log() -> Vec<Entry> {
        vec![
            started(100.0, "a"),
            started(100.5, "b"),
            progress(101.0, "a", 1),
            progress(102.0, "a", 1),
            progress(103.0, "a", 2),
            done(104.0, "a"),
            started(104.0, "c"),
            // The clock is set back.
            done(90.0, "c"),
            started(105.0, "d"),
            Entry {
                time: 106.0,
                event: Event::Retrying {
                    key: key("b"),
                    message: "killed".to_owned(),
                },
            },
            started(106.0, "b"),
        ]
    }

    #[test]
    fn spans_have_a_slot_each_and_no_negative_time() {
        let spans = spans(&log());
        let told: Vec<(&str, usize, f64, f64, Outcome)> = spans
            .iter()
            .map(|s| (s.label.as_str(), s.slot, s.start, s.end, s.outcome))
            .collect();
        assert_eq!(
            told,
            [
                ("a", 0, 100.0, 104.0, Outcome::Done),
                ("b", 1, 100.5, 106.0, Outcome::Retried),
                ("c", 0, 104.0, 104.0, Outcome::Done),
                ("d", 0, 105.0, 106.0, Outcome::Open),
                ("b", 1, 106.0, 106.0, Outcome::Open),
            ]
        );
        let epochs: Vec<(u64, f64, f64)> = spans[0]
            .epochs
            .iter()
            .map(|e| (e.epoch, e.start, e.end))
            .collect();
        assert_eq!(epochs, [(1, 100.0, 102.0), (2, 102.0, 103.0)]);
    }

    #[test]
    fn a_chrome_trace_has_what_its_readers_need() {
        let trace = chrome("r", &spans(&log()));
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), 1 + 2 + 5 + 2);
        let mut last: HashMap<u64, (u64, u64)> = HashMap::new();
        for event in events {
            assert!(event["name"].is_string() && event["pid"].is_u64() && event["tid"].is_u64());
            match event["ph"].as_str().unwrap() {
                "M" => assert!(event["args"]["name"].is_string()),
                "X" => {
                    let (ts, dur) = (
                        event["ts"].as_u64().unwrap(),
                        event["dur"].as_u64().unwrap(),
                    );
                    let tid = event["tid"].as_u64().unwrap();
                    // Spans of a track follow each other; epochs lie inside theirs.
                    let (start, end) = last.get(&tid).copied().unwrap_or((0, 0));
                    if event["cat"] == "epoch" {
                        assert!(ts >= start && ts + dur <= end, "{event}");
                    } else {
                        assert!(ts >= end, "{event}");
                        last.insert(tid, (ts, ts + dur));
                    }
                }
                other => panic!("{other}"),
            }
        }
        let a = &events[3];
        assert_eq!((&a["ts"], &a["dur"]), (&json!(0), &json!(4_000_000)));
        assert_eq!(a["args"]["outcome"], "done");
    }
}
