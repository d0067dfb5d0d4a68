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
mod format;
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
    /// False when a mistake made something be left out of `value`. A check for what is absent should then
    /// keep quiet, or it would blame the user for a consequence.
    pub complete: bool,
    /// What does not stand in the way of using it.
    pub warnings: Vec<Problem>,
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
/// `verify` runs even when the schema found mistakes, as long as leaving the mistaken parts out still gives
/// a `T`: the user sees both kinds in one pass.
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
        problems.extend(verify(document));
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
    let json = check::check(&schema, &tree, source.text(), problems)?;
    let complete = problems.is_empty();
    match serde_json::from_value(json) {
        Ok(value) => Some(Document { value, tree, complete, warnings: Vec::new() }),
        Err(_) if !complete => None,
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
