//! The names that a template of a role may use.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::syntax::Syntax;
use crate::yaml::{listed, nearest};

/// What every template sees, whatever the role.
const ALWAYS: [&str; 5] = ["cluster", "facts", "host", "hosts", "vars"];

/// The names at one place of a role.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub role: &'a str,
    /// The role's defaults: what is under `vars`, as far as the role knows.
    pub defaults: &'a Map<String, Value>,
    /// What the inventory must give under `vars`.
    pub inputs: &'a [String],
    /// Whether these two could be read; else any variable may be there.
    pub declared: bool,
    /// Whether there is an element of a loop.
    pub item: bool,
    /// The late values that roles provide, where they may be used.
    pub late: Option<BTreeSet<String>>,
    /// Functions of the template language.
    pub globals: BTreeSet<String>,
}

impl Scope<'_> {
    /// The names that are not there: each with what is wrong and what to do.
    pub fn unknown<'s>(&'s self, syntax: &'s Syntax) -> impl Iterator<Item = (&'s str, String, String)> + 's {
        syntax.names.iter().filter_map(|name| {
            let (title, help) = self.wrong(name)?;
            Some((name.as_str(), title, help))
        })
    }

    fn wrong(&self, name: &str) -> Option<(String, String)> {
        let segments: Vec<&str> = name.split('.').collect();
        match (segments[0], &segments[1..]) {
            ("vars", path) if self.declared => self.wrong_variable(path),
            ("vars", _) => None,
            ("item", _) if self.item => None,
            ("item", _) => Some((
                "`item` exists only in a task with a `loop`".to_string(),
                "add `loop:`, or name the value itself".to_string(),
            )),
            ("late", path) => self.wrong_late_value(path.first().copied()),
            (root, _) if ALWAYS.contains(&root) || self.globals.contains(root) => None,
            (root, _) => {
                let help = match nearest(root, ALWAYS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "templates see {}; a value of the inventory is `vars.{root}`",
                        listed(ALWAYS, "and")
                    ),
                };
                Some((format!("`{root}` is not defined"), help))
            }
        }
    }

    /// Follows a name through the defaults, as far as they say what is there.
    fn wrong_variable(&self, path: &[&str]) -> Option<(String, String)> {
        let mut map = self.defaults;
        for (depth, segment) in path.iter().enumerate() {
            if depth == 0 && self.inputs.iter().any(|input| input == segment) {
                return None;
            }
            match map.get(*segment) {
                Some(Value::Object(inner)) => map = inner,
                Some(_) => return None,
                None => {
                    let name = format!("vars.{}", path[..=depth].join("."));
                    let help = match nearest(segment, map.keys().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "add it to its `defaults`, or to its `inputs` if the inventory must give it"
                            .to_string(),
                    };
                    return Some((
                        format!("`{name}` is not among the defaults and inputs of role `{}`", self.role),
                        help,
                    ));
                }
            }
        }
        None
    }

    fn wrong_late_value(&self, name: Option<&str>) -> Option<(String, String)> {
        let Some(provided) = &self.late else {
            let title = "a late value may be used only in the standard input of a command".to_string();
            return Some((title, "give it to a command by `stdin`, so that nobody sees it".to_string()));
        };
        match name {
            Some(name) if provided.contains(name) => None,
            Some(name) => {
                let known = listed(provided.iter().map(String::as_str), "and");
                Some((format!("no role provides `late.{name}`"), format!("roles provide {known}")))
            }
            None => Some((
                "it does not say which late value it uses".to_string(),
                "write `late.NAME.KEY`".to_string(),
            )),
        }
    }
}
