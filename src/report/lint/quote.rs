//! Numbers that the text quotes, against the cells that they come from.

use super::super::table::direction;
use super::super::{Entry, Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};
use super::shared::SameResult;

/// A cell of the ledger.
#[derive(Clone, Copy)]
struct At {
    table: &'static str,
    column: (&'static str, &'static str),
    label: Option<u32>,
    method: &'static str,
    metric: &'static str,
    setting: &'static str,
}

/// How a quoted number follows from cells.
#[derive(Clone, Copy)]
enum From {
    /// Gain of the first over the second cell, positive if the first is better.
    Gain(At, At),
    /// Gain over the best other row of the column.
    RunnerUp(At),
    /// Mean gain of `amlp=with` over `amlp=without` for a metric of a table.
    MeanGain(&'static str, &'static str),
    /// Sum of differences: `(a - b) + c`.
    Rest(At, At, At),
    /// First over second.
    Ratio(At, At),
}

struct Quote {
    note: Option<&'static str>,
    section: &'static str,
    text: &'static str,
    /// As printed, percent as percent.
    value: f64,
    /// Half of the last printed digit, or more where the text rounds in words.
    within: f64,
    /// 100 where a ratio is quoted in percent.
    scale: f64,
    from: From,
}

const CT: (&str, &str) = ("hecktor", "CT");
const T1: (&str, &str) = ("brats2018", "T1");
const T2: (&str, &str) = ("brats2018", "T2");
const T1CE: (&str, &str) = ("brats2018", "T1CE");
const FLAIR: (&str, &str) = ("brats2018", "FLAIR");
const ALL: (&str, &str) = ("brats2018", "multimodal");
const RSNA: (&str, &str) = ("rsna-pneumonia", "CXR");
const ORGANS: (&str, &str) = ("abd110", "CT");
const CLUSTERS: (&str, &str) = ("brats2018", "");

const fn at(
    table: &'static str,
    column: (&'static str, &'static str),
    label: u32,
    method: &'static str,
    metric: &'static str,
) -> At {
    At {
        table,
        column,
        label: Some(label),
        method,
        metric,
        setting: "",
    }
}

const fn set(at: At, setting: &'static str) -> At {
    At { setting, ..at }
}

const fn unlabelled(at: At) -> At {
    At { label: None, ..at }
}

const fn percent(
    section: &'static str,
    text: &'static str,
    value: f64,
    within: f64,
    from: From,
) -> Quote {
    Quote {
        note: None,
        section,
        text,
        value,
        within,
        scale: 100.0,
        from,
    }
}

const fn plain(
    section: &'static str,
    text: &'static str,
    value: f64,
    within: f64,
    from: From,
) -> Quote {
    Quote {
        scale: 1.0,
        ..percent(section, text, value, within, from)
    }
}

const fn noted(note: &'static str, quote: Quote) -> Quote {
    Quote {
        note: Some(note),
        ..quote
    }
}

/// Gain of AMLP over another row of the same column.
const fn ours(
    table: &'static str,
    column: (&'static str, &'static str),
    label: u32,
    other: &'static str,
    metric: &'static str,
) -> From {
    From::Gain(
        at(table, column, label, "Ours", metric),
        at(table, column, label, other, metric),
    )
}

const fn rows(
    table: &'static str,
    column: (&'static str, &'static str),
    label: u32,
    metric: &'static str,
    better: &'static str,
    worse: &'static str,
) -> From {
    From::Gain(
        at(table, column, label, better, metric),
        at(table, column, label, worse, metric),
    )
}

const fn flipped(labels: &'static str, clean: &'static str) -> From {
    let cell = at("IX", T2, 10, "Ours", "DSC");
    From::Gain(set(cell, clean), set(cell, labels))
}

const UPDATED: &str = "misclassified=0%;labels=updated";
const FIXED: &str = "misclassified=0%;labels=fixed";

const fn foundation(method: &'static str, metric: &'static str, setting: &'static str) -> From {
    From::Gain(
        at("XVII", ALL, 100, "Ours", metric),
        unlabelled(set(at("XVII", ALL, 0, method, metric), setting)),
    )
}

const fn cost(method: &'static str, metric: &'static str) -> From {
    From::Ratio(
        unlabelled(at("XVI", ALL, 0, method, metric)),
        unlabelled(at("XVI", ALL, 0, "Ours", metric)),
    )
}

const fn patches(category: &'static str, metric: &'static str) -> At {
    unlabelled(at("VII", CLUSTERS, 0, category, metric))
}

const SUP_CT: &str = "in the case of 5% annotation on the CT modality of the Hecktor dataset, AMLP \
                      outperforms the fully supervised method by 11.65% for DSC, 10.1% for Sen, \
                      8.24% for BIoU, and 4.4292 for HD95";
const SUP_T1: &str = "on the T1 modality of the BraTS2018 dataset, AMLP outperforms the fully \
                      supervised method by 15.54% for DSC, 23.21% for Sen, 6.73% for BIoU, and \
                      9.3621 for HD95";
const SSL_CT: &str = "5% annotation on CT modality of the Hecktor dataset, AMLP outperforms the \
                      fully supervised method by 1.46% for DSC, 1.94% for Sen, and 1.4% for BIoU";
const SSL_T1: &str = "on T1 modality of the BraTS2018 dataset, AMLP outperforms the fully \
                      supervised method by 2.7% for DSC, 1.32% for Sen, 0.45% for BIoU, and \
                      0.0289 for HD95";
const MPS: &str = "employing only MPS in Hecktor CT with 5% labeled data increased DSC by 3.06% \
                   and reduced HD95 by 1.1889 compared to BASE";
const NO_MPS: &str = "removing MPS from the complete AMR-CRCL model: DSC decreasing by 0.89% and \
                      HD95 increasing by 2.7751";
const LOSSES: &str = "Lrrl alone can improve DSC by 4.9%, and using Lccl alone can reduce HD96 by \
                      0.7789";
const AMR: &str = "using AMR on BraTS2018 T1 with 5% labeled data increased DSC by 1.87% and \
                   reduced HD95 by 1.092";
const NO_AMR: &str = "by removing AMR from the whole model DSC reduce by 2.35% and HD95 for 2.1174";
const STRATEGY: &str = "in Hecktor CT with 10% labeled data, hard to easy is 2.03% higher than \
                        easy to hard and 4.34% higher than random";
const UPDATES: &str = "10% and 20% pre-misclassified patches only differed by 0.44% and 0.91%; at \
                       30% the difference increased to 2.19%";
const NO_UPDATES: &str = "a 10% initial misclassification rate differed by only 1.35%; at 20% or \
                          30%, the DSC differences were 2.62% and 4.54%";
const REGIONS: &str = "1.39%, 0.75%, and 0.68% better DSC in the segmentation of WT, TC, and ET \
                       structures, respectively, compared to the second-best results";
const DETECTION: &str = "compared to the second-best baseline method, AMLP achieved 3.77% better \
                         results on AP50 and 2.56% on R50; on RSNA 1.62% on AP50 and 0.46% on R50";
const FOUNDATION: &str = "with 100% labels, AMLP outperforms MA-SAM (SAM-ViT-B) by 3.66% in DSC, \
                          and 3.08% in BIoU; MA-SAM with MedSAM-ViT-B by 2.51% and 2.12%; 3D \
                          SAM-Adapter by 1.05% and 1.00%";
const COSTS: &str = "the parameters of foundation models are 3 or even 20 times that of AMLP, and \
                     inference peak memory is 6 or even 22 times";

const QUOTES: &[Quote] = &[
    percent(
        "IV-A",
        SUP_CT,
        11.65,
        0.005,
        ours("II", CT, 5, "Sup", "DSC"),
    ),
    percent("IV-A", SUP_CT, 10.1, 0.05, ours("II", CT, 5, "Sup", "Sen")),
    percent(
        "IV-A",
        SUP_CT,
        8.24,
        0.005,
        ours("III", CT, 5, "Sup", "BIoU"),
    ),
    noted(
        "C1",
        plain(
            "IV-A",
            SUP_CT,
            4.4292,
            5e-5,
            ours("III", CT, 5, "Sup", "HD95"),
        ),
    ),
    percent(
        "IV-A",
        SUP_T1,
        15.54,
        0.005,
        ours("II", T1, 5, "Sup", "DSC"),
    ),
    percent(
        "IV-A",
        SUP_T1,
        23.21,
        0.005,
        ours("II", T1, 5, "Sup", "Sen"),
    ),
    percent(
        "IV-A",
        SUP_T1,
        6.73,
        0.005,
        ours("III", T1, 5, "Sup", "BIoU"),
    ),
    plain(
        "IV-A",
        SUP_T1,
        9.3621,
        5e-5,
        ours("III", T1, 5, "Sup", "HD95"),
    ),
    noted(
        "C20",
        percent("IV-A", SSL_CT, 1.46, 0.005, ours("II", CT, 5, "Sup", "DSC")),
    ),
    noted(
        "C20",
        percent("IV-A", SSL_CT, 1.94, 0.005, ours("II", CT, 5, "Sup", "Sen")),
    ),
    noted(
        "C20",
        percent("IV-A", SSL_CT, 1.4, 0.05, ours("III", CT, 5, "Sup", "BIoU")),
    ),
    noted(
        "C20",
        percent("IV-A", SSL_T1, 2.7, 0.05, ours("II", T1, 5, "Sup", "DSC")),
    ),
    noted(
        "C20",
        percent("IV-A", SSL_T1, 1.32, 0.005, ours("II", T1, 5, "Sup", "Sen")),
    ),
    noted(
        "C20",
        percent(
            "IV-A",
            SSL_T1,
            0.45,
            0.005,
            ours("III", T1, 5, "Sup", "BIoU"),
        ),
    ),
    noted(
        "C20",
        plain(
            "IV-A",
            SSL_T1,
            0.0289,
            5e-5,
            ours("III", T1, 5, "Sup", "HD95"),
        ),
    ),
    percent(
        "IV-B",
        MPS,
        3.06,
        0.005,
        rows("IV", CT, 5, "DSC", "MPS", "BASE"),
    ),
    plain(
        "IV-B",
        MPS,
        1.1889,
        5e-5,
        rows("IV", CT, 5, "HD95", "MPS", "BASE"),
    ),
    percent(
        "IV-B",
        NO_MPS,
        0.89,
        0.005,
        ours("IV", CT, 5, "AMR-CRCL", "DSC"),
    ),
    plain(
        "IV-B",
        NO_MPS,
        2.7751,
        5e-5,
        ours("IV", CT, 5, "AMR-CRCL", "HD95"),
    ),
    percent(
        "IV-B",
        LOSSES,
        4.9,
        0.05,
        rows("V", CT, 5, "DSC", "Lpred+Lrrl", "Lpred"),
    ),
    plain(
        "IV-B",
        LOSSES,
        0.7789,
        5e-5,
        rows("V", CT, 5, "HD95", "Lpred+Lccl", "Lpred"),
    ),
    percent(
        "IV-B",
        AMR,
        1.87,
        0.005,
        rows("IV", T1, 5, "DSC", "AMR", "BASE"),
    ),
    plain(
        "IV-B",
        AMR,
        1.092,
        5e-4,
        rows("IV", T1, 5, "HD95", "AMR", "BASE"),
    ),
    percent(
        "IV-B",
        NO_AMR,
        2.35,
        0.005,
        ours("IV", T1, 5, "MPS-CRCL", "DSC"),
    ),
    plain(
        "IV-B",
        NO_AMR,
        2.1174,
        5e-5,
        ours("IV", T1, 5, "MPS-CRCL", "HD95"),
    ),
    percent(
        "IV-B",
        STRATEGY,
        2.03,
        0.005,
        rows("VI", CT, 10, "DSC", "hard to easy", "easy to hard"),
    ),
    percent(
        "IV-B",
        STRATEGY,
        4.34,
        0.005,
        rows("VI", CT, 10, "DSC", "hard to easy", "random"),
    ),
    percent(
        "IV-C",
        "only 0.79% lower than the best score of 0.3894 attained by t-SNE",
        0.79,
        0.005,
        From::Gain(
            set(at("VIII", T1, 10, "Ours", "DSC"), "clustering=tsne"),
            set(at("VIII", T1, 10, "Ours", "DSC"), "clustering=kmeans"),
        ),
    ),
    percent(
        "IV-C",
        UPDATES,
        0.44,
        0.005,
        flipped("misclassified=10%;labels=updated", UPDATED),
    ),
    percent(
        "IV-C",
        UPDATES,
        0.91,
        0.005,
        flipped("misclassified=20%;labels=updated", UPDATED),
    ),
    percent(
        "IV-C",
        UPDATES,
        2.19,
        0.005,
        flipped("misclassified=30%;labels=updated", UPDATED),
    ),
    percent(
        "IV-C",
        NO_UPDATES,
        1.35,
        0.005,
        flipped("misclassified=10%;labels=fixed", FIXED),
    ),
    percent(
        "IV-C",
        NO_UPDATES,
        2.62,
        0.005,
        flipped("misclassified=20%;labels=fixed", FIXED),
    ),
    percent(
        "IV-C",
        NO_UPDATES,
        4.54,
        0.005,
        flipped("misclassified=30%;labels=fixed", FIXED),
    ),
    // Of 100 patches: category 1 without its lesion patches, and the lesion patches of category 2.
    plain(
        "IV-C",
        "a maximum misclassification rate of approximately 12.96%",
        12.96,
        0.015,
        From::Rest(
            patches("category 1", "patches"),
            patches("category 1", "lesion_patches"),
            patches("category 2", "lesion_patches"),
        ),
    ),
    noted(
        "C19",
        percent(
            "IV-C",
            REGIONS,
            1.39,
            0.005,
            From::RunnerUp(at("X", T1CE, 5, "Ours", "DSC_WT")),
        ),
    ),
    noted(
        "C19",
        percent(
            "IV-C",
            REGIONS,
            0.75,
            0.005,
            From::RunnerUp(at("X", T1CE, 5, "Ours", "DSC_TC")),
        ),
    ),
    noted(
        "C19",
        percent(
            "IV-C",
            REGIONS,
            0.68,
            0.005,
            From::RunnerUp(at("X", T1CE, 5, "Ours", "DSC_ET")),
        ),
    ),
    noted(
        "C18",
        plain(
            "IV-C",
            "our model achieves 0.8513, surpassing No New-Net by 0.303",
            0.303,
            5e-4,
            From::Gain(
                set(at("XI", ALL, 100, "Ours", "DSC"), "backbone=unet3d"),
                set(at("XI", ALL, 100, "No New-Net", "DSC"), "backbone=unet3d"),
            ),
        ),
    ),
    percent(
        "IV-C",
        "a DSC 1.76% higher than the second-best result",
        1.76,
        0.005,
        From::RunnerUp(at("XII", ORGANS, 10, "Ours", "DSC")),
    ),
    percent(
        "IV-C",
        DETECTION,
        3.77,
        0.005,
        From::RunnerUp(at("XIII", FLAIR, 10, "Ours", "AP50")),
    ),
    percent(
        "IV-C",
        DETECTION,
        2.56,
        0.005,
        From::RunnerUp(at("XIII", FLAIR, 10, "Ours", "R50")),
    ),
    percent(
        "IV-C",
        DETECTION,
        1.62,
        0.005,
        From::RunnerUp(at("XIII", RSNA, 10, "Ours", "AP50")),
    ),
    percent(
        "IV-C",
        DETECTION,
        0.46,
        0.005,
        From::RunnerUp(at("XIII", RSNA, 10, "Ours", "R50")),
    ),
    percent(
        "IV-C",
        "increase in DSC (nearly 2% on average)",
        2.0,
        0.25,
        From::MeanGain("XV", "DSC"),
    ),
    plain(
        "IV-C",
        "a reduction in HD95 (about 1.5 on average)",
        1.5,
        0.1,
        From::MeanGain("XV", "HD95"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        3.66,
        0.005,
        foundation("MA-SAM", "DSC", "init=SAM-ViT-B"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        3.08,
        0.005,
        foundation("MA-SAM", "BIoU", "init=SAM-ViT-B"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        2.51,
        0.005,
        foundation("MA-SAM", "DSC", "init=MedSAM-ViT-B"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        2.12,
        0.005,
        foundation("MA-SAM", "BIoU", "init=MedSAM-ViT-B"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        1.05,
        0.005,
        foundation("3D SAM-Adapter", "DSC", "init=MedSAM-ViT-B"),
    ),
    percent(
        "IV-C",
        FOUNDATION,
        1.0,
        0.005,
        foundation("3D SAM-Adapter", "BIoU", "init=MedSAM-ViT-B"),
    ),
    plain("IV-C", COSTS, 3.0, 0.5, cost("MedSAM", "params_million")),
    plain("IV-C", COSTS, 20.0, 1.0, cost("SAM", "params_million")),
    plain("IV-C", COSTS, 6.0, 0.5, cost("MedSAM", "peak_memory_gb")),
    plain(
        "IV-C",
        COSTS,
        22.0,
        0.5,
        cost("3D SAM-Adapter", "peak_memory_gb"),
    ),
];

/// Differences of four-digit numbers carry the error of binary fractions, not more.
const SLACK: f64 = 1e-9;

impl At {
    fn get<'a>(&self, ledger: &'a Ledger) -> Option<&'a Entry> {
        ledger.find(&Query {
            table: self.table,
            dataset: self.column.0,
            modality: self.column.1,
            label_percent: self.label,
            method: self.method,
            metric: self.metric,
            setting: self.setting,
        })
    }
}

/// What the cells give for a quote.
struct Found<'a> {
    value: f64,
    cells: Vec<&'a Entry>,
}

/// Gain of `a` over `b`, positive if `a` is better.
fn gain(a: &Entry, b: &Entry) -> Option<f64> {
    let sign = if direction(&a.metric)?.better(1.0, 0.0) {
        1.0
    } else {
        -1.0
    };
    Some(sign * (a.value - b.value))
}

/// Other rows of the column of `entry`.
fn column<'a>(ledger: &'a Ledger, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
    ledger.entries().iter().filter(move |e| {
        e.line != entry.line
            && e.table == entry.table
            && e.dataset == entry.dataset
            && e.modality == entry.modality
            && e.label_percent == entry.label_percent
            && e.metric == entry.metric
    })
}

fn runner_up<'a>(ledger: &'a Ledger, best: &'a Entry) -> Option<Found<'a>> {
    let (gain, second) = column(ledger, best)
        .filter_map(|e| Some((gain(best, e)?, e)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(Found {
        value: gain,
        cells: vec![best, second],
    })
}

impl From {
    fn compute<'a>(&self, ledger: &'a Ledger) -> Option<Found<'a>> {
        match self {
            Self::Gain(a, b) => {
                let (a, b) = (a.get(ledger)?, b.get(ledger)?);
                Some(Found {
                    value: gain(a, b)?,
                    cells: vec![a, b],
                })
            }
            Self::RunnerUp(best) => runner_up(ledger, best.get(ledger)?),
            Self::MeanGain(table, metric) => {
                let mut cells = Vec::new();
                let mut sum = 0.0;
                for with in ledger.entries() {
                    let setting = with.setting.replace("amlp=with", "amlp=without");
                    if with.table != *table || with.metric != *metric || setting == with.setting {
                        continue;
                    }
                    let query = Query {
                        setting: &setting,
                        ..with.query()
                    };
                    if let Some(without) = ledger.find(&query) {
                        sum += gain(with, without)?;
                        cells.extend([with, without]);
                    }
                }
                (!cells.is_empty()).then(|| Found {
                    value: sum / (cells.len() / 2) as f64,
                    cells,
                })
            }
            Self::Rest(a, b, c) => {
                let (a, b, c) = (a.get(ledger)?, b.get(ledger)?, c.get(ledger)?);
                Some(Found {
                    value: a.value - b.value + c.value,
                    cells: vec![a, b, c],
                })
            }
            Self::Ratio(a, b) => {
                let (a, b) = (a.get(ledger)?, b.get(ledger)?);
                Some(Found {
                    value: a.value / b.value,
                    cells: vec![a, b],
                })
            }
        }
    }
}

/// Checks every quote that the ledger has the cells for; one finding for each sentence.
pub(super) fn check(ledger: &Ledger, same: &SameResult, report: &mut Report) {
    for sentence in QUOTES.chunk_by(|a, b| a.text == b.text) {
        let mut wrong: Vec<(&Quote, String, Vec<Source>)> = Vec::new();
        for quote in sentence {
            let Some(found) = quote.from.compute(ledger) else {
                continue;
            };
            report.checked();
            if quote.fits(found.value) {
                continue;
            }
            let digits = if quote.scale > 1.0 { 2 } else { 4 };
            let cells = found.value * quote.scale;
            let mut summary = format!("quoted {}, the cells give {cells:.digits$}", quote.value);
            if let Some(instead) = quote.explain(ledger, same, &found) {
                summary.push_str(&format!(" ({instead})"));
            }
            let mut sources = vec![Source::text(quote.section, quote.text, quote.value)];
            sources.extend(found.cells.iter().map(|e| Source::cell(e)));
            wrong.push((quote, summary, sources));
        }
        let Some((first, ..)) = wrong.first() else {
            continue;
        };
        report.add(Finding {
            rule: Rule::Quote,
            severity: Severity::Contradiction,
            note: first.note,
            summary: wrong
                .iter()
                .map(|(_, summary, _)| summary.as_str())
                .collect::<Vec<_>>()
                .join("; "),
            sources: wrong
                .into_iter()
                .flat_map(|(.., sources)| sources)
                .collect(),
        });
    }
}

impl Quote {
    fn fits(&self, value: f64) -> bool {
        (value * self.scale - self.value).abs() <= self.within + SLACK
    }

    /// Where the quoted number comes from instead, if that can be seen.
    fn explain(&self, ledger: &Ledger, same: &SameResult, found: &Found<'_>) -> Option<String> {
        if self.fits(found.value * 10.0) {
            return Some("ten times too large".to_owned());
        }
        let (&first, rest) = found.cells.split_first()?;
        let second = *rest.first()?;
        match self.from {
            From::Gain(..) => {
                let elsewhere = same
                    .as_entry(ledger, first)
                    .into_iter()
                    .find(|e| gain(e, second).is_some_and(|g| self.fits(g)));
                if let Some(entry) = elsewhere {
                    return Some(format!("fits {}, {}", entry.place(), entry.value));
                }
                let row =
                    column(ledger, first).find(|e| gain(first, e).is_some_and(|g| self.fits(g)))?;
                Some(format!("fits the row {}, {}", row.method, row.value))
            }
            From::RunnerUp(_) => {
                let other = ledger.entries().iter().find(|e| {
                    e.table == first.table
                        && e.method == first.method
                        && e.metric != first.metric
                        && runner_up(ledger, e).is_some_and(|f| self.fits(f.value))
                })?;
                Some(format!("fits the column {}", other.metric))
            }
            From::MeanGain(..) | From::Rest(..) | From::Ratio(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quote_has_its_cells() {
        let ledger = Ledger::embedded().unwrap();
        for quote in QUOTES {
            assert!(quote.from.compute(&ledger).is_some(), "{}", quote.text);
        }
    }
}
