//! Reads the YAML that people write and answers with every mistake at once, each with its place and its fix.
//!
//! A text becomes a tree that knows where everything stands ([`Node`]); the tree is checked against the JSON
//! Schema of a Rust type; what passes is deserialised into that type. The type is the one truth: schema,
//! check and reference documentation all come from it.
//!
//! A source may be several files, which are read one by one and then as one tree.
//!
//! The language is YAML 1.2 with its core schema (`yes` and `on` are strings), one document a file, string
//! keys, aliases but no merge keys.

mod build;
mod check;
mod cron;
mod duration;
mod format;
mod gaps;
mod inside;
mod join;
mod node;
mod problem;
mod reference;
mod scalar;
pub mod schema;
mod source;
mod suggest;
mod syntax;
mod words;
mod write;

use miette::Severity;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;

pub use build::TAGS;
use gaps::Gaps;

pub use format::{ipv4_range, to_dns_label};
pub use node::{Entry, Node, Value};
pub use problem::{Problem, Problems, Span};
pub use reference::markdown;
pub use source::{MAX_BYTES, ReadError, Source};
pub use suggest::{listed, nearest};
pub use write::{flow, quoted, section};

/// What a source says, and where it says it.
#[derive(Debug, Clone)]
pub struct Document<T> {
    pub value: T,
    /// For checks that no schema can express: where each key and value stands.
    pub tree: Node,
    /// Where `value` is not what the source says.
    gaps: Gaps,
    /// What does not stand in the way of using it.
    pub warnings: Vec<Problem>,
}

impl<T> Document<T> {
    /// Whether the schema found no mistake at this place, below it, or in what it is part of; `*` is any one step. What
    /// is mistaken was left out of `value`, or something else stands in for it. A check of what is absent, or of
    /// something that may be a stand-in, should then keep quiet, or it would blame the user for a consequence.
    pub fn is_whole(&self, path: &[&str]) -> bool {
        !self.gaps.touch(path)
    }

    /// Where in the list at `path`, as it is written, the items stand that `value` has of it.
    pub fn kept(&self, path: &[&str]) -> Vec<usize> {
        match self.tree.get(path).map(|node| &node.value) {
            Some(Value::List(items)) => self.gaps.kept(path, items.len()),
            _ => Vec::new(),
        }
    }
}

/// Reads a source as a `T`.
///
/// # Errors
/// Every mistake in the source, in the order of the text.
pub fn read<T: JsonSchema + DeserializeOwned>(source: &Source) -> Result<Document<T>, Problems> {
    read_and(source, |_| Vec::new())
}

/// Reads a source as a `T` and applies `verify`, for what no schema can express, to what could be read.
///
/// `verify` runs even when the schema found mistakes, as long as a `T` is left without the mistaken parts, or with
/// something in place of those that it requires: the user sees both kinds in one pass. What `verify` says of a value that
/// is mistaken anyway is not told.
///
/// # Errors
/// Every mistake in the source, and every warning, in the order of the text. Warnings alone are no error.
pub fn read_and<T: JsonSchema + DeserializeOwned>(
    source: &Source,
    verify: impl FnOnce(&Document<T>) -> Vec<Problem>,
) -> Result<Document<T>, Problems> {
    let mut problems = Vec::new();
    let document = read_partial(source, &mut problems);
    if let Some(document) = &document {
        let mistaken = document.gaps.spans(&document.tree);
        let follows = |problem: &Problem| problem.spans().any(|span| mistaken.contains(&gaps::key(span)));
        problems.extend(verify(document).into_iter().filter(|problem| !follows(problem)));
    }
    let usable = problems.iter().all(|problem| problem.severity != Severity::Error);
    match document {
        Some(document) if usable => Ok(Document { warnings: problems, ..document }),
        _ => Err(Problems::new(source, problems)),
    }
}

/// As much of a `T` as the source gives, and the mistakes found on the way.
fn read_partial<T: JsonSchema + DeserializeOwned>(
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Option<Document<T>> {
    let tree = join::tree(source, problems)?;
    let schema = schema_of::<T>();
    let mut gaps = Gaps::default();
    if !problems.is_empty() {
        // What could not be read may have been about anything.
        gaps.add(&[]);
    }
    let json = check::check(&schema, &tree, source.text(), problems, &mut gaps)?;
    match serde_json::from_value(json) {
        Ok(value) => Some(Document { value, tree, gaps, warnings: Vec::new() }),
        Err(_) if !problems.is_empty() => None,
        Err(error) => {
            problems.push(
                Problem::new(tree.first_span(), format!("the document cannot be used: {error}"))
                    .help("compare it with the reference of this kind of file"),
            );
            None
        }
    }
}

/// What a source says, whatever it is about, and what cannot be read of it: such parts are [`Value::Invalid`] or
/// left out. No tree when nothing can be read.
pub fn tree(source: &Source) -> (Option<Node>, Vec<Problem>) {
    let mut problems = Vec::new();
    let tree = join::tree(source, &mut problems);
    (tree, problems)
}

/// The JSON Schema of a type as a source may write it.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests;
