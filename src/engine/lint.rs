//! Every mistake in roles and their templates that can be found without a host and without an inventory.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error, Library, Templates,
    compile::plain,
    role::{RoleFile, TaskSpec, kind_problems},
    scope::Scope,
    syntax::Syntax,
};
use crate::{
    task::is_template,
    yaml::{self, Document, Node, Problem, Problems, Source, Span, Value, nearest},
};

/// Templates that the program itself renders.
const OF_THE_PROGRAM: &[&str] = &["sample/app.yaml"];

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
            Linted { linter: &mut linter, role, document, problems: kind_problems(document) }.problems()
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

/// Which roles provide each late value. Roles that cannot be read provide none.
fn provided(library: &Library, roles: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut provided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in roles {
        let names = library.role(role).map(|file| file.provides).unwrap_or_default();
        for name in names.into_keys() {
            provided.entry(name).or_default().push(role.clone());
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
    /// Looks through a template and what it includes, as a role with this scope uses it.
    fn template(&mut self, path: &str, scope: &Scope<'_>) {
        let mut open = vec![path.to_string()];
        let mut seen = BTreeSet::new();
        while let Some(path) = open.pop() {
            self.used.insert(path.clone());
            let Ok(text) = self.library.template(&path) else { continue };
            if !seen.insert(path.clone()) {
                continue;
            }
            let mut problems = Vec::new();
            match Syntax::of_template(self.templates.environment(), &path, &text) {
                Err(error) => problems.push(syntax_problem("template", &error, line(&text, start(&error)))),
                Ok(syntax) => {
                    problems.extend(scope.unknown(&syntax).map(|(name, title, help)| {
                        let span = Span::from((syntax.offset_of(name), name.len()));
                        Problem::new(span, title).help(help)
                    }));
                    for include in syntax.includes() {
                        let span = Span::from((
                            include.offset,
                            include.path.as_ref().map_or(1, |path| path.len() + 2),
                        ));
                        match include.path {
                            Some(path) if self.library.template(&path).is_ok() => open.push(path),
                            Some(path) => problems.push(self.no_template(span, &path)),
                            None => problems.push(
                                Problem::new(span, "the name of an included template is computed")
                                    .help("write the name there: what the template needs must be known before a run"),
                            ),
                        }
                    }
                }
            }
            let known = self.problems.entry(path).or_default();
            // Another role may have led to the same mistake.
            problems.retain(|problem| !known.contains(problem));
            known.extend(problems);
        }
        self.problems.retain(|_, problems| !problems.is_empty());
    }

    fn no_template(&self, span: Span, path: &str) -> Problem {
        let known = self.library.templates();
        let help = match nearest(path, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add templates/{path}"),
        };
        Problem::new(span, format!("there is no template `{path}`")).help(help)
    }

    /// Templates that nobody uses.
    fn unused(&mut self) {
        for path in self.library.templates() {
            if !self.used.contains(&path) && !OF_THE_PROGRAM.contains(&path.as_str()) {
                let problem =
                    Problem::new(Span::from((0, 0)), "no role uses this template").help("remove it");
                self.problems.entry(path).or_default().push(problem);
            }
        }
    }
}

/// One role that is looked through.
struct Linted<'a, 'l> {
    linter: &'a mut Linter<'l>,
    role: &'a str,
    document: &'a Document<RoleFile>,
    problems: Vec<Problem>,
}

impl Linted<'_, '_> {
    fn problems(mut self) -> Vec<Problem> {
        self.needs();
        self.provides();
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
        if self.document.complete {
            for (index, task) in file.tasks.iter().enumerate() {
                self.task(index, task);
            }
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
            defaults: &file.defaults,
            inputs: &file.inputs,
            item: task.each.is_some(),
            late: None,
            globals: self.linter.templates.globals(),
        };
        for (key, text, item) in [("loop", &task.each, false), ("when", &task.when, scope.item)] {
            if let Some(text) = text {
                self.expression(at(&[key]), text, &Scope { item, ..scope.clone() });
            }
        }
        let Ok((kind, body)) = task.kind() else { return };
        if let Some(node) = document.tree.get(&["tasks", &index]) {
            self.texts(node, &scope);
        }
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
        if let Ok(task) = plain(kind, body)
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

    fn expression(&mut self, span: Span, text: &str, scope: &Scope<'_>) {
        match Syntax::of_expression(self.linter.templates.environment(), text) {
            Ok(syntax) => self.unknown(span, &syntax, scope),
            Err(error) => self.problems.push(syntax_problem("expression", &error, span)),
        }
    }

    /// Every string of a task that is rendered, wherever it stands.
    fn texts(&mut self, node: &Node, scope: &Scope<'_>) {
        match &node.value {
            Value::String(text) if is_template(text) => {
                match Syntax::of_template(self.linter.templates.environment(), "text", text) {
                    Ok(syntax) => {
                        self.unknown(node.span, &syntax, scope);
                        for path in syntax.includes().into_iter().filter_map(|include| include.path) {
                            self.names_template(node.span, &path, scope);
                        }
                    }
                    Err(error) => self.problems.push(syntax_problem("template", &error, node.span)),
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

    fn unknown(&mut self, span: Span, syntax: &Syntax, scope: &Scope<'_>) {
        let problems = scope.unknown(syntax).map(|(_, title, help)| Problem::new(span, title).help(help));
        self.problems.extend(problems);
    }
}

fn syntax_problem(what: &str, error: &minijinja::Error, span: Span) -> Problem {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    Problem::new(span, format!("this is no {what}{detail}"))
        .help("docs/roles.md says how templates are written")
}

/// Where in a template an error is.
fn start(error: &minijinja::Error) -> usize {
    error.range().map_or(0, |range| range.start)
}

/// The rest of the line at an offset.
fn line(text: &str, offset: usize) -> Span {
    let rest = text.get(offset..).unwrap_or_default();
    Span::from((offset, rest.find('\n').unwrap_or(rest.len())))
}
