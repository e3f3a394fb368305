//! Claims: sentences whose rows, metric, regions, columns and label ratios exist in the study.

use super::check;
use super::layers;
use super::resolved::{Column, ResolvedClaim, Row};
use crate::manifest::{Claim, Diagnostic, Node, Origin, Table};
use crate::options::ClaimKind;

/// What a claim may speak of.
pub(super) struct ClaimAxes<'a> {
    pub rows: &'a [Row],
    pub metrics: &'a [String],
    pub regions: &'a [String],
    pub columns: &'a [Column],
    pub labels: &'a [u32],
}

/// The claims of a study; `table` is the study as written.
pub(super) fn claims(
    claims: &[Claim],
    table: &Table,
    axes: &ClaimAxes<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<ResolvedClaim> {
    claims
        .iter()
        .zip(layers::tables(table, "claim"))
        .map(|(claim, (tree, node))| {
            let written = Written {
                claim,
                tree,
                place: &node.origin,
                axes,
            };
            written.resolve(problems)
        })
        .collect()
}

/// A claim with where it was written.
struct Written<'a> {
    claim: &'a Claim,
    tree: &'a Table,
    place: &'a Origin,
    axes: &'a ClaimAxes<'a>,
}

impl Written<'_> {
    fn resolve(&self, problems: &mut Vec<Diagnostic>) -> ResolvedClaim {
        let claim = self.claim;
        let order = self.order(problems);
        let best_column = self.best_column(problems);
        let (kind, least) = self.sentence(problems);
        let at = self.at(problems);
        let mut columns = self.columns(problems);
        columns.retain(|c| Some(c) != best_column.as_ref());
        if best_column.is_some() && columns.is_empty() && problems.is_empty() {
            problems.push(Diagnostic::new(
                "there is no other column to be better than",
                self.origin("best_column"),
            ));
        }
        ResolvedClaim {
            text: claim.text.clone().unwrap_or_default(),
            kind,
            order,
            best_column,
            metric: self.metric(problems),
            regions: self.regions(problems),
            least,
            columns,
            labels: match &at {
                Some(at) => at.clone(),
                None => self.labels(problems),
            },
            at,
            over: claim.over,
        }
    }

    /// Where a key was written; the claim itself where it was not.
    fn origin(&self, key: &str) -> Option<&Origin> {
        self.tree.origin(key).or(Some(self.place))
    }

    fn items(&self, key: &str) -> &[Node] {
        self.tree
            .get(key)
            .and_then(Node::as_array)
            .unwrap_or_default()
    }

    /// Rows from best to worst.
    fn order(&self, problems: &mut Vec<Diagnostic>) -> Vec<String> {
        let claim = self.claim;
        self.known_rows(problems);
        let (key, row, is_best) = match (&claim.best, &claim.worst) {
            (Some(row), None) => ("best", row, true),
            (None, Some(row)) => ("worst", row, false),
            (Some(row), Some(_)) => {
                problems.push(self.either("best", "worst"));
                ("best", row, true)
            }
            (None, None) => return self.written_order(problems),
        };
        for (other, given) in [
            ("order", !claim.order.is_empty()),
            ("best_column", claim.best_column.is_some()),
            ("within", claim.within.is_some()),
            ("at", claim.at.is_some()),
        ] {
            if given {
                problems.push(self.either(key, other));
            }
        }
        let others: Vec<String> = match &claim.among {
            Some(among) => {
                let node = self.tree.get("among");
                check::unique(among, "row", node, self.place, problems);
                if let Some(i) = among.iter().position(|other| other == row) {
                    problems.push(Diagnostic::new(
                        format!("{row} cannot be compared with itself"),
                        self.items("among").get(i).map(|n| &n.origin),
                    ));
                }
                among.clone()
            }
            None => {
                let names = self.axes.rows.iter().map(|r| &r.name);
                names.filter(|name| *name != row).cloned().collect()
            }
        };
        if others.is_empty() && claim.among.is_none() {
            problems.push(Diagnostic::new(
                format!("there is no other row to compare {row} with"),
                self.origin(key),
            ));
        }
        let mut order = others;
        order.insert(if is_best { 0 } else { order.len() }, row.clone());
        order
    }

    /// The rows of `order`.
    fn written_order(&self, problems: &mut Vec<Diagnostic>) -> Vec<String> {
        let claim = self.claim;
        if claim.among.is_some() {
            problems.push(
                Diagnostic::new("'among' belongs to 'best' or 'worst'", self.origin("among"))
                    .hint("best = \"AMLP\": better than each of the rows in 'among'"),
            );
        }
        let least = if claim.best_column.is_some() { 1 } else { 2 };
        if claim.order.len() < least {
            problems.push(self.too_few());
        }
        if !claim.order.is_empty() {
            let node = self.tree.get("order");
            check::unique(&claim.order, "row", node, self.place, problems);
        }
        claim.order.clone()
    }

    /// Every row that the claim names exists.
    fn known_rows(&self, problems: &mut Vec<Diagnostic>) {
        let claim = self.claim;
        let rows: Vec<&str> = self.axes.rows.iter().map(|r| r.name.as_str()).collect();
        let mut known = |name: &str, origin: Option<&Origin>| {
            if !rows.contains(&name) {
                problems.push(check::unknown("row", name, &rows, origin));
            }
        };
        let among = claim.among.as_deref().unwrap_or_default();
        for (key, names) in [("order", claim.order.as_slice()), ("among", among)] {
            for (name, item) in names.iter().zip(self.items(key)) {
                known(name, Some(&item.origin));
            }
        }
        for (key, name) in [("best", &claim.best), ("worst", &claim.worst)] {
            if let Some(name) = name {
                known(name, self.origin(key));
            }
        }
    }

    /// Two keys that exclude each other.
    fn either(&self, one: &str, other: &str) -> Diagnostic {
        Diagnostic::new(
            format!("a claim has either '{one}' or '{other}'"),
            self.origin(other),
        )
    }

    fn too_few(&self) -> Diagnostic {
        let (problem, hint) = if self.claim.best_column.is_some() {
            (
                "a claim about columns names a row",
                "order = [\"AMLP\"]: the rows in which the column is best",
            )
        } else {
            (
                "a claim orders at least two rows",
                "order = [\"AMLP\", \"BASE\"], from best to worst; or best = \"AMLP\"",
            )
        };
        Diagnostic::new(problem, self.origin("order")).hint(hint)
    }

    /// What the claim says, and the least difference.
    fn sentence(&self, problems: &mut Vec<Diagnostic>) -> (ClaimKind, f64) {
        let claim = self.claim;
        for (key, value) in [("margin", claim.margin), ("within", claim.within)] {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v >= 0.0)) {
                problems.push(Diagnostic::new(
                    format!("{key} = {value} is out of range: a number from 0"),
                    self.origin(key),
                ));
            }
        }
        match (claim.margin, claim.within) {
            (Some(_), Some(_)) => {
                problems.push(
                    self.either("margin", "within")
                        .hint("margin: better by more than that; within: at most so much worse"),
                );
                (ClaimKind::Order, 0.0)
            }
            (margin, None) => {
                let kind = match margin {
                    _ if claim.best.is_some() || claim.best_column.is_some() => ClaimKind::Best,
                    _ if claim.worst.is_some() => ClaimKind::Worst,
                    Some(margin) if margin > 0.0 => ClaimKind::Margin,
                    _ => ClaimKind::Order,
                };
                (kind, margin.unwrap_or(0.0))
            }
            (None, Some(within)) => (ClaimKind::Within, -within),
        }
    }

    fn metric(&self, problems: &mut Vec<Diagnostic>) -> String {
        let metrics = self.axes.metrics;
        let metric = self
            .claim
            .metric
            .clone()
            .or_else(|| metrics.first().cloned())
            .unwrap_or_default();
        if !metrics.contains(&metric) {
            let known: Vec<&str> = metrics.iter().map(String::as_str).collect();
            let origin = self.tree.origin("metric");
            problems.push(check::unknown(
                "metric of the study",
                &metric,
                &known,
                origin,
            ));
        }
        metric
    }

    /// Regions; where none are named the mean, or all that the study shows if it shows no mean.
    fn regions(&self, problems: &mut Vec<Diagnostic>) -> Vec<String> {
        const MEAN: &str = "mean";
        let shown = self.axes.regions;
        let Some(names) = &self.claim.regions else {
            return if shown.iter().any(|r| r == MEAN) {
                vec![MEAN.to_owned()]
            } else {
                shown.to_vec()
            };
        };
        let node = self.tree.get("regions");
        check::unique(names, "region", node, self.place, problems);
        for (name, item) in names.iter().zip(self.items("regions")) {
            if !shown.contains(name) {
                let known: Vec<&str> = shown.iter().map(String::as_str).collect();
                let origin = Some(&item.origin);
                problems.push(check::unknown("region of the study", name, &known, origin));
            }
        }
        names.clone()
    }

    fn column(&self, name: &str, origin: Option<&Origin>) -> Result<Column, Diagnostic> {
        let columns = self.axes.columns;
        let shown: Vec<String> = columns.iter().map(Column::to_string).collect();
        let known: Vec<&str> = shown.iter().map(String::as_str).collect();
        let found = known.iter().position(|k| *k == name);
        found
            .map(|i| columns[i].clone())
            .ok_or_else(|| check::unknown("column of the study", name, &known, origin))
    }

    fn columns(&self, problems: &mut Vec<Diagnostic>) -> Vec<Column> {
        let Some(names) = &self.claim.data else {
            return self.axes.columns.to_vec();
        };
        let mut found = Vec::new();
        for (name, item) in names.iter().zip(self.items("data")) {
            match self.column(name, Some(&item.origin)) {
                Ok(column) => found.push(column),
                Err(problem) => problems.push(problem),
            }
        }
        found
    }

    fn best_column(&self, problems: &mut Vec<Diagnostic>) -> Option<Column> {
        let name = self.claim.best_column.as_ref()?;
        match self.column(name, self.origin("best_column")) {
            Ok(column) => Some(column),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    fn labels(&self, problems: &mut Vec<Diagnostic>) -> Vec<u32> {
        let Some(labels) = &self.claim.labels else {
            return self.axes.labels.to_vec();
        };
        self.known_labels("labels", labels, problems);
        labels.clone()
    }

    fn at(&self, problems: &mut Vec<Diagnostic>) -> Option<Vec<u32>> {
        let at = self.claim.at.clone()?;
        self.known_labels("at", &at, problems);
        if self.claim.labels.is_some() {
            problems.push(self.either("labels", "at"));
        }
        if at.len() != self.claim.order.len() && !self.claim.order.is_empty() {
            problems.push(
                Diagnostic::new(
                    format!(
                        "{} label ratios for {} rows",
                        at.len(),
                        self.claim.order.len()
                    ),
                    self.origin("at"),
                )
                .hint("order = [\"AMLP\", \"Sup\"] with at = [10, 50]: one for each row"),
            );
        }
        Some(at)
    }

    fn known_labels(&self, key: &str, labels: &[u32], problems: &mut Vec<Diagnostic>) {
        for (label, item) in labels.iter().zip(self.items(key)) {
            if !self.axes.labels.contains(label) {
                let known: Vec<String> = self.axes.labels.iter().map(u32::to_string).collect();
                problems.push(
                    Diagnostic::new(
                        format!("the study has no label ratio {label}"),
                        Some(&item.origin),
                    )
                    .hint(format!("known: {}", known.join(", "))),
                );
            }
        }
    }
}
