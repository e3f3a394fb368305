//! What running a plan will cost, told from what stages like its own have cost. Where nothing like
//! a stage has run it has no figure: none is made up.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::{Key, Plan, StageKind, canonical_json};

/// What a stage of the past cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Its kind.
    pub kind: StageKind,
    /// What was hashed to its key.
    pub preimage: Value,
    /// Seconds.
    pub wall_s: f64,
    /// Size of its artifact.
    pub bytes: u64,
    /// Largest memory of its process in bytes; absent for stages that shared one.
    pub peak_memory_bytes: Option<u64>,
}

/// How close the past stages are that a figure comes from; the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The same fields but for the seed, on the same data.
    Same,
    /// The same fields but for seed and toggles, on the same data.
    Alike,
    /// The same method, scaled by epochs, images, pixels and squared width.
    Scaled,
    /// The mean of the kind: rough.
    Kind,
}

impl Basis {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "same but for the seed",
            Self::Alike => "same but for seed and toggles",
            Self::Scaled => "scaled from the same method",
            Self::Kind => "rough: mean of the kind",
        }
    }
}

/// What a stage is expected to cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds.
    pub wall_s: f64,
    /// Bytes on disk.
    pub bytes: f64,
    /// Largest memory of those that ran alone.
    pub peak_memory_bytes: Option<u64>,
    /// How close the past is.
    pub basis: Basis,
    /// How many past stages the figure comes from.
    pub samples: usize,
}

/// Past stages, to be compared with those to come.
#[derive(Debug, Default)]
pub struct Costs {
    same: HashMap<String, Vec<usize>>,
    alike: HashMap<String, Vec<usize>>,
    kinds: HashMap<(StageKind, Option<String>), Vec<usize>>,
    all: Vec<(Past, Option<Work>)>,
    /// Pixels of the slices of prepared data, by key.
    pixels: HashMap<String, f64>,
}

impl Costs {
    /// Tells the fields of a preparation, from which the size of its slices follows. Comes before
    /// what reads it.
    pub fn add_prepared(&mut self, key: &Key, spec: &Value) {
        if let Some(size) = spec.pointer("/prepare/crop/size").and_then(Value::as_array) {
            let pixels: Option<Vec<f64>> = size.iter().map(Value::as_f64).collect();
            let pixels = pixels.map(|sides| sides.iter().product());
            if let Some(pixels) = pixels.filter(|pixels| *pixels > 0.0) {
                self.pixels.insert(key.to_string(), pixels);
            }
        }
    }

    /// Adds a stage of the past.
    pub fn add(&mut self, past: Past) {
        let i = self.all.len();
        let lists = [
            self.same
                .entry(signature(past.kind, &past.preimage, false))
                .or_default(),
            self.alike
                .entry(signature(past.kind, &past.preimage, true))
                .or_default(),
            self.kinds
                .entry((past.kind, device(&past.preimage)))
                .or_default(),
        ];
        for list in lists {
            list.push(i);
        }
        let work = Work::of(past.kind, &past.preimage, &self.pixels);
        self.all.push((past, work));
    }

    /// What a stage is expected to cost; none where nothing like it has run.
    #[must_use]
    pub fn of(&self, kind: StageKind, preimage: &Value) -> Option<Cost> {
        let ones = |list: &Vec<usize>| list.iter().map(|&i| (i, 1.0)).collect::<Vec<_>>();
        if let Some(list) = self.same.get(&signature(kind, preimage, false)) {
            return self.mean(&ones(list), Basis::Same);
        }
        if let Some(list) = self.alike.get(&signature(kind, preimage, true)) {
            return self.mean(&ones(list), Basis::Alike);
        }
        let of_kind = self.kinds.get(&(kind, device(preimage)))?;
        if let Some(work) = Work::of(kind, preimage, &self.pixels) {
            let scaled: Vec<(usize, f64)> = of_kind
                .iter()
                .filter_map(|&i| Some((i, work.against(self.all[i].1.as_ref()?)?)))
                .collect();
            if !scaled.is_empty() {
                return self.mean(&scaled, Basis::Scaled);
            }
        }
        self.mean(&ones(of_kind), Basis::Kind)
    }

    /// Mean over past stages, each with the factor by which its time is scaled.
    fn mean(&self, samples: &[(usize, f64)], basis: Basis) -> Option<Cost> {
        let n = samples.len();
        let past = || samples.iter().map(|&(i, factor)| (&self.all[i].0, factor));
        (n > 0).then(|| Cost {
            wall_s: past()
                .map(|(past, factor)| past.wall_s * factor)
                .sum::<f64>()
                / n as f64,
            bytes: past().map(|(past, _)| past.bytes as f64).sum::<f64>() / n as f64,
            peak_memory_bytes: past().filter_map(|(past, _)| past.peak_memory_bytes).max(),
            basis,
            samples: n,
        })
    }
}

fn device(preimage: &Value) -> Option<String> {
    preimage["device"].as_str().map(str::to_owned)
}

/// The data that a stage works on: the first of its inputs that says it.
fn data(preimage: &Value) -> Option<&str> {
    ["prepared", "phantom", "index"]
        .iter()
        .find_map(|role| preimage["inputs"][*role].as_str())
}

/// What stages of about the same cost have in common.
fn signature(kind: StageKind, preimage: &Value, without_toggles: bool) -> String {
    let mut spec = preimage["spec"].clone();
    if let Value::Object(fields) = &mut spec {
        fields.remove("seed");
    }
    if without_toggles {
        remove_toggles(&mut spec);
    }
    format!(
        "{kind} {} {} {} {}",
        preimage["version"],
        preimage["device"],
        data(preimage).unwrap_or_default(),
        canonical_json(&spec)
    )
}

fn remove_toggles(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_boolean());
            fields.values_mut().for_each(remove_toggles);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_toggles),
        _ => {}
    }
}

/// What the time of a training grows with.
#[derive(Debug)]
struct Work {
    /// Method and network, which must be the same.
    method: String,
    /// Epochs times squared width.
    passes: f64,
    /// Images of an epoch, where a limit of steps says it.
    images: Option<f64>,
    /// Pixels of an image.
    pixels: Option<f64>,
    /// What decides on the images of an epoch where no limit does.
    data: String,
}

impl Work {
    fn of(kind: StageKind, preimage: &Value, pixels: &HashMap<String, f64>) -> Option<Self> {
        if !kind.is_training() {
            return None;
        }
        let spec = &preimage["spec"];
        let training = &spec[kind.name()];
        let number = |value: &Value| value.as_f64().filter(|n| *n > 0.0);
        let width = number(&spec["backbone"]["width"])?;
        let data = data(preimage).unwrap_or_default();
        Some(Self {
            method: format!("{} {}", spec["pretext"], spec["backbone"]["kind"]),
            passes: number(&training["epochs"])? * width * width,
            images: number(&training["max_steps"])
                .and_then(|steps| Some(steps * number(&training["batch"])?)),
            pixels: pixels.get(data).copied(),
            data: format!(
                "{data} {} {}",
                canonical_json(&spec["slices"]),
                spec["label"]
            ),
        })
    }

    /// By how much it is more than `past`, where that can be told.
    fn against(&self, past: &Self) -> Option<f64> {
        if self.method != past.method {
            return None;
        }
        let images = match (self.images, past.images) {
            (Some(images), Some(past)) => images / past,
            (None, None) if self.data == past.data => 1.0,
            _ => return None,
        };
        let pixels = match (self.pixels, past.pixels) {
            (Some(pixels), Some(past)) => pixels / past,
            _ if self.data == past.data => 1.0,
            _ => return None,
        };
        Some(self.passes / past.passes * images * pixels)
    }
}

/// What the stages of a kind are expected to cost together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindForecast {
    /// The kind.
    pub kind: StageKind,
    /// Stages to run.
    pub count: usize,
    /// Those of which nothing is known; no figure holds them.
    pub unknown: usize,
    /// Seconds, one after the other.
    pub work_s: f64,
    /// Bytes on disk.
    pub bytes: f64,
    /// Largest memory of a stage.
    pub peak_memory_bytes: Option<u64>,
    /// How close the past is, at worst.
    pub basis: Option<Basis>,
}

/// What running a plan is expected to cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Stages at a time.
    pub slots: usize,
    /// Seconds from begin to end, as far as it is known.
    pub wall_s: f64,
    /// Seconds of all stages, one after the other.
    pub work_s: f64,
    /// Bytes on disk.
    pub bytes: f64,
    /// Largest memory of a stage that ran alone.
    pub peak_memory_bytes: Option<u64>,
    /// Stages of which nothing is known; no figure holds them.
    pub unknown: usize,
    /// By kind, those with stages to run.
    pub kinds: Vec<KindForecast>,
    /// What each stage of the plan costs; none for those that do not run or are not known.
    #[serde(skip)]
    pub stages: Vec<Option<Cost>>,
}

impl Forecast {
    /// The cost of the stages of `plan` that `to_run` marks, on `slots` slots.
    #[must_use]
    pub fn of(plan: &Plan, to_run: &[bool], costs: &Costs, slots: usize) -> Self {
        let stages: Vec<Option<Cost>> = plan
            .stages
            .iter()
            .zip(to_run)
            .map(|(stage, run)| run.then(|| costs.of(stage.kind, &stage.preimage)).flatten())
            .collect();
        let mut kinds: BTreeMap<StageKind, KindForecast> = BTreeMap::new();
        for ((stage, cost), run) in plan.stages.iter().zip(&stages).zip(to_run) {
            if !run {
                continue;
            }
            let sum = kinds.entry(stage.kind).or_insert_with(|| KindForecast {
                kind: stage.kind,
                count: 0,
                unknown: 0,
                work_s: 0.0,
                bytes: 0.0,
                peak_memory_bytes: None,
                basis: None,
            });
            sum.count += 1;
            match cost {
                None => sum.unknown += 1,
                Some(cost) => {
                    sum.work_s += cost.wall_s;
                    sum.bytes += cost.bytes;
                    sum.peak_memory_bytes = sum.peak_memory_bytes.max(cost.peak_memory_bytes);
                    sum.basis = sum.basis.max(Some(cost.basis));
                }
            }
        }
        let kinds: Vec<KindForecast> = kinds.into_values().collect();
        let seconds: Vec<Option<f64>> = stages
            .iter()
            .zip(to_run)
            .map(|(cost, run)| run.then(|| cost.as_ref().map_or(0.0, |cost| cost.wall_s)))
            .collect();
        Self {
            slots: slots.max(1),
            wall_s: makespan(plan, &seconds, slots.max(1)),
            work_s: kinds.iter().map(|kind| kind.work_s).sum(),
            bytes: kinds.iter().map(|kind| kind.bytes).sum(),
            peak_memory_bytes: kinds.iter().filter_map(|kind| kind.peak_memory_bytes).max(),
            unknown: kinds.iter().map(|kind| kind.unknown).sum(),
            kinds,
            stages,
        }
    }
}

/// Non-negative seconds with an order, for heaps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seconds(f64);

impl Eq for Seconds {}

impl PartialOrd for Seconds {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Seconds {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// How long the stages with `seconds` take on `slots` slots, each starting as soon as its inputs
/// are there and a slot is free, the one with the longest way to the end first.
fn makespan(plan: &Plan, seconds: &[Option<f64>], slots: usize) -> f64 {
    let n = plan.stages.len().min(seconds.len());
    let positions: HashMap<&Key, usize> = (0..n).map(|i| (&plan.stages[i].key, i)).collect();
    let mut readers = vec![Vec::new(); n];
    let mut waits = vec![0_usize; n];
    for i in (0..n).filter(|&i| seconds[i].is_some()) {
        let mut inputs: Vec<usize> = plan.stages[i]
            .inputs
            .iter()
            .filter_map(|input| positions.get(&input.key).copied())
            .filter(|&j| j < i && seconds[j].is_some())
            .collect();
        inputs.sort_unstable();
        inputs.dedup();
        waits[i] = inputs.len();
        for j in inputs {
            readers[j].push(i);
        }
    }
    let mut reach = vec![0.0_f64; n];
    for i in (0..n).rev() {
        let after = readers[i].iter().map(|&j| reach[j]).fold(0.0, f64::max);
        reach[i] = after + seconds[i].unwrap_or(0.0);
    }
    let mut ready: BinaryHeap<(Seconds, Reverse<usize>)> = (0..n)
        .filter(|&i| seconds[i].is_some() && waits[i] == 0)
        .map(|i| (Seconds(reach[i]), Reverse(i)))
        .collect();
    let mut running: BinaryHeap<Reverse<(Seconds, usize)>> = BinaryHeap::new();
    let mut now = 0.0;
    loop {
        while running.len() < slots
            && let Some((_, Reverse(i))) = ready.pop()
        {
            running.push(Reverse((Seconds(now + seconds[i].unwrap_or(0.0)), i)));
        }
        let Some(Reverse((Seconds(end), i))) = running.pop() else {
            return now;
        };
        now = end;
        for &reader in &readers[i] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push((Seconds(reach[reader]), Reverse(reader)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, Stage};
    use serde_json::json;

    /// A pre-training of `epochs` with `width` on `data`.
    fn pretrain(seed: u64, mps: bool, epochs: u64, width: u64, data: &str) -> Value {
        json!({
            "kind": "pretrain", "version": 1, "device": "cpu-flex",
            "inputs": { "prepared": data, "split": "s" },
            "spec": {
                "pretext": "amlp", "seed": seed,
                "amlp": { "mps": mps, "patch": 8 },
                "backbone": { "kind": "unet", "width": width },
                "pretrain": { "epochs": epochs, "batch": 4, "max_steps": 10 },
                "slices": { "per_case": 4 },
            },
        })
    }

    fn prepared(name: &str) -> Key {
        Key::of(&json!(name))
    }

    fn past(preimage: Value, wall_s: f64, bytes: u64, peak: Option<u64>) -> Past {
        Past {
            kind: StageKind::Pretrain,
            preimage,
            wall_s,
            bytes,
            peak_memory_bytes: peak,
        }
    }

    #[test]
    fn the_closest_past_there_is_tells() {
        let (small, large) = (prepared("small"), prepared("large"));
        let (small, large) = (small.as_str(), large.as_str());
        let mut costs = Costs::default();
        for (name, side) in [("small", 32), ("large", 64)] {
            let spec = json!({ "prepare": { "crop": { "size": [side, side] } } });
            costs.add_prepared(&prepared(name), &spec);
        }
        let of = |costs: &Costs, preimage: Value| costs.of(StageKind::Pretrain, &preimage);
        assert_eq!(of(&costs, pretrain(0, true, 10, 2, small)), None);

        costs.add(past(pretrain(0, true, 10, 2, small), 10.0, 100, None));
        costs.add(past(pretrain(1, true, 10, 2, small), 14.0, 300, Some(7)));
        let cost = of(&costs, pretrain(5, true, 10, 2, small)).unwrap();
        assert_eq!(
            (cost.basis, cost.samples, cost.wall_s, cost.bytes),
            (Basis::Same, 2, 12.0, 200.0)
        );
        assert_eq!(cost.peak_memory_bytes, Some(7));

        let cost = of(&costs, pretrain(5, false, 10, 2, small)).unwrap();
        assert_eq!((cost.basis, cost.wall_s), (Basis::Alike, 12.0));

        // Twice the epochs, twice the width, four times the pixels.
        let cost = of(&costs, pretrain(5, true, 20, 4, large)).unwrap();
        assert_eq!(
            (cost.basis, cost.wall_s),
            (Basis::Scaled, 12.0 * 2.0 * 4.0 * 4.0)
        );

        // Of other data nothing is known but the kind's mean.
        let cost = of(&costs, pretrain(5, true, 20, 4, "unknown")).unwrap();
        assert_eq!((cost.basis, cost.wall_s), (Basis::Kind, 12.0));

        // Another device and another kind have no past.
        let mut elsewhere = pretrain(0, true, 10, 2, small);
        elsewhere["device"] = json!("cuda");
        assert_eq!(of(&costs, elsewhere), None);
        let preimage = pretrain(0, true, 10, 2, small);
        assert_eq!(costs.of(StageKind::Finetune, &preimage), None);
    }

    #[test]
    fn without_a_limit_of_steps_only_the_same_data_scales() {
        let unlimited = |epochs, data: &str| {
            let mut preimage = pretrain(0, true, epochs, 2, data);
            preimage["spec"]["pretrain"]["max_steps"] = json!(0);
            preimage
        };
        let mut costs = Costs::default();
        costs.add(past(unlimited(10, "a"), 10.0, 1, None));
        let basis = |preimage| costs.of(StageKind::Pretrain, &preimage).unwrap();
        let cost = basis(unlimited(30, "a"));
        assert_eq!((cost.basis, cost.wall_s), (Basis::Scaled, 30.0));
        assert_eq!(basis(unlimited(30, "b")).basis, Basis::Kind);
    }

    fn plan(stages: &[&[usize]]) -> Plan {
        let key = |i: usize| Key::of(&json!(i));
        Plan {
            stages: stages
                .iter()
                .enumerate()
                .map(|(i, inputs)| Stage {
                    key: key(i),
                    kind: StageKind::Pretrain,
                    label: i.to_string(),
                    inputs: inputs
                        .iter()
                        .map(|&j| Input {
                            role: "in".to_owned(),
                            key: key(j),
                        })
                        .collect(),
                    spec: Value::Null,
                    preimage: pretrain(i as u64, true, 10 * (i as u64 + 1), 2, "d"),
                    context: Value::Null,
                })
                .collect(),
        }
    }

    #[test]
    fn slots_work_side_by_side_as_far_as_the_graph_lets_them() {
        let all = |seconds: &[f64]| seconds.iter().map(|&s| Some(s)).collect::<Vec<_>>();
        let free = plan(&[&[], &[], &[], &[]]);
        let seconds = all(&[3.0, 3.0, 2.0, 4.0]);
        for (slots, wall) in [(1, 12.0), (2, 6.0), (4, 4.0), (9, 4.0)] {
            assert_eq!(makespan(&free, &seconds, slots), wall, "{slots}");
        }
        let chain = plan(&[&[], &[0], &[1], &[]]);
        assert_eq!(makespan(&chain, &seconds, 2), 8.0);
        // What is cached takes no time and holds nothing up.
        let seconds = [Some(3.0), None, Some(2.0), None];
        assert_eq!(makespan(&chain, &seconds, 2), 3.0);
        assert_eq!(makespan(&chain, &[None; 4], 2), 0.0);
    }

    #[test]
    fn a_forecast_leaves_out_what_it_does_not_know() {
        let mut plan = plan(&[&[], &[], &[0], &[2]]);
        plan.stages[3].kind = StageKind::Evaluate;
        let mut costs = Costs::default();
        costs.add(past(pretrain(9, true, 10, 2, "d"), 10.0, 100, Some(5)));
        let forecast = Forecast::of(&plan, &[true, false, true, true], &costs, 2);
        assert_eq!(forecast.work_s, 10.0 + 30.0);
        assert_eq!((forecast.wall_s, forecast.bytes), (40.0, 200.0));
        assert_eq!((forecast.peak_memory_bytes, forecast.unknown), (Some(5), 1));
        let kinds: Vec<_> = forecast
            .kinds
            .iter()
            .map(|k| (k.kind, k.count, k.unknown, k.basis))
            .collect();
        assert_eq!(
            kinds,
            [
                (StageKind::Pretrain, 2, 0, Some(Basis::Scaled)),
                (StageKind::Evaluate, 1, 1, None),
            ]
        );
        assert!(forecast.stages[1].is_none() && forecast.stages[3].is_none());
    }
}
