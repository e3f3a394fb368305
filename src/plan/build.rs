//! From the resolved study to stages: equal stages merge, across rows, tables and manifests.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::spec::{
    ClusterSpec, EvaluateSpec, FinetuneSpec, IndexSpec, PhantomSpec, PrepareSpec, PretrainSpec,
    SliceSpec, SplitSpec, TableCell, TableColumn, TableData, TableRow, TabulateSpec,
};
use super::{DeviceClass, Input, Key, Plan, Stage, StageKind};
use crate::options::{Reference, SliceOptions, SliceUse};
use crate::study::{CellSettings, Column, Resolved, ResolvedStudy};

/// What is known about a data set on disk before planning.
#[derive(Clone, Debug, Default)]
pub struct DataFact {
    /// Its folder, where it is there.
    pub root: Option<PathBuf>,
    /// Digest of its files.
    pub fingerprint: Option<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// A plan and the tables that it fills.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// All stages.
    pub plan: Plan,
    /// One specification per table, with the key of its stage.
    pub tables: Vec<(Key, TabulateSpec)>,
    /// Data sets that are not there: name and reason.
    pub missing_data: BTreeMap<String, String>,
    /// Stages whose data is missing; their keys will change when it arrives.
    pub provisional: std::collections::HashSet<Key>,
}

/// Compiles a resolved study. `facts` holds one entry per data set that is no phantom; `ledger` is
/// the digest of the published numbers.
#[must_use]
pub fn compile(
    resolved: &Resolved,
    facts: &BTreeMap<String, DataFact>,
    device: DeviceClass,
    ledger: &str,
) -> Compiled {
    let mut builder = Builder {
        resolved,
        facts,
        device,
        compiled: Compiled::default(),
        known: HashMap::new(),
    };
    for study in &resolved.studies {
        builder.study(study, ledger);
    }
    builder.compiled
}

struct Builder<'a> {
    resolved: &'a Resolved,
    facts: &'a BTreeMap<String, DataFact>,
    device: DeviceClass,
    compiled: Compiled,
    known: HashMap<Key, usize>,
}

impl Builder<'_> {
    fn study(&mut self, study: &ResolvedStudy, ledger: &str) {
        let mut cells = Vec::new();
        for (r, row) in study.rows.iter().enumerate() {
            for cell in &row.cells {
                let column = &study.columns[cell.column];
                let runs = study
                    .seeds
                    .iter()
                    .map(|&seed| {
                        let key = self.run(&row.name, column, cell.label, seed, &cell.settings);
                        (seed, key)
                    })
                    .collect();
                cells.push(TableCell {
                    row: r,
                    column: cell.column,
                    label: cell.label,
                    runs,
                });
            }
        }
        let evaluate = study
            .rows
            .iter()
            .flat_map(|r| &r.cells)
            .map(|c| c.settings.evaluate.clone())
            .next()
            .unwrap_or_default();
        let spec = TabulateSpec {
            experiment: self.resolved.name.clone(),
            profile: self.resolved.profile.clone(),
            table: study.table.clone(),
            title: study.title.clone(),
            columns: study
                .columns
                .iter()
                .map(|c| {
                    let data = &self.resolved.data[&c.data];
                    TableColumn {
                        dataset: data.shown(),
                        published: data.published.clone(),
                        modality: c.modality(),
                    }
                })
                .collect(),
            rows: study
                .rows
                .iter()
                .map(|r| TableRow {
                    name: r.name.clone(),
                    published: r.published.clone(),
                    setting: r.setting.clone(),
                })
                .collect(),
            labels: study.labels.clone(),
            seeds: study.seeds.clone(),
            metrics: study.metrics.clone(),
            regions: study.regions.clone(),
            metric: evaluate.metric,
            aggregation: evaluate.aggregation,
            hausdorff: evaluate.hausdorff,
            data: self.data_of(study),
            device: self.device.name().to_owned(),
            ledger: ledger.to_owned(),
            cells,
        };
        let mut inputs: Vec<Input> = spec
            .cells
            .iter()
            .flat_map(|c| c.runs.iter().map(|(_, key)| key.clone()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|key| Input {
                role: key.to_string(),
                key,
            })
            .collect();
        inputs.sort_by(|a, b| a.role.cmp(&b.role));
        let label = format!("tabulate {}", study.table);
        let key = self.add(
            StageKind::Tabulate,
            label,
            &spec,
            inputs,
            false,
            Value::Null,
        );
        self.compiled.tables.push((key, spec));
    }

    /// Data sets of a table, in the order of its columns.
    fn data_of(&self, study: &ResolvedStudy) -> Vec<TableData> {
        let mut all: Vec<TableData> = Vec::new();
        for column in &study.columns {
            let data = &self.resolved.data[&column.data];
            let entry = TableData {
                name: data.shown(),
                layout: data.layout.clone(),
                phantom: data.phantom.is_some(),
            };
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        all
    }

    /// All stages of one run; returns the key of its evaluation.
    fn run(&mut self, row: &str, column: &Column, label: u32, seed: u64, s: &CellSettings) -> Key {
        let data = &self.resolved.data[&column.data];
        let shown = format!("{}/{}", data.shown(), column.modality());
        let context = match self.facts.get(&column.data).and_then(|f| f.root.as_ref()) {
            Some(root) => json!({ "root": root.display().to_string() }),
            None => Value::Null,
        };
        let mut source = Vec::new();
        if let Some(options) = &data.phantom {
            let spec = PhantomSpec {
                options: options.clone(),
            };
            let key = self.add(
                StageKind::Phantom,
                format!("phantom {}", data.shown()),
                &spec,
                Vec::new(),
                false,
                Value::Null,
            );
            source.push(input("phantom", key));
        }
        let fact = self.facts.get(&column.data);
        let problem = match (&data.phantom, fact) {
            (Some(_), _) => None,
            (None, Some(f)) => f.problem.clone(),
            (None, None) => Some("its folder was not looked at".to_owned()),
        };
        let index = self.add(
            StageKind::Index,
            format!("index {}", data.shown()),
            &IndexSpec {
                layout: data.layout.clone(),
                files: data.files.clone(),
                fingerprint: if data.phantom.is_some() {
                    None
                } else {
                    fact.and_then(|f| f.fingerprint.clone())
                },
            },
            source.clone(),
            false,
            context.clone(),
        );
        if let Some(problem) = problem {
            self.compiled.provisional.insert(index.clone());
            self.compiled
                .missing_data
                .insert(column.data.clone(), problem);
        }
        let split = self.add(
            StageKind::Split,
            format!("split {} seed {seed}", data.shown()),
            &SplitSpec {
                split: s.split.clone(),
                seed,
            },
            vec![input("index", index.clone())],
            false,
            Value::Null,
        );
        let mut inputs = vec![input("index", index.clone())];
        inputs.extend(source);
        let prepared = self.add(
            StageKind::Prepare,
            format!("prepare {shown}"),
            &PrepareSpec {
                modalities: column.modalities.clone(),
                prepare: s.prepare.clone(),
                max_cases: s.split.max_cases,
            },
            inputs,
            false,
            context,
        );
        let encoder = s.pretext.as_ref().map(|pretext| {
            let slices = slice_spec(&s.slices, s.slices.pretrain);
            let mut inputs = vec![
                input("prepared", prepared.clone()),
                input("split", split.clone()),
            ];
            if pretext.amlp.uses_labels() && pretext.amlp.labels.reference == Reference::Kmeans {
                let key = self.add(
                    StageKind::Cluster,
                    format!("cluster {shown} seed {seed}"),
                    &ClusterSpec {
                        patch: pretext.amlp.patch,
                        cluster: pretext.amlp.cluster.clone(),
                        slices: slices.clone(),
                        seed,
                    },
                    inputs.clone(),
                    false,
                    Value::Null,
                );
                inputs.push(input("labels", key));
            }
            if pretext.amlp.labels.reference == Reference::Gt {
                inputs.push(input("index", index.clone()));
            }
            self.add(
                StageKind::Pretrain,
                format!("pretrain {row} {shown} seed {seed}"),
                &PretrainSpec {
                    pretext: pretext.name.clone(),
                    pretext_version: crate::study::pretext_version(&pretext.name),
                    amlp: pretext.amlp.clone(),
                    backbone: s.backbone.clone(),
                    pretrain: s.pretrain.clone(),
                    slices,
                    seed,
                },
                inputs,
                true,
                Value::Null,
            )
        });
        let mut inputs = vec![
            input("index", index.clone()),
            input("prepared", prepared.clone()),
            input("split", split.clone()),
        ];
        if let Some(encoder) = encoder {
            inputs.push(input("encoder", encoder));
        }
        let model = self.add(
            StageKind::Finetune,
            format!("finetune {row} {shown} {label} % seed {seed}"),
            &FinetuneSpec {
                backbone: s.backbone.clone(),
                finetune: s.finetune.clone(),
                slices: slice_spec(&s.slices, s.slices.train),
                label,
                seed,
            },
            inputs,
            true,
            Value::Null,
        );
        self.add(
            StageKind::Evaluate,
            format!("evaluate {row} {shown} {label} % seed {seed}"),
            &EvaluateSpec {
                metric: s.evaluate.metric.clone(),
            },
            vec![
                input("index", index),
                input("prepared", prepared),
                input("split", split),
                input("model", model),
            ],
            true,
            Value::Null,
        )
    }

    fn add<S: Serialize>(
        &mut self,
        kind: StageKind,
        label: String,
        spec: &S,
        inputs: Vec<Input>,
        computes: bool,
        context: Value,
    ) -> Key {
        // Specifications are plain structs with string keys: they always serialise.
        let spec = serde_json::to_value(spec).unwrap_or(Value::Null);
        let mut preimage = json!({
            "kind": kind.name(),
            "version": kind.version(),
            "spec": spec,
            "inputs": inputs
                .iter()
                .map(|i| (i.role.clone(), Value::String(i.key.to_string())))
                .collect::<serde_json::Map<_, _>>(),
        });
        if computes {
            preimage["device"] = self.device.name().into();
        }
        let key = Key::of(&preimage);
        if !self.known.contains_key(&key) {
            if inputs
                .iter()
                .any(|i| self.compiled.provisional.contains(&i.key))
            {
                self.compiled.provisional.insert(key.clone());
            }
            self.known
                .insert(key.clone(), self.compiled.plan.stages.len());
            self.compiled.plan.stages.push(Stage {
                key: key.clone(),
                kind,
                label,
                inputs,
                spec,
                preimage,
                context,
            });
        }
        key
    }
}

fn input(role: &str, key: Key) -> Input {
    Input {
        role: role.to_owned(),
        key,
    }
}

fn slice_spec(options: &SliceOptions, slices: SliceUse) -> SliceSpec {
    SliceSpec {
        slices,
        min_nonzero: if slices == SliceUse::Nonempty {
            options.min_nonzero
        } else {
            0.0
        },
        per_case: options.per_case,
    }
}
