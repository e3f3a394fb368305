//! Tables as written to files and to the terminal.

use amlp_run::metric::Aggregate;
use amlp_run::options::{Aggregation, EmptyPolicy, HausdorffMode};
use amlp_run::report::lint::{LintReport, Rule, Severity, lint};
use amlp_run::report::{
    CSV_COLUMNS, Cell, Column, DataFact, Facts, Ledger, Place, Query, SeedValue, TableInput, csv,
    latex, markdown, terminal,
};

const COLUMNS: [(&str, &str); 6] = [
    ("hecktor", "CT"),
    ("hecktor", "PET"),
    ("brats2018", "T1CE"),
    ("brats2018", "T2"),
    ("brats2018", "FLAIR"),
    ("brats2018", "T1"),
];

fn place(column: (&str, &str), label: u32, method: &str, metric: &str) -> Place {
    Place {
        table: "IV".to_owned(),
        dataset: column.0.to_owned(),
        modality: column.1.to_owned(),
        label_percent: Some(label),
        method: method.to_owned(),
        metric: metric.to_owned(),
        region: None,
    }
}

fn seed(seed: u64, mean: f64) -> SeedValue {
    let aggregate = Aggregate {
        mean: Some(mean),
        n: 57,
        ..Aggregate::default()
    };
    SeedValue::new(seed, &aggregate)
}

/// Table IV with made-up numbers near the published ones; one cell missing, one partial.
fn table_iv(phantom: bool) -> TableInput {
    let ledger = Ledger::embedded().unwrap();
    let methods = ["Sup", "BASE", "MPS-AMR", "AMLP"];
    let mut cells = Vec::new();
    for label in [5, 10] {
        for (m, method) in methods.iter().enumerate() {
            for (c, column) in COLUMNS.iter().enumerate() {
                for metric in ["DSC", "HD95"] {
                    let published = ledger.find(&Query {
                        table: "IV",
                        dataset: column.0,
                        modality: column.1,
                        label_percent: Some(label),
                        method,
                        metric,
                        setting: "",
                    });
                    let published = published.unwrap().value;
                    let shift = 0.01 * (m as f64 - 1.0) - 0.001 * c as f64;
                    let values = match (label, *method, column.1) {
                        (10, "BASE", "T2") => vec![],
                        (10, "AMLP", "T2") => vec![seed(0, published)],
                        _ => (0..3)
                            .map(|s| seed(s, published + shift + 0.002 * s as f64))
                            .collect(),
                    };
                    let hole = match values.len() {
                        0 => Some("pretrain BASE brats2018/T2 failed: out of memory".to_owned()),
                        1 => Some("1 of 3 seeds so far".to_owned()),
                        _ => None,
                    };
                    cells.push(Cell::new(
                        place(*column, label, method, metric),
                        values,
                        Some(published),
                        vec!["a1b2".to_owned(), "c3d4".to_owned()],
                        hole,
                    ));
                }
            }
        }
    }
    let data = |name: &str, layout: &str| DataFact {
        name: name.to_owned(),
        layout: layout.to_owned(),
        phantom,
        split: "70/10/20 % of patients, seed 0".to_owned(),
    };
    TableInput {
        number: "IV".to_owned(),
        title: "Ablation of MPS, AMR and CRCL".to_owned(),
        experiment: "ablation".to_owned(),
        profile: "smoke".to_owned(),
        facts: Facts {
            data: vec![
                data("hecktor", "hecktor2020"),
                data("brats2018", "brats2018"),
            ],
            seeds: vec![0, 1, 2],
            device: "cpu-flex".to_owned(),
            aggregation: Aggregation::Volume,
            hausdorff: HausdorffMode::Max,
            empty: EmptyPolicy::Brats,
            measured: None,
            search: false,
        },
        methods: methods.map(str::to_owned).to_vec(),
        columns: COLUMNS
            .iter()
            .map(|(d, m)| Column {
                dataset: (*d).to_owned(),
                modality: (*m).to_owned(),
            })
            .collect(),
        labels: vec![Some(5), Some(10)],
        metrics: vec!["DSC".to_owned(), "HD95".to_owned()],
        cells,
    }
}

#[test]
fn csv_is_one_cell_a_line() {
    let table = table_iv(false);
    let text = csv(&table).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "table,dataset,modality,label_percent,method,metric,mean,sd,seeds,published,difference,stage_keys,hole,empty"
    );
    assert_eq!(lines[0], CSV_COLUMNS.join(","));
    assert_eq!(lines.len(), 1 + table.cells.len());
    assert_eq!(
        lines[1],
        "IV,hecktor,CT,5,Sup,DSC,0.166000,0.002000,0;1;2,0.174,-0.008000,a1b2;c3d4,,n=171;both=0;one=0;undefined=0"
    );
    assert!(lines.contains(
        &"IV,brats2018,T2,10,BASE,DSC,,,,0.4518,,a1b2;c3d4,pretrain BASE brats2018/T2 failed: out of memory,"
    ));
    // One seed: a mean without a deviation.
    assert!(lines.contains(
        &"IV,brats2018,T2,10,AMLP,DSC,0.519400,,0,0.5194,0.000000,a1b2;c3d4,1 of 3 seeds so far,n=57;both=0;one=0;undefined=0"
    ));
}

#[test]
fn same_cells_give_the_same_bytes() {
    let table = table_iv(false);
    let mut shuffled = table.clone();
    shuffled.cells.reverse();
    shuffled.cells.rotate_left(7);
    assert_eq!(csv(&table).unwrap(), csv(&shuffled).unwrap());
    assert_eq!(markdown(&table), markdown(&shuffled));
    assert_eq!(latex(&table), latex(&shuffled));
    assert_eq!(terminal(&table, 100), terminal(&shuffled, 100));
}

/// A small table: one data set, a region column, a hole, no label ratios' spread.
fn small() -> TableInput {
    let cell = |method: &str, region: Option<&str>, values: &[f64], hole: Option<&str>| {
        let mut place = place(("abd110", "CT"), 10, method, "DSC");
        place.region = region.map(str::to_owned);
        let values = values
            .iter()
            .enumerate()
            .map(|(s, &v)| {
                let aggregate = Aggregate {
                    mean: Some(v),
                    n: 4,
                    undefined: 0,
                    both_empty: 2,
                    one_empty: 1,
                };
                SeedValue::new(s as u64, &aggregate)
            })
            .collect();
        let published = (region.is_none() && method == "AMLP").then_some(0.8315);
        Cell::new(place, values, published, vec![], hole.map(str::to_owned))
    };
    TableInput {
        number: "XII".to_owned(),
        title: "Organs & more".to_owned(),
        experiment: "organs".to_owned(),
        profile: "small".to_owned(),
        facts: Facts {
            data: vec![DataFact {
                name: "abd110".to_owned(),
                layout: "abd110".to_owned(),
                phantom: true,
                split: String::new(),
            }],
            seeds: vec![0, 1],
            device: "cpu-flex".to_owned(),
            aggregation: Aggregation::SliceFg,
            hausdorff: HausdorffMode::Max,
            empty: EmptyPolicy::Skip,
            measured: None,
            search: false,
        },
        methods: vec!["U-Net".to_owned(), "a|b_c".to_owned(), "AMLP".to_owned()],
        columns: vec![Column {
            dataset: "abd110".to_owned(),
            modality: "CT".to_owned(),
        }],
        labels: vec![Some(10)],
        metrics: vec!["DSC_liver".to_owned(), "DSC".to_owned()],
        cells: vec![
            cell("U-Net", None, &[0.70, 0.72], None),
            cell("U-Net", Some("liver"), &[0.9, 0.9], None),
            cell("a|b_c", None, &[], Some("finetune failed: killed")),
            cell("AMLP", Some("liver"), &[0.90001, 0.90001], None),
            cell("AMLP", None, &[0.81, 0.83], None),
        ],
    }
}

#[test]
fn markdown_layout() {
    assert_eq!(
        markdown(&small()),
        r"# Table XII. Organs & more

- Experiment: organs, profile small
- Data: phantom-abd110 (layout abd110), synthetic images
- Seeds: 0, 1; mean ± sample standard deviation
- Device: cpu-flex
- Average: slice_fg (slices in which the reference is not empty), mean over slices
- Empty masks: skip: both empty is left out; one empty is 0, its distance the diagonal of the grid

| Method                 |   phantom-abd110 CT |                     |
|:-----------------------|--------------------:|--------------------:|
|                        |         DSC liver ↑ |               DSC ↑ |
| **10 % labels**        |                     |                     |
| U-Net                  | **0.9000** ± 0.0000 |     0.7100 ± 0.0141 |
| a\|b_c                 |                     |               – [1] |
| AMLP                   | **0.9000** ± 0.0000 | **0.8200** ± 0.0141 |
| published (difference) |                     |    0.8315 (-0.0115) |

Best of a group in **bold**, second best in _italics_. `published (difference)`: the paper's number, and ours minus it.

Holes:

1. finetune failed: killed (1 cell)

Empty masks, over the seeds and regions of a cell:

- phantom-abd110: 8 values per cell, one mask empty in 2, both in 4
"
    );
}

#[test]
fn latex_layout() {
    let text = latex(&small());
    let body: Vec<&str> = text
        .lines()
        .skip_while(|l| !l.starts_with("\\begin{tabular}"))
        .take_while(|l| !l.starts_with('%'))
        .collect();
    assert_eq!(
        body.join("\n"),
        r"\begin{tabular}{lrr}
\toprule
 & \multicolumn{2}{c}{phantom-abd110} \\
\cmidrule(lr){2-3}
 & \multicolumn{2}{c}{CT} \\
\cmidrule(lr){2-3}
Method & DSC liver $\uparrow$ & DSC $\uparrow$ \\
\midrule
\multicolumn{3}{l}{\textit{10 \% labels}} \\
U-Net & \textbf{0.9000} {\scriptsize $\pm$ 0.0000} & 0.7100 {\scriptsize $\pm$ 0.0141} \\
a\textbar{}b\_c &  & --$^{1}$ \\
AMLP & \textbf{0.9000} {\scriptsize $\pm$ 0.0000} & \textbf{0.8200} {\scriptsize $\pm$ 0.0141} \\
{\scriptsize published} &  & {\scriptsize 0.8315 ($-0.0115$)} \\
\bottomrule
\end{tabular}}
\par{\footnotesize $^{1}$ finetune failed: killed (1 cell)}"
    );
    assert!(text.contains(
        "\\caption{Organs \\& more. Experiment: organs, profile small. Data: phantom-abd110"
    ));
    assert_eq!(text.matches('{').count(), text.matches('}').count());
}

#[test]
fn terminal_layout() {
    assert_eq!(
        terminal(&small(), 100),
        r"Table XII. Organs & more
  Experiment: organs, profile small
  Data: phantom-abd110 (layout abd110), synthetic images
  Seeds: 0, 1; mean ± sample standard deviation
  Device: cpu-flex
  Average: slice_fg (slices in which the reference is not empty), mean over slices
  Empty masks: skip: both empty is left out; one empty is 0, its distance the diagonal of the grid

phantom-abd110
────────────────────────────────────────────────────────────
 Method                      CT
                    DSC liver ↑                       DSC ↑
────────────────────────────────────────────────────────────
 10 % labels:
 U-Net          0.9000* ±0.0000   0.7100  ±0.0141
 a|b_c                             - [1]
 AMLP           0.9000* ±0.0000   0.8200* ±0.0141 (-0.0115)
────────────────────────────────────────────────────────────

* best of its group; (in parentheses) ours minus published
[1] finetune failed: killed (1 cell)
Empty masks, over the seeds and regions of a cell:
  phantom-abd110: 8 values per cell, one mask empty in 2, both in 4
"
    );
}

#[test]
fn terminal_keeps_to_its_width_and_shows_everything() {
    let table = table_iv(false);
    for width in [70, 80, 100, 400] {
        let text = terminal(&table, width);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        // 2 label ratios, 4 methods, 6 columns, 2 metrics; every number with its difference.
        assert_eq!(text.matches(" ±0.0020 (").count(), 2 * 4 * 12 - 4);
        assert_eq!(text.matches("- [1]").count(), 2);
        assert!(text.contains("[1] pretrain BASE brats2018/T2 failed: out of memory (2"));
        assert!(!text.contains('\u{1b}'));
    }
    let blocks = |width| terminal(&table, width).matches("Method").count();
    assert_eq!(
        [blocks(70), blocks(80), blocks(160), blocks(400)],
        [12, 6, 3, 2]
    );
}

#[test]
fn terminal_names_what_has_no_value_and_draws_the_rest() {
    let mut table = table_iv(true);
    for cell in &mut table.cells {
        if cell.place.dataset == "hecktor" || cell.place.modality == "T2" {
            *cell = Cell::new(
                cell.place.clone(),
                vec![],
                cell.published,
                vec![],
                Some("not run".to_owned()),
            );
        }
    }
    let text = terminal(&table, 100);
    assert!(text.contains(
        "\nphantom-hecktor CT and PET: no value [1]\nphantom-brats2018 T2: no value [1]\n"
    ));
    assert!(text.contains("\n[1] not run (48 cells)\n"));
    assert!(!text.contains("\nphantom-hecktor\n") && text.contains("\nphantom-brats2018\n"));
    // The published numbers of what is not there stay in the files.
    assert!(markdown(&table).contains(" 0.1740 |"));
    table.cells.retain(|c| c.place.dataset == "hecktor");
    let text = terminal(&table, 100);
    assert!(!text.contains("Method") && !text.contains("best of its group"));
}

/// Hippocampus: the mean of two regions and each of them, one mask empty in more or fewer cases.
fn two_regions() -> TableInput {
    let mut cells = Vec::new();
    for (r, method) in ["Sup", "AMLP"].into_iter().enumerate() {
        for (m, metric) in ["DSC", "HD95"].into_iter().enumerate() {
            for (c, region) in [None, Some("Anterior"), Some("Posterior")]
                .into_iter()
                .enumerate()
            {
                let mut place = place(("hippocampus", "T1"), 10, method, metric);
                place.region = region.map(str::to_owned);
                let regions = if region.is_none() { 2 } else { 1 };
                let value = |seed: u64| {
                    let best = 0.8 + 0.01 * r as f64 + 0.02 * c as f64;
                    let far = 10.5 - 2.0 * r as f64 - c as f64;
                    let mean = if m == 0 { best } else { far } + 0.01 * seed as f64;
                    let aggregate = Aggregate {
                        mean: Some(mean),
                        n: 52 * regions,
                        one_empty: (2 - r) * regions,
                        ..Aggregate::default()
                    };
                    SeedValue::new(seed, &aggregate)
                };
                let published = region.is_none().then_some(if m == 0 { 0.85 } else { 2.5 });
                let values = vec![value(0), value(1)];
                cells.push(Cell::new(place, values, published, vec![], None));
            }
        }
    }
    let metrics = ["DSC", "HD95"].iter().flat_map(|m| {
        [
            (*m).to_owned(),
            format!("{m}_Anterior"),
            format!("{m}_Posterior"),
        ]
    });
    TableInput {
        number: "S1".to_owned(),
        title: "Two regions".to_owned(),
        facts: Facts {
            data: vec![DataFact {
                name: "hippocampus".to_owned(),
                layout: "msd".to_owned(),
                phantom: false,
                split: "182 train, 26 val, 52 test patients".to_owned(),
            }],
            ..small().facts
        },
        columns: vec![Column {
            dataset: "hippocampus".to_owned(),
            modality: "T1".to_owned(),
        }],
        methods: vec!["Sup".to_owned(), "AMLP".to_owned()],
        metrics: metrics.collect(),
        labels: vec![Some(10)],
        cells,
        ..small()
    }
}

#[test]
fn two_regions_are_split_between_metrics_in_a_terminal() {
    let text = terminal(&two_regions(), 100);
    let tables: Vec<&str> = text.lines().skip_while(|l| !l.is_empty()).collect();
    assert_eq!(
        tables.join("\n"),
        r"
hippocampus
──────────────────────────────────────────────────────────────────────────────
 Method                                T1
                                    DSC ↑    DSC Anterior ↑   DSC Posterior ↑
──────────────────────────────────────────────────────────────────────────────
 10 % labels:
 Sup            0.8050  ±0.0071 (-0.0450)   0.8250  ±0.0071   0.8450  ±0.0071
 AMLP           0.8150* ±0.0071 (-0.0350)   0.8350* ±0.0071   0.8550* ±0.0071
──────────────────────────────────────────────────────────────────────────────

hippocampus
────────────────────────────────────────────────────────────────────────────────
 Method                                 T1
                                    HD95 ↓   HD95 Anterior ↓   HD95 Posterior ↓
────────────────────────────────────────────────────────────────────────────────
 10 % labels:
 Sup            10.5050  ±0.0071 (+8.0050)   9.5050  ±0.0071    8.5050  ±0.0071
 AMLP            8.5050* ±0.0071 (+6.0050)   7.5050* ±0.0071    6.5050* ±0.0071
────────────────────────────────────────────────────────────────────────────────

* best of its group; (in parentheses) ours minus published
Empty masks, over the seeds and regions of a cell:
  hippocampus, mean of regions: 208 values per cell, one mask empty in 4 to 8, both in 0
  hippocampus, single regions: 104 values per cell, one mask empty in 2 to 4, both in 0"
    );
    // Too narrow for a metric: region by region, still nothing lost.
    let narrow = terminal(&two_regions(), 50);
    assert_eq!(narrow.matches(" ±0.0071").count(), 12);
    assert!(narrow.lines().all(|l| l.chars().count() <= 50), "{narrow}");
}

#[test]
fn two_regions_in_files() {
    let table = two_regions();
    let text = markdown(&table);
    let grid: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    assert_eq!(
        grid.join("\n"),
        r"| Method                 |      hippocampus T1 |                     |                     |                     |                     |                     |
|:-----------------------|--------------------:|--------------------:|--------------------:|--------------------:|--------------------:|--------------------:|
|                        |               DSC ↑ |      DSC Anterior ↑ |     DSC Posterior ↑ |              HD95 ↓ |     HD95 Anterior ↓ |    HD95 Posterior ↓ |
| **10 % labels**        |                     |                     |                     |                     |                     |                     |
| Sup                    |     0.8050 ± 0.0071 |     0.8250 ± 0.0071 |     0.8450 ± 0.0071 |    10.5050 ± 0.0071 |     9.5050 ± 0.0071 |     8.5050 ± 0.0071 |
| published (difference) |    0.8500 (-0.0450) |                     |                     |    2.5000 (+8.0050) |                     |                     |
| AMLP                   | **0.8150** ± 0.0071 | **0.8350** ± 0.0071 | **0.8550** ± 0.0071 | **8.5050** ± 0.0071 | **7.5050** ± 0.0071 | **6.5050** ± 0.0071 |
| published (difference) |    0.8500 (-0.0350) |                     |                     |    2.5000 (+6.0050) |                     |                     |"
    );
    assert!(latex(&table).contains(
        "Method & DSC $\\uparrow$ & DSC Anterior $\\uparrow$ & DSC Posterior $\\uparrow$ & \
         HD95 $\\downarrow$ & HD95 Anterior $\\downarrow$ & HD95 Posterior $\\downarrow$ \\\\"
    ));
    let text = csv(&table).unwrap();
    assert!(text.contains(",10,Sup,DSC_Anterior,"));
    let counts = |end: &str| text.lines().filter(|l| l.ends_with(end)).count();
    assert_eq!(counts(",n=208;both=0;one=8;undefined=0"), 2);
    assert_eq!(counts(",n=104;both=0;one=2;undefined=0"), 4);
}

#[test]
fn latex_takes_any_name() {
    let mut table = small();
    let name = r"[a]*%_&#$~^\{}";
    table.methods[0] = name.to_owned();
    for cell in &mut table.cells {
        if cell.place.method == "U-Net" {
            cell.place.method = name.to_owned();
        }
    }
    assert!(latex(&table).contains(
        r"
{[}a]{*}\%\_\&\#\$\textasciitilde{}\textasciicircum{}\textbackslash{}\{\} & "
    ));
}

#[test]
fn the_word_phantom_cannot_be_removed() {
    let table = table_iv(true);
    for text in [
        csv(&table).unwrap(),
        markdown(&table),
        latex(&table),
        terminal(&table, 100),
    ] {
        assert_eq!(
            text.matches("hecktor").count(),
            text.matches("hecktor2020").count() + text.matches("phantom-hecktor").count()
        );
        assert!(text.contains("phantom-brats2018"));
    }
    assert_eq!(table.shown("hecktor"), "phantom-hecktor");
    let mut named = table;
    named.facts.data[0].name = "phantom-hecktor".to_owned();
    assert_eq!(named.shown("phantom-hecktor"), "phantom-hecktor");
}

#[test]
fn cells_say_what_they_lack() {
    let place = || place(("hecktor", "CT"), 5, "AMLP", "DSC");
    let undefined = |seed| SeedValue {
        value: None,
        ..SeedValue::new(seed, &Aggregate::default())
    };
    let full = Cell::new(
        place(),
        vec![seed(0, 0.1), seed(1, 0.3)],
        Some(0.5),
        vec![],
        None,
    );
    assert!((full.mean.unwrap() - 0.2).abs() < 1e-12);
    assert!((full.sd.unwrap() - 0.02f64.sqrt()).abs() < 1e-12);
    assert!((full.difference.unwrap() + 0.3).abs() < 1e-12);
    assert_eq!((full.hole, full.counts.n), (None, 114));
    let partial = Cell::new(
        place(),
        vec![seed(4, 0.1), undefined(5)],
        None,
        vec![],
        None,
    );
    assert_eq!(
        (partial.mean, partial.sd, partial.seeds()),
        (Some(0.1), None, vec![4])
    );
    assert_eq!(partial.hole.as_deref(), Some("undefined in 1 of 2 seeds"));
    let nothing = Cell::new(place(), vec![undefined(0)], Some(0.5), vec![], None);
    assert_eq!((nothing.mean, nothing.difference), (None, None));
    assert_eq!(
        nothing.hole.as_deref(),
        Some("undefined in every case (empty masks)")
    );
    assert_eq!(
        Cell::new(place(), vec![], None, vec![], None)
            .hole
            .as_deref(),
        Some("no result")
    );
}

fn findings() -> LintReport {
    lint(&Ledger::embedded().unwrap())
}

/// The findings with a note, each as its numbers.
fn noted(report: &LintReport, note: &str) -> Vec<Vec<f64>> {
    report
        .findings
        .iter()
        .filter(|f| f.note == Some(note))
        .map(|f| f.sources.iter().map(|s| s.value).collect())
        .collect()
}

#[test]
fn lint_finds_the_ablation_contradictions_with_all_places() {
    let report = findings();
    let c1 = noted(&report, "C1");
    assert_eq!(c1[0], [57.2823, 57.2823, 58.2823]);
    assert_eq!(c1[1], [4.4292, 57.2823, 62.7115]);
    let shared = &report.findings[0];
    let places: Vec<&str> = shared.sources.iter().map(|s| s.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "Table III, hecktor CT, 5 %, Ours, HD95",
            "Table IV, hecktor CT, 5 %, Ours, HD95",
            "Table V, hecktor CT, 5 %, Lpred+Lrrl+Lccl, HD95",
        ]
    );
    let quote = report
        .findings
        .iter()
        .find(|f| f.note == Some("C1") && f.rule == Rule::Quote);
    assert_eq!(
        quote.unwrap().summary,
        "quoted 4.4292, the cells give 5.4292 (fits Table V, hecktor CT, 5 %, Lpred+Lrrl+Lccl, \
         HD95, 58.2823)"
    );
    assert_eq!(noted(&report, "C2"), [[40.6362, 40.6362, 40.2362]]);
}

#[test]
fn lint_finds_misquoted_numbers() {
    let report = findings();
    let summary = |note: &str| -> Vec<String> {
        let of = report.findings.iter().filter(|f| f.note == Some(note));
        of.map(|f| f.summary.clone()).collect()
    };
    assert_eq!(
        summary("C18"),
        ["quoted 0.303, the cells give 0.0303 (ten times too large)"]
    );
    assert_eq!(
        summary("C19"),
        [
            "quoted 1.39, the cells give 0.75 (fits the column DSC_ET); quoted 0.75, the cells give \
          0.68 (fits the column DSC_WT); quoted 0.68, the cells give 1.39 (fits the column DSC_TC)"
        ]
    );
    let c20 = summary("C20");
    assert_eq!(c20.len(), 2);
    assert_eq!(c20.join(" ").matches("fits the row BEiT V2").count(), 7);
}

#[test]
fn lint_doubts_what_is_unlikely() {
    let report = findings();
    assert_eq!(noted(&report, "C26"), [[40.108, 40.108]]);
    let c26 = report
        .findings
        .iter()
        .find(|f| f.note == Some("C26"))
        .unwrap();
    assert_eq!((c26.rule, c26.severity), (Rule::Duplicate, Severity::Doubt));
    assert_eq!(
        c26.sources[0].place,
        "Table III, brats2018 T2, 5 %, SelfMedMAE, HD95"
    );
    for note in ["C4", "C5"] {
        assert!(!noted(&report, note).is_empty(), "{note}");
    }
    // Not in the list of known inconsistencies: 10 % AMLP does not beat 100 % Sup on PET.
    let order = report
        .findings
        .iter()
        .find(|f| f.rule == Rule::Order)
        .unwrap();
    assert_eq!(
        order.sources.iter().map(|s| s.value).collect::<Vec<_>>(),
        [0.6314, 0.6475]
    );
}

/// Table V is read in two ways, and fits Table IV in neither.
#[test]
fn lint_finds_what_table_v_contradicts() {
    let report = findings();
    let c3: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.note == Some("C3"))
        .collect();
    let kinds: Vec<(Rule, &str)> = c3
        .iter()
        .map(|f| (f.rule, f.sources[1].place.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            // Lccl, which needs MPS, makes MPS worse.
            (Rule::Order, "Table IV, hecktor CT, 5 %, MPS, DSC"),
            (Rule::LookAlike, "Table IV, hecktor CT, 5 %, CRCL, DSC"),
            (Rule::LookAlike, "Table IV, hecktor CT, 5 %, MPS-AMR, DSC"),
        ]
    );
    let [better, worse] = &c3[0].sources[..2] else {
        panic!("two places");
    };
    assert_eq!(better.place, "Table V, hecktor CT, 5 %, Lpred+Lccl, DSC");
    assert_eq!((better.value, worse.value), (0.2592, 0.2679));
    assert_eq!(c3[1].sources[0].value, 0.2863);
    assert_eq!(c3[1].sources[1].value, 0.2481);
    assert_eq!(c3[2].sources[1].value, 0.2831);
}

/// Statements with numbers, each with both places.
#[test]
fn lint_finds_statements_that_cannot_hold_together() {
    let report = findings();
    for (note, severity, numbers) in [
        (
            "C6",
            Severity::Contradiction,
            vec![vec![48.0, 512.0], vec![36.0, 512.0]],
        ),
        ("C8", Severity::Doubt, vec![vec![0.0001, 0.05]]),
        ("C15", Severity::Contradiction, vec![vec![25.0, 75.0]]),
        ("C16", Severity::Doubt, vec![vec![25.0, 15.47]]),
        // 160 divides.
        ("C17", Severity::Contradiction, vec![vec![144.0, 32.0]]),
        (
            "C23",
            Severity::Doubt,
            vec![vec![0.0, 12.96, 0.5194, 0.5194]],
        ),
        (
            "C28",
            Severity::Contradiction,
            vec![vec![80.0, 25.0, 800.0]],
        ),
        (
            "C29",
            Severity::Doubt,
            vec![vec![31.0, 90.0], vec![56.0, 70.0]],
        ),
    ] {
        assert_eq!(noted(&report, note), numbers, "{note}");
        let of = report.findings.iter().filter(|f| f.note == Some(note));
        for finding in of {
            assert_eq!(
                (finding.rule, finding.severity),
                (Rule::Arithmetic, severity),
                "{note}"
            );
            assert!(finding.sources.iter().all(|s| !s.place.is_empty()));
        }
    }
    let c28 = report
        .findings
        .iter()
        .find(|f| f.note == Some("C28"))
        .unwrap();
    assert!(c28.summary.contains("tau = 12.15;"), "{}", c28.summary);
}

#[test]
fn lint_is_sure_first_and_readable_by_programs() {
    let report = findings();
    let sure = report.count(Severity::Contradiction);
    assert!(
        report.findings[..sure]
            .iter()
            .all(|f| f.severity == Severity::Contradiction)
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["numbers"], 1251);
    assert_eq!(json["findings"][0]["rule"], "shared");
    assert_eq!(json["findings"][0]["severity"], "contradiction");
    assert_eq!(json["findings"][0]["sources"][2]["value"], 58.2823);
    assert_eq!(json["findings"][0]["sources"][2]["line"], 1023);
    let text = report.text();
    assert!(text.starts_with("1251 numbers, "));
    assert_eq!(text.matches("1.94  the same sentence").count(), 1);
    assert!(text.contains("58.2823  Table V, hecktor CT, 5 %, Lpred+Lrrl+Lccl, HD95 (line 1023)"));
}

/// The rules that the paper passes must be able to fail.
#[test]
fn lint_catches_planted_errors() {
    let embedded = include_str!("../results/published.csv");
    let planted = |from: &str, to: &str| {
        assert_eq!(embedded.matches(from).count(), 1, "{from}");
        let text = embedded.replace(from, to);
        let report = lint(&Ledger::read("planted.csv", text.as_bytes()).unwrap());
        let known = findings().findings;
        let new = report.findings.into_iter().filter(|f| {
            !known
                .iter()
                .any(|k| k.summary == f.summary && k.sources == f.sources)
        });
        new.map(|f| (f.rule, f.summary)).collect::<Vec<_>>()
    };
    assert_eq!(
        planted(
            "VII,brats2018,,,category 1,precision_percent,47.77,",
            "VII,brats2018,,,category 1,precision_percent,48.77,"
        ),
        [(Rule::Derived, "the precision should be 47.77 %".to_owned())]
    );
    assert_eq!(
        planted(
            "XIII,brats2018,FLAIR,50,Faster-RCNN,AP70,0.3057,",
            "XIII,brats2018,FLAIR,50,Faster-RCNN,AP70,0.6057,"
        ),
        [(Rule::Range, "AP70 cannot exceed AP50".to_owned())]
    );
    assert_eq!(
        planted(
            "XV,brats2018,multimodal,,SimMIM,DSC,0.825,",
            "XV,brats2018,multimodal,,SimMIM,DSC,8.25,"
        )[0]
        .0,
        Rule::Quote
    );
    assert_eq!(
        planted(
            "X,brats2018,T1CE,5,BYOL,DSC_ET,0.4085,",
            "X,brats2018,T1CE,5,BYOL,DSC_ET,0.4185,"
        ),
        [(Rule::Derived, "the average should be 0.5278".to_owned())]
    );
    let swapped = planted(
        "VI,hecktor,PET,10,random,DSC,0.6156,",
        "VI,hecktor,PET,10,random,DSC,0.6256,",
    );
    assert!(
        swapped
            .iter()
            .any(|(rule, text)| *rule == Rule::Order && text.contains("poorest"))
    );
}
