//! The plan: which stages a study needs, which of them are one and the same, and what a change of
//! one option changes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use amlp_run::manifest;
use amlp_run::plan::{
    Compiled, DataFact, DeviceClass, Graph, Key, Stage, StageKind, compile, nearest,
};
use amlp_run::study::{self, Only, Request, Resolved};

const ABLATION: &str = "experiments/ablation.toml";

fn resolved(profile: Option<&str>, set: &[&str]) -> Resolved {
    let request = Request {
        profile: profile.map(str::to_owned),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Request::default()
    };
    let loaded = manifest::load(Path::new(ABLATION)).unwrap_or_else(|e| panic!("{e}"));
    study::resolve(loaded, &request)
        .unwrap_or_else(|e| panic!("{e}"))
        .resolved
}

/// Data that is there, with the same digests wherever the tests run.
fn facts() -> BTreeMap<String, DataFact> {
    ["hecktor", "brats2018"]
        .into_iter()
        .map(|name| {
            let fact = DataFact {
                root: Some(Path::new("/data").join(name)),
                fingerprint: Some(format!("files of {name}")),
                problem: None,
            };
            (name.to_owned(), fact)
        })
        .collect()
}

fn plan_on(device: DeviceClass, profile: Option<&str>, set: &[&str]) -> Compiled {
    compile(&resolved(profile, set), &facts(), device, "ledger")
}

fn plan(set: &[&str]) -> Compiled {
    plan_on(DeviceClass::CpuFlex, None, set)
}

fn smoke(set: &[&str]) -> Compiled {
    plan_on(DeviceClass::CpuFlex, Some("smoke"), set)
}

fn counts(compiled: &Compiled) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for stage in &compiled.plan.stages {
        *counts.entry(stage.kind.name()).or_default() += 1;
    }
    counts
}

/// Keys of the evaluations of a row, by column, label ratio and seed.
fn runs(compiled: &Compiled, table: &str, row: &str) -> BTreeMap<(String, u32, u64), Key> {
    let (_, spec) = compiled
        .tables
        .iter()
        .find(|(_, spec)| spec.table == table)
        .unwrap();
    let position = spec.rows.iter().position(|r| r.name == row).unwrap();
    spec.cells
        .iter()
        .filter(|cell| cell.row == position)
        .flat_map(|cell| {
            let column = &spec.columns[cell.column];
            let column = format!("{}/{}", column.dataset, column.modality);
            cell.runs
                .iter()
                .map(move |(seed, key)| ((column.clone(), cell.label, *seed), key.clone()))
        })
        .collect()
}

/// The kinds of which a plan holds stages that the other one does not.
fn changed_kinds(before: &Compiled, after: &Compiled) -> BTreeSet<&'static str> {
    let known: HashSet<&Key> = before.plan.stages.iter().map(|s| &s.key).collect();
    after
        .plan
        .stages
        .iter()
        .filter(|s| !known.contains(&s.key))
        .map(|s| s.kind.name())
        .collect()
}

fn kinds<const N: usize>(names: [&'static str; N]) -> BTreeSet<&'static str> {
    names.into_iter().collect()
}

fn stage<'a>(compiled: &'a Compiled, label: &str) -> &'a Stage {
    compiled
        .plan
        .stages
        .iter()
        .find(|s| s.label == label)
        .unwrap_or_else(|| panic!("no stage '{label}'"))
}

#[test]
fn number_of_stages_in_the_papers_setting() {
    // 6 columns x 3 seeds = 18 runs of each row. 13 different pre-trainings: the 8 of Table IV, 3
    // more in Table V, 2 more in Table VI. Fine-tunings: 9 rows x 2 label ratios, 3 and 2 more.
    let counts = counts(&plan(&[]));
    let expected = BTreeMap::from([
        ("index", 2),
        ("split", 2 * 3),
        ("prepare", 6),
        ("cluster", 18),
        ("pretrain", 13 * 18),
        ("finetune", (9 * 2 + 3 + 2) * 18),
        ("evaluate", (9 * 2 + 3 + 2) * 18),
        ("tabulate", 3),
    ]);
    assert_eq!(counts, expected);
}

#[test]
fn number_of_stages_of_the_smoke_profile() {
    // One seed, and phantoms in the place of both data sets.
    let counts = counts(&smoke(&[]));
    let expected = BTreeMap::from([
        ("phantom", 2),
        ("index", 2),
        ("split", 2),
        ("prepare", 6),
        ("cluster", 6),
        ("pretrain", 13 * 6),
        ("finetune", (9 * 2 + 3 + 2) * 6),
        ("evaluate", (9 * 2 + 3 + 2) * 6),
        ("tabulate", 3),
    ]);
    assert_eq!(counts, expected);
}

#[test]
fn each_key_once_and_inputs_first() {
    for compiled in [plan(&[]), smoke(&[])] {
        let mut seen = HashSet::new();
        for stage in &compiled.plan.stages {
            for input in &stage.inputs {
                assert!(
                    seen.contains(&input.key),
                    "{} comes before its {}",
                    stage.label,
                    input.role
                );
            }
            assert!(seen.insert(stage.key.clone()), "{} twice", stage.label);
            assert_eq!(stage.key, Key::of(&stage.preimage), "{}", stage.label);
        }
    }
}

#[test]
fn the_graph_is_acyclic_and_its_order_starts_with_inputs() {
    let compiled = smoke(&[]);
    let graph = Graph::of(&compiled.plan);
    let order = graph.order().unwrap();
    assert_eq!(order.len(), compiled.plan.stages.len());
    let mut place = vec![0; order.len()];
    for (at, &stage) in order.iter().enumerate() {
        place[stage] = at;
    }
    let position: BTreeMap<&Key, usize> = compiled
        .plan
        .stages
        .iter()
        .enumerate()
        .map(|(i, s)| (&s.key, i))
        .collect();
    for (i, stage) in compiled.plan.stages.iter().enumerate() {
        for input in &stage.inputs {
            assert!(place[position[&input.key]] < place[i], "{}", stage.label);
        }
    }
}

#[test]
fn neighbours_in_the_graph() {
    let compiled = smoke(&["seeds=[1]"]);
    let graph = Graph::of(&compiled.plan);
    let kinds_at = |positions: Vec<usize>| -> BTreeSet<&'static str> {
        positions
            .into_iter()
            .map(|i| compiled.plan.stages[i].kind.name())
            .collect()
    };
    let pretrain = stage(&compiled, "pretrain AMLP phantom-hecktor/CT seed 1");
    assert_eq!(
        kinds_at(graph.ancestors(&pretrain.key)),
        kinds(["phantom", "index", "split", "prepare", "cluster"])
    );
    assert_eq!(
        kinds_at(graph.descendants(&pretrain.key)),
        kinds(["finetune", "evaluate", "tabulate"])
    );
    assert!(graph.dot(&compiled.plan).contains("pretrain -> finetune"));
}

#[test]
fn table_v_starts_with_base_of_table_iv() {
    let compiled = plan(&[]);
    let base = runs(&compiled, "IV", "BASE");
    let first = runs(&compiled, "V", "Lpred");
    assert_eq!(first.len(), 18);
    for (at, key) in &first {
        assert_eq!(base.get(at), Some(key), "{at:?}");
    }
    // The other rows that two tables share.
    for (row, of) in [("Lpred (MPS-AMR)", "MPS-AMR"), ("Lpred+Lrrl+Lccl", "AMLP")] {
        let all = runs(&compiled, "IV", of);
        for (at, key) in runs(&compiled, "V", row) {
            assert_eq!(all.get(&at), Some(&key), "{row} {at:?}");
        }
    }
}

#[test]
fn table_vi_ends_with_amlp_of_table_iv_at_10_percent() {
    let compiled = plan(&[]);
    let amlp = runs(&compiled, "IV", "AMLP");
    let last = runs(&compiled, "VI", "hard to easy");
    assert_eq!(last.len(), 18);
    for (at, key) in &last {
        assert_eq!(at.1, 10);
        assert_eq!(amlp.get(at), Some(key), "{at:?}");
    }
    // Random order with CCL and labels is not AMR-CRCL (methods/masked.md, C4).
    let random = runs(&compiled, "VI", "random");
    let amr_crcl = runs(&compiled, "IV", "AMR-CRCL");
    assert!(random.iter().all(|(at, key)| amr_crcl[at] != *key));
}

#[test]
fn all_other_rows_differ() {
    let compiled = plan(&[]);
    let mut rows: BTreeMap<Vec<Key>, String> = BTreeMap::new();
    for row in [
        "Sup", "BASE", "MPS", "AMR", "CRCL", "MPS-AMR", "MPS-CRCL", "AMR-CRCL", "AMLP",
    ] {
        let keys = runs(&compiled, "IV", row).into_values().collect();
        if let Some(other) = rows.insert(keys, row.to_owned()) {
            panic!("{row} runs the same as {other}");
        }
    }
}

#[test]
fn a_supervised_row_reads_nothing_of_pretraining() {
    let changed = changed_kinds(
        &plan(&[]),
        &plan(&["pretrain.epochs=7", "amlp.amr.fixed=0.5"]),
    );
    assert!(changed.contains("pretrain"));
    let key = |set: &[&str]| {
        let compiled = plan(set);
        runs(&compiled, "IV", "Sup")
    };
    assert_eq!(key(&[]), key(&["pretrain.epochs=7", "amlp.amr.fixed=0.5"]));
}

#[test]
fn an_option_changes_the_stages_that_read_it_and_what_follows() {
    let before = plan(&[]);
    let cases: [(&[&str], BTreeSet<&'static str>); 11] = [
        (
            &["finetune.epochs=71"],
            kinds(["finetune", "evaluate", "tabulate"]),
        ),
        (
            &["pretrain.epochs=801"],
            kinds(["pretrain", "finetune", "evaluate", "tabulate"]),
        ),
        (
            &["split.seed=1"],
            kinds([
                "split", "cluster", "pretrain", "finetune", "evaluate", "tabulate",
            ]),
        ),
        (
            &["seeds=[4]"],
            kinds([
                "split", "cluster", "pretrain", "finetune", "evaluate", "tabulate",
            ]),
        ),
        (
            &["prepare.zscore.enabled=false"],
            kinds([
                "prepare", "cluster", "pretrain", "finetune", "evaluate", "tabulate",
            ]),
        ),
        (
            &["slices.train=all"],
            kinds(["finetune", "evaluate", "tabulate"]),
        ),
        (
            &["evaluate.metric.eps=1e-6"],
            kinds(["evaluate", "tabulate"]),
        ),
        (&["evaluate.aggregation=slice_fg"], kinds(["tabulate"])),
        (&["evaluate.hausdorff=pooled"], kinds(["tabulate"])),
        (&["name=other"], kinds(["tabulate"])),
        (
            &["clustering=hierarchical"],
            kinds(["cluster", "pretrain", "finetune", "evaluate", "tabulate"]),
        ),
    ];
    for (set, expected) in cases {
        assert_eq!(changed_kinds(&before, &plan(set)), expected, "{set:?}");
    }
}

#[test]
fn the_device_class_enters_the_keys_of_what_computes() {
    let flex = smoke(&[]);
    let cuda = plan_on(DeviceClass::LibtorchCuda, Some("smoke"), &[]);
    assert_eq!(
        changed_kinds(&flex, &cuda),
        kinds(["pretrain", "finetune", "evaluate", "tabulate"])
    );
}

#[test]
fn a_changed_file_changes_everything_of_its_data_set_alone() {
    let resolved = resolved(None, &[]);
    let mut other = facts();
    other.get_mut("hecktor").unwrap().fingerprint = Some("one more file".to_owned());
    let before = compile(&resolved, &facts(), DeviceClass::CpuFlex, "ledger");
    let after = compile(&resolved, &other, DeviceClass::CpuFlex, "ledger");
    let before: HashSet<&Key> = before.plan.stages.iter().map(|s| &s.key).collect();
    for stage in &after.plan.stages {
        let touched = stage.label.contains("hecktor") || stage.kind == StageKind::Tabulate;
        assert_eq!(!before.contains(&stage.key), touched, "{}", stage.label);
    }
}

#[test]
fn where_the_data_lies_is_no_part_of_a_key() {
    let resolved = resolved(None, &[]);
    let mut moved = facts();
    for fact in moved.values_mut() {
        fact.root = Some("/elsewhere".into());
    }
    let keys = |facts| -> Vec<Key> {
        compile(&resolved, facts, DeviceClass::CpuFlex, "ledger")
            .plan
            .stages
            .into_iter()
            .map(|s| s.key)
            .collect()
    };
    assert_eq!(keys(&facts()), keys(&moved));
}

#[test]
fn a_phantom_is_never_taken_for_the_data_set() {
    let phantom = "data.hecktor.phantom={ kind = \"hecktor2020\" }";
    let real = plan(&[]);
    let synthetic = plan(&[phantom]);
    let real: HashSet<&Key> = real.plan.stages.iter().map(|s| &s.key).collect();
    let mut checked = 0;
    for stage in &synthetic.plan.stages {
        if stage.label.contains("phantom-hecktor") {
            assert!(!real.contains(&stage.key), "{}", stage.label);
            checked += 1;
        }
        assert!(
            !stage.label.contains("hecktor") || stage.label.contains("phantom-hecktor"),
            "{} hides that the patients are synthetic",
            stage.label
        );
    }
    assert!(checked > 100);
    for (_, table) in &synthetic.tables {
        for column in &table.columns {
            assert_ne!(column.dataset, "hecktor");
        }
    }
}

#[test]
fn missing_data_makes_a_provisional_plan() {
    let resolved = resolved(None, &[]);
    let mut facts = facts();
    facts.insert(
        "brats2018".to_owned(),
        DataFact {
            problem: Some("no such folder".to_owned()),
            ..DataFact::default()
        },
    );
    let compiled = compile(&resolved, &facts, DeviceClass::CpuFlex, "ledger");
    assert_eq!(
        compiled.missing_data,
        BTreeMap::from([("brats2018".to_owned(), "no such folder".to_owned())])
    );
    for stage in &compiled.plan.stages {
        let touched = stage.label.contains("brats2018") || stage.kind == StageKind::Tabulate;
        assert_eq!(
            compiled.provisional.contains(&stage.key),
            touched,
            "{}",
            stage.label
        );
    }
}

#[test]
fn the_reason_names_the_field_with_old_and_new_value() {
    let label = "finetune AMLP hecktor/CT 5 % seed 1";
    let before = plan(&[]);
    let after = plan(&["finetune.epochs=71"]);
    let new = stage(&after, label);
    let candidates = before
        .plan
        .stages
        .iter()
        .filter(|s| s.kind == StageKind::Finetune)
        .map(|s| (&s.preimage, &s.label));
    let (nearest_label, changes) = nearest(&new.preimage, candidates).unwrap();
    assert_eq!(nearest_label, label);
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["finetune.epochs: 70 -> 71"]);
}

#[test]
fn only_cuts_the_plan() {
    let only = |pairs: &str| {
        let only = Only::parse(&[pairs.to_owned()]).unwrap();
        let resolved = only.apply(resolved(None, &[])).unwrap();
        compile(&resolved, &facts(), DeviceClass::CpuFlex, "ledger")
    };
    let one = only("table=IV,method=amlp,data=hecktor/CT,label=5,seed=1");
    let expected = BTreeMap::from([
        ("index", 1),
        ("split", 1),
        ("prepare", 1),
        ("cluster", 1),
        ("pretrain", 1),
        ("finetune", 1),
        ("evaluate", 1),
        ("tabulate", 1),
    ]);
    assert_eq!(counts(&one), expected);
    // What is left has the keys that it has in the whole.
    let whole: HashSet<Key> = plan(&[]).plan.stages.into_iter().map(|s| s.key).collect();
    for stage in &one.plan.stages {
        assert_eq!(
            whole.contains(&stage.key),
            stage.kind != StageKind::Tabulate,
            "{}",
            stage.label
        );
    }
    // Several values of one key widen, several keys narrow; a whole table keeps its key.
    assert_eq!(counts(&only("table=IV,table=V"))["tabulate"], 2);
    assert_eq!(counts(&only("method=Sup,method=BASE"))["pretrain"], 18);
    assert!(
        only("table=VI")
            .plan
            .stages
            .iter()
            .all(|s| whole.contains(&s.key))
    );

    let refused = |pairs: &str| {
        Only::parse(&[pairs.to_owned()])
            .and_then(|only| only.apply(resolved(None, &[])))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("table=XX"),
        "--only table=XX matches nothing; there is: IV, V, VI"
    );
    assert!(refused("tabel=IV").contains("no key 'tabel'"));
    assert!(refused("IV").contains("key=value"));
}

/// The addresses of everything that users have in their stores. A failure means that all of it
/// would be computed again. If that is meant (a field that stages read was added, renamed or got
/// another default; a stage's version was bumped), copy the keys from the failure's output into
/// `GOLDEN`, and say so in the change log.
#[test]
fn golden_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.toml");
    std::fs::write(&path, GOLDEN_MANIFEST).unwrap();
    let loaded = manifest::load(&path).unwrap_or_else(|e| panic!("{e}"));
    let resolved = study::resolve(loaded, &Request::default())
        .unwrap_or_else(|e| panic!("{e}"))
        .resolved;
    let compiled = compile(&resolved, &facts(), DeviceClass::CpuFlex, "ledger");
    let found: Vec<(String, String)> = compiled
        .plan
        .stages
        .iter()
        .map(|s| (s.label.clone(), s.key.to_string()))
        .collect();
    let expected: Vec<(String, String)> = GOLDEN
        .iter()
        .map(|(label, key)| ((*label).to_owned(), (*key).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

/// Nothing but defaults, so that no edit of an experiment moves these keys.
const GOLDEN_MANIFEST: &str = r#"
name = "golden"

[data.brats2018]
layout = "brats2018"

[data.synthetic]
layout = "hecktor2020"
phantom = { kind = "hecktor2020", cases = 4, scale = 0.25 }

[[study]]
table = "golden"
data = ["synthetic/CT", "brats2018/FLAIR"]
labels = [5]
seeds = [1]

[[study.variant]]
name = "Sup"
pretext = "none"

[[study.variant]]
name = "BASE"
mps = false
amr = false
crcl = false

[[study.variant]]
name = "AMLP"
"#;

const GOLDEN: &[(&str, &str)] = &[
    (
        "phantom phantom-synthetic",
        "715bb59d4e85db0f1a234caadc818ecc",
    ),
    (
        "index phantom-synthetic",
        "ada6f07fd8b560c04b47fad5db199e68",
    ),
    (
        "split phantom-synthetic seed 1",
        "ecf959a49bb820c4898257e3061c0e9b",
    ),
    (
        "prepare phantom-synthetic/CT",
        "32b2fcf85afb83fcb069653de372a4c2",
    ),
    (
        "finetune Sup phantom-synthetic/CT 5 % seed 1",
        "eb303558c29b58f2450c79c4c35a3993",
    ),
    (
        "evaluate Sup phantom-synthetic/CT 5 % seed 1",
        "573701c325e422888bb43c9243fe260d",
    ),
    ("index brats2018", "8365a92b7590fb80cac39c438fb7ad79"),
    ("split brats2018 seed 1", "0d1c0e3ee1be8ff1dc379b210d9448aa"),
    (
        "prepare brats2018/FLAIR",
        "41a1a0ba10b77f0f0140069d32ab0325",
    ),
    (
        "finetune Sup brats2018/FLAIR 5 % seed 1",
        "7c26b0a5f315db59b750a90197acacea",
    ),
    (
        "evaluate Sup brats2018/FLAIR 5 % seed 1",
        "49092e8e58dfd25518e60db300575b51",
    ),
    (
        "pretrain BASE phantom-synthetic/CT seed 1",
        "93f6a1e74fd2eb1dbd0d660c3d24e490",
    ),
    (
        "finetune BASE phantom-synthetic/CT 5 % seed 1",
        "b60e003b6673bd7cb980cea4d1b78c09",
    ),
    (
        "evaluate BASE phantom-synthetic/CT 5 % seed 1",
        "0504bd9a4a42baf8769980e03e8c8503",
    ),
    (
        "pretrain BASE brats2018/FLAIR seed 1",
        "c5de7671bb7af867104361b1b3666967",
    ),
    (
        "finetune BASE brats2018/FLAIR 5 % seed 1",
        "ebc584223034b53215741d8fbe0f864c",
    ),
    (
        "evaluate BASE brats2018/FLAIR 5 % seed 1",
        "dbc9aa29bae65658205eaa5a0c76060a",
    ),
    (
        "cluster phantom-synthetic/CT seed 1",
        "f5f4349832074bfbb0576c7c6b231446",
    ),
    (
        "pretrain AMLP phantom-synthetic/CT seed 1",
        "8241daf138fef295bf15ca9a8469c156",
    ),
    (
        "finetune AMLP phantom-synthetic/CT 5 % seed 1",
        "d54384303967dade3ce24f166fc20dd8",
    ),
    (
        "evaluate AMLP phantom-synthetic/CT 5 % seed 1",
        "54a746634a1997a1cd6b40d7aa06413a",
    ),
    (
        "cluster brats2018/FLAIR seed 1",
        "3e3714e97c03be3f42e933e62ccf61c5",
    ),
    (
        "pretrain AMLP brats2018/FLAIR seed 1",
        "48ef1d70ffab9efc9743f309d2476ba5",
    ),
    (
        "finetune AMLP brats2018/FLAIR 5 % seed 1",
        "634b7f37d1bd94a86cd096df89771fe2",
    ),
    (
        "evaluate AMLP brats2018/FLAIR 5 % seed 1",
        "0027b1b4a8bf4e09542c54444f6495f1",
    ),
    ("tabulate golden", "a78f2b7370f166017ae380d924f2afdd"),
];

#[test]
fn the_whole_ablation_in_the_papers_setting_is_1097_stages() {
    assert_eq!(plan(&[]).plan.stages.len(), 1097);
}

/// The plan of a manifest that extends the paper's settings, with one seed.
fn plan_of(text: &str) -> Compiled {
    let folder = tempfile::tempdir().unwrap();
    let base = std::fs::read_to_string("experiments/base/paper.toml").unwrap();
    std::fs::create_dir(folder.path().join("base")).unwrap();
    std::fs::write(folder.path().join("base/paper.toml"), base).unwrap();
    let path = folder.path().join("m.toml");
    std::fs::write(&path, format!("extends = \"base/paper.toml\"\n{text}")).unwrap();
    let loaded = manifest::load(&path).unwrap_or_else(|e| panic!("{e}"));
    let request = Request {
        set: vec!["seeds=[1]".to_owned()],
        ..Request::default()
    };
    let resolution = study::resolve(loaded, &request).unwrap_or_else(|e| panic!("{e}"));
    compile(
        &resolution.resolved,
        &facts(),
        DeviceClass::CpuFlex,
        "ledger",
    )
}

#[test]
fn a_tokenizer_stands_between_two_pretrainings_and_is_shared() {
    let row = |name: &str, more: &str| {
        format!("[[study.variant]]\nname = \"{name}\"\npretext = \"beit2\"\n{more}\n")
    };
    let mae = "[[study.variant]]\nname = \"MAE\"\npretext = \"mae\"\n";
    let study = "[[study]]\ntable = \"T\"\ndata = [\"hecktor/CT\"]\nlabels = [5, 10]\n";
    let text = [
        study.to_owned(),
        mae.to_owned(),
        row("BEiT", ""),
        row("class", "beit2.class_branch = true"),
        row("original", "beit2.recipe = \"original\""),
        row("HOG", "beit2.tokenizer.teacher = \"hog\""),
        row(
            "own",
            "beit2.tokenizer.recipe = \"original\"\nbeit2.tokenizer.epochs = 7",
        ),
        row("other MAE", "beit2.tokenizer.mae.norm_pix = false"),
    ]
    .concat();
    let compiled = plan_of(&text);
    let counts = counts(&compiled);
    // The rows' own, and the MAE that is the teacher of the last row.
    assert_eq!(counts["pretrain"], 7 + 1);
    assert_eq!(counts["tokenize"], 4);
    assert!(!counts.contains_key("cluster"));
    let find = |label: &str| stage(&compiled, &format!("{label} hecktor/CT seed 1"));
    let tokenizer = find("tokenize BEiT");
    assert_eq!(tokenizer.input("teacher"), Some(&find("pretrain MAE").key));
    assert_eq!(tokenizer.spec["tokenize"]["epochs"], 100);
    for row in ["BEiT", "class", "original"] {
        let own = find(&format!("pretrain {row}"));
        assert_eq!(own.input("codes"), Some(&tokenizer.key), "{row}");
        assert_eq!(own.input("labels"), None);
    }
    let lr = |label: &str| {
        let stage = find(label);
        let training = &stage.spec[stage.kind.name()];
        training["optimiser"]["lr"].as_f64().unwrap()
    };
    assert_eq!(lr("pretrain BEiT"), 1e-4);
    assert!((lr("pretrain original") - 3.52e-5).abs() < 1e-7);
    assert_eq!(lr("tokenize BEiT"), 1e-4);
    assert!((lr("tokenize own") - 5e-5 * 48.0 / 128.0).abs() < 1e-12);
    assert_eq!(find("tokenize own").spec["tokenize"]["epochs"], 7);
    assert_eq!(find("tokenize HOG").input("teacher"), None);
    let other = find("tokenize other MAE").input("teacher").unwrap();
    assert_ne!(*other, find("pretrain MAE").key);

    // Without a row of its own the teacher is there all the same.
    let alone = plan_of(&[study.to_owned(), row("BEiT", "")].concat());
    let keys = |compiled: &Compiled| -> HashSet<Key> {
        compiled.plan.stages.iter().map(|s| s.key.clone()).collect()
    };
    assert!(keys(&alone).contains(&tokenizer.key));
    assert!(keys(&alone).contains(&find("pretrain MAE").key));
}

#[test]
fn the_whole_network_is_handed_on_where_it_is_asked_for_and_trained() {
    let study = "[[study]]\ntable = \"T\"\ndata = [\"hecktor/CT\"]\nlabels = [5]\n";
    let row = |pretext: &str, transfer: &str| {
        format!(
            "[[study.variant]]\nname = \"{pretext} {transfer}\"\npretext = \"{pretext}\"\n\
             pretrain.transfer = \"{transfer}\"\n"
        )
    };
    let mut text = study.to_owned();
    for pretext in ["vox2vec", "simclr", "beit2"] {
        text += &row(pretext, "encoder");
        text += &row(pretext, "full");
    }
    let compiled = plan_of(&text);
    let key = |pretext: &str, transfer: &str| {
        let label = format!("pretrain {pretext} {transfer} hecktor/CT seed 1");
        let found = compiled.plan.stages.iter().find(|s| s.label == label);
        found.map(|s| s.key.clone())
    };
    // SimCLR has no decoder, BEiT v2 neither, nor its tokenizer and teacher: one stage each.
    assert_ne!(key("vox2vec", "full"), None);
    assert_ne!(key("vox2vec", "full"), key("vox2vec", "encoder"));
    assert_eq!(key("simclr", "full"), None);
    assert_eq!(key("beit2", "full"), None);
    let counts = counts(&compiled);
    assert_eq!((counts["pretrain"], counts["tokenize"]), (2 + 1 + 1 + 1, 1));
}

#[test]
fn options_of_one_family_are_nothing_to_the_others() {
    let study = "[[study]]\ntable = \"T\"\ndata = [\"hecktor/CT\"]\nlabels = [5]\n";
    let row = |pretext: &str, name: &str, option: &str| {
        format!(
            "[[study.variant]]\nname = \"{pretext} {name}\"\npretext = \"{pretext}\"\n{option}\n"
        )
    };
    let mut text = study.to_owned();
    for pretext in ["simclr", "mae", "simmim"] {
        text += &row(pretext, "plain", "");
        text += &row(pretext, "slice", "pretrain.views.range = \"slice\"");
        text += &row(pretext, "dense", "pretrain.sparse.encoder = \"dense\"");
    }
    let compiled = plan_of(&text);
    let mut stages: Vec<&str> = compiled
        .plan
        .stages
        .iter()
        .filter_map(|s| s.label.strip_prefix("pretrain "))
        .filter_map(|label| label.strip_suffix(" hecktor/CT seed 1"))
        .collect();
    stages.sort_unstable();
    let expected = [
        "mae dense",
        "mae plain",
        "simclr plain",
        "simclr slice",
        "simmim plain",
    ];
    assert_eq!(stages, expected);
}

#[test]
fn recipes_of_the_masked_methods() {
    let names = [
        "mae",
        "simmim",
        "maskfeat",
        "convmae",
        "beit2",
        "bootmae",
        "selfmedmae",
    ];
    let rows: String = names
        .iter()
        .map(|name| {
            format!(
                "[[study.variant]]\nname = \"{name}\"\npretext = \"{name}\"\n{name}.recipe = \"original\"\n"
            )
        })
        .collect();
    let study = "[[study]]\ntable = \"T\"\ndata = [\"hecktor/CT\"]\nlabels = [5]\n";
    let compiled = plan_of(&format!("{study}{rows}"));
    // Rates of section 1.7 at a batch of 48.
    for (name, expected) in [
        ("mae", 2.81e-5),
        ("simmim", 9.4e-6),
        ("maskfeat", 3.75e-5),
        ("convmae", 2.81e-5),
        ("beit2", 3.52e-5),
        ("bootmae", 2.81e-5),
        ("selfmedmae", 1.2e-3),
    ] {
        let stage = stage(&compiled, &format!("pretrain {name} hecktor/CT seed 1"));
        let lr = stage.spec["pretrain"]["optimiser"]["lr"].as_f64().unwrap();
        assert!((lr / expected - 1.0).abs() < 0.01, "{name}: {lr}");
    }
}
