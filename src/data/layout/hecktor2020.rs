//! HECKTOR 2020 training data (`metrics-and-data.md` section 6.2).

use std::collections::BTreeMap;
use std::path::Path;

use super::error::LayoutError;
use super::listing::{Folder, join, on_disk};
use super::names::stem;
use super::problem::{Problem, ProblemKind};
use super::registry::Layout;
use super::scan::{Findings, Scan, kind_of, regions_and_values};
use crate::data::case::{Case, ImageFile};
use crate::options::LayoutOptions;

/// See the module.
pub(super) const LAYOUT: Layout = Layout {
    name: "hecktor2020",
    doc: "HECKTOR 2020 training data: CT and PET on their own grids, region GTVt, strata by centre",
    expects: "hecktor_nii/<case>_{ct,pt,ct_gtvt}.nii.gz, flat or in a folder per case, in \
              hecktor_nii or in the folder itself, and a bounding-box table whose name contains \
              'bbox' (hecktor2020_bbox_training.csv) there or one level up",
    obtain: "register at https://www.aicrowd.com/challenges/miccai-2020-hecktor and request the \
             training data and its bounding boxes",
    modalities: &["CT", "PET"],
    one_grid: false,
    takes_patterns: false,
    scan,
};

const IMAGE_FOLDER: &str = "hecktor_nii";
const REGIONS: [(&str, &[u8]); 1] = [("GTVt", &[1])];

/// Suffix of a file name, the longest first: `_ct` is a prefix of the mask's suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Mask,
    Ct,
    Pet,
}

const SUFFIXES: [(&str, Role); 3] = [
    ("_ct_gtvt", Role::Mask),
    ("_ct", Role::Ct),
    ("_pt", Role::Pet),
];

type Boxes = BTreeMap<String, [f64; 6]>;

fn scan(root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
    let top = Folder::read(root)?;
    let (base, folder) = if top.has_folder(IMAGE_FOLDER) {
        let inner = Folder::read(&root.join(IMAGE_FOLDER))?;
        (IMAGE_FOLDER.to_owned(), inner)
    } else {
        (String::new(), top.clone())
    };
    let mut findings = Findings::default();
    let files = collect(root, &base, &folder, &mut findings.problems)?;
    if files.is_empty() {
        return Err(LAYOUT.not_this(root, "no <case>_ct, <case>_pt or <case>_ct_gtvt volume"));
    }
    let boxes = read_boxes(root, &base, &top, &folder, &mut findings.problems)?;
    for (id, by_role) in &files {
        scan_case(&base, id, by_role, &boxes, options, &mut findings);
    }
    let (regions, values) = regions_and_values(&REGIONS, &[0, 1], options);
    Ok(findings.finish(regions, values))
}

/// Files by case and role, from the image folder and the case folders below it.
fn collect(
    root: &Path,
    base: &str,
    folder: &Folder,
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<String, BTreeMap<Role, String>>, LayoutError> {
    let mut files: BTreeMap<String, BTreeMap<Role, String>> = BTreeMap::new();
    let mut add =
        |here: &str, folder: &Folder, owner: Option<&str>, problems: &mut Vec<Problem>| {
            folder.report_unusable(here, problems);
            for file in &folder.files {
                let Some(name) = stem(file) else { continue };
                let path = join(here, file);
                let Some((id, role)) = role_of(name) else {
                    problems.push(Problem::error(
                        ProblemKind::Misplaced,
                        owner,
                        path,
                        "not a CT (_ct), PET (_pt) or mask (_ct_gtvt) of this layout",
                    ));
                    continue;
                };
                if let Some(owner) = owner.filter(|&owner| owner != id) {
                    problems.push(Problem::error(
                        ProblemKind::Misplaced,
                        Some(id),
                        path,
                        format!("a file of case '{id}' in the folder of '{owner}'"),
                    ));
                    continue;
                }
                let roles = files.entry(id.to_owned()).or_default();
                if let Some(first) = roles.insert(role, path.clone()) {
                    problems.push(Problem::warning(
                        ProblemKind::DuplicateFile,
                        Some(id),
                        first,
                        format!("'{path}' is there too and is used"),
                    ));
                }
            }
        };
    add(base, folder, None, problems);
    for name in &folder.folders {
        let here = join(base, name);
        let inner = Folder::read(&on_disk(root, &here))?;
        // Folders that hold no file of this layout (masks of another task, notes) say nothing.
        let ours = inner
            .files
            .iter()
            .filter_map(|file| stem(file))
            .any(|name| role_of(name).is_some());
        if ours {
            add(&here, &inner, Some(name), problems);
        }
    }
    Ok(files)
}

fn role_of(stem: &str) -> Option<(&str, Role)> {
    SUFFIXES
        .iter()
        .find_map(|&(suffix, role)| Some((stem.strip_suffix(suffix)?, role)))
        .filter(|(id, _)| !id.is_empty())
}

fn scan_case(
    base: &str,
    id: &str,
    by_role: &BTreeMap<Role, String>,
    boxes: &Boxes,
    options: &LayoutOptions,
    findings: &mut Findings,
) {
    let expected = |suffix: &str| join(base, &format!("{id}{suffix}.nii.gz"));
    let mut images = BTreeMap::new();
    for (modality, role, suffix) in [("CT", Role::Ct, "_ct"), ("PET", Role::Pet, "_pt")] {
        if let Some(path) = by_role.get(&role) {
            let image = ImageFile {
                path: path.clone(),
                channel: None,
                kind: kind_of(modality, options),
            };
            images.insert(modality.to_owned(), image);
        } else {
            findings.problems.push(Problem::error(
                ProblemKind::MissingImage,
                Some(id),
                expected(suffix),
                format!("no {modality} image of case '{id}'"),
            ));
        }
    }
    let label = by_role.get(&Role::Mask);
    match label {
        None => findings.problems.push(Problem::error(
            ProblemKind::MissingLabel,
            Some(id),
            expected("_ct_gtvt"),
            format!("no mask of case '{id}'"),
        )),
        Some(path) if images.is_empty() => findings.problems.push(Problem::error(
            ProblemKind::UnpairedLabel,
            Some(id),
            path.clone(),
            "a mask without any image",
        )),
        Some(_) => {}
    }
    let bbox = boxes.get(id);
    if bbox.is_none() {
        let path = images.values().next().map(|image| image.path.clone());
        findings.problems.push(Problem::error(
            ProblemKind::MissingBox,
            Some(id),
            path.unwrap_or_else(|| expected("_ct")),
            format!("no bounding box of case '{id}'"),
        ));
    }
    if let (2, Some(label), Some(bbox)) = (images.len(), label, bbox) {
        findings.cases.push(Case {
            id: id.to_owned(),
            stratum: centre_of(id),
            images,
            label: Some(label.clone()),
            bbox: Some(*bbox),
        });
    }
}

/// The letters at the start: `CHUM` of `CHUM044`.
fn centre_of(id: &str) -> String {
    id.chars().take_while(char::is_ascii_alphabetic).collect()
}

/// Boxes of every table named `*bbox*.csv` in the root and the image folder; where none is there,
/// of those one level above the root.
fn read_boxes(
    root: &Path,
    base: &str,
    top: &Folder,
    images: &Folder,
    problems: &mut Vec<Problem>,
) -> Result<Boxes, LayoutError> {
    let tables_in = |here: &str, folder: &Folder| -> Vec<String> {
        let files = folder.files.iter().filter(|file| is_box_table(file));
        files.map(|file| join(here, file)).collect()
    };
    let mut tables = tables_in("", top);
    if !base.is_empty() {
        tables.extend(tables_in(base, images));
    }
    if tables.is_empty() {
        // `..` of a relative root such as `.` is what the user means by one level up.
        if let Ok(above) = Folder::read(&root.join("..")) {
            tables = tables_in("..", &above);
        }
    }
    if tables.is_empty() {
        return Err(LAYOUT.not_this(
            root,
            "no bounding-box table (*bbox*.csv) there or one level up",
        ));
    }
    let mut boxes = Boxes::new();
    for table in &tables {
        read_table(root, table, &mut boxes, problems)?;
    }
    Ok(boxes)
}

fn is_box_table(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.contains("bbox") && lower.ends_with(".csv")
}

fn read_table(
    root: &Path,
    table: &str,
    boxes: &mut Boxes,
    problems: &mut Vec<Problem>,
) -> Result<(), LayoutError> {
    const COLUMNS: [&str; 6] = ["x1", "x2", "y1", "y2", "z1", "z2"];
    let path = on_disk(root, table);
    let invalid = |reason: String| LayoutError::Metadata {
        path: path.clone(),
        reason,
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_path(&path)
        .map_err(|error| invalid(error.to_string()))?;
    let headers = reader
        .headers()
        .map_err(|error| invalid(error.to_string()))?
        .clone();
    let column = |name: &str| {
        headers
            .iter()
            .position(|header| header.trim_start_matches('\u{feff}') == name)
            .ok_or_else(|| {
                invalid(format!(
                    "no column '{name}' (PatientID,x1,x2,y1,y2,z1,z2 are expected)"
                ))
            })
    };
    let id_column = column("PatientID")?;
    let mut columns = [0; 6];
    for (slot, name) in columns.iter_mut().zip(COLUMNS) {
        *slot = column(name)?;
    }
    for (row, record) in reader.records().enumerate() {
        let line = row + 2;
        let record = record.map_err(|error| invalid(error.to_string()))?;
        let id = record.get(id_column).unwrap_or_default();
        let mut wrong = |detail: String| {
            let case = (!id.is_empty()).then_some(id);
            problems.push(Problem::error(ProblemKind::Metadata, case, table, detail));
        };
        let mut bbox = [0.0; 6];
        let mut valid = !id.is_empty();
        for ((value, &at), name) in bbox.iter_mut().zip(&columns).zip(COLUMNS) {
            match record.get(at).unwrap_or_default().parse::<f64>() {
                Ok(number) if number.is_finite() => *value = number,
                _ => {
                    wrong(format!("line {line}: {name} is not a number"));
                    valid = false;
                }
            }
        }
        if valid && (0..3).any(|axis| bbox[2 * axis + 1] <= bbox[2 * axis]) {
            wrong(format!("line {line}: the box is empty along an axis"));
            valid = false;
        }
        if !valid {
            continue;
        }
        if let Some(first) = boxes.insert(id.to_owned(), bbox)
            && first != bbox
        {
            wrong(format!("line {line}: another box of '{id}' came before"));
            boxes.insert(id.to_owned(), first);
        }
    }
    Ok(())
}
