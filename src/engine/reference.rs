//! The reference of role files: `docs/roles.md`.

use super::RoleFile;
use crate::yaml;

/// The JSON Schema of a role.
pub fn role_schema() -> serde_json::Value {
    yaml::schema_of::<RoleFile>()
}

/// The reference of roles in Markdown: `docs/roles.md`.
pub fn role_reference() -> String {
    format!("{}\n{}", include_str!("reference.md"), yaml::markdown(&role_schema()))
}
