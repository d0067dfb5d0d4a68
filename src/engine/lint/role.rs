//! Mistakes in a role's own file.

use std::collections::BTreeSet;

use super::{
    super::{
        compile::plain,
        role::{RoleFile, TaskSpec, kind_problems},
        syntax::{Include, Syntax},
    },
    Linter, built_in,
    scope::Scope,
    syntax_problem,
};
use crate::{
    task::is_template,
    yaml::{Document, Node, Problem, Span, Value, nearest},
};

/// One role that is looked through.
pub(super) struct Linted<'a, 'l> {
    linter: &'a mut Linter<'l>,
    role: &'a str,
    document: &'a Document<RoleFile>,
    /// The text of the file.
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a, 'l> Linted<'a, 'l> {
    pub fn new(
        linter: &'a mut Linter<'l>,
        role: &'a str,
        document: &'a Document<RoleFile>,
        text: &'a str,
    ) -> Linted<'a, 'l> {
        Linted { linter, role, document, text, problems: kind_problems(document) }
    }

    /// Every mistake, those in templates aside, which go to the linter.
    pub fn problems(mut self) -> Vec<Problem> {
        self.needs();
        self.provides();
        self.problems.extend(built_in::mistakes(self.document));
        let file = &self.document.value;
        for (index, name) in
            file.inputs.iter().enumerate().filter(|(_, name)| file.defaults.contains_key(*name))
        {
            let span = self.document.tree.at(&["inputs", &index.to_string()]);
            let title = format!("`{name}` is an input and has a default");
            self.problems
                .push(Problem::new(span, title).help("an input is what has none: remove one of them"));
        }
        // A task that could not be read is left out, and the numbers of those after it are others.
        for (index, task) in self.document.kept(&["tasks"]).into_iter().zip(&file.tasks) {
            self.task(index, task);
        }
        self.problems
    }

    fn needs(&mut self) {
        for (index, need) in self.document.value.needs.iter().enumerate() {
            let span = self.document.tree.at(&["needs", &index.to_string()]);
            if !self.linter.known.contains(need) {
                let help = match nearest(need, self.linter.known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the roles are: {}", self.linter.known.join(", ")),
                };
                self.problems.push(Problem::new(span, format!("there is no role `{need}`")).help(help));
            } else if let Some(circle) = self.circle(need) {
                let title = format!("roles need each other in a circle: {}", circle.join(" -> "));
                self.problems
                    .push(Problem::new(span, title).help("remove one of them from the `needs` of the other"));
            }
        }
    }

    /// The way from this role by a need of it back to itself.
    fn circle(&self, need: &str) -> Option<Vec<String>> {
        let mut open = vec![vec![self.role.to_string(), need.to_string()]];
        let mut seen = BTreeSet::new();
        while let Some(path) = open.pop() {
            let last = path.last()?;
            if last == self.role {
                return Some(path);
            }
            if seen.insert(last.clone())
                && let Ok(file) = self.linter.library.role(last)
            {
                open.extend(file.needs.into_iter().map(|next| [path.clone(), vec![next]].concat()));
            }
        }
        None
    }

    fn provides(&mut self) {
        for name in self.document.value.provides.keys() {
            let others =
                self.linter.provided.get(name).into_iter().flatten().filter(|role| *role != self.role);
            for other in others {
                let span = self.document.tree.key_at(&["provides", name]);
                let title = format!("role `{other}` provides `{name}`, too");
                self.problems.push(Problem::new(span, title).help("rename one of them"));
            }
        }
    }

    fn task(&mut self, index: usize, task: &TaskSpec) {
        let index = index.to_string();
        let document = self.document;
        let at = |path: &[&str]| document.tree.at(&[&["tasks", index.as_str()], path].concat());
        let file = &document.value;
        let scope = Scope {
            role: self.role,
            defaults: &file.defaults,
            inputs: &file.inputs,
            declared: document.is_whole(&["defaults"]) && document.is_whole(&["inputs"]),
            item: task.each.is_some() || !document.is_whole(&["tasks", &index, "loop"]),
            late: None,
            globals: self.linter.templates.globals(),
        };
        for (key, text, item) in [("loop", &task.each, false), ("when", &task.when, scope.item)] {
            if let Some(text) = text
                && let Some(node) = document.tree.get(&["tasks", &index, key])
            {
                self.expression(node, text, &Scope { item, ..scope.clone() });
            }
        }
        if let Some(node) = document.tree.get(&["tasks", &index]) {
            self.texts(node, &scope);
        }
        let Ok((kind, body)) = task.kind() else { return };
        if let Some(template) = &task.template {
            self.names_template(at(&["template", "source"]), &template.source, &scope);
        }
        if let Some(stdin) = task.command.as_ref().and_then(|command| command.stdin.as_ref()) {
            let provided = self.linter.provided.keys().cloned().collect();
            let scope = Scope { late: Some(provided), ..scope.clone() };
            self.names_template(at(&["command", "stdin", "template"]), &stdin.template, &scope);
        }
        if let Some(copy) = task.copy.as_ref().filter(|copy| !is_template(&copy.source))
            && let Err(error) = self.linter.library.file(self.role, &copy.source)
        {
            let problem = Problem::new(at(&["copy", "source"]), error.to_string());
            self.problems.push(problem.help("add it, or mend the name"));
        }
        if document.is_whole(&["tasks", &index])
            && let Ok(task) = plain(kind, body)
            && let Some(mistake) = task.mistake()
        {
            self.problems
                .push(Problem::new(at(&[kind]), mistake).help("docs/roles.md says what each kind wants"));
        }
    }

    fn names_template(&mut self, span: Span, path: &str, scope: &Scope<'_>) {
        if is_template(path) {
            return;
        }
        if self.linter.library.template(path).is_ok() {
            self.linter.template(path, scope);
        } else {
            self.problems.push(self.linter.no_template(span, path));
        }
    }

    fn expression(&mut self, node: &Node, text: &str, scope: &Scope<'_>) {
        match Syntax::of_expression(self.linter.templates.environment(), text) {
            Ok(syntax) => self.unknown(node, &syntax, scope),
            Err(error) => {
                let problem = syntax_problem("expression", &error, self.wrong(node, &error));
                self.problems.push(problem);
            }
        }
    }

    /// The place of an error in a string of the role.
    fn wrong(&self, node: &Node, error: &minijinja::Error) -> Span {
        let range = error.range().unwrap_or_default();
        node.inside(self.text, range.start, range.len())
    }

    /// Every string of a task that is rendered, wherever it stands.
    fn texts(&mut self, node: &Node, scope: &Scope<'_>) {
        match &node.value {
            Value::String(text) if is_template(text) => {
                match Syntax::of_template(self.linter.templates.environment(), "text", text) {
                    Ok(syntax) => {
                        self.unknown(node, &syntax, scope);
                        for Include { path, offset } in syntax.includes() {
                            if let Some(path) = path {
                                let span = node.inside(self.text, offset, path.len() + 2);
                                self.names_template(span, &path, scope);
                            }
                        }
                    }
                    Err(error) => {
                        let problem = syntax_problem("template", &error, self.wrong(node, &error));
                        self.problems.push(problem);
                    }
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.texts(item, scope)),
            Value::Map(entries) => {
                entries.iter().filter(|(key, _)| *key != "when" && *key != "loop").for_each(|(_, entry)| {
                    self.texts(&entry.node, scope);
                });
            }
            _ => {}
        }
    }

    fn unknown(&mut self, node: &Node, syntax: &Syntax, scope: &Scope<'_>) {
        let problems = scope.unknown(syntax).map(|(name, title, help)| {
            let span = node.inside(self.text, syntax.offset_of(name), name.len());
            Problem::new(span, title).help(help)
        });
        self.problems.extend(problems);
        let operators = self.linter.unknown_operators(syntax).into_iter().map(|(span, title, help)| {
            Problem::new(node.inside(self.text, span.offset(), span.len()), title).help(help)
        });
        self.problems.extend(operators);
    }
}
