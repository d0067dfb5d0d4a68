//! Values against a chart's own JSON Schema (draft 7 and what Helm's charts use of later ones).
//!
//! Only what is certainly wrong is told: a keyword that is not known here says nothing. Helm compares once more.

use regex::Regex;
use serde_json::Value;

use crate::kube::is_secret;

/// In place of what may be a secret.
const HIDDEN: &str = "something that is not shown here";

/// A mistake: the keys that lead to it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub path: Vec<String>,
    pub what: String,
}

/// What is wrong with a value.
pub fn mistakes(schema: &Value, value: &Value) -> Vec<Mistake> {
    let mut checker = Checker { root: schema, path: Vec::new(), found: Vec::new(), depth: 0 };
    checker.check(schema, value);
    checker.found
}

/// References may lead in circles.
const MAX_DEPTH: usize = 64;

struct Checker<'a> {
    root: &'a Value,
    path: Vec<String>,
    found: Vec<Mistake>,
    depth: usize,
}

impl<'a> Checker<'a> {
    fn check(&mut self, schema: &'a Value, value: &Value) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        self.check_at_depth(schema, value);
        self.depth -= 1;
    }

    fn check_at_depth(&mut self, schema: &'a Value, value: &Value) {
        if *schema == Value::Bool(false) {
            return self.wrong("it may not be given");
        }
        if let Some(target) =
            schema["$ref"].as_str().and_then(|name| self.root.pointer(name.strip_prefix('#')?))
        {
            self.check(target, value);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|name| is(name, value)) {
            return self.wrong(&format!("it is {}, expected {}", self.shown(value), types.join(" or ")));
        }
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.wrong(&format!("it is {}, expected one of {}", self.shown(value), choices.join(", ")));
        }
        if let Some(only) = schema.get("const").filter(|only| *only != value) {
            self.wrong(&format!("it is {}, expected {only}", self.shown(value)));
        }
        match value {
            Value::Object(map) => self.map(schema, map),
            Value::Array(items) => self.list(schema, items),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default()),
            Value::String(text) => self.text(schema, text),
            _ => {}
        }
        for all in schema["allOf"].as_array().into_iter().flatten() {
            self.check(all, value);
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(ways) = schema[keyword].as_array() else { continue };
            let tried: Vec<Vec<Mistake>> = ways.iter().map(|way| self.tried(way, value)).collect();
            if let Some(least) = tried.into_iter().min_by_key(Vec::len).filter(|least| !least.is_empty()) {
                self.found.extend(least);
            }
        }
    }

    /// What would be wrong by this schema.
    fn tried(&self, schema: &'a Value, value: &Value) -> Vec<Mistake> {
        let mut trial =
            Checker { root: self.root, path: self.path.clone(), found: Vec::new(), depth: self.depth };
        trial.check(schema, value);
        trial.found
    }

    fn map(&mut self, schema: &'a Value, map: &serde_json::Map<String, Value>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                self.wrong(&format!("`{name}` is missing"));
            }
        }
        let patterns: Vec<(Regex, &Value)> = schema["patternProperties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(pattern, schema)| Some((Regex::new(pattern).ok()?, schema)))
            .collect();
        for (key, value) in map {
            let mut known = false;
            self.path.push(key.clone());
            if let Some(schema) = schema["properties"].get(key) {
                known = true;
                // Null takes a value of the chart away.
                if !value.is_null() {
                    self.check(schema, value);
                }
            }
            for (_, schema) in patterns.iter().filter(|(pattern, _)| pattern.is_match(key)) {
                known = true;
                self.check(schema, value);
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !known => {
                    let names = schema["properties"].as_object();
                    let names = names.into_iter().flat_map(|names| names.keys()).map(String::as_str);
                    let what = super::values::unknown(key, names);
                    self.wrong(&what);
                }
                Some(schema @ Value::Object(_)) if !known => self.check(schema, value),
                _ => {}
            }
            self.path.pop();
        }
    }

    fn list(&mut self, schema: &'a Value, items: &[Value]) {
        if let Some(schema @ Value::Object(_)) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.path.push(index.to_string());
                self.check(schema, item);
                self.path.pop();
            }
        }
        let count = items.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|least| count < least) {
            self.wrong(&format!("it has {count} items, expected at least {}", schema["minItems"]));
        }
        if schema["maxItems"].as_u64().is_some_and(|most| count > most) {
            self.wrong(&format!("it has {count} items, expected at most {}", schema["maxItems"]));
        }
    }

    fn number(&mut self, schema: &Value, number: f64) {
        if schema["minimum"].as_f64().is_some_and(|least| number < least) {
            self.wrong(&format!("it is {number}, expected at least {}", schema["minimum"]));
        }
        if schema["maximum"].as_f64().is_some_and(|most| number > most) {
            self.wrong(&format!("it is {number}, expected at most {}", schema["maximum"]));
        }
    }

    fn text(&mut self, schema: &Value, text: &str) {
        let pattern = schema["pattern"].as_str();
        let shown = match self.path.last().is_some_and(|key| is_secret(key)) {
            true => String::from(HIDDEN),
            false => format!("{text:?}"),
        };
        // A pattern that is not of this kind of expressions says nothing here.
        if let Some(pattern) = pattern
            && let Ok(expression) = Regex::new(pattern)
            && !expression.is_match(text)
        {
            self.wrong(&format!("it is {shown}, expected something like `{pattern}`"));
        }
        if schema["minLength"].as_u64().is_some_and(|least| (text.chars().count() as u64) < least) {
            self.wrong(&format!("it is {shown}, expected at least {} characters", schema["minLength"]));
        }
    }

    fn shown(&self, value: &Value) -> String {
        shown(&self.path, value)
    }

    fn wrong(&mut self, what: &str) {
        let mistake = Mistake { path: self.path.clone(), what: what.to_owned() };
        if !self.found.contains(&mistake) {
            self.found.push(mistake);
        }
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "null" => value.is_null(),
        _ => true,
    }
}

/// A value as messages name it.
pub(super) fn shown(path: &[String], value: &Value) -> String {
    match value {
        Value::String(_) | Value::Number(_) if path.last().is_some_and(|key| is_secret(key)) => {
            String::from(HIDDEN)
        }
        Value::Null => String::from("nothing"),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => String::from("a list"),
        Value::Object(_) => String::from("a map"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: &Value, value: &Value) -> String {
        let lines = mistakes(schema, value)
            .into_iter()
            .map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.what));
        lines.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_keyword_finds_its_mistake() {
        for (schema, value, expected) in [
            (json!({"type": "integer"}), json!("three"), ": it is the text \"three\", expected integer"),
            (json!({"type": ["integer", "null"]}), json!(null), ""),
            (json!({"type": "integer"}), json!(1.5), ": it is the number 1.5, expected integer"),
            (json!({"enum": ["a", "b"]}), json!("c"), ": it is the text \"c\", expected one of \"a\", \"b\""),
            (json!({"const": 1}), json!(2), ": it is the number 2, expected 1"),
            (json!({"required": ["a"]}), json!({}), ": `a` is missing"),
            (
                json!({"properties": {"abc": {}}, "additionalProperties": false}),
                json!({"abd": 1}),
                "abd: there is no such key: did you mean `abc`?",
            ),
            (json!({"properties": {"a": {"type": "string"}}}), json!({"a": null}), ""),
            (
                json!({"additionalProperties": {"type": "string"}}),
                json!({"a": 1}),
                "a: it is the number 1, expected string",
            ),
            (
                json!({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": false}),
                json!({"xy": 1}),
                "xy: it is the number 1, expected string",
            ),
            (json!({"items": {"type": "string"}}), json!(["a", 1]), "1: it is the number 1, expected string"),
            (json!({"minItems": 1}), json!([]), ": it has 0 items, expected at least 1"),
            (json!({"maxItems": 0}), json!([1]), ": it has 1 items, expected at most 0"),
            (json!({"minimum": 1}), json!(0), ": it is 0, expected at least 1"),
            (json!({"maximum": 1}), json!(2), ": it is 2, expected at most 1"),
            (json!({"pattern": "^a$"}), json!("b"), ": it is \"b\", expected something like `^a$`"),
            (json!({"minLength": 1}), json!(""), ": it is \"\", expected at least 1 characters"),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
                json!(1),
                ": it is the number 1, expected string",
            ),
            (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), json!(1), ""),
            (json!({"oneOf": [{"type": "string"}]}), json!(1), ": it is the number 1, expected string"),
            (json!({"allOf": [{"type": "string"}]}), json!(1), ": it is the number 1, expected string"),
            (json!({"properties": {"a": false}}), json!({"a": 1}), "a: it may not be given"),
            (json!({"unheardOf": 1}), json!(1), ""),
        ] {
            assert_eq!(found(&schema, &value), expected, "{schema}");
        }
    }

    #[test]
    fn a_circle_ends() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}});
        assert_eq!(found(&schema, &json!(1)), "");
    }
}
