//! TensorBoard event files: decoded here byte by byte, and read by TensorBoard itself where
//! `AMLP_TENSORBOARD_PYTHON` names a Python that has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use amlp_run::engine::events::Entry;
use amlp_run::engine::export::tensorboard::TensorBoard;
use amlp_run::engine::{Event, Progress};
use amlp_run::plan::{Key, StageKind};
use serde_json::{Value, json};

fn key(name: &str) -> Key {
    Key::of(&json!(name))
}

fn started(time: f64, name: &str, kind: StageKind) -> Entry {
    let event = Event::Started {
        key: key(name),
        kind,
        label: name.to_owned(),
        pid: 7,
        attempt: 1,
    };
    Entry { time, event }
}

fn progress(time: f64, name: &str, epoch: u64, step: u64) -> Entry {
    let end_of_epoch = [("mask_ratio", 0.25 * epoch as f64)];
    let scalars = end_of_epoch.iter().filter(|_| step == 4);
    let event = Event::Progress {
        key: key(name),
        progress: Progress {
            epoch: Some(epoch),
            epochs: Some(3),
            step: Some(step),
            steps: Some(4),
            loss: Some(1.0 / (epoch * 4 + step) as f64),
            rate: Some(100.0),
            waiting: Some(0.125),
            lr: Some(1e-3),
            scalars: scalars.map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            note: None,
        },
    };
    Entry { time, event }
}

const PRETRAIN: &str = "pretrain AMLP hecktor/CT seed 0";

/// A training that is resumed from the end of its first epoch, and a stage that is none.
fn log() -> Vec<Entry> {
    let run = Event::RunStarted {
        pid: 42,
        host: "node".to_owned(),
        stages: 2,
        cached: 0,
        to_run: Vec::new(),
    };
    let mut log = vec![
        Entry {
            time: 1000.0,
            event: run,
        },
        started(1000.0, "prepare", StageKind::Prepare),
        progress(1000.5, "prepare", 1, 1),
        started(1001.0, PRETRAIN, StageKind::Pretrain),
    ];
    for (i, (epoch, step)) in [(1, 2), (1, 4), (2, 2), (2, 3), (2, 1), (2, 4), (3, 4)]
        .into_iter()
        .enumerate()
    {
        log.push(progress(1002.25 + i as f64, PRETRAIN, epoch, step));
    }
    log
}

/// Global steps of [`log`] that count: those after the resumption replace what came before.
const STEPS: [u64; 5] = [2, 4, 5, 8, 12];

fn write(dir: &Path) -> PathBuf {
    let board = TensorBoard::new(dir);
    for entry in &log() {
        board.take(entry);
    }
    assert_eq!((board.files(), board.broken()), (1, None));
    let folder = dir.join(format!(
        "pretrain_AMLP_hecktor_CT_seed_0-{}",
        key(PRETRAIN).short()
    ));
    folder.join("events.out.tfevents.0000001002.node.42")
}

/// CRC-32C bit by bit, from the polynomial.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

fn check(sum: &[u8], bytes: &[u8]) {
    let crc = crc(bytes);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(sum, masked.to_le_bytes());
}

/// The records of a TFRecord file.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        check(&bytes[8..12], &bytes[..8]);
        let data = &bytes[12..12 + length];
        check(&bytes[12 + length..16 + length], data);
        records.push(data);
        bytes = &bytes[16 + length..];
    }
    records
}

/// A field of a message of protocol buffers.
#[derive(Debug, PartialEq)]
enum Field<'a> {
    Int(u64),
    Double(f64),
    Float(f32),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without end")
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(length);
    *bytes = rest;
    head
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Int(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Float(f32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            kind => panic!("kind {kind}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

#[test]
fn files_hold_what_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(write(folder.path())).unwrap();
    let events: Vec<_> = records(&bytes).into_iter().map(fields).collect();
    assert_eq!(
        events[0],
        [
            (1, Field::Double(1002.25)),
            (3, Field::Bytes(b"brain.Event:2"))
        ]
    );
    // Version, seven steps, one restart.
    assert_eq!(events.len(), 9);
    let steps: Vec<u64> = events[1..]
        .iter()
        .map(|event| match event[1] {
            (2, Field::Int(step)) => step,
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(steps, [2, 4, 6, 7, 5, 5, 8, 12]);
    assert_eq!(events[5][2], (7, Field::Bytes(&[8, 1])), "a restart");

    let (5, Field::Bytes(summary)) = events[8][2] else {
        panic!("{:?}", events[8]);
    };
    let values: BTreeMap<&str, f32> = fields(summary)
        .into_iter()
        .map(|(number, value)| {
            let Field::Bytes(value) = value else {
                panic!("{number}");
            };
            match fields(value).as_slice() {
                [(1, Field::Bytes(tag)), (2, Field::Float(value))] => {
                    (std::str::from_utf8(tag).unwrap(), *value)
                }
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(
        values,
        BTreeMap::from([
            ("images_per_second", 100.0),
            ("learning_rate", 1e-3),
            ("loss", 1.0 / 16.0),
            ("mask_ratio", 0.75),
            ("waiting", 0.125),
        ])
    );
}

#[test]
fn the_same_log_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let once = fs::read(write(folder.path())).unwrap();
    let path = write(folder.path());
    assert_eq!(fs::read(&path).unwrap(), once);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("file");
    fs::write(&place, "").unwrap();
    let board = TensorBoard::new(&place);
    for entry in &log() {
        board.take(entry);
    }
    assert!(board.broken().unwrap().contains("file"));
}

#[test]
fn tensorboard_reads_them() {
    let Some(python) = std::env::var_os("AMLP_TENSORBOARD_PYTHON") else {
        eprintln!("skipped: AMLP_TENSORBOARD_PYTHON names no Python with the package tensorboard");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_tensorboard.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = path.parent().unwrap().file_name().unwrap();
    let run = &found[name.to_str().unwrap()];
    let tags: Vec<&String> = run.as_object().unwrap().keys().collect();
    assert_eq!(
        tags,
        [
            "images_per_second",
            "learning_rate",
            "loss",
            "mask_ratio",
            "waiting"
        ]
    );
    let steps = |tag: &str| -> Vec<u64> {
        let scalars = run[tag].as_array().unwrap();
        scalars.iter().map(|s| s[0].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("loss"), STEPS);
    assert_eq!(steps("mask_ratio"), [4, 8, 12]);
    let last = &run["loss"][4];
    assert_eq!(last[1], 1.0 / 16.0);
    assert_eq!(last[2], 1008.25);
}
