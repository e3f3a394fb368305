//! What a collection of garbage must keep, and why.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::exit::CliError;
use super::super::session;
use super::args::GcArgs;
use crate::manifest;
use crate::plan::{DeviceClass, Key, Plan, StageKind, compile};
use crate::store::{Store, StoreError};
use crate::study::{self, Request, project_root};

/// How deep folders of results are searched for tables.
const DEPTH: usize = 8;

/// Digits of a key.
const DIGITS: usize = 32;

/// Folders whose tables are roots: those that are there, and those that are gone.
pub(super) struct Folders {
    pub there: Vec<PathBuf>,
    pub gone: Vec<PathBuf>,
}

impl Folders {
    /// The registered folders of the store, and `results` of the project.
    pub(super) fn of(store: &Store, project: &Path) -> Result<Self, CliError> {
        let mut folders = Self {
            there: Vec::new(),
            gone: Vec::new(),
        };
        for root in store.roots().map_err(CliError::internal)? {
            match std::fs::metadata(&root) {
                Ok(_) => folders.there.push(root),
                Err(e) if e.kind() == ErrorKind::NotFound => folders.gone.push(root),
                Err(e) => return Err(unreadable(&root, &e)),
            }
        }
        // The store may belong to another project than the one we stand in.
        let beside = store.paths().root().parent().map(Path::to_owned);
        for root in [Some(project.to_owned()), beside].into_iter().flatten() {
            let results = root.join("results");
            if results.is_dir() {
                folders.there.push(results);
            }
        }
        Ok(folders)
    }
}

/// What the tables below some folders cite.
#[derive(Default)]
pub(super) struct Cited {
    /// Keys in their CSV files.
    pub keys: HashSet<Key>,
    /// Digests of these files.
    digests: HashSet<String>,
    /// How many there are.
    pub tables: usize,
}

impl Cited {
    /// Reads all CSV files below `folder`. Every word that looks like a key counts as one, whatever
    /// column it stands in: to keep too much does no harm.
    pub(super) fn read(&mut self, folder: &Path, depth: usize) -> Result<(), CliError> {
        let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
        for entry in entries {
            let path = entry.map_err(|e| unreadable(folder, &e))?.path();
            if path.is_dir() {
                if depth < DEPTH {
                    self.read(&path, depth + 1)?;
                }
            } else if path.extension().is_some_and(|e| e == "csv") {
                let bytes = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
                let known = self.keys.len();
                self.keys.extend(keys_in(&bytes));
                self.digests
                    .insert(blake3::hash(&bytes).to_hex().to_string());
                self.tables += usize::from(self.keys.len() > known);
            }
        }
        Ok(())
    }

    /// Adds the artifacts that the files are copies of.
    pub(super) fn add_tables(&mut self, store: &Store) -> Result<(), CliError> {
        for record in store
            .records(StageKind::Tabulate)
            .map_err(CliError::internal)?
        {
            if record
                .files
                .iter()
                .any(|file| self.digests.contains(&file.blake3))
            {
                self.keys.insert(record.key);
            }
        }
        Ok(())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::internal(format!(
        "cannot read '{}', so what its tables cite is not known: {error}",
        path.display()
    ))
    .hint("make it readable, or remove it if its tables do not matter")
}

fn keys_in(text: &[u8]) -> impl Iterator<Item = Key> {
    text.split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| word.len() == DIGITS)
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

/// Keys that the manifests of `--keep` plan.
pub(super) fn planned(args: &GcArgs, store: &Store) -> Result<HashSet<Key>, CliError> {
    let mut keys = HashSet::new();
    let roots = session::roots(&args.data)?;
    let all = manifest::load_all(&args.keep)?;
    for loaded in &all {
        let file = &loaded.path;
        let root = project_root(file);
        let ledger = session::ledger_digest(&root);
        let profiles: Vec<Option<String>> = match &args.profile {
            Some(one) => vec![Some(one.clone())],
            None => {
                let declared = loaded.document.profile.keys().cloned().map(Some);
                std::iter::once(None).chain(declared).collect()
            }
        };
        for profile in profiles {
            let name = profile.clone();
            let request = Request {
                profile,
                roots: roots.clone(),
                ..Request::default()
            };
            let request = request.for_one_of(&all, loaded);
            let mut resolved = study::resolve(loaded.clone(), &request)?.resolved;
            session::look_at_weights(&mut resolved, &root)?;
            let facts = session::facts(&resolved, &root, store)?;
            for class in DeviceClass::ALL {
                let compiled = compile(&resolved, &facts, class, &ledger);
                if !compiled.missing_data.is_empty() {
                    return Err(
                        session::missing_data_error(&compiled.missing_data).hint(format!(
                            "what '{}' (profile {}) was made from is not known without its data; \
                         name its folder with --data NAME=DIR, or keep one profile only with \
                         --profile NAME",
                            file.display(),
                            name.as_deref().unwrap_or("paper"),
                        )),
                    );
                }
                keys.extend(compiled.plan.stages.into_iter().map(|stage| stage.key));
            }
        }
    }
    Ok(keys)
}

/// What runs need: those that are registered now, by their frozen plans.
pub(super) struct Runs<'a> {
    store: &'a Store,
    /// Runs that were there when the collection began.
    known: HashSet<PathBuf>,
    /// Claims that were.
    claimed: HashSet<Key>,
}

impl<'a> Runs<'a> {
    /// The runs of a store, and what those that are alive and the processes with claims need.
    pub(super) fn of(store: &'a Store) -> Result<(Self, HashSet<Key>), CliError> {
        let folders = alive::folders(store)?;
        let mut needed = HashSet::new();
        for folder in &folders {
            if alive::is_alive(folder) {
                needed.extend(alive::keys(folder)?);
            }
        }
        let claimed: HashSet<Key> = store
            .claimed()
            .map_err(CliError::internal)?
            .into_iter()
            .collect();
        needed.extend(claimed.iter().cloned());
        let runs = Self {
            store,
            known: folders.into_iter().map(|folder| folder.dir).collect(),
            claimed,
        };
        Ok((runs, needed))
    }

    /// All plans that runs have frozen, as far as they can be read.
    pub(super) fn plans(&self) -> Vec<Plan> {
        alive::folders(self.store)
            .unwrap_or_default()
            .iter()
            .filter_map(|folder| folder.plan().ok())
            .collect()
    }

    /// What runs and processes need that have begun since.
    pub(super) fn begun_since(&self) -> Result<HashSet<Key>, Interrupted> {
        let mut needed = HashSet::new();
        for folder in alive::folders(self.store)? {
            if !self.known.contains(&folder.dir) {
                needed.extend(alive::keys(&folder)?);
            }
        }
        let fresh: Vec<Key> = self
            .store
            .claimed()?
            .into_iter()
            .filter(|key| !self.claimed.contains(key))
            .collect();
        if !fresh.is_empty() {
            // Their inputs stand in some frozen plan.
            for plan in self.plans() {
                let graph = crate::plan::Graph::of(&plan);
                for key in &fresh {
                    for i in graph.ancestors(key) {
                        needed.insert(plan.stages[i].key.clone());
                    }
                }
            }
            needed.extend(fresh);
        }
        Ok(needed)
    }
}

/// Why a removal stopped half way.
pub(super) struct Interrupted(pub CliError);

impl From<CliError> for Interrupted {
    fn from(error: CliError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self(CliError::internal(error))
    }
}

/// Folders of runs as a collection sees them.
mod alive {
    use std::collections::HashSet;
    use std::time::{Duration, Instant, SystemTime};

    use super::CliError;
    use crate::engine::events::RunFolder;
    use crate::engine::{RunState, RunStatus};
    use crate::plan::Key;
    use crate::store::Store;

    /// The end of a run on another machine shows in its log only. After so long without a word it
    /// counts as over.
    const SILENT: Duration = Duration::from_secs(30 * 24 * 3600);

    /// How long a run may take to freeze its plan.
    const STARTING: Duration = Duration::from_secs(5);

    pub(super) fn folders(store: &Store) -> Result<Vec<RunFolder>, CliError> {
        RunFolder::all(store).map_err(CliError::internal)
    }

    /// Whether the run may still go on.
    pub(super) fn is_alive(folder: &RunFolder) -> bool {
        let said = std::fs::metadata(folder.events_file())
            .or_else(|_| std::fs::metadata(&folder.dir))
            .and_then(|meta| meta.modified());
        let silent = said.map_or(Duration::ZERO, |time| {
            SystemTime::now().duration_since(time).unwrap_or_default()
        });
        match RunStatus::read(folder) {
            Ok(status) => status.state == RunState::Running && silent < SILENT,
            // It has not come to writing its log.
            Err(_) => silent < STARTING * 12,
        }
    }

    /// The keys of its plan, waiting a little for a run that is just being registered.
    pub(super) fn keys(folder: &RunFolder) -> Result<HashSet<Key>, CliError> {
        let start = Instant::now();
        loop {
            match folder.plan() {
                Ok(plan) => return Ok(plan.stages.into_iter().map(|stage| stage.key).collect()),
                Err(error) if start.elapsed() > STARTING => {
                    return Err(CliError::internal(format!(
                        "what run '{}' needs is not known: {error}",
                        folder.id()
                    ))
                    .hint("give the command again, or remove the folder of a run that died"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
