//! Where a mistake of a statement stands in its role's file, found again only when there is one.

use super::{Error, Library, Mistake, error::reason, mistake::line};
use crate::yaml::{self, Problem, Problems, Span};

/// A statement of a role, as errors speak of it.
pub(super) struct Statement<'a> {
    library: &'a Library,
    pub role: &'a str,
    /// Its number among the tasks.
    task: usize,
    name: &'a str,
    /// The statement, in words.
    pub words: String,
}

impl<'a> Statement<'a> {
    pub fn new(library: &'a Library, role: &'a str, task: usize, name: &'a str) -> Statement<'a> {
        let words = format!("roles/{role}/role.yaml, task \"{name}\"");
        Statement { library, role, task, name, words }
    }

    /// An error in the string at this path of the statement: one of its own with line and column, one of a template
    /// that it includes as it is.
    pub fn text(&self, path: &[&str], text: &str, error: minijinja::Error) -> Error {
        let told = reason(&error);
        if told.name.as_deref().is_some_and(|name| name != self.words && name != EXPRESSION) {
            return Mistake::of_template(self.library, "", &error).used_by(&self.words).into();
        }
        let range = told.range.unwrap_or_else(|| {
            let start = line(text, told.line.unwrap_or(1)).start;
            start..start
        });
        self.problem(path, Some((range.start, range.len().max(1))), &told.core, told.help)
    }

    /// A mistake at this path of the statement; where it ends early in the file, at the last thing that is there.
    /// `part` is where in the string there, and how long, in bytes.
    pub fn problem(&self, path: &[&str], part: Option<(usize, usize)>, title: &str, help: &str) -> Error {
        let source = match self.library.role_source(self.role) {
            Ok(source) => source,
            Err(error) => return error,
        };
        let tree = yaml::tree(&source).0;
        let index = self.task.to_string();
        let path = [&["tasks", index.as_str()], path].concat();
        let node = tree.as_ref().and_then(|tree| tree.get(&path));
        let span = match (node, part) {
            (Some(node), Some((offset, length))) => node.inside(source.text(), offset, length),
            _ => tree.map_or(Span::from((0, 0)), |tree| tree.at(&path)),
        };
        let problems = Problems::new(&source, vec![Problem::new(span, title).help(help)]);
        problems
            .title(format!("the task \"{}\" of the role \"{}\" has a mistake", self.name, self.role))
            .into()
    }
}

/// How the template language calls an expression.
const EXPRESSION: &str = "<expression>";
