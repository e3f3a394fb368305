//! Checks of the settings of a cell, each pointing to where the value was written.

use crate::manifest::{Diagnostic, Origin, Settings, Table};
use crate::options::{Misfit, OptimiserOptions, SliceUse, inside, up_to, within};

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

    pub(super) fn fail(&self, key: &str, message: String) -> Diagnostic {
        // Where the key itself was not written, its default clashes with something in the row.
        let exact = self.exact(key);
        Diagnostic::new(message, Some(exact.unwrap_or(&self.fallback)))
    }

    /// Points at the first of `keys` that was written.
    fn fail_any(&self, keys: &[&str], message: String) -> Diagnostic {
        let written = keys.iter().find(|key| self.exact(key).is_some());
        self.fail(
            written.or(keys.first()).copied().unwrap_or_default(),
            message,
        )
    }

    fn exact(&self, key: &str) -> Option<&Origin> {
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = self.tree;
        for part in path.split('.').filter(|p| !p.is_empty()) {
            table = table.get(part)?.as_table()?;
        }
        table.get(last).map(|n| &n.origin)
    }

    /// Points at the first key of `misfit` that was written.
    pub(super) fn misfit(&self, misfit: &Misfit) -> Diagnostic {
        let keys: Vec<&str> = misfit.keys.iter().map(String::as_str).collect();
        self.fail_any(&keys, misfit.message.clone())
            .maybe_hint(misfit.hint.clone())
    }

    pub(super) fn within(
        &self,
        key: &str,
        value: f64,
        low: f64,
        high: f64,
    ) -> Result<(), Diagnostic> {
        within(key, value, low, high).map_err(|m| self.misfit(&m))
    }

    /// Open interval.
    fn inside(&self, key: &str, value: f64, low: f64, high: f64) -> Result<(), Diagnostic> {
        inside(key, value, low, high).map_err(|m| self.misfit(&m))
    }

    /// Open below, closed above.
    fn up_to(&self, key: &str, value: f64, low: f64, high: f64) -> Result<(), Diagnostic> {
        up_to(key, value, low, high).map_err(|m| self.misfit(&m))
    }

    /// Settings that every cell has.
    pub(super) fn settings(&self, s: &Settings) -> Result<(), Diagnostic> {
        self.within("backbone.width", s.backbone.width as f64, 1.0, 1024.0)?;
        self.within("backbone.depth", s.backbone.depth as f64, 1.0, 6.0)?;
        self.within("pretrain.epochs", s.pretrain.epochs as f64, 1.0, 1e6)?;
        self.within("pretrain.batch", s.pretrain.batch as f64, 1.0, 65536.0)?;
        self.within(
            "pretrain.micro_batch",
            s.pretrain.micro_batch as f64,
            0.0,
            65536.0,
        )?;
        let pretrain = &s.pretrain;
        pretrain
            .views
            .check()
            .and_then(|()| pretrain.sparse.check())
            .map_err(|misfit| self.misfit(&misfit))?;
        self.within("finetune.epochs", s.finetune.epochs as f64, 1.0, 1e6)?;
        self.within("finetune.batch", s.finetune.batch as f64, 1.0, 65536.0)?;
        self.within(
            "finetune.micro_batch",
            s.finetune.micro_batch as f64,
            0.0,
            65536.0,
        )?;
        self.optimiser("pretrain.optimiser", &s.pretrain.optimiser)?;
        self.optimiser("finetune.optimiser", &s.finetune.optimiser)?;
        self.prepare(s)?;
        if s.finetune.init.is_used() && s.pretext != "none" {
            return Err(self
                .fail_any(
                    &["finetune.init.file", "pretext"],
                    format!(
                        "finetune.init.file and the encoder of pretext '{}' exclude each other",
                        s.pretext
                    ),
                )
                .hint("pretext = \"none\" in rows that start from a file"));
        }
        if s.slices.pretrain == SliceUse::Lesion {
            return Err(self
                .fail(
                    "slices.pretrain",
                    "pre-training on lesion slices would use their labels".to_owned(),
                )
                .hint("slices.pretrain = \"nonempty\", or \"all\""));
        }
        self.within("slices.min_nonzero", s.slices.min_nonzero, 0.0, 1.0)?;
        let shares = [s.split.train, s.split.val, s.split.test]
            .map(u64::from)
            .iter()
            .sum::<u64>();
        if shares != 100 || s.split.train == 0 || s.split.test == 0 {
            return Err(self.fail_any(
                &["split.train", "split.val", "split.test"],
                format!(
                    "split {}/{}/{} must sum to 100, with training and test cases",
                    s.split.train, s.split.val, s.split.test
                ),
            ));
        }
        self.up_to("evaluate.metric.eps", s.evaluate.metric.eps, 0.0, 1.0)?;
        self.inside(
            "evaluate.metric.biou_ratio",
            s.evaluate.metric.biou_ratio,
            0.0,
            1.0,
        )
    }

    fn optimiser(&self, at: &str, o: &OptimiserOptions) -> Result<(), Diagnostic> {
        let key = |name: &str| format!("{at}.{name}");
        self.up_to(&key("lr"), o.lr, 0.0, 1.0)?;
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
        if !(0.0..1.0).contains(&o.momentum) {
            return Err(self.fail(
                &key("momentum"),
                format!(
                    "{} = {} is out of range: from 0 to below 1",
                    key("momentum"),
                    o.momentum
                ),
            ));
        }
        self.up_to(&key("trust"), o.trust, 0.0, 1.0)?;
        self.within(&key("warmup_epochs"), o.warmup_epochs, 0.0, 1e6)?;
        self.within(&key("clip_norm"), o.clip_norm, 0.0, 1e9)
    }

    fn prepare(&self, s: &Settings) -> Result<(), Diagnostic> {
        for spacing in s.prepare.resample.spacing {
            // Much finer than any scanner: a slip that would fill the memory.
            if spacing != 0.0 {
                self.within("prepare.resample.spacing", spacing, 0.01, 1000.0)?;
            }
        }
        let clip = &s.prepare.clip;
        if !(0.0..=100.0).contains(&clip.low)
            || !(0.0..=100.0).contains(&clip.high)
            || clip.low >= clip.high
        {
            return Err(self.fail_any(
                &["prepare.clip.low", "prepare.clip.high"],
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
                    .fail_any(
                        &["prepare.crop.size", "backbone.depth"],
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
}
