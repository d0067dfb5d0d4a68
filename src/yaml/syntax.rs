//! What the parser could not read, in words that say what to do.

use granit_parser::{ErrorKind, ScanError};

use super::{Problem, Span};

/// The problem behind a parser's error.
pub(super) fn problem(text: &str, error: &ScanError) -> Problem {
    let offset = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let (title, help) = explain(error.kind());
    if let Some(tab) = is_tab(error.kind()).then(|| next_tab(text, offset)).flatten() {
        return Problem::new(Span::from((tab, 1)), title).label("a tab").help(help);
    }
    let length = match text.get(offset..).and_then(|rest| rest.chars().next()) {
        Some(character) if !character.is_control() => character.len_utf8(),
        _ => 0,
    };
    let span = Span::from((offset, length));
    Problem::new(span, title).label("the reader got lost here").help(help)
}

/// The tab that is meant by an error at `offset`, which may be anywhere between the value before the tab and
/// the end of the tab.
fn next_tab(text: &str, offset: usize) -> Option<usize> {
    let line = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    text.get(line..)?.find('\t').map(|tab| line + tab)
}

fn is_tab(kind: &ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        kind,
        E::TabNotAllowed
            | E::TabInBlockIndentation
            | E::TabInIndentation
            | E::TabAtBlockScalarStart
            | E::TabInPlainScalar
            | E::InvalidBlockEntryWhitespace
            | E::InvalidMappingValueWhitespace
    )
}

fn explain(kind: &ErrorKind) -> (String, &'static str) {
    use ErrorKind as E;
    let (title, help) = match kind {
        kind if is_tab(kind) => {
            ("a tab where YAML allows only spaces", "indent with two spaces; set the editor to do so")
        }
        E::UnexpectedCharacter { character: '\0' } => {
            ("a NUL byte", "this is not a text file, or it was damaged: write it anew")
        }
        E::UnexpectedCharacter { character } => {
            return (
                format!("`{}` cannot begin a value", character.escape_default()),
                "put the value in quotes: \"…\"",
            );
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement => (
            "a `:` where no key can be",
            "a value that contains `: ` must be in quotes; keys of one map start in the same column; a bracket opened before may not be closed",
        ),
        E::UnknownAnchor => (
            "an alias without an anchor",
            "`*name` needs `&name` before it; a string that begins with `*` must be in quotes",
        ),
        E::ExpectedBlockMappingKey | E::InvalidIndentation | E::MappingKeyNotAllowed => {
            ("a line that fits no level of indentation", "keys of one map start in the same column")
        }
        E::ExpectedBlockSequenceEntry => (
            "a key where the next `-` of a list was expected",
            "indent the list below its key, and do not mix list items and keys on one level",
        ),
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            ("a `-` where no list can begin", "begin a list on the line below its key, or write it as [a, b]")
        }
        E::UnclosedQuotedScalar | E::InvalidQuotedScalarIndent | E::DocumentIndicatorInQuotedScalar => {
            ("a quote that is not closed", "close the string with the same quote it began with")
        }
        E::UnknownQuotedScalarEscape | E::InvalidQuotedScalarHexEscape => (
            "an unknown escape in a double-quoted string",
            "write a backslash as `\\\\`, or use single quotes, in which it means itself",
        ),
        E::UnclosedFlowCollection { .. }
        | E::UnexpectedEofFlowSequence
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::ExpectedFlowMappingSeparator
        | E::ExpectedFlowSequenceSeparator
        | E::MisplacedFlowCollectionEnd
        | E::MismatchedFlowCollectionEnd { .. } => (
            "brackets that do not match",
            "each `[` needs its `]` and each `{` its `}`, with commas between the items",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            ("a key without `:`", "write `key: value`, with a space after the colon")
        }
        E::RecursionLimitExceeded => return (too_deep_title(), TOO_DEEP_HELP),
        E::DirectiveDisallowed | E::UndeclaredTagHandle => {
            ("a YAML directive or tag", "write the file without `%` and `!`")
        }
        other => {
            return (
                format!("YAML that cannot be read: {other}"),
                "compare the indentation and the brackets around this place",
            );
        }
    };
    (title.to_owned(), help)
}

const TOO_DEEP_HELP: &str = "no file that people write is nested so deep: are brackets missing their ends?";

fn too_deep_title() -> String {
    "nested too deep".to_owned()
}

/// The problem of a document with more levels than are read.
pub(super) fn too_deep(span: Span) -> Problem {
    Problem::new(span, too_deep_title()).label("the limit is reached here").help(TOO_DEEP_HELP)
}

/// The part of a range that is on its first line, without the white space at its end.
pub(super) fn first_line(text: &str, start: usize, end: usize) -> Span {
    let part = text.get(start..end).unwrap_or_default();
    let line = part.lines().next().unwrap_or_default().trim_end();
    Span::from((start, line.len()))
}
