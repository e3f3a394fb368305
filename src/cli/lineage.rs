//! Stages as `why` shows them: as JSON, and from that JSON for people.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::plan::{Graph, Plan, Stage};
use crate::store::{StageRecord, State, Store};

/// A stage with its state and provenance.
pub(super) fn stage(store: &Store, stage: &Stage) -> Value {
    let mut value = json!({
        "stage": stage.label,
        "key": stage.key.as_str(),
        "kind": stage.kind.name(),
    });
    let (state, reason) = match store.lookup(stage.kind, &stage.key) {
        Ok(State::Cached) => {
            if let Ok(artifact) = store.artifact(stage.kind, &stage.key) {
                value["folder"] = artifact.dir.display().to_string().into();
                value["provenance"] =
                    serde_json::to_value(&artifact.record.provenance).unwrap_or(Value::Null);
                value["files"] =
                    serde_json::to_value(&artifact.record.files).unwrap_or(Value::Null);
            }
            ("cached", None)
        }
        Ok(State::Failed { failure }) => ("failed", Some(failure.message)),
        Ok(State::Running { holder }) => ("running", Some(holder.to_string())),
        Ok(State::Damaged { reason }) => ("missing", Some(format!("damaged: {reason}"))),
        Ok(State::Missing) => ("missing", None),
        Err(e) => ("missing", Some(e.to_string())),
    };
    if state == "missing"
        && let Ok(Some(record)) = store.lineage(stage.kind, &stage.key)
    {
        // Imported without its artifact: where it comes from is known all the same.
        imported(&mut value, &record);
        value["state"] = "missing".into();
        value["reason"] = "only its record was imported".into();
        return value;
    }
    value["state"] = state.into();
    value["reason"] = reason.into();
    value
}

/// What a record tells of a stage whose artifact is not there.
fn imported(value: &mut Value, record: &StageRecord) {
    value["provenance"] = serde_json::to_value(&record.provenance).unwrap_or(Value::Null);
    value["files"] = serde_json::to_value(&record.files).unwrap_or(Value::Null);
}

/// A stage that no plan here has, from its record: one that was imported, or of another manifest.
pub(super) fn recorded(store: &Store, record: &StageRecord) -> Value {
    let of = Stage {
        key: record.key.clone(),
        kind: record.kind,
        label: record.label.clone(),
        inputs: record.inputs.clone(),
        spec: Value::Null,
        preimage: record.preimage.clone(),
        context: Value::Null,
    };
    whole_stage(store, &Plan::default(), &of)
}

/// A stage with all that it was made from and all that is made from it.
pub(super) fn whole_stage(store: &Store, plan: &Plan, of: &Stage) -> Value {
    let mut value = stage(store, of);
    value["preimage"] = of.preimage.clone();
    let inputs: BTreeMap<&str, &str> = of
        .inputs
        .iter()
        .map(|i| (i.role.as_str(), i.key.as_str()))
        .collect();
    value["inputs"] = json!(inputs);
    let readers: Vec<&str> = Graph::of(plan)
        .descendants(&of.key)
        .into_iter()
        .map(|i| plan.stages[i].label.as_str())
        .collect();
    value["changes_with_it"] = json!(readers);
    value
}

/// Prints the answer about a cell.
pub(super) fn print_cell(answer: &Value) {
    println!("{}", text(&answer["cell"]));
    println!("  written at  {}", text(&answer["manifest"]));
    println!("  profile     {}", text(&answer["profile"]));
    if let Some(value) = answer["published"]["value"].as_f64() {
        println!(
            "  published   {value} (line {} of published.csv)",
            text(&answer["published"]["line"])
        );
    }
    for run in list(&answer["runs"]) {
        let result = &run["result"];
        let seed = text(&run["seed"]);
        match result["hole"].as_str() {
            Some(reason) => println!("\nseed {seed}: no value: {reason}"),
            None => print_result(&seed, result),
        }
        println!("  stages, inputs first");
        for stage in list(&run["stages"]) {
            println!("    {}", stage_line(stage));
        }
    }
}

fn print_result(seed: &str, result: &Value) {
    println!("\nseed {seed}: {}", number(&result["value"]));
    if let Some(images) = result["images"].as_u64() {
        let machine = result["machine"].as_str();
        let on = machine.map_or_else(String::new, |machine| format!(", on {machine}"));
        println!("  of {images} images{on}");
        return;
    }
    let labelled: Vec<String> = list(&result["labelled_cases"]).iter().map(text).collect();
    println!(
        "  trained on the labels of {} cases: {}",
        labelled.len(),
        labelled.join(", ")
    );
    println!("  test cases");
    for (case, value) in result["per_case"].as_object().into_iter().flatten() {
        println!("    {:>9}  {case}", number(value));
    }
}

/// `61776a72  cached     0.6 s  prepare hecktor/CT`.
fn stage_line(stage: &Value) -> String {
    let key: String = text(&stage["key"]).chars().take(8).collect();
    let time = match stage["provenance"]["wall_s"].as_f64() {
        Some(seconds) => format!("{seconds:.1} s"),
        None => String::new(),
    };
    let mut line = format!(
        "{key}  {:<7} {time:>9}  {}",
        text(&stage["state"]),
        text(&stage["stage"])
    );
    if let Some(reason) = stage["reason"].as_str() {
        line.push_str(": ");
        line.push_str(reason);
    }
    line
}

/// Prints the answer about a stage.
pub(super) fn print_stage(answer: &Value) {
    println!("{}", text(&answer["stage"]));
    println!("  key      {}", text(&answer["key"]));
    match answer["reason"].as_str() {
        Some(reason) => println!("  state    {}: {reason}", text(&answer["state"])),
        None => println!("  state    {}", text(&answer["state"])),
    }
    if let Some(folder) = answer["folder"].as_str() {
        println!("  folder   {folder}");
    }
    let made = &answer["provenance"];
    if let Some(seconds) = made["wall_s"].as_f64() {
        let device = made["device"]
            .as_str()
            .map_or_else(String::new, |d| format!(" ({d})"));
        println!(
            "  made     {} in {seconds:.1} s on {}{device} by version {}",
            text(&made["started"]),
            text(&made["host"]),
            text(&made["version"])
        );
    }
    for file in list(&answer["files"]) {
        println!(
            "  file     {}, {} bytes",
            text(&file["path"]),
            text(&file["size"])
        );
    }
    println!("  made from");
    for (role, key) in answer["inputs"].as_object().into_iter().flatten() {
        // The inputs of a table are called by their keys.
        if text(key) == *role {
            println!("    {role}");
        } else {
            println!("    {role} = {}", text(key));
        }
    }
    print_fields(&answer["preimage"]["spec"], "");
    if let Some(device) = answer["preimage"]["device"].as_str() {
        println!("    device = {device}");
    }
    let readers = list(&answer["changes_with_it"]);
    if !readers.is_empty() {
        println!("  changes with it");
        for reader in readers {
            println!("    {}", text(reader));
        }
    }
}

/// Fields by their dotted names, as they can be written in a manifest or after `--set`.
fn print_fields(value: &Value, path: &str) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let dot = if path.is_empty() { "" } else { "." };
                print_fields(inner, &format!("{path}{dot}{name}"));
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            println!("    {path} = {} entries", items.len());
        }
        Value::Null => {}
        other => println!("    {path} = {other}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"))
}
