//! Every mistake in roles and their templates that can be found without a host and without an inventory.

mod built_in;
mod role;
mod scope;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use role::Linted;

use super::{
    Error, Library, RoleFile, Templates,
    syntax::{Operator, Syntax},
};
use crate::yaml::{self, Problem, Problems, Source, Span, Value, nearest};

/// Every mistake in these roles and in the templates that they use, file by file. When all roles of the library are
/// asked for, templates that nobody uses are mistakes as well.
///
/// # Errors
/// Unknown roles, and files that cannot be read.
pub fn lint(library: &Library, roles: &[String]) -> Result<Vec<Problems>, Error> {
    let all = library.roles();
    let mut linter = Linter {
        library,
        templates: Templates::new(library.clone()),
        provided: provided(library, &all),
        known: all.clone(),
        used: BTreeSet::new(),
        problems: BTreeMap::new(),
    };
    let mut found = Vec::new();
    for role in if roles.is_empty() { &all } else { roles } {
        let source = library.role_source(role)?;
        let read = yaml::read_and::<RoleFile>(&source, |document| {
            Linted::new(&mut linter, role, document, source.text()).problems()
        });
        found.extend(read.err());
    }
    if roles.is_empty() {
        linter.unused();
    }
    for (path, problems) in linter.problems {
        let source = Source::new(format!("templates/{path}"), library.template(&path)?.into_owned());
        found.push(Problems::new(&source, problems));
    }
    Ok(found)
}

/// Which roles provide each late value, whatever else is wrong in them.
fn provided(library: &Library, roles: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut provided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in roles {
        let tree = library.role_source(role).ok().and_then(|source| yaml::tree(&source).0);
        if let Some(Value::Map(names)) =
            tree.as_ref().and_then(|it| it.get(&["provides"])).map(|it| &it.value)
        {
            for name in names.keys() {
                provided.entry(name.clone()).or_default().push(role.clone());
            }
        }
    }
    provided
}

/// What is the same for all roles.
struct Linter<'a> {
    library: &'a Library,
    templates: Templates,
    /// The names of all roles.
    known: Vec<String>,
    /// Late values and the roles that provide them.
    provided: BTreeMap<String, Vec<String>>,
    /// Templates that somebody uses.
    used: BTreeSet<String>,
    /// Mistakes in templates, by path.
    problems: BTreeMap<String, Vec<Problem>>,
}

impl Linter<'_> {
    /// The filters and tests of a text that the template language does not have: where, and what is wrong.
    fn unknown_operators(&self, syntax: &Syntax) -> Vec<(Span, String, String)> {
        let mut unknown: Vec<Operator> = syntax.operators();
        unknown.retain(|operator| !self.templates.knows(operator));
        let told = unknown.into_iter().map(|Operator { name, test, offset }| {
            let kind = if test { "test" } else { "filter" };
            let own = [
                "to_yaml", "merge", "tojson", "join", "default", "length", "replace", "indent", "sort",
                "unique",
            ];
            let help = match nearest(&name, own).filter(|_| !test) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("https://docs.rs/minijinja/latest/minijinja/{kind}s lists those that there are")
                }
            };
            (Span::from((offset, name.len())), format!("there is no {kind} `{name}`"), help)
        });
        told.collect()
    }
}

fn syntax_problem(what: &str, error: &minijinja::Error, span: Span) -> Problem {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    Problem::new(span, format!("this is no {what}{detail}"))
        .help("docs/roles.md says how templates are written")
}
