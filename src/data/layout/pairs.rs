//! Images and labels by file pattern, for data of no other layout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::LayoutError;
use super::listing::{Folder, join, on_disk};
use super::pattern::{Captures, Pattern};
use super::problem::{Problem, ProblemKind};
use super::registry::Layout;
use super::scan::{Findings, Scan, kind_of, regions_and_values};
use crate::data::case::{Case, ImageFile};
use crate::options::LayoutOptions;

/// See the module.
pub(super) const LAYOUT: Layout = Layout {
    name: "pairs",
    doc: "any data: an image file pattern per modality, a label file pattern and a table of regions",
    expects: "image and label files (NIfTI) that the patterns of the options 'images' and \
              'labels' match",
    obtain: "your own data; write images = { CT = \"*/CT_image.nii.gz\" }, \
             labels = \"*/mask.nii.gz\" and regions = { GTV = [1] } beside the root",
    modalities: &[],
    one_grid: false,
    takes_patterns: true,
    scan,
};

/// Files by case, of one pattern.
type Matches = BTreeMap<String, String>;

fn refuse(option: impl Into<String>, reason: impl Into<String>) -> LayoutError {
    LayoutError::Option {
        layout: LAYOUT.name,
        option: option.into(),
        reason: reason.into(),
    }
}

/// Checks the options that only this layout has.
pub(super) fn check_patterns(options: &LayoutOptions) -> Result<(), LayoutError> {
    if options.images.is_empty() {
        return Err(refuse(
            "images",
            "name at least one modality with its file pattern",
        ));
    }
    for (modality, pattern) in &options.images {
        let option = || format!("images.{modality}");
        if modality.is_empty() {
            return Err(refuse("images", "a modality needs a name"));
        }
        Pattern::parse(pattern).map_err(|reason| refuse(option(), reason))?;
    }
    if !options.labels.is_empty() {
        Pattern::parse(&options.labels).map_err(|reason| refuse("labels", reason))?;
        if options.regions.is_empty() {
            let reason = "labels need a table of regions, such as { lesion = [1] }";
            return Err(refuse("regions", reason));
        }
    }
    Ok(())
}

/// See [`Layout::scan`]; `options` hold patterns.
pub(super) fn scan(root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
    let mut findings = Findings::default();
    let mut reader = Reader {
        root,
        folders: BTreeMap::new(),
    };
    let mut images: BTreeMap<&str, (Pattern, Matches)> = BTreeMap::new();
    for (modality, text) in &options.images {
        let pattern =
            Pattern::parse(text).map_err(|reason| refuse(format!("images.{modality}"), reason))?;
        let matches = reader.find(&pattern, &mut findings.problems)?;
        images.insert(modality, (pattern, matches));
    }
    let labels = if options.labels.is_empty() {
        None
    } else {
        let pattern = Pattern::parse(&options.labels).map_err(|reason| refuse("labels", reason))?;
        let matches = reader.find(&pattern, &mut findings.problems)?;
        Some((pattern, matches))
    };
    let with_images: BTreeSet<&String> = images.values().flat_map(|(_, m)| m.keys()).collect();
    if with_images.is_empty() {
        let patterns: Vec<&str> = options.images.values().map(String::as_str).collect();
        let found = format!("no file matches {}", patterns.join(" or "));
        return Err(LAYOUT.not_this(root, found));
    }
    let strata = read_strata(root, options)?;
    report_shared_files(&images, labels.as_ref(), &mut findings.problems);
    for &id in &with_images {
        scan_case(
            id,
            &images,
            labels.as_ref(),
            strata.as_ref(),
            options,
            &mut findings,
        );
    }
    for (id, path) in labels.iter().flat_map(|(_, matches)| matches) {
        if !with_images.contains(id) {
            findings.problems.push(Problem::error(
                ProblemKind::UnpairedLabel,
                Some(id),
                path.clone(),
                "a label file without any image",
            ));
        }
    }
    let (regions, values) = regions_and_values(&[], &[0], options);
    Ok(findings.finish(regions, values))
}

fn scan_case(
    id: &str,
    images: &BTreeMap<&str, (Pattern, Matches)>,
    labels: Option<&(Pattern, Matches)>,
    strata: Option<&BTreeMap<String, String>>,
    options: &LayoutOptions,
    findings: &mut Findings,
) {
    let mut complete = true;
    let mut found = BTreeMap::new();
    for (&modality, (pattern, matches)) in images {
        if let Some(path) = matches.get(id) {
            let image = ImageFile {
                path: path.clone(),
                channel: None,
                kind: kind_of(modality, options),
            };
            found.insert(modality.to_owned(), image);
        } else {
            complete = false;
            findings.problems.push(Problem::error(
                ProblemKind::MissingImage,
                Some(id),
                pattern.expected(id),
                format!("no {modality} image of case '{id}'"),
            ));
        }
    }
    let mut label = None;
    if let Some((pattern, matches)) = labels {
        label = matches.get(id).cloned();
        if label.is_none() {
            complete = false;
            findings.problems.push(Problem::error(
                ProblemKind::MissingLabel,
                Some(id),
                pattern.expected(id),
                format!("no label file of case '{id}'"),
            ));
        }
    }
    let stratum = match strata {
        None => String::new(),
        Some(strata) => strata.get(id).cloned().unwrap_or_else(|| {
            findings.problems.push(Problem::warning(
                ProblemKind::Metadata,
                Some(id),
                options.strata.clone(),
                format!("case '{id}' has no line; its stratum is empty"),
            ));
            String::new()
        }),
    };
    if complete {
        findings.cases.push(Case {
            id: id.to_owned(),
            stratum,
            images: found,
            label,
            bbox: None,
        });
    }
}

/// A pattern such as `*_ct*` matches the mask too: a file must have one role.
fn report_shared_files(
    images: &BTreeMap<&str, (Pattern, Matches)>,
    labels: Option<&(Pattern, Matches)>,
    problems: &mut Vec<Problem>,
) {
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (&modality, (_, matches)) in images {
        for path in matches.values() {
            roles.entry(path).or_default().push(modality);
        }
    }
    for path in labels.iter().flat_map(|(_, matches)| matches.values()) {
        roles.entry(path).or_default().push("labels");
    }
    for (path, names) in roles.into_iter().filter(|(_, names)| names.len() > 1) {
        problems.push(Problem::error(
            ProblemKind::DuplicateFile,
            None,
            path,
            format!(
                "the patterns of {} match the same file",
                names.join(" and ")
            ),
        ));
    }
}

fn read_strata(
    root: &Path,
    options: &LayoutOptions,
) -> Result<Option<BTreeMap<String, String>>, LayoutError> {
    if options.strata.is_empty() {
        return Ok(None);
    }
    let path = on_disk(root, &options.strata);
    let invalid = |error: csv::Error| LayoutError::Metadata {
        path: path.clone(),
        reason: error.to_string(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(&path)
        .map_err(invalid)?;
    let mut strata = BTreeMap::new();
    for row in reader.deserialize() {
        let row: StratumRow = row.map_err(invalid)?;
        strata.insert(row.case, row.stratum);
    }
    Ok(Some(strata))
}

#[derive(serde::Deserialize)]
struct StratumRow {
    case: String,
    stratum: String,
}

/// Walks patterns; each folder is listed once.
struct Reader<'a> {
    root: &'a Path,
    folders: BTreeMap<String, Folder>,
}

impl Reader<'_> {
    fn find(
        &mut self,
        pattern: &Pattern,
        problems: &mut Vec<Problem>,
    ) -> Result<Matches, LayoutError> {
        let mut matches = Matches::new();
        let mut open = vec![(String::new(), Captures::default())];
        for depth in 0..pattern.depth() {
            let last = depth + 1 == pattern.depth();
            let mut next = Vec::new();
            for (here, captures) in &open {
                let folder = self.folder(here, problems)?;
                let names = if last { &folder.files } else { &folder.folders };
                for name in names {
                    if let Some(captures) = pattern.step(depth, name, captures) {
                        next.push((join(here, name), captures));
                    }
                }
            }
            open = next;
        }
        for (path, captures) in open {
            let id = captures.case_id();
            if id.is_empty() {
                let detail = "the wildcards of the pattern match no text to name the case by";
                problems.push(Problem::error(ProblemKind::Misplaced, None, path, detail));
                continue;
            }
            if let Some(first) = matches.get(&id) {
                problems.push(Problem::error(
                    ProblemKind::DuplicateFile,
                    Some(&id),
                    path,
                    format!("a second file for case '{id}'; '{first}' is used"),
                ));
            } else {
                matches.insert(id, path);
            }
        }
        Ok(matches)
    }

    fn folder(&mut self, here: &str, problems: &mut Vec<Problem>) -> Result<&Folder, LayoutError> {
        match self.folders.entry(here.to_owned()) {
            std::collections::btree_map::Entry::Occupied(held) => Ok(held.into_mut()),
            std::collections::btree_map::Entry::Vacant(slot) => {
                let folder = Folder::read(&on_disk(self.root, here))?;
                folder.report_unusable(here, problems);
                Ok(slot.insert(folder))
            }
        }
    }
}
