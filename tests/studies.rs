//! The manifests in `experiments/`: every one resolves in every profile, finds its published
//! numbers, and shares what it can; `paper.toml` is all of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use amlp_run::manifest::{self, Loaded};
use amlp_run::plan::{
    Compiled, DataFact, DeviceClass, Key, Stage, StageKind, TableCell, TabulateSpec, compile,
};
use amlp_run::report::{Ledger, Query};
use amlp_run::study::{self, Request, Resolved};

const PAPER: &str = "experiments/paper.toml";

fn manifests() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("experiments")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    found.sort();
    found
}

fn load(path: &Path) -> Vec<Loaded> {
    manifest::load_all(&[path.to_owned()]).unwrap_or_else(|e| panic!("{e}"))
}

fn resolve(loaded: Loaded, profile: &str) -> Resolved {
    let request = Request {
        profile: Some(profile.to_owned()),
        ..Request::default()
    };
    study::resolve(loaded, &request)
        .unwrap_or_else(|e| panic!("{e}"))
        .resolved
}

/// The plans of a manifest, or of those that it includes, with data that is there.
fn plans(path: &Path, profile: &str) -> Vec<Compiled> {
    load(path)
        .into_iter()
        .map(|loaded| {
            let resolved = resolve(loaded, profile);
            let facts: BTreeMap<String, DataFact> = resolved
                .data
                .keys()
                .map(|name| {
                    let fact = DataFact {
                        root: Some(Path::new("/data").join(name)),
                        fingerprint: Some(format!("files of {name}")),
                        problem: None,
                    };
                    (name.clone(), fact)
                })
                .collect();
            compile(&resolved, &facts, DeviceClass::CpuFlex, "ledger")
        })
        .collect()
}

fn plan(name: &str, profile: &str) -> Compiled {
    let mut all = plans(&Path::new("experiments").join(name), profile);
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

fn keys<'a>(compiled: impl IntoIterator<Item = &'a Compiled>) -> BTreeSet<Key> {
    compiled
        .into_iter()
        .flat_map(|c| c.plan.stages.iter().map(|s| s.key.clone()))
        .collect()
}

fn table<'a>(compiled: &'a Compiled, name: &str) -> &'a TabulateSpec {
    let mut tables = compiled.tables.iter();
    &tables.find(|(_, spec)| spec.table == name).unwrap().1
}

fn cells<'a>(spec: &'a TabulateSpec, row: &str) -> Vec<&'a TableCell> {
    let row = spec
        .rows
        .iter()
        .position(|r| r.name == row)
        .unwrap_or_else(|| panic!("table {} has no row '{row}'", spec.table));
    spec.cells.iter().filter(|c| c.row == row).collect()
}

/// Runs of a row in the columns of a modality, at a label ratio.
fn runs<'a>(spec: &'a TabulateSpec, row: &str, modality: &str, label: u32) -> &'a Vec<(u64, Key)> {
    let mut cells = cells(spec, row).into_iter();
    let fits = |c: &&TableCell| spec.columns[c.column].modality == modality && c.label == label;
    &cells.find(fits).unwrap().runs
}

#[test]
fn every_manifest_resolves_in_every_profile() {
    let manifests = manifests();
    assert!(manifests.len() >= 12, "{manifests:?}");
    for path in manifests {
        for loaded in load(&path) {
            let declared = loaded.document.profile.keys().cloned();
            let profiles: BTreeSet<String> = declared.chain(["paper".to_owned()]).collect();
            for profile in profiles {
                let resolved = resolve(loaded.clone(), &profile);
                let all_phantoms = resolved.data.values().all(|d| d.phantom.is_some());
                assert!(all_phantoms || profile != "smoke", "{}", path.display());
                let facts = BTreeMap::new();
                let compiled = compile(&resolved, &facts, DeviceClass::CpuFlex, "ledger");
                assert_eq!(compiled.tables.len(), resolved.studies.len());
            }
        }
    }
}

#[test]
fn paper_toml_is_every_study_of_the_paper_and_nothing_else() {
    // Studies that are not the paper's, and paper.toml itself.
    let own = [
        "evidence.toml",
        "hippocampus.toml",
        "own-data.toml",
        "paper.toml",
        "quickstart.toml",
        "sarcoma.toml",
    ];
    let others: Vec<PathBuf> = manifests()
        .into_iter()
        .filter(|p| !own.iter().any(|own| p.ends_with(own)))
        .collect();
    for profile in ["paper", "small", "smoke"] {
        let whole = plans(Path::new(PAPER), profile);
        assert_eq!(whole.len(), others.len(), "{others:?}");
        let parts: Vec<Compiled> = others.iter().flat_map(|p| plans(p, profile)).collect();
        assert_eq!(keys(&whole), keys(&parts), "{profile}");
        // A table has one place, whichever manifest writes it.
        let tables: Vec<_> = whole
            .iter()
            .flat_map(|c| &c.tables)
            .map(|(_, t)| (&t.experiment, &t.table))
            .collect();
        let distinct: HashSet<_> = tables.iter().collect();
        assert_eq!(distinct.len(), tables.len());
    }
}

#[test]
fn printed_numbers_stand_in_their_cells() {
    let ledger = Ledger::embedded().unwrap();
    for (manifest, name, expected) in [
        ("clustering.toml", "VII", 6),
        ("clustering.toml", "VIII", 4),
        ("misclassification.toml", "IX", 8),
    ] {
        let compiled = plan(manifest, "paper");
        let spec = table(&compiled, name);
        let mut found = BTreeSet::new();
        for cell in &spec.cells {
            let (row, column) = (&spec.rows[cell.row], &spec.columns[cell.column]);
            for metric in &spec.metrics {
                let entry = ledger.find(&Query {
                    table: name,
                    dataset: &column.published,
                    modality: &column.modality,
                    label_percent: (cell.label > 0).then_some(cell.label),
                    method: &row.published,
                    metric,
                    setting: &row.setting,
                });
                found.extend(entry.map(|e| e.line));
            }
        }
        let printed = ledger.entries().iter().filter(|e| e.table == name).count();
        assert_eq!((found.len(), printed), (expected, expected), "{name}");
    }
}

#[test]
fn rows_that_mean_amlp_are_the_training_of_table_ii() {
    let main = plan("main.toml", "paper");
    let ii = table(&main, "II");
    let ix = plan("misclassification.toml", "paper");
    let ix = table(&ix, "IX");
    for row in ["0 %, updated", "0 %, fixed"] {
        assert_eq!(runs(ix, row, "T2", 10), runs(ii, "AMLP", "T2", 10));
    }
    let viii = plan("clustering.toml", "paper");
    let viii = table(&viii, "VIII");
    assert_eq!(runs(viii, "k-means", "T1", 10), runs(ii, "AMLP", "T1", 10));
    let seven = plan("schedule.toml", "paper");
    let seven = table(&seven, "figure-7");
    assert_eq!(
        runs(seven, "800 epochs", "T1", 10),
        runs(ii, "AMLP", "T1", 10)
    );
    let five = plan("patch-size.toml", "paper");
    let five = table(&five, "figure-5");
    for method in [
        "MAE",
        "SimMIM",
        "MaskFeat",
        "ConvMAE",
        "BEiT V2",
        "BootMAE",
        "SelfMedMAE",
        "AMLP",
    ] {
        for modality in ["CT", "T2"] {
            let row = format!("{method}, patch 16");
            assert_eq!(
                runs(five, &row, modality, 5),
                runs(ii, method, modality, 5),
                "{row} {modality}"
            );
        }
    }
    let six = plan("modalities.toml", "paper");
    let six = table(&six, "figure-6b");
    for modality in ["T1CE", "T2", "FLAIR", "T1"] {
        for label in [5, 10, 50] {
            assert_eq!(
                runs(six, "AMLP", modality, label),
                runs(ii, "AMLP", modality, label)
            );
        }
    }
}

#[test]
fn rows_of_figure_5_have_the_patches_that_they_name() {
    for profile in ["paper", "small", "smoke"] {
        let [loaded] = &load(Path::new("experiments/patch-size.toml"))[..] else {
            panic!("not one manifest");
        };
        let resolved = resolve(loaded.clone(), profile);
        for row in &resolved.studies[0].rows {
            let (_, named) = row.name.rsplit_once(' ').unwrap();
            for cell in &row.cells {
                let settings = &cell.settings;
                let pretext = settings.pretext.as_ref().unwrap();
                let stride = 1 << settings.backbone.depth;
                let side =
                    |options: &serde_json::Value| options["patch"].as_u64().unwrap_or(stride);
                let mut sides = vec![side(&pretext.options)];
                if pretext.name == "beit2" {
                    sides.push(side(&pretext.options["tokenizer"]["mae"]));
                }
                for side in sides {
                    assert_eq!(side.to_string(), named, "{} in {profile}", row.name);
                }
            }
        }
    }
}

#[test]
fn wrong_labels_change_the_pretraining_alone() {
    let compiled = plan("misclassification.toml", "paper");
    let count = |kind| {
        compiled
            .plan
            .stages
            .iter()
            .filter(|s| s.kind == kind)
            .count()
    };
    // Three seeds; 0 % is one training.
    assert_eq!(count(StageKind::Cluster), 3);
    assert_eq!(count(StageKind::Pretrain), 7 * 3);
    assert_eq!(count(StageKind::Evaluate), 7 * 3);
}

/// The stages that a stage reads, directly or not.
fn before<'a>(compiled: &'a Compiled, key: &Key) -> Vec<&'a Stage> {
    let mut wanted: HashSet<&Key> = HashSet::new();
    let mut found = Vec::new();
    for stage in compiled.plan.stages.iter().rev() {
        if stage.key == *key || wanted.contains(&stage.key) {
            wanted.extend(stage.inputs.iter().map(|i| &i.key));
            found.push(stage);
        }
    }
    found
}

#[test]
fn each_step_of_the_search_waits_for_the_choice_before_it() {
    let compiled = plan("hyperparameters.toml", "paper");
    let spec = table(&compiled, "XIV");
    assert_eq!(spec.rows.len(), 3 + 3 + 4 + 3 + 4);
    let selects: Vec<&Stage> = compiled
        .plan
        .stages
        .iter()
        .filter(|s| s.kind == StageKind::Select)
        .collect();
    assert_eq!(selects.len(), 5);
    for (row, step) in [
        ("optimiser sgd", 0),
        ("learning rate 0.00001", 1),
        ("weight decay 0.1", 2),
        ("warm-up 20", 3),
        ("epochs 1600", 4),
    ] {
        let [cell] = cells(spec, row)[..] else {
            panic!("{row}: not one cell");
        };
        assert_eq!(cell.search.as_ref().unwrap().select, selects[step].key);
        for (seed, key) in &cell.runs {
            let lineage = before(&compiled, key);
            let made = lineage.iter().filter(|s| s.kind == StageKind::Select);
            assert_eq!(made.count(), step, "{row}, seed {seed}");
            let evaluate = lineage.iter().find(|s| s.key == *key).unwrap();
            assert_eq!(
                evaluate.spec["validation"], true,
                "{row}: {}",
                evaluate.label
            );
        }
    }
    // The last training knows all candidates of all steps before it, none by name of its winner.
    let last = compiled
        .plan
        .stages
        .iter()
        .find(|s| s.label.starts_with("pretrain epochs 1600"))
        .unwrap();
    let choices = last.spec["choices"].as_array().unwrap();
    let steps: Vec<&str> = choices
        .iter()
        .map(|c| c["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps,
        [
            "pretrain.optimiser.kind",
            "pretrain.optimiser.lr",
            "pretrain.optimiser.weight_decay",
            "pretrain.optimiser.warmup_epochs",
        ]
    );
    assert_eq!(choices[0]["candidates"][2]["optimiser"]["kind"], "adamw");
    assert_eq!(choices[1]["candidates"][0]["optimiser"]["lr"], 1e-5);
    for step in steps {
        assert!(last.input(&format!("choice.{step}")).is_some(), "{step}");
    }
}

#[test]
fn measurements_train_nothing() {
    let compiled = plan("clustering.toml", "paper");
    for name in ["VII", "VIII-time"] {
        for cell in &table(&compiled, name).cells {
            assert_eq!(cell.label, 0);
            for (_, key) in &cell.runs {
                let kinds: BTreeSet<&str> = before(&compiled, key)
                    .iter()
                    .map(|s| s.kind.name())
                    .collect();
                let expected = BTreeSet::from(["measure", "index", "split", "prepare"]);
                assert_eq!(
                    kinds,
                    expected.into_iter().collect::<BTreeSet<_>>(),
                    "{name}"
                );
            }
        }
    }
    // The three rows of Table VII are parts of one measurement.
    let count = |kind| {
        compiled
            .plan
            .stages
            .iter()
            .filter(|s| s.kind == kind)
            .count()
    };
    assert_eq!(count(StageKind::Measure), 3 + 4 * 3);
}
