//! Any task of the Medical Segmentation Decathlon, 3D or 4D, by its `dataset.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::error::LayoutError;
use super::listing::{Folder, join, on_disk};
use super::names::{file_name, stem};
use super::problem::{Problem, ProblemKind};
use super::registry::Layout;
use super::scan::{Findings, Scan, kind_of, regions_and_values};
use crate::data::case::{Case, ImageFile};
use crate::options::LayoutOptions;

/// See the module.
pub(super) const LAYOUT: Layout = Layout {
    name: "msd",
    doc: "any task of the Medical Segmentation Decathlon, 3D or 4D, with its dataset.json",
    expects: "dataset.json, imagesTr/ and labelsTr/ of one task (Task04_Hippocampus, ...)",
    obtain: "download a task from http://medicaldecathlon.com and unpack it",
    modalities: &[],
    one_grid: true,
    takes_patterns: false,
    scan,
};

const DESCRIPTION: &str = "dataset.json";

#[derive(Deserialize)]
struct Description {
    modality: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    training: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    image: String,
    label: String,
}

fn scan(root: &Path, options: &LayoutOptions) -> Result<Scan, LayoutError> {
    let top = Folder::read(root)?;
    if !top.has_file(DESCRIPTION) {
        let mut below = Vec::new();
        for folder in &top.folders {
            if root.join(folder).join(DESCRIPTION).is_file() {
                below.push(folder.as_str());
            }
        }
        let found = if below.is_empty() {
            "no dataset.json".to_owned()
        } else {
            format!(
                "no dataset.json, but one in {}: give that folder",
                below.join(", ")
            )
        };
        return Err(LAYOUT.not_this(root, found));
    }
    let path = root.join(DESCRIPTION);
    let invalid = |reason: String| LayoutError::Metadata {
        path: path.clone(),
        reason,
    };
    let text = std::fs::read(&path).map_err(|source| LayoutError::Read {
        path: path.clone(),
        source,
    })?;
    let description: Description = serde_json::from_slice(&text).map_err(|error| {
        invalid(format!(
            "{error} (modality, labels and training are needed)"
        ))
    })?;
    let modalities =
        numbered(&description.modality).map_err(|r| invalid(format!("modality: {r}")))?;
    let labels = numbered(&description.labels).map_err(|r| invalid(format!("labels: {r}")))?;
    if modalities.is_empty() || modalities.keys().copied().ne(0..modalities.len()) {
        return Err(invalid(
            "modality: the channels must be numbered 0, 1, 2, ...".to_owned(),
        ));
    }
    let names: BTreeSet<&str> = modalities.values().copied().collect();
    if names.len() != modalities.len() {
        return Err(invalid(
            "modality: two channels have the same name".to_owned(),
        ));
    }
    if let Some(name) = options
        .kinds
        .keys()
        .find(|name| !names.contains(name.as_str()))
    {
        return Err(LayoutError::Option {
            layout: LAYOUT.name,
            option: format!("kinds.{name}"),
            reason: format!("no such modality; the data set has {}", join_names(&names)),
        });
    }
    let mut values = Vec::new();
    for &value in labels.keys() {
        let value = u8::try_from(value)
            .map_err(|_| invalid(format!("labels: value {value} is above 255")))?;
        values.push(value);
    }
    let own: Vec<(&str, [u8; 1])> = values
        .iter()
        .zip(labels.values())
        .filter(|&(&value, _)| value > 0)
        .map(|(&value, &name)| (name, [value]))
        .collect();
    let own: Vec<(&str, &[u8])> = own.iter().map(|(name, v)| (*name, v.as_slice())).collect();

    let mut findings = Findings::default();
    let mut listed = BTreeSet::new();
    let mut task = Task {
        root,
        modalities: &modalities,
        options,
        folders: BTreeMap::new(),
    };
    for entry in &description.training {
        task.scan_entry(entry, &mut listed, &mut findings)?;
    }
    report_unlisted(root, &listed, &mut findings.problems)?;
    let (regions, values) = regions_and_values(&own, &values, options);
    Ok(findings.finish(regions, values))
}

fn join_names(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The values of a map with numbers as keys, by number.
fn numbered(map: &BTreeMap<String, String>) -> Result<BTreeMap<usize, &str>, String> {
    map.iter()
        .map(|(key, name)| {
            let number = key
                .parse()
                .map_err(|_| format!("'{key}' is not a number (\"0\": \"background\", ...)"))?;
            Ok((number, name.as_str()))
        })
        .collect()
}

/// A path of the description below the root; `None` where it leads out of it.
fn below_root(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    if text.starts_with('/') {
        return None;
    }
    for part in text.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

struct Task<'a> {
    root: &'a Path,
    modalities: &'a BTreeMap<usize, &'a str>,
    options: &'a LayoutOptions,
    /// Folders listed so far: a look-up per entry would cost a call to the system each.
    folders: BTreeMap<String, Folder>,
}

impl Task<'_> {
    fn exists(&mut self, path: &str) -> Result<bool, LayoutError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !self.folders.contains_key(folder) {
            let on_disk = on_disk(self.root, folder);
            let listing = if on_disk.is_dir() {
                Folder::read(&on_disk)?
            } else {
                Folder::default()
            };
            self.folders.insert(folder.to_owned(), listing);
        }
        Ok(self.folders.get(folder).is_some_and(|f| f.has_file(name)))
    }

    fn scan_entry(
        &mut self,
        entry: &Entry,
        listed: &mut BTreeSet<String>,
        findings: &mut Findings,
    ) -> Result<(), LayoutError> {
        let (Some(image), Some(label)) = (below_root(&entry.image), below_root(&entry.label))
        else {
            findings.problems.push(Problem::error(
                ProblemKind::Metadata,
                None,
                DESCRIPTION,
                format!(
                    "'{}' or '{}' is not a path below the folder",
                    entry.image, entry.label
                ),
            ));
            return Ok(());
        };
        listed.extend([image.clone(), label.clone()]);
        let Some(id) = stem(file_name(&image)).map(str::to_owned) else {
            findings.problems.push(Problem::error(
                ProblemKind::Metadata,
                None,
                DESCRIPTION,
                format!("'{image}' is not a NIfTI file"),
            ));
            return Ok(());
        };
        if stem(file_name(&label)) != Some(&id) {
            findings.problems.push(Problem::warning(
                ProblemKind::Metadata,
                Some(&id),
                label.clone(),
                format!("listed as the label of '{image}', but named after another case"),
            ));
        }
        let has_image = self.exists(&image)?;
        let has_label = self.exists(&label)?;
        if !has_image {
            let kind = ProblemKind::MissingImage;
            let detail = format!("listed in {DESCRIPTION} but not there");
            findings
                .problems
                .push(Problem::error(kind, Some(&id), image.clone(), detail));
            if has_label {
                findings.problems.push(Problem::error(
                    ProblemKind::UnpairedLabel,
                    Some(&id),
                    label.clone(),
                    "a label file without its image",
                ));
            }
        }
        if !has_label {
            let kind = ProblemKind::MissingLabel;
            let detail = format!("listed in {DESCRIPTION} but not there");
            findings
                .problems
                .push(Problem::error(kind, Some(&id), label.clone(), detail));
        }
        if has_image && has_label {
            // One modality is a 3D file; several are the channels of a 4D file.
            let single = self.modalities.len() == 1;
            let images = self
                .modalities
                .iter()
                .map(|(&channel, &modality)| {
                    let file = ImageFile {
                        path: image.clone(),
                        channel: (!single).then_some(channel),
                        kind: kind_of(modality, self.options),
                    };
                    (modality.to_owned(), file)
                })
                .collect();
            findings.cases.push(Case {
                id,
                stratum: String::new(),
                images,
                label: Some(label),
                bbox: None,
            });
        }
        Ok(())
    }
}

/// Volumes in the training folders that the description does not list.
fn report_unlisted(
    root: &Path,
    listed: &BTreeSet<String>,
    problems: &mut Vec<Problem>,
) -> Result<(), LayoutError> {
    for here in ["imagesTr", "labelsTr"] {
        let path = root.join(here);
        if !path.is_dir() {
            continue;
        }
        let folder = Folder::read(&path)?;
        folder.report_unusable(here, problems);
        for file in folder.files.iter().filter(|file| stem(file).is_some()) {
            let path = join(here, file);
            if !listed.contains(&path) {
                problems.push(Problem::warning(
                    ProblemKind::Misplaced,
                    stem(file),
                    path,
                    format!("not listed in {DESCRIPTION}; it is not used"),
                ));
            }
        }
    }
    Ok(())
}
