//! Which stages to run, and which next: pure bookkeeping over the plan's graph.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::EngineError;
use crate::plan::{Key, Plan, StageKind};

/// The edges of a plan, by position in it.
pub(super) struct Graph {
    /// Stages that each stage reads, in the order of its inputs.
    pub inputs: Vec<Vec<usize>>,
    /// Stages that read each stage.
    readers: Vec<Vec<usize>>,
    /// Weight of the longest way from each stage to an end of the plan, itself included.
    reach: Vec<u64>,
    /// Stages that are wanted for their own sake: what nothing reads, and the scores, from which
    /// tables are shown.
    wanted: Vec<bool>,
}

/// Which stages of `plan` a run would make, given which are cached: a stage that is missing but read
/// by cached ones only is not needed.
///
/// # Errors
/// The plan is no graph in order.
pub fn needed(plan: &Plan, cached: &[bool]) -> Result<Vec<bool>, EngineError> {
    Ok(Graph::of(plan)?.needed(cached))
}

impl Graph {
    /// The graph of `plan`.
    ///
    /// # Errors
    /// A stage reads what no stage before it makes, or a key stands twice.
    pub(super) fn of(plan: &Plan) -> Result<Self, EngineError> {
        let mut positions: HashMap<&Key, usize> = HashMap::with_capacity(plan.stages.len());
        let mut inputs = Vec::with_capacity(plan.stages.len());
        let mut readers = vec![Vec::new(); plan.stages.len()];
        for (i, stage) in plan.stages.iter().enumerate() {
            let mut reads = Vec::with_capacity(stage.inputs.len());
            for input in &stage.inputs {
                let Some(&j) = positions.get(&input.key) else {
                    return Err(EngineError::Input {
                        label: stage.label.clone(),
                        input: input.key.clone(),
                    });
                };
                // A stage may read an artifact in two roles; it waits for it once.
                if !reads.contains(&j) {
                    readers[j].push(i);
                }
                reads.push(j);
            }
            if positions.insert(&stage.key, i).is_some() {
                return Err(EngineError::Twice {
                    label: stage.label.clone(),
                    key: stage.key.clone(),
                });
            }
            inputs.push(reads);
        }
        let mut reach = vec![0; plan.stages.len()];
        for i in (0..plan.stages.len()).rev() {
            let after = readers[i].iter().map(|&j| reach[j]).max().unwrap_or(0);
            reach[i] = after + weight(plan.stages[i].kind);
        }
        let wanted = plan
            .stages
            .iter()
            .zip(&readers)
            .map(|(stage, readers)| {
                readers.is_empty() || matches!(stage.kind, StageKind::Evaluate | StageKind::Measure)
            })
            .collect();
        Ok(Self {
            inputs,
            readers,
            reach,
            wanted,
        })
    }

    /// The stages to run: what is wanted and not cached, and what of their ancestors they need. A
    /// cached stage needs none of its inputs.
    pub(super) fn needed(&self, cached: &[bool]) -> Vec<bool> {
        let mut needed: Vec<bool> = (0..cached.len())
            .map(|i| !cached[i] && self.wanted[i])
            .collect();
        for i in (0..cached.len()).rev() {
            if needed[i] {
                for &j in &self.inputs[i] {
                    needed[j] = !cached[j];
                }
            }
        }
        needed
    }
}

/// How long a stage of a kind takes, roughly, against the others.
fn weight(kind: StageKind) -> u64 {
    match kind {
        StageKind::Pretrain => 200,
        StageKind::Tokenize | StageKind::Finetune => 100,
        StageKind::Prepare | StageKind::Cluster | StageKind::Evaluate => 10,
        _ => 1,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// In the store, or needed by nothing that is missing.
    Idle,
    /// To run, once this many stages before it are done.
    Open(usize),
    /// Handed out.
    Running,
    /// Made.
    Done,
    /// Failed, or cannot run.
    Lost,
}

/// Order of the ready stages: the longest way to the end first, then what more stages wait for,
/// then the plan's order.
type Rank = (u64, usize, Reverse<usize>);

/// Which stages a slot takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// All.
    Any,
    /// Those that compute on the device.
    Device,
    /// The others, for which an accelerator would stand idle.
    Host,
}

/// The stages of a run, and where each stands.
pub(super) struct Schedule {
    graph: Graph,
    status: Vec<Status>,
    /// Whether each stage computes on the device.
    on_device: Vec<bool>,
    ready_device: BinaryHeap<Rank>,
    ready_host: BinaryHeap<Rank>,
}

impl Schedule {
    /// A schedule of what `cached` leaves to do.
    pub(super) fn new(plan: &Plan, graph: Graph, cached: &[bool]) -> Self {
        let needed = graph.needed(cached);
        let mut schedule = Self {
            status: vec![Status::Idle; cached.len()],
            on_device: plan.stages.iter().map(|s| s.kind.on_device()).collect(),
            ready_device: BinaryHeap::new(),
            ready_host: BinaryHeap::new(),
            graph,
        };
        for i in 0..cached.len() {
            if needed[i] {
                let mut open: Vec<usize> = schedule.graph.inputs[i].clone();
                open.sort_unstable();
                open.dedup();
                let waits = open.iter().filter(|&&j| needed[j]).count();
                schedule.status[i] = Status::Open(waits);
                if waits == 0 {
                    schedule.make_ready(i);
                }
            }
        }
        schedule
    }

    /// Positions of the stages that are to run.
    pub(super) fn to_run(&self) -> impl Iterator<Item = usize> {
        (0..self.status.len()).filter(|&i| self.status[i] != Status::Idle)
    }

    /// Positions of what the stage at `i` reads, in the order of its inputs.
    pub(super) fn inputs(&self, i: usize) -> &[usize] {
        &self.graph.inputs[i]
    }

    /// Hands out the next stage that can run in `lane`.
    pub(super) fn next(&mut self, lane: Lane) -> Option<usize> {
        let ready = match lane {
            Lane::Device => &mut self.ready_device,
            Lane::Host => &mut self.ready_host,
            Lane::Any if self.ready_device.peek() > self.ready_host.peek() => {
                &mut self.ready_device
            }
            Lane::Any => &mut self.ready_host,
        };
        let (_, _, Reverse(i)) = ready.pop()?;
        self.status[i] = Status::Running;
        Some(i)
    }

    /// Takes back a stage that was handed out and not run.
    pub(super) fn put_back(&mut self, i: usize) {
        self.status[i] = Status::Open(0);
        self.make_ready(i);
    }

    /// The stage at `i` is made.
    pub(super) fn done(&mut self, i: usize) {
        self.status[i] = Status::Done;
        for reader in self.graph.readers[i].clone() {
            if let Status::Open(waits) = self.status[reader] {
                self.status[reader] = Status::Open(waits.saturating_sub(1));
                if waits == 1 {
                    self.make_ready(reader);
                }
            }
        }
    }

    /// The stage at `i` failed; returns those that cannot run because of it, in the plan's order.
    pub(super) fn failed(&mut self, i: usize) -> Vec<usize> {
        self.status[i] = Status::Lost;
        let mut lost = Vec::new();
        let mut open = vec![i];
        while let Some(j) = open.pop() {
            for &reader in &self.graph.readers[j] {
                if matches!(self.status[reader], Status::Open(_)) {
                    self.status[reader] = Status::Lost;
                    lost.push(reader);
                    open.push(reader);
                }
            }
        }
        lost.sort_unstable();
        lost
    }

    fn make_ready(&mut self, i: usize) {
        let rank = (self.graph.reach[i], self.graph.readers[i].len(), Reverse(i));
        if self.on_device[i] {
            self.ready_device.push(rank);
        } else {
            self.ready_host.push(rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, Stage};
    use serde_json::json;

    /// A plan of `(kind, positions of the inputs)`.
    fn plan(stages: &[(StageKind, &[usize])]) -> Plan {
        let key = |i: usize| Key::of(&json!(i));
        Plan {
            stages: stages
                .iter()
                .enumerate()
                .map(|(i, (kind, inputs))| Stage {
                    key: key(i),
                    kind: *kind,
                    label: i.to_string(),
                    inputs: inputs
                        .iter()
                        .map(|&j| Input {
                            role: "in".to_owned(),
                            key: key(j),
                        })
                        .collect(),
                    spec: json!(null),
                    preimage: json!(i),
                    context: json!(null),
                })
                .collect(),
        }
    }

    fn schedule(stages: &[(StageKind, &[usize])], cached: &[usize]) -> Schedule {
        let plan = plan(stages);
        let graph = Graph::of(&plan).unwrap();
        let cached: Vec<bool> = (0..stages.len()).map(|i| cached.contains(&i)).collect();
        Schedule::new(&plan, graph, &cached)
    }

    use StageKind::{Evaluate, Finetune, Prepare, Pretrain, Split, Tabulate};

    const CHAIN: [(StageKind, &[usize]); 4] = [
        (Split, &[]),
        (Pretrain, &[0]),
        (Finetune, &[0, 1]),
        (Evaluate, &[2]),
    ];

    #[test]
    fn a_cached_stage_needs_none_of_its_inputs() {
        for (cached, to_run) in [
            (&[][..], &[0, 1, 2, 3][..]),
            (&[3], &[]),
            (&[2], &[3]),
            (&[1, 2], &[3]),
            (&[1], &[0, 2, 3]),
            (&[0, 1], &[2, 3]),
            (&[0], &[1, 2, 3]),
        ] {
            let found: Vec<usize> = schedule(&CHAIN, cached).to_run().collect();
            assert_eq!(found, to_run, "cached {cached:?}");
        }
    }

    #[test]
    fn a_diamond_runs_in_order() {
        let mut schedule = schedule(
            &[
                (Split, &[]),
                (Finetune, &[0]),
                (Pretrain, &[0, 0]),
                (Tabulate, &[1, 2, 2]),
            ],
            &[],
        );
        assert_eq!(schedule.next(Lane::Any), Some(0));
        assert_eq!(schedule.next(Lane::Any), None);
        schedule.done(0);
        assert_eq!(
            schedule.next(Lane::Any),
            Some(2),
            "the longer way comes first"
        );
        assert_eq!(schedule.next(Lane::Any), Some(1));
        schedule.done(2);
        assert_eq!(schedule.next(Lane::Any), None);
        schedule.done(1);
        assert_eq!(schedule.next(Lane::Any), Some(3));
    }

    #[test]
    fn what_unlocks_more_comes_first_and_ties_keep_the_order_of_the_plan() {
        let mut schedule = schedule(
            &[
                (Prepare, &[]),
                (Prepare, &[]),
                (Prepare, &[]),
                (Evaluate, &[0]),
                (Evaluate, &[2]),
                (Evaluate, &[2]),
                (Evaluate, &[1]),
            ],
            &[],
        );
        let order: Vec<Option<usize>> = (0..4).map(|_| schedule.next(Lane::Any)).collect();
        assert_eq!(order, [Some(2), Some(0), Some(1), None]);
    }

    #[test]
    fn lanes_take_their_own_stages() {
        let stages: [(StageKind, &[usize]); 4] = [
            (Prepare, &[]),
            (Pretrain, &[]),
            (Evaluate, &[]),
            (Split, &[]),
        ];
        let mut one = schedule(&stages, &[]);
        assert_eq!(one.next(Lane::Host), Some(0));
        assert_eq!(one.next(Lane::Device), Some(1));
        assert_eq!(one.next(Lane::Host), Some(3));
        assert_eq!(one.next(Lane::Host), None);
        assert_eq!(one.next(Lane::Any), Some(2));
        assert_eq!(one.next(Lane::Any), None);
    }

    #[test]
    fn a_failure_loses_its_descendants_only() {
        let mut schedule = schedule(
            &[
                (Split, &[]),
                (Pretrain, &[0]),
                (Pretrain, &[0]),
                (Evaluate, &[1]),
                (Evaluate, &[2]),
                (Tabulate, &[3, 4]),
            ],
            &[],
        );
        assert_eq!(schedule.next(Lane::Any), Some(0));
        schedule.done(0);
        assert_eq!(schedule.next(Lane::Any), Some(1));
        assert_eq!(schedule.failed(1), [3, 5]);
        assert_eq!(schedule.next(Lane::Any), Some(2));
        schedule.done(2);
        assert_eq!(schedule.next(Lane::Any), Some(4));
        schedule.put_back(4);
        assert_eq!(schedule.next(Lane::Any), Some(4));
        assert!(schedule.failed(4).is_empty(), "the table is lost already");
        assert_eq!(schedule.next(Lane::Any), None);
    }

    #[test]
    fn broken_plans_are_refused() {
        let mut backwards = plan(&CHAIN);
        backwards.stages.reverse();
        assert!(matches!(
            Graph::of(&backwards),
            Err(EngineError::Input { .. })
        ));
        let mut twice = plan(&CHAIN);
        twice.stages.push(twice.stages[0].clone());
        assert!(matches!(Graph::of(&twice), Err(EngineError::Twice { .. })));
    }
}
