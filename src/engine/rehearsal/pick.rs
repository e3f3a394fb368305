//! Which trainings of a plan are rehearsed.

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::plan::{Plan, Stage, StageKind, canonical_json};

/// How many trainings are rehearsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// One pre-training of each method and combination of its options, one fine-tuning after one of
    /// these, and one from scratch.
    Distinct,
    /// So many: the distinct ones first, then others in the order of the plan.
    First(usize),
    /// All.
    All,
}

/// Positions in `plan` of the trainings to rehearse, in its order.
#[must_use]
pub fn pick(plan: &Plan, pick: Pick) -> Vec<usize> {
    let all = || (0..plan.stages.len()).filter(|&i| plan.stages[i].kind.is_training());
    let mut picked = match pick {
        Pick::All => all().collect(),
        Pick::Distinct => distinct(plan),
        Pick::First(count) => {
            let mut picked = distinct(plan);
            let known: HashSet<usize> = picked.iter().copied().collect();
            picked.extend(all().filter(|i| !known.contains(i)));
            picked.truncate(count);
            picked
        }
    };
    picked.sort_unstable();
    picked
}

/// The distinct trainings, of which the first three are one of each kind.
fn distinct(plan: &Plan) -> Vec<usize> {
    let at = |stage: &Stage| plan.stages.iter().position(|s| s.key == stage.key);
    let mut seen = HashSet::new();
    let pretrainings: Vec<&Stage> = plan
        .stages
        .iter()
        .filter(|s| s.kind == StageKind::Pretrain && seen.insert(method(s)))
        .collect();
    // More labels make more steps per epoch to be killed at.
    let mut finetunings: Vec<&Stage> = plan.stages.iter().collect();
    finetunings.retain(|s| s.kind == StageKind::Finetune);
    finetunings.sort_by_key(|s| Reverse(s.spec["label"].as_u64()));
    let finetunings = || finetunings.iter().copied();
    let from_scratch = finetunings().find(|s| s.input("encoder").is_none());
    let after = pretrainings.iter().copied().find_map(|p| {
        let tuned = finetunings().find(|s| s.input("encoder") == Some(&p.key))?;
        Some((p, tuned))
    });
    let mut stages: Vec<&Stage> = Vec::new();
    stages.extend(after.map(|(pretraining, _)| pretraining));
    stages.extend(after.map(|(_, tuned)| tuned));
    stages.extend(from_scratch);
    for stage in pretrainings {
        if !stages.iter().any(|s| s.key == stage.key) {
            stages.push(stage);
        }
    }
    stages.into_iter().filter_map(at).collect()
}

/// What all methods have, and what depends on the data set.
const SHARED: [&str; 4] = ["backbone", "pretrain", "seed", "slices"];

/// What tells one pretext task from another: its name and its options.
fn method(stage: &Stage) -> String {
    let mut spec = stage.spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !SHARED.contains(&name.as_str()));
    }
    canonical_json(&spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, Key};
    use serde_json::{Value, json};

    fn plan() -> Plan {
        let mut plan = Plan::default();
        let mut add = |kind, label: &str, spec: Value, encoder: Option<&Key>| {
            let key = Key::of(&json!(label));
            plan.stages.push(Stage {
                key: key.clone(),
                kind,
                label: label.to_owned(),
                inputs: encoder
                    .map(|key| Input {
                        role: "encoder".to_owned(),
                        key: key.clone(),
                    })
                    .into_iter()
                    .collect(),
                spec,
                preimage: json!(label),
                context: Value::Null,
            });
            key
        };
        let method = |n: u32, seed: u32| json!({"pretext": "amlp", "amlp": {"n": n}, "seed": seed});
        add(StageKind::Split, "split", Value::Null, None);
        add(StageKind::Finetune, "sup 5 %", json!({"label": 5}), None);
        add(StageKind::Finetune, "sup", json!({"label": 10}), None);
        add(StageKind::Finetune, "sup 2", json!({"label": 10}), None);
        let a = add(StageKind::Pretrain, "a", method(1, 1), None);
        add(StageKind::Pretrain, "a 2", method(1, 2), None);
        add(StageKind::Pretrain, "b", method(2, 1), None);
        add(StageKind::Finetune, "a tuned", Value::Null, Some(&a));
        plan
    }

    fn labels(how: Pick) -> Vec<String> {
        let plan = plan();
        let picked = pick(&plan, how);
        picked
            .iter()
            .map(|&i| plan.stages[i].label.clone())
            .collect()
    }

    #[test]
    fn one_of_each_is_picked() {
        assert_eq!(labels(Pick::Distinct), ["sup", "a", "b", "a tuned"]);
        assert_eq!(labels(Pick::First(1)), ["a"]);
        assert_eq!(labels(Pick::First(3)), ["sup", "a", "a tuned"]);
        assert_eq!(labels(Pick::First(5)).len(), 5);
        assert_eq!(labels(Pick::First(99)), labels(Pick::All));
        assert_eq!(labels(Pick::All).len(), 7);
    }
}
