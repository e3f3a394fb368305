//! Cells of different tables that report the same result.

use super::super::{Entry, Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// Rows of a table.
struct Rows {
    table: &'static str,
    /// `None`: every method, paired with itself.
    method: Option<&'static str>,
    /// Label ratio of the rows; `Any` pairs equal ones.
    label: Label,
    setting: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Any,
    Is(Option<u32>),
}

const fn rows(table: &'static str, method: &'static str) -> Rows {
    with(table, method, Label::Any, "")
}

const fn with(
    table: &'static str,
    method: &'static str,
    label: Label,
    setting: &'static str,
) -> Rows {
    Rows {
        table,
        method: Some(method),
        label,
        setting,
    }
}

const fn every(table: &'static str) -> Rows {
    Rows {
        table,
        method: None,
        label: Label::Any,
        setting: "",
    }
}

const HALF: Label = Label::Is(Some(50));
const FULL: Label = Label::Is(Some(100));
const UNSTATED: Label = Label::Is(None);

/// Rows that are one experiment by what the paper says of them.
const SHARED: &[(Rows, Rows)] = &[
    (every("II"), every("IV")),
    (every("III"), every("IV")),
    (rows("V", "Lpred"), rows("IV", "BASE")),
    (rows("V", "Lpred+Lrrl+Lccl"), rows("IV", "Ours")),
    (rows("VI", "hard to easy"), rows("IV", "Ours")),
    (
        with("VIII", "Ours", Label::Any, "clustering=kmeans"),
        rows("IV", "Ours"),
    ),
    (
        with("IX", "Ours", Label::Any, "misclassified=0%;labels=updated"),
        rows("IV", "Ours"),
    ),
    (
        with("IX", "Ours", Label::Any, "misclassified=0%;labels=fixed"),
        rows("IV", "Ours"),
    ),
    (every("X"), every("II")),
    (
        with("XI", "Ours", HALF, "backbone=unet2d"),
        with("XVII", "Ours", HALF, ""),
    ),
    (
        with("XI", "Ours", FULL, "backbone=unet2d"),
        with("XVII", "Ours", FULL, ""),
    ),
    (
        with("XI", "Ours", FULL, "backbone=unet2d"),
        with("XV", "MAE", UNSTATED, "backbone=unet2d;amlp=with"),
    ),
    (
        with("XI", "Ours", FULL, "backbone=unet3d"),
        with("XV", "MAE", UNSTATED, "backbone=unet3d;amlp=with"),
    ),
];

/// Rows that read alike without being called the same.
const LOOK_ALIKES: &[(&str, Rows, Rows, &str)] = &[
    (
        "C3",
        rows("V", "Lpred+Lrrl"),
        rows("IV", "CRCL"),
        "prediction and relative loss, in a table whose first row is BASE (V), and the combined \
         losses on BASE, where the category loss is excluded (IV)",
    ),
    (
        "C3",
        rows("V", "Lpred"),
        rows("IV", "MPS-AMR"),
        "the prediction loss alone, in a table whose last row is the full model (V), and the full \
         model without the other losses (IV)",
    ),
    (
        "C4",
        rows("VI", "random"),
        rows("IV", "AMR-CRCL"),
        "random masking with the full losses (VI) and the full model without patch selection (IV)",
    ),
    (
        "C5",
        rows("II", "MAE"),
        rows("IV", "BASE"),
        "MAE on the U-Net (II) and plain masking and reconstruction on the U-Net (IV)",
    ),
    (
        "C5",
        rows("III", "MAE"),
        rows("IV", "BASE"),
        "MAE on the U-Net (III) and plain masking and reconstruction on the U-Net (IV)",
    ),
];

/// Known inconsistencies by column of the ablation tables.
const NOTES: &[(&str, &str, u32, &str, &str)] = &[
    ("hecktor", "CT", 5, "HD95", "C1"),
    ("brats2018", "T2", 5, "HD95", "C2"),
];

/// Which entries are one result: a disjoint-set forest over the ledger.
pub(super) struct SameResult {
    parents: Vec<usize>,
    pairs: usize,
}

impl SameResult {
    pub(super) fn new(ledger: &Ledger) -> Self {
        let mut same = Self {
            parents: (0..ledger.entries().len()).collect(),
            pairs: 0,
        };
        for (left, right) in SHARED {
            for (a, b) in pairs(ledger, left, right) {
                let (a, b) = (same.root(a), same.root(b));
                // The first place of the ledger stands for the result.
                same.parents[a.max(b)] = a.min(b);
                same.pairs += 1;
            }
        }
        same
    }

    /// The entry that stands for the result of `entry`.
    pub(super) fn root(&self, mut entry: usize) -> usize {
        while self.parents[entry] != entry {
            entry = self.parents[entry];
        }
        entry
    }

    /// Entries that report the same result as `entry`, itself included.
    pub(super) fn as_entry<'a>(&self, ledger: &'a Ledger, entry: &Entry) -> Vec<&'a Entry> {
        let all = ledger.entries();
        let Some(index) = all.iter().position(|e| e.line == entry.line) else {
            return Vec::new();
        };
        let root = self.root(index);
        let members = all.iter().enumerate();
        members
            .filter(|(i, _)| self.root(*i) == root)
            .map(|(_, e)| e)
            .collect()
    }
}

/// Positions of the cells that two sets of rows share.
fn pairs(ledger: &Ledger, left: &Rows, right: &Rows) -> Vec<(usize, usize)> {
    let all = ledger.entries();
    let mut found = Vec::new();
    for (i, entry) in all.iter().enumerate() {
        let chosen = entry.table == left.table
            && left.method.is_none_or(|m| m == entry.method)
            && (left.label == Label::Any || left.label == Label::Is(entry.label_percent))
            && entry.setting == left.setting;
        if !chosen {
            continue;
        }
        let partner = ledger.find(&Query {
            table: right.table,
            method: right.method.unwrap_or(&entry.method),
            label_percent: match right.label {
                Label::Any => entry.label_percent,
                Label::Is(label) => label,
            },
            setting: right.setting,
            ..entry.query()
        });
        if let Some(j) = partner.and_then(|p| all.iter().position(|e| e.line == p.line)) {
            found.push((i, j));
        }
    }
    found
}

/// Reports results that print more than one number.
pub(super) fn check(ledger: &Ledger, same: &SameResult, report: &mut Report) {
    for _ in 0..same.pairs {
        report.checked();
    }
    let all = ledger.entries();
    for (i, first) in all.iter().enumerate() {
        if same.root(i) != i {
            continue;
        }
        let members: Vec<&Entry> = (i..all.len())
            .filter(|&j| same.root(j) == i)
            .map(|j| &all[j])
            .collect();
        if members.iter().all(|m| m.value == first.value) {
            continue;
        }
        let note = NOTES.iter().find(|(dataset, modality, label, metric, _)| {
            *dataset == first.dataset
                && *modality == first.modality
                && Some(*label) == first.label_percent
                && *metric == first.metric
        });
        report.add(Finding {
            rule: Rule::Shared,
            severity: Severity::Contradiction,
            note: note.map(|n| n.4),
            summary: "one result, different numbers".to_owned(),
            sources: members.into_iter().map(Source::cell).collect(),
        });
    }
}

/// Reports rows that read alike and differ, one finding for each pair of rows.
pub(super) fn check_look_alikes(ledger: &Ledger, report: &mut Report) {
    let all = ledger.entries();
    for (note, left, right, what) in LOOK_ALIKES {
        let mut sources = Vec::new();
        let pairs = pairs(ledger, left, right);
        for &(a, b) in &pairs {
            report.checked();
            if all[a].value != all[b].value {
                sources.extend([Source::cell(&all[a]), Source::cell(&all[b])]);
            }
        }
        if !sources.is_empty() {
            report.add(Finding {
                rule: Rule::LookAlike,
                severity: Severity::Doubt,
                note: Some(note),
                summary: format!(
                    "rows that read alike differ in {} of {} cells: {what}",
                    sources.len() / 2,
                    pairs.len()
                ),
                sources,
            });
        }
    }
}
