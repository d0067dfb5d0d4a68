//! What there is to say about a source, all of it, ready to be printed.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fmt::{self, Display},
    iter,
};

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode, SourceSpan};
use serde_json::json;

use super::{Source, source::Part};

/// A range of bytes in a source.
pub type Span = SourceSpan;

/// How many problems are printed in full; the JSON form has them all.
const PRINTED: usize = 50;
/// Bytes; a longer line is not shown, only its number.
const LONGEST_LINE: usize = 400;

/// One mistake, or something to think about: what was found, where, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A lowercase fragment that makes sense without the snippet.
    pub title: String,
    /// An error makes the source unusable; a warning points at what is probably not meant; advice is a note.
    pub severity: Severity,
    pub span: Span,
    /// What the snippet's marker says; may be empty.
    pub label: String,
    /// Other places that have to do with it.
    pub also: Vec<LabeledSpan>,
    /// Cause and fix.
    pub help: String,
    /// A value that must not be shown, beside this place.
    secret: Option<Span>,
    /// Line and column, where the line is not to be shown.
    place: Option<(usize, usize)>,
}

impl Problem {
    /// A mistake at this place, without a help so far.
    pub fn new(span: Span, title: impl Into<String>) -> Self {
        Problem {
            title: title.into(),
            severity: Severity::Error,
            span,
            label: String::from("here"),
            also: Vec::new(),
            help: String::new(),
            secret: None,
            place: None,
        }
    }

    /// Keeps the lines of this place and of a value beside it from being shown, also for other problems.
    #[must_use]
    pub(super) fn secret(mut self, value: Span) -> Self {
        self.secret = Some(value);
        self
    }

    /// Replaces what the marker under the snippet says.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With every place so many bytes further on.
    #[must_use]
    pub(super) fn shifted(mut self, by: usize) -> Self {
        self.span = shifted(self.span, by);
        self.also = self
            .also
            .into_iter()
            .map(|label| {
                LabeledSpan::new_with_span(label.label().map(str::to_owned), shifted(*label.inner(), by))
            })
            .collect();
        self
    }

    /// Makes it something that does not stand in the way.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
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
    /// Every place that it points at.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
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
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

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

/// Everything that there is to say about one source: mistakes first, each kind in the order of the text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.headline())]
pub struct Problems {
    text: Source,
    list: Vec<Problem>,
    title: Option<String>,
}

impl Problems {
    /// Sorts the problems by kind and place; the same mistake seen twice through an alias counts once.
    pub fn new(source: &Source, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (Reverse(problem.severity), problem.span.offset()));
        list.dedup();
        let line = |span: Span| source.line(span);
        let secrets = list.iter().filter_map(|problem| Some([problem.span, problem.secret?]));
        let secrets: HashSet<usize> = secrets.flatten().map(line).collect();
        // A snippet has the lines before and after as well.
        let shows =
            |span: Span| (line(span).saturating_sub(1)..=line(span) + 1).any(|it| secrets.contains(&it));
        for problem in list.iter_mut().take(PRINTED) {
            let long = problem.spans().any(|span| line_length(source.text(), span.offset()) > LONGEST_LINE);
            let told = !secrets.is_empty() && problem.spans().any(shows);
            problem.place = (long || told).then(|| source.position(problem.span.offset()));
        }
        Problems { text: source.clone(), list, title: None }
    }

    /// Replaces the headline, which otherwise counts the problems.
    #[must_use]
    pub fn title(self, title: impl Into<String>) -> Self {
        Problems { title: Some(title.into()), ..self }
    }

    /// Shows no line of the source, only where it is: for files that may hold secrets.
    #[must_use]
    pub fn without_text(mut self) -> Self {
        for problem in &mut self.list {
            problem.place = Some(self.text.position(problem.span.offset()));
        }
        self
    }

    /// Whether something makes the source unusable.
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The problems for programs: a list of objects with `severity` (`error`, `warning` or `note`), `file`, `line`
    /// and `column` (from 1, in characters), `message` and `help`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut cursors: HashMap<usize, Cursor<'_>> = HashMap::new();
        self.list
            .iter()
            .map(|problem| {
                let Part { name, text, start } = self.text.part(problem.span.offset());
                let cursor = cursors.entry(start).or_insert_with(|| Cursor::new(text));
                let (line, column) = cursor.advance(problem.span.offset() - start);
                json!({
                    "severity": word(problem.severity),
                    "file": name,
                    "line": line,
                    "column": column,
                    "message": problem.title,
                    "help": problem.help,
                })
            })
            .collect()
    }

    fn headline(&self) -> String {
        if let Some(title) = &self.title {
            return title.clone();
        }
        let counts =
            [(Severity::Error, "mistake"), (Severity::Warning, "warning"), (Severity::Advice, "note")];
        let counted = counts.into_iter().filter_map(|(severity, name)| {
            match self.list.iter().filter(|problem| problem.severity == severity).count() {
                0 => None,
                1 => Some(format!("1 {name}")),
                many => Some(format!("{many} {name}s")),
            }
        });
        let counted = counted.collect::<Vec<_>>().join(" and ");
        let shown = match self.list.len() > PRINTED {
            true => format!(", the first {PRINTED} are"),
            false => String::new(),
        };
        format!("{counted} in {}{shown}", self.text.name())
    }
}

/// A range so many bytes further on.
pub(super) fn shifted(span: Span, by: usize) -> Span {
    Span::from((span.offset() + by, span.len()))
}

/// How programs call a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Advice => "note",
    }
}

impl Diagnostic for Problems {
    fn severity(&self) -> Option<Severity> {
        self.list.iter().map(|problem| problem.severity).max()
    }

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
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    Cursor::new(text).advance(offset)
}

/// A place in a text. Moving forward costs only the way, so that many places in their order cost one pass.
struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    column: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Cursor { text, offset: 0, line: 1, column: 1 }
    }

    /// Moves to an offset; its line and column.
    fn advance(&mut self, offset: usize) -> (usize, usize) {
        if offset < self.offset {
            *self = Cursor::new(self.text);
        }
        for character in self.text.get(self.offset..offset).unwrap_or_default().chars() {
            match character {
                '\n' => (self.line, self.column) = (self.line + 1, 1),
                _ => self.column += 1,
            }
        }
        self.offset = offset;
        (self.line, self.column)
    }
}
