//! Rendered values against the real charts' own files, where the folder named by `HOIST_CHART_VALUES` has them as
//! `NAME/values.yaml` and `NAME/values.schema.json`.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{type_of, walk};

/// The charts inside of others.
const INSIDE: [&str; 1] = ["frr-k8s.frrk8s"];

/// Checks values against the whole real file and the whole real schema of a chart.
///
/// A key that the chart does not have is a mistake, except below an empty map or where the chart has no value, which are
/// for users to fill, and except below a chart inside of it, whose values have a file of their own. Where there is a
/// schema it says which types there are, and else the value that is there.
pub fn assert_real(addon: &str, values: &Value) {
    let folder = std::env::var_os("HOIST_CHART_VALUES")
        .expect("HOIST_CHART_VALUES: the folder with charts' own values");
    let folder = PathBuf::from(folder).join(addon);
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let text = read("values.yaml").expect("the chart's values.yaml");
    let schema: Option<Value> = read("values.schema.json").map(|text| serde_json::from_str(&text).unwrap());
    let mut real: Value = serde_yaml::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    walk("", values, &mut |path, value| {
        if INSIDE.contains(&path) {
            return false;
        }
        let pointer: String = path.split('.').map(|key| format!("/{}", key.replace('/', "~1"))).collect();
        match real.pointer(&pointer) {
            None => wrong.push(format!("{path} is no key of the chart")),
            Some(Value::Null) => return false,
            Some(Value::Object(own)) if value.is_object() => return !own.is_empty(),
            Some(own) if schema.is_some() || type_of(own) == type_of(value) => {}
            Some(own) => wrong.push(format!("{path}: {value} instead of something like {own}")),
        }
        false
    });
    merge(&mut real, values);
    if let Some(schema) = &schema {
        fits("", &real, schema, schema, &mut wrong);
    }
    assert!(wrong.is_empty(), "{addon}:\n{}", wrong.join("\n"));
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// As much of JSON Schema as the charts use.
fn fits(path: &str, value: &Value, schema: &Value, root: &Value, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a reference to this file");
        fits(path, value, target, root, wrong);
    }
    let fails = |schema: &Value| {
        let mut inner = Vec::new();
        fits(path, value, schema, root, &mut inner);
        inner.pop()
    };
    let branches = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    wrong.extend(branches("allOf").iter().filter_map(fails));
    for key in ["anyOf", "oneOf"] {
        let branches = branches(key);
        if !branches.is_empty() && branches.iter().all(|branch| fails(branch).is_some()) {
            wrong.push(format!("{path}: {value} fits none of {key}"));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let integer = |kind: &str| kind == "integer" && (value.is_i64() || value.is_u64());
    if !kinds.is_empty() && !kinds.iter().any(|kind| *kind == type_of(value) || integer(kind)) {
        wrong.push(format!("{path}: {value} is not {}", kinds.join(" or ")));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        wrong.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    if let (Some(value), Some(most)) = (value.as_f64(), schema["maximum"].as_f64())
        && value > most
    {
        wrong.push(format!("{path}: {value} is over {most}"));
    }
    if let (Some(value), Some(least)) = (value.as_f64(), schema["minimum"].as_f64())
        && value < least
    {
        wrong.push(format!("{path}: {value} is under {least}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(items) = schema.get("items") {
            fits(&format!("{path}[{index}]"), item, items, root, wrong);
        }
    }
    let Some(map) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            wrong.push(format!("{path}.{key} is required"));
        }
    }
    for (key, inner) in map {
        let path = format!("{path}.{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => wrong.push(format!("{path} is no key of the schema")),
            (Value::Null, other) if other.is_object() => fits(&path, inner, other, root, wrong),
            (Value::Null, _) => {}
            (own, _) => fits(&path, inner, own, root, wrong),
        }
    }
}
