//! The `[slurm]` table: root < profile < `--set`, checked as far as that goes without a cluster.

use crate::manifest::{Diagnostic, Node, Origin, Table, Value, from_node};
use crate::options::SlurmOptions;

/// Options of sbatch that the engine sets itself, and what to use instead.
const OWN: &[(&str, &str)] = &[
    ("--array", "seeds become arrays by themselves"),
    ("--chdir", "write `cd` into slurm.setup"),
    ("--comment", "the engine knows its jobs by it"),
    ("--dependency", "the plan says what follows what"),
    ("--error", "logs lie in the folder of the run"),
    ("--export", "write `export NAME=value` into slurm.setup"),
    ("--job-name", "the engine names its jobs"),
    ("--kill-on-invalid-dep", "the engine sets it"),
    ("--no-requeue", "jobs go on in a new term by it"),
    ("--nodes", "a stage runs on one node"),
    ("--ntasks", "a stage is one task"),
    ("--open-mode", "the engine sets it"),
    ("--output", "logs lie in the folder of the run"),
    ("--parsable", "the engine sets it"),
    ("--requeue", "the engine sets it"),
    ("--signal", "use slurm.warn_seconds"),
    ("--test-only", "use --dry-run"),
    ("--wait", "the engine does not wait"),
    ("--wrap", "the engine writes the script"),
];

/// Reads the table of `root` with that of `profile` and the overrides of `--set` over it.
///
/// # Errors
/// Unknown keys, and values that no Slurm takes.
pub(super) fn options(
    root: &Table,
    profile: &Table,
    set: &[(String, Node)],
) -> Result<SlurmOptions, Diagnostic> {
    let mut merged = Table::default();
    let mut origin = Origin {
        file: 0,
        span: 0..0,
    };
    for node in [root.get("slurm"), profile.get("slurm")]
        .into_iter()
        .flatten()
    {
        if let Some(table) = node.as_table() {
            merged.merge(table);
            origin = node.origin.clone();
        }
    }
    for (key, node) in set {
        if let Some(path) = key.strip_prefix("slurm.") {
            merged.set(&path.split('.').collect::<Vec<_>>(), node.clone());
        }
    }
    let node = Node {
        value: Value::Table(merged.clone()),
        origin,
    };
    let options: SlurmOptions = from_node(&node)?;
    check_table(&merged, "slurm")?;
    Ok(options)
}

/// Checks a table of requests and those within it.
fn check_table(table: &Table, path: &str) -> Result<(), Diagnostic> {
    for (key, entry) in &table.entries {
        let at = format!("{path}.{key}");
        let wrong = |message: String| Diagnostic::new(message, Some(&entry.node.origin));
        match (key.as_str(), &entry.node.value) {
            (_, Value::Table(inner)) => check_table(inner, &at)?,
            ("time", Value::String(text)) if !is_time(text) => {
                return Err(wrong(format!("'{text}' is no time limit")).hint(
                    "minutes, hours:minutes:seconds, or days-hours:minutes:seconds: \"12:00:00\"",
                ));
            }
            ("memory", Value::String(text)) if !is_memory(text) => {
                return Err(wrong(format!("'{text}' is no amount of memory"))
                    .hint("a number with K, M, G or T: \"16G\""));
            }
            ("partition" | "account" | "qos" | "gpu_type", Value::String(text))
                if text.is_empty() || text.contains(char::is_control) =>
            {
                return Err(wrong(format!("{at} is no name")));
            }
            ("cpus" | "max_jobs_in_array", Value::Integer(0)) => {
                return Err(wrong(format!("{at} = 0: at least 1 is needed")));
            }
            ("extra", Value::Array(items)) => {
                for item in items {
                    check_extra(item)?;
                }
            }
            ("setup", Value::Array(items)) => {
                for item in items {
                    if item.as_str().is_some_and(|line| line.contains('\0')) {
                        return Err(Diagnostic::new(
                            "a line of a script holds no NUL",
                            Some(&item.origin),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// One further option of sbatch.
fn check_extra(item: &Node) -> Result<(), Diagnostic> {
    let Some(text) = item.as_str() else {
        return Ok(());
    };
    let wrong = |message: String| Diagnostic::new(message, Some(&item.origin));
    let name = text.split('=').next().unwrap_or_default();
    if !text.starts_with("--") || name.len() < 3 {
        return Err(wrong(format!("'{text}' is no long option of sbatch"))
            .hint("for example \"--constraint=a100\""));
    }
    if name.contains(char::is_whitespace) {
        return Err(wrong(format!("'{text}' is not one option")).hint(format!(
            "with its value it is written \"{}\"",
            text.trim().replacen(char::is_whitespace, "=", 1)
        )));
    }
    if text.contains('\0') {
        return Err(wrong("an option holds no NUL".to_owned()));
    }
    match OWN.iter().find(|(own, _)| *own == name) {
        Some((own, instead)) => Err(wrong(format!("{own} is set by the engine")).hint(*instead)),
        None => Ok(()),
    }
}

/// `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes`,
/// `days-hours:minutes:seconds`.
fn is_time(text: &str) -> bool {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days), rest),
        None => (None, text),
    };
    let parts: Vec<&str> = rest.split(':').collect();
    let number = |s: &str| !s.is_empty() && s.len() <= 6 && s.bytes().all(|b| b.is_ascii_digit());
    days.is_none_or(number) && parts.len() <= 3 && parts.into_iter().all(number)
}

/// A whole number of mebibytes, or of the unit that follows it.
fn is_memory(text: &str) -> bool {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']);
    text.len() - digits.len() <= 1
        && (1..=12).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_amounts() {
        for good in [
            "1",
            "90",
            "0:20",
            "12:00:00",
            "2-0",
            "2-12:30",
            "2-00:00:00",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in ["", "1h", "12:", ":1", "1:2:3:4", "-1", "1-", "a-1", "1.5"] {
            assert!(!is_time(bad), "{bad}");
        }
        for good in ["1", "500M", "16G", "2T", "64000k"] {
            assert!(is_memory(good), "{good}");
        }
        for bad in ["", "G", "16GB", "16 G", "1.5G", "-1"] {
            assert!(!is_memory(bad), "{bad}");
        }
    }
}
