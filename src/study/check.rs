//! Checks of values that need no disk, each pointing to where the value was written.

use super::Column;
use crate::manifest::{Diagnostic, Node, Origin, Settings, Table};
use crate::options::{
    AmlpOptions, CclMode, LayoutOptions, OptimiserOptions, PhantomKind, PhantomOptions, SliceUse,
    SpatialAugment,
};

pub(super) use crate::manifest::did_you_mean;

/// An unknown name with the nearest known one.
pub(super) fn unknown(
    what: &str,
    name: &str,
    known: &[&str],
    origin: Option<&Origin>,
) -> Diagnostic {
    let all = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("known: {}", known.join(", "))
    };
    let hint =
        did_you_mean(name, known.iter().copied()).map_or(all.clone(), |d| format!("{d} ({all})"));
    Diagnostic::new(format!("unknown {what} '{name}'"), origin).hint(hint)
}

/// A name that becomes a file or folder.
pub(super) fn file_name(name: &str, what: &str, origin: Option<&Origin>) -> Option<Diagnostic> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.');
    (!fits).then(|| {
        Diagnostic::new(format!("'{name}' cannot be a {what}"), origin)
            .hint("letters, digits, '-', '_' and '.', at most 64: it names a file")
    })
}

/// Label ratios are whole percents of the training cases.
pub(super) fn labels(labels: &[u32], origin: Option<&Origin>, problems: &mut Vec<Diagnostic>) {
    for label in labels {
        if !(1..=100).contains(label) {
            problems.push(
                Diagnostic::new(format!("a label ratio of {label} % is impossible"), origin)
                    .hint("whole percents from 1 to 100"),
            );
        }
    }
    unique(labels, "label ratio", origin, problems);
}

/// A list that is neither empty nor repeats itself.
pub(super) fn unique<T: PartialEq + std::fmt::Display>(
    items: &[T],
    what: &str,
    origin: Option<&Origin>,
    problems: &mut Vec<Diagnostic>,
) {
    if items.is_empty() {
        problems.push(Diagnostic::new(format!("there is no {what}"), origin));
    }
    for (i, item) in items.iter().enumerate() {
        if items[..i].contains(item) {
            problems.push(Diagnostic::new(
                format!("the {what} {item} stands twice"),
                origin,
            ));
        }
    }
}

/// Metrics by registry name.
pub(super) fn metrics(metrics: &[String], node: Option<&Node>, problems: &mut Vec<Diagnostic>) {
    let known = super::metric_names();
    let origins = node.and_then(Node::as_array).unwrap_or_default();
    for (i, metric) in metrics.iter().enumerate() {
        if !known.contains(&metric.as_str()) {
            problems.push(unknown(
                "metric",
                metric,
                &known,
                origins.get(i).map(|n| &n.origin),
            ));
        }
    }
    unique(metrics, "metric", node.map(|n| &n.origin), problems);
}

/// Axes name a setting and at least one value.
pub(super) fn matrix(matrix: Option<&Table>, problems: &mut Vec<Diagnostic>) {
    let Some(matrix) = matrix else { return };
    for (key, entry) in &matrix.entries {
        let first = key.split('.').next().unwrap_or_default();
        if !crate::manifest::SETTING_KEYS.contains(&first) {
            problems.push(unknown(
                "setting",
                key,
                crate::manifest::SETTING_KEYS,
                Some(&entry.key),
            ));
        }
        if entry.node.as_array().is_none_or(<[Node]>::is_empty) {
            problems.push(Diagnostic::new(
                format!("the axis '{key}' has no values"),
                Some(&entry.node.origin),
            ));
        }
    }
}

/// `brats2018/T1` or `brats2018/T1+T2`.
pub(super) fn column<'a>(
    text: &str,
    origin: Option<&Origin>,
    data: impl Iterator<Item = (&'a str, &'a str, &'a LayoutOptions)>,
) -> Result<Column, Diagnostic> {
    let Some((name, modalities)) = text.split_once('/') else {
        return Err(Diagnostic::new(format!("'{text}' is no column"), origin)
            .hint("a column is a data set and a modality: brats2018/FLAIR"));
    };
    let data: Vec<_> = data.collect();
    let Some((_, layout, files)) = data.iter().find(|(n, _, _)| *n == name) else {
        let known: Vec<&str> = data.iter().map(|(n, _, _)| *n).collect();
        return Err(unknown("data set", name, &known, origin));
    };
    let modalities: Vec<String> = modalities.split('+').map(|m| m.trim().to_owned()).collect();
    let own: Vec<&str> = files.images.keys().map(String::as_str).collect();
    let known: Option<Vec<&str>> = if own.is_empty() {
        super::modalities_of(layout).map(<[&str]>::to_vec)
    } else {
        Some(own)
    };
    for (i, modality) in modalities.iter().enumerate() {
        if modality.is_empty() || modalities[..i].contains(modality) {
            return Err(Diagnostic::new(format!("'{text}' is no column"), origin)
                .hint("several channels are joined by '+', each once"));
        }
        if let Some(known) = &known
            && !known.contains(&modality.as_str())
        {
            return Err(unknown(
                &format!("modality of '{name}'"),
                modality,
                known,
                origin,
            ));
        }
    }
    Ok(Column {
        data: name.to_owned(),
        modalities,
    })
}

/// Phantoms of the right kind and of a possible size.
pub(super) fn phantom(
    options: &PhantomOptions,
    layout: &str,
    table: &Table,
) -> Result<(), Diagnostic> {
    let kind = match options.kind {
        PhantomKind::Brats2018 => "brats2018",
        PhantomKind::Hecktor2020 => "hecktor2020",
    };
    let checker = Checker::new(
        table,
        &Origin {
            file: 0,
            span: 0..0,
        },
    );
    if kind != layout {
        return Err(checker
            .fail(
                "phantom.kind",
                format!("phantoms of '{kind}' do not fit the layout '{layout}'"),
            )
            .hint(format!("kind = \"{layout}\"")));
    }
    checker.within("phantom.cases", options.cases as f64, 1.0, 100_000.0)?;
    checker.within("phantom.scale", options.scale, 0.1, 1.0)
}

/// Points at settings by their dotted key.
pub(super) struct Checker<'a> {
    tree: &'a Table,
    fallback: Origin,
}

impl<'a> Checker<'a> {
    pub(super) fn new(tree: &'a Table, fallback: &Origin) -> Self {
        Self {
            tree,
            fallback: fallback.clone(),
        }
    }

    fn fail(&self, key: &str, message: String) -> Diagnostic {
        // Where the key itself was not written, its default clashes with something in the row.
        let exact = self.exact(key);
        Diagnostic::new(message, Some(exact.unwrap_or(&self.fallback)))
    }

    fn exact(&self, key: &str) -> Option<&Origin> {
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = self.tree;
        for part in path.split('.').filter(|p| !p.is_empty()) {
            table = table.get(part)?.as_table()?;
        }
        table.get(last).map(|n| &n.origin)
    }

    fn within(&self, key: &str, value: f64, low: f64, high: f64) -> Result<(), Diagnostic> {
        if value >= low && value <= high {
            return Ok(());
        }
        Err(self.fail(
            key,
            format!("{key} = {value} is out of range: {low} to {high}"),
        ))
    }

    /// Open interval.
    fn inside(&self, key: &str, value: f64, low: f64, high: f64) -> Result<(), Diagnostic> {
        if value > low && value < high {
            return Ok(());
        }
        Err(self.fail(
            key,
            format!("{key} = {value} is out of range: above {low} and below {high}"),
        ))
    }

    /// Settings that every cell has.
    pub(super) fn settings(&self, s: &Settings) -> Result<(), Diagnostic> {
        self.within("backbone.width", s.backbone.width as f64, 1.0, 1024.0)?;
        self.within("backbone.depth", s.backbone.depth as f64, 1.0, 6.0)?;
        self.within("pretrain.epochs", s.pretrain.epochs as f64, 1.0, 1e6)?;
        self.within("pretrain.batch", s.pretrain.batch as f64, 1.0, 65536.0)?;
        self.within("finetune.epochs", s.finetune.epochs as f64, 1.0, 1e6)?;
        self.within("finetune.batch", s.finetune.batch as f64, 1.0, 65536.0)?;
        self.optimiser("pretrain.optimiser", &s.pretrain.optimiser)?;
        self.optimiser("finetune.optimiser", &s.finetune.optimiser)?;
        self.prepare(s)?;
        if s.slices.pretrain == SliceUse::Lesion {
            return Err(self
                .fail(
                    "slices.pretrain",
                    "pre-training on lesion slices would use their labels".to_owned(),
                )
                .hint("nonempty or all"));
        }
        self.within("slices.min_nonzero", s.slices.min_nonzero, 0.0, 1.0)?;
        let shares = s.split.train + s.split.val + s.split.test;
        if shares != 100 || s.split.train == 0 || s.split.test == 0 {
            return Err(self.fail(
                "split.train",
                format!(
                    "split {}/{}/{} must sum to 100, with training and test cases",
                    s.split.train, s.split.val, s.split.test
                ),
            ));
        }
        self.inside(
            "evaluate.metric.eps",
            s.evaluate.metric.eps,
            0.0,
            1.0 + 1e-9,
        )?;
        self.inside(
            "evaluate.metric.biou_ratio",
            s.evaluate.metric.biou_ratio,
            0.0,
            1.0,
        )
    }

    fn optimiser(&self, at: &str, o: &OptimiserOptions) -> Result<(), Diagnostic> {
        let key = |name: &str| format!("{at}.{name}");
        self.inside(&key("lr"), o.lr, 0.0, 1.0 + 1e-12)?;
        self.within(&key("min_lr"), o.min_lr, 0.0, o.lr)?;
        self.within(&key("weight_decay"), o.weight_decay, 0.0, 1.0)?;
        for beta in o.betas {
            if !(0.0..1.0).contains(&beta) {
                return Err(self.fail(
                    &key("betas"),
                    format!(
                        "{} = {beta} is out of range: from 0 to below 1",
                        key("betas")
                    ),
                ));
            }
        }
        self.inside(&key("eps"), o.eps, 0.0, 1.0)?;
        self.within(&key("warmup_epochs"), o.warmup_epochs, 0.0, 1e6)?;
        self.within(&key("clip_norm"), o.clip_norm, 0.0, 1e9)
    }

    fn prepare(&self, s: &Settings) -> Result<(), Diagnostic> {
        for spacing in s.prepare.resample.spacing {
            self.within("prepare.resample.spacing", spacing, 0.0, 1000.0)?;
        }
        let clip = &s.prepare.clip;
        if !(0.0..=100.0).contains(&clip.low)
            || !(0.0..=100.0).contains(&clip.high)
            || clip.low >= clip.high
        {
            return Err(self.fail(
                "prepare.clip.low",
                format!(
                    "clip percentiles {} to {} must rise within 0 to 100",
                    clip.low, clip.high
                ),
            ));
        }
        let step = 1usize << s.backbone.depth;
        for side in s.prepare.crop.size {
            self.within("prepare.crop.size", side as f64, 8.0, 4096.0)?;
            if !side.is_multiple_of(step) {
                return Err(self
                    .fail(
                        "prepare.crop.size",
                        format!("an image side of {side} is no multiple of {step}"),
                    )
                    .hint(format!(
                        "a network of depth {} halves the image that many times",
                        s.backbone.depth
                    )));
            }
        }
        Ok(())
    }

    /// Options of AMLP with toggles applied.
    pub(super) fn amlp(&self, o: &AmlpOptions, s: &Settings) -> Result<(), Diagnostic> {
        let [height, width] = s.prepare.crop.size;
        self.within("amlp.patch", o.patch as f64, 2.0, 4096.0)?;
        if !height.is_multiple_of(o.patch) || !width.is_multiple_of(o.patch) {
            return Err(self
                .fail(
                    "amlp.patch",
                    format!(
                        "a patch of {} does not divide the image of {height} x {width}",
                        o.patch
                    ),
                )
                .hint("change amlp.patch, or pad the image with prepare.crop.size"));
        }
        if (height / o.patch) * (width / o.patch) < 4 {
            return Err(self.fail(
                "amlp.patch",
                format!(
                    "a patch of {} leaves fewer than 4 patches in an image of {height} x {width}",
                    o.patch
                ),
            ));
        }
        if o.amr.enabled {
            self.inside("amlp.amr.sigma0", o.amr.sigma0, 0.0, 1.0)?;
            self.inside("amlp.amr.sigma_max", o.amr.sigma_max, 0.0, 1.0)?;
            if o.amr.sigma_max < o.amr.sigma0 {
                return Err(self.fail(
                    "amlp.amr.sigma_max",
                    "amlp.amr.sigma_max is below sigma0".to_owned(),
                ));
            }
        } else {
            self.inside("amlp.amr.fixed", o.amr.fixed, 0.0, 1.0)?;
        }
        self.within("amlp.mps.jitter", o.mps.jitter, 0.0, 1e6)?;
        self.within("amlp.rrl.lambda", o.rrl.lambda, 0.0, 1e6)?;
        self.within("amlp.ccl.lambda", o.ccl.lambda, 0.0, 1e6)?;
        self.inside("amlp.ccl.xi", o.ccl.xi, 0.0, 1e3)?;
        self.inside("amlp.ccl.temperature", o.ccl.temperature, 0.0, 1e6)?;
        self.within("amlp.labels.preset_flip", o.labels.preset_flip, 0.0, 1.0)?;
        self.within("amlp.aug.intensity", o.aug.intensity, 0.0, 1.0)?;
        self.within("amlp.cluster.n_init", o.cluster.n_init as f64, 1.0, 1000.0)?;
        self.inside("amlp.cluster.perplexity", o.cluster.perplexity, 0.0, 1e4)?;
        self.within(
            "amlp.cluster.iterations",
            o.cluster.iterations as f64,
            1.0,
            1e6,
        )?;
        self.within(
            "amlp.cluster.min_points",
            o.cluster.min_points as f64,
            1.0,
            1e4,
        )?;
        self.within(
            "amlp.cluster.eps_quantile",
            o.cluster.eps_quantile,
            0.0,
            1.0,
        )?;
        if o.ccl.mode == CclMode::Head && o.patch != 1 << s.backbone.depth {
            return Err(self
                .fail("amlp.ccl.mode", format!("the head of CCL needs one bottleneck cell per patch: patch {} but stride {}", o.patch, 1 << s.backbone.depth))
                .hint("use centroid_soft, or a patch of 2^depth"));
        }
        if o.aug.spatial == SpatialAugment::Grid && height != width {
            return Err(self.fail(
                "amlp.aug.spatial",
                "quarter turns need a square image".to_owned(),
            ));
        }
        Ok(())
    }
}
