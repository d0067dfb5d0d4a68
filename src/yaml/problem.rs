//! Mistakes in a source, all of them, ready to be printed.

use std::{
    fmt::{self, Display},
    iter,
    sync::Arc,
};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};
use serde_json::json;

use super::Source;

/// A range of bytes in a source.
pub type Span = SourceSpan;

/// How many problems are printed in full; the JSON form has them all.
const PRINTED: usize = 50;
/// Bytes; a longer line is not shown, only its number.
const LONGEST_LINE: usize = 400;

/// One mistake: what was found, where, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A lowercase fragment that makes sense without the snippet.
    pub title: String,
    pub span: Span,
    /// What the snippet's marker says; may be empty.
    pub label: String,
    /// Other places that have to do with it.
    pub also: Vec<LabeledSpan>,
    /// Cause and fix.
    pub help: String,
    /// Line and column, where the line is too long to be shown.
    place: Option<(usize, usize)>,
}

impl Problem {
    pub fn new(span: Span, title: impl Into<String>) -> Self {
        Problem {
            title: title.into(),
            span,
            label: String::from("here"),
            also: Vec::new(),
            help: String::new(),
            place: None,
        }
    }

    /// Replaces what the marker under the snippet says.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Marks another place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push(LabeledSpan::new_with_span(Some(label.into()), span));
        self
    }

    /// Says how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl Problem {
    fn spans(&self) -> impl Iterator<Item = Span> {
        iter::once(self.span).chain(self.also.iter().map(|label| *label.inner()))
    }
}

impl Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title)?;
        match self.place {
            Some((line, column)) => write!(formatter, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.place.is_some() {
            return None;
        }
        let primary = LabeledSpan::new_primary_with_span(Some(self.label.clone()), self.span);
        Some(Box::new(iter::once(primary).chain(self.also.iter().cloned())))
    }
}

/// Every mistake in one source, in the order of the text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.headline())]
pub struct Problems {
    text: NamedSource<Arc<str>>,
    list: Vec<Problem>,
}

impl Problems {
    /// Sorts the problems by place; the same mistake seen twice through an alias counts once.
    pub fn new(source: &Source, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.span.offset());
        list.dedup();
        for problem in list.iter_mut().take(PRINTED) {
            let long = problem.spans().any(|span| line_length(source.text(), span.offset()) > LONGEST_LINE);
            problem.place = long.then(|| position(source.text(), problem.span.offset()));
        }
        Problems { text: NamedSource::new(source.name(), source.shared_text()), list }
    }

    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The problems for programs: a list of objects with `file`, `line` and `column` (from 1, in characters),
    /// `message` and `help`.
    pub fn to_json(&self) -> serde_json::Value {
        let text = self.text.inner();
        self.list
            .iter()
            .map(|problem| {
                let (line, column) = position(text, problem.span.offset());
                json!({
                    "file": self.text.name(),
                    "line": line,
                    "column": column,
                    "message": problem.title,
                    "help": problem.help,
                })
            })
            .collect()
    }

    fn headline(&self) -> String {
        let name = self.text.name();
        match self.list.len() {
            1 => format!("1 mistake in {name}"),
            count if count > PRINTED => format!("{count} mistakes in {name}, the first {PRINTED} are"),
            count => format!("{count} mistakes in {name}"),
        }
    }
}

impl Diagnostic for Problems {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.list.iter().take(PRINTED).map(|problem| problem as &dyn Diagnostic)))
    }
}

/// Bytes in the line around an offset.
fn line_length(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or_default().rsplit('\n').next().map_or(0, str::len);
    let after = text.get(offset..).unwrap_or_default().split('\n').next().map_or(0, str::len);
    before + after
}

/// Line and column of a byte offset, both from 1; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
