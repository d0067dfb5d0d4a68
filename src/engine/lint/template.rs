//! Mistakes in templates, as roles use them.

use std::collections::BTreeSet;

use super::{super::syntax::Syntax, Linter, scope::Scope, syntax_problem};
use crate::yaml::{Problem, Span, nearest};

/// Templates that the program itself renders.
const OF_THE_PROGRAM: &[&str] = &[
    "burst/controller.service",
    "burst/controller.yaml",
    "burst/join.sh",
    "burst/gateway.sh",
    "burst/network.cfn.yaml",
    "burst/network.tf",
    "sample/app.yaml",
    "security/operator.yaml",
];

impl Linter<'_> {
    /// Looks through a template and what it includes, as a role with this scope uses it.
    pub fn template(&mut self, path: &str, scope: &Scope<'_>) {
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
                    problems.extend(
                        self.unknown_operators(&syntax)
                            .into_iter()
                            .map(|(span, title, help)| Problem::new(span, title).help(help)),
                    );
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

    pub fn no_template(&self, span: Span, path: &str) -> Problem {
        let known = self.library.templates();
        let help = match nearest(path, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add templates/{path}"),
        };
        Problem::new(span, format!("there is no template `{path}`")).help(help)
    }

    /// Templates that nobody uses.
    pub fn unused(&mut self) {
        for path in self.library.templates() {
            if !self.used.contains(&path) && !OF_THE_PROGRAM.contains(&path.as_str()) {
                let problem =
                    Problem::new(Span::from((0, 0)), "no role uses this template").help("remove it");
                self.problems.entry(path).or_default().push(problem);
            }
        }
    }
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
