//! `check data`: what is missing or broken on disk, by file.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::args::{CheckDataArgs, Format};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::session;
use crate::data::{check as data_check, layout};
use crate::manifest;
use crate::study::{self, Request, project_root};

pub(super) fn data(args: &CheckDataArgs) -> Result<ExitStatus, CliError> {
    let request = Request {
        profile: args.manifest.profile.clone(),
        set: args.manifest.set.clone(),
        roots: args.manifest.roots()?,
    };
    let root = project_root(&args.file);
    let mut sets = BTreeMap::new();
    let all = manifest::load_all(std::slice::from_ref(&args.file))?;
    for loaded in &all {
        let request = request.for_one_of(&all, loaded);
        sets.extend(study::resolve(loaded.clone(), &request)?.resolved.data);
    }
    let mut all = Vec::new();
    let mut broken = false;
    for (name, set) in &sets {
        if set.phantom.is_some() {
            continue;
        }
        let folder = session::data_root(name, set.root.as_deref(), &root);
        let report = layout::find(&set.layout)
            .and_then(|l| data_check::check_data(l, &folder, &set.files, &|_| {}));
        match report {
            Ok(report) => {
                broken |= report.errors() > 0;
                if args.format == Format::Text {
                    print_report(name, &report);
                }
                all.push(json!({ "data": name, "report": report }));
            }
            Err(error) => {
                broken = true;
                if args.format == Format::Text {
                    println!("{name}: {}", error.to_string().replace('\n', "\n  "));
                }
                all.push(json!({ "data": name, "error": error.to_string() }));
            }
        }
    }
    if args.format == Format::Json {
        println!("{}", json!({ "data": all }));
    } else if all.is_empty() {
        println!("every data set of this profile is made of phantoms: nothing to check");
    }
    Ok(if broken {
        ExitStatus::Data
    } else {
        ExitStatus::Done
    })
}

fn print_report(name: &str, report: &data_check::CheckReport) {
    println!("{name}: {} complete cases in {}", report.cases, report.root);
    let strata: Vec<String> = report
        .strata
        .iter()
        .filter(|(s, _)| !s.is_empty())
        .map(|(s, n)| format!("{s} {n}"))
        .collect();
    if !strata.is_empty() {
        println!("  strata: {}", strata.join(", "));
    }
    let values: Vec<String> = report
        .label_values
        .iter()
        .map(|(v, n)| format!("{v} in {n}"))
        .collect();
    if !values.is_empty() {
        println!("  label values: {} cases", values.join(", "));
    }
    if !report.without_lesion.is_empty() {
        println!("  without lesion: {}", report.without_lesion.join(", "));
    }
    for problem in &report.problems {
        println!("  {problem}");
    }
    println!(
        "  {} errors, {} warnings",
        report.errors(),
        report.warnings()
    );
}
