//! Every entry of every registry is documented, in the schema, and used.

use std::collections::BTreeSet;

use amlp_run::{cluster, data::layout, manifest, metric, nn::backbone, pretext};

fn documented(name: &str, doc: &str, reference: &str) {
    assert!(
        !doc.is_empty() && !doc.contains('\n'),
        "{name} needs one line"
    );
    assert!(!reference.is_empty(), "{name} needs a reference");
}

#[test]
fn entries_are_documented() {
    for e in pretext::REGISTRY {
        documented(e.name, e.doc, e.paper);
        assert!(e.year > 2000 && e.version > 0, "{}", e.name);
    }
    for e in backbone::REGISTRY {
        documented(e.name, e.doc, e.reference);
    }
    for e in cluster::CLUSTERERS {
        documented(e.name, e.doc, e.reference);
    }
    for e in layout::LAYOUTS {
        documented(e.name, e.doc, e.obtain);
        assert!(!e.expects.is_empty(), "{}", e.name);
    }
    for e in metric::METRICS {
        documented(e.name, e.doc, e.reference);
    }
}

#[test]
fn entries_are_in_the_schema() {
    let schema = manifest::schema_text();
    let names = pretext::REGISTRY
        .iter()
        .map(|e| e.name)
        .chain(backbone::REGISTRY.iter().map(|e| e.name))
        .chain(cluster::CLUSTERERS.iter().map(|e| e.name))
        .chain(layout::LAYOUTS.iter().map(|e| e.name))
        .chain(metric::METRICS.iter().map(|e| e.name));
    for name in names {
        assert!(schema.contains(&format!("\"{name}\"")), "{name}");
    }
    // Every method that trains is a table of options, in every scope.
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let scopes = ["Variant", "Study", "Profile", "When"].map(|s| &schema["definitions"][s]);
    for scope in scopes.into_iter().chain([&schema]) {
        for e in pretext::REGISTRY {
            let table = &scope["properties"][e.name];
            assert_eq!(table.is_object(), e.train.is_some(), "{}", e.name);
        }
    }
}

#[test]
fn pretext_tasks_and_layouts_are_used_by_a_manifest() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut text = String::new();
    for path in [
        "ablation.toml",
        "base/paper.toml",
        "main.toml",
        "organs.toml",
        "hippocampus.toml",
        "sarcoma.toml",
    ] {
        text.push_str(&std::fs::read_to_string(folder.join(path)).unwrap());
    }
    for e in layout::LAYOUTS {
        assert!(
            text.contains(&format!("layout = \"{}\"", e.name)),
            "{}",
            e.name
        );
    }
    for e in pretext::REGISTRY.iter().filter(|e| e.name != "amlp") {
        assert!(
            text.contains(&format!("pretext = \"{}\"", e.name)),
            "{}",
            e.name
        );
    }
}

#[test]
fn names_are_unique_and_versions_reach_the_keys() {
    let names: BTreeSet<&str> = pretext::REGISTRY.iter().map(|e| e.name).collect();
    assert_eq!(names.len(), pretext::REGISTRY.len());
    for e in pretext::REGISTRY {
        assert_eq!(amlp_run::study::pretext_version(e.name), e.version);
        assert_eq!(pretext::find(e.name).map(|f| f.name), Some(e.name));
    }
}

#[test]
fn the_steps_of_contributing_lead_to_files_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let mut found = 0;
    for word in text
        .split('`')
        .filter(|w| w.starts_with("src/") && !w.contains('<'))
    {
        assert!(root.join(word).exists(), "CONTRIBUTING.md names {word}");
        found += 1;
    }
    assert!(found >= 4);
}
