//! NIfTI files of every kind that the tests write themselves, good ones and bad ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use amlp_run::data::volume::{
    LabelVolume, ScalarType, Volume, VoxelFormat, axis_codes, from_quaternion, info, read_header,
    read_labels, read_volume, transform, write_labels, write_volume,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

/// A file to be made: every header field that matters, and the voxels.
#[derive(Clone)]
struct Recipe {
    big: bool,
    version: u8,
    pair: bool,
    dim: Vec<i64>,
    code: i16,
    pixdim: [f64; 4],
    offset: f64,
    slope: f64,
    inter: f64,
    qform_code: i16,
    sform_code: i16,
    quatern: [f64; 3],
    qoffset: [f64; 3],
    srow: [[f64; 4]; 3],
    voxels: Vec<u8>,
}

impl Recipe {
    fn new(dim: &[i64], code: i16, voxels: Vec<u8>) -> Self {
        Self {
            big: false,
            version: 1,
            pair: false,
            dim: dim.to_vec(),
            code,
            pixdim: [1.0, 1.0, 2.0, 3.0],
            offset: 352.0,
            slope: 1.0,
            inter: 0.0,
            qform_code: 0,
            sform_code: 1,
            quatern: [0.0; 3],
            qoffset: [0.0; 3],
            srow: [
                [-1.0, 0.0, 0.0, 10.0],
                [0.0, -2.0, 0.0, 20.0],
                [0.0, 0.0, 3.0, 30.0],
            ],
            voxels,
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut block = vec![0_u8; if self.version == 1 { 352 } else { 544 }];
        let big = self.big;
        let mut put = |at: usize, mut bytes: Vec<u8>| {
            if big {
                bytes.reverse();
            }
            block[at..at + bytes.len()].copy_from_slice(&bytes);
        };
        let dim = |i: usize| match i {
            0 => self.dim.len() as i64,
            i => self.dim.get(i - 1).copied().unwrap_or(1),
        };
        let magic: &[u8];
        if self.version == 1 {
            let f = |v: f64| (v as f32).to_le_bytes().to_vec();
            put(0, 348_i32.to_le_bytes().to_vec());
            for i in 0..8 {
                put(40 + 2 * i, (dim(i) as i16).to_le_bytes().to_vec());
            }
            put(70, self.code.to_le_bytes().to_vec());
            put(72, self.bits());
            for (i, &p) in self.pixdim.iter().enumerate() {
                put(76 + 4 * i, f(p));
            }
            put(108, f(self.offset));
            put(112, f(self.slope));
            put(116, f(self.inter));
            put(252, self.qform_code.to_le_bytes().to_vec());
            put(254, self.sform_code.to_le_bytes().to_vec());
            for i in 0..3 {
                put(256 + 4 * i, f(self.quatern[i]));
                put(268 + 4 * i, f(self.qoffset[i]));
                for c in 0..4 {
                    put(280 + 16 * i + 4 * c, f(self.srow[i][c]));
                }
            }
            magic = if self.pair { b"ni1\0" } else { b"n+1\0" };
            block[344..348].copy_from_slice(magic);
        } else {
            let f = |v: f64| v.to_le_bytes().to_vec();
            put(0, 540_i32.to_le_bytes().to_vec());
            put(12, self.code.to_le_bytes().to_vec());
            put(14, self.bits());
            for i in 0..8 {
                put(16 + 8 * i, dim(i).to_le_bytes().to_vec());
            }
            for (i, &p) in self.pixdim.iter().enumerate() {
                put(104 + 8 * i, f(p));
            }
            put(168, (self.offset as i64).to_le_bytes().to_vec());
            put(176, f(self.slope));
            put(184, f(self.inter));
            put(344, i32::from(self.qform_code).to_le_bytes().to_vec());
            put(348, i32::from(self.sform_code).to_le_bytes().to_vec());
            for i in 0..3 {
                put(352 + 8 * i, f(self.quatern[i]));
                put(376 + 8 * i, f(self.qoffset[i]));
                for c in 0..4 {
                    put(400 + 32 * i + 8 * c, f(self.srow[i][c]));
                }
            }
            magic = if self.pair {
                b"ni2\0\r\n\x1a\n"
            } else {
                b"n+2\0\r\n\x1a\n"
            };
            block[4..12].copy_from_slice(magic);
        }
        block
    }

    fn bits(&self) -> Vec<u8> {
        let size = CODES.iter().find(|c| c.0 == self.code).map_or(0, |c| c.1);
        (8 * size as i16).to_le_bytes().to_vec()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        out.extend(&self.voxels);
        out
    }

    fn save(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, self.bytes()).expect("write");
        path
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).expect("gzip");
    gz.finish().expect("gzip")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("folder")
}

/// The line that a bad file is refused with; it must name the file.
fn refusal(path: &Path) -> String {
    let line = read_volume(path, None)
        .expect_err("must be refused")
        .to_string();
    let name = path.file_stem().and_then(|s| s.to_str()).expect("name");
    assert!(line.contains(name), "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert!(info(path).is_err());
    line
}

const CODES: [(i16, usize, &str); 10] = [
    (2, 1, "uint8"),
    (256, 1, "int8"),
    (4, 2, "int16"),
    (512, 2, "uint16"),
    (8, 4, "int32"),
    (768, 4, "uint32"),
    (1024, 8, "int64"),
    (1280, 8, "uint64"),
    (16, 4, "float32"),
    (64, 8, "float64"),
];

/// Value number `i` of a test volume: negative where the type can be.
fn encode(code: i16, i: usize, big: bool) -> (f32, Vec<u8>) {
    let n = i as i64 * 7 % 120;
    let s = n - 50;
    let (value, mut bytes) = match code {
        2 => (n as f32, vec![n as u8]),
        256 => (s as f32, vec![s as i8 as u8]),
        4 => (s as f32 * 300.0, (s as i16 * 300).to_le_bytes().to_vec()),
        512 => (n as f32 * 500.0, (n as u16 * 500).to_le_bytes().to_vec()),
        8 => (s as f32 * 1e5, (s as i32 * 100_000).to_le_bytes().to_vec()),
        768 => (n as f32 * 1e5, (n as u32 * 100_000).to_le_bytes().to_vec()),
        1024 => (s as f32 * 1e5, (s * 100_000).to_le_bytes().to_vec()),
        1280 => (n as f32 * 1e5, (n as u64 * 100_000).to_le_bytes().to_vec()),
        16 => (s as f32 * 0.25, (s as f32 * 0.25).to_le_bytes().to_vec()),
        _ => (s as f32 * 0.5, (s as f64 * 0.5).to_le_bytes().to_vec()),
    };
    if big {
        bytes.reverse();
    }
    (value, bytes)
}

#[test]
fn every_type_order_version_and_container_reads_the_same() {
    let dir = folder();
    let mut files = 0;
    for (code, _, name) in CODES {
        for big in [false, true] {
            for version in [1, 2] {
                let (values, voxels): (Vec<f32>, Vec<Vec<u8>>) =
                    (0..24).map(|i| encode(code, i, big)).unzip();
                let mut recipe = Recipe::new(&[2, 3, 4], code, voxels.concat());
                recipe.big = big;
                recipe.version = version;
                recipe.slope = 2.0;
                recipe.inter = -1.0;
                recipe.offset = if version == 1 { 352.0 } else { 544.0 };
                let tag = format!("{name}-{big}-{version}");
                let plain = recipe.save(dir.path(), &format!("{tag}.nii"));

                let bytes = recipe.bytes();
                let packed = dir.path().join(format!("{tag}-1.nii.gz"));
                fs::write(&packed, gzip(&bytes)).expect("write");
                let members = dir.path().join(format!("{tag}-3.nii.gz"));
                // Cuts in the header, between, and in the voxels; zeros after the last member.
                let mut joined = gzip(&bytes[..100]);
                joined.extend(gzip(&bytes[100..bytes.len() - 5]));
                joined.extend(gzip(&bytes[bytes.len() - 5..]));
                joined.extend([0; 64]);
                fs::write(&members, joined).expect("write");

                let mut pair = recipe.clone();
                pair.pair = true;
                pair.offset = 16.0;
                let header = dir.path().join(format!("{tag}.hdr"));
                fs::write(&header, pair.header()).expect("write");
                let mut image = vec![9; 16];
                image.extend(&pair.voxels);
                fs::write(dir.path().join(format!("{tag}.img")), &image).expect("write");
                let packed_image = dir.path().join(format!("{tag}-p.img.gz"));
                fs::write(&packed_image, gzip(&image)).expect("write");
                fs::write(
                    dir.path().join(format!("{tag}-p.hdr.gz")),
                    gzip(&pair.header()),
                )
                .expect("write");

                let expected: Vec<f32> = values.iter().map(|v| v * 2.0 - 1.0).collect();
                let image_name = dir.path().join(format!("{tag}.img"));
                for path in [
                    &plain,
                    &packed,
                    &members,
                    &header,
                    &image_name,
                    &packed_image,
                ] {
                    let volume = read_volume(path, None)
                        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    assert_eq!(volume.data, expected, "{}", path.display());
                    assert_eq!(volume.shape, [2, 3, 4]);
                    let head = read_header(path).expect("header");
                    assert_eq!(head.dtype.name(), name);
                    assert_eq!(head.spacing, [1.0, 2.0, 3.0]);
                    assert_eq!(transform(&head.affine, [1.0; 3]), [9.0, 18.0, 33.0]);
                    assert_eq!(axis_codes(&head.affine).as_deref(), Some("LPS"));
                    files += 1;
                }
            }
        }
    }
    assert_eq!(files, 240);
}

#[test]
fn the_nifti_crate_agrees() {
    use nifti::{NiftiObject, NiftiVolume, RandomAccessNiftiVolume, ReaderOptions};
    let dir = folder();
    for (code, _, name) in CODES {
        for big in [false, true] {
            let voxels: Vec<u8> = (0..24).flat_map(|i| encode(code, i, big).1).collect();
            let mut recipe = Recipe::new(&[2, 3, 4], code, voxels);
            recipe.big = big;
            let path = recipe.save(dir.path(), &format!("{name}{big}.nii"));
            let ours = read_volume(&path, None).expect("ours");
            let theirs = ReaderOptions::new()
                .read_file(&path)
                .expect("theirs")
                .into_volume();
            assert_eq!(theirs.dim(), [2, 3, 4]);
            for (i, &value) in ours.data.iter().enumerate() {
                let at = [(i % 2) as u16, (i / 2 % 3) as u16, (i / 6) as u16];
                assert_eq!(theirs.get_f32(&at).expect("voxel"), value, "{name} {big}");
            }
        }
    }
}

#[test]
fn channels_are_chosen_and_trailing_ones_squeezed() {
    let dir = folder();
    let voxels: Vec<u8> = (0..24).collect();
    let four = Recipe::new(&[2, 2, 2, 3], 2, voxels.clone()).save(dir.path(), "four.nii");
    let packed = dir.path().join("four.nii.gz");
    fs::write(&packed, gzip(&fs::read(&four).expect("read"))).expect("write");
    for path in [&four, &packed] {
        for c in 0..3 {
            let volume = read_volume(path, Some(c)).expect("channel");
            let expected: Vec<f32> = (8 * c..8 * c + 8).map(|v| v as f32).collect();
            assert_eq!(volume.data, expected);
        }
        assert!(refusal_of_request(path, Some(3)).contains("channel 3 of 3"));
        assert!(refusal_of_request(path, None).contains("3 volumes"));
        assert!(read_labels(path).is_err());
    }
    let one = Recipe::new(&[4, 3, 2, 1, 1], 2, voxels.clone()).save(dir.path(), "one.nii");
    assert_eq!(read_volume(&one, None).expect("squeezed").shape, [4, 3, 2]);
    assert_eq!(info(&one).expect("info").shape, [4, 3, 2, 1, 1]);
    let fifth = Recipe::new(&[2, 2, 2, 1, 3], 2, voxels.clone()).save(dir.path(), "fifth.nii");
    assert_eq!(read_volume(&fifth, Some(2)).expect("vector").data[0], 16.0);
    let flat = Recipe::new(&[6, 4], 2, voxels).save(dir.path(), "flat.nii");
    assert_eq!(read_volume(&flat, None).expect("2D").shape, [6, 4, 1]);
}

fn refusal_of_request(path: &Path, channel: Option<usize>) -> String {
    read_volume(path, channel).expect_err("refused").to_string()
}

#[test]
fn forms_follow_section_7() {
    let dir = folder();
    let mut q = Recipe::new(&[1, 1, 2], 2, vec![0, 1]);
    q.sform_code = 0;
    q.qform_code = 1;
    q.pixdim = [-1.0, 1.0, 2.0, 3.0];
    q.qoffset = [-5.0, -6.0, 7.0];
    let head = read_header(&q.save(dir.path(), "q.nii")).expect("qform");
    assert_eq!(transform(&head.affine, [1.0; 3]), [-4.0, -4.0, 4.0]);
    assert_eq!(head.affine[2], [0.0, 0.0, -3.0, 7.0]);
    assert!(head.warnings.is_empty());

    // pixdim[0] = 0 counts as 1.
    q.pixdim[0] = 0.0;
    let head = read_header(&q.save(dir.path(), "q0.nii")).expect("qform");
    assert_eq!(head.affine[2], [0.0, 0.0, 3.0, 7.0]);

    // A turn by 90 degrees around z.
    q.quatern = [0.0, 0.0, 0.5_f64.sqrt()];
    let head = read_header(&q.save(dir.path(), "turn.nii")).expect("qform");
    let expected = from_quaternion(q.quatern, q.qoffset, [1.0, 2.0, 3.0], 1.0);
    for (row, want) in head.affine.iter().zip(expected) {
        for (x, y) in row.iter().zip(want) {
            assert!((x - y).abs() < 1e-6);
        }
    }
    assert_eq!(axis_codes(&head.affine).as_deref(), Some("ALS"));

    // A quaternion longer than 1 is brought back.
    q.quatern = [0.0, 0.0, 2.0];
    let head = read_header(&q.save(dir.path(), "long.nii")).expect("qform");
    assert_eq!(head.affine[0][..3], [-1.0, 0.0, 0.0]);
    assert!(
        head.warnings.iter().any(|w| w.contains("quatern")),
        "{:?}",
        head.warnings
    );

    // Both: sform wins, disagreement is told.
    q.sform_code = 2;
    let head = read_header(&q.save(dir.path(), "both.nii")).expect("sform");
    assert_eq!(head.affine[0], [-1.0, 0.0, 0.0, 10.0]);
    assert!(
        head.warnings.iter().any(|w| w.contains("disagree")),
        "{:?}",
        head.warnings
    );

    // Neither: diag(pixdim), bad sizes repaired, told.
    q.sform_code = 0;
    q.qform_code = 0;
    q.pixdim = [1.0, -2.0, 0.0, 3.0];
    let head = read_header(&q.save(dir.path(), "none.nii")).expect("pixdim");
    assert_eq!(head.spacing, [2.0, 1.0, 3.0]);
    assert_eq!(head.affine[0], [2.0, 0.0, 0.0, 0.0]);
    assert_eq!(head.warnings.len(), 3, "{:?}", head.warnings);

    // An unknown code counts as none.
    q.sform_code = 77;
    let head = read_header(&q.save(dir.path(), "code.nii")).expect("pixdim");
    assert_eq!(head.affine[0], [2.0, 0.0, 0.0, 0.0]);

    // sform with NaN in the qform: used, told.
    q.sform_code = 1;
    q.qform_code = 1;
    q.quatern[0] = f64::NAN;
    let head = read_header(&q.save(dir.path(), "nan.nii")).expect("sform");
    assert_eq!(head.affine[0], [-1.0, 0.0, 0.0, 10.0]);
}

#[test]
fn scaling_that_is_none_is_none() {
    let dir = folder();
    for slope in [0.0, f64::NAN, f64::INFINITY] {
        let mut r = Recipe::new(&[2, 1, 1], 2, vec![3, 4]);
        r.slope = slope;
        r.inter = f64::NAN;
        let path = r.save(dir.path(), "plain.nii");
        assert_eq!(read_volume(&path, None).expect("read").data, [3.0, 4.0]);
        assert_eq!(read_labels(&path).expect("labels").data, [3, 4]);
    }
}

#[test]
fn bad_headers_are_refused_in_one_line_that_names_the_field() {
    let dir = folder();
    let good = || Recipe::new(&[2, 3, 4], 4, vec![0; 48]);
    type Spoil = fn(&mut Recipe);
    let cases: [(&str, &str, Spoil); 20] = [
        ("negative", "dim[2]", |r| r.dim[1] = -3),
        ("zero", "dim[3]", |r| r.dim[2] = 0),
        ("noaxes", "dim[0]", |r| r.dim.clear()),
        ("eight", "dim[0]", |r| r.dim = vec![1; 8]),
        ("larger", "voxels", |r| r.dim = vec![20, 30, 40]),
        ("huge", "dim", |r| r.dim = vec![32767; 7]),
        ("rgb", "datatype", |r| r.code = 128),
        ("rgba", "datatype", |r| r.code = 2304),
        ("complex", "datatype", |r| r.code = 32),
        ("quad", "datatype", |r| r.code = 1536),
        ("bits", "datatype", |r| r.code = 1),
        ("unknown", "datatype", |r| r.code = 7),
        ("inside", "vox_offset", |r| r.offset = 100.0),
        ("beyond", "voxels", |r| r.offset = 1e9),
        ("nan", "vox_offset", |r| r.offset = f64::NAN),
        ("before", "vox_offset", |r| r.offset = -352.0),
        ("inter", "scl_inter", |r| r.inter = f64::NAN),
        ("flat", "srow", |r| r.srow[1] = r.srow[0]),
        ("srow", "srow", |r| r.srow[1][1] = f64::NAN),
        ("short", "voxels", |r| r.voxels.truncate(47)),
    ];
    for (name, field, spoil) in cases {
        let mut recipe = good();
        spoil(&mut recipe);
        let plain = recipe.save(dir.path(), &format!("{name}.nii"));
        let line = refusal(&plain);
        assert!(line.contains(&format!(": {field}: ")), "{name}: {line}");
        let packed = dir.path().join(format!("{name}.nii.gz"));
        fs::write(&packed, gzip(&recipe.bytes())).expect("write");
        let line = refusal(&packed);
        assert!(
            line.contains(&format!(": {field}: ")),
            "{name} packed: {line}"
        );
    }

    let mut second = good();
    second.version = 2;
    second.offset = 544.0;
    second.dim = vec![1 << 40, 1 << 40, 4];
    assert!(refusal(&second.save(dir.path(), "wide.nii")).contains(": dim: "));
    second.dim = vec![i64::MAX; 7];
    assert!(refusal(&second.save(dir.path(), "max.nii")).contains(": dim: "));
}

#[test]
fn files_that_are_no_volumes_are_refused() {
    let dir = folder();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("write");
        path
    };
    assert!(refusal(&write("empty.nii", b"")).contains("sizeof_hdr"));
    assert!(refusal(&write("text.nii", b"hello, this is no volume")).contains("sizeof_hdr"));
    let good = Recipe::new(&[2, 3, 4], 4, vec![0; 48]).bytes();
    assert!(refusal(&write("cut.nii", &good[..200])).contains("ends after 200 bytes"));
    let mut analyze = good.clone();
    analyze[344..348].fill(0);
    assert!(refusal(&write("analyze.nii", &analyze)).contains("magic"));
    let mut pair = good.clone();
    pair[344..348].copy_from_slice(b"ni1\0");
    assert!(refusal(&write("pair.nii", &pair)).contains("magic"));
    assert!(refusal(&write("single.hdr", &good)).contains("magic"));
    assert!(refusal(&write("lonely.hdr", &pair)).contains("lonely.img"));
    assert!(refusal(dir.path()).contains("not a regular file"));
    assert!(refusal(&dir.path().join("absent.nii")).contains("absent.nii"));

    // Noise, so that the cut falls into the voxels.
    let noise: Vec<u8> = (0..4096).map(|i| amlp_run::random::mix(i) as u8).collect();
    let packed = gzip(&Recipe::new(&[16, 16, 16], 2, noise).bytes());
    assert!(refusal(&write("cut.nii.gz", &packed[..packed.len() - 12])).contains("voxels"));
    let mut corrupt = packed.clone();
    let at = corrupt.len() - 6;
    corrupt[at] ^= 0xff;
    assert!(refusal(&write("crc.nii.gz", &corrupt)).contains("corrupt"));
}

#[test]
fn a_bomb_costs_no_more_than_its_header_asks_for() {
    let dir = folder();
    // 64 MiB of zeros in 64 KiB; the header asks for 24 voxels.
    let small = Recipe::new(&[2, 3, 4], 2, vec![0; 1 << 26]);
    let path = dir.path().join("bomb.nii.gz");
    fs::write(&path, gzip(&small.bytes())).expect("write");
    let volume = read_volume(&path, None).expect("the volume is there");
    assert!(volume.data.len() == 24 && volume.data.capacity() < 1 << 21);

    // The header asks for more than the file can unpack to.
    let lying = Recipe::new(&[30000, 30000, 100], 2, vec![0; 1000]);
    let path = dir.path().join("lying.nii.gz");
    fs::write(&path, gzip(&lying.bytes())).expect("write");
    assert!(refusal(&path).contains("more than this file can unpack to"));
}

#[test]
fn labels_are_whole_numbers_of_one_byte() {
    let dir = folder();
    let float = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let save = |name: &str, values: &[f32]| {
        Recipe::new(&[values.len() as i64, 1, 1], 16, float(values)).save(dir.path(), name)
    };
    let near = save("near.nii", &[0.0, 0.9995, 4.0004, 255.0]);
    assert_eq!(read_labels(&near).expect("labels").data, [0, 1, 4, 255]);
    for (name, bad) in [
        ("half.nii", 0.5),
        ("off.nii", 1.002),
        ("minus.nii", -1.0),
        ("large.nii", 256.0),
        ("nan.nii", f32::NAN),
        ("inf.nii", f32::INFINITY),
    ] {
        let line = read_labels(&save(name, &[0.0, bad]))
            .expect_err("refused")
            .to_string();
        assert!(line.contains(name) && line.contains("no label"), "{line}");
    }
    let mut scaled = Recipe::new(&[2, 1, 1], 2, vec![0, 1]);
    scaled.slope = 2.0;
    let line = read_labels(&scaled.save(dir.path(), "scaled.nii"))
        .expect_err("refused")
        .to_string();
    assert!(line.contains("scl_slope"), "{line}");
}

#[test]
fn info_speaks_json() {
    let dir = folder();
    let recipe = Recipe::new(&[2, 3, 1], 2, vec![0, 0, 1, 4, 4, 4]);
    let path = recipe.save(dir.path(), "labels.nii");
    let json = serde_json::to_value(info(&path).expect("info")).expect("json");
    assert_eq!(
        json,
        serde_json::json!({
            "shape": [2, 3, 1],
            "spacing": [1.0, 2.0, 3.0],
            "affine": [[-1.0, 0.0, 0.0, 10.0], [0.0, -2.0, 0.0, 20.0], [0.0, 0.0, 3.0, 30.0]],
            "dtype": "uint8",
            "orientation": "LPS",
            "min": 0.0, "max": 4.0, "mean": 13.0 / 6.0,
            "labels": {"0": 2, "1": 1, "4": 3},
        })
    );
    let values = [f32::NAN, 1.5, -2.5, f32::NEG_INFINITY];
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = Recipe::new(&[4, 1, 1], 16, bytes).save(dir.path(), "nan.nii");
    let json = serde_json::to_value(info(&path).expect("info")).expect("json");
    assert_eq!(json["nonfinite"], 2);
    assert_eq!((&json["min"], &json["max"]), (&(-2.5).into(), &1.5.into()));
    assert_eq!(json["mean"], -0.5);
    assert!(json.get("labels").is_none());
    let bytes: Vec<u8> = [f32::NAN; 2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = Recipe::new(&[2, 1, 1], 16, bytes).save(dir.path(), "all.nii");
    let json = serde_json::to_value(info(&path).expect("info")).expect("json");
    assert!(json["min"].is_null() && json["max"].is_null() && json["mean"].is_null());
    // 257 distinct values are no labels, 256 are.
    for (n, labelled) in [(256, true), (257, false)] {
        let bytes: Vec<u8> = (0..n).flat_map(|v: i16| v.to_le_bytes()).collect();
        let path = Recipe::new(&[i64::from(n), 1, 1], 4, bytes).save(dir.path(), "many.nii");
        assert_eq!(info(&path).expect("info").labels.is_some(), labelled);
    }
}

#[test]
fn written_files_keep_the_grid_and_repeat_bit_for_bit() {
    let dir = folder();
    let mut sources = Vec::new();
    for (qform, sform) in [(0, 1), (1, 0), (1, 4), (0, 0)] {
        let mut r = Recipe::new(&[2, 3, 4, 1], 4, vec![0; 48]);
        r.qform_code = qform;
        r.sform_code = sform;
        r.qoffset = [10.0, 20.0, 30.0];
        // Half a turn around z: x and y reversed, as in the sform.
        r.quatern = [0.0, 0.0, 1.0];
        sources.push(r.save(dir.path(), &format!("s{qform}{sform}.nii")));
    }
    for source in &sources {
        let like = read_header(source).expect("source");
        let labels = LabelVolume {
            data: (0..24).collect(),
            shape: [2, 3, 4],
            affine: like.affine,
        };
        for name in ["a.b.nii", "a.b.nii.gz"] {
            let path = dir.path().join(name);
            write_labels(&path, &labels, &like).expect("write");
            let first = fs::read(&path).expect("read");
            write_labels(&path, &labels, &like).expect("write");
            assert_eq!(first, fs::read(&path).expect("read"));
            let back = read_labels(&path).expect("back");
            assert_eq!(back, labels);
            let head = read_header(&path).expect("header");
            assert_eq!(head.dtype, ScalarType::Uint8);
            assert!(head.warnings.is_empty(), "{:?}", head.warnings);
            assert!(head.carried.sform_code > 0 && head.carried.qform_code > 0);
            if like.carried.qform_code > 0 {
                assert_eq!(head.carried.qform_code, like.carried.qform_code);
            }
        }
        let volume = Volume {
            data: (0..24).map(|v| v as f32 * 0.3 - 3.0).collect(),
            shape: [2, 3, 4],
            affine: like.affine,
        };
        let path = dir.path().join("image.nii.gz");
        write_volume(&path, &volume, VoxelFormat::Float32, &like).expect("write");
        assert_eq!(read_volume(&path, None).expect("back").data, volume.data);
        write_volume(&path, &volume, VoxelFormat::Int16, &like).expect("write");
        let rounded: Vec<f32> = volume.data.iter().map(|v| v.round()).collect();
        assert_eq!(read_volume(&path, None).expect("back").data, rounded);
    }
    let like = read_header(&sources[0]).expect("source");
    let volume = Volume {
        data: vec![1e6; 24],
        shape: [2, 3, 4],
        affine: like.affine,
    };
    let out = dir.path().join("bad.nii");
    assert!(write_volume(&out, &volume, VoxelFormat::Int16, &like).is_err());
    let other = Volume {
        shape: [4, 3, 2],
        ..volume.clone()
    };
    assert!(write_volume(&out, &other, VoxelFormat::Float32, &like).is_err());
    assert!(!out.exists());
    let named = dir.path().join("bad.img");
    assert!(write_volume(&named, &volume, VoxelFormat::Float32, &like).is_err());
    let left: Vec<_> = fs::read_dir(dir.path())
        .expect("list")
        .filter_map(|e| e.expect("entry").file_name().into_string().ok())
        .filter(|n| n.starts_with(".volume-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_real_volumes_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folders = ["msd-hippocampus/imagesTr", "sts-petct/STS_003"];
    if !folders.iter().all(|f| root.join(f).is_dir()) {
        println!("skipped: no {}", root.display());
        return;
    }
    let label = root.join("msd-hippocampus/labelsTr/hippocampus_001.nii.gz");
    let values = info(&label).expect("label").labels.expect("labels");
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    let ct = info(&root.join("sts-petct/STS_003/CT_image.nii.gz")).expect("CT");
    assert_eq!(ct.shape, [154, 158, 51]);
    assert_eq!(ct.orientation, "LPS");
    assert!((ct.spacing[0] - 0.976_562).abs() < 1e-5 && (ct.spacing[2] - 3.27).abs() < 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands in the header: an answer or an error, no panic, and no more memory than a
    /// small multiple of the file.
    #[test]
    fn spoiled_headers_never_panic(
        spoils in proptest::collection::vec((0_usize..620, any::<u8>()), 1..12),
        fields in proptest::collection::vec((0_usize..90, prop_oneof![
            Just(0_u32), Just(u32::MAX), Just(0x7fc0_0000), Just(0x7f80_0000), Just(0x8000_0000),
            Just(0x7fff_7fff), Just(0x0001_0001), any::<u32>()
        ]), 0..4),
        version in 1_u8..=2,
        packed in any::<bool>(),
        cut in 0_usize..64,
    ) {
        let mut recipe = Recipe::new(&[3, 3, 3], 4, vec![1; 54]);
        recipe.version = version;
        recipe.offset = if version == 1 { 352.0 } else { 544.0 };
        let mut bytes = recipe.bytes();
        for (at, value) in spoils {
            // The first four bytes stay: otherwise nearly every case ends there.
            if (4..bytes.len()).contains(&at) {
                bytes[at] = value;
            }
        }
        for (field, value) in fields {
            let at = 4 * field + 8;
            if at + 4 <= bytes.len() {
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes.truncate(bytes.len() - cut / 16);
        let dir = folder();
        let content = if packed { gzip(&bytes) } else { bytes };
        let path = dir.path().join(if packed { "x.nii.gz" } else { "x.nii" });
        fs::write(&path, &content).expect("write");
        let _ = info(&path);
        for channel in [None, Some(0), Some(1)] {
            if let Ok(volume) = read_volume(&path, channel) {
                prop_assert_eq!(volume.data.len(), volume.shape.iter().product::<usize>());
                prop_assert!(volume.data.len() <= 1100 * content.len());
                let _ = axis_codes(&volume.affine);
            }
        }
        if let Ok(labels) = read_labels(&path) {
            let like = read_header(&path).expect("header");
            let _ = write_labels(&dir.path().join("y.nii"), &labels, &like);
        }
    }

    /// The same for the gzip stream around it.
    #[test]
    fn spoiled_gzip_never_panics(
        spoils in proptest::collection::vec((0_usize..200, any::<u8>()), 1..6),
    ) {
        let mut bytes = gzip(&Recipe::new(&[3, 3, 3], 4, vec![1; 54]).bytes());
        for (at, value) in spoils {
            if at < bytes.len() {
                bytes[at] = value;
            }
        }
        let dir = folder();
        let path = dir.path().join("x.nii.gz");
        fs::write(&path, bytes).expect("write");
        let _ = read_volume(&path, None);
        let _ = info(&path);
    }
}
