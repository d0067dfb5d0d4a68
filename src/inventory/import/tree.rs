//! Inventories of Ansible in YAML, and the variables of group_vars and host_vars.
//!
//! https://docs.ansible.com/ansible/latest/collections/ansible/builtin/yaml_inventory.html

use std::sync::Arc;

use indexmap::IndexMap;

use super::{
    ansible::{Ansible, Var, Vars},
    range::expand,
    values::secret,
};
use crate::yaml::{self, Entry, Node, Problem, Problems, Source, Value};

/// Reads an inventory.
///
/// # Errors
/// When it is no YAML, or has not the form of an inventory.
pub(super) fn read(source: &Source) -> Result<Ansible, Problems> {
    let (tree, mut problems) = yaml::tree(source);
    let mut reader = Reader { source, ansible: Ansible::default() };
    let Some(tree) = tree else { return Err(Problems::new(source, problems)) };
    reader.tell(&problems);
    problems.clear();
    match &tree.value {
        Value::Map(groups) => {
            groups.iter().for_each(|(name, entry)| reader.group(name, &entry.node, &mut problems))
        }
        _ => problems.push(wrong(
            &tree,
            "an inventory of Ansible is a map of groups",
            "write `all:` and `hosts:` below it",
        )),
    }
    if problems.is_empty() { Ok(reader.ansible) } else { Err(Problems::new(source, problems)) }
}

/// The variables of a file of group_vars or host_vars, and what could not be read of it.
///
/// # Errors
/// When it is no YAML.
pub(super) fn read_vars(source: &Source) -> Result<(Vars, Vec<String>), Problems> {
    let (tree, problems) = yaml::tree(source);
    let mut reader = Reader { source, ansible: Ansible::default() };
    let Some(tree) = tree else {
        // A file of nothing but comments is usual there.
        let empty = source
            .text()
            .lines()
            .all(|line| matches!(line.trim(), "" | "---") || line.trim().starts_with('#'));
        return if empty { Ok(Default::default()) } else { Err(Problems::new(source, problems)) };
    };
    reader.tell(&problems);
    let vars = match &tree.value {
        Value::Map(entries) => reader.vars(entries),
        _ => Vars::new(),
    };
    Ok((vars, reader.ansible.notes))
}

fn wrong(node: &Node, title: &str, help: &str) -> Problem {
    Problem::new(node.span, title).help(help)
}

struct Reader<'a> {
    source: &'a Source,
    ansible: Ansible,
}

impl Reader<'_> {
    /// Notes what was left out, without quoting it. Tags have notes of their own where the variable is known.
    fn tell(&mut self, problems: &[Problem]) {
        let told = problems.iter().filter(|problem| problem.title != yaml::TAGS);
        let notes = told.map(|problem| {
            format!("{}: left out, for readers of YAML disagree about it", self.place(problem.span))
        });
        self.ansible.notes.extend(notes.collect::<Vec<_>>());
    }

    fn place(&self, span: yaml::Span) -> String {
        format!("{}:{}", self.source.name(), self.source.line(span))
    }

    fn group(&mut self, name: &str, node: &Node, problems: &mut Vec<Problem>) {
        self.ansible.group(name);
        let Value::Map(parts) = &node.value else {
            if !matches!(node.value, Value::Null) {
                problems.push(wrong(
                    node,
                    "a group is a map",
                    "what can be below it are `hosts`, `children` and `vars`",
                ));
            }
            return;
        };
        for (part, entry) in parts {
            let entries = match &entry.node.value {
                Value::Map(entries) => entries,
                Value::Null => continue,
                _ => {
                    problems.push(wrong(
                        &entry.node,
                        &format!("`{part}` of a group is a map"),
                        "end each name with a `:`",
                    ));
                    continue;
                }
            };
            match part.as_str() {
                "hosts" => {
                    entries.iter().for_each(|(pattern, entry)| self.hosts(name, pattern, entry, problems))
                }
                "children" => entries.iter().for_each(|(child, entry)| {
                    self.ansible.group(name).children.insert(child.clone());
                    self.group(child, &entry.node, problems);
                }),
                "vars" => {
                    let vars = self.vars(entries);
                    self.ansible.group(name).vars.extend(vars);
                }
                other => {
                    let place = self.place(entry.key_span);
                    self.ansible.notes.push(format!("{place}: left out: `{other}` is no part of a group"));
                }
            }
        }
    }

    fn hosts(&mut self, group: &str, pattern: &str, entry: &Entry, problems: &mut Vec<Problem>) {
        let vars = match &entry.node.value {
            Value::Map(entries) => self.vars(entries),
            _ => Vars::new(),
        };
        match expand(pattern) {
            Ok(names) => {
                for name in names {
                    self.ansible.add(&name, group).vars.extend(vars.clone());
                }
            }
            Err(reason) => {
                problems.push(
                    Problem::new(entry.key_span, reason).help("compare it with Ansible's documentation"),
                );
            }
        }
    }

    fn vars(&mut self, entries: &IndexMap<String, Entry>) -> Vars {
        let mut vars = Vars::new();
        for (name, Entry { key_span, node }) in entries {
            if matches!(node.value, Value::Invalid) {
                let place = self.place(*key_span);
                let advice = secret(name).map(|advice| format!("; {advice}")).unwrap_or_default();
                self.ansible.notes.push(format!(
                    "{place}: `{name}` is not taken over: it is encrypted, or not to be read without Ansible{advice}"
                ));
                continue;
            }
            let line = self.source.line(*key_span);
            vars.insert(
                name.clone(),
                Var { value: node.to_json(), file: Arc::from(self.source.name()), line },
            );
        }
        vars
    }
}
