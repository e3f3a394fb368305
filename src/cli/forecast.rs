//! What `plan` says of time, disk and memory, told from the records of the store.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::exit::CliError;
use crate::engine::progress::Outlook;
use crate::engine::{self, duration};
use crate::plan::{Costs, DeviceClass, Forecast, Past, Plan, StageKind};
use crate::store::{StageRecord, State, Store};

/// Records of the store by kind, each kind read once and only if somebody asks.
pub(super) struct Records<'a> {
    store: &'a Store,
    kinds: HashMap<StageKind, Vec<StageRecord>>,
}

impl<'a> Records<'a> {
    pub(super) fn of(store: &'a Store) -> Self {
        Self {
            store,
            kinds: HashMap::new(),
        }
    }

    /// All artifacts of `kind`.
    pub(super) fn kind(&mut self, kind: StageKind) -> Result<&[StageRecord], CliError> {
        use std::collections::hash_map::Entry;
        Ok(match self.kinds.entry(kind) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(empty) => {
                empty.insert(self.store.records(kind).map_err(CliError::internal)?)
            }
        })
    }
}

/// What the stages of `plan` that `to_run` marks will cost on `slots` slots.
pub(super) fn forecast(
    records: &mut Records<'_>,
    plan: &Plan,
    to_run: &[bool],
    slots: usize,
) -> Result<Forecast, CliError> {
    let kinds: BTreeSet<StageKind> = plan
        .stages
        .iter()
        .zip(to_run)
        .filter(|(_, run)| **run)
        .map(|(stage, _)| stage.kind)
        .collect();
    let mut costs = Costs::default();
    if kinds.iter().any(|kind| kind.is_training()) {
        for record in records.kind(StageKind::Prepare)? {
            costs.add_prepared(&record.key, &record.preimage["spec"]);
        }
        for stage in &plan.stages {
            if stage.kind == StageKind::Prepare {
                costs.add_prepared(&stage.key, &stage.spec);
            }
        }
    }
    for &kind in &kinds {
        for record in records.kind(kind)? {
            costs.add(Past {
                kind,
                preimage: record.preimage.clone(),
                wall_s: record.provenance.wall_s,
                bytes: record.bytes(),
                peak_memory_bytes: record.provenance.peak_memory_bytes,
            });
        }
    }
    Ok(Forecast::of(plan, to_run, &costs, slots))
}

/// How long a run of what is missing of `plan` will take; none where it has a stage of which
/// nothing is known, or where the store does not tell: nothing depends on it.
pub(super) fn outlook(store: &Store, plan: &Plan, slots: usize) -> Option<Outlook> {
    let states = store.lookup_all(&plan.stages).ok()?;
    let cached: Vec<bool> = states.iter().map(State::is_cached).collect();
    let to_run = engine::needed(plan, &cached).ok()?;
    let forecast = forecast(&mut Records::of(store), plan, &to_run, slots).ok()?;
    if forecast.unknown > 0 || forecast.work_s <= 0.0 {
        return None;
    }
    let stages = plan
        .stages
        .iter()
        .zip(&forecast.stages)
        .filter_map(|(stage, cost)| Some((stage.key.clone(), cost.as_ref()?.wall_s)));
    Some(Outlook::new(stages, forecast.wall_s, slots))
}

fn time(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Bytes for people, in powers of 1000.
fn size(bytes: f64) -> String {
    let mut rest = bytes;
    for unit in ["B", "kB", "MB", "GB"] {
        if rest < 999.5 {
            return if rest < 9.95 && unit != "B" {
                format!("{rest:.1} {unit}")
            } else {
                format!("{rest:.0} {unit}")
            };
        }
        rest /= 1000.0;
    }
    format!("{rest:.1} TB")
}

/// The forecast for people; nothing where nothing is to run.
pub(super) fn text(forecast: &Forecast, class: DeviceClass) -> String {
    let count: usize = forecast.kinds.iter().map(|kind| kind.count).sum();
    if count == 0 {
        return String::new();
    }
    let class = class.name();
    if forecast.unknown == count {
        return format!(
            "\n  no forecast: the store has no stage of these kinds from {class} yet\n"
        );
    }
    let memory = |peak: Option<u64>| peak.map_or_else(|| "-".to_owned(), |peak| size(peak as f64));
    let mut text = format!(
        "\n  forecast from past stages on {class}\n  {:<10} {:>7} {:>9} {:>8} {:>8}\n",
        "stage", "runs", "time", "disk", "memory"
    );
    let mut silent = Vec::new();
    for kind in &forecast.kinds {
        if kind.unknown > 0 {
            silent.push(format!("{} {}", kind.unknown, kind.kind));
        }
        if let Some(basis) = kind.basis {
            text.push_str(&format!(
                "  {:<10} {:>7} {:>9} {:>8} {:>8}  {}\n",
                kind.kind,
                kind.count - kind.unknown,
                time(kind.work_s),
                size(kind.bytes),
                memory(kind.peak_memory_bytes),
                basis.words(),
            ));
        }
    }
    text.push_str(&format!(
        "  {:<10} {:>7} {:>9} {:>8} {:>8}  one after the other\n",
        "all",
        count - forecast.unknown,
        time(forecast.work_s),
        size(forecast.bytes),
        memory(forecast.peak_memory_bytes),
    ));
    let slots = match forecast.slots {
        1 => "1 slot".to_owned(),
        n => format!("{n} slots"),
    };
    if silent.is_empty() {
        text.push_str(&format!("  about {} on {slots}\n", time(forecast.wall_s)));
    } else {
        text.push_str(&format!(
            "  about {} on {slots}, and what {} take: nothing like them has run yet\n",
            time(forecast.wall_s),
            silent.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1234.0, "1.2 kB"),
            (45_600_000.0, "46 MB"),
            (999_800_000.0, "1.0 GB"),
            (3.2e12, "3.2 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
