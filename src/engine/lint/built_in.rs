//! Defaults under the name of a built-in role. An inventory is read without the folder of roles, so what it may say there is
//! what the built-in role takes, whichever role reads it.

use serde_json::Value;

use super::super::{Library, RoleFile};
use crate::yaml::{Document, Problem, nearest};

/// Defaults that no inventory could go over.
pub(super) fn mistakes(document: &Document<RoleFile>) -> Vec<Problem> {
    let built_in = Library::default();
    let mut problems = Vec::new();
    for (name, own) in &document.value.defaults {
        let Ok(role) = built_in.role(name) else { continue };
        let Some(Value::Object(known)) = role.defaults.get(name) else { continue };
        let Value::Object(own) = own else {
            let span = document.tree.at(&["defaults", name]);
            let title =
                format!("`vars.{name}` is a map in every inventory: the built-in role `{name}` has it");
            problems.push(Problem::new(span, title).help("rename it"));
            continue;
        };
        for key in own.keys().filter(|key| !known.contains_key(*key)) {
            let help = match nearest(key, known.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("put it under a name of your own, such as `own.{key}`"),
            };
            let span = document.tree.key_at(&["defaults", name, key]);
            let title = format!(
                "no inventory can say `vars.{name}.{key}`: the built-in role `{name}` has no such key"
            );
            problems.push(Problem::new(span, title).help(help));
        }
    }
    problems
}
