//! The tree of a document: what is written, and where.

use indexmap::IndexMap;
use serde_json::{Number, Value as Json};

use super::Span;

/// A value and the place to point at when something is wrong with it.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    /// Within one line. A scalar: its text. A flow collection: its brackets. A block collection that is the
    /// value of a key, and a missing value: the key.
    pub span: Span,
    /// A scalar without quotes.
    pub plain: bool,
}

/// What YAML's core schema makes of what is written.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(IndexMap<String, Entry>),
    /// Something that has been reported and cannot be used.
    Invalid,
}

/// One key of a map, with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key_span: Span,
    pub node: Node,
}

impl Node {
    /// The place of the value at `path` (keys of maps, indexes of lists); where the path ends early, the
    /// place of the last thing that exists.
    pub fn at(&self, path: &[&str]) -> Span {
        match path {
            [] => self.span,
            [step, rest @ ..] => self.child(step).map_or(self.span, |child| child.at(rest)),
        }
    }

    /// The place of the key at `path`; where the path ends early, that of the last thing that exists.
    pub fn key_at(&self, path: &[&str]) -> Span {
        let Some((last, parents)) = path.split_last() else { return self.span };
        match self.get(parents).map(|parent| &parent.value) {
            Some(Value::Map(entries)) if entries.contains_key(*last) => entries[*last].key_span,
            _ => self.at(path),
        }
    }

    /// The value at `path`.
    pub fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }

    /// Whether there is a value; `key:` alone says nothing.
    pub fn is_said(&self) -> bool {
        !matches!(self.value, Value::Null)
    }

    /// Whether it is a list or a map with nothing in it, or no value at all.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }

    fn child(&self, step: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.get(step).map(|entry| &entry.node),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The first key or scalar of the document: where to point when the whole is meant.
    pub(super) fn first_span(&self) -> Span {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.span, |(_, entry)| entry.key_span),
            _ => self.span,
        }
    }

    /// How the kind of value is called in messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null | Value::Invalid => "nothing",
            Value::Bool(true) => "the boolean true",
            Value::Bool(false) => "the boolean false",
            Value::Number(_) => "a number",
            Value::String(text) if text.is_empty() => "an empty string",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same without places; invalid parts are null.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Invalid => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect())
            }
        }
    }

    /// Number of nodes and levels in this tree.
    pub(super) fn measure(&self) -> (usize, usize) {
        let join = |(nodes, levels): (usize, usize), child: &Node| {
            let (inner_nodes, inner_levels) = child.measure();
            (nodes + inner_nodes, levels.max(inner_levels + 1))
        };
        match &self.value {
            Value::List(items) => items.iter().fold((1, 1), join),
            Value::Map(entries) => entries.values().map(|entry| &entry.node).fold((1, 1), join),
            _ => (1, 1),
        }
    }
}
