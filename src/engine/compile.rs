//! Roles and variables become tasks: pure, the same every time.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Context, Error, Library, Templates,
    role::{self, Provide, RoleFile, TaskSpec, Template},
    statement::Statement,
    template::merge_json,
};
use crate::task::{self, File, Payload, Task};

/// A host as the engine sees it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    /// The roles asked for; what they need is added.
    pub roles: Vec<String>,
    /// What templates see: `cluster`, `host`, `hosts`, `facts`, `artifacts` and `vars`.
    pub context: Context,
}

/// The statements of one role on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleSteps {
    pub role: String,
    pub steps: Vec<Step>,
    /// The context with the role's defaults in it, for what is rendered later.
    pub context: Context,
}

/// One statement, with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub task: Task,
    /// The late values that its standard input uses.
    pub late: BTreeSet<String>,
    /// The element of the loop that it was made for, which its standard input may use.
    pub item: Option<Value>,
}

/// All statements about a host, role by role in the order in which they apply.
///
/// # Errors
/// Unknown roles, circles among them, and templates that do not render.
pub fn compile(library: &Library, templates: &Templates, target: &Target) -> Result<Vec<RoleSteps>, Error> {
    compile_roles(&with_needs(library, &target.roles)?, library, templates, target)
}

/// The same for a target whose roles have been read already: most hosts have the same ones.
///
/// # Errors
/// Templates that do not render.
pub fn compile_roles(
    roles: &[(String, RoleFile)],
    library: &Library,
    templates: &Templates,
    target: &Target,
) -> Result<Vec<RoleSteps>, Error> {
    roles.iter().map(|(name, file)| role_steps(library, templates, target, name.clone(), file)).collect()
}

/// The roles and what they need, in the order in which they apply.
///
/// # Errors
/// Unknown roles, circles among them, and mistakes in them.
pub fn with_needs(library: &Library, roles: &[String]) -> Result<Vec<(String, RoleFile)>, Error> {
    let mut ordered = Vec::new();
    for role in roles {
        order(library, role, &mut Vec::new(), &mut ordered)?;
    }
    Ok(ordered)
}

/// The late values that roles provide: name, role, how.
///
/// # Errors
/// Unknown roles, and a value that two roles provide.
pub fn late_values<'a>(
    library: &Library,
    roles: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(String, String, Provide)>, Error> {
    let mut values: Vec<(String, String, Provide)> = Vec::new();
    for role in roles.into_iter().collect::<BTreeSet<_>>() {
        for (name, provide) in library.role(role)?.provides {
            if let Some((name, first, _)) = values.iter().find(|(known, _, _)| *known == name) {
                let (name, first, second) = (name.clone(), first.clone(), role.to_string());
                return Err(Error::ProvidedTwice { name, first, second });
            }
            values.push((name, role.to_string(), provide));
        }
    }
    Ok(values)
}

/// Appends a role after everything it needs.
fn order(
    library: &Library,
    role: &str,
    path: &mut Vec<String>,
    ordered: &mut Vec<(String, RoleFile)>,
) -> Result<(), Error> {
    if ordered.iter().any(|(name, _)| name == role) {
        return Ok(());
    }
    path.push(role.to_string());
    if path.iter().filter(|name| *name == role).count() > 1 {
        return Err(Error::Circle { circle: path.clone() });
    }
    let file = library.role(role)?;
    for need in &file.needs {
        order(library, need, path, ordered)?;
    }
    path.pop();
    ordered.push((role.to_string(), file));
    Ok(())
}

fn role_steps(
    library: &Library,
    templates: &Templates,
    target: &Target,
    role: String,
    file: &RoleFile,
) -> Result<RoleSteps, Error> {
    let mut vars = Value::Object(file.defaults.clone());
    if let own @ Value::Object(_) = target.context.get("vars") {
        merge_json(&mut vars, own);
    }
    if let Some(name) = file.inputs.iter().find(|name| vars.get(name.as_str()).is_none_or(Value::is_null)) {
        return Err(Error::NoInput { role, name: name.clone() });
    }
    let mut context = target.context.clone();
    context.set("vars", vars);
    let mut steps = Vec::new();
    for (task, spec) in file.tasks.iter().enumerate() {
        let statement = Statement::new(library, &role, task, &spec.name);
        Compiler { library, templates, statement }.task(spec, &mut context, &mut steps)?;
    }
    name_apart(&mut steps);
    Ok(RoleSteps { role, steps, context })
}

/// Gives steps of the same name a number, for plans and journals know a step of a role by its name.
fn name_apart(steps: &mut [Step]) {
    let mut taken = BTreeSet::new();
    for step in steps {
        let name = step.name.clone();
        let mut number = 1;
        while !taken.insert(step.name.clone()) {
            number += 1;
            step.name = format!("{name} #{number}");
        }
    }
}

/// Makes steps of one statement of a role.
struct Compiler<'a> {
    library: &'a Library,
    templates: &'a Templates,
    statement: Statement<'a>,
}

impl Compiler<'_> {
    /// Appends the steps of the task: none, one, or one for each element of its loop.
    fn task(&self, spec: &TaskSpec, context: &mut Context, steps: &mut Vec<Step>) -> Result<(), Error> {
        let wrong = |key, text: &str| {
            let text = text.to_owned();
            move |error| self.statement.text(&[key], &text, error)
        };
        let holds = |context: &Context| match &spec.when {
            Some(when) => self.truth(&self.templates.expression(when, context).map_err(wrong("when", when))?),
            None => Ok(true),
        };
        // A condition that does not speak of the element is about the whole loop, which need not even have a
        // list where it is false.
        let each_item = match &spec.when {
            Some(when) if spec.each.is_some() => {
                self.templates.uses(when, "item").map_err(wrong("when", when))?
            }
            _ => false,
        };
        if !each_item && !holds(context)? {
            return Ok(());
        }
        let Some(each) = &spec.each else {
            steps.push(self.step(spec, context, None)?);
            return Ok(());
        };
        let value = self.templates.expression(each, context).map_err(wrong("loop", each))?;
        let Value::Array(items) = value else {
            return Err(self.statement.problem(
                &["loop"],
                None,
                &format!("`{each}` is no list"),
                "`loop` gives a list",
            ));
        };
        for item in items {
            context.set("item", &item);
            if !each_item || holds(context)? {
                steps.push(self.step(spec, context, Some(item))?);
            }
        }
        context.remove("item");
        Ok(())
    }

    fn truth(&self, value: &Value) -> Result<bool, Error> {
        value.as_bool().ok_or_else(|| {
            let title = format!("`when` gives {value}, neither true nor false");
            self.statement.problem(&["when"], None, &title, "write a condition, such as `vars.NAME != \"\"`")
        })
    }

    fn step(&self, spec: &TaskSpec, context: &Context, item: Option<Value>) -> Result<Step, Error> {
        let words = &self.statement.words;
        let (kind, mut body) =
            spec.kind().map_err(|kinds| self.unusable(&["name"], &format!("kinds: {}", kinds.join(", "))))?;
        self.render(&mut vec![kind.to_owned()], &mut body, context)?;
        let task = self.build(kind, body, context)?;
        if let Some(mistake) = task.mistake() {
            return Err(self.unusable(&[kind], &mistake));
        }
        let late = match &task {
            Task::Command(command) => match &command.stdin {
                Some(stdin) => {
                    self.templates.late_names(&stdin.template).map_err(|error| error.used_by(words))?
                }
                None => BTreeSet::new(),
            },
            _ => BTreeSet::new(),
        };
        let name = self
            .templates
            .string(words, &spec.name, context)
            .map_err(|error| self.statement.text(&["name"], &spec.name, error))?;
        Ok(Step { name, task, late, item })
    }

    fn unusable(&self, path: &[&str], reason: &str) -> Error {
        self.statement.problem(path, None, reason, "docs/roles.md says what each kind wants")
    }

    /// A task of a rendered body. What roles take from beside them is read here.
    fn build(&self, kind: &str, body: Value, context: &Context) -> Result<Task, Error> {
        let unusable = |error: serde_json::Error| self.unusable(&[kind], &error.to_string());
        match kind {
            "template" => {
                let Template { source, path, mode, owner, group, secret, validate } =
                    serde_json::from_value(body).map_err(unusable)?;
                let user = |error: Error| error.used_by(&self.statement.words);
                let content = self.templates.file(&source, context).map_err(user)?;
                Ok(Task::File(File { path, content, mode, owner, group, secret, validate }))
            }
            "copy" => {
                let role::Copy { source, path, mode, owner, group, secret } =
                    serde_json::from_value(body).map_err(unusable)?;
                let (bytes, local) = self.library.file(self.statement.role, &source)?;
                let sha256 = task::sha256(&bytes);
                let payload = Payload::new(bytes, local);
                Ok(Task::Copy(task::Copy { path, sha256, payload, mode, owner, group, secret }))
            }
            _ => plain(kind, body).map_err(unusable),
        }
    }

    /// Renders every string in a task's body; `path` is where in the task it stands.
    fn render(&self, path: &mut Vec<String>, body: &mut Value, context: &Context) -> Result<(), Error> {
        match body {
            Value::String(text) => {
                *text = self.templates.string(&self.statement.words, text, context).map_err(|error| {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    self.statement.text(&path, text, error)
                })?;
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.inner(path, index.to_string(), item, context)?;
                }
            }
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    self.inner(path, key.clone(), value, context)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn inner(
        &self,
        path: &mut Vec<String>,
        step: String,
        body: &mut Value,
        context: &Context,
    ) -> Result<(), Error> {
        path.push(step);
        self.render(path, body, context)?;
        path.pop();
        Ok(())
    }
}

/// A task that is exactly what the role says.
pub(super) fn plain(kind: &str, body: Value) -> Result<Task, serde_json::Error> {
    macro_rules! kinds {
        ($($name:literal => $kind:ident),* $(,)?) => {
            match kind {
                $($name => serde_json::from_value(body).map(Task::$kind),)*
                // `TaskSpec::kind` names no other.
                other => Err(serde::de::Error::custom(format!("there is no kind \"{other}\""))),
            }
        };
    }
    kinds!(
        "file" => File, "directory" => Directory, "absent" => Absent, "line" => Line, "block" => Block,
        "package" => Package, "service" => Service, "sysctl" => Sysctl, "kernel_modules" => KernelModules,
        "swap_off" => SwapOff, "hostname" => Hostname, "user" => User, "authorized_key" => AuthorizedKey,
        "filesystem" => Filesystem, "mount" => Mount, "artifact" => Artifact, "archive" => Archive, "image" => Image, "command" => Command, "wait" => Wait,
        "require" => Require,
    )
}
