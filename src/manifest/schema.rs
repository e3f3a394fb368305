//! The JSON Schema of manifests, from the same structs that read them.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Document;

/// The schema (draft 7, which editors know best).
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), "amlp-run experiment".into());
    }
    without_null(&mut schema);
    name_registries(&mut schema);
    schema
}

/// TOML has no null: an optional key is one that is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|c| c["type"] != "null");
                if choices.len() == 1
                    && let Some(one) = map.remove("anyOf")
                {
                    // Draft 7 ignores what stands beside a bare `$ref`.
                    map.insert("allOf".to_owned(), one);
                }
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Puts the names of the registries where the schema says only "a string".
fn name_registries(schema: &mut Value) {
    let pretexts = Value::from(crate::study::pretext_names());
    let layouts = Value::from(crate::study::layout_names());
    let metrics = Value::from(crate::study::metric_names());
    visit(schema, &mut |name, property| {
        let (names, place) = match name {
            "pretext" => (&pretexts, "/type"),
            "layout" => (&layouts, "/type"),
            // A claim's; the options of metrics are a table of the same name.
            "metric" => (&metrics, "/type"),
            "metrics" => (&metrics, "/items/type"),
            _ => return,
        };
        if property.pointer(place).is_none_or(|t| t != "string") {
            return;
        }
        let target = match place.strip_suffix("/type") {
            Some("/items") => &mut property["items"],
            _ => property,
        };
        target["enum"] = names.clone();
    });
}

fn visit(value: &mut Value, change: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                for (name, property) in properties.iter_mut() {
                    change(name, property);
                }
            }
            for inner in map.values_mut() {
                visit(inner, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| visit(v, change)),
        _ => {}
    }
}

/// The schema as the committed file holds it.
#[must_use]
pub fn schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&json_schema()).unwrap_or_default();
    text.push('\n');
    text
}
