//! BraTS 2018 training data (`metrics-and-data.md` section 6.1).

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
    name: "brats2018",
    doc: "BraTS 2018 training data: four MR contrasts, regions WT, TC and ET, strata HGG and LGG",
    expects: "{HGG,LGG}/<case>/<case>_{flair,t1,t1ce,t2,seg}.nii.gz (or .nii), in the folder \
              itself or in MICCAI_BraTS_2018_Data_Training below it",
    obtain: "register at https://www.med.upenn.edu/sbia/brats2018/registration.html and request \
             MICCAI_BraTS_2018_Data_Training",
    modalities: &["FLAIR", "T1", "T1CE", "T2"],
    one_grid: true,
    takes_patterns: false,
    scan,
};

const GRADES: [&str; 2] = ["HGG", "LGG"];
const CONTAINER: &str = "MICCAI_BraTS_2018_Data_Training";
/// Modality and its suffix on disk.
const CONTRASTS: [(&str, &str); 4] = [
    ("FLAIR", "flair"),
    ("T1", "t1"),
    ("T1CE", "t1ce"),
    ("T2", "t2"),
];
const LABEL_SUFFIX: &str = "seg";
/// Section 5: 1 necrosis and non-enhancing core, 2 oedema, 4 enhancing tumour.
const REGIONS: [(&str, &[u8]); 3] = [("WT", &[1, 2, 4]), ("TC", &[1, 4]), ("ET", &[4])];
const LABEL_VALUES: [u8; 4] = [0, 1, 2, 4];

fn scan(root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
    let (base, top) = find_base(root)?;
    let mut findings = Findings::default();
    top.report_unusable(&base, &mut findings.problems);
    report_strays(&top, &base, &mut findings.problems);
    for name in &top.folders {
        if !GRADES.contains(&name.as_str()) && name.starts_with("Brats18_") {
            findings.problems.push(Problem::error(
                ProblemKind::Misplaced,
                Some(name),
                join(&base, name),
                "a case folder belongs into HGG or LGG, which is its stratum",
            ));
        }
    }
    for grade in GRADES.into_iter().filter(|grade| top.has_folder(grade)) {
        let here = join(&base, grade);
        let folder = Folder::read(&on_disk(root, &here))?;
        folder.report_unusable(&here, &mut findings.problems);
        report_strays(&folder, &here, &mut findings.problems);
        for id in &folder.folders {
            scan_case(root, &here, grade, id, options, &mut findings)?;
        }
    }
    let (regions, values) = regions_and_values(&REGIONS, &LABEL_VALUES, options);
    Ok(findings.finish(regions, values))
}

/// The folder that holds HGG and LGG, below the root.
fn find_base(root: &Path) -> Result<(String, Folder), LayoutError> {
    let is_base = |folder: &Folder| GRADES.iter().any(|grade| folder.has_folder(grade));
    let top = Folder::read(root)?;
    if is_base(&top) {
        return Ok((String::new(), top));
    }
    if top.has_folder(CONTAINER) {
        let inner = Folder::read(&root.join(CONTAINER))?;
        if is_base(&inner) {
            return Ok((CONTAINER.to_owned(), inner));
        }
    }
    Err(LAYOUT.not_this(root, "neither HGG nor LGG is there"))
}

/// Volumes that lie beside the case folders.
fn report_strays(folder: &Folder, here: &str, problems: &mut Vec<Problem>) {
    for file in folder.files.iter().filter(|file| stem(file).is_some()) {
        problems.push(Problem::error(
            ProblemKind::Misplaced,
            None,
            join(here, file),
            "a volume belongs into the folder of its case",
        ));
    }
}

fn scan_case(
    root: &Path,
    grade_path: &str,
    grade: &str,
    id: &str,
    options: &LayoutOptions,
    findings: &mut Findings,
) -> Result<(), LayoutError> {
    let here = join(grade_path, id);
    let folder = Folder::read(&on_disk(root, &here))?;
    folder.report_unusable(&here, &mut findings.problems);
    let mut by_suffix: BTreeMap<&str, &str> = BTreeMap::new();
    for file in &folder.files {
        let Some(name) = stem(file) else { continue };
        let suffix = name
            .strip_prefix(id)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|suffix| {
                *suffix == LABEL_SUFFIX || CONTRASTS.iter().any(|(_, known)| known == suffix)
            });
        match suffix {
            None => findings.problems.push(Problem::error(
                ProblemKind::Misplaced,
                Some(id),
                join(&here, file),
                format!("not a file of case '{id}' (flair, t1, t1ce, t2 or seg)"),
            )),
            // The files come in name order, so `.nii` is met before `.nii.gz`.
            Some(suffix) => {
                if let Some(first) = by_suffix.insert(suffix, file) {
                    findings.problems.push(Problem::warning(
                        ProblemKind::DuplicateFile,
                        Some(id),
                        join(&here, first),
                        format!("'{file}' is there too and is used"),
                    ));
                }
            }
        }
    }
    let expected = |suffix: &str| join(&here, &format!("{id}_{suffix}.nii.gz"));
    let mut images = BTreeMap::new();
    let mut complete = true;
    for (modality, suffix) in CONTRASTS {
        if let Some(file) = by_suffix.get(suffix) {
            let image = ImageFile {
                path: join(&here, file),
                channel: None,
                kind: kind_of(modality, options),
            };
            images.insert(modality.to_owned(), image);
        } else {
            complete = false;
            findings.problems.push(Problem::error(
                ProblemKind::MissingImage,
                Some(id),
                expected(suffix),
                format!("no {modality} image of case '{id}'"),
            ));
        }
    }
    match by_suffix.get(LABEL_SUFFIX) {
        Some(file) if complete => findings.cases.push(Case {
            id: id.to_owned(),
            stratum: grade.to_owned(),
            images,
            label: Some(join(&here, file)),
            bbox: None,
        }),
        Some(file) if images.is_empty() => findings.problems.push(Problem::error(
            ProblemKind::UnpairedLabel,
            Some(id),
            join(&here, file),
            "a label file without any image",
        )),
        Some(_) => {}
        None => findings.problems.push(Problem::error(
            ProblemKind::MissingLabel,
            Some(id),
            expected(LABEL_SUFFIX),
            format!("no label file of case '{id}'"),
        )),
    }
    Ok(())
}
