//! The methods that there are: a line each in [`methods`].

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{About, Family, Pretext};
use crate::options::{
    Frame, Misfit, Needs, OptimiserOptions, PretrainOptions, SparseOptions, TaskOptions, Transfer,
    ViewOptions,
};
use crate::train::{Observer, PretrainJob, PretrainOutput, TrainError, pretrain};

/// Hands every method that trains to the macro named first, as `[name: task; ...]`.
///
/// The name is the one in manifests, where it is also the table of the method's options, in keys
/// and in tables. A line here is all that a method needs beside its own file.
macro_rules! methods {
    ($to:ident $($more:tt)*) => {
        $to! {
            [
                amlp: $crate::pretext::amlp::Amlp;
                simclr: $crate::pretext::simclr::SimClr;
                byol: $crate::pretext::byol::Byol;
                swav: $crate::pretext::swav::Swav;
                moco: $crate::pretext::moco::Moco;
                densecl: $crate::pretext::densecl::DenseCl;
                gl: $crate::pretext::gl::Gl;
                pcrl: $crate::pretext::pcrl::Pcrl;
                vox2vec: $crate::pretext::vox2vec::Vox2Vec;
                mae: $crate::pretext::mae::Mae;
                simmim: $crate::pretext::simmim::SimMim;
                maskfeat: $crate::pretext::maskfeat::MaskFeat;
                convmae: $crate::pretext::convmae::ConvMae;
                beit2: $crate::pretext::beit2::Beit2;
                bootmae: $crate::pretext::bootmae::BootMae;
                selfmedmae: $crate::pretext::selfmedmae::SelfMedMae;
            ]
            $($more)*
        }
    };
}
pub(crate) use methods;

/// One method.
pub struct PretextEntry {
    /// Name in manifests, keys and tables.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Kind of method.
    pub family: Family,
    /// Year of publication.
    pub year: u16,
    /// Where it comes from.
    pub paper: &'static str,
    /// Version of the algorithm; bumped when the same inputs give other weights. Part of keys.
    pub version: u32,
    /// Default options.
    pub defaults: fn() -> Value,
    /// JSON Schema of the options.
    pub schema: fn() -> Value,
    /// Options as they enter keys: see [`TaskOptions::canonical`] and [`TaskOptions::check`].
    pub settle: SettleFn,
    /// See [`TaskOptions::needs`].
    pub needs: fn(&Value) -> Needs,
    /// See [`TaskOptions::optimiser`].
    pub optimiser: fn(&Value, usize) -> Option<OptimiserOptions>,
    /// See [`Pretext::TRAINS_DECODER`].
    pub trains_decoder: bool,
    /// See [`Pretext::SPARSE`].
    pub sparse: bool,
    /// Pre-trains with options as JSON; `None` where there is nothing to pre-train.
    pub train: Option<TrainFn>,
}

/// See [`PretextEntry::settle`].
pub type SettleFn = fn(&Value, &Frame<'_>) -> Result<Value, Misfit>;

/// See [`PretextEntry::train`].
pub type TrainFn = fn(&PretrainJob<'_>, &Value, Observer<'_>) -> Result<PretrainOutput, TrainError>;

/// Training from scratch, which is no method but stands among them.
const NONE: PretextEntry = PretextEntry {
    name: "none",
    doc: "no pre-training: the segmentation network starts from random weights",
    family: Family::Supervised,
    year: 2015,
    paper: "Ronneberger et al., MICCAI 2015, arXiv 1505.04597",
    version: 1,
    defaults: || Value::Object(Map::new()),
    schema: || serde_json::json!({ "type": "object", "additionalProperties": false }),
    settle: |_, _| Ok(Value::Object(Map::new())),
    needs: |_| Needs {
        clusters: None,
        masks: false,
        tokens: None,
    },
    optimiser: |_, _| None,
    trains_decoder: false,
    sparse: false,
    train: None,
};

impl PretextEntry {
    /// `options` with what the method does not read at its default, so that rows that mean the same
    /// share a stage.
    #[must_use]
    pub fn canonical(&self, options: &PretrainOptions) -> PretrainOptions {
        let mut options = options.clone();
        if !self.trains_decoder {
            options.transfer = Transfer::Encoder;
        }
        if self.family != Family::Contrastive {
            options.views = ViewOptions::default();
        }
        if !self.sparse {
            options.sparse = SparseOptions::default();
        }
        options
    }
}

macro_rules! registry {
    ([$($name:ident: $task:ty;)*]) => {
        /// Every method, `none` first.
        pub const REGISTRY: &[PretextEntry] = &[NONE, $(entry::<$task>(stringify!($name)),)*];
    };
}
methods!(registry);

/// The method called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static PretextEntry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}

const fn entry<P: Pretext>(name: &'static str) -> PretextEntry {
    let About {
        doc,
        family,
        year,
        paper,
        version,
    } = P::ABOUT;
    PretextEntry {
        name,
        doc,
        family,
        year,
        paper,
        version,
        defaults: || serde_json::to_value(P::Options::default()).unwrap_or(Value::Null),
        schema: || schemars::schema_for!(P::Options).to_value(),
        settle: settle::<P::Options>,
        needs: |options| read::<P::Options>(options).unwrap_or_default().needs(),
        optimiser: |options, batch| read::<P::Options>(options).ok()?.optimiser(batch),
        trains_decoder: P::TRAINS_DECODER,
        sparse: P::SPARSE,
        train: Some(train::<P>),
    }
}

fn read<O: DeserializeOwned>(options: &Value) -> Result<O, serde_json::Error> {
    O::deserialize(options)
}

fn settle<O: TaskOptions>(options: &Value, frame: &Frame<'_>) -> Result<Value, Misfit> {
    // Manifests are read through the same structs: what they hold reads and writes.
    let unread = |e: serde_json::Error| Misfit::new(&["pretext"], e.to_string());
    let options = read::<O>(options).map_err(unread)?.canonical();
    options.check(frame)?;
    serde_json::to_value(options).map_err(unread)
}

fn train<P: Pretext>(
    job: &PretrainJob<'_>,
    options: &Value,
    observer: Observer<'_>,
) -> Result<PretrainOutput, TrainError> {
    let options: P::Options = read(options).map_err(|e| TrainError::Options {
        field: "pretext",
        reason: e.to_string(),
    })?;
    pretrain::<P>(job, &options, observer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{BackboneOptions, PretrainOptions};

    #[test]
    fn entries_are_complete_and_distinct() {
        let (backbone, pretrain) = (BackboneOptions::default(), PretrainOptions::default());
        let frame = Frame {
            image: [160, 160],
            backbone: &backbone,
            pretrain: &pretrain,
        };
        for (i, entry) in REGISTRY.iter().enumerate() {
            assert!(entry.doc.len() > 10 && entry.paper.len() > 5 && entry.version >= 1);
            assert!(REGISTRY[..i].iter().all(|other| other.name != entry.name));
            let defaults = (entry.defaults)();
            assert!(defaults.is_object(), "{}", entry.name);
            assert!((entry.schema)().is_object(), "{}", entry.name);
            assert_eq!(find(entry.name).unwrap().name, entry.name);
            // What is settled stays as it is.
            let settled = (entry.settle)(&defaults, &frame).unwrap();
            assert_eq!((entry.settle)(&settled, &frame), Ok(settled.clone()));
            (entry.needs)(&settled);
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn contrastive_methods_have_the_optimisers_of_their_papers() {
        use crate::options::OptimiserKind::{Adamw, Lars, Sgd};
        // At the batch that the rate is printed for.
        for (name, batch, kind, lr, decay, warmup) in [
            ("simclr", 256, Lars, 0.3, 1e-4, 10.0),
            ("byol", 256, Lars, 0.2, 1.5e-6, 10.0),
            ("swav", 256, Lars, 0.6, 1e-6, 0.0),
            ("moco", 256, Sgd, 0.03, 1e-4, 0.0),
            ("densecl", 256, Sgd, 0.3, 1e-4, 0.0),
            ("pcrl", 64, Sgd, 1e-3, 1e-4, 0.0),
            ("gl", 48, Adamw, 1e-3, 0.0, 0.0),
            ("vox2vec", 10, Adamw, 3e-4, 0.0, 0.0),
        ] {
            let entry = find(name).unwrap();
            let with = |recipe: &str| {
                let options = serde_json::json!({ "recipe": recipe });
                (entry.optimiser)(&options, batch)
            };
            assert_eq!(with("paper"), None, "{name}");
            let own = with("original").unwrap();
            let found = (own.kind, own.weight_decay, own.warmup_epochs);
            assert_eq!(found, (kind, decay, warmup), "{name}");
            assert!((own.lr - lr).abs() < 1e-12, "{name}: {}", own.lr);
            assert_eq!(own.clone().canonical(), own, "{name}");
            assert_eq!(own.clip_norm > 0.0, name == "vox2vec", "{name}");
        }
        let swav = find("swav").unwrap();
        let options = serde_json::json!({ "recipe": "original" });
        let own = (swav.optimiser)(&options, 64).unwrap();
        assert!((own.lr - 0.15).abs() < 1e-12 && (own.min_lr - 1.5e-4).abs() < 1e-12);
    }
}
