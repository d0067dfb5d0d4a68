//! Checks of maps and lists.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::Checker;
use crate::yaml::{Entry, Node, Problem, Value, format, suggest, words};

impl<'a> Checker<'a> {
    /// The map without mistaken optional entries; `None` when a required one is missing or mistaken and nothing can stand
    /// in for it.
    pub(super) fn map(
        &mut self,
        schema: &'a Json,
        node: &Node,
        entries: &IndexMap<String, Entry>,
    ) -> Option<Json> {
        let properties = schema.get("properties").and_then(Json::as_object);
        let known = |key: &str| properties.and_then(|all| all.get_key_value(key));
        let other = schema.get("additionalProperties");
        let mut json = Map::new();
        let mut written = Vec::new();
        let mut usable = true;
        for (key, entry) in entries {
            if let Some(names) = schema.get("propertyNames") {
                self.key_name(names, key, entry);
            }
            let (name, inner) = match (known(key), other) {
                (Some(property), _) => property,
                (None, Some(Json::Bool(false))) => match self.unknown_key(key, entry, properties, entries) {
                    Some(meant) => meant,
                    None => continue,
                },
                (None, Some(inner)) => (key, inner),
                (None, None) => (key, &Json::Bool(true)),
            };
            written.push(name);
            match self.within(key.clone(), |checker| checker.value(inner, &entry.node)) {
                Some(value) => _ = json.insert(name.clone(), value),
                None if required(schema).any(|required| required == name) => match self.stand_in(inner) {
                    Some(value) => _ = json.insert(name.clone(), value),
                    None => usable = false,
                },
                None => {}
            }
            // What is wrong below a misspelt key is wrong below the one that was meant.
            if name != key && self.within(key.clone(), |checker| checker.gaps.touch_shown(&checker.path)) {
                self.within(name.clone(), |checker| checker.gaps.add(&checker.path));
            }
        }
        for name in required(schema).filter(|name| !written.iter().any(|written| written == name)) {
            self.missing_key(schema, node, name);
            match known(name).and_then(|(_, inner)| self.stand_in(inner)) {
                Some(value) => _ = json.insert(name.to_owned(), value),
                None => usable = false,
            }
        }
        usable.then_some(Json::Object(json))
    }

    /// `propertyNames`: a format that keys must have.
    fn key_name(&mut self, names: &'a Json, key: &str, entry: &Entry) {
        let Some(format) = names.get("format").and_then(Json::as_str).and_then(format::named) else { return };
        if (format.accepts)(key) {
            return;
        }
        let help = (format.fix)(key).unwrap_or_else(|| format!("rename it to {}", format.expected));
        let title = format!("the key `{key}` in {} should be {}", self.here(), format.expected);
        // What stands below it counts all the same.
        self.problems.push(Problem::new(entry.key_span, title).help(help));
    }

    fn missing_key(&mut self, schema: &'a Json, node: &Node, name: &str) {
        let property = schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Json::Null);
        let (inner, _) = self.resolve(property);
        let meaning = words::summary(property).or_else(|| words::summary(inner));
        let mut help = format!("add `{name}:`, {}", words::expected(inner));
        if let Some(meaning) = meaning {
            help = format!("{help} ({meaning})");
        }
        let span = if self.path.is_empty() { node.first_span() } else { node.span };
        let problem = Problem::new(span, format!("{} lacks `{name}`", self.here()))
            .label(format!("`{name}` is missing here"))
            .help(help);
        self.within(name.to_owned(), |checker| checker.report(problem));
    }

    /// Reports a key that the schema does not have; gives the one that was probably meant, so that what is
    /// below it is checked too.
    fn unknown_key(
        &mut self,
        key: &str,
        entry: &Entry,
        properties: Option<&'a Map<String, Json>>,
        present: &IndexMap<String, Entry>,
    ) -> Option<(&'a String, &'a Json)> {
        let absent: Vec<_> =
            properties.into_iter().flatten().filter(|(name, _)| !present.contains_key(*name)).collect();
        let near = suggest::nearest(key, absent.iter().map(|(name, _)| name.as_str()));
        let names = properties.into_iter().flat_map(Map::keys).map(String::as_str);
        let there = suggest::nearest(key, names.clone());
        let help = match (near, there) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(there)) => format!("`{there}` is there already: remove one of them, or join them"),
            _ if properties.is_none_or(Map::is_empty) => String::from("remove it; nothing can be said here"),
            _ => format!("the keys that can be here are {}", suggest::listed(names.clone(), "and")),
        };
        let help = suggest::elsewhere(key, names).map_or(help, str::to_owned);
        let place = if self.path.is_empty() { String::new() } else { format!(" in {}", self.here()) };
        let mut problem =
            Problem::new(entry.key_span, format!("unknown key `{key}`{place}")).label("not known").help(help);
        if suggest::is_secret(key) {
            problem = problem.secret(entry.node.span);
        }
        match near {
            // What it says counts.
            Some(_) => self.problems.push(problem),
            None => self.within(key.to_owned(), |checker| checker.report(problem)),
        }
        absent.into_iter().find(|(name, _)| Some(name.as_str()) == near)
    }

    /// The items that are right.
    pub(super) fn list(&mut self, schema: &'a Json, items: &[Node]) -> Vec<Json> {
        let any = &Json::Bool(true);
        let inner = schema.get("items").unwrap_or(any);
        let check = |(index, item)| {
            self.within(format!("[{index}]"), |checker| {
                let value = checker.value(inner, item);
                if value.is_none() {
                    checker.gaps.leave_out(&checker.path);
                }
                value
            })
        };
        items.iter().enumerate().filter_map(check).collect()
    }

    pub(super) fn list_limits(&mut self, schema: &'a Json, node: &Node, items: &[Node]) {
        self.count_limits(schema, node, items.len(), ["minItems", "maxItems"], "item");
        if schema.get("uniqueItems") != Some(&Json::Bool(true)) {
            return;
        }
        let mut seen: HashMap<String, &Node> = HashMap::new();
        for item in items {
            let value = item.to_json().to_string();
            if let Some(first) = seen.get(&value) {
                let problem = Problem::new(item.span, format!("{} has the same item twice", self.here()))
                    .label("again here")
                    .also(first.span, "first here")
                    .help("remove one of them");
                // Nothing is missing for it.
                self.problems.push(problem);
            } else {
                seen.insert(value, item);
            }
        }
    }

    pub(super) fn map_limits(&mut self, schema: &'a Json, node: &Node, length: usize) {
        self.count_limits(schema, node, length, ["minProperties", "maxProperties"], "entry");
    }

    fn count_limits(&mut self, schema: &'a Json, node: &Node, length: usize, names: [&str; 2], unit: &str) {
        let limit = |name: &str| schema.get(name).and_then(Json::as_u64);
        let [least, most] = names.map(limit);
        let length = length as u64;
        let (bound, count) = match (least, most) {
            (Some(least), _) if length < least => ("at least", least),
            (_, Some(most)) if length > most => ("at most", most),
            _ => return,
        };
        let meaning = words::summary(schema).map(|meaning| format!(" ({meaning})")).unwrap_or_default();
        if (length, bound, count) == (0, "at least", 1) {
            let problem = Problem::new(node.span, format!("{} should not be empty", self.here()))
                .label("empty")
                .help(format!("write at least one {unit}{meaning}"));
            self.report(problem);
            return;
        }
        let unit = match (unit, count) {
            ("entry", count) if count != 1 => "entries",
            ("item", count) if count != 1 => "items",
            (unit, _) => unit,
        };
        let problem = Problem::new(
            node.span,
            format!("{} should have {bound} {count} {unit}, not {length}", self.here()),
        )
        .label(format!("{length} here"))
        .help(format!("write {bound} {count} {unit}{meaning}"));
        self.report(problem);
    }
}

/// Whether a list or a map has more in it than the schema allows.
pub(super) fn too_many(schema: &Json, node: &Node) -> bool {
    let (length, limit) = match &node.value {
        Value::List(items) => (items.len(), "maxItems"),
        Value::Map(entries) => (entries.len(), "maxProperties"),
        _ => return false,
    };
    schema.get(limit).and_then(Json::as_u64).is_some_and(|most| length as u64 > most)
}

fn required(schema: &Json) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}
