//! Claims: sentences whose rows, metric, columns and label ratios exist in the study.

use super::check;
use super::layers;
use super::resolved::{Column, ResolvedClaim, Row};
use crate::manifest::{Claim, Diagnostic, Node, Table};

/// What a claim may speak of.
pub(super) struct ClaimAxes<'a> {
    pub rows: &'a [Row],
    pub metrics: &'a [String],
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
        .map(|(claim, (tree, node))| resolve(claim, tree, node, axes, problems))
        .collect()
}

fn resolve(
    claim: &Claim,
    tree: &Table,
    node: &Node,
    axes: &ClaimAxes<'_>,
    problems: &mut Vec<Diagnostic>,
) -> ResolvedClaim {
    if claim.order.len() < 2 {
        problems.push(
            Diagnostic::new(
                "a claim orders at least two rows",
                tree.origin("order").or(Some(&node.origin)),
            )
            .hint("order = [\"AMLP\", \"BASE\"], from best to worst"),
        );
    }
    let rows: Vec<&str> = axes.rows.iter().map(|r| r.name.as_str()).collect();
    let items = tree
        .get("order")
        .and_then(Node::as_array)
        .unwrap_or_default();
    for (row, item) in claim.order.iter().zip(items) {
        if !rows.contains(&row.as_str()) {
            problems.push(check::unknown("row", row, &rows, Some(&item.origin)));
        }
    }
    if !claim.order.is_empty() {
        check::unique(
            &claim.order,
            "row",
            tree.get("order"),
            &node.origin,
            problems,
        );
    }
    let metric = claim
        .metric
        .clone()
        .or_else(|| axes.metrics.first().cloned())
        .unwrap_or_default();
    if !axes.metrics.contains(&metric) {
        let known: Vec<&str> = axes.metrics.iter().map(String::as_str).collect();
        problems.push(check::unknown(
            "metric of the study",
            &metric,
            &known,
            tree.origin("metric"),
        ));
    }
    let margin = claim.margin.unwrap_or(0.0);
    if !(margin.is_finite() && margin >= 0.0) {
        problems.push(Diagnostic::new(
            format!("margin = {margin} is out of range: a number from 0"),
            tree.origin("margin"),
        ));
    }
    ResolvedClaim {
        text: claim.text.clone().unwrap_or_default(),
        order: claim.order.clone(),
        metric,
        margin,
        columns: columns(claim, tree, axes, problems),
        labels: labels(claim, tree, axes, problems),
    }
}

fn columns(
    claim: &Claim,
    tree: &Table,
    axes: &ClaimAxes<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Column> {
    let Some(names) = &claim.data else {
        return axes.columns.to_vec();
    };
    let shown: Vec<String> = axes.columns.iter().map(Column::to_string).collect();
    let known: Vec<&str> = shown.iter().map(String::as_str).collect();
    let items = tree
        .get("data")
        .and_then(Node::as_array)
        .unwrap_or_default();
    let mut found = Vec::new();
    for (name, item) in names.iter().zip(items) {
        match known.iter().position(|k| k == name) {
            Some(i) => found.push(axes.columns[i].clone()),
            None => problems.push(check::unknown(
                "column of the study",
                name,
                &known,
                Some(&item.origin),
            )),
        }
    }
    found
}

fn labels(
    claim: &Claim,
    tree: &Table,
    axes: &ClaimAxes<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<u32> {
    let Some(labels) = &claim.labels else {
        return axes.labels.to_vec();
    };
    let items = tree
        .get("labels")
        .and_then(Node::as_array)
        .unwrap_or_default();
    for (label, item) in labels.iter().zip(items) {
        if !axes.labels.contains(label) {
            let known: Vec<String> = axes.labels.iter().map(u32::to_string).collect();
            problems.push(
                Diagnostic::new(
                    format!("the study has no label ratio {label}"),
                    Some(&item.origin),
                )
                .hint(format!("known: {}", known.join(", "))),
            );
        }
    }
    labels.clone()
}
