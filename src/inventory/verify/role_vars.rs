//! Names under `vars` that are nearly those of built-in roles. What those say is the schema's to judge.

use miette::Severity;

use super::all_vars;
use crate::{
    inventory::{Inventory, RoleVars},
    yaml::{Document, Problem, nearest},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    for (path, vars) in all_vars(&document.value) {
        for name in vars.keys().filter(|name| !RoleVars::NAMES.contains(&name.as_str())) {
            if let Some(near) = nearest(name, RoleVars::NAMES) {
                problems.push(
                    Problem::new(
                        document.tree.key_at(&[&path[..], &[name]].concat()),
                        format!("no built-in role reads `vars.{name}`"),
                    )
                    .label("not checked")
                    .severity(Severity::Warning)
                    .help(format!("did you mean `{near}`? If it is for a role of your own, all is well")),
                );
            }
        }
    }
}
