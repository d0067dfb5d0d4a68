//! Reference documentation of a kind of file, written from its schema.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::words;

/// The reference of a schema in Markdown: one section for each map with known keys, in the order in which a
/// reader meets them.
pub fn markdown(schema: &Json) -> String {
    let mut writer = Writer {
        definitions: schema.get("$defs").and_then(Json::as_object),
        seen: Vec::new(),
        out: String::new(),
    };
    writer.section("", schema);
    writer.out
}

struct Writer<'a> {
    definitions: Option<&'a Map<String, Json>>,
    /// Definitions that have a section, and where.
    seen: Vec<(&'a str, String)>,
    out: String,
}

/// A map with known keys that wants a section of its own.
struct Pending<'a> {
    path: String,
    schema: &'a Json,
}

impl<'a> Writer<'a> {
    fn section(&mut self, path: &str, schema: &'a Json) {
        if !path.is_empty() {
            self.line(&format!("\n## `{path}`\n"));
        }
        if let Some(text) = description(schema) {
            self.line(&text);
            self.line("");
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let mut pending = Vec::new();
        for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.key(name, &path, property, required.contains(&name.as_str()), &mut pending);
        }
        for Pending { path, schema } in pending {
            self.section(&path, schema);
        }
    }

    fn key(
        &mut self,
        name: &str,
        path: &str,
        property: &'a Json,
        required: bool,
        pending: &mut Vec<Pending<'a>>,
    ) {
        let (schema, _) = self.resolve(property);
        let mut facts = vec![self.kind(property)];
        if required {
            facts.push("required".into());
        }
        facts.extend(range(schema));
        if let Some(default) =
            property.get("default").filter(|default| !default.is_null() && !default.is_object())
        {
            facts.push(format!("default {}", code(default)));
        }
        let text = description(property).or_else(|| description(schema)).unwrap_or_default();
        let link = self.follow(path, property, pending).map(|link| format!(" {link}")).unwrap_or_default();
        self.line(&format!("- **`{name}`** ({}): {text}{link}", facts.join(", ")));
        let choices = schema.get("items").map_or(schema, |items| self.resolve(items).0);
        for branch in choices.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
            if let (Some(constant), Some(text)) =
                (branch.get("const").and_then(Json::as_str), description(branch))
            {
                self.line(&format!("  - `{constant}`: {text}"));
            }
        }
    }

    /// Queues the map with known keys behind a property; says where it is described if not right below.
    fn follow(&mut self, path: &str, property: &'a Json, pending: &mut Vec<Pending<'a>>) -> Option<String> {
        let (schema, name) = self.resolve(property);
        if schema.get("properties").is_none() {
            let below = property.get("additionalProperties").filter(|inner| inner.is_object());
            return match (below, property.get("items")) {
                (Some(inner), _) => self.follow(&format!("{path}.NAME"), inner, pending),
                (None, Some(inner)) => self.follow(&format!("{path}[]"), inner, pending),
                (None, None) => None,
            };
        }
        if let Some((_, place)) = self.seen.iter().find(|(seen, _)| Some(*seen) == name) {
            return Some(format!("The keys are those of `{place}`."));
        }
        self.seen.extend(name.map(|name| (name, path.to_owned())));
        pending.push(Pending { path: path.to_owned(), schema });
        None
    }

    /// What a value is, in words.
    fn kind(&self, property: &'a Json) -> String {
        let (schema, _) = self.resolve(property);
        if let Some(items) = schema.get("items") {
            return format!("a list of {}", self.plural(items));
        }
        if let Some(branches) = schema.get("anyOf").and_then(Json::as_array) {
            let kind = |branch: &'a Json| match branch.get("items") {
                Some(items) if branches.contains(items) => String::from("a list of them"),
                _ => self.kind(branch),
            };
            return branches.iter().map(kind).collect::<Vec<_>>().join(", or ");
        }
        match schema.get("additionalProperties") {
            Some(inner @ Json::Object(_)) => format!("a map of names to {}", self.plural(inner)),
            _ if schema.get("oneOf").is_some() => String::from("one of the words below"),
            _ => words::expected(schema),
        }
    }

    fn plural(&self, property: &'a Json) -> String {
        match self.kind(property).as_str() {
            "a string" => String::from("strings"),
            "a map" => String::from("maps"),
            "one of the words below" => String::from("the words below"),
            other => format!("values, each of them {other}"),
        }
    }

    /// The schema behind a reference and its name there; an optional value counts as the value.
    fn resolve(&self, schema: &'a Json) -> (&'a Json, Option<&'a str>) {
        let optional =
            schema.get("anyOf").and_then(Json::as_array).and_then(|branches| match branches.as_slice() {
                [inner, null] if words::types(null) == ["null"] => Some(inner),
                _ => None,
            });
        let schema = optional.unwrap_or(schema);
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        match name.and_then(|name| self.definitions?.get(name)) {
            Some(definition) => (definition, name),
            None => (schema, None),
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        _ = writeln!(self.out, "{text}");
    }
}

fn description(schema: &Json) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn range(schema: &Json) -> Option<String> {
    let limit = |name| schema.get(name).and_then(Json::as_i64);
    match (limit("minimum")?, limit("maximum")) {
        (least, Some(most)) => Some(format!("{least} to {most}")),
        (least, None) => Some(format!("at least {least}")),
    }
}

fn code(value: &Json) -> String {
    match value {
        Json::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
