//! `table`: tables from cached artifacts only.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::args::TableArgs;
use super::exit::{CliError, ExitStatus};
use super::hole::Scores;
use super::session::{self, Session};
use crate::plan::{Key, Plan, Stage, StageKind, TabulateSpec};
use crate::report::{self, Ledger, TableInput};
use crate::stage::{Evaluation, Found, TABLE_FILES, made_table, table_input, write_table};
use crate::store::{State, Store};

/// Width of tables on stdout where the terminal does not say.
const WIDTH: usize = 100;

pub(super) fn table(args: &TableArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(&args.files, &args.manifest)?;
    let holes = write_tables(&session, args.results.as_deref(), false)?;
    Ok(if holes {
        ExitStatus::Failed
    } else {
        ExitStatus::Done
    })
}

/// Writes the tables of all experiments and shows them; says whether any has a hole.
pub(super) fn write_tables(
    session: &Session,
    results: Option<&Path>,
    quiet: bool,
) -> Result<bool, CliError> {
    let ledger = session::ledger(&session.root)?;
    let mut holes = false;
    for experiment in &session.experiments {
        let compiled = &experiment.compiled;
        let to = Destination {
            store: &session.store,
            ledger: &ledger,
            folder: session.results(results, &experiment.resolved),
            partial: session.partial,
            quiet,
        };
        let mut scores = Scores::new(&session.store, &compiled.plan.stages);
        let tables = compiled.tables.iter().map(|(key, spec)| (key, spec));
        holes |= to.write(tables, &mut scores)?;
    }
    Ok(holes)
}

/// The error for a table that cannot be written. Nothing is lost by it.
fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::internal(format!("cannot write '{}': {error}", path.display())).hint(
        "what the table is made of is in the store; `amlp-run table MANIFEST --results DIR` writes \
         it elsewhere",
    )
}

/// Makes the folder of tables, and notes that they cite artifacts of `store`, so that no collection
/// of garbage takes these.
pub(super) fn make_folder(store: &Store, folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    // From a store that cannot be written nothing can be taken either.
    if let Err(error) = store.register_root(folder) {
        tracing::debug!("'{}' is not registered: {error}", folder.display());
    }
    Ok(())
}

/// Writes the files of one table of a frozen plan, with holes where scores are missing.
pub(super) fn write_frozen(
    store: &Store,
    plan: &Plan,
    stage: &Stage,
    ledger: &Ledger,
    folder: &Path,
) -> Result<(), CliError> {
    let spec: TabulateSpec = serde_json::from_value(stage.spec.clone())
        .map_err(|e| CliError::internal(format!("the plan is not of this version: {e}")))?;
    make_folder(store, folder)?;
    let made = store.artifact_dir(StageKind::Tabulate, &stage.key);
    if copy_table(&made, &spec.table, folder)? {
        return Ok(());
    }
    let mut scores = Scores::new(store, &plan.stages);
    let input = made_or_new(None, &spec, ledger, &mut scores)?;
    write_table(&input, folder).map_err(|e| unwritable(folder, &e))
}

/// Where the tables of an experiment go.
pub(super) struct Destination<'a> {
    pub store: &'a Store,
    pub ledger: &'a Ledger,
    pub folder: PathBuf,
    /// Part of the tables is shown but does not replace the files of the whole.
    pub partial: bool,
    pub quiet: bool,
}

impl Destination<'_> {
    /// Writes tables and shows them; says whether any has a hole.
    pub(super) fn write<'t>(
        &self,
        tables: impl Iterator<Item = (&'t Key, &'t TabulateSpec)>,
        scores: &mut Scores<'_>,
    ) -> Result<bool, CliError> {
        let mut holes = false;
        for (key, spec) in tables {
            let made = self.store.artifact_dir(StageKind::Tabulate, key);
            let state = self
                .store
                .lookup(StageKind::Tabulate, key)
                .map_err(CliError::internal)?;
            let made_before = state.is_cached().then_some(made.as_path());
            let input = made_or_new(made_before, spec, self.ledger, scores)?;
            holes |= input.cells.iter().any(|c| c.mean.is_none());
            if !self.quiet {
                say(&report::terminal(&input, WIDTH));
            }
            if self.partial {
                continue;
            }
            make_folder(self.store, &self.folder)?;
            if state.is_cached() && copy_table(&made, &spec.table, &self.folder)? {
                continue;
            }
            write_table(&input, &self.folder).map_err(|e| unwritable(&self.folder, &e))?;
        }
        if !self.quiet && !self.partial {
            say(&format!("tables: {}", self.folder.display()));
        }
        Ok(holes)
    }
}

/// The table that a finished stage left in `made`, or one from the scores that are there.
pub(super) fn made_or_new(
    made: Option<&Path>,
    spec: &TabulateSpec,
    ledger: &Ledger,
    scores: &mut Scores<'_>,
) -> Result<TableInput, CliError> {
    match made.and_then(made_table) {
        Some(input) => Ok(input),
        None => table_input(spec, ledger, |key| scores.of(key)).map_err(CliError::internal),
    }
}

/// Prints a line; a reader that has left is no reason to fail a run that is done.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Copies the files of a finished table, where they are not the same already.
fn copy_table(made: &Path, table: &str, folder: &Path) -> Result<bool, CliError> {
    for extension in TABLE_FILES {
        let name = format!("table_{table}.{extension}");
        let Ok(text) = std::fs::read(made.join(&name)) else {
            return Ok(false);
        };
        let to = folder.join(&name);
        if std::fs::read(&to).is_ok_and(|old| old == text) {
            continue;
        }
        std::fs::write(&to, text).map_err(|e| unwritable(&to, &e))?;
    }
    Ok(true)
}

/// What the stage of this kind left for tables, or why there is nothing.
pub(super) fn found(store: &Store, kind: StageKind, key: &Key) -> Result<Found, String> {
    match store.lookup(kind, key) {
        Ok(State::Cached) => Found::read(&store.artifact_dir(kind, key)),
        Ok(State::Failed { failure }) => Err(match kind {
            StageKind::Evaluate => format!("evaluation failed: {}", failure.message),
            kind => format!("{kind} failed: {}", failure.message),
        }),
        Ok(State::Running { .. }) => Err("still running".to_owned()),
        Ok(State::Damaged { reason }) => Err(format!("damaged artifact: {reason}")),
        Ok(State::Missing) => Err("not run".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// Scores of an evaluation, or why there are none.
pub(super) fn scores(store: &Store, key: &Key) -> Result<Evaluation, String> {
    found(store, StageKind::Evaluate, key)?.into_scores()
}
