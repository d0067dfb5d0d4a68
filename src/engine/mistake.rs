//! Where a mistake in a template stands: its file, line and column, and the line itself.

use std::ops::Range;

use super::{Error, Library, error::reason};
use crate::yaml::{Source, Span};

/// Why a template does not render.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("failed to render {place}: {reason}")]
#[diagnostic(help("{help}"))]
pub struct Mistake {
    /// What was rendered: `templates/PATH:LINE:COLUMN`, or a string by the name of its user.
    place: String,
    reason: String,
    help: String,
    /// The text of the template, where it is a file.
    #[source_code]
    text: Option<Source>,
    #[label("here")]
    span: Option<Span>,
}

impl Mistake {
    /// In a template of the library, at these bytes of it.
    pub(super) fn at(
        library: &Library,
        path: &str,
        range: Range<usize>,
        reason: &str,
        help: &str,
    ) -> Mistake {
        let mut place = format!("templates/{path}");
        let text = library.template(path).ok().map(|text| Source::new(place.as_str(), text.into_owned()));
        if let Some(text) = &text {
            let (line, column) = text.position(range.start);
            place.push_str(&format!(":{line}:{column}"));
        }
        let span = text.is_some().then(|| Span::from((range.start, range.len().max(1))));
        Mistake { place, reason: reason.to_owned(), help: help.to_owned(), text, span }
    }

    /// What the language says of a template of the library, or of one that it includes.
    pub(super) fn of_template(library: &Library, path: &str, error: &minijinja::Error) -> Mistake {
        let told = reason(error);
        let path = told.name.as_deref().unwrap_or(path);
        let text = library.template(path).unwrap_or_default();
        let range = told.range.unwrap_or_else(|| line(&text, told.line.unwrap_or(1)));
        Mistake::at(library, path, range, &told.core, told.help)
    }

    /// What the language says of a string that errors call `place`, or of a template that it includes.
    pub(super) fn of_text(library: &Library, place: &str, error: &minijinja::Error) -> Mistake {
        let told = reason(error);
        if told.name.as_deref().is_some_and(|name| name != place && library.template(name).is_ok()) {
            return Mistake::of_template(library, place, error).used_by(place);
        }
        let line = told.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let place = format!("{place}{line}");
        Mistake { place, reason: told.words, help: told.help.to_owned(), text: None, span: None }
    }

    /// The same, saying for which statement a template was rendered.
    pub(super) fn used_by(self, user: &str) -> Mistake {
        Mistake { place: format!("{} (for {user})", self.place), ..self }
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Error {
        Error::Template(Box::new(mistake))
    }
}

/// The bytes of a line, by its number from 1. The language tells of some mistakes only that.
pub(super) fn line(text: &str, number: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find('\n').unwrap_or(rest.len())
}
