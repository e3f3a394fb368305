//! `list`: what the registries hold.

use serde_json::{Value, json};

use super::args::{Format, ListArgs, Listed};
use super::exit::{CliError, ExitStatus};

struct Entry {
    name: String,
    about: String,
    reference: String,
    /// What else JSON says.
    more: Value,
}

pub(super) fn list(args: &ListArgs) -> Result<ExitStatus, CliError> {
    let all = [
        Listed::Methods,
        Listed::Backbones,
        Listed::Clusterings,
        Listed::Data,
        Listed::Metrics,
        Listed::Measures,
    ];
    let wanted: Vec<Listed> = args.what.map_or_else(|| all.to_vec(), |w| vec![w]);
    if args.format == Format::Json {
        let mut object = serde_json::Map::new();
        for what in wanted {
            let items: Vec<Value> = entries(what)
                .into_iter()
                .map(|e| {
                    let mut item =
                        json!({ "name": e.name, "about": e.about, "reference": e.reference });
                    if let (Some(item), Value::Object(more)) = (item.as_object_mut(), e.more) {
                        item.extend(more);
                    }
                    item
                })
                .collect();
            object.insert(title(what).to_owned(), items.into());
        }
        println!("{}", Value::Object(object));
        return Ok(ExitStatus::Done);
    }
    for (i, what) in wanted.into_iter().enumerate() {
        if i > 0 {
            println!();
        }
        println!("{}", title(what));
        for e in entries(what) {
            println!("  {:<14} {}", e.name, e.about);
            let kind = match (e.more["family"].as_str(), e.more["year"].as_u64()) {
                (Some(family), Some(year)) => format!("{family}, {year}: "),
                _ => String::new(),
            };
            if !e.reference.is_empty() {
                println!("  {:<14} {kind}{}", "", e.reference);
            }
        }
    }
    Ok(ExitStatus::Done)
}

fn title(what: Listed) -> &'static str {
    match what {
        Listed::Methods => "methods",
        Listed::Backbones => "backbones",
        Listed::Clusterings => "clusterings",
        Listed::Data => "data",
        Listed::Metrics => "metrics",
        Listed::Measures => "measures",
    }
}

fn entry(name: &str, about: &str, reference: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        about: about.to_owned(),
        reference: reference.to_owned(),
        more: Value::Null,
    }
}

fn entries(what: Listed) -> Vec<Entry> {
    match what {
        Listed::Methods => crate::pretext::REGISTRY
            .iter()
            .map(|m| Entry {
                more: json!({ "family": m.family.name(), "year": m.year, "version": m.version }),
                ..entry(m.name, m.doc, m.paper)
            })
            .collect(),
        Listed::Backbones => crate::nn::backbone::REGISTRY
            .iter()
            .map(|b| entry(b.name, b.doc, b.reference))
            .collect(),
        Listed::Clusterings => crate::cluster::CLUSTERERS
            .iter()
            .map(|c| entry(c.name, c.doc, c.reference))
            .collect(),
        Listed::Data => crate::data::layout::LAYOUTS
            .iter()
            .map(|l| entry(l.name, l.doc, l.obtain))
            .collect(),
        Listed::Metrics => crate::metric::METRICS
            .iter()
            .map(|m| entry(m.name, m.doc, m.reference))
            .collect(),
        Listed::Measures => crate::measure::MEASURES
            .iter()
            .map(|m| Entry {
                more: json!({
                    "parts": m.parts,
                    "quantities": m.quantities
                        .iter()
                        .map(|q| json!({ "name": q.name, "about": q.doc }))
                        .collect::<Vec<_>>(),
                }),
                ..entry(m.name, m.doc, m.reference)
            })
            .collect(),
    }
}
