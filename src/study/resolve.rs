//! From a loaded manifest to the resolved study.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::checker::Checker;
use super::claim::{ClaimAxes, claims};
use super::layers::{self, AxisValue, Combination};
use super::resolved::{
    Cell, CellSettings, Column, NO_RATIO, PretextSpec, Resolved, ResolvedData, ResolvedStudy, Row,
};
use super::search;
use super::toggles::amlp_options;
use crate::manifest::{
    DataSet, Diagnostic, Diagnostics, Loaded, Node, Origin, Settings, Sources, Table, Value,
    from_node, parse_override,
};
use crate::options::{Frame, SlurmOptions};

/// Name of the profile that is meant when none is asked for.
const DEFAULT_PROFILE: &str = "paper";

/// What the command line adds to a manifest.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Profile.
    pub profile: Option<String>,
    /// `key=value` overrides, in order.
    pub set: Vec<String>,
    /// Roots of data sets by name.
    pub roots: BTreeMap<String, String>,
}

impl Request {
    /// What of it is for one of several manifests: folders of data sets that it names, and those
    /// that none of them does, so that somebody complains.
    #[must_use]
    pub fn for_one_of(&self, all: &[Loaded], one: &Loaded) -> Self {
        let has = |manifest: &Loaded, name: &str| manifest.document.data.contains_key(name);
        let mut own = self.clone();
        own.roots
            .retain(|name, _| has(one, name) || !all.iter().any(|other| has(other, name)));
        own
    }
}

/// Where rows were written: `(table, row)` to `file:line`.
pub type Places = BTreeMap<(String, String), String>;

/// A resolved manifest and what belongs to the text rather than to the meaning.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The meaning.
    pub resolved: Resolved,
    /// Where rows were written.
    pub places: Places,
    /// What jobs ask Slurm for.
    pub slurm: SlurmOptions,
    /// The texts, for later diagnostics.
    pub sources: Sources,
}

/// Resolves a manifest.
///
/// # Errors
/// Everything that is wrong with it and can be known without reading data, each with its place.
pub fn resolve(loaded: Loaded, request: &Request) -> Result<Resolution, Diagnostics> {
    let mut sources = loaded.sources.clone();
    match Resolver::new(loaded, request, &mut sources).and_then(|mut r| r.run()) {
        Ok((resolved, places, slurm)) => Ok(Resolution {
            resolved,
            places,
            slurm,
            sources,
        }),
        Err(list) => Err(Diagnostics { sources, list }),
    }
}

type Failed = Vec<Diagnostic>;

/// Keys beside the settings that `--set` may change.
const SET_KEYS: [&str; 5] = ["seeds", "labels", "name", "data", "slurm"];

struct Resolver {
    root: Table,
    loaded: Loaded,
    profile: String,
    profile_table: Table,
    set: Vec<(String, Node)>,
    roots: BTreeMap<String, String>,
    sources: Sources,
}

impl Resolver {
    fn new(loaded: Loaded, request: &Request, sources: &mut Sources) -> Result<Self, Failed> {
        let mut root = loaded.tree.clone();
        let mut set = Vec::new();
        for argument in &request.set {
            let (key, node) = parse_override(sources, argument).map_err(|d| vec![d])?;
            let first = key.split('.').next().unwrap_or_default();
            if crate::manifest::SETTING_KEYS.contains(&first) {
                set.push((key, node));
            } else if SET_KEYS.contains(&first) {
                let path: Vec<&str> = key.split('.').collect();
                root.set(&path, node.clone());
                set.push((key, node));
            } else {
                let known = crate::manifest::SETTING_KEYS
                    .iter()
                    .copied()
                    .chain(SET_KEYS);
                return Err(vec![
                    Diagnostic::new(format!("unknown key '{first}'"), Some(&node.origin))
                        .maybe_hint(check::did_you_mean(first, known)),
                ]);
            }
        }
        let profile = request
            .profile
            .clone()
            .unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let declared: Vec<&str> = loaded.document.profile.keys().map(String::as_str).collect();
        let found = root
            .get("profile")
            .and_then(Node::as_table)
            .and_then(|t| t.get(&profile))
            .and_then(Node::as_table)
            .cloned();
        let profile_table = match found {
            Some(table) => table,
            None if profile == DEFAULT_PROFILE => Table::default(),
            None => {
                let hint =
                    check::did_you_mean(&profile, declared.iter().copied()).unwrap_or_else(|| {
                        if declared.is_empty() {
                            "the manifest declares no profile".to_owned()
                        } else {
                            format!("profiles here: {}", declared.join(", "))
                        }
                    });
                return Err(vec![
                    Diagnostic::new(format!("there is no profile '{profile}'"), None).hint(hint),
                ]);
            }
        };
        Ok(Self {
            root,
            loaded,
            profile,
            profile_table,
            set,
            roots: request.roots.clone(),
            sources: sources.clone(),
        })
    }

    fn run(&mut self) -> Result<(Resolved, Places, SlurmOptions), Failed> {
        let mut problems = Vec::new();
        let data = self.data_sets().map_err(|d| vec![d])?;
        let slurm = super::slurm::options(&self.root, &self.profile_table, &self.set)
            .map_err(|d| vec![d])?;
        let document = self.document().map_err(|d| vec![d])?;
        let name = document.name.clone().unwrap_or_else(|| {
            self.loaded.path.file_stem().map_or_else(
                || "experiment".to_owned(),
                |s| s.to_string_lossy().into_owned(),
            )
        });
        if let Some(d) = check::file_name(&name, "name", self.root.origin("name")) {
            problems.push(d);
        }
        let studies = layers::tables(&self.root, "study");
        if studies.is_empty() {
            problems.push(
                Diagnostic::new(
                    "the manifest has no [[study]]",
                    Some(&Origin {
                        file: 0,
                        span: 0..0,
                    }),
                )
                .hint("a study is one table: columns in `data`, rows in [[study.variant]]"),
            );
        }
        let names: Vec<&str> = data.keys().map(String::as_str).collect();
        let modalities = modalities(&data);
        for (when, _) in layers::tables(&self.root, "when") {
            check::when(when, &names, modalities.as_deref(), &mut problems);
        }
        let mut places = Places::new();
        let mut resolved = Vec::new();
        let mut tables = BTreeSet::new();
        for (table, node) in studies {
            match self.study(table, node, &data, &mut places) {
                Ok(study) => {
                    if tables.insert(study.table.clone()) {
                        resolved.push(study);
                    } else {
                        problems.push(Diagnostic::new(
                            format!("two studies write table '{}'", study.table),
                            table.origin("table"),
                        ));
                    }
                }
                Err(list) => problems.extend(list),
            }
        }
        if !problems.is_empty() {
            return Err(distinct(problems));
        }
        let used: BTreeSet<&str> = resolved
            .iter()
            .flat_map(|s| s.columns.iter().map(|c| c.data.as_str()))
            .collect();
        let data = data
            .iter()
            .filter(|(name, _)| used.contains(name.as_str()))
            .map(|(name, d)| (name.clone(), d.resolved.clone()))
            .collect();
        let resolved = Resolved {
            name,
            profile: self.profile.clone(),
            data,
            studies: resolved,
        };
        Ok((resolved, places, slurm))
    }

    /// The document with `--set` applied at the root.
    fn document(&self) -> Result<crate::manifest::Document, Diagnostic> {
        let mut root = self.root.clone();
        root.entries.remove("labels");
        let node = Node {
            value: Value::Table(root),
            origin: Origin {
                file: 0,
                span: 0..0,
            },
        };
        from_node(&node)
    }

    fn data_sets(&self) -> Result<BTreeMap<String, Data>, Diagnostic> {
        let mut merged = self
            .root
            .get("data")
            .and_then(Node::as_table)
            .cloned()
            .unwrap_or_default();
        if let Some(over) = self.profile_table.get("data").and_then(Node::as_table) {
            merged.merge(over);
        }
        for (key, node) in &self.set {
            if let Some(rest) = key.strip_prefix("data.") {
                merged.set(&rest.split('.').collect::<Vec<_>>(), node.clone());
            }
        }
        let mut all = BTreeMap::new();
        for (name, entry) in &merged.entries {
            let set: DataSet = from_node(&entry.node)?;
            if let Some(d) = check::file_name(name, "name of a data set", Some(&entry.key)) {
                return Err(d);
            }
            let table = entry.node.as_table().cloned().unwrap_or_default();
            let Some(layout) = set.layout.clone() else {
                return Err(Diagnostic::new(
                    format!("the data set '{name}' has no layout"),
                    Some(&entry.key),
                )
                .hint(format!("layouts: {}", super::layout_names().join(", "))));
            };
            if !super::layout_names().contains(&layout.as_str()) {
                return Err(check::unknown(
                    "layout",
                    &layout,
                    &super::layout_names(),
                    table.origin("layout"),
                ));
            }
            if let Err((option, reason)) = super::registry::check_layout(&layout, &set.files) {
                let origin = table.origin(&format!("files.{option}"));
                return Err(Diagnostic::new(reason, origin.or(Some(&entry.key))));
            }
            if let Some(phantom) = &set.phantom {
                check::phantom(phantom, &layout, &table, &entry.key)?;
            }
            let root = self.roots.get(name).cloned().or(set.root);
            all.insert(
                name.clone(),
                Data {
                    prepare: table.get("prepare").cloned(),
                    resolved: ResolvedData {
                        name: name.clone(),
                        layout,
                        root,
                        published: set.published.unwrap_or_else(|| name.clone()),
                        files: set.files,
                        phantom: set.phantom,
                    },
                },
            );
        }
        for name in self.roots.keys() {
            if !all.contains_key(name) {
                let names: Vec<&str> = all.keys().map(String::as_str).collect();
                return Err(check::unknown("data set in --data", name, &names, None));
            }
        }
        Ok(all)
    }

    fn study(
        &self,
        table: &Table,
        node: &Node,
        data: &BTreeMap<String, Data>,
        places: &mut Places,
    ) -> Result<ResolvedStudy, Failed> {
        let study: crate::manifest::Study = from_node(node).map_err(|d| vec![d])?;
        let mut problems = Vec::new();
        let at = |key: &str| table.origin(key).or(Some(&node.origin));
        let name = match &study.table {
            Some(name) => name.clone(),
            None => {
                problems.push(
                    Diagnostic::new("the study has no 'table'", Some(&node.origin))
                        .hint("table = \"IV\" for a table of the paper, or a name of your own"),
                );
                String::new()
            }
        };
        if let (Some(_), Some(d)) = (&study.table, check::file_name(&name, "table", at("table"))) {
            problems.push(d);
        }
        let columns = self.columns(&study, table, node, data, &mut problems);
        let profile = layers::profile_of(table, &self.profile);
        let measure = study
            .measure
            .clone()
            .map(crate::options::MeasureOptions::canonical);
        let labels = self
            .labels(&study, table, node, &mut problems)
            .map_err(|d| vec![d])?;
        let seeds = self
            .seeds(&study, profile)
            .map_err(|d| vec![d])?
            .unwrap_or_else(|| vec![0]);
        check::unique(
            &seeds,
            "seed",
            self.list(table, profile, "seeds"),
            &node.origin,
            &mut problems,
        );
        let metrics = study.metrics.clone().unwrap_or_else(|| match &measure {
            Some(measure) => super::registry::quantities(measure.kind)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            None => vec!["DSC".to_owned(), "HD95".to_owned()],
        });
        let known = match &measure {
            Some(measure) => super::registry::quantities(measure.kind),
            None => super::metric_names(),
        };
        check::metrics(
            &metrics,
            &known,
            table.get("metrics"),
            &node.origin,
            &mut problems,
        );
        if let Some(measure) = &measure {
            check::measure(measure, table, &node.origin, &mut problems);
        }
        let regions = study
            .regions
            .clone()
            .unwrap_or_else(|| vec!["mean".to_owned()]);
        check::unique(
            &regions,
            "region",
            table.get("regions"),
            &node.origin,
            &mut problems,
        );
        check::profiles(table, &self.profiles(), false, &mut problems);

        let mut rows = Vec::new();
        let mut names = BTreeSet::new();
        search::check(&study, table, &self.profile, &node.origin, &mut problems);
        let steps = layers::tables(table, "step");
        let is_search = !steps.is_empty();
        let variants = if is_search {
            steps
        } else {
            layers::tables(table, "variant")
        };
        if variants.is_empty() {
            problems.push(
                Diagnostic::new("the study has no rows", Some(&node.origin))
                    .hint("add at least one [[study.variant]]"),
            );
        }
        let matrix = profile
            .and_then(|p| p.get("matrix"))
            .or_else(|| table.get("matrix"));
        if !check::matrix(matrix, &mut problems) {
            return Err(problems);
        }
        let study_axes = layers::combinations(matrix.and_then(Node::as_table));
        for (variant, variant_node) in variants {
            let profile = layers::profile_of(variant, &self.profile);
            let matrix = profile
                .and_then(|p| p.get("matrix"))
                .or_else(|| variant.get("matrix"));
            check::profiles(variant, &self.profiles(), true, &mut problems);
            if !check::matrix(matrix, &mut problems) {
                continue;
            }
            let inner_axes = layers::combinations(matrix.and_then(Node::as_table));
            if let Some(d) = check::rows(&study_axes, &inner_axes, &variant_node.origin) {
                problems.push(d);
                continue;
            }
            for outer in &study_axes {
                for inner in inner_axes.clone() {
                    let axes: Combination = outer.iter().cloned().chain(inner).collect();
                    let scope = RowScope {
                        study: table,
                        variant,
                        node: variant_node,
                        axes: &axes,
                    };
                    let row = self.row(&scope, &columns, &labels, data);
                    let row = row.and_then(|row| match &measure {
                        Some(measure) => check::measured(row, measure, variant, variant_node),
                        None => check::unmeasured(row, variant),
                    });
                    match row {
                        Ok(mut row) => {
                            if is_search {
                                row.candidate = search::candidate(&axes, &row);
                            }
                            let place = self.place(&variant_node.origin);
                            places.insert((name.clone(), row.name.clone()), place);
                            if !names.insert(row.name.clone()) {
                                problems.push(
                                    Diagnostic::new(
                                        format!("two rows are called '{}'", row.name),
                                        variant.origin("name").or(Some(&variant_node.origin)),
                                    )
                                    .hint("rows of a table need names of their own"),
                                );
                            }
                            rows.push(row);
                        }
                        Err(list) => problems.extend(list),
                    }
                }
            }
        }
        let mut shown = rows
            .iter()
            .flat_map(|r| &r.cells)
            .map(|c| &c.settings.evaluate);
        if let Some(first) = shown.next()
            && shown.any(|other| other != first)
        {
            problems.push(
                Diagnostic::new(
                    "rows of one table are evaluated in different ways",
                    at("evaluate"),
                )
                .hint("set 'evaluate' for the study, or make a study of its own"),
            );
        }
        // Claims name rows: with rows missing for another reason they would all be wrong.
        let claims = if problems.is_empty() {
            let axes = ClaimAxes {
                rows: &rows,
                metrics: &metrics,
                regions: &regions,
                columns: &columns,
                labels: &labels,
            };
            claims(&study.claim, table, &axes, &mut problems)
        } else {
            Vec::new()
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(ResolvedStudy {
            title: study.title.clone().unwrap_or_default(),
            table: name,
            columns,
            labels,
            seeds,
            measure,
            metrics,
            regions,
            rows,
            claims,
        })
    }

    /// Label ratios of a study: those of `--set`, its own, or 100 %. A measurement has none.
    fn labels(
        &self,
        study: &crate::manifest::Study,
        table: &Table,
        node: &Node,
        problems: &mut Failed,
    ) -> Result<Vec<u32>, Diagnostic> {
        if study.measure.is_some() {
            if study.labels.is_some() {
                problems.push(
                    Diagnostic::new("a measurement has no label ratios", table.origin("labels"))
                        .hint("nothing is trained: leave 'labels' out"),
                );
            }
            return Ok(vec![NO_RATIO]);
        }
        let labels = match self.set_value::<Vec<u32>>("labels")? {
            Some(labels) => labels,
            None => study.labels.clone().unwrap_or_else(|| vec![100]),
        };
        let profile = layers::profile_of(table, &self.profile);
        let list = self.list(table, profile, "labels");
        check::labels(&labels, list, &node.origin, problems);
        Ok(labels)
    }

    fn set_value<'s, T: serde::Deserialize<'s>>(
        &'s self,
        key: &str,
    ) -> Result<Option<T>, Diagnostic> {
        match self.set.iter().rev().find(|(k, _)| k == key) {
            Some((_, node)) => from_node(node).map(Some),
            None => Ok(None),
        }
    }

    /// Where a list was written: the same order as [`Self::seeds`].
    fn list<'s>(
        &'s self,
        table: &'s Table,
        profile: Option<&'s Table>,
        key: &str,
    ) -> Option<&'s Node> {
        let set = self
            .set
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, n)| n);
        set.or_else(|| profile.and_then(|p| p.get(key)))
            .or_else(|| table.get(key))
            .or_else(|| self.profile_table.get(key))
            .or_else(|| self.root.get(key))
    }

    /// Profiles that the manifest declares, and the default one.
    fn profiles(&self) -> Vec<&str> {
        let declared = self.loaded.document.profile.keys().map(String::as_str);
        let default = (!self.loaded.document.profile.contains_key(DEFAULT_PROFILE))
            .then_some(DEFAULT_PROFILE);
        declared.chain(default).collect()
    }

    fn seeds(
        &self,
        study: &crate::manifest::Study,
        profile: Option<&Table>,
    ) -> Result<Option<Vec<u64>>, Diagnostic> {
        if let Some(seeds) = self.set_value("seeds")? {
            return Ok(Some(seeds));
        }
        for table in [profile, None] {
            if let Some(node) = table.and_then(|t| t.get("seeds")) {
                return from_node(node).map(Some);
            }
        }
        if study.seeds.is_some() {
            return Ok(study.seeds.clone());
        }
        for table in [&self.profile_table, &self.root] {
            if let Some(node) = table.get("seeds") {
                return from_node(node).map(Some);
            }
        }
        Ok(None)
    }

    fn columns(
        &self,
        study: &crate::manifest::Study,
        table: &Table,
        node: &Node,
        data: &BTreeMap<String, Data>,
        problems: &mut Failed,
    ) -> Vec<Column> {
        let Some(names) = &study.data else {
            problems.push(
                Diagnostic::new("the study has no 'data'", Some(&node.origin))
                    .hint("data = [\"brats2018/FLAIR\"]"),
            );
            return Vec::new();
        };
        if names.is_empty() {
            problems.push(Diagnostic::new(
                "'data' names no column",
                table.origin("data"),
            ));
        }
        let origins = table
            .get("data")
            .and_then(Node::as_array)
            .unwrap_or_default();
        let mut columns = Vec::new();
        for (i, text) in names.iter().enumerate() {
            let origin = origins.get(i).map(|n| &n.origin);
            match check::column(
                text,
                origin,
                data.iter()
                    .map(|(k, d)| (k.as_str(), d.resolved.layout.as_str(), &d.resolved.files)),
            ) {
                Ok(column) if columns.contains(&column) => problems.push(Diagnostic::new(
                    format!("the column '{text}' stands twice"),
                    origin,
                )),
                Ok(column) => columns.push(column),
                Err(d) => problems.push(d),
            }
        }
        columns
    }

    fn row(
        &self,
        scope: &RowScope<'_>,
        columns: &[Column],
        labels: &[u32],
        data: &BTreeMap<String, Data>,
    ) -> Result<Row, Failed> {
        let variant: crate::manifest::Variant = from_node(scope.node).map_err(|d| vec![d])?;
        let Some(base) = variant.name.clone().filter(|n| !n.trim().is_empty()) else {
            return Err(vec![
                Diagnostic::new("the row has no 'name'", Some(&scope.node.origin))
                    .hint("name = \"AMLP\""),
            ]);
        };
        let name = row_name(&base, scope.axes);
        if let Some(d) = check::row_name(&name, scope.variant.origin("name")) {
            return Err(vec![d]);
        }
        let mut cells = Vec::new();
        for &label in labels {
            for (index, column) in columns.iter().enumerate() {
                let tree = self.layered(scope, column, label, data);
                let settings = cell_settings(&tree, scope.node).map_err(|d| vec![d])?;
                cells.push(Cell {
                    column: index,
                    label,
                    settings,
                });
            }
        }
        Ok(Row {
            published: variant.published.clone().unwrap_or_else(|| name.clone()),
            setting: variant.setting.clone().unwrap_or_default(),
            part: variant.part.clone(),
            candidate: None,
            name,
            cells,
        })
    }

    /// All settings of one cell, the most specific layer on top.
    fn layered(
        &self,
        scope: &RowScope<'_>,
        column: &Column,
        label: u32,
        data: &BTreeMap<String, Data>,
    ) -> Table {
        let mut tree = layers::settings_of(&self.root);
        if let Some(prepare) = data.get(&column.data).and_then(|d| d.prepare.clone()) {
            let mut below = Table::default();
            below.set(&["prepare"], prepare);
            tree.merge(&below);
        }
        for (when, _) in layers::tables(&self.root, "when") {
            if matches(when, column, label) {
                tree.merge(&layers::settings_of(when));
            }
        }
        tree.merge(&layers::settings_of(&self.profile_table));
        for table in [scope.study, scope.variant] {
            tree.merge(&layers::settings_of(table));
            if let Some(profile) = layers::profile_of(table, &self.profile) {
                tree.merge(&layers::settings_of(profile));
            }
        }
        for axis in scope.axes {
            let path: Vec<&str> = axis.key.split('.').collect();
            tree.set_at(&path, &axis.place, axis.node.clone());
        }
        for (key, node) in &self.set {
            let first = key.split('.').next().unwrap_or_default();
            if crate::manifest::SETTING_KEYS.contains(&first) {
                tree.set(&key.split('.').collect::<Vec<_>>(), node.clone());
            }
        }
        tree
    }

    fn place(&self, origin: &Origin) -> String {
        let (line, _) = self.sources.position(origin.file, origin.span.start);
        let name = self
            .sources
            .get(origin.file)
            .map_or("manifest", |f| f.name.as_str());
        format!("{name}:{line}")
    }
}

struct Data {
    resolved: ResolvedData,
    prepare: Option<Node>,
}

struct RowScope<'a> {
    study: &'a Table,
    variant: &'a Table,
    node: &'a Node,
    axes: &'a [AxisValue],
}

/// Each problem once: one wrong value is met again in every cell that it reaches.
fn distinct(problems: Failed) -> Failed {
    let mut kept: Failed = Vec::new();
    for problem in problems {
        if !kept
            .iter()
            .any(|k| k.message == problem.message && k.origin == problem.origin)
        {
            kept.push(problem);
        }
    }
    kept
}

/// Modalities of all data sets; `None` where one of them names its own on disk.
fn modalities(data: &BTreeMap<String, Data>) -> Option<Vec<&str>> {
    let mut all = BTreeSet::new();
    for set in data.values().map(|d| &d.resolved) {
        if set.files.images.is_empty() {
            all.extend(super::modalities_of(&set.layout)?.iter().copied());
        } else {
            all.extend(set.files.images.keys().map(String::as_str));
        }
    }
    Some(all.into_iter().collect())
}

/// Whether a `[[when]]` holds for a cell.
fn matches(when: &Table, column: &Column, label: u32) -> bool {
    let names = |key: &str, is: &dyn Fn(&Node) -> bool| match when.get(key).and_then(Node::as_array)
    {
        Some(items) => items.iter().any(is),
        None => true,
    };
    let modality = column.modality();
    names("data", &|n| n.as_str() == Some(column.data.as_str()))
        && names("modality", &|n| n.as_str() == Some(modality.as_str()))
        && names(
            "labels",
            &|n| matches!(n.value, Value::Integer(i) if i == i64::from(label)),
        )
}

/// The row's name with the values of its matrix axes: in place of `{key}`, or appended.
fn row_name(base: &str, axes: &[AxisValue]) -> String {
    let mut name = base.to_owned();
    let mut rest = Vec::new();
    for AxisValue { key, node, .. } in axes {
        let placeholder = format!("{{{key}}}");
        if name.contains(&placeholder) {
            name = name.replace(&placeholder, &layers::shown(node));
        } else {
            let short = key.rsplit('.').next().unwrap_or(key);
            rest.push(format!("{short}={}", layers::shown(node)));
        }
    }
    if rest.is_empty() {
        name
    } else {
        format!("{name} [{}]", rest.join(", "))
    }
}

fn cell_settings(tree: &Table, fallback: &Node) -> Result<CellSettings, Diagnostic> {
    let node = Node {
        value: Value::Table(tree.clone()),
        origin: fallback.origin.clone(),
    };
    let mut settings: Settings = from_node(&node)?;
    let checker = Checker::new(tree, &fallback.origin);
    checker.settings(&settings)?;
    let pretext = match settings.pretext.clone().as_str() {
        "none" => None,
        name => {
            let Some(entry) = crate::pretext::find(name) else {
                return Err(check::unknown(
                    "pretext task",
                    name,
                    &super::pretext_names(),
                    tree.origin("pretext"),
                ));
            };
            settings.amlp = amlp_options(&settings, tree);
            let frame = Frame {
                image: settings.prepare.crop.size,
                backbone: &settings.backbone,
                pretrain: &settings.pretrain,
            };
            let options = (entry.settle)(&settings.options_of(name), &frame)
                .map_err(|misfit| checker.misfit(&misfit))?;
            Some(PretextSpec {
                name: name.to_owned(),
                options,
            })
        }
    };
    let mut pretrain = if pretext.is_some() {
        settings.pretrain
    } else {
        crate::options::PretrainOptions::default()
    };
    pretrain.optimiser = pretrain.optimiser.canonical();
    let mut finetune = settings.finetune;
    finetune.optimiser = finetune.optimiser.canonical();
    if !finetune.init.is_used() {
        finetune.init = crate::options::InitOptions::default();
        if pretext.is_none() {
            finetune.transfer = crate::options::TransferOptions::default();
        }
    }
    Ok(CellSettings {
        pretext,
        backbone: settings.backbone,
        pretrain,
        finetune,
        init: None,
        prepare: settings.prepare,
        slices: settings.slices,
        split: settings.split,
        evaluate: settings.evaluate,
    })
}
