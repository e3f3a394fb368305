//! Every pretext task of the registry on small volumes: it learns, it does not collapse, it hands on
//! an encoder, and it resumes bit by bit. A new method is covered by its line in the registry.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use amlp_run::data::images::{Images, InMemory};
use amlp_run::mask::patch::Grid;
use amlp_run::nn::backbone::{ENCODER, UNet};
use amlp_run::nn::device::{DeviceChoice, open};
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::weights::Weights;
use amlp_run::options::{
    BackboneOptions, Frame, LrDecay, OptimiserOptions, PretrainOptions, TokenTeacher,
    TokenizerOptions, Tokens,
};
use amlp_run::pretext::beit2::{self, Tokenizer};
use amlp_run::pretext::{self, Family, PretextEntry, REGISTRY, find};
use amlp_run::random::{Purpose, Stream};
use amlp_run::train::{
    Checkpoints, Observer, PretrainJob, PretrainOutput, Progress, TrainError,
    pretrain as pretext_pretrain,
};
use serde_json::{Value, json};

const SIDE: usize = 32;
/// Slices of a volume.
const DEEP: usize = 4;

/// Images of volumes of `DEEP` slices.
struct Volumes(InMemory);

impl Images for Volumes {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }
    fn id(&self, index: usize) -> u64 {
        self.0.id(index)
    }
    fn image(&self, index: usize, out: &mut [f32]) {
        self.0.image(index, out);
    }
    fn volume(&self, index: usize) -> usize {
        index / DEEP
    }
    fn regions(&self) -> usize {
        self.0.regions()
    }
    fn masks(&self, index: usize, out: &mut [f32]) {
        self.0.masks(index, out);
    }
}

/// A body in air that differs from volume to volume and along z, with a bright lesion.
fn volumes(n: usize) -> Volumes {
    let mut set = InMemory {
        shape: [1, SIDE, SIDE],
        regions: 1,
        images: Vec::new(),
        masks: Vec::new(),
        ids: (0..(n * DEEP) as u64).map(|i| 1000 + i).collect(),
    };
    for v in 0..n {
        let mut own = Stream::new(Purpose::Phantom, &[v as u64]);
        let radius = [own.range(8.0, 14.0), own.range(8.0, 14.0)];
        let centre = (own.range(12.0, 20.0), own.range(12.0, 20.0));
        let stripes = own.range(0.3, 1.2);
        for z in 0..DEEP {
            let (mut image, mut mask) = (Vec::new(), Vec::new());
            let shrink = 1.0 - 0.12 * z as f64;
            for p in 0..SIDE * SIDE {
                let (y, x) = ((p / SIDE) as f64 - 15.5, (p % SIDE) as f64 - 15.5);
                let body = (y / radius[0]).powi(2) + (x / radius[1]).powi(2) < shrink;
                let away = (y + 15.5 - centre.0).powi(2) + (x + 15.5 - centre.1).powi(2);
                let lesion = body && away < 9.0;
                let texture = 0.3 * (stripes * x).sin() + 0.05 * own.normal();
                let value = match (body, lesion) {
                    (_, true) => 2.0 + texture,
                    (true, false) => -0.5 + texture,
                    (false, false) => 0.0,
                };
                image.push(value as f32);
                mask.push(f32::from(u8::from(lesion)));
            }
            set.images.push(image);
            set.masks.push(mask);
        }
    }
    Volumes(set)
}

fn backbone() -> BackboneOptions {
    BackboneOptions {
        width: 4,
        depth: 2,
        ..BackboneOptions::default()
    }
}

fn training(epochs: usize, lr: f64) -> PretrainOptions {
    PretrainOptions {
        epochs,
        batch: 8,
        optimiser: OptimiserOptions {
            lr,
            warmup_epochs: 0.0,
            decay: LrDecay::Constant,
            ..OptimiserOptions::pretraining()
        },
        ..PretrainOptions::default()
    }
}

/// Options of a method for images of this size, `own` over the defaults.
fn settled(entry: &PretextEntry, own: Value) -> Value {
    let mut options = (entry.defaults)();
    if let (Some(options), Value::Object(own)) = (options.as_object_mut(), own) {
        options.extend(own);
    }
    let (backbone, pretrain) = (backbone(), training(1, 1e-3));
    let frame = Frame {
        image: [SIDE, SIDE],
        backbone: &backbone,
        pretrain: &pretrain,
    };
    (entry.settle)(&options, &frame).unwrap_or_else(|m| panic!("{}: {m:?}", entry.name))
}

/// Methods that pre-train.
fn methods() -> impl Iterator<Item = (&'static PretextEntry, Value)> {
    let trained = REGISTRY.iter().filter(|entry| entry.train.is_some());
    trained.map(|entry| {
        let own = match entry.name {
            "amlp" => json!({ "patch": 4 }),
            "beit2" => json!({ "tokenizer": tokenizer(TokenTeacher::OwnMae) }),
            // As many keys and prototypes as so few images can fill.
            "moco" | "densecl" | "pcrl" => json!({ "queue": 24 }),
            "swav" => json!({ "prototypes": 12, "queue": 16, "queue_after": 1 }),
            "vox2vec" => json!({ "pixels": 24 }),
            _ => json!({}),
        };
        (entry, settled(entry, own))
    })
}

/// A small tokenizer.
fn tokenizer(teacher: TokenTeacher) -> TokenizerOptions {
    TokenizerOptions {
        codebook: 24,
        code_dim: 8,
        teacher,
        ..TokenizerOptions::default()
    }
}

/// Trains a tokenizer; its teacher is an MAE of a few epochs.
fn tokenize(
    teacher: TokenTeacher,
    pretrain: &PretrainOptions,
    path: Option<&Path>,
    observer: Observer<'_>,
) -> Result<PretrainOutput, TrainError> {
    static MAE: OnceLock<Weights> = OnceLock::new();
    let images = volumes(6);
    let device = open(DeviceChoice::Cpu).unwrap();
    let mae = MAE.get_or_init(|| {
        let entry = pretext::find("mae").unwrap();
        let job = training(6, 3e-3);
        let out = run((entry, &(entry.defaults)()), &images, &job, None, &mut go);
        out.unwrap().encoder
    });
    let job = PretrainJob {
        images: &images,
        labels: None,
        codes: None,
        teacher: (teacher == TokenTeacher::OwnMae).then_some(mae),
        backbone: &backbone(),
        options: pretrain,
        pass: pretrain.pass(),
        seed: 3,
        device: &device,
        checkpoints: path.map(|path| Checkpoints {
            path,
            every: Duration::ZERO,
        }),
    };
    let tokens = Tokens {
        patch: None,
        tokenizer: tokenizer(teacher),
    };
    pretext_pretrain::<Tokenizer>(&job, &tokens, observer)
}

/// Codes of the images, made once.
fn codes() -> &'static [u16] {
    static CODES: OnceLock<Vec<u16>> = OnceLock::new();
    CODES.get_or_init(|| {
        let job = training(6, 3e-3);
        let out = tokenize(TokenTeacher::OwnMae, &job, None, &mut go).unwrap();
        beit2::read_codes(&out.remains[beit2::CODES])
    })
}

fn run(
    (entry, options): (&PretextEntry, &Value),
    images: &Volumes,
    pretrain: &PretrainOptions,
    path: Option<&Path>,
    observer: Observer<'_>,
) -> Result<PretrainOutput, TrainError> {
    let labels = (entry.needs)(options).clusters.map(|clusters| {
        let grid = Grid::new(images.shape(), clusters.patch).unwrap();
        let rows = images
            .0
            .masks
            .iter()
            .map(|m| grid.lesion_labels(m).unwrap());
        rows.flatten().collect::<Vec<u8>>()
    });
    let codes = (entry.needs)(options).tokens.map(|_| codes());
    let device = open(DeviceChoice::Cpu).unwrap();
    let job = PretrainJob {
        images,
        labels: labels.as_deref(),
        codes,
        teacher: None,
        backbone: &backbone(),
        options: pretrain,
        pass: pretrain.pass(),
        seed: 3,
        device: &device,
        checkpoints: path.map(|path| Checkpoints {
            path,
            every: Duration::ZERO,
        }),
    };
    entry.train.unwrap()(&job, options, observer)
}

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Part of the untrained loss that is left at most after the few steps of this test. Prototypes that
/// stand still at first, and a teacher that has hardly moved, take longer than that.
fn least_fall(name: &str) -> f64 {
    match name {
        "swav" => 0.98,
        "moco" => 0.995,
        _ => 0.9,
    }
}

/// Least spread of embeddings after the few steps of this test. Heads without normalisation begin
/// with embeddings close together, and have not brought them far apart by then.
fn least_spread(name: &str) -> f64 {
    match name {
        "moco" | "densecl" | "gl" | "pcrl" => 0.002,
        _ => 0.02,
    }
}

#[test]
fn methods_learn_without_collapse_and_hand_on_an_encoder() {
    let images = volumes(6);
    let mut wrong = Vec::new();
    for (entry, options) in methods() {
        let name = entry.name;
        let train = |lr: f64| {
            let job = training(12, lr);
            run((entry, &options), &images, &job, None, &mut go).unwrap()
        };
        // The same views of the same images, by a network that stays as it was drawn.
        let (trained, untrained) = (train(3e-3), train(1e-12));
        let last = |out: &PretrainOutput| out.curve.last().unwrap().clone();
        let (after, before) = (last(&trained), last(&untrained));
        println!(
            "{name}: {} from {}, {:?}",
            after.loss, before.loss, after.scalars
        );
        if after.loss >= least_fall(name) * before.loss {
            let (after, before) = (after.loss, before.loss);
            wrong.push(format!("{name}: {after} is not well below {before}"));
        }
        if entry.family == Family::Contrastive || after.scalars.contains_key("emb_std") {
            let spread = after.scalars["emb_std"];
            if spread <= least_spread(name) {
                wrong.push(format!("{name}: embeddings collapse to {spread}"));
            }
        }
        let mut moved = 0.0f32;
        for (key, array) in &trained.encoder.0 {
            let initial = &untrained.encoder.0[key];
            assert!(key.starts_with(ENCODER), "{name} hands on '{key}'");
            if key.contains("running") {
                continue;
            }
            for (a, b) in array.values.iter().zip(&initial.values) {
                moved = moved.max((a - b).abs());
            }
        }
        if moved <= 1e-3 {
            wrong.push(format!("{name}: the encoder stays as it was"));
        }
        // Nothing more and nothing less than the encoder of the segmentation network.
        let device = open(DeviceChoice::Cpu).unwrap();
        let mut init = Initialiser::new(9, &device);
        let unet = UNet::init(&backbone(), 1, 1, &mut init).unwrap();
        trained.encoder.load_into(unet, ENCODER).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn methods_resume_bit_by_bit() {
    let images = volumes(6);
    for (entry, options) in methods() {
        let job = training(3, 1e-3);
        resumes(entry.name, |path, observer| {
            run((entry, &options), &images, &job, path, observer)
        });
    }
}

/// A run that is stopped again and again, in the middle of epochs and at their ends, ends as one
/// that is not.
fn resumes(
    name: &str,
    run: impl Fn(Option<&Path>, Observer<'_>) -> Result<PretrainOutput, TrainError>,
) {
    let whole = run(None, &mut go).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let mut stops = 0;
    let pieces = loop {
        let mut left = 2;
        let mut observer = |_: Progress| {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        match run(Some(&path), &mut observer) {
            Ok(out) => break out,
            Err(TrainError::Stopped { .. }) => stops += 1,
            Err(other) => panic!("{name}: {other}"),
        }
    };
    assert!(stops >= 3, "{name}");
    assert!(pieces == whole, "{name} does not resume");
    assert_eq!(whole.curve.len(), 3);
}

#[test]
fn tokenizers_learn_spread_their_codes_and_resume() {
    for teacher in [TokenTeacher::OwnMae, TokenTeacher::Hog] {
        let train = |lr: f64| tokenize(teacher, &training(12, lr), None, &mut go).unwrap();
        let (trained, untrained) = (train(3e-3), train(1e-12));
        let scalars = |out: &PretrainOutput| out.curve.last().unwrap().scalars.clone();
        let (after, before) = (scalars(&trained), scalars(&untrained));
        println!("{teacher:?}: {after:?} from {before:?}");
        assert!(after["l_teacher"] < 0.8 * before["l_teacher"]);
        assert!(after["emb_std"] > 0.02 && after["codes.perplexity"] > 3.0);
        let codes = beit2::read_codes(&trained.remains[beit2::CODES]);
        assert_eq!(codes.len(), 6 * DEEP * (SIDE / 4) * (SIDE / 4));
        let distinct: BTreeSet<u16> = codes.iter().copied().collect();
        assert!(distinct.len() > 3 && *distinct.last().unwrap() < 24);
        let job = training(3, 1e-3);
        let name = format!("tokenizer of {teacher:?}");
        resumes(&name, |path, observer| {
            tokenize(teacher, &job, path, observer)
        });
    }
    // Without the teacher that it needs there is an error, not a panic.
    let device = open(DeviceChoice::Cpu).unwrap();
    let job = training(1, 1e-3);
    let job = PretrainJob {
        images: &volumes(6),
        labels: None,
        codes: None,
        teacher: None,
        backbone: &backbone(),
        options: &job,
        pass: job.pass(),
        seed: 3,
        device: &device,
        checkpoints: None,
    };
    let without = pretext_pretrain::<Tokenizer>(&job, &Tokens::default(), &mut go);
    assert!(matches!(without, Err(TrainError::Options { .. })));
    let beit2 = pretext::find("beit2").unwrap();
    let without = beit2.train.unwrap()(&job, &(beit2.defaults)(), &mut go);
    assert!(matches!(without, Err(TrainError::Options { .. })));
}

#[test]
fn densecl_without_the_weight_of_its_dense_loss_is_moco() {
    let images = volumes(6);
    let job = training(2, 1e-3);
    let encoder = |name: &str, own: Value| {
        let entry = find(name).unwrap();
        let options = settled(entry, own);
        let out = run((entry, &options), &images, &job, None, &mut go).unwrap();
        out.encoder
    };
    let moco = encoder("moco", json!({ "queue": 24 }));
    let own = json!({ "queue": 24, "lambda": 0.0 });
    assert!(moco == encoder("densecl", own));
    let own = json!({ "queue": 24, "lambda": 0.5, "warmup_epochs": 1 });
    assert!(moco != encoder("densecl", own));
}
