//! What a schema expects, in words, and whether a node is of its type at all.

use serde_json::Value as Json;

use crate::yaml::{Node, Value, format, suggest::listed};

/// The names in `type`.
pub(super) fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether the node is of a type that the schema allows, whatever its content.
pub(super) fn admits(schema: &Json, node: &Node) -> bool {
    if schema == &Json::Bool(false) {
        return false;
    }
    let types = types(schema);
    types.is_empty()
        || types.into_iter().any(|name| match (&node.value, name) {
            (Value::Null, "null")
            | (Value::Bool(_), "boolean")
            | (Value::Number(_), "number")
            | (Value::String(_), "string")
            | (Value::List(_), "array")
            | (Value::Map(_), "object") => true,
            (Value::Number(number), "integer") => number.is_i64() || number.is_u64(),
            _ => false,
        })
}

/// The strings that `enum` or `const` allow.
pub(super) fn choices(schema: &Json) -> Option<Vec<&str>> {
    match (schema.get("const"), schema.get("enum").and_then(Json::as_array)) {
        (Some(Json::String(only)), _) => Some(vec![only]),
        (None, Some(all)) => Some(all.iter().filter_map(Json::as_str).collect()),
        _ => None,
    }
}

/// Completes "should be …".
pub(super) fn expected(schema: &Json) -> String {
    if let Some(choices) = choices(schema) {
        return match choices.as_slice() {
            [only] => format!("`{only}`"),
            _ => format!("one of {}", listed(choices, "or")),
        };
    }
    if let Some(format) = schema.get("format").and_then(Json::as_str).and_then(format::named) {
        return format.expected.to_owned();
    }
    let names: Vec<&str> = types(schema)
        .into_iter()
        .filter(|name| *name != "null")
        .map(|name| match name {
            "boolean" => "true or false",
            "integer" => "a whole number",
            "number" => "a number",
            "string" => "a string",
            "array" => "a list",
            "object" => "a map",
            other => other,
        })
        .collect();
    if names.is_empty() { String::from("a value") } else { names.join(" or ") }
}

/// The first sentence of a schema's description, on one line and without the full stop.
pub(super) fn summary(schema: &Json) -> Option<String> {
    let description = schema.get("description")?.as_str()?;
    let paragraph = description.split("\n\n").next()?;
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = line.split(". ").next()?.trim_end_matches('.');
    Some(sentence.to_owned())
}
