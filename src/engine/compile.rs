//! Roles and variables become tasks: pure, the same every time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Error, Library, Templates,
    role::{RoleFile, TaskSpec, Template},
    template::merge_json,
};
use crate::task::{File, Mode, Task};

/// A host as the engine sees it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    /// The roles asked for; what they need is added.
    pub roles: Vec<String>,
    /// What templates see: `cluster`, `host`, `hosts`, `facts`, `artifacts` and `vars`.
    pub context: Value,
}

/// The statements of one role on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleSteps {
    pub role: String,
    pub steps: Vec<Step>,
    /// The context with the role's defaults in it, for what is rendered later.
    pub context: Value,
}

/// One statement, with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub task: Task,
    /// The late values that its standard input uses.
    pub late: BTreeSet<String>,
}

/// All statements about a host, role by role in the order in which they apply.
///
/// # Errors
/// Unknown roles, circles among them, and templates that do not render.
pub fn compile(library: &Library, templates: &Templates, target: &Target) -> Result<Vec<RoleSteps>, Error> {
    compile_roles(&with_needs(library, &target.roles)?, templates, target)
}

/// The same for a target whose roles have been read already: most hosts have the same ones.
///
/// # Errors
/// Templates that do not render.
pub fn compile_roles(
    roles: &[(String, RoleFile)],
    templates: &Templates,
    target: &Target,
) -> Result<Vec<RoleSteps>, Error> {
    roles.iter().map(|(name, file)| role_steps(templates, target, name.clone(), file)).collect()
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

/// The late values that roles provide: name, role, script.
///
/// # Errors
/// Unknown roles, and a value that two roles provide.
pub fn late_values<'a>(
    library: &Library,
    roles: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(String, String, String)>, Error> {
    let mut values: Vec<(String, String, String)> = Vec::new();
    for role in roles.into_iter().collect::<BTreeSet<_>>() {
        for (name, provide) in library.role(role)?.provides {
            if let Some((name, first, _)) = values.iter().find(|(known, _, _)| *known == name) {
                let (name, first, second) = (name.clone(), first.clone(), role.to_string());
                return Err(Error::ProvidedTwice { name, first, second });
            }
            values.push((name, role.to_string(), provide.run));
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
    templates: &Templates,
    target: &Target,
    role: String,
    file: &RoleFile,
) -> Result<RoleSteps, Error> {
    let mut vars = Value::Object(file.defaults.clone());
    if let own @ Value::Object(_) = &target.context["vars"] {
        merge_json(&mut vars, own.clone());
    }
    let mut context = target.context.clone();
    merge_json(&mut context, json!({ "vars": vars }));
    let mut steps = Vec::new();
    for spec in &file.tasks {
        let place = format!("roles/{role}/role.yaml, task \"{}\"", spec.name);
        if let Some(when) = &spec.when
            && !truth(&place, &templates.expression(&place, when, &context)?)?
        {
            continue;
        }
        let Some(each) = &spec.each else {
            steps.push(step(templates, &place, spec, &context)?);
            continue;
        };
        let Value::Array(items) = templates.expression(&place, each, &context)? else {
            return Err(Error::Expression { place, reason: format!("`{each}` is no list") });
        };
        for item in items {
            let mut context = context.clone();
            merge_json(&mut context, json!({ "item": item }));
            steps.push(step(templates, &place, spec, &context)?);
        }
    }
    Ok(RoleSteps { role, steps, context })
}

fn truth(place: &str, value: &Value) -> Result<bool, Error> {
    value.as_bool().ok_or_else(|| Error::Expression {
        place: place.to_string(),
        reason: format!("`when` gives {value}, neither true nor false"),
    })
}

fn step(templates: &Templates, place: &str, spec: &TaskSpec, context: &Value) -> Result<Step, Error> {
    let unusable = |reason: String| Error::Expression { place: place.to_string(), reason };
    let (kind, mut body) = spec.kind().map_err(|kinds| unusable(format!("kinds: {}", kinds.join(", "))))?;
    render(templates, place, &mut body, context)?;
    let task = task(templates, kind, body, context, unusable)?;
    let late = match &task {
        Task::Command(command) => match &command.stdin {
            Some(stdin) => templates.late_names(&stdin.template)?,
            None => BTreeSet::new(),
        },
        _ => BTreeSet::new(),
    };
    if let Task::Command(command) = &task
        && command.creates.is_none()
        && command.unless.is_none()
    {
        return Err(unusable(
            "a command needs `creates` or `unless`, or it would run every time".to_string(),
        ));
    }
    Ok(Step { name: templates.text(place, &spec.name, context)?, task, late })
}

fn task(
    templates: &Templates,
    kind: &str,
    body: Value,
    context: &Value,
    unusable: impl Fn(String) -> Error,
) -> Result<Task, Error> {
    macro_rules! kinds {
        ($($name:literal => $kind:ident),*) => {
            match kind {
                $($name => serde_json::from_value(body).map(Task::$kind),)*
                // `TaskSpec::kind` names no other.
                other => return Err(unusable(format!("there is no kind \"{other}\""))),
            }
        };
    }
    if kind == "template" {
        let Template { source, path, mode, secret } =
            serde_json::from_value(body).map_err(|error| unusable(error.to_string()))?;
        let content = templates.file(&source, context)?;
        let root = || "root".to_string();
        let mode = mode.unwrap_or(Mode(0o644));
        return Ok(Task::File(File { path, content, mode, owner: root(), group: root(), secret }));
    }
    kinds!(
        "file" => File, "directory" => Directory, "absent" => Absent, "package" => Package, "service" => Service,
        "sysctl" => Sysctl, "kernel_modules" => KernelModules, "swap_off" => SwapOff, "artifact" => Artifact,
        "image" => Image, "command" => Command, "wait" => Wait
    )
    .map_err(|error| unusable(error.to_string()))
}

/// Renders every string in a task's body.
fn render(templates: &Templates, place: &str, body: &mut Value, context: &Value) -> Result<(), Error> {
    match body {
        Value::String(text) => *text = templates.text(place, text, context)?,
        Value::Array(items) => {
            for item in items {
                render(templates, place, item, context)?;
            }
        }
        Value::Object(map) => {
            for value in map.values_mut() {
                render(templates, place, value, context)?;
            }
        }
        _ => {}
    }
    Ok(())
}
