//! Submitting what is missing, so that the same command can be given again whatever happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{self, Tool};
use super::cut::{Job, cut};
use super::journal::{Journal, Record, TaskKeys};
use super::queue::Place;
use super::quote::shell;
use super::script::{Shared, dependency};
use super::{Frozen, SlurmError};
use crate::engine::events::{EventSink, KindCount, Origin, RunFolder, RunLog};
use crate::engine::{EngineError, Event, needed};
use crate::options::SlurmOptions;
use crate::plan::{Key, Plan, StageKind};
use crate::store::{State, Store, StoreError, disk, host_name};

/// What jobs are made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program, for `EXE work ...`.
    pub exe: PathBuf,
    /// Root of the project, where jobs run.
    pub root: PathBuf,
    /// The device of stages that compute on one.
    pub device: String,
    /// What jobs ask for, and where tables go.
    pub frozen: Frozen,
    /// How the run was started.
    pub origin: Origin,
}

/// Jobs that are to be submitted.
#[derive(Debug)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Jobs; one that waits comes after what it waits for.
    pub jobs: Vec<Job>,
    /// Stages that are in the queue already, by job.
    pub adopted: BTreeMap<Place, Vec<Key>>,
    /// How many stages are in the store.
    pub cached: usize,
    wanted: Vec<bool>,
}

/// What came of submitting.
#[derive(Debug)]
pub struct Submission {
    /// Folder of the run.
    pub folder: RunFolder,
    /// Jobs that Slurm has taken: name and number.
    pub taken: Vec<(String, u64)>,
    /// Why it took no more of them.
    pub refused: Option<SlurmError>,
}

/// The jobs for what is missing of `plan` and not in the queue, where `live` says what is.
///
/// # Errors
/// The plan is no graph in order, or the store cannot be read.
pub fn draft(
    plan: Plan,
    store: &Store,
    live: &HashMap<Key, Place>,
    options: &SlurmOptions,
) -> Result<Draft, EngineError> {
    let cached: Vec<bool> = store
        .lookup_all(&plan.stages)?
        .iter()
        .map(State::is_cached)
        .collect();
    let lacks_data = lacking_data(&plan);
    let mut wanted = needed(&plan, &cached)?;
    let mut adopted: BTreeMap<Place, Vec<Key>> = BTreeMap::new();
    for (stage, wanted) in plan.stages.iter().zip(&mut wanted) {
        // Of a table without its data there are still other columns, and holes with their reason.
        if lacks_data.contains(&stage.key) && stage.kind != StageKind::Tabulate {
            *wanted = false;
        }
        if let (true, Some(place)) = (*wanted, live.get(&stage.key)) {
            *wanted = false;
            adopted
                .entry(place.clone())
                .or_default()
                .push(stage.key.clone());
        }
    }
    let jobs = cut(&plan, &wanted, live, options);
    Ok(Draft {
        jobs,
        adopted,
        cached: cached.iter().filter(|&&cached| cached).count(),
        wanted,
        plan,
    })
}

/// Stages whose data set is not there, and what follows from them.
fn lacking_data(plan: &Plan) -> HashSet<Key> {
    let mut lacking = HashSet::new();
    for stage in &plan.stages {
        if stage.lacks_data() || stage.inputs.iter().any(|i| lacking.contains(&i.key)) {
            lacking.insert(stage.key.clone());
        }
    }
    lacking
}

impl Draft {
    /// How many stages are to be submitted.
    #[must_use]
    pub fn stages(&self) -> usize {
        self.wanted.iter().filter(|&&wanted| wanted).count()
    }

    /// How many stages are in the queue already.
    #[must_use]
    pub fn adopted(&self) -> usize {
        self.adopted.values().map(Vec::len).sum()
    }

    /// Every call of `sbatch` with its script, for people.
    #[must_use]
    pub fn show(&self, store: &Store, setup: &Setup) -> String {
        let folder = RunFolder {
            dir: store.paths().runs().join("RUN"),
        };
        let shared = self.shared(store, setup, &folder);
        let mut text = String::new();
        for (i, job) in self.jobs.iter().enumerate() {
            let after = dependency(&job.after, |of| format!("JOB{}", of + 1));
            let words: Vec<String> = shared
                .arguments(job, after.as_deref())
                .iter()
                .map(shell)
                .collect();
            // Writing to a string does not fail.
            let _ = writeln!(text, "# JOB{}\nsbatch {}", i + 1, words.join(" "));
            for line in shared.script(job).lines() {
                let _ = writeln!(text, "    {line}");
            }
            text.push('\n');
        }
        text
    }

    /// Freezes the plan and submits all jobs, each with its number noted at once. What Slurm
    /// refuses ends it; what was submitted stays.
    ///
    /// # Errors
    /// The folder of the run cannot be written, or a path cannot stand in a script.
    pub fn submit(&self, store: &Store, setup: &Setup) -> Result<Submission, EngineError> {
        for path in [&setup.exe, &setup.root, store.paths().root()] {
            is_text(path)?;
        }
        let log = RunLog::create(store, &self.plan, &setup.origin)?;
        let folder = log.folder().clone();
        disk::create_dir(&folder.jobs())?;
        setup.frozen.write(&folder)?;
        self.tell(&log);
        let shared = self.shared(store, setup, &folder);
        let mut journal = Journal::open(&folder)?;
        for job in &self.jobs {
            let path = shared.script_file(job);
            std::fs::write(&path, shared.script(job))
                .map_err(StoreError::writing("write", &path))?;
            journal.append(&self.planned(job))?;
        }
        for (place, keys) in &self.adopted {
            journal.append(&Record::Adopted {
                place: place.clone(),
                keys: keys.clone(),
            })?;
        }
        let mut taken: Vec<(String, u64)> = Vec::new();
        let mut refused = None;
        for job in &self.jobs {
            let after = dependency(&job.after, |of| taken[of].1.to_string());
            match sbatch(&shared, job, after.as_deref()) {
                Ok(number) => {
                    taken.push((job.name.clone(), number));
                    journal.append(&Record::Submitted {
                        id: job.id.clone(),
                        job: number,
                    })?;
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        // A run of which nothing came is none: `status` should not tell of it.
        if taken.is_empty() && self.adopted.is_empty() {
            let _ = std::fs::remove_dir_all(&folder.dir);
        }
        Ok(Submission {
            folder,
            taken,
            refused,
        })
    }

    fn shared<'a>(
        &'a self,
        store: &'a Store,
        setup: &'a Setup,
        folder: &'a RunFolder,
    ) -> Shared<'a> {
        Shared {
            exe: &setup.exe,
            root: &setup.root,
            store: store.paths().root(),
            device: &setup.device,
            options: &setup.frozen.options,
            arguments: &setup.frozen.arguments,
            folder,
            plan: &self.plan,
        }
    }

    fn planned(&self, job: &Job) -> Record {
        let tasks = job.tasks.iter().map(|task| TaskKeys {
            task: job.is_array().then_some(task.index),
            keys: task
                .stages
                .iter()
                .map(|&i| self.plan.stages[i].key.clone())
                .collect(),
        });
        Record::Planned {
            id: job.id.clone(),
            name: job.name.clone(),
            tasks: tasks.collect(),
        }
    }

    /// The first line of the run's log.
    fn tell(&self, log: &RunLog) {
        let adopted: HashSet<&Key> = self.adopted.values().flatten().collect();
        let to_run = StageKind::ALL.into_iter().map(|kind| KindCount {
            kind,
            count: self
                .plan
                .stages
                .iter()
                .zip(&self.wanted)
                .filter(|(stage, wanted)| {
                    stage.kind == kind && (**wanted || adopted.contains(&stage.key))
                })
                .count(),
        });
        log.emit(&Event::RunStarted {
            pid: std::process::id(),
            host: host_name(),
            stages: self.plan.stages.len(),
            cached: self.cached,
            to_run: to_run.filter(|entry| entry.count > 0).collect(),
        });
    }
}

fn is_text(path: &Path) -> Result<(), SlurmError> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(SlurmError::NotText {
            path: path.to_owned(),
        }),
    }
}

fn sbatch(shared: &Shared<'_>, job: &Job, after: Option<&str>) -> Result<u64, SlurmError> {
    let mut sbatch = Command::new(Tool::Sbatch.name());
    sbatch.args(shared.arguments(job, after));
    let output = command::run(Tool::Sbatch, sbatch)?;
    // `JOB` or `JOB;CLUSTER`, after whatever a site makes it say.
    let line = output.lines().last().unwrap_or_default();
    let number = line.split(';').next().unwrap_or_default().trim();
    number.parse().map_err(|_| SlurmError::NoId {
        output: output.trim().chars().take(200).collect(),
    })
}
