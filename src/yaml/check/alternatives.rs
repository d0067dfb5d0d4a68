//! `anyOf` and `oneOf`: optional values and Rust enums.
//!
//! Saying "matches none of 12 alternatives" helps nobody, so the alternative that was meant is found first:
//! by the key that names it (externally tagged enums), by the constant that names it (internally tagged
//! ones), or by type.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::Checker;
use crate::yaml::{Entry, Node, Problem, Value, gaps::Gaps, suggest, words};

impl<'a> Checker<'a> {
    pub(super) fn alternatives(&mut self, branches: &'a [Json], node: &Node) -> Option<Json> {
        let all: Vec<&'a Json> = branches.iter().map(|branch| self.resolve(branch).0).collect();
        if matches!(node.value, Value::Null)
            && all.iter().any(|branch| words::types(branch).contains(&"null"))
        {
            return Some(Json::Null);
        }
        let some: Vec<&'a Json> = all.into_iter().filter(|branch| words::types(branch) != ["null"]).collect();
        if let [only] = some.as_slice() {
            return self.value(only, node);
        }
        if let Some(branch) = some.iter().find(|branch| self.fits(branch, node)) {
            return self.value(branch, node);
        }
        match self.meant(&some, node) {
            Some(branch) => self.value(branch, node),
            None => {
                self.no_alternative(&some, node);
                None
            }
        }
    }

    /// Whether the branch takes the node without a complaint.
    fn fits(&self, branch: &'a Json, node: &Node) -> bool {
        let mut probe = Checker {
            definitions: self.definitions,
            text: self.text,
            path: Vec::new(),
            problems: Vec::new(),
            gaps: Gaps::default(),
        };
        probe.value(branch, node);
        probe.problems.is_empty()
    }

    /// The branch whose mistakes are worth telling.
    fn meant(&self, branches: &[&'a Json], node: &Node) -> Option<&'a Json> {
        if let Value::Map(entries) = &node.value {
            let named = branches.iter().find(|branch| match discriminator(branch) {
                Some(Discriminator::Key(key)) => entries.contains_key(key),
                Some(Discriminator::Constant(key, constant)) => entries.get(key).is_some_and(
                    |entry| matches!(&entry.node.value, Value::String(text) if text == constant),
                ),
                None => false,
            });
            if named.is_some() || branches.iter().any(|branch| discriminator(branch).is_some()) {
                return named.copied();
            }
        }
        let mut of_type = branches.iter().filter(|branch| {
            words::admits(branch, node) && words::choices(branch).is_none() && branch.get("oneOf").is_none()
        });
        match (of_type.next(), of_type.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Reports a node of which not even the intended branch is clear.
    fn no_alternative(&mut self, branches: &[&'a Json], node: &Node) {
        let words: Vec<&'a str> =
            branches.iter().filter_map(|branch| words::choices(branch)).flatten().collect();
        let mut keys = Vec::new();
        let mut constants = Vec::new();
        for discriminator in branches.iter().filter_map(|branch| discriminator(branch)) {
            match discriminator {
                Discriminator::Key(key) => keys.push(key),
                Discriminator::Constant(key, constant) => constants.push((key, constant)),
            }
        }
        match (&node.value, constants.first()) {
            (Value::String(_), _) if !words.is_empty() => _ = self.choice(&words, node),
            (Value::Map(entries), _) if !keys.is_empty() => self.no_key(&keys, node, entries),
            (Value::Map(entries), Some(&(key, _))) => {
                let constants: Vec<&'a str> = constants.into_iter().map(|(_, constant)| constant).collect();
                self.no_constant(key, &constants, node, entries);
            }
            _ => {
                let mut expected: Vec<String> =
                    branches.iter().map(|branch| words::expected(branch)).collect();
                expected.dedup();
                let expected = expected.join(" or ");
                let title = format!("{} should be {expected}, not {}", self.here(), node.kind());
                let label = format!("this is {}", node.kind());
                self.report(Problem::new(node.span, title).label(label).help(format!("write {expected}")));
            }
        }
    }

    /// None of the keys that tell the branches apart is there.
    fn no_key(&mut self, keys: &[&'a str], node: &Node, entries: &IndexMap<String, Entry>) {
        let here = self.here();
        let misspelt = entries
            .iter()
            .find_map(|(key, entry)| Some((key, entry, suggest::nearest(key, keys.iter().copied())?)));
        let problem = match misspelt {
            Some((key, entry, near)) => {
                Problem::new(entry.key_span, format!("unknown key `{key}` in {here}"))
                    .label("not known")
                    .help(format!("did you mean `{near}`?"))
            }
            None => {
                let known = suggest::listed(keys.iter().copied(), "or");
                Problem::new(node.first_span(), format!("{here} should have one of the keys {known}"))
                    .label("none of them here")
                    .help("write exactly one of them; it says what this is")
            }
        };
        self.report(problem);
    }

    /// The key whose constant tells the branches apart is missing or has another value.
    fn no_constant(
        &mut self,
        key: &str,
        constants: &[&'a str],
        node: &Node,
        entries: &IndexMap<String, Entry>,
    ) {
        if let Some(entry) = entries.get(key) {
            self.within(key.to_owned(), |checker| checker.choice(constants, &entry.node));
            return;
        }
        let known = suggest::listed(constants.iter().copied(), "or");
        let problem = Problem::new(node.first_span(), format!("{} lacks `{key}`", self.here()))
            .label(format!("`{key}` is missing here"))
            .help(format!("add `{key}:`, one of {known}"));
        self.report(problem);
    }
}

/// What tells the branches of an enum apart.
enum Discriminator<'a> {
    /// The one required key.
    Key(&'a str),
    /// A key with a constant.
    Constant(&'a str, &'a str),
}

fn discriminator(branch: &Json) -> Option<Discriminator<'_>> {
    let properties = branch.get("properties")?.as_object()?;
    let constant = properties
        .iter()
        .find_map(|(key, inner)| Some(Discriminator::Constant(key, inner.get("const")?.as_str()?)));
    if constant.is_some() {
        return constant;
    }
    match branch.get("required")?.as_array()?.as_slice() {
        [Json::String(only)] if properties.len() == 1 => Some(Discriminator::Key(only)),
        _ => None,
    }
}
