//! From stages to jobs: which stages share a job, which jobs make an array, what waits for what.
//!
//! A training is a job of its own, with the evaluations of what it makes. Cheap stages share: one
//! job lists and splits a data set, one prepares slices and clusters them. Trainings that differ by
//! their seed only, and wait for the same, are one array.

use std::collections::{HashMap, HashSet};

use super::queue::Place;
use super::unit::{families, inputs, ranks, seed, units};
use crate::options::{SlurmJobKind, SlurmOptions};
use crate::plan::{Key, Plan, StageKind};

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
    /// Each task for that of the same index of an array that was submitted before this run.
    SameLive(u64),
    /// For the job at this position, as a whole, to end well.
    Job(usize),
    /// For one task of the array at this position to end well.
    Task(usize, u32),
    /// Each task for that of the same index of the array at this position.
    SameTask(usize),
    /// For the job at this position to end in any way.
    End(usize),
    /// For a job that was submitted before this run to end in any way.
    LiveEnd(u64),
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
    order.sort_by_key(|&u| (units[u].round, units[u].order, units[u].stages[0]));
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
                (None, Some(place)) if place.task == Some(index) => After::SameLive(place.job),
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
                After::Live(Place { job, .. }) | After::SameLive(job) if is_table => {
                    After::LiveEnd(job)
                }
                After::SameLive(job) if !is_array => After::Live(Place {
                    job,
                    task: Some(index),
                }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, Stage};
    use StageKind::{Cluster, Evaluate, Finetune, Index, Prepare, Pretrain, Split, Tabulate};
    use serde_json::{Value, json};

    /// A plan of one data set and one column: slices, and for each seed split, clusters,
    /// pre-training, fine-tuning, scores; a table last.
    fn plan(seeds: &[u64]) -> Plan {
        let mut plan = Plan::default();
        let mut add = |kind: StageKind, seed: Option<u64>, inputs: &[(&str, &Key)]| {
            let preimage = json!([kind.name(), seed]);
            let key = Key::of(&preimage);
            plan.stages.push(Stage {
                key: key.clone(),
                kind,
                label: format!("{kind} {}", seed.unwrap_or(0)),
                inputs: inputs
                    .iter()
                    .map(|(role, key)| Input {
                        role: (*role).to_owned(),
                        key: (*key).clone(),
                    })
                    .collect(),
                spec: match seed {
                    Some(seed) => json!({ "seed": seed }),
                    None => json!({}),
                },
                preimage,
                context: Value::Null,
            });
            key
        };
        let index = add(Index, None, &[]);
        let prepared = add(Prepare, None, &[("index", &index)]);
        let mut scores = Vec::new();
        for &seed in seeds {
            let split = add(Split, Some(seed), &[("index", &index)]);
            let slices = [("prepared", &prepared), ("split", &split)];
            let labels = add(Cluster, Some(seed), &slices);
            let encoder = add(
                Pretrain,
                Some(seed),
                &[slices[0], slices[1], ("labels", &labels)],
            );
            let model = add(
                Finetune,
                Some(seed),
                &[slices[0], slices[1], ("encoder", &encoder)],
            );
            scores.push(add(
                Evaluate,
                Some(seed),
                &[slices[0], slices[1], ("model", &model)],
            ));
        }
        let inputs: Vec<(&str, &Key)> = scores.iter().map(|key| (key.as_str(), key)).collect();
        add(Tabulate, None, &inputs);
        plan
    }

    fn cut_all(
        plan: &Plan,
        done: &[&str],
        live: &[(&str, Place)],
        options: &SlurmOptions,
    ) -> Vec<Job> {
        let wanted: Vec<bool> = plan
            .stages
            .iter()
            .map(|s| {
                let label = s.label.as_str();
                !done.contains(&label) && live.iter().all(|(l, _)| *l != label)
            })
            .collect();
        let key = |label: &str| &plan.stages.iter().find(|s| s.label == label).unwrap().key;
        let live = live
            .iter()
            .map(|(l, place)| (key(l).clone(), place.clone()))
            .collect();
        cut(plan, &wanted, &live, options)
    }

    /// `name: tasks with their stages, after what`, for each job.
    fn shown(plan: &Plan, jobs: &[Job]) -> Vec<String> {
        jobs.iter()
            .map(|job| {
                let tasks: Vec<String> = job
                    .tasks
                    .iter()
                    .map(|task| {
                        let stages: Vec<&str> = task
                            .stages
                            .iter()
                            .map(|&i| plan.stages[i].label.as_str())
                            .collect();
                        format!("{}: {}", task.index, stages.join(", "))
                    })
                    .collect();
                format!("{} after {:?}", tasks.join(" | "), job.after)
            })
            .collect()
    }

    #[test]
    fn seeds_are_arrays_and_cheap_stages_share_jobs() {
        let plan = plan(&[4, 9]);
        let jobs = cut_all(&plan, &[], &[], &SlurmOptions::default());
        assert_eq!(
            shown(&plan, &jobs),
            [
                "0: index 0, split 4, split 9 after []",
                "0: prepare 0, cluster 4, cluster 9 after [Job(0)]",
                "0: pretrain 4 | 1: pretrain 9 after [Job(0), Job(1)]",
                "0: finetune 4, evaluate 4 | 1: finetune 9, evaluate 9 \
                 after [Job(0), Job(1), SameTask(2)]",
                "0: tabulate 0 after [End(3)]",
            ]
        );
        let kinds: Vec<SlurmJobKind> = jobs.iter().map(|job| job.kind).collect();
        use SlurmJobKind::{Cheap, Pretrain};
        assert_eq!(
            kinds,
            [Cheap, Cheap, Pretrain, SlurmJobKind::Finetune, Cheap]
        );
        let again = cut_all(&plan, &[], &[], &SlurmOptions::default());
        assert_eq!(jobs, again);
    }

    #[test]
    fn one_seed_makes_no_array() {
        let plan = plan(&[4]);
        let jobs = cut_all(&plan, &[], &[], &SlurmOptions::default());
        assert!(jobs.iter().all(|job| !job.is_array()));
        assert_eq!(jobs[3].after, [After::Job(0), After::Job(1), After::Job(2)]);
    }

    #[test]
    fn tasks_that_wait_for_different_things_are_no_array() {
        let plan = plan(&[4, 6, 9]);
        // The pre-training of one seed is there, and that of another runs.
        let done = ["index 0", "prepare 0", "split 4", "split 6", "split 9"];
        let done: Vec<&str> = done
            .into_iter()
            .chain(["cluster 4", "cluster 6", "cluster 9", "pretrain 4"])
            .collect();
        let place = Place {
            job: 31,
            task: Some(1),
        };
        let jobs = cut_all(
            &plan,
            &done,
            &[("pretrain 6", place)],
            &SlurmOptions::default(),
        );
        assert_eq!(
            shown(&plan, &jobs),
            [
                "2: pretrain 9 after []",
                "0: finetune 4, evaluate 4 after []",
                "1: finetune 6, evaluate 6 after [Live(Place { job: 31, task: Some(1) })]",
                "2: finetune 9, evaluate 9 after [Job(0)]",
                "0: tabulate 0 after [End(1), End(2), End(3)]",
            ]
        );
    }

    #[test]
    fn a_follower_of_one_task_waits_for_that_task() {
        let plan = plan(&[4, 6, 9]);
        let done = ["finetune 4", "evaluate 4", "finetune 6", "evaluate 6"];
        let jobs = cut_all(&plan, &done, &[], &SlurmOptions::default());
        let follower = jobs
            .iter()
            .find(|job| job.kind == SlurmJobKind::Finetune)
            .unwrap();
        assert_eq!(
            follower.after,
            [After::Job(0), After::Job(1), After::Task(2, 2)]
        );
    }

    #[test]
    fn arrays_have_a_largest_size() {
        let seeds: Vec<u64> = (10..15).collect();
        let plan = plan(&seeds);
        let options = SlurmOptions {
            max_jobs_in_array: Some(2),
            ..SlurmOptions::default()
        };
        let jobs = cut_all(&plan, &[], &[], &options);
        let sizes: Vec<usize> = jobs.iter().map(|job| job.tasks.len()).collect();
        assert_eq!(sizes, [1, 1, 2, 2, 1, 2, 2, 1, 1]);
        assert!(
            jobs.iter()
                .flat_map(|job| &job.tasks)
                .all(|task| task.index < 2)
        );
        assert_eq!(jobs[5].after[2], After::SameTask(2));
        assert_eq!(jobs[7].after[2], After::Job(4));
    }

    #[test]
    fn scores_of_models_that_are_there_share_a_job() {
        let plan = plan(&[4, 9]);
        let wanted: Vec<bool> = plan.stages.iter().map(|s| s.kind == Evaluate).collect();
        let jobs = cut(&plan, &wanted, &HashMap::new(), &SlurmOptions::default());
        assert_eq!(shown(&plan, &jobs), ["0: evaluate 4, evaluate 9 after []"]);
    }
}
