//! Stages that share a process, and how trainings of a different seed are told to be the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::options::SlurmJobKind;
use crate::plan::{Key, Plan, Stage, StageKind};

const PRETRAIN: u8 = 2;
const FINETUNE: u8 = 3;

/// Stages of one process, before arrays are made.
pub(super) struct Unit {
    /// How many choices are made before it.
    pub round: usize,
    /// What waits for something in the same round comes after it.
    pub order: u8,
    /// Which requests its job takes.
    pub kind: SlurmJobKind,
    /// Stages in order, by their position in the plan.
    pub stages: Vec<usize>,
}

impl Unit {
    /// Whether it is a training, of which some make an array.
    pub(super) fn is_training(&self) -> bool {
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

/// Positions of what each stage reads.
pub(super) fn inputs(plan: &Plan) -> Vec<Vec<usize>> {
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
pub(super) fn units(
    plan: &Plan,
    wanted: &[bool],
    inputs: &[Vec<usize>],
) -> (Vec<Unit>, Vec<Option<usize>>) {
    let mut source: Vec<usize> = Vec::with_capacity(plan.stages.len());
    let mut units: Vec<Unit> = Vec::new();
    let mut unit_of: Vec<Option<usize>> = vec![None; plan.stages.len()];
    let mut shared: HashMap<Shared, usize> = HashMap::new();
    let rounds = rounds(plan, inputs);
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
            StageKind::Measure
            | StageKind::Select
            | StageKind::Tokenize
            | StageKind::Pretrain
            | StageKind::Finetune
            | StageKind::Tabulate => Shared::Alone(i),
        };
        let (order, kind) = match stage.kind {
            StageKind::Phantom | StageKind::Index | StageKind::Split => (0, SlurmJobKind::Cheap),
            StageKind::Prepare | StageKind::Cluster | StageKind::Measure => {
                (1, SlurmJobKind::Cheap)
            }
            // A tokenizer waits for a pre-training and another waits for it: their order in the plan
            // decides.
            StageKind::Tokenize | StageKind::Pretrain => (PRETRAIN, SlurmJobKind::Pretrain),
            StageKind::Finetune => (FINETUNE, SlurmJobKind::Finetune),
            StageKind::Evaluate => (4, SlurmJobKind::Finetune),
            StageKind::Select | StageKind::Tabulate => (5, SlurmJobKind::Cheap),
        };
        let unit = *shared.entry(with).or_insert_with(|| {
            units.push(Unit {
                round: rounds[i],
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

/// For each stage how many choices are made before it: what follows a choice comes after all that
/// leads to it.
fn rounds(plan: &Plan, inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut rounds: Vec<usize> = Vec::with_capacity(plan.stages.len());
    for read in inputs {
        let round = |&j: &usize| rounds[j] + usize::from(plan.stages[j].kind == StageKind::Select);
        rounds.push(read.iter().map(round).max().unwrap_or(0));
    }
    rounds
}

/// The seed of a stage that has one.
pub(super) fn seed(stage: &Stage) -> Option<u64> {
    stage.spec.get("seed")?.as_u64()
}

/// The position of each seed among those of the plan: the index of its tasks in every array.
pub(super) fn ranks(plan: &Plan) -> BTreeMap<u64, u32> {
    let seeds: BTreeSet<u64> = plan
        .stages
        .iter()
        .filter(|s| s.kind.is_training())
        .filter_map(seed)
        .collect();
    seeds.into_iter().zip(0..).collect()
}

/// For each stage a digest of what it is but for its seed and those of what it reads.
pub(super) fn families(plan: &Plan, inputs: &[Vec<usize>]) -> Vec<String> {
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
