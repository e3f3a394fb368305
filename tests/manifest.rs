//! What a manifest means: files over files, scopes over scopes, toggles, presets, matrices, and the
//! schema that editors check it with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amlp_run::manifest::{self, SETTING_KEYS, schema_text};
use amlp_run::options::{
    AmlpOptions, CclMode, ClaimKind, ClaimOver, ClusterMethod, FinetuneOptions, Reference, RrlMode,
    Strategy,
};
use amlp_run::plan::{DeviceClass, StageKind, compile};
use amlp_run::study::{self, CellSettings, Request, Resolved, ResolvedStudy};
use serde_json::Value;

const ABLATION: &str = "experiments/ablation.toml";

fn try_resolve(path: &Path, profile: Option<&str>, set: &[&str]) -> Result<Resolved, String> {
    let request = Request {
        profile: profile.map(str::to_owned),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Request::default()
    };
    manifest::load(path)
        .and_then(|loaded| study::resolve(loaded, &request))
        .map(|resolution| resolution.resolved)
        .map_err(|e| e.to_string())
}

fn resolve(path: &Path, profile: Option<&str>, set: &[&str]) -> Resolved {
    try_resolve(path, profile, set).unwrap_or_else(|e| panic!("{e}"))
}

/// Writes files into a folder of their own; the first is the manifest.
struct Files {
    _folder: tempfile::TempDir,
    manifest: PathBuf,
}

fn files(texts: &[(&str, &str)]) -> Files {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Files {
        manifest: folder.path().join(texts[0].0),
        _folder: folder,
    }
}

fn resolve_text(text: &str, profile: Option<&str>, set: &[&str]) -> Resolved {
    resolve(&files(&[("m.toml", text)]).manifest, profile, set)
}

fn settings<'a>(resolved: &'a Resolved, table: &str, row: &str) -> &'a CellSettings {
    let study = resolved.studies.iter().find(|s| s.table == table).unwrap();
    let row = study.rows.iter().find(|r| r.name == row).unwrap();
    &row.cells[0].settings
}

fn amlp(resolved: &Resolved, table: &str, row: &str) -> AmlpOptions {
    amlp_of(settings(resolved, table, row))
}

fn amlp_of(settings: &CellSettings) -> AmlpOptions {
    let pretext = settings.pretext.as_ref().unwrap();
    assert_eq!(pretext.name, "amlp");
    serde_json::from_value(pretext.options.clone()).unwrap()
}

fn row_names(study: &ResolvedStudy) -> Vec<&str> {
    study.rows.iter().map(|r| r.name.as_str()).collect()
}

// ---- layers ------------------------------------------------------------------------------------

/// One line for each scope, from the weakest to the strongest; `{n}` is replaced by the value.
const LAYERS: [&str; 9] = [
    "root",
    "when",
    "profile",
    "study",
    "study.profile",
    "variant",
    "variant.profile",
    "matrix",
    "--set",
];

/// A manifest in which the scopes up to and including number `last` write `finetune.epochs`, each
/// a value of its own: 100 for the first, 101 for the second, ...
fn layered(last: usize) -> usize {
    let line = |scope: usize, text: &str| {
        if scope <= last {
            text.replace("{n}", &(100 + scope).to_string())
        } else {
            String::new()
        }
    };
    let epochs = "finetune.epochs = {n}";
    let text = format!(
        r#"
{root}
seeds = [1]
[data.brats2018]
layout = "brats2018"
[[when]]
labels = [5]
{when}
[profile.p]
{profile}
[[study]]
table = "T"
data = ["brats2018/T1"]
labels = [5]
{study}
{study_profile}
[[study.variant]]
name = "A"
{variant}
{variant_profile}
{matrix}
"#,
        root = line(0, epochs),
        when = line(1, epochs),
        profile = line(2, epochs),
        study = line(3, epochs),
        study_profile = line(4, "profile.p.finetune.epochs = {n}"),
        variant = line(5, epochs),
        variant_profile = line(6, "profile.p.finetune.epochs = {n}"),
        matrix = line(7, "matrix = { \"finetune.epochs\" = [{n}] }"),
    );
    let set = format!("finetune.epochs={}", 100 + last);
    let set: &[&str] = if last == 8 { &[&set] } else { &[] };
    let resolved = resolve_text(&text, Some("p"), set);
    resolved.studies[0].rows[0].cells[0]
        .settings
        .finetune
        .epochs
}

macro_rules! boundaries {
    ($($name:ident $scope:literal)*) => {
        $(
            #[test]
            fn $name() {
                assert_eq!(layered($scope), 100 + $scope, "{}", LAYERS[$scope]);
                // The weaker layer alone counts where the stronger one says nothing.
                assert_eq!(layered($scope - 1), 99 + $scope, "{}", LAYERS[$scope - 1]);
            }
        )*
    };
}

boundaries! {
    when_lies_over_root 1
    profile_lies_over_when 2
    study_lies_over_profile 3
    study_profile_lies_over_study 4
    variant_lies_over_study_profile 5
    variant_profile_lies_over_variant 6
    matrix_lies_over_variant_profile 7
    set_lies_over_matrix 8
}

#[test]
fn scopes_of_other_profiles_do_not_count() {
    let text = r#"
seeds = [1]
[data.brats2018]
layout = "brats2018"
[profile.p]
finetune.epochs = 5
seeds = [7, 8]
[profile.q]
finetune.epochs = 6
[[study]]
table = "T"
data = ["brats2018/T1"]
profile.q.finetune.epochs = 66
profile.p.seeds = [9]
[[study.variant]]
name = "A"
"#;
    let epochs = |profile| {
        let resolved = resolve_text(text, profile, &[]);
        let study = &resolved.studies[0];
        (
            study.rows[0].cells[0].settings.finetune.epochs,
            study.seeds.clone(),
        )
    };
    assert_eq!(epochs(None), (FinetuneOptions::default().epochs, vec![1]));
    assert_eq!(epochs(Some("p")), (5, vec![9]));
    assert_eq!(epochs(Some("q")), (66, vec![1]));
}

#[test]
fn when_holds_for_its_cells_only() {
    let text = r#"
[data.brats2018]
layout = "brats2018"
[[when]]
labels = [5]
finetune.batch = 8
[[when]]
modality = ["T2"]
finetune.batch = 9
[[when]]
data = ["brats2018"]
labels = [100]
modality = ["T1", "T2"]
finetune.batch = 10
[[study]]
table = "T"
data = ["brats2018/T1", "brats2018/T2", "brats2018/T1CE"]
labels = [5, 50, 100]
[[study.variant]]
name = "A"
"#;
    let resolved = resolve_text(text, None, &[]);
    let default = FinetuneOptions::default().batch;
    let batches: BTreeMap<(u32, usize), usize> = resolved.studies[0].rows[0]
        .cells
        .iter()
        .map(|c| ((c.label, c.column), c.settings.finetune.batch))
        .collect();
    let expected = BTreeMap::from([
        ((5, 0), 8),
        ((5, 1), 9),
        ((5, 2), 8),
        ((50, 0), default),
        ((50, 1), 9),
        ((50, 2), default),
        ((100, 0), 10),
        ((100, 1), 10),
        ((100, 2), default),
    ]);
    assert_eq!(batches, expected);
}

// ---- extends -----------------------------------------------------------------------------------

#[test]
fn extends_merges_tables_and_replaces_arrays() {
    let base = r#"
name = "base"
seeds = [1, 2, 3]
[data.brats2018]
layout = "brats2018"
root = "data/brats2018"
[finetune]
epochs = 5
batch = 6
[[study]]
table = "gone"
data = ["brats2018/T2"]
[[study.variant]]
name = "gone"
"#;
    let middle = r#"
extends = "deep/base.toml"
finetune.epochs = 50
[data.brats2018]
published = "BraTS 2018"
"#;
    let top = r#"
extends = "middle.toml"
seeds = [4]
finetune.optimiser.lr = 1e-3
[[study]]
table = "T"
data = ["brats2018/T1"]
[[study.variant]]
name = "A"
"#;
    let files = files(&[
        ("top.toml", top),
        ("middle.toml", middle),
        ("deep/base.toml", base),
    ]);
    let resolved = resolve(&files.manifest, None, &[]);
    assert_eq!(resolved.name, "base");
    assert_eq!(resolved.studies.len(), 1);
    assert_eq!(resolved.studies[0].table, "T");
    assert_eq!(resolved.studies[0].seeds, [4]);
    let data = &resolved.data["brats2018"];
    assert_eq!(data.root.as_deref(), Some("data/brats2018"));
    assert_eq!(data.published, "BraTS 2018");
    let finetune = &settings(&resolved, "T", "A").finetune;
    assert_eq!((finetune.epochs, finetune.batch), (50, 6));
    assert!((finetune.optimiser.lr - 1e-3).abs() < 1e-15);
}

#[test]
fn the_file_names_the_experiment_where_nothing_else_does() {
    let text = MINIMAL.replace("name = \"minimal\"", "");
    let files = files(&[("my-study.toml", text.as_str())]);
    assert_eq!(resolve(&files.manifest, None, &[]).name, "my-study");
}

// ---- the paper's tables ------------------------------------------------------------------------

/// Order, ratio, RRL, CCL and label update of a row.
type Parts = (Option<Strategy>, Option<f64>, RrlMode, CclMode, bool);

fn parts(amlp: &AmlpOptions) -> Parts {
    (
        amlp.mps.enabled.then_some(amlp.mps.strategy),
        (!amlp.amr.enabled).then_some(amlp.amr.fixed),
        amlp.rrl.mode,
        amlp.ccl.mode,
        amlp.updates_labels(),
    )
}

#[test]
fn table_iv_is_the_table_of_the_paper() {
    let resolved = resolve(Path::new(ABLATION), None, &[]);
    let study = &resolved.studies[0];
    let ordered = Some(Strategy::HardToEasy);
    let (fixed, schedule) = (Some(0.75), None);
    let (rrl, ccl) = (RrlMode::Weight, CclMode::CentroidSoft);
    let (no_rrl, no_ccl) = (RrlMode::Off, CclMode::Off);
    let expected: [(&str, Parts); 8] = [
        ("BASE", (None, fixed, no_rrl, no_ccl, false)),
        ("MPS", (ordered, fixed, no_rrl, no_ccl, false)),
        ("AMR", (None, schedule, no_rrl, no_ccl, false)),
        ("CRCL", (None, fixed, rrl, no_ccl, false)),
        ("MPS-AMR", (ordered, schedule, no_rrl, no_ccl, false)),
        ("MPS-CRCL", (ordered, fixed, rrl, ccl, true)),
        ("AMR-CRCL", (None, schedule, rrl, no_ccl, false)),
        ("AMLP", (ordered, schedule, rrl, ccl, true)),
    ];
    let mut names = vec!["Sup"];
    names.extend(expected.iter().map(|(name, _)| *name));
    assert_eq!(row_names(study), names);
    assert_eq!(settings(&resolved, "IV", "Sup").pretext, None);
    for (row, expected) in expected {
        let options = &amlp(&resolved, "IV", row);
        assert_eq!(parts(options), expected, "{row}");
        assert_eq!(options.labels.reference, Reference::Kmeans, "{row}");
        assert_eq!(options.cluster.method, ClusterMethod::Kmeans, "{row}");
        assert_eq!(options.patch, 16, "{row}");
        for cell in &study.rows.iter().find(|r| r.name == row).unwrap().cells {
            let of_cell = amlp_of(&cell.settings);
            assert_eq!(
                &of_cell, options,
                "{row}: every column and label ratio has its toggles"
            );
        }
    }
    assert_eq!(study.labels, [5, 10]);
    assert_eq!(study.columns.len(), 6);
}

#[test]
fn table_v_compares_the_losses_under_mps_and_amr() {
    let resolved = resolve(Path::new(ABLATION), None, &[]);
    let ordered = Some(Strategy::HardToEasy);
    let (weight, soft) = (RrlMode::Weight, CclMode::CentroidSoft);
    let expected: [(&str, Parts); 6] = [
        (
            "Lpred",
            (None, Some(0.75), RrlMode::Off, CclMode::Off, false),
        ),
        (
            "Lpred (MPS-AMR)",
            (ordered, None, RrlMode::Off, CclMode::Off, false),
        ),
        ("Lpred+Lrrl", (ordered, None, weight, CclMode::Off, false)),
        ("Lpred+Lccl", (ordered, None, RrlMode::Off, soft, true)),
        (
            "Lpred+Lrrl+Lccl (literal)",
            (ordered, None, weight, CclMode::Literal, true),
        ),
        ("Lpred+Lrrl+Lccl", (ordered, None, weight, soft, true)),
    ];
    for (row, expected) in expected {
        assert_eq!(parts(&amlp(&resolved, "V", row)), expected, "{row}");
    }
    let base = settings(&resolved, "IV", "BASE");
    assert_eq!(settings(&resolved, "V", "Lpred"), base);
    assert_eq!(
        settings(&resolved, "V", "Lpred+Lrrl+Lccl"),
        settings(&resolved, "IV", "AMLP")
    );
}

#[test]
fn table_vi_varies_the_strategy_alone() {
    let resolved = resolve(Path::new(ABLATION), None, &[]);
    let full = amlp(&resolved, "IV", "AMLP");
    for (row, strategy) in [
        ("random", Strategy::Random),
        ("easy to hard", Strategy::EasyToHard),
        ("hard to easy", Strategy::HardToEasy),
    ] {
        let mut expected = full.clone();
        expected.mps.strategy = strategy;
        assert_eq!(&amlp(&resolved, "VI", row), &expected, "{row}");
    }
}

#[test]
fn batch_sizes_and_optimisers_are_as_printed() {
    let resolved = resolve(Path::new(ABLATION), None, &[]);
    let study = &resolved.studies[0];
    for cell in &study.rows.iter().find(|r| r.name == "AMLP").unwrap().cells {
        let hecktor = study.columns[cell.column].data == "hecktor";
        let s = &cell.settings;
        assert_eq!(s.pretrain.batch, if hecktor { 48 } else { 36 });
        let finetune = match (hecktor, cell.label) {
            (true, 5) => 31,
            (false, 5) => 56,
            (true, _) => 90,
            (false, _) => 70,
        };
        assert_eq!(s.finetune.batch, finetune);
        assert_eq!(
            s.prepare.crop.size,
            if hecktor { [144, 144] } else { [160, 160] }
        );
        assert_eq!((s.pretrain.epochs, s.finetune.epochs), (800, 70));
        assert_eq!(s.pretrain.optimiser.betas, [0.9, 0.95]);
        assert_eq!(s.pretrain.optimiser.warmup_epochs, 40.0);
        assert_eq!(s.pretrain.optimiser.weight_decay, 0.05);
        // What the manifest leaves out of fine-tuning's optimiser is fine-tuning's, too.
        assert_eq!(s.finetune.optimiser, FinetuneOptions::default().optimiser);
        assert_eq!(s.finetune.optimiser.betas, [0.9, 0.999]);
        assert_eq!(s.finetune.optimiser.warmup_epochs, 0.0);
        assert_eq!(s.finetune.optimiser.weight_decay, 1e-4);
    }
}

#[test]
fn smoke_runs_on_phantoms() {
    let resolved = resolve(Path::new(ABLATION), Some("smoke"), &[]);
    assert_eq!(resolved.profile, "smoke");
    for data in resolved.data.values() {
        assert!(data.phantom.is_some());
        assert_eq!(data.shown(), format!("phantom-{}", data.name));
    }
    for study in &resolved.studies {
        assert_eq!(study.seeds.len(), 1, "{}", study.table);
        for cell in study.rows.iter().flat_map(|r| &r.cells) {
            assert!(cell.settings.backbone.width <= 8);
            assert!(cell.settings.finetune.epochs <= 50);
        }
    }
}

// ---- toggles and presets -----------------------------------------------------------------------

const MINIMAL: &str = r#"
name = "minimal"
[data.brats2018]
layout = "brats2018"
[[study]]
table = "T"
data = ["brats2018/T1"]
[[study.variant]]
name = "A"
"#;

fn options(row: &str) -> AmlpOptions {
    let resolved = resolve_text(&format!("{MINIMAL}{row}\n"), None, &[]);
    amlp(&resolved, "T", "A")
}

#[test]
fn every_method_has_options_of_its_own_in_every_scope() {
    let row = r#"
pretext = "simclr"
simclr.temperature = 0.2
matrix = { "simclr.layers" = [2, 3] }
[[study.variant]]
name = "B"
pretext = "byol"
"#;
    let text = format!("{MINIMAL}{row}");
    let resolved = resolve_text(&text, None, &["simclr.blur=0.25"]);
    let of = |row: &str| settings(&resolved, "T", row).pretext.clone().unwrap();
    let three = of("A [layers=3]");
    assert_eq!(three.name, "simclr");
    assert_eq!(three.options["layers"], 3);
    assert_eq!(three.options["temperature"], 0.2);
    assert_eq!(three.options["blur"], 0.25);
    assert_eq!(three.options["width"], 128, "defaults are filled");
    assert_eq!(of("A [layers=2]").options["layers"], 2);
    // Options of a method are part of the rows that use it, and of no other.
    let plain = resolve_text(&text, None, &[]);
    let b = settings(&plain, "T", "B").pretext.clone().unwrap();
    assert_eq!(of("B"), b);
    assert_eq!(
        b.options,
        (amlp_run::pretext::find("byol").unwrap().defaults)()
    );

    let compiled = compile(&resolved, &BTreeMap::new(), DeviceClass::CpuFlex, "x");
    let stages = compiled.plan.stages.iter();
    let specs: Vec<_> = stages.filter(|s| s.kind.name() == "pretrain").collect();
    assert_eq!(specs.len(), 3);
    assert_eq!(specs[0].spec["simclr"]["layers"], 2);
    assert_eq!(specs[2].spec["pretext"], "byol");
    assert!(specs[2].spec["simclr"].is_null() && specs[2].spec["byol"].is_object());
}

#[test]
fn presets() {
    let modes = |row: &str| {
        let o = options(row);
        (o.rrl.mode, o.ccl.mode)
    };
    assert_eq!(modes(""), (RrlMode::Weight, CclMode::CentroidSoft));
    assert_eq!(modes("preset = \"amlp\""), modes(""));
    assert_eq!(
        modes("preset = \"paper_literal\""),
        (RrlMode::Weight, CclMode::Literal)
    );
    assert_eq!(
        modes("preset = \"fully_literal\""),
        (RrlMode::Literal, CclMode::Literal)
    );
    // What is written out wins over the preset, a toggle over both.
    assert_eq!(
        modes("preset = \"fully_literal\"\namlp.rrl.mode = \"square\""),
        (RrlMode::Square, CclMode::Literal)
    );
    assert_eq!(
        modes("preset = \"fully_literal\"\nccl = false"),
        (RrlMode::Literal, CclMode::Off)
    );
}

#[test]
fn toggles() {
    let modes = |row: &str| {
        let o = options(row);
        (o.rrl.mode, o.ccl.mode)
    };
    assert_eq!(modes("crcl = false"), (RrlMode::Off, CclMode::Off));
    assert_eq!(
        modes("crcl = false\nrrl = true"),
        (RrlMode::Weight, CclMode::Off)
    );
    assert_eq!(
        modes("crcl = true\nccl = false"),
        (RrlMode::Weight, CclMode::Off)
    );
    assert_eq!(
        modes("amlp.rrl.mode = \"off\"\nrrl = true"),
        (RrlMode::Weight, CclMode::CentroidSoft)
    );
    // CCL depends on MPS (paper, section IV-B).
    assert_eq!(
        modes("mps = false\nccl = true"),
        (RrlMode::Weight, CclMode::Off)
    );
    assert_eq!(
        options("clustering = \"dbscan\"").cluster.method,
        ClusterMethod::Dbscan
    );
}

// ---- equal meaning, equal value ----------------------------------------------------------------

#[test]
fn manifests_that_mean_the_same_resolve_to_equal_values() {
    let short = r#"
name = "same"
[data.brats2018]
layout = "brats2018"
[[study]]
table = "T"
title = "one"
data = ["brats2018/T1"]
labels = [5]
[[study.variant]]
name = "AMLP"
amlp.ccl.temperature = 1
[[study.variant]]
name = "BASE"
mps = false
amr = false
crcl = false
"#;
    // Other order, other notation, defaults written out, options without effect.
    let long = r#"
study = [
    { variant = [
        { amlp = { ccl = { lambda = 1.0, temperature = 1e0 }, patch = 16 }, name = "AMLP", pretext = "amlp" },
        { crcl = false, amr = false, mps = false, name = 'BASE', clustering = "tsne", amlp.mps.rank = "bg_far" },
      ], labels = [0x5], data = ["brats2018/T1"], title = "one", table = "T", seeds = [0], metrics = ["DSC", "HD95"] },
]
pretrain.optimiser.lr = 0.0001
finetune.optimiser = { weight_decay = 1.0e-4, betas = [0.9, 0.999] }
finetune.epochs = 70
split = { train = 70, val = 10, test = 20 }
data.brats2018.layout = "brats2018"
data.unused.layout = "msd"
name = "same"
backbone.width = 64
preset = "amlp"
profile.other.finetune.epochs = 3
"#;
    let (short, long) = (
        resolve_text(short, None, &[]),
        resolve_text(long, None, &[]),
    );
    assert_eq!(short, long);
    let keys = |resolved: &Resolved| -> Vec<String> {
        compile(resolved, &BTreeMap::new(), DeviceClass::CpuFlex, "x")
            .plan
            .stages
            .iter()
            .map(|s| s.key.to_string())
            .collect()
    };
    assert_eq!(keys(&short), keys(&long));
}

#[test]
fn meaning_and_text_survive_a_round_trip() {
    // Whatever order tables come in, the same file gives the same value twice.
    let path = Path::new(ABLATION);
    assert_eq!(resolve(path, None, &[]), resolve(path, None, &[]));
    assert_eq!(resolve(path, Some("paper"), &[]), resolve(path, None, &[]));
}

// ---- what no code knows ------------------------------------------------------------------------

#[test]
fn a_row_that_no_code_knows_needs_toml_alone() {
    let text = format!(
        r#"
extends = "{}"
name = "mine"

[[study]]
table = "mine"
title = "Another row, clustering, label ratio and modality, and a grid of patches"
data = ["brats2018/T2", "brats2018/T1+T1CE+T2+FLAIR"]
labels = [20, 100]
metrics = ["DSC", "BIoU"]

[[study.variant]]
name = "background first, hierarchical"
clustering = "hierarchical"
preset = "paper_literal"
amlp.mps = {{ rank = "bg_far", strategy = "easy_to_hard", jitter = 0.1 }}
amlp.amr = {{ sigma0 = 0.1, sigma_max = 0.6 }}
rrl = false

[[study.variant]]
name = "patch {{amlp.patch}}"
matrix = {{ "amlp.patch" = [8, 16, 32], "clustering" = ["kmeans", "tsne"] }}

[[study.claim]]
text = "larger patches are better"
order = ["patch 32 [clustering=kmeans]", "patch 8 [clustering=kmeans]"]
metric = "BIoU"
data = ["brats2018/T2"]
labels = [20]
"#,
        Path::new("experiments/base/paper.toml")
            .canonicalize()
            .unwrap()
            .display()
    );
    let resolved = resolve_text(&text, None, &[]);
    let study = &resolved.studies[0];
    assert_eq!(
        row_names(study),
        [
            "background first, hierarchical",
            "patch 8 [clustering=kmeans]",
            "patch 8 [clustering=tsne]",
            "patch 16 [clustering=kmeans]",
            "patch 16 [clustering=tsne]",
            "patch 32 [clustering=kmeans]",
            "patch 32 [clustering=tsne]",
        ]
    );
    assert_eq!(study.columns[1].modalities, ["T1", "T1CE", "T2", "FLAIR"]);
    assert_eq!(study.labels, [20, 100]);
    let new = amlp(&resolved, "mine", "background first, hierarchical");
    assert_eq!(new.cluster.method, ClusterMethod::Hierarchical);
    assert_eq!(
        (new.rrl.mode, new.ccl.mode),
        (RrlMode::Off, CclMode::Literal)
    );
    assert_eq!(
        amlp(&resolved, "mine", "patch 32 [clustering=tsne]").patch,
        32
    );
    let claim = &study.claims[0];
    assert_eq!(claim.columns, [study.columns[0].clone()]);
    assert_eq!(claim.labels, [20]);
    assert_eq!((claim.kind, claim.least), (ClaimKind::Order, 0.0));
    assert_eq!(claim.regions, ["mean"]);

    let compiled = compile(&resolved, &BTreeMap::new(), DeviceClass::CpuFlex, "x");
    let count = |kind| {
        compiled
            .plan
            .stages
            .iter()
            .filter(|s| s.kind == kind)
            .count()
    };
    // 7 rows x 2 columns x 3 seeds, for 2 label ratios.
    assert_eq!(count(StageKind::Pretrain), 42);
    assert_eq!(count(StageKind::Finetune), 84);
    assert_eq!(count(StageKind::Cluster), 42);
    assert_eq!(count(StageKind::Tabulate), 1);
}

#[test]
fn claims_in_all_their_forms() {
    let text = format!(
        r#"extends = "{}/experiments/base/paper.toml"

[[study]]
table = "forms"
data = ["brats2018/T1", "brats2018/T2", "brats2018/T1+T2"]
labels = [10, 50]
metrics = ["DSC", "HD95"]
regions = ["ET", "mean"]

[[study.variant]]
name = "A"
[[study.variant]]
name = "B"
mps = false
[[study.variant]]
name = "C"
pretext = "none"

[[study.claim]]
best = "A"
over = "mean"
[[study.claim]]
worst = "C"
among = ["B"]
regions = ["ET"]
[[study.claim]]
order = ["A", "B", "C"]
margin = 0.02
metric = "HD95"
[[study.claim]]
order = ["A", "C"]
at = [10, 50]
within = 0.03
data = ["brats2018/T1"]
[[study.claim]]
order = ["A", "B"]
best_column = "brats2018/T1+T2"
labels = [10]
"#,
        env!("CARGO_MANIFEST_DIR")
    );
    let resolved = resolve_text(&text, None, &[]);
    let claims = &resolved.studies[0].claims;
    let kinds: Vec<ClaimKind> = claims.iter().map(|c| c.kind).collect();
    use ClaimKind::{Best, Margin, Within, Worst};
    assert_eq!(kinds, [Best, Worst, Margin, Within, Best]);
    let pairs: Vec<Vec<(usize, usize)>> = claims.iter().map(study::ResolvedClaim::pairs).collect();
    assert_eq!(
        pairs,
        [
            vec![(0, 1), (0, 2)],
            vec![(0, 1)],
            vec![(0, 1), (1, 2)],
            vec![(0, 1)],
            vec![(0, 0), (1, 1)]
        ]
    );
    assert_eq!(claims[0].order, ["A", "B", "C"]);
    assert_eq!(claims[0].over, ClaimOver::Mean);
    assert_eq!(claims[0].regions, ["mean"]);
    assert_eq!(claims[1].order, ["B", "C"]);
    assert_eq!(claims[1].regions, ["ET"]);
    assert_eq!((claims[2].metric.as_str(), claims[2].least), ("HD95", 0.02));
    assert_eq!(claims[3].least, -0.03);
    assert_eq!(claims[3].at, Some(vec![10, 50]));
    let best = claims[4].best_column.as_ref().unwrap();
    assert_eq!(best.modalities, ["T1", "T2"]);
    let columns: Vec<String> = claims[4].columns.iter().map(ToString::to_string).collect();
    assert_eq!(columns, ["brats2018/T1", "brats2018/T2"]);
    // What `--only` leaves of them.
    let only = |filter: &str| {
        let only = study::Only::parse(&[filter.to_owned()]).unwrap();
        only.apply(resolved.clone()).unwrap().studies[0]
            .claims
            .len()
    };
    assert_eq!(only("method=A,method=B"), 1);
    assert_eq!(only("label=10"), 4);
    assert_eq!(only("data=brats2018/T1"), 4);
}

/// Every sentence names its section, and no two are the same test.
#[test]
fn the_manifests_carry_the_claims_of_the_paper() {
    let mut tables: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for name in [
        "main",
        "ablation",
        "clustering",
        "misclassification",
        "patch-size",
        "modalities",
        "schedule",
        "hyperparameters",
        "organs",
    ] {
        let path = PathBuf::from(format!("experiments/{name}.toml"));
        for study in resolve(&path, None, &[]).studies {
            for claim in &study.claims {
                let (section, sentence) = claim.text.split_once(": ").unwrap();
                assert!(
                    ["I", "IV-A", "IV-B", "IV-C"].contains(&section) && !sentence.is_empty(),
                    "{}",
                    claim.text
                );
                assert!(
                    seen.insert(format!("{}{:?}", study.table, ClaimAxes::of(claim))),
                    "{} stands twice",
                    claim.text
                );
                *tables.entry(study.table.clone()).or_default() += 1;
            }
        }
    }
    let all: usize = tables.values().sum();
    assert!(all >= 30, "{all}: {tables:?}");
    for table in [
        "II",
        "III",
        "IV",
        "V",
        "VI",
        "IX",
        "X",
        "XII",
        "figure-5",
        "figure-6a",
        "figure-6b",
        "figure-7",
    ] {
        assert!(tables.contains_key(table), "no claim about Table {table}");
    }
}

/// What a claim tests.
#[derive(Debug)]
#[allow(dead_code)] // Read by its form.
struct ClaimAxes<'a>(&'a [String], &'a str, &'a [u32], String);

impl<'a> ClaimAxes<'a> {
    fn of(claim: &'a study::ResolvedClaim) -> Self {
        let rest = format!(
            "{:?}{:?}{:?}",
            claim.regions, claim.columns, claim.best_column
        );
        Self(&claim.order, &claim.metric, &claim.labels, rest)
    }
}

#[test]
fn a_new_row_leaves_the_others_alone() {
    let before = resolve(Path::new(ABLATION), None, &[]);
    let text = std::fs::read_to_string(ABLATION).unwrap().replace(
        "# ---- Table V:",
        "[[study.variant]]\nname = \"new\"\namlp.labels.preset_flip = 0.1\n\n# ---- Table V:",
    );
    let base = std::fs::read_to_string("experiments/base/paper.toml").unwrap();
    let files = files(&[("ablation.toml", &text), ("base/paper.toml", &base)]);
    let mut after = resolve(&files.manifest, None, &[]);
    let new = after.studies[0].rows.pop().unwrap();
    assert_eq!(new.name, "new");
    // What is best is best among all rows.
    for claim in &mut after.studies[0].claims {
        claim.order.retain(|row| *row != new.name);
    }
    assert_eq!(before, after);
}

#[test]
fn profiles_replace_a_matrix() {
    let text = r#"
[data.brats2018]
layout = "brats2018"
[profile.smoke]
[[study]]
table = "T"
data = ["brats2018/T1"]
matrix = { "pretrain.epochs" = [400, 800, 1200] }
profile.smoke.matrix = { "pretrain.epochs" = [1, 2] }
[[study.variant]]
name = "E={pretrain.epochs}"
"#;
    let names = |profile| {
        let resolved = resolve_text(text, profile, &[]);
        row_names(&resolved.studies[0])
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["E=400", "E=800", "E=1200"]);
    assert_eq!(names(Some("smoke")), ["E=1", "E=2"]);
}

// ---- command line ------------------------------------------------------------------------------

#[test]
fn set_takes_toml_and_bare_words() {
    let path = Path::new(ABLATION);
    let resolved = resolve(
        path,
        None,
        &[
            "labels=[20]",
            "seeds=[5, 6]",
            "name=other",
            "clustering=tsne",
            "data.hecktor.root=/x",
        ],
    );
    assert_eq!(resolved.name, "other");
    assert_eq!(resolved.data["hecktor"].root.as_deref(), Some("/x"));
    for study in &resolved.studies {
        assert_eq!(
            (&study.labels[..], &study.seeds[..]),
            (&[20][..], &[5, 6][..])
        );
    }
    assert_eq!(
        amlp(&resolved, "IV", "AMLP").cluster.method,
        ClusterMethod::Tsne
    );
}

#[test]
fn wrong_overrides_are_reported_at_their_place() {
    let refused = |set: &str| try_resolve(Path::new(ABLATION), None, &[set]).unwrap_err();
    assert_eq!(
        refused("finetune.epoch=3"),
        "error: unknown key 'epoch'\n --> --set:1:16\n  |\n1 | finetune.epoch=3\n  |                ^\n  |\n  \
         = help: did you mean 'epochs'?"
    );
    assert!(refused("labels=[5, 0]").contains("--> --set:1:12"));
    assert!(refused("finetun.epochs=3").contains("did you mean 'finetune'?"));
    assert!(refused("epochs").contains("key=value"));
    assert!(refused("seeds=").contains("takes a value"));
    assert!(refused("seeds=[1, 2").contains("no TOML"));
    assert!(refused("labels=text").contains("expected an array"));
    assert!(refused("clustering=kmaens").contains("did you mean 'kmeans'?"));
    let profile = try_resolve(Path::new(ABLATION), Some("smok"), &[]).unwrap_err();
    assert!(profile.contains("did you mean 'smoke'?"), "{profile}");
}

#[test]
fn roots_name_data_sets_that_exist() {
    let with_root = |name: &str| {
        let request = Request {
            roots: BTreeMap::from([(name.to_owned(), "/mnt".to_owned())]),
            ..Request::default()
        };
        study::resolve(manifest::load(Path::new(ABLATION)).unwrap(), &request)
    };
    let resolved = with_root("hecktor").unwrap().resolved;
    assert_eq!(resolved.data["hecktor"].root.as_deref(), Some("/mnt"));
    assert!(
        with_root("hektor")
            .unwrap_err()
            .to_string()
            .contains("did you mean 'hecktor'?")
    );
}

#[test]
fn rows_know_where_they_were_written() {
    let loaded = manifest::load(Path::new(ABLATION)).unwrap();
    let places = study::resolve(loaded, &Request::default()).unwrap().places;
    let place = &places[&("IV".to_owned(), "BASE".to_owned())];
    let (file, line) = place.rsplit_once(':').unwrap();
    assert_eq!(file, ABLATION);
    let text = std::fs::read_to_string(ABLATION).unwrap();
    let line: usize = line.parse().unwrap();
    assert_eq!(text.lines().nth(line - 1), Some("[[study.variant]]"));
    assert_eq!(text.lines().nth(line), Some("name = \"BASE\""));
}

// ---- schema ------------------------------------------------------------------------------------

fn schema() -> Value {
    serde_json::from_str(&schema_text()).unwrap()
}

/// `AMLP_BLESS=1` writes the file.
#[test]
fn the_committed_schema_is_current() {
    let path = "schemas/experiment.schema.json";
    let text = schema_text();
    if std::env::var_os("AMLP_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == text,
        "{path} is old: AMLP_BLESS=1 cargo test --test manifest"
    );
}

fn as_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    serde_json::to_value(table).unwrap()
}

fn manifests(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_experiment_validates_and_names_the_schema() {
    let validator = jsonschema::draft7::new(&schema()).unwrap();
    let manifests = manifests("experiments");
    assert!(manifests.len() >= 2);
    for path in manifests {
        if let Err(error) = validator.validate(&as_json(&path)) {
            panic!("{}: {error} at {}", path.display(), error.instance_path());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text
            .lines()
            .next()
            .and_then(|l| l.strip_prefix("#:schema "))
            .unwrap();
        let schema = path.parent().unwrap().join(named);
        assert!(schema.is_file(), "{} names no schema", path.display());
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::draft7::new(&schema()).unwrap();
    for name in [
        "typo_root",
        "typo_study",
        "typo_variant",
        "typo_claim",
        "typo_amlp_mps",
        "typo_finetune_optimiser",
        "typo_data",
        "typo_when",
        "typo_profile",
        "typo_british",
        "unknown_pretext",
        "unknown_clustering",
        "unknown_rank",
        "unknown_mode",
        "unknown_layout",
        "unknown_preset",
        "unknown_metric",
        "type_number_for_text",
        "type_text_for_number",
        "type_text_for_truth",
        "type_float_for_count",
        "type_table_for_studies",
        "type_scalar_for_table",
        "extends_type",
        "array_too_long",
        "array_too_short",
        "epochs_negative",
        "tau_negative",
        "label_fraction",
        "matrix_of_arrays",
        "matrix_unquoted_key",
    ] {
        let path = PathBuf::from(format!("tests/bad/{name}.toml"));
        assert!(
            !validator.is_valid(&as_json(&path)),
            "the schema takes {name}"
        );
    }
}

/// Follows the references of a subschema.
fn properties<'a>(root: &'a Value, mut schema: &'a Value) -> &'a serde_json::Map<String, Value> {
    loop {
        if let Some(properties) = schema["properties"].as_object() {
            return properties;
        }
        let target = schema["$ref"]
            .as_str()
            .or_else(|| schema["items"]["$ref"].as_str())
            .or_else(|| schema["additionalProperties"]["$ref"].as_str())
            .unwrap_or_else(|| panic!("no properties in {schema}"));
        schema = root.pointer(target.trim_start_matches('#')).unwrap();
    }
}

#[test]
fn every_setting_may_stand_in_every_scope() {
    let schema = schema();
    let root = properties(&schema, &schema);
    let study = properties(&schema, &root["study"]);
    let variant = properties(&schema, &study["variant"]);
    let scopes = [
        ("root", root),
        ("when", properties(&schema, &root["when"])),
        ("profile", properties(&schema, &root["profile"])),
        ("study", study),
        ("study.profile", properties(&schema, &study["profile"])),
        ("variant", variant),
        ("variant.profile", properties(&schema, &variant["profile"])),
    ];
    for (name, scope) in scopes {
        for key in SETTING_KEYS {
            assert!(scope.contains_key(*key), "{name} has no {key}");
        }
    }
}

/// Editors show descriptions: none may be missing, and no object may take unknown keys.
#[test]
fn every_property_is_described_and_every_object_closed() {
    fn walk(value: &Value, path: &str, problems: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                    if map.get("additionalProperties") != Some(&Value::Bool(false)) {
                        problems.push(format!("{path} takes unknown keys"));
                    }
                    for (name, property) in properties {
                        let text = property["description"].as_str().unwrap_or_default();
                        if text.trim().is_empty() {
                            problems.push(format!("{path}.{name} has no description"));
                        }
                    }
                }
                for (name, inner) in map {
                    walk(inner, &format!("{path}/{name}"), problems);
                }
            }
            Value::Array(items) => items.iter().for_each(|v| walk(v, path, problems)),
            _ => {}
        }
    }
    let mut problems = Vec::new();
    walk(&schema(), "", &mut problems);
    assert!(problems.is_empty(), "{problems:#?}");
}
