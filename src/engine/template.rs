//! Templates: minijinja, where an undefined value is an error with its place.

use std::collections::BTreeSet;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value};

use super::{
    Context, Error, Library, Mistake,
    syntax::{Operator, Syntax},
};

/// Renders the library's templates and the strings in its roles.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    library: Library,
}

impl Templates {
    /// Those of a library, each read when it is first asked for.
    pub fn new(library: Library) -> Templates {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A line that holds only a block leaves no trace, and a file ends as its template does.
        let mut syntax = environment.syntax().to_builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        let files = library.clone();
        environment.set_loader(move |path| match files.template(path) {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(Error::NoTemplate { .. }) => Ok(None),
            Err(error) => {
                Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string()))
            }
        });
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("to_yaml", to_yaml);
        environment.add_filter("merge", merge);
        Templates { environment, library }
    }

    /// The template at this path of `templates/`.
    ///
    /// # Errors
    /// When it is missing, is no template, or uses what is not there.
    pub fn file(&self, path: &str, context: &Context) -> Result<String, Error> {
        let text = self.library.template(path)?;
        self.environment
            .render_named_str(path, &text, context.value())
            .map_err(|error| Mistake::of_template(&self.library, path, &error).into())
    }

    /// A string that is no file of its own; `place` is what errors call it.
    ///
    /// # Errors
    /// When it is no template, or uses what is not there.
    pub fn text(&self, place: &str, text: &str, context: &Context) -> Result<String, Error> {
        self.string(place, text, context)
            .map_err(|error| Mistake::of_text(&self.library, place, &error).into())
    }

    /// A string of a role; `name` is what the language's own errors call it.
    ///
    /// # Errors
    /// When it is no template, or uses what is not there.
    pub(super) fn string(
        &self,
        name: &str,
        text: &str,
        context: &Context,
    ) -> Result<String, minijinja::Error> {
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(text.to_string());
        }
        self.environment.render_named_str(name, text, context.value())
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// When it is no expression, or uses what is not there.
    pub(super) fn expression(&self, text: &str, context: &Context) -> Result<Value, minijinja::Error> {
        let value = self.environment.compile_expression(text)?.eval(context.value())?;
        // A value of an expression that has no JSON form is a mistake in it as well.
        let no_value =
            |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
        serde_json::to_value(&value).map_err(no_value)
    }

    /// Whether an expression is true; `place` is what errors call it.
    ///
    /// # Errors
    /// When it is no expression, or uses what is not there.
    pub fn holds(&self, place: &str, text: &str, context: &Context) -> Result<bool, Error> {
        let value = self.environment.compile_expression(text).and_then(|it| it.eval(context.value()));
        let value = value.map_err(|error| Mistake::of_text(&self.library, place, &error))?;
        Ok(value.is_true())
    }

    /// Whether an expression uses a name.
    ///
    /// # Errors
    /// When it is no expression.
    pub(super) fn uses(&self, text: &str, name: &str) -> Result<bool, minijinja::Error> {
        Ok(Syntax::of_expression(&self.environment, text)?.uses(name))
    }

    /// The names of the late values that a template uses, itself or through what it includes: `join` of
    /// `late.join.token`.
    ///
    /// # Errors
    /// When one of them is missing or is no template, and where it cannot be told what is used.
    pub fn late_names(&self, path: &str) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        let mut open = vec![path.to_string()];
        let mut seen = BTreeSet::new();
        while let Some(path) = open.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let syntax = self.syntax(&path)?;
            let unknown = |offset: usize, length: usize, reason: &str, help: &str| {
                Mistake::at(&self.library, &path, offset..offset + length, reason, help)
            };
            for name in &syntax.names {
                match name.split('.').collect::<Vec<_>>()[..] {
                    ["late", value, ..] => names.insert(value.to_string()),
                    ["late"] => {
                        return Err(unknown(
                            syntax.offset_of(name),
                            name.len(),
                            "it does not say which late value it uses",
                            "write `late.NAME.KEY`",
                        )
                        .into());
                    }
                    _ => continue,
                };
            }
            for include in syntax.includes() {
                let computed = || {
                    let reason = "it includes a template whose name is computed";
                    unknown(include.offset, 1, reason, "write the name there")
                };
                open.push(include.path.ok_or_else(computed)?);
            }
        }
        Ok(names)
    }

    /// A template of the library, taken apart.
    ///
    /// # Errors
    /// When it is missing or is no template.
    pub(super) fn syntax(&self, path: &str) -> Result<Syntax, Error> {
        let text = self.library.template(path)?;
        Syntax::of_template(&self.environment, path, &text)
            .map_err(|error| Mistake::of_template(&self.library, path, &error).into())
    }

    /// Whether the template language has this filter or test. It has no list of them, but refuses what it does not know
    /// by a kind of error of its own.
    pub(super) fn knows(&self, operator: &Operator) -> bool {
        let name = &operator.name;
        let (text, unknown) = match operator.test {
            true => (format!("0 is {name}"), ErrorKind::UnknownTest),
            false => (format!("0 | {name}"), ErrorKind::UnknownFilter),
        };
        let tried = self.environment.compile_expression(&text).and_then(|compiled| compiled.eval(()));
        tried.err().is_none_or(|error| error.kind() != unknown)
    }

    /// The functions of the template language.
    pub(super) fn globals(&self) -> BTreeSet<String> {
        self.environment.globals().map(|(name, _)| name.to_string()).collect()
    }

    pub(super) fn environment(&self) -> &Environment<'static> {
        &self.environment
    }
}

/// A value as a block of YAML, ending in a newline.
fn to_yaml(value: minijinja::Value) -> Result<String, minijinja::Error> {
    let failed = |reason: String| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, reason);
    let json = serde_json::to_value(&value).map_err(|error| failed(error.to_string()))?;
    let text = serde_yaml::to_string(&json).map_err(|error| failed(error.to_string()))?;
    Ok(format!("{}\n", text.trim_end_matches('\n')))
}

/// Two maps as one: the second wins, maps in both are merged in turn.
fn merge(base: minijinja::Value, over: minijinja::Value) -> Result<minijinja::Value, minijinja::Error> {
    let json = |value| {
        serde_json::to_value(value)
            .map_err(|error| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string()))
    };
    let mut merged = json(base)?;
    merge_json(&mut merged, json(over)?);
    Ok(minijinja::Value::from(Serde(&merged)))
}

/// Merges `over` into `base`: maps key by key, everything else is replaced.
pub(super) fn merge_json(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => merge_maps(base, over),
        (base, over) => *base = over,
    }
}

fn merge_maps(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        merge_json(base.entry(key).or_insert(Value::Null), value);
    }
}
