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
    name_registries(&mut schema);
    schema
}

/// Puts the names of the registries where the schema says only "a string".
fn name_registries(schema: &mut Value) {
    let pretexts: Vec<Value> = crate::study::pretext_names()
        .into_iter()
        .map(Value::from)
        .collect();
    let layouts: Vec<Value> = crate::study::layout_names()
        .into_iter()
        .map(Value::from)
        .collect();
    visit(schema, &mut |name, property| {
        let names = match name {
            "pretext" => &pretexts,
            "layout" => &layouts,
            _ => return,
        };
        if let Some(map) = property.as_object_mut() {
            map.insert("enum".to_owned(), Value::Array(names.clone()));
            map.remove("type");
        }
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
