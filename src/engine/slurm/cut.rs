//! From stages to jobs: which stages share a job, which jobs make an array, what waits for what.
//!
//! A training is a job of its own, with the evaluations of what it makes. Cheap stages share: one
//! job lists and splits a data set, one prepares slices and clusters them. Trainings that differ by
//! their seed only, and wait for the same, are one array.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::queue::Place;
use crate::options::{SlurmJobKind, SlurmOptions};
use crate::plan::{Key, Plan, Stage, StageKind};

/// One job, or an array of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Identity: a digest of the keys of its tasks.
    pub id: String,
    /// Name in the queue: kind and beginning of the first key.
    pub name: String,
    /// Which requests it takes.
    pub kind: SlurmJobKind,
    /// What it runs; more than one task is an array.
    pub tasks: Vec<Task>,
    /// What it waits for.
    pub after: Vec<After>,
}

impl Job {
    /// Whether it is an array.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.tasks.len() > 1
    }
}

/// What one process runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Position in the array.
    pub index: u32,
    /// Stages in order, by their position in the plan.
    pub stages: Vec<usize>,
}

/// A job that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum After {
    /// For a job that was submitted before this run, to end well.
    Live(Place),
    /// For the job at this position, as a whole, to end well.
    Job(usize),
    /// For one task of the array at this position to end well.
    Task(usize, u32),
    /// Each task for that of the same index of the array at this position.
    SameTask(usize),
    /// For the job at this position to end in any way.
    End(usize),
    /// For a job that was submitted before this run to end in any way.
    LiveEnd(Place),
}

const PRETRAIN: u8 = 2;
const FINETUNE: u8 = 3;

/// Stages of one process, before arrays are made.
struct Unit {
    /// What waits for something comes after it.
    order: u8,
    kind: SlurmJobKind,
    stages: Vec<usize>,
}

impl Unit {
    fn is_training(&self) -> bool {
        matches!(self.order, PRETRAIN | FINETUNE)
    }
}

/// What puts stages into one process.
#[derive(PartialEq, Eq, Hash)]
enum Shared {
    /// The first stage of a data set.
    Source(usize),
    /// The stage that prepares slices.
    Prepared(usize),
    /// Scores of models that are there, on the slices of this stage.
    Scores(usize),
    /// Nothing.
    Alone(usize),
}

/// Cuts the stages of `plan` that are `wanted` into jobs; a job comes after those that it waits
/// for. `live` says of stages in which job they are already.
#[must_use]
pub fn cut(
    plan: &Plan,
    wanted: &[bool],
    live: &HashMap<Key, Place>,
    options: &SlurmOptions,
) -> Vec<Job> {
    let inputs = inputs(plan);
    let (units, unit_of) = units(plan, wanted, &inputs);
    let families = families(plan, &inputs);
    let ranks = ranks(plan);
    let limit = options.array_limit().max(1);
    let mut jobs: Vec<Job> = Vec::new();
    // For each unit its job and task.
    let mut place: Vec<Option<(usize, u32)>> = vec![None; units.len()];
    let mut open: HashMap<(u8, &str, Vec<After>, u32), usize> = HashMap::new();
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&u| (units[u].order, units[u].stages[0]));
    for u in order {
        let unit = &units[u];
        let head = &plan.stages[unit.stages[0]];
        let rank = seed(head).and_then(|s| ranks.get(&s)).copied().unwrap_or(0);
        let index = rank % limit;
        let mut after = Vec::new();
        for &j in unit.stages.iter().flat_map(|&i| &inputs[i]) {
            let waits = match (unit_of[j], live.get(&plan.stages[j].key)) {
                (Some(parent), _) if parent == u => continue,
                (Some(parent), _) => match place[parent] {
                    Some((job, _)) if !units[parent].is_training() => After::Job(job),
                    Some((job, task)) if task == index => After::SameTask(job),
                    Some((job, task)) => After::Task(job, task),
                    None => continue,
                },
                (None, Some(place)) => After::Live(place.clone()),
                (None, None) => continue,
            };
            after.push(waits);
        }
        after.sort();
        after.dedup();
        let task = Task {
            index,
            stages: unit.stages.clone(),
        };
        let family = families[unit.stages[0]].as_str();
        let same = (unit.order, family, after.clone(), rank / limit);
        let job = match open.get(&same) {
            Some(&job) if unit.is_training() => {
                jobs[job].tasks.push(task);
                job
            }
            _ => {
                jobs.push(Job {
                    id: String::new(),
                    name: format!("{}-{}", head.kind, head.key.short()),
                    kind: unit.kind,
                    tasks: vec![task],
                    after,
                });
                open.insert(same, jobs.len() - 1);
                jobs.len() - 1
            }
        };
        place[u] = Some((job, index));
    }
    settle(plan, &mut jobs);
    jobs
}

/// What the dependencies are, now that it is known which jobs are arrays.
fn settle(plan: &Plan, jobs: &mut [Job]) {
    let arrays: Vec<bool> = jobs.iter().map(Job::is_array).collect();
    for job in jobs {
        let is_array = job.is_array();
        let is_table = job
            .tasks
            .iter()
            .flat_map(|t| &t.stages)
            .any(|&i| plan.stages[i].kind == StageKind::Tabulate);
        let index = job.tasks[0].index;
        let after: HashSet<After> = job
            .after
            .drain(..)
            .map(|after| match after {
                After::Live(place) if is_table => After::LiveEnd(place),
                After::Job(of) | After::SameTask(of) | After::Task(of, _) if is_table => {
                    After::End(of)
                }
                After::SameTask(of) | After::Task(of, _) if !arrays[of] => After::Job(of),
                After::SameTask(of) if !is_array => After::Task(of, index),
                other => other,
            })
            .collect();
        job.after = after.into_iter().collect();
        job.after.sort();
        let mut hasher = blake3::Hasher::new();
        for &i in job.tasks.iter().flat_map(|t| &t.stages) {
            hasher.update(plan.stages[i].key.as_str().as_bytes());
        }
        job.id = hasher.finalize().to_hex()[..16].to_owned();
    }
}

/// Positions of what each stage reads.
fn inputs(plan: &Plan) -> Vec<Vec<usize>> {
    let positions: HashMap<&Key, usize> = plan
        .stages
        .iter()
        .enumerate()
        .map(|(i, s)| (&s.key, i))
        .collect();
    plan.stages
        .iter()
        .map(|stage| {
            stage
                .inputs
                .iter()
                .filter_map(|input| positions.get(&input.key).copied())
                .collect()
        })
        .collect()
}

/// The units of what is wanted, and the unit of each stage.
fn units(plan: &Plan, wanted: &[bool], inputs: &[Vec<usize>]) -> (Vec<Unit>, Vec<Option<usize>>) {
    let mut source: Vec<usize> = Vec::with_capacity(plan.stages.len());
    let mut units: Vec<Unit> = Vec::new();
    let mut unit_of: Vec<Option<usize>> = vec![None; plan.stages.len()];
    let mut shared: HashMap<Shared, usize> = HashMap::new();
    for (i, stage) in plan.stages.iter().enumerate() {
        // The first stage of those before it, which is that of its data set.
        source.push(inputs[i].iter().map(|&j| source[j]).min().unwrap_or(i));
        if !wanted[i] {
            continue;
        }
        let input = |role: &str| {
            let at = stage.inputs.iter().position(|input| input.role == role)?;
            inputs[i].get(at).copied()
        };
        let model = input("model").and_then(|j| unit_of[j]);
        if let (StageKind::Evaluate, Some(unit)) = (stage.kind, model) {
            unit_of[i] = Some(unit);
            units[unit].stages.push(i);
            continue;
        }
        let with = match stage.kind {
            StageKind::Phantom | StageKind::Index | StageKind::Split => Shared::Source(source[i]),
            StageKind::Prepare => Shared::Prepared(i),
            StageKind::Cluster => Shared::Prepared(input("prepared").unwrap_or(i)),
            StageKind::Evaluate => Shared::Scores(input("prepared").unwrap_or(i)),
            StageKind::Pretrain | StageKind::Finetune | StageKind::Tabulate => Shared::Alone(i),
        };
        let (order, kind) = match stage.kind {
            StageKind::Phantom | StageKind::Index | StageKind::Split => (0, SlurmJobKind::Cheap),
            StageKind::Prepare | StageKind::Cluster => (1, SlurmJobKind::Cheap),
            StageKind::Pretrain => (PRETRAIN, SlurmJobKind::Pretrain),
            StageKind::Finetune => (FINETUNE, SlurmJobKind::Finetune),
            StageKind::Evaluate => (4, SlurmJobKind::Finetune),
            StageKind::Tabulate => (5, SlurmJobKind::Cheap),
        };
        let unit = *shared.entry(with).or_insert_with(|| {
            units.push(Unit {
                order,
                kind,
                stages: Vec::new(),
            });
            units.len() - 1
        });
        units[unit].stages.push(i);
        unit_of[i] = Some(unit);
    }
    (units, unit_of)
}

fn seed(stage: &Stage) -> Option<u64> {
    stage.spec.get("seed")?.as_u64()
}

/// The position of each seed among those of the plan: the index of its tasks in every array.
fn ranks(plan: &Plan) -> BTreeMap<u64, u32> {
    let seeds: std::collections::BTreeSet<u64> = plan
        .stages
        .iter()
        .filter(|s| s.kind.is_training())
        .filter_map(seed)
        .collect();
    seeds.into_iter().zip(0..).collect()
}

/// For each stage a digest of what it is but for its seed and those of what it reads.
fn families(plan: &Plan, inputs: &[Vec<usize>]) -> Vec<String> {
    let mut families: Vec<String> = Vec::with_capacity(plan.stages.len());
    for (i, stage) in plan.stages.iter().enumerate() {
        let mut spec = stage.spec.clone();
        if let Value::Object(fields) = &mut spec {
            fields.remove("seed");
        }
        let read: Vec<Value> = stage
            .inputs
            .iter()
            .zip(&inputs[i])
            .map(|(input, &j)| json!([input.role, families[j]]))
            .collect();
        let preimage = json!({
            "kind": stage.kind.name(),
            "spec": spec,
            "inputs": read,
            "device": stage.preimage.get("device"),
        });
        families.push(Key::of(&preimage).to_string());
    }
    families
}
