//! From the resolved study to stages: equal stages merge, across rows, tables and manifests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::memo::{Memo, Remembered, StageSpec};
use super::spec::{
    ChoiceSpec, ClusterSpec, EvaluateSpec, FinetuneSpec, IndexSpec, InitSpec, MeasureSpec,
    PhantomSpec, PrepareSpec, PretrainSpec, SelectCandidate, SelectSpec, SliceSpec, SplitSpec,
    TableCell, TableColumn, TableData, TableRow, TableSearch, TabulateSpec, TokenizeSpec,
};
use super::{DeviceClass, Input, Key, Plan, Stage};
use crate::options::{
    FinetuneOptions, InitOptions, MeasureOptions, PretrainOptions, SliceOptions, SliceUse,
    SparseOptions, TaskOptions, TokenTeacher, Tokens, Transfer, ViewOptions,
};
use crate::study::{CellSettings, Column, PretextSpec, Resolved, ResolvedStudy, Row};

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
        memo: Memo::default(),
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
    memo: Memo,
}

/// One run of a cell, for any seed.
struct RunOf<'a> {
    row: &'a str,
    column: &'a Column,
    label: u32,
    settings: &'a CellSettings,
    /// What earlier steps of a search have chosen.
    choices: &'a [Made],
    /// Whether the validation patients are scored.
    validates: bool,
}

/// The slices of a run.
struct Slices {
    index: Key,
    prepared: Key,
    split: Key,
    /// Data set and modality.
    shown: String,
    seed: u64,
}

/// A choice of a step, and the stage that makes it.
struct Made {
    spec: ChoiceSpec,
    key: Key,
}

/// The searches of a study, for each column and label ratio.
#[derive(Default)]
struct Searches {
    made: BTreeMap<(usize, u32), Vec<Made>>,
    open: BTreeMap<(usize, u32), Tried>,
}

/// The candidates of a step, so far.
#[derive(Default)]
struct Tried {
    step: String,
    /// What each sets.
    patches: Vec<Value>,
    /// Their cells, by position.
    cells: Vec<usize>,
}

impl Searches {
    /// The choices that a row starts from.
    fn made(&self, place: (usize, u32), row: &Row) -> &[Made] {
        let made = row.candidate.as_ref().and_then(|_| self.made.get(&place));
        made.map_or(&[], Vec::as_slice)
    }

    /// Notes a candidate.
    fn try_out(&mut self, place: (usize, u32), row: &Row, cell: usize) {
        if let Some(candidate) = &row.candidate {
            let tried = self.open.entry(place).or_default();
            tried.step.clone_from(&candidate.step);
            tried.patches.push(candidate.patch.clone());
            tried.cells.push(cell);
        }
    }
}

impl Builder<'_> {
    fn study(&mut self, study: &ResolvedStudy, ledger: &str) {
        let cells = self.cells(study);
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
                    part: r.part.clone(),
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
            measure: study.measure.clone(),
            cells,
        };
        let runs = spec.cells.iter().flat_map(|c| &c.runs).map(|(_, key)| key);
        let searches = spec.cells.iter().filter_map(|c| c.search.as_ref());
        let inputs = by_key(runs.chain(searches.map(|s| &s.select)));
        let label = || format!("tabulate {}", study.table);
        let key = self.add(&spec, inputs, Value::Null, label);
        self.compiled.tables.push((key, spec));
    }

    /// All runs of a study, as cells of its table.
    fn cells(&mut self, study: &ResolvedStudy) -> Vec<TableCell> {
        let mut cells = Vec::new();
        let mut searches = Searches::default();
        for (r, row) in study.rows.iter().enumerate() {
            for cell in &row.cells {
                let column = &study.columns[cell.column];
                let place = (cell.column, cell.label);
                let run = RunOf {
                    row: &row.name,
                    column,
                    label: cell.label,
                    settings: &cell.settings,
                    choices: searches.made(place, row),
                    validates: row.candidate.is_some(),
                };
                let runs = study
                    .seeds
                    .iter()
                    .map(|&seed| {
                        let key = match &study.measure {
                            Some(measure) => self.measurement(&run, measure, seed),
                            None => self.run(&run, seed),
                        };
                        (seed, key)
                    })
                    .collect();
                searches.try_out(place, row, cells.len());
                cells.push(TableCell {
                    row: r,
                    column: cell.column,
                    label: cell.label,
                    runs,
                    search: None,
                });
            }
            // The step ends with its last row.
            let step = row.candidate.as_ref().map(|c| &c.step);
            let next = study.rows.get(r + 1).and_then(|row| row.candidate.as_ref());
            if step.is_some() && step != next.map(|c| &c.step) {
                self.select(study, &mut searches, &mut cells);
            }
        }
        cells
    }

    /// The choices of a step whose candidates have all been planned, one for each column and label
    /// ratio.
    fn select(&mut self, study: &ResolvedStudy, searches: &mut Searches, cells: &mut [TableCell]) {
        for (place, tried) in std::mem::take(&mut searches.open) {
            let evaluate = study.rows.iter().flat_map(|r| &r.cells).next();
            let evaluate = evaluate
                .map(|c| c.settings.evaluate.clone())
                .unwrap_or_default();
            let candidates = tried.cells.iter().map(|&c| SelectCandidate {
                name: study.rows[cells[c].row].name.clone(),
                runs: cells[c].runs.clone(),
            });
            let spec = SelectSpec {
                step: tried.step.clone(),
                metric: study.metrics.first().cloned().unwrap_or_default(),
                aggregation: evaluate.aggregation,
                hausdorff: evaluate.hausdorff,
                candidates: candidates.collect(),
            };
            let runs = spec.candidates.iter().flat_map(|c| &c.runs);
            let inputs = by_key(runs.map(|(_, key)| key));
            let label = || {
                let column = &study.columns[place.0];
                format!("select {} {column} {} %", tried.step, place.1)
            };
            let key = self.once(spec, inputs, Value::Null, label);
            for (candidate, &cell) in tried.cells.iter().enumerate() {
                cells[cell].search = Some(TableSearch {
                    select: key.clone(),
                    candidate,
                });
            }
            searches.made.entry(place).or_default().push(Made {
                spec: ChoiceSpec {
                    step: tried.step,
                    candidates: tried.patches,
                },
                key,
            });
        }
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

    /// The slices of a run.
    fn slices(&mut self, run: &RunOf<'_>, seed: u64) -> Slices {
        let (column, s) = (run.column, run.settings);
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
            let label = || format!("phantom {}", data.shown());
            let key = self.once(spec, Vec::new(), Value::Null, label);
            source.push(input("phantom", key));
        }
        let fact = self.facts.get(&column.data);
        let problem = match (&data.phantom, fact) {
            (Some(_), _) => None,
            (None, Some(f)) => f.problem.clone(),
            (None, None) => Some("its folder was not looked at".to_owned()),
        };
        let index = self.once(
            IndexSpec {
                layout: data.layout.clone(),
                files: data.files.clone(),
                fingerprint: if data.phantom.is_some() {
                    None
                } else {
                    fact.and_then(|f| f.fingerprint.clone())
                },
            },
            source.clone(),
            context.clone(),
            || format!("index {}", data.shown()),
        );
        if let Some(problem) = problem {
            self.compiled.provisional.insert(index.clone());
            self.compiled
                .missing_data
                .insert(column.data.clone(), problem);
        }
        let split = self.once(
            SplitSpec {
                split: s.split.clone(),
                seed,
            },
            vec![input("index", index.clone())],
            Value::Null,
            || format!("split {} seed {seed}", data.shown()),
        );
        let mut inputs = vec![input("index", index.clone())];
        inputs.extend(source);
        let prepared = self.once(
            PrepareSpec {
                modalities: column.modalities.clone(),
                prepare: s.prepare.clone(),
                max_cases: s.split.max_cases,
            },
            inputs,
            context,
            || format!("prepare {shown}"),
        );
        Slices {
            index,
            prepared,
            split,
            shown,
            seed,
        }
    }

    /// A measurement; returns its key.
    fn measurement(&mut self, run: &RunOf<'_>, measure: &MeasureOptions, seed: u64) -> Key {
        let on = self.slices(run, seed);
        let needs = run
            .settings
            .pretext
            .as_ref()
            .map(crate::study::pretext_needs);
        let Some(clusters) = needs.and_then(|n| n.clusters) else {
            // A row without a clustering was refused when the study was resolved.
            return on.split;
        };
        self.once(
            MeasureSpec {
                measure: measure.clone(),
                measure_version: crate::study::measure_version(measure.kind),
                clusters,
                slices: slice_spec(&run.settings.slices, SliceUse::Lesion),
                seed,
            },
            vec![
                input("index", on.index),
                input("prepared", on.prepared),
                input("split", on.split),
            ],
            Value::Null,
            || format!("measure {} {} seed {seed}", run.row, on.shown),
        )
    }

    /// All stages of one run; returns the key of its evaluation.
    fn run(&mut self, run: &RunOf<'_>, seed: u64) -> Key {
        let RunOf {
            row,
            label,
            settings: s,
            ..
        } = *run;
        let on = self.slices(run, seed);
        let encoder = s
            .pretext
            .as_ref()
            .map(|pretext| self.encoder(row, pretext, &on, s, run.choices));
        let Slices {
            index,
            prepared,
            split,
            shown,
            ..
        } = on;
        let mut inputs = vec![
            input("index", index.clone()),
            input("prepared", prepared.clone()),
            input("split", split.clone()),
        ];
        if let Some(encoder) = encoder {
            inputs.push(input("encoder", encoder));
        }
        let (init, context) = init_of(s);
        let model = self.once(
            FinetuneSpec {
                backbone: s.backbone.clone(),
                finetune: FinetuneOptions {
                    init: InitOptions::default(),
                    ..s.finetune.clone()
                },
                init,
                slices: slice_spec(&s.slices, s.slices.train),
                label,
                seed,
            },
            inputs,
            context,
            || format!("finetune {row} {shown} {label} % seed {seed}"),
        );
        self.once(
            EvaluateSpec {
                metric: s.evaluate.metric.clone(),
                validation: run.validates,
            },
            vec![
                input("index", index),
                input("prepared", prepared),
                input("split", split),
                input("model", model),
            ],
            Value::Null,
            || format!("evaluate {row} {shown} {label} % seed {seed}"),
        )
    }

    /// Pre-training and what it needs; returns its key.
    fn encoder(
        &mut self,
        row: &str,
        pretext: &PretextSpec,
        on: &Slices,
        s: &CellSettings,
        choices: &[Made],
    ) -> Key {
        let (shown, seed) = (&on.shown, on.seed);
        let slices = slice_spec(&s.slices, s.slices.pretrain);
        let mut inputs = vec![
            input("prepared", on.prepared.clone()),
            input("split", on.split.clone()),
        ];
        let needs = crate::study::pretext_needs(pretext);
        if let Some(clusters) = needs.clusters {
            let key = self.once(
                ClusterSpec {
                    patch: clusters.patch,
                    cluster: clusters.cluster,
                    slices: slices.clone(),
                    seed,
                },
                inputs.clone(),
                Value::Null,
                || format!("cluster {shown} seed {seed}"),
            );
            inputs.push(input("labels", key));
        }
        if needs.masks {
            inputs.push(input("index", on.index.clone()));
        }
        if let Some(tokens) = needs.tokens {
            let key = self.tokenizer(row, tokens, on, s);
            inputs.push(input("codes", key));
        }
        let mut pretrain = crate::study::pretext_training(&pretext.name, &s.pretrain);
        if let Some(own) = crate::study::pretext_optimiser(pretext, pretrain.batch) {
            pretrain.optimiser = own;
        }
        for made in choices {
            inputs.push(input(&made.spec.role(), made.key.clone()));
        }
        self.once(
            PretrainSpec {
                pretext: pretext.name.clone(),
                pretext_version: crate::study::pretext_version(&pretext.name),
                options: BTreeMap::from([(pretext.name.clone(), pretext.options.clone())]),
                backbone: s.backbone.clone(),
                pretrain,
                choices: choices.iter().map(|made| made.spec.clone()).collect(),
                slices,
                seed,
            },
            inputs,
            Value::Null,
            || format!("pretrain {row} {shown} seed {seed}"),
        )
    }

    /// A tokenizer and the pre-training that it learns from; returns its key.
    fn tokenizer(&mut self, row: &str, tokens: Tokens, on: &Slices, s: &CellSettings) -> Key {
        let (shown, seed) = (&on.shown, on.seed);
        let mut inputs = vec![
            input("prepared", on.prepared.clone()),
            input("split", on.split.clone()),
        ];
        if tokens.tokenizer.teacher == TokenTeacher::OwnMae {
            let mae = PretextSpec {
                name: "mae".to_owned(),
                // Options are plain structs with string keys: they always serialise.
                options: serde_json::to_value(&tokens.tokenizer.mae).unwrap_or(Value::Null),
            };
            let key = self.encoder("MAE", &mae, on, s, &[]);
            inputs.push(input("teacher", key));
        }
        let tokenize = PretrainOptions {
            epochs: tokens.tokenizer.epochs,
            optimiser: tokens
                .tokenizer
                .optimiser(s.pretrain.batch)
                .unwrap_or_else(|| s.pretrain.optimiser.clone()),
            // A tokenizer has no network beyond what it hands on.
            keep_network: false,
            transfer: Transfer::default(),
            views: ViewOptions::default(),
            sparse: SparseOptions::default(),
            ..s.pretrain.clone()
        };
        self.once(
            TokenizeSpec {
                tokens,
                tokenizer_version: crate::study::tokenizer_version(),
                backbone: s.backbone.clone(),
                tokenize,
                slices: slice_spec(&s.slices, s.slices.pretrain),
                seed,
            },
            inputs,
            Value::Null,
            || format!("tokenize {row} {shown} seed {seed}"),
        )
    }

    /// The key of a stage that many runs ask for: serialised and hashed the first time only.
    fn once<S: Remembered>(
        &mut self,
        spec: S,
        inputs: Vec<Input>,
        context: Value,
        label: impl FnOnce() -> String,
    ) -> Key {
        if let Some(key) = S::known(&mut self.memo).get(&inputs, &spec) {
            return key;
        }
        let keys = inputs.iter().map(|i| i.key.clone()).collect();
        let key = self.add(&spec, inputs, context, label);
        S::known(&mut self.memo).put(keys, spec, key.clone());
        key
    }

    fn add<S: StageSpec>(
        &mut self,
        spec: &S,
        inputs: Vec<Input>,
        context: Value,
        label: impl FnOnce() -> String,
    ) -> Key {
        // Specifications are plain structs with string keys: they always serialise.
        let spec = serde_json::to_value(spec).unwrap_or(Value::Null);
        let mut preimage = json!({
            "kind": S::KIND.name(),
            "version": S::KIND.version(),
            "spec": spec,
            "inputs": inputs
                .iter()
                .map(|i| (i.role.clone(), Value::String(i.key.to_string())))
                .collect::<serde_json::Map<_, _>>(),
        });
        if S::COMPUTES {
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
                kind: S::KIND,
                label: label(),
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

/// Artifacts that are taken by their keys, each once.
fn by_key<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<Input> {
    let keys: BTreeSet<&Key> = keys.collect();
    let mut inputs: Vec<Input> = keys
        .into_iter()
        .map(|key| input(key.as_str(), key.clone()))
        .collect();
    inputs.sort_by(|a, b| a.role.cmp(&b.role));
    inputs
}

/// The file that a fine-tuning starts from, and where it lies.
fn init_of(s: &CellSettings) -> (Option<InitSpec>, Value) {
    if !s.finetune.init.is_used() {
        return (None, Value::Null);
    }
    let spec = InitSpec {
        digest: s
            .init
            .as_ref()
            .map_or_else(String::new, |f| f.digest.clone()),
        part: s.finetune.init.part,
        prefix: s.finetune.init.prefix.clone(),
    };
    let context = match &s.init {
        Some(file) => json!({ "init": file.path }),
        None => Value::Null,
    };
    (Some(spec), context)
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
