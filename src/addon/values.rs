//! Values for a chart: merged, and compared with what the chart itself knows.

use serde_json::{Map, Value, json};

use super::{
    chart::{Chart, paths},
    schema::{self, Mistake, shown},
};
use crate::yaml::{listed, nearest};

/// Merges `over` into `base`: maps key by key, everything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Everything that the chart does not know, or not in this type: what its own values leave open is free, and where it
/// has a schema that has the last word.
pub fn mistakes(chart: &Chart, values: &Map<String, Value>) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut named = values.clone();
    found.extend(tags(chart, &mut named));
    look(chart, &named, &mut Vec::new(), &mut found);
    let mut coalesced = Value::Object(chart.values.clone());
    merge(&mut coalesced, &Value::Object(values.clone()));
    strip_nulls(&mut coalesced);
    if let Some(schema) = &chart.schema {
        found.extend(schema::mistakes(schema, &coalesced));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|b, a| a.path == b.path);
    found
}

/// Takes out of values, and checks, what switches charts inside of this one by their tags. Helm reads that nowhere else.
fn tags(chart: &Chart, values: &mut Map<String, Value>) -> Vec<Mistake> {
    let known = chart.all_tags();
    if known.is_empty() || chart.values.contains_key("tags") {
        return Vec::new();
    }
    let Some(Value::Object(said)) = values.shift_remove("tags") else { return Vec::new() };
    let wrong = said.iter().filter_map(|(tag, value)| match known.contains(tag.as_str()) {
        true if value.is_boolean() || value.is_null() => None,
        true => Some((tag, format!("it is {}, the chart has true or false", shown(&[], value)))),
        false => Some((tag, unknown(tag, known.iter().copied()))),
    });
    wrong.map(|(tag, what)| Mistake { path: vec![String::from("tags"), tag.clone()], what }).collect()
}

/// A chart's own values with those that switch on the charts in it, which may stand nowhere else than in its conditions.
fn with_switches(chart: &Chart) -> Map<String, Value> {
    let mut all = Value::Object(Map::new());
    for path in chart.conditions.values().flat_map(|condition| paths(condition)) {
        let switch = path.iter().rev().fold(Value::Bool(true), |below, key| json!({*key: below}));
        merge(&mut all, &switch);
    }
    merge(&mut all, &Value::Object(chart.values.clone()));
    map(all)
}

/// A chart's values, with those of the charts in it.
fn look(chart: &Chart, values: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<Mistake>) {
    let own = with_switches(chart);
    for (key, value) in values {
        path.push(key.clone());
        let properties = chart.schema.as_ref().map(|schema| &schema["properties"]);
        let said = chart.schema.as_ref().and_then(|schema| properties?.get(key).map(|said| (schema, said)));
        match (chart.charts.get(key), value) {
            (Some(inner), Value::Object(values)) => {
                // The outer chart may add to what the inner one knows.
                let mut merged = Value::Object(inner.values.clone());
                merge(&mut merged, own.get(key).unwrap_or(&Value::Object(Map::new())));
                let both = Chart { values: map(merged), ..inner.clone() };
                let mut inside = Vec::new();
                look(&both, values, &mut Vec::new(), &mut inside);
                found.extend(
                    inside
                        .into_iter()
                        .map(|mistake| Mistake { path: [&path[..], &mistake.path[..]].concat(), ..mistake }),
                );
            }
            // Helm gives `global` to all of them.
            _ if key == "global" && path.len() == 1 => {}
            _ => match own.get(key) {
                Some(default) => compare(default, said, value, path, found),
                None if said.is_some() => {}
                None if chart.schema.as_ref().is_some_and(leaves_open) => {}
                None => {
                    let known = own.keys().chain(chart.charts.keys()).map(String::as_str);
                    found.push(Mistake { path: path.clone(), what: unknown(key, known) });
                }
            },
        }
        path.pop();
    }
}

/// A value and the one that it takes the place of. `said` is what the schema says of it, with the whole schema.
fn compare(
    default: &Value,
    said: Option<(&Value, &Value)>,
    value: &Value,
    path: &mut Vec<String>,
    found: &mut Vec<Mistake>,
) {
    let said = said.map(|(root, said)| (root, resolved(root, said)));
    match (default, value) {
        // Null takes the chart's value away; `null` and `""` as defaults leave open what there may be.
        (_, Value::Null) | (Value::Null, _) => {}
        (Value::String(text), _) if text.is_empty() => {}
        (Value::Object(defaults), Value::Object(values)) => {
            if defaults.is_empty() || is_free(path) || said.is_some_and(|(_, said)| leaves_open(said)) {
                return;
            }
            for (key, value) in values {
                path.push(key.clone());
                let inner = said.and_then(|(root, said)| Some((root, said["properties"].get(key)?)));
                match defaults.get(key) {
                    Some(default) => compare(default, inner, value, path, found),
                    // A chart shows such maps in comments, too.
                    None if inner.is_some() || is_free(path) => {}
                    None => {
                        let what = unknown(key, defaults.keys().map(String::as_str));
                        found.push(Mistake { path: path.clone(), what });
                    }
                }
                path.pop();
            }
        }
        // Where a schema knows the type it says what is wrong.
        _ if said.is_some_and(|(_, said)| {
            ["type", "anyOf", "oneOf", "enum"].iter().any(|word| said.get(word).is_some())
        }) => {}
        (Value::Object(defaults), _) if !defaults.is_empty() => expected("a map", value, path, found),
        (Value::Array(_), Value::Array(_)) => {}
        (Value::Array(defaults), _) if !defaults.is_empty() => expected("a list", value, path, found),
        // What the chart renders once more may come to anything.
        (_, Value::String(text)) if text.contains("{{") => {}
        (Value::Bool(_), value) if !value.is_boolean() => expected("true or false", value, path, found),
        (Value::Number(_), Value::Bool(_)) => expected("a number", value, path, found),
        (Value::Number(_), Value::String(text)) if !begins_as_number(text) => {
            expected("a number", value, path, found);
        }
        (Value::Number(_) | Value::String(_), Value::Object(_) | Value::Array(_)) => {
            expected(&shown(&[], default), value, path, found);
        }
        _ => {}
    }
}

/// Charts take `50%`, `500m` and `10s` where their own value is a number, and nothing where there need not be any.
fn begins_as_number(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+', '.']);
    text.is_empty() || digits.starts_with(|letter: char| letter.is_ascii_digit())
}

fn expected(what: &str, value: &Value, path: &[String], found: &mut Vec<Mistake>) {
    found.push(Mistake {
        path: path.to_vec(),
        what: format!("it is {}, the chart has {what}", shown(path, value)),
    });
}

/// How a key is answered that nobody knows.
pub(super) fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("there is no such key: did you mean `{meant}`?"),
        None if known.is_empty() => String::from("there is no such key"),
        None => format!("there is no such key; there are {}", listed(known.into_iter().take(12), "and")),
    }
}

/// Maps that charts pass on, to Kubernetes or to the program that they are the configuration of: their defaults are not all
/// that may stand there.
fn is_free(path: &[String]) -> bool {
    let name = path.last().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    let endings = [
        "labels",
        "annotations",
        "nodeselector",
        "resources",
        "limits",
        "requests",
        "affinity",
        "selector",
        "securitycontext",
        "probe",
        "strategy",
        "env",
        "extraargs",
        "lifecycle",
        "containerport",
        "tlsconfig",
        ".ini",
    ];
    // Not every `config`: most charts have settings of their own in it.
    let of_alertmanager =
        matches!(path, [.., program, config] if program == "alertmanager" && config == "config");
    of_alertmanager || endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether a schema lets any key in.
fn leaves_open(schema: &Value) -> bool {
    match schema.get("additionalProperties") {
        Some(Value::Bool(open)) => *open,
        Some(_) => true,
        None => schema.get("patternProperties").is_some(),
    }
}

fn resolved<'a>(root: &'a Value, said: &'a Value) -> &'a Value {
    let target = said["$ref"].as_str().and_then(|name| root.pointer(name.strip_prefix('#')?));
    target.unwrap_or(said)
}

/// As Helm takes them away.
pub(super) fn strip_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(strip_nulls);
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
