//! Every pretext task of the registry on small volumes: it learns, it does not collapse, it hands on
//! an encoder, and it resumes bit by bit. A new method is covered by its line in the registry.
//! `AMLP_TEST_DEVICE` names another device than the CPU's own.

#[path = "methods/volumes.rs"]
mod volumes;

use std::collections::BTreeSet;
use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use amlp_run::data::images::{Images, InMemory};
use amlp_run::mask::patch::Grid;
use amlp_run::nn::backbone::{ENCODER, UNet};
use amlp_run::nn::device::open;
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::weights::Weights;
use amlp_run::options::{
    BackboneOptions, FinetuneOptions, Frame, LrDecay, OptimiserOptions, PretrainOptions,
    TokenTeacher, TokenizerOptions, Tokens, Transfer,
};
use amlp_run::pretext::beit2::{self, Tokenizer};
use amlp_run::pretext::{self, Family, PretextEntry, REGISTRY, find};
use amlp_run::random::{Purpose, Stream};
use amlp_run::train::{
    Checkpoints, DECODER, FinetuneJob, Observer, PretrainJob, PretrainOutput, Progress, TrainError,
    finetune, pretrain as pretext_pretrain,
};
use burn::tensor::Device;
use serde_json::{Value, json};
use volumes::Volumes;

const SIDE: usize = 32;
/// Slices of a volume.
const DEEP: usize = 4;

/// A body in air that differs from volume to volume, with a bright lesion; its stripes turn from slice
/// to slice, alike in all volumes, as anatomy changes along z.
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
            let (sin, cos) = (PI * z as f64 / DEEP as f64).sin_cos();
            for p in 0..SIDE * SIDE {
                let (y, x) = ((p / SIDE) as f64 - 15.5, (p % SIDE) as f64 - 15.5);
                let body = (y / radius[0]).powi(2) + (x / radius[1]).powi(2) < shrink;
                let away = (y + 15.5 - centre.0).powi(2) + (x + 15.5 - centre.1).powi(2);
                let lesion = body && away < 9.0;
                let along = stripes * (x * cos + y * sin);
                let texture = 0.3 * along.sin() + 0.05 * own.normal();
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
    Volumes {
        images: set,
        slices: DEEP,
    }
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

/// The CPU's own device, or the one that `AMLP_TEST_DEVICE` names.
fn device() -> Device {
    let name = std::env::var("AMLP_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    open(name.parse().unwrap()).unwrap()
}

/// Options of a method for images of this size, `own` over the defaults.
fn settled(entry: &PretextEntry, own: Value) -> Value {
    let mut options = (entry.defaults)();
    if let (Some(options), Value::Object(own)) = (options.as_object_mut(), own) {
        options.extend(own);
    }
    let (backbone, pretrain) = (backbone(), training(2, 1e-3));
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
    let device = device();
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
            .images
            .masks
            .iter()
            .map(|m| grid.lesion_labels(m).unwrap());
        rows.flatten().collect::<Vec<u8>>()
    });
    let codes = (entry.needs)(options).tokens.map(|_| codes());
    let device = device();
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

/// How a method learns from so few images.
struct Lesson {
    /// Over the options of [`methods`].
    own: Value,
    epochs: usize,
    lr: f64,
    /// The loss of embeddings that know nothing of each other, where the method has such a level.
    chance: Option<f64>,
}

/// Part of the loss without knowledge that a method may keep.
const KEPT: f64 = 0.8;
/// Embeddings closer together than this count as collapsed (`methods/contrastive.md` section 2.7).
const COLLAPSED: f64 = 0.01;
/// Epochs at the end whose losses are averaged: views differ from epoch to epoch.
const LAST: usize = 3;

/// Views are gentle: from 24 images nobody learns that a twentieth of one belongs to the rest. A queue
/// takes longer, because its keys come from a teacher that hardly moves; and it must be short, or it
/// would hold the slice's own keys. SwAV has fewer prototypes than images per batch, sharper codes
/// and softer crops, as its authors advise where the loss stays at chance.
fn lesson(name: &str) -> Lesson {
    let (own, epochs, chance) = match name {
        "simclr" => (
            json!({ "crop": [0.7, 1.0], "jitter": 0.1, "blur": 0.0 }),
            24,
            Some(15f64.ln()),
        ),
        "byol" => (
            json!({ "crop": [0.5, 1.0], "jitter": 0.2, "blur": [0.0, 0.0], "solarise": [0.0, 0.0] }),
            12,
            // Two distances of directions at right angles.
            Some(4.0),
        ),
        "swav" => (
            json!({
                "prototypes": 6, "queue": 0, "epsilon": 0.03, "crop": [0.7, 1.0],
                "local_crop": [0.5, 0.7], "local_views": 2, "jitter": 0.1, "blur": 0.0,
            }),
            40,
            Some(6f64.ln()),
        ),
        "moco" | "densecl" => (
            json!({
                "queue": 16, "bn_groups": 1, "crop": [0.5, 1.0], "jitter": 0.2, "blur": 0.0,
            }),
            60,
            Some(17f64.ln()),
        ),
        "gl" => (json!({ "jitter": 0.1 }), 50, Some(13f64.ln())),
        "pcrl" => (json!({ "crop": [0.9, 1.0], "blur": 0.0 }), 40, None),
        "vox2vec" => (json!({}), 12, Some((2.0 * 8.0 * 24.0 - 1.0f64).ln())),
        // Its codes must be told apart, of which there are many.
        "beit2" => (json!({}), 20, None),
        _ => (json!({}), 12, None),
    };
    Lesson {
        own,
        epochs,
        // Faster, PCRL tells keys by their age instead of their content.
        lr: if name == "pcrl" { 5e-4 } else { 3e-3 },
        chance,
    }
}

/// Mean loss of the last epochs.
fn last_loss(out: &PretrainOutput) -> f64 {
    let losses = out.curve.iter().rev().take(LAST).map(|epoch| epoch.loss);
    losses.sum::<f64>() / LAST as f64
}

#[test]
fn methods_learn_without_collapse_and_hand_on_an_encoder() {
    let images = volumes(6);
    let mut wrong = Vec::new();
    for (entry, mut options) in methods() {
        let name = entry.name;
        let lesson = lesson(name);
        if let (Some(options), Value::Object(own)) = (options.as_object_mut(), lesson.own) {
            options.extend(own);
        }
        let train = |epochs: usize, lr: f64| {
            let job = training(epochs, lr);
            run((entry, &options), &images, &job, None, &mut go).unwrap()
        };
        let trained = train(lesson.epochs, lesson.lr);
        // A network that stays as it was drawn, until its queue is full of its own keys.
        let untrained = train(lesson.epochs.min(12), 1e-12);
        let (after, before) = (last_loss(&trained), last_loss(&untrained));
        let scalars = &trained.curve[lesson.epochs - 1].scalars;
        let chance = lesson.chance;
        println!("{name}: {after:.3} from {before:.3}, chance {chance:.3?}, {scalars:?}");
        for level in std::iter::once(before).chain(chance) {
            if after >= KEPT * level {
                wrong.push(format!("{name}: {after} is not well below {level}"));
            }
        }
        if entry.family == Family::Contrastive || scalars.contains_key("emb_std") {
            let spread = scalars["emb_std"];
            if spread <= COLLAPSED {
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
        let device = device();
        let mut init = Initialiser::new(9, &device);
        let unet = UNet::init(&backbone(), 1, 1, &mut init).unwrap();
        trained.encoder.load_into(unet, ENCODER).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Choices that the publications leave open, or make otherwise: each trains, and trains something
/// else.
#[test]
fn open_choices_change_what_is_trained() {
    let images = volumes(6);
    let train = |name: &str, own: Value, pretrain: Value| {
        let entry = find(name).unwrap();
        let base = settled(entry, json!({}));
        let mut options = if name == "pcrl" {
            settled(entry, json!({ "queue": 24 }))
        } else {
            base
        };
        if let (Some(options), Value::Object(own)) = (options.as_object_mut(), own) {
            options.extend(own);
        }
        let mut job = serde_json::to_value(training(2, 1e-3)).unwrap();
        if let (Some(job), Value::Object(more)) = (job.as_object_mut(), pretrain) {
            job.extend(more);
        }
        let job: PretrainOptions = serde_json::from_value(job).unwrap();
        let out = run((entry, &options), &images, &job, None, &mut go).unwrap();
        assert!(out.curve.iter().all(|epoch| epoch.loss.is_finite()));
        (out.encoder, out.curve)
    };
    let views = |option: &str, value: Value| json!({ "views": { option: value } });
    let sparse = |option: &str, value: Value| json!({ "sparse": { option: value } });
    let own = |option: &str, value: Value| json!({ option: value });
    let none = || json!({});
    let choices = [
        ("simclr", none(), views("range", json!("slice"))),
        ("simclr", none(), views("foreground", json!(0.9))),
        ("simclr", none(), views("border", json!("reflect"))),
        ("simclr", none(), views("distinct_volumes", json!(true))),
        ("vox2vec", none(), views("distinct_volumes", json!(true))),
        ("pcrl", none(), views("distinct_volumes", json!(true))),
        ("pcrl", own("enqueue", json!("between")), none()),
        ("pcrl", own("beyond", json!("zero")), none()),
        ("gl", none(), views("range", json!("slice"))),
        (
            "gl",
            json!({ "parts": 3, "bounds": "floor" }),
            json!({ "batch": 6 }),
        ),
        ("gl", own("repeat_volumes", json!(true)), none()),
        ("gl", own("cells", json!(1)), none()),
        ("gl", own("jitter_per", json!("batch")), none()),
        ("gl", own("brightest", json!(1.5)), none()),
        ("mae", own("skips", json!(0)), none()),
        ("mae", none(), sparse("encoder", json!("dense"))),
        ("mae", none(), sparse("statistics", json!("all"))),
        ("mae", none(), sparse("densify", json!("spark"))),
        ("mae", none(), sparse("decoder_width", json!(0.25))),
        ("selfmedmae", own("skips", json!(1)), none()),
        ("convmae", own("blocks", json!(1)), none()),
        ("convmae", none(), sparse("densify", json!("spark"))),
        ("convmae", none(), sparse("encoder", json!("dense"))),
        ("bootmae", own("block_area", json!([0.02, 0.05])), none()),
        ("bootmae", own("skips", json!(0)), none()),
        ("bootmae", own("feature_blocks", json!(1)), none()),
        ("bootmae", none(), sparse("encoder", json!("dense"))),
        ("beit2", own("min_block", json!(0.02)), none()),
    ];
    for (name, own, pretrain) in choices {
        // Everything but the choice.
        let parts = own
            .get("parts")
            .map_or_else(none, |p| json!({ "parts": p }));
        let batch = pretrain
            .get("batch")
            .map_or_else(none, |b| json!({ "batch": b }));
        let plain = train(name, parts, batch);
        let shown = format!("{name}: {own} {pretrain}");
        let chosen = train(name, own, pretrain);
        assert!(plain != chosen, "{shown} changes nothing");
    }
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
    for teacher in [
        TokenTeacher::OwnMae,
        TokenTeacher::Hog,
        TokenTeacher::OwnEma,
    ] {
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
    let device = device();
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

#[test]
fn the_local_stage_of_gl_trains_blocks_of_the_decoder_and_no_encoder() {
    let images = volumes(6);
    let entry = find("gl").unwrap();
    let both = settled(entry, json!({ "local": { "enabled": true } }));
    let train = |options: &Value, epochs: usize, lr: f64| {
        let mut job = training(epochs, lr);
        // Each stage has a schedule of its own.
        job.optimiser.decay = LrDecay::Cosine;
        run((entry, options), &images, &job, None, &mut go).unwrap()
    };
    let (trained, untrained) = (train(&both, 16, 3e-3), train(&both, 16, 1e-12));
    let alone = train(&settled(entry, json!({})), 8, 3e-3);
    for (name, array) in &alone.encoder.0 {
        // Running statistics go on: the stage sees other images.
        if !name.contains("running") {
            assert!(*array == trained.encoder.0[name], "{name} has moved");
        }
    }
    assert!(alone.remains.is_empty());
    let lr = |epoch: usize| trained.curve[epoch].lr;
    assert!(
        lr(8) > 0.9 * 3e-3 && lr(7) < 0.1 * 3e-3,
        "{} {}",
        lr(8),
        lr(7)
    );

    let blocks = |out: &PretrainOutput| {
        Weights::from_bytes(&out.remains[DECODER], DECODER.as_ref()).unwrap()
    };
    let (after, before) = (blocks(&trained), blocks(&untrained));
    let names: BTreeSet<&str> = after.0.keys().map(|name| &name[..5]).collect();
    assert_eq!(names, BTreeSet::from(["dec.0", "up.0."]));
    for (name, array) in &after.0 {
        assert!(*array != before.0[name], "{name} has not moved");
    }
    let loss = |out: &PretrainOutput| out.curve[15].loss;
    let (after_local, before_local) = (loss(&trained), loss(&untrained));
    for level in [before_local, 11f64.ln()] {
        assert!(
            after_local < KEPT * level,
            "{after_local} is not well below {level}"
        );
    }

    // Fine-tuning starts from them.
    let mut pretrained = trained.encoder.clone();
    pretrained.0.extend(after.0.clone());
    starts_fine_tuning(&images, &pretrained);
    let mut foreign = pretrained.clone();
    let block = foreign.0["up.0.weight"].clone();
    foreign.0.insert("up.7.weight".to_owned(), block);
    assert!(fine_tuned(&images, &foreign).is_err());

    let job = training(3, 1e-3);
    resumes("gl with its local stage", |path, observer| {
        run((entry, &both), &images, &job, path, observer)
    });
}

/// A network that fine-tuning has not moved from where it started.
fn fine_tuned(images: &Volumes, pretrained: &Weights) -> Result<Weights, TrainError> {
    let device = device();
    let options = FinetuneOptions {
        epochs: 1,
        optimiser: OptimiserOptions {
            lr: 1e-12,
            ..OptimiserOptions::finetuning()
        },
        ..FinetuneOptions::default()
    };
    let job = FinetuneJob {
        images,
        validation: None,
        encoder: Some(pretrained),
        init: None,
        backbone: &backbone(),
        options: &options,
        pass: options.pass(),
        seed: 4,
        device: &device,
        checkpoints: None,
    };
    Ok(finetune(&job, &mut go)?.weights)
}

/// Fine-tuning starts from all tensors that are handed on.
fn starts_fine_tuning(images: &Volumes, pretrained: &Weights) {
    let tuned = fine_tuned(images, pretrained).unwrap();
    for (name, array) in &pretrained.0 {
        // Running statistics are estimated anew.
        if name.contains("running") {
            continue;
        }
        let mut pairs = tuned.0[name].values.iter().zip(&array.values);
        assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-9), "{name}");
    }
}

#[test]
fn the_whole_network_is_handed_on_where_a_method_trains_it() {
    let images = volumes(6);
    let whole: BTreeSet<String> = {
        let device = device();
        let unet = UNet::init(&backbone(), 1, 1, &mut Initialiser::new(1, &device)).unwrap();
        let names = Weights::of(&unet).0.into_keys();
        names.filter(|name| !name.starts_with("out.")).collect()
    };
    let mut handed_on = Vec::new();
    for (entry, options) in methods() {
        let train = |transfer: Transfer| {
            let job = PretrainOptions {
                transfer,
                max_steps: 1,
                ..training(1, 1e-3)
            };
            run((entry, &options), &images, &job, None, &mut go).unwrap()
        };
        let out = train(Transfer::Full);
        let decoder = out.remains.get(DECODER);
        assert_eq!(decoder.is_some(), entry.trains_decoder, "{}", entry.name);
        let Some(decoder) = decoder else { continue };
        let mut network = Weights::from_bytes(decoder, DECODER.as_ref()).unwrap();
        let encoder = train(Transfer::Encoder);
        assert!(!encoder.remains.contains_key(DECODER), "{}", entry.name);
        assert!(encoder.encoder == out.encoder, "{}", entry.name);
        network.0.extend(out.encoder.0);
        assert_eq!(whole, network.0.keys().cloned().collect(), "{}", entry.name);
        starts_fine_tuning(&images, &network);
        handed_on.push(entry.name);
    }
    assert_eq!(handed_on, ["amlp", "pcrl", "vox2vec"]);
}
