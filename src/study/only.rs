//! `--only table=IV,method=amlp`: part of a study, by name.

use super::{NO_RATIO, Resolution, Resolved};

/// Which part of a study is asked for. Several values of one key widen, several keys narrow.
#[derive(Clone, Debug, Default)]
pub struct Only {
    terms: Vec<(Key, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Table,
    Method,
    Data,
    Label,
    Seed,
}

/// A filter that cannot be read, or that nothing matches.
#[derive(Debug, thiserror::Error)]
pub enum OnlyError {
    /// Not `key=value`.
    #[error("--only takes key=value pairs, not '{0}' (keys: table, method, data, label, seed)")]
    Form(String),
    /// Unknown key.
    #[error("--only has no key '{0}' (keys: table, method, data, label, seed)")]
    Key(String),
    /// Nothing is left.
    #[error("--only {key}={value} matches nothing; there is: {known}")]
    Nothing {
        /// Key.
        key: &'static str,
        /// Value asked for.
        value: String,
        /// Values that exist.
        known: String,
    },
}

impl Only {
    /// Reads the arguments; each may hold several pairs separated by commas.
    ///
    /// # Errors
    /// A pair without `=`, or an unknown key.
    pub fn parse(arguments: &[String]) -> Result<Self, OnlyError> {
        let mut terms = Vec::new();
        for pair in arguments.iter().flat_map(|a| a.split(',')) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| OnlyError::Form(pair.to_owned()))?;
            let key = match key.trim() {
                "table" => Key::Table,
                "method" | "row" => Key::Method,
                "data" | "column" => Key::Data,
                "label" | "labels" => Key::Label,
                "seed" | "seeds" => Key::Seed,
                other => return Err(OnlyError::Key(other.to_owned())),
            };
            terms.push((key, value.trim().to_owned()));
        }
        Ok(Self { terms })
    }

    /// Whether tables lose rows or columns, rather than being left out whole.
    #[must_use]
    pub fn cuts_tables(&self) -> bool {
        self.terms.iter().any(|(key, _)| *key != Key::Table)
    }

    /// The study reduced to what is asked for.
    ///
    /// # Errors
    /// A value that nothing has.
    pub fn apply(&self, mut resolved: Resolved) -> Result<Resolved, OnlyError> {
        self.known(
            Key::Table,
            "table",
            resolved.studies.iter().map(|s| s.table.clone()),
        )?;
        resolved
            .studies
            .retain(|s| self.wants(Key::Table, &[&s.table]));
        let studies = || resolved.studies.iter();
        self.known(
            Key::Method,
            "method",
            studies().flat_map(|s| s.rows.iter().map(|r| r.name.clone())),
        )?;
        self.known(
            Key::Data,
            "data",
            studies().flat_map(|s| {
                s.columns
                    .iter()
                    .flat_map(|c| [c.data.clone(), c.to_string()])
            }),
        )?;
        self.known(
            Key::Label,
            "label",
            studies().flat_map(|s| {
                s.labels
                    .iter()
                    .filter(|l| **l != NO_RATIO)
                    .map(u32::to_string)
            }),
        )?;
        self.known(
            Key::Seed,
            "seed",
            studies().flat_map(|s| s.seeds.iter().map(u64::to_string)),
        )?;
        for study in &mut resolved.studies {
            let kept: Vec<usize> = (0..study.columns.len())
                .filter(|&i| {
                    let column = &study.columns[i];
                    self.wants(
                        Key::Data,
                        &[&column.data, &column.to_string(), &column.modality()],
                    )
                })
                .collect();
            study.columns = kept.iter().map(|&i| study.columns[i].clone()).collect();
            study
                .labels
                .retain(|l| *l == NO_RATIO || self.wants(Key::Label, &[&l.to_string()]));
            study
                .seeds
                .retain(|s| self.wants(Key::Seed, &[&s.to_string()]));
            study.rows.retain(|r| self.wants(Key::Method, &[&r.name]));
            for row in &mut study.rows {
                row.cells.retain(|c| study.labels.contains(&c.label));
                row.cells
                    .retain_mut(|c| match kept.iter().position(|&k| k == c.column) {
                        Some(new) => {
                            c.column = new;
                            true
                        }
                        None => false,
                    });
            }
            for claim in &mut study.claims {
                claim.columns.retain(|c| study.columns.contains(c));
                // Rows that are compared across label ratios need all of these.
                if claim.at.is_none() {
                    claim.labels.retain(|l| study.labels.contains(l));
                }
            }
            study.claims.retain(|c| {
                !c.columns.is_empty()
                    && !c.labels.is_empty()
                    && c.labels.iter().all(|l| study.labels.contains(l))
                    && c.best_column
                        .as_ref()
                        .is_none_or(|best| study.columns.contains(best))
            });
            study.claims.retain(|c| {
                c.order
                    .iter()
                    .all(|n| study.rows.iter().any(|r| r.name == *n))
            });
        }
        resolved.studies.retain(|s| {
            !s.rows.is_empty()
                && !s.columns.is_empty()
                && !s.labels.is_empty()
                && !s.seeds.is_empty()
        });
        Ok(resolved)
    }

    /// The studies of several manifests reduced to what is asked for. A manifest that has none of it
    /// is left out, as long as another has some.
    ///
    /// # Errors
    /// A value that nothing has.
    pub fn apply_to_all(
        &self,
        all: Vec<Resolution>,
    ) -> Result<Vec<(Resolution, Resolved)>, OnlyError> {
        let mut kept = Vec::new();
        let mut missed = None;
        for resolution in all {
            match self.apply(resolution.resolved.clone()) {
                Ok(resolved) => kept.push((resolution, resolved)),
                Err(error) => missed = missed.or(Some(error)),
            }
        }
        match missed {
            Some(error) if kept.is_empty() => Err(error),
            _ => Ok(kept),
        }
    }

    fn wants(&self, key: Key, names: &[&str]) -> bool {
        let mut asked = self.terms.iter().filter(|(k, _)| *k == key).peekable();
        asked.peek().is_none()
            || asked.any(|(_, value)| names.iter().any(|n| n.eq_ignore_ascii_case(value)))
    }

    fn known(
        &self,
        key: Key,
        name: &'static str,
        values: impl Iterator<Item = String>,
    ) -> Result<(), OnlyError> {
        let mut values: Vec<String> = values.collect();
        values.dedup();
        for (_, asked) in self.terms.iter().filter(|(k, _)| *k == key) {
            let found = values.iter().any(|v| {
                v.eq_ignore_ascii_case(asked)
                    || v.rsplit('/')
                        .next()
                        .is_some_and(|m| m.eq_ignore_ascii_case(asked))
            });
            if !found {
                let mut known = values.clone();
                known.sort();
                known.dedup();
                return Err(OnlyError::Nothing {
                    key: name,
                    value: asked.clone(),
                    known: known.join(", "),
                });
            }
        }
        Ok(())
    }
}
