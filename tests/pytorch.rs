//! Parity with PyTorch: its weights give its outputs and train to its losses; its files are read.
//!
//! The golden files are PyTorch's, written by `tests/golden/pytorch/make.py`; weights and images are
//! computed here from the same integers. `AMLP_TEST_DEVICE` names another device than the CPU's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use amlp_run::data::images::InMemory;
use amlp_run::nn::backbone::UNet;
use amlp_run::nn::device::open;
use amlp_run::nn::foreign::{ForeignError, WeightsFile};
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::weights::{Array, Weights, shapes};
use amlp_run::options::{
    BackboneOptions, FinetuneOptions, InitOptions, InitPart, LrDecay, OptimiserKind,
    OptimiserOptions, SegmentationLoss, TransferOptions,
};
use amlp_run::train::{FinetuneJob, FinetuneOutput, TrainError, finetune};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const IMAGES: usize = 4;
const CHANNELS: usize = 2;
const SIDE: usize = 16;

fn device() -> Device {
    let name = std::env::var("AMLP_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    open(name.parse().unwrap()).unwrap()
}

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/pytorch")
        .join(name)
}

/// Arrays of the golden file, in double precision.
fn golden() -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(golden_file("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| (name.to_owned(), numbers(&view)))
        .collect()
}

fn numbers(view: &TensorView<'_>) -> Vec<f64> {
    match view.dtype() {
        Dtype::F64 => {
            let words = view.data().as_chunks::<8>().0;
            words.iter().map(|w| f64::from_le_bytes(*w)).collect()
        }
        _ => {
            let words = view.data().as_chunks::<4>().0;
            let singles = words.iter().map(|w| f32::from_le_bytes(*w));
            singles.map(f64::from).collect()
        }
    }
}

/// `noise` of make.py.
fn noise(stream: u64, count: usize) -> Vec<f64> {
    let number = |i: usize| {
        let mut x = (i as u64 + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add((stream + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9));
        x ^= x >> 31;
        x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 29;
        (x >> 40) as f64 / 8_388_608.0 - 1.0
    };
    (0..count).map(number).collect()
}

fn backbone(width: usize, depth: usize) -> BackboneOptions {
    BackboneOptions {
        width,
        depth,
        ..BackboneOptions::default()
    }
}

fn network(width: usize, depth: usize, channels: usize, outputs: usize, device: &Device) -> UNet {
    let mut init = Initialiser::new(0, device);
    UNet::init(&backbone(width, depth), channels, outputs, &mut init).unwrap()
}

/// `model` of make.py.
fn weights(width: usize, depth: usize, channels: usize, outputs: usize) -> Weights {
    let names = shapes(&network(width, depth, channels, outputs, &Device::flex()));
    let arrays = names
        .into_iter()
        .enumerate()
        .map(|(stream, (name, shape))| {
            let u = noise(stream as u64, shape.iter().product());
            let leaf = name.rsplit('.').next().unwrap();
            let scaled = |base: f64, scale: f64| -> Vec<f32> {
                u.iter().map(|u| (base + scale * u) as f32).collect()
            };
            let values = match (leaf, shape.len()) {
                ("running_var", _) => scaled(1.0, 0.5),
                ("weight", 1) => scaled(1.0, 0.25),
                ("weight", _) => {
                    let fan = if name.starts_with("up.") {
                        shape[0]
                    } else {
                        shape[1..].iter().product()
                    };
                    scaled(0.0, (6.0 / fan as f64).sqrt())
                }
                _ => scaled(0.0, 0.1),
            };
            (name, Array { shape, values })
        });
    Weights(arrays.collect())
}

/// `data` of make.py.
fn data() -> InMemory {
    let pixels = SIDE * SIDE;
    let all: Vec<f32> = noise(1000, IMAGES * CHANNELS * pixels)
        .into_iter()
        .map(|u| u as f32)
        .collect();
    let images: Vec<Vec<f32>> = all.chunks(CHANNELS * pixels).map(<[f32]>::to_vec).collect();
    let masks = images.iter().map(|image| {
        let (first, second) = image.split_at(pixels);
        let inner = first.iter().zip(second).map(|(a, b)| a + b > 0.5);
        let all = first.iter().map(|a| *a > 0.0).chain(inner);
        all.map(|inside| f32::from(u8::from(inside))).collect()
    });
    InMemory {
        shape: [CHANNELS, SIDE, SIDE],
        regions: 2,
        masks: masks.collect(),
        ids: (0..IMAGES as u64).collect(),
        images,
    }
}

fn output(net: &UNet, images: &[Vec<f32>], shape: [usize; 3], device: &Device) -> Vec<f64> {
    let [c, h, w] = shape;
    let values = TensorData::new(images.concat(), [images.len(), c, h, w]);
    let y = net.valid().forward(Tensor::from_data(values, device));
    let y: Vec<f32> = y.into_data().try_to_vec_as().unwrap();
    y.into_iter().map(f64::from).collect()
}

/// Largest difference relative to the largest number, at least 1.
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0f64, |m, e| m.max(e.abs()));
    let worst = found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs())
        .fold(0.0, f64::max);
    println!("{what}: off by {worst:.2e} of {scale:.2}");
    assert!(worst <= tolerance * scale, "{what}: {worst} of {scale}");
}

/// The initial weights in a file of their own.
fn initial(folder: &Path) -> WeightsFile {
    let path = folder.join("initial.safetensors");
    weights(4, 2, CHANNELS, 2).save(&path).unwrap();
    WeightsFile::open(&path).unwrap()
}

#[test]
fn weights_of_pytorch_give_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let device = device();
    let net = network(4, 2, CHANNELS, 2, &device);
    let net = initial(folder.path()).load_into(net, "", "").unwrap();
    let data = data();
    let found = output(&net, &data.images, data.shape, &device);
    assert_close(&found, &golden()["evaluation"], 1e-5, "evaluation");
}

fn options(optimiser: OptimiserOptions, loss: SegmentationLoss) -> FinetuneOptions {
    FinetuneOptions {
        epochs: 20,
        batch: IMAGES,
        optimiser,
        loss,
        transfer: TransferOptions {
            recalibrate_bn: false,
        },
        init: InitOptions {
            part: InitPart::Network,
            ..InitOptions::default()
        },
        ..FinetuneOptions::default()
    }
}

/// `sgd`, `adamw` and `schedule` of make.py.
fn runs() -> [(&'static str, FinetuneOptions); 3] {
    let sgd = OptimiserOptions {
        kind: OptimiserKind::Sgd,
        lr: 0.05,
        weight_decay: 1e-2,
        momentum: 0.9,
        decay: LrDecay::Constant,
        ..OptimiserOptions::finetuning()
    };
    let adamw = OptimiserOptions {
        lr: 5e-3,
        weight_decay: 0.05,
        decay: LrDecay::Constant,
        ..OptimiserOptions::finetuning()
    };
    let schedule = OptimiserOptions {
        min_lr: 1e-4,
        warmup_epochs: 5.0,
        decay: LrDecay::Cosine,
        clip_norm: 0.05,
        ..adamw.clone()
    };
    [
        ("sgd", options(sgd, SegmentationLoss::DiceBce)),
        ("adamw", options(adamw, SegmentationLoss::DiceBce)),
        ("schedule", options(schedule, SegmentationLoss::Dice)),
    ]
}

fn trained(
    options: &FinetuneOptions,
    init: &WeightsFile,
    device: &Device,
) -> Result<FinetuneOutput, TrainError> {
    let images = data();
    let job = FinetuneJob {
        images: &images,
        validation: None,
        encoder: None,
        init: Some(init),
        backbone: &backbone(4, 2),
        options,
        pass: options.pass(),
        seed: 0,
        device,
        checkpoints: None,
    };
    finetune(&job, &mut |_| ControlFlow::Continue(()))
}

/// Twenty steps of fine-tuning as the program does it, one step per epoch: batch statistics,
/// running statistics, loss, gradients, clipping, learning rate and rule of the update.
#[test]
fn training_gives_the_losses_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let (device, golden, data) = (device(), golden(), data());
    let file = initial(folder.path());
    for (name, options) in runs() {
        let end = trained(&options, &file, &device).unwrap();
        let losses: Vec<f64> = end.curve.iter().map(|epoch| epoch.loss).collect();
        let expected = &golden[&format!("{name}.losses")];
        assert!(expected[19] < expected[0] - 0.02, "{name} learns something");
        assert_close(&losses, expected, 1e-3, &format!("{name}: losses"));
        let net = network(4, 2, CHANNELS, 2, &device);
        let net = end.weights.load_into(net, "").unwrap();
        let found = output(&net, &data.images[..2], data.shape, &device);
        let expected = &golden[&format!("{name}.output")];
        assert_close(&found, expected, 5e-3, &format!("{name}: output"));
        let statistics = end
            .weights
            .0
            .iter()
            .filter(|(at, _)| at.contains(".running_"));
        for (at, array) in statistics {
            let found: Vec<f64> = array.values.iter().map(|v| f64::from(*v)).collect();
            assert_close(&found, &golden[&format!("{name}.{at}")], 1e-3, at);
        }
    }
}

#[test]
fn files_of_pytorch_are_read() {
    let expected = weights(2, 1, 1, 1);
    let load = |name: &str, part: &str, prefix: &str| {
        let net = network(2, 1, 1, 1, &Device::flex());
        let file = WeightsFile::open(&golden_file(name)).unwrap();
        file.load_into(net, part, prefix)
            .map(|net| Weights::of(&net))
    };
    // Inside a dictionary, under the prefix of a wrapper, beside the state of an optimiser.
    assert_eq!(load("wrapped.pth", "", "").unwrap(), expected);
    let prefix = "state_dict.module";
    assert_eq!(load("wrapped.pth", "", prefix).unwrap(), expected);
    assert!(matches!(
        load("wrapped.pth", "", "model"),
        Err(ForeignError::Missing { name, .. }) if name == "model.dec.0.bn1.bias"
    ));
    assert_eq!(load("legacy.pth", "", "").unwrap(), expected);
    // Half the precision.
    for name in ["bfloat16.pth", "half.safetensors"] {
        let found = load(name, "", "").unwrap();
        for (at, array) in &expected.0 {
            let values = array
                .values
                .iter()
                .map(|v| half::bf16::from_f32(*v).to_f32());
            assert_eq!(
                found.0[at].values,
                values.collect::<Vec<_>>(),
                "{name} {at}"
            );
        }
    }
    // The encoder alone leaves the decoder as it was.
    let before = Weights::of(&network(2, 1, 1, 1, &Device::flex()));
    let found = load("legacy.pth", "enc.", "").unwrap();
    for (at, array) in &found.0 {
        let source = if at.starts_with("enc.") {
            &expected
        } else {
            &before
        };
        assert_eq!(array, &source.0[at], "{at}");
    }
}

#[test]
fn files_of_other_networks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let device = Device::flex();
    let load = |weights: &Weights, part: &str| {
        weights.save(&path).unwrap();
        let net = network(2, 1, 1, 1, &device);
        WeightsFile::open(&path).unwrap().load_into(net, part, "")
    };
    let right = weights(2, 1, 1, 1);
    assert!(load(&right, "").is_ok());
    assert!(matches!(
        load(&weights(2, 1, 3, 1), ""),
        Err(ForeignError::Shape { name, expected, found, .. })
            if name == "enc.0.conv1.weight" && expected == [2, 1, 3, 3] && found == [2, 3, 3, 3]
    ));
    // Deeper networks have more of the same: a part of them is not silently taken.
    assert!(matches!(
        load(&weights(2, 2, 1, 1), "enc."),
        Err(ForeignError::Unexpected { name, .. }) if name.starts_with("enc.2.")
    ));
    let mut biased = right.clone();
    let bias = Array {
        shape: vec![2],
        values: vec![0.0; 2],
    };
    biased.0.insert("enc.0.conv1.bias".to_owned(), bias);
    assert!(matches!(
        load(&biased, ""),
        Err(ForeignError::Unexpected { name, .. }) if name == "enc.0.conv1.bias"
    ));
    let mut two = Weights::default();
    for (name, array) in &right.0 {
        for prefix in ["student", "teacher"] {
            two.0.insert(format!("{prefix}.{name}"), array.clone());
        }
    }
    assert!(matches!(
        load(&two, ""),
        Err(ForeignError::Ambiguous { prefixes, .. }) if prefixes == ["student.", "teacher."]
    ));
    assert!(matches!(
        load(&Weights::default(), ""),
        Err(ForeignError::Missing { .. })
    ));
    assert!(matches!(
        WeightsFile::open(&folder.path().join("none")),
        Err(ForeignError::File { .. })
    ));
}

/// Files cut short, with bytes changed, or claiming what they do not hold end in an error or in
/// the network's own number of values, in little memory, without a panic.
#[test]
fn hostile_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let attempt = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let file = WeightsFile::open(&path)?;
        file.load_into(network(2, 1, 1, 1, &Device::flex()), "", "")
    };
    for name in ["wrapped.pth", "legacy.pth", "half.safetensors"] {
        let bytes = std::fs::read(golden_file(name)).unwrap();
        assert!(attempt(&bytes).is_ok(), "{name}");
        for cut in (0..bytes.len()).step_by(bytes.len() / 40) {
            assert!(attempt(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        let mut refused = 0;
        let count = 400;
        for (i, u) in noise(7, count).into_iter().enumerate() {
            let mut changed = bytes.clone();
            let at = ((u + 1.0) / 2.0 * bytes.len() as f64) as usize;
            changed[at] ^= 1 << (i % 8);
            refused += usize::from(attempt(&changed).is_err());
        }
        assert!(refused > 0 && refused < count, "{name}: {refused}");
    }
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        &[0x80, 2, b'.'],
        &[0xff; 64],
        b"{}",
    ] {
        assert!(attempt(bytes).is_err());
    }
    // A program in a pickle: `os.system("touch ...")`. It is read as data.
    let witness = folder.path().join("witness");
    let call = format!("cos\nsystem\n(S'touch {}'\ntR.", witness.display());
    assert!(attempt(call.as_bytes()).is_err());
    assert!(!witness.exists());
    // A header of safetensors that claims more than there is.
    let header = br#"{"enc.0.bn1.bias":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    assert!(attempt(&bytes).is_err());
}

/// With `AMLP_TORCH_PYTHON` a python that has torch: the golden files are made again and are what
/// is committed.
#[test]
fn the_script_makes_the_golden_files() {
    let Ok(python) = std::env::var("AMLP_TORCH_PYTHON") else {
        println!("skipped: AMLP_TORCH_PYTHON names no python with torch");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["make.py", "unet.py"] {
        std::fs::copy(golden_file(name), folder.path().join(name)).unwrap();
    }
    let made = Command::new(python)
        .arg(folder.path().join("make.py"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let bytes = std::fs::read(folder.path().join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, committed) in golden() {
        let found = numbers(&file.tensor(&name).unwrap());
        // Another processor adds in another order.
        assert_close(&found, &committed, 1e-3, &name);
    }
}
