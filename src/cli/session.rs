//! From manifests to a plan: what `run`, `plan`, `table`, `why` and `diff` share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::ManifestArgs;
use super::exit::{CliError, ExitStatus};
use crate::data::index::{self, DigestMemory};
use crate::data::layout;
use crate::manifest;
use crate::nn::device::DeviceChoice;
use crate::nn::foreign;
use crate::options::SlurmOptions;
use crate::plan::{Compiled, DataFact, DeviceClass, Plan, compile};
use crate::report::Ledger;
use crate::store::Store;
use crate::study::{self, InitFile, Only, Places, Request, Resolved, ResolvedData, project_root};

/// One manifest, resolved and compiled.
pub(super) struct Experiment {
    pub resolved: Resolved,
    pub places: Places,
    pub slurm: SlurmOptions,
    pub compiled: Compiled,
}

/// All that a command on manifests works with.
pub(super) struct Session {
    pub root: PathBuf,
    pub store: Store,
    pub device: DeviceChoice,
    pub class: DeviceClass,
    /// Only part of some tables was asked for.
    pub partial: bool,
    pub experiments: Vec<Experiment>,
}

impl Session {
    /// Reads, resolves and compiles `files`.
    pub fn open(files: &[PathBuf], args: &ManifestArgs) -> Result<Self, CliError> {
        let root = project_root(files.first().map_or(Path::new("."), PathBuf::as_path));
        // Jobs and workers run elsewhere: what they are told holds everywhere.
        let store_dir = match &args.store {
            Some(dir) => std::path::absolute(dir).map_err(CliError::internal)?,
            None => root.join(".amlp"),
        };
        let store = Store::open(&store_dir).map_err(CliError::usage)?;
        let device: DeviceChoice = args.device.parse().map_err(CliError::usage)?;
        let class = device.class();
        let only = Only::parse(&args.only).map_err(CliError::usage)?;
        let request = Request {
            profile: args.profile.clone(),
            set: args.set.clone(),
            roots: args.roots()?,
        };
        let ledger = ledger_digest(&root);
        let mut experiments = Vec::new();
        let mut resolutions = Vec::new();
        let all = manifest::load_all(files)?;
        for loaded in &all {
            let request = request.for_one_of(&all, loaded);
            resolutions.push(study::resolve(loaded.clone(), &request)?);
        }
        let parts = only.apply_to_all(resolutions).map_err(CliError::usage)?;
        for (resolution, mut resolved) in parts {
            look_at_weights(&mut resolved, &root)?;
            let facts = facts(&resolved, &root, &store)?;
            let compiled = compile(&resolved, &facts, class, &ledger);
            experiments.push(Experiment {
                resolved,
                places: resolution.places,
                slurm: resolution.slurm,
                compiled,
            });
        }
        Ok(Self {
            root,
            store,
            device,
            class,
            partial: only.cuts_tables(),
            experiments,
        })
    }

    /// The stages of all experiments, each once.
    pub fn plan(&self) -> Cow<'_, Plan> {
        if let [only] = self.experiments.as_slice() {
            return Cow::Borrowed(&only.compiled.plan);
        }
        let mut seen = std::collections::HashSet::new();
        let stages = self
            .experiments
            .iter()
            .flat_map(|e| &e.compiled.plan.stages)
            .filter(|s| seen.insert(s.key.clone()))
            .cloned()
            .collect();
        Cow::Owned(Plan { stages })
    }

    /// The stages whose data is there.
    pub fn runnable(&self) -> Cow<'_, Plan> {
        let mut plan = self.plan();
        for experiment in &self.experiments {
            let provisional = &experiment.compiled.provisional;
            if !provisional.is_empty() {
                plan.to_mut()
                    .stages
                    .retain(|s| !provisional.contains(&s.key));
            }
        }
        plan
    }

    /// Data sets that are not there, with what to do about it.
    pub fn missing_data(&self) -> BTreeMap<String, String> {
        self.experiments
            .iter()
            .flat_map(|e| e.compiled.missing_data.clone())
            .collect()
    }

    /// Folder of the tables of an experiment.
    pub fn results(&self, asked: Option<&Path>, resolved: &Resolved) -> PathBuf {
        results(&self.root, asked, &resolved.name, &resolved.profile)
    }
}

/// Folder of the tables of an experiment of the project at `root`.
pub(super) fn results(
    root: &Path,
    asked: Option<&Path>,
    experiment: &str,
    profile: &str,
) -> PathBuf {
    asked
        .map_or_else(|| root.join("results"), Path::to_owned)
        .join(experiment)
        .join(profile)
}

/// The ledger of published numbers: `results/published.csv` of the project where it has one,
/// otherwise the built-in one.
pub(super) fn ledger(root: &Path) -> Result<Ledger, CliError> {
    let path = root.join("results").join("published.csv");
    if path.is_file() {
        Ledger::open(&path).map_err(CliError::usage)
    } else {
        Ledger::embedded().map_err(CliError::internal)
    }
}

/// The text of that ledger.
pub(super) fn ledger_text(root: &Path) -> Vec<u8> {
    std::fs::read(root.join("results").join("published.csv"))
        .unwrap_or_else(|_| crate::report::EMBEDDED_LEDGER.as_bytes().to_vec())
}

/// The digest of that ledger as it enters keys.
pub(super) fn ledger_digest(root: &Path) -> String {
    blake3::hash(&ledger_text(root)).to_hex()[..16].to_owned()
}

/// Roots of data sets by name from `NAME=DIR`, absolute: they are meant from where the command is
/// typed.
pub(super) fn roots(pairs: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    pairs
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .map(|(n, d)| {
                    let folder = std::path::absolute(d).unwrap_or_else(|_| d.into());
                    (n.to_owned(), folder.display().to_string())
                })
                .ok_or_else(|| CliError::usage(format!("--data takes NAME=DIR, not '{pair}'")))
        })
        .collect()
}

/// What is on disk of each data set that is no phantom.
pub(super) fn facts(
    resolved: &Resolved,
    root: &Path,
    store: &Store,
) -> Result<BTreeMap<String, DataFact>, CliError> {
    let mut facts = BTreeMap::new();
    for (name, data) in &resolved.data {
        if data.phantom.is_some() {
            continue;
        }
        let folder = data_root(name, data.root.as_deref(), root);
        let fact = match fingerprint(&folder, data, store) {
            Ok(digest) => DataFact {
                root: Some(folder),
                fingerprint: Some(digest),
                problem: None,
            },
            Err(problem) => DataFact {
                root: None,
                fingerprint: None,
                problem: Some(problem),
            },
        };
        facts.insert(name.clone(), fact);
    }
    Ok(facts)
}

/// Digest of the files of a data set. Files are hashed once and then remembered by size and time.
fn fingerprint(folder: &Path, data: &ResolvedData, store: &Store) -> Result<String, String> {
    let scan = layout::find(&data.layout)
        .and_then(|l| l.scan(folder, &data.files))
        .map_err(|e| e.to_string())?;
    let mut memory = DigestMemory::open(&store.paths().root().join("files.json"));
    let known = memory.len();
    let digest =
        index::fingerprint(folder, &scan.index, &mut memory, &|_| {}).map_err(|e| e.to_string())?;
    if memory.len() != known {
        // A memory that cannot be kept costs time, not correctness.
        if let Err(error) = memory.save() {
            tracing::warn!("{error}");
        }
    }
    Ok(digest.digest)
}

/// Looks at the files of weights that trainings start from: their digests enter keys.
pub(super) fn look_at_weights(resolved: &mut Resolved, root: &Path) -> Result<(), CliError> {
    let mut known = BTreeMap::new();
    let cells = resolved
        .studies
        .iter_mut()
        .flat_map(|study| &mut study.rows)
        .flat_map(|row| &mut row.cells);
    for settings in cells.map(|cell| &mut cell.settings) {
        let file = &settings.finetune.init.file;
        if file.is_empty() {
            continue;
        }
        let path = std::path::absolute(root.join(file)).map_err(CliError::internal)?;
        if !known.contains_key(&path) {
            let digest = foreign::digest(&path).map_err(|e| {
                CliError::data(format!("finetune.init.file: {e}"))
                    .hint("the path is from the folder of the project, or absolute")
            })?;
            known.insert(path.clone(), digest);
        }
        settings.init = known.get(&path).map(|digest| InitFile {
            path: path.display().to_string(),
            digest: digest.clone(),
        });
    }
    Ok(())
}

/// Folder of a data set: the manifest's or the command line's, relative to the project; otherwise
/// `$AMLP_DATA/<name>`.
pub(super) fn data_root(name: &str, given: Option<&str>, root: &Path) -> PathBuf {
    let environment = std::env::var_os("AMLP_DATA").map(|d| {
        std::path::absolute(&d)
            .unwrap_or_else(|_| d.into())
            .join(name)
    });
    match (given, environment) {
        (_, Some(folder)) if folder.is_dir() => folder,
        (Some(given), _) => root.join(given),
        (None, Some(folder)) => folder,
        (None, None) => root.join("data").join(name),
    }
}

/// The error for data that is not there.
pub(super) fn missing_data_error(missing: &BTreeMap<String, String>) -> CliError {
    let lines: Vec<String> = missing
        .iter()
        .map(|(name, reason)| format!("data set '{name}': {reason}"))
        .collect();
    CliError::new(ExitStatus::Data, lines.join("\n       ")).hint(
        "name its folder with --data NAME=DIR, or try everything without data: --profile smoke",
    )
}
