//! Inventories of Ansible in its INI format.
//!
//! https://docs.ansible.com/ansible/latest/collections/ansible/builtin/ini_inventory.html

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    ansible::{Ansible, Var, Vars},
    range::expand,
};
use crate::yaml::{Problem, Source, Span};

/// What the lines below a heading are.
enum Section {
    Hosts(String),
    Children(String),
    Vars(String),
}

/// Reads an inventory.
///
/// # Errors
/// Every line that cannot be understood.
pub(super) fn read(source: &Source) -> Result<Ansible, Vec<Problem>> {
    let file: Arc<str> = source.name().into();
    let (mut ansible, mut problems) = (Ansible::default(), Vec::new());
    let mut section = Section::Hosts("ungrouped".to_owned());
    let mut offset = 0;
    for (index, raw) in source.text().split_inclusive('\n').enumerate() {
        let line = raw.trim();
        let start = offset + raw.len() - raw.trim_start().len();
        offset += raw.len();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let mut taken = Line { file: &file, number: index + 1, ansible: &mut ansible };
        let read = match line.strip_prefix('[') {
            Some(heading) => taken.heading(heading).map(|next| section = next),
            None => taken.content(line, &section),
        };
        if let Err((reason, help)) = read {
            let problem = Problem::new(
                Span::from((start, line.len())),
                format!("a line that cannot be read: {reason}"),
            );
            problems.push(problem.help(help));
        }
    }
    if problems.is_empty() { Ok(ansible) } else { Err(problems) }
}

/// Why a line cannot be read, and what to do.
type Unreadable = (String, &'static str);

struct Line<'a> {
    file: &'a Arc<str>,
    number: usize,
    ansible: &'a mut Ansible,
}

impl Line<'_> {
    /// What stands behind the `[` of a heading.
    fn heading(&mut self, text: &str) -> Result<Section, Unreadable> {
        let (name, rest) = text
            .split_once(']')
            .ok_or_else(|| ("a heading without its `]`".to_owned(), "write it as [group]"))?;
        if !matches!(rest.trim_start().bytes().next(), None | Some(b'#' | b';')) {
            return Err(("something behind a heading".to_owned(), "give it a line of its own"));
        }
        let (group, kind) = name.trim().split_once(':').unwrap_or((name.trim(), "hosts"));
        self.ansible.group(group);
        match kind {
            "hosts" => Ok(Section::Hosts(group.to_owned())),
            "children" => Ok(Section::Children(group.to_owned())),
            "vars" => Ok(Section::Vars(group.to_owned())),
            other => Err((
                format!("`:{other}` behind the name of a group"),
                "what can be there are `:children` and `:vars`",
            )),
        }
    }

    fn content(&mut self, line: &str, section: &Section) -> Result<(), Unreadable> {
        match section {
            Section::Hosts(group) => self.hosts(line, group),
            Section::Children(group) => {
                let child = words(line)?.into_iter().next().unwrap_or_default();
                self.ansible.group(&child);
                self.ansible.group(group).children.insert(child);
                Ok(())
            }
            Section::Vars(group) => {
                let (name, value) = line
                    .split_once('=')
                    .ok_or_else(|| ("no `=`".to_owned(), "below `:vars` each line is name=value"))?;
                let var = self.var(unquoted(value.trim()));
                self.ansible.group(group).vars.insert(name.trim().to_owned(), var);
                Ok(())
            }
        }
    }

    /// `PATTERN name=value …`.
    fn hosts(&mut self, line: &str, group: &str) -> Result<(), Unreadable> {
        let words = words(line)?;
        let Some((pattern, settings)) = words.split_first() else { return Ok(()) };
        let mut vars = Vars::new();
        for setting in settings {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                // The word itself may be the second of a password.
                (
                    "a word that is no name=value".to_owned(),
                    "one host a line; put a value with spaces in quotes",
                )
            })?;
            vars.insert(name.to_owned(), self.var(value));
        }
        let (pattern, port) = port_of(pattern);
        if let Some(port) = port {
            vars.entry("ansible_port".to_owned()).or_insert_with(|| self.var(port));
        }
        let names = expand(pattern).map_err(|reason| (reason, "compare it with Ansible's documentation"))?;
        for name in names {
            self.ansible.add(&name, group).vars.extend(vars.clone());
        }
        Ok(())
    }

    fn var(&self, text: &str) -> Var {
        Var { value: literal(text), file: Arc::clone(self.file), line: self.number }
    }
}

/// `HOST:PORT`; a colon inside of a range belongs to the range.
fn port_of(pattern: &str) -> (&str, Option<&str>) {
    match pattern.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if host.contains(':') && !host.contains(']') { (pattern, None) } else { (host, Some(port)) }
        }
        _ => (pattern, None),
    }
}

/// The words of a line as a shell would divide it; what follows a `#` is a comment.
fn words(line: &str) -> Result<Vec<String>, Unreadable> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(("a quote that is not closed".to_owned(), "close it, or put a backslash before it"));
    }
    words.extend(word);
    Ok(words)
}

/// Without the quotes around it.
fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text: &str| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// A value as Python would read it, as far as it matters: lists and maps, and strings for everything else.
fn literal(text: &str) -> Json {
    if !text.starts_with(['{', '[']) || text.starts_with("{{") {
        return Json::from(text);
    }
    let read = |text: &str| serde_json::from_str(text).ok();
    read(text).or_else(|| read(&text.replace('\'', "\""))).unwrap_or_else(|| Json::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_divided_as_in_a_shell() {
        for (line, divided) in [
            ("a b=c  d", &["a", "b=c", "d"][..]),
            ("a x='1 2' y=\"3 '4'\" # rest", &["a", "x=1 2", "y=3 '4'"]),
            (r#"a x=\"1\" y="\"" z=''"#, &["a", "x=\"1\"", "y=\"", "z="]),
            ("a#b", &["a#b"]),
        ] {
            assert_eq!(words(line).unwrap(), divided, "{line}");
        }
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn a_port_is_told_from_a_range_and_from_an_ipv6_address() {
        for (pattern, divided) in [
            ("n1", ("n1", None)),
            ("n1:2222", ("n1", Some("2222"))),
            ("n[1:3]", ("n[1:3]", None)),
            ("n[1:3]:22", ("n[1:3]", Some("22"))),
            ("fd00::1", ("fd00::1", None)),
        ] {
            assert_eq!(port_of(pattern), divided, "{pattern}");
        }
    }

    #[test]
    fn maps_of_python_are_read_and_templates_left_alone() {
        assert_eq!(literal("{'disk': 'ssd'}"), serde_json::json!({"disk": "ssd"}));
        assert_eq!(literal("[\"a\"]"), serde_json::json!(["a"]));
        for text in ["{{ user }}", "{'a'", "true", "1.20"] {
            assert_eq!(literal(text), Json::from(text));
        }
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told() {
        let text = "[all\nx\n[a:b]\n[c] d\nn1 a\nn[1:x]\n[all:vars]\nfoo\nbar='x\n[e:children]\n'f\n";
        let problems = read(&Source::new("hosts.ini", text)).unwrap_err();
        let titles: Vec<&str> = problems
            .iter()
            .map(|it| it.title.strip_prefix("a line that cannot be read: ").unwrap())
            .collect();
        assert_eq!(
            titles,
            [
                "a heading without its `]`",
                "`:b` behind the name of a group",
                "something behind a heading",
                "a word that is no name=value",
                "`[1:x]` is no range; write one as [1:10], [01:10] or [a:c]",
                "no `=`",
                "a quote that is not closed"
            ]
        );
    }
}
