//! Where in a source a part of a string stands: the way back from what YAML made of it to what is written.

use super::{Node, Span, Value};

/// How a string is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Without quotes, or as a block.
    Bare,
    /// `'…'`, where a quote is written twice.
    Single,
    /// `"…"`, with escapes.
    Double,
}

impl Node {
    /// The place of a part of this string, from a byte of its value to at most `length` bytes further on in the same
    /// line; the place of the string itself when it is none, or when the way back is lost.
    pub fn inside(&self, source: &str, offset: usize, length: usize) -> Span {
        let Value::String(value) = &self.value else { return self.span };
        let start = self.span.offset();
        // The span of a block begins with its first line, which may have quotes of its own.
        let quoted = match source.get(start..).and_then(|text| text.chars().next()) {
            Some('\'') => Some(Style::Single),
            Some('"') => Some(Style::Double),
            _ => None,
        };
        let quoted = quoted.and_then(|style| way_back(source, start + 1, style, value, offset));
        let found = quoted.or_else(|| way_back(source, start, Style::Bare, value, offset));
        let Some(place) = found else { return self.span };
        let rest = source.get(place..).unwrap_or_default();
        let line = rest.find('\n').unwrap_or(rest.len());
        let length = length.min(line);
        // Within a character there is no place.
        let length = (0..=length).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or_default();
        Span::from((place, length))
    }
}

/// Walks along both, the value and what is written. Line ends and indentation are where YAML differs: any white space of
/// the value stands for any that is written.
fn way_back(source: &str, start: usize, style: Style, value: &str, offset: usize) -> Option<usize> {
    let mut at = start;
    for (index, letter) in value.char_indices() {
        let rest = source.get(at..)?;
        if letter.is_whitespace() {
            if index >= offset {
                return Some(at);
            }
            // A line end may stand for a space, and several of them for one less.
            if rest.starts_with(letter) {
                at += letter.len_utf8();
            } else if style == Style::Double && rest.starts_with('\\') {
                at += escape(rest)?;
            }
            continue;
        }
        at += spaces(rest);
        // A line that goes on in the next one, without a space between them.
        while style == Style::Double && source.get(at..)?.starts_with("\\\n") {
            at += 1 + spaces(source.get(at + 1..)?);
        }
        if index >= offset {
            return Some(at);
        }
        let rest = source.get(at..)?;
        at += match style {
            Style::Single if letter == '\'' => rest.starts_with("''").then_some(2)?,
            Style::Double if rest.starts_with('\\') => escape(rest)?,
            _ => rest.starts_with(letter).then_some(letter.len_utf8())?,
        };
    }
    // What is missing at the end is missing where the value ends.
    (offset >= value.len()).then_some(at)
}

/// How much white space a text begins with, in bytes.
fn spaces(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// How long an escape of a double-quoted string is, in bytes.
fn escape(rest: &str) -> Option<usize> {
    Some(match rest.chars().nth(1)? {
        'x' => 4,
        'u' => 6,
        'U' => 10,
        other => 1 + other.len_utf8(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Source, tree};

    /// Line, column and text of the mark `@` and what follows it, in the string of the key `a`.
    fn found(text: &str) -> (usize, usize, String) {
        let source = Source::new("test", text);
        let (root, problems) = tree(&source);
        assert!(problems.is_empty(), "{text}");
        let root = root.unwrap();
        let node = root.get(&["a"]).unwrap();
        let value = node.to_json();
        let value = value.as_str().unwrap();
        let span = node.inside(text, value.find('@').unwrap(), 3);
        let (line, column) = source.position(span.offset());
        (line, column, text[span.offset()..span.offset() + span.len()].to_owned())
    }

    #[test]
    fn a_mark_is_found_however_the_string_is_written() {
        for text in [
            "a: one @xy two\n",
            "a: one\n  two @xy\n",
            "a: one\n\n  two\n\n\n  @xy three\n",
            "a: 'it''s one @xy'\n",
            "a: 'one\n  it''s\n\n  ä @xy'\n",
            "a: \"one \\\"two\\\" \\u00e4 \\x41\\t @xy\"\n",
            "a: \"one\\n\\ntwo @xy\"\n",
            "a: \"one \\\n  two\\\n  three\n\n  @xy\"\n",
            "a: |\n  one\n  two @xy\n",
            "a: |\n  'one'\n\n    two\n\n  \"@xy\"\n",
            "a: | # a comment\n\n\n  one\n   @xy\n",
            "a: |2-\n    one\n  @xy\n",
            "b: 1\na: >-\n  one\n  two\n\n  three\n    four\n  @xy five\n",
            "a: >\n  {% if x %}\n  ä{{ @xy }}\n",
            "b: &anchor |\n  one\n  @xy\na: *anchor\n",
        ] {
            let (line, column, marked) = found(text);
            let mark = text.find('@').unwrap();
            let expected_line = text[..mark].matches('\n').count() + 1;
            let expected_column = text[..mark].rsplit('\n').next().unwrap().chars().count() + 1;
            assert_eq!((line, column, marked.as_str()), (expected_line, expected_column, "@xy"), "{text}");
        }
    }

    #[test]
    fn what_has_no_way_back_is_the_string_itself() {
        let text = "a: 12\nb: [one, two]\n";
        let (root, _) = tree(&Source::new("test", text));
        let root = root.unwrap();
        for path in [&["a"][..], &["b"]] {
            let node = root.get(path).unwrap();
            assert_eq!(node.inside(text, 1, 1), node.span, "{path:?}");
        }
        let one = root.get(&["b", "0"]).unwrap();
        assert_eq!(one.inside("a: 12\nb: [two, two]\n", 2, 1), one.span);
        // At the end, and beyond a character.
        assert_eq!(one.inside(text, 3, 9).offset(), text.find("one").unwrap() + 3);
        let text = "a: é\n";
        let (root, _) = tree(&Source::new("test", text));
        let root = root.unwrap();
        assert_eq!(root.get(&["a"]).unwrap().inside(text, 0, 1).len(), 0);
    }
}
