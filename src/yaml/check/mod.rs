//! A tree against a JSON Schema: every mistake, and as much of the value as is right.
//!
//! Understands what schemars writes for Rust types: `$ref`, `type`, `properties`, `required`,
//! `additionalProperties`, `items`, `enum`, `const`, `anyOf`, `oneOf`, `pattern`, `format` and the limits.

mod alternatives;
mod collections;
mod scalars;
mod stand_in;

use std::mem;

use serde_json::{Map, Value as Json};

use super::{Node, Problem, Value, gaps::Gaps, words};

/// The value in `tree` as far as `schema` allows it: mistaken optional parts are left out; for a required part something
/// else stands in, or it takes what requires it along. `None` when nothing is left. All these places are added to `gaps`.
pub(super) fn check(
    schema: &Json,
    tree: &Node,
    text: &str,
    problems: &mut Vec<Problem>,
    gaps: &mut Gaps,
) -> Option<Json> {
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Json::as_object).unwrap_or(&empty);
    let mut checker =
        Checker { definitions, text, path: Vec::new(), problems: Vec::new(), gaps: mem::take(gaps) };
    let json = checker.value(schema, tree);
    problems.append(&mut checker.problems);
    *gaps = checker.gaps;
    json
}

struct Checker<'a> {
    definitions: &'a Map<String, Json>,
    text: &'a str,
    /// Keys and `[index]`es that lead to the current node.
    path: Vec<String>,
    problems: Vec<Problem>,
    gaps: Gaps,
}

impl<'a> Checker<'a> {
    fn value(&mut self, schema: &'a Json, node: &Node) -> Option<Json> {
        let json = self.usable(schema, node);
        if json.is_none() {
            self.gaps.add(&self.path);
        }
        json
    }

    fn usable(&mut self, schema: &'a Json, node: &Node) -> Option<Json> {
        if matches!(node.value, Value::Invalid) {
            return None;
        }
        let (schema, outer) = self.resolve(schema);
        let before = self.problems.len();
        let json = match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array) {
            Some(branches) => self.alternatives(branches, node)?,
            None => self.single(schema, node)?,
        };
        // Keywords that stand beside a reference narrow it further.
        if let Some(outer) = outer {
            self.limits(outer, node);
        }
        (self.problems.len() == before || matches!(node.value, Value::Map(_) | Value::List(_)))
            .then_some(json)
    }

    /// Follows references; also gives the schema that held the last one.
    fn resolve(&self, schema: &'a Json) -> (&'a Json, Option<&'a Json>) {
        let mut current = schema;
        let mut outer = None;
        // A reference that leads to itself would never end; types do not make longer chains than this.
        for _ in 0..16 {
            let Some(name) = current.get("$ref").and_then(Json::as_str) else { break };
            let Some(target) = name.strip_prefix("#/$defs/").and_then(|name| self.definitions.get(name))
            else {
                break;
            };
            outer = Some(current);
            current = target;
        }
        (current, outer)
    }

    fn single(&mut self, schema: &'a Json, node: &Node) -> Option<Json> {
        if !words::admits(schema, node) {
            self.wrong_type(schema, node);
            return None;
        }
        if let Some(choices) = words::choices(schema) {
            return self.choice(&choices, node);
        }
        let json = match &node.value {
            Value::Map(entries) => self.map(schema, node, entries)?,
            Value::List(items) => Json::Array(self.list(schema, items)),
            _ => node.to_json(),
        };
        self.limits(schema, node);
        // Too much of something is not looked at any further, whatever that would take.
        (!collections::too_many(schema, node)).then_some(json)
    }

    /// Limits of a single value, whatever its type.
    fn limits(&mut self, schema: &'a Json, node: &Node) {
        match &node.value {
            Value::String(text) => self.string(schema, node, text),
            Value::Number(number) => self.number(schema, node, number),
            Value::List(items) => self.list_limits(schema, node, items),
            Value::Map(entries) => self.map_limits(schema, node, entries.len()),
            _ => {}
        }
    }

    fn within<R>(&mut self, step: String, work: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(step);
        let result = work(self);
        self.path.pop();
        result
    }

    /// The current path as messages show it.
    fn here(&self) -> String {
        if self.path.is_empty() {
            return String::from("the document");
        }
        let mut shown = String::from("`");
        for step in &self.path {
            if !step.starts_with('[') && shown.len() > 1 {
                shown.push('.');
            }
            shown.push_str(step);
        }
        shown.push('`');
        shown
    }

    fn report(&mut self, problem: Problem) {
        self.gaps.add(&self.path);
        self.problems.push(problem);
    }
}
