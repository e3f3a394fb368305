//! The folder of a run: what is where, and reading it.

use std::path::{Path, PathBuf};

use super::{Entry, Follower, Origin};
use crate::engine::EngineError;
use crate::plan::{Key, Plan};
use crate::store::{Store, StoreError, disk};

/// Folder of a run: its events, its frozen plan, how it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    /// The folder.
    pub dir: PathBuf,
}

impl RunFolder {
    /// The folder in which a plan is frozen.
    #[must_use]
    pub fn of_plan(plan: &Path) -> Self {
        Self {
            dir: plan.parent().unwrap_or(Path::new("")).to_owned(),
        }
    }

    /// Its name: start in UTC and process id.
    #[must_use]
    pub fn id(&self) -> String {
        self.dir
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The events.
    #[must_use]
    pub fn events_file(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The frozen plan.
    #[must_use]
    pub fn plan_file(&self) -> PathBuf {
        self.dir.join("plan.json")
    }

    /// How it was started.
    #[must_use]
    pub fn origin_file(&self) -> PathBuf {
        self.dir.join("run.json")
    }

    /// Folder of the events that workers write where nobody listens to them: a file for each.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.dir.join("jobs")
    }

    /// Folder of the logs of stages.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// What a stage logged and wrote to standard error; there only if it said something.
    #[must_use]
    pub fn log_file(&self, key: &Key) -> PathBuf {
        self.logs().join(format!("{key}.log"))
    }

    /// Every file of events: that of the dispatcher first, then those of workers by name.
    ///
    /// # Errors
    /// The folder of workers cannot be read.
    pub fn event_files(&self) -> Result<Vec<PathBuf>, EngineError> {
        let mut files = vec![self.events_file()];
        let jobs = self.jobs();
        for name in disk::names(&jobs)? {
            if name.ends_with(".jsonl") {
                files.push(jobs.join(name));
            }
        }
        Ok(files)
    }

    /// The run of a store with this name, or the only one whose name begins so.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn find(store: &Store, name: &str) -> Result<Option<Self>, EngineError> {
        let mut runs = Self::all(store)?;
        if let Some(i) = runs.iter().position(|run| run.id() == name) {
            return Ok(Some(runs.swap_remove(i)));
        }
        runs.retain(|run| run.id().starts_with(name));
        Ok(if runs.len() == 1 { runs.pop() } else { None })
    }

    /// All runs of a store, the last one last.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn all(store: &Store) -> Result<Vec<Self>, EngineError> {
        let folder = store.paths().runs();
        let mut runs: Vec<Self> = disk::names(&folder)?
            .into_iter()
            .map(|name| Self {
                dir: folder.join(name),
            })
            .filter(|run| run.dir.is_dir())
            .collect();
        // Names begin with the time, so their order is that of the runs.
        runs.sort_unstable_by(|a, b| a.dir.cmp(&b.dir));
        Ok(runs)
    }

    /// The last run of a store.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn last(store: &Store) -> Result<Option<Self>, EngineError> {
        Ok(Self::all(store)?.pop())
    }

    /// Its events so far, in order of time. A line that cannot be parsed is left out.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn events(&self) -> Result<Vec<Entry>, EngineError> {
        self.follow().poll()
    }

    /// A reader of its events from the first to those to come.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower::new(self)
    }

    /// How it was started. Runs of versions that did not record it have the default.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub fn origin(&self) -> Result<Origin, EngineError> {
        Origin::read(&self.origin_file())
    }

    /// Its frozen plan.
    ///
    /// # Errors
    /// The file cannot be read or is no plan.
    pub fn plan(&self) -> Result<Plan, EngineError> {
        read_plan(&self.plan_file())
    }
}

/// Reads a frozen plan.
///
/// # Errors
/// The file cannot be read or is no plan.
pub fn read_plan(path: &Path) -> Result<Plan, EngineError> {
    let text = std::fs::read(path).map_err(StoreError::reading(path))?;
    serde_json::from_slice(&text).map_err(|e| EngineError::Plan {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}
