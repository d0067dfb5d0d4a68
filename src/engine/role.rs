//! What a role file says.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::task::{
    Absent, Artifact, Command, Directory, File, Image, KernelModules, Mode, Package, Service, SwapOff,
    Sysctl, Wait,
};

/// `roles/<name>/role.yaml`: how to make a host fit for something, as a list of statements.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleFile {
    /// One sentence: what a host is after this role.
    pub description: String,
    /// Roles that come before this one on the same host.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Values under `vars` that the inventory may override, key by key.
    #[serde(default)]
    pub defaults: Map<String, Value>,
    /// Values that other hosts use and that exist only when this role is done, by name.
    #[serde(default)]
    pub provides: IndexMap<String, Provide>,
    /// The statements, in order.
    pub tasks: Vec<TaskSpec>,
}

/// How a value is had from a host that has the role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provide {
    /// POSIX sh that prints lines `key=value`. Nobody sees them: they are kept in memory, and only standard
    /// inputs of commands may use them, as `late.<name>.<key>`.
    pub run: String,
}

/// One statement of a role: a name and exactly one kind. Every string may be a template.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// What it is for, in a few words.
    pub name: String,
    /// An expression; the statement counts only where it is true.
    #[serde(default)]
    pub when: Option<String>,
    /// An expression that gives a list; one statement each, which sees the element as `item`.
    #[serde(default, rename = "loop")]
    pub each: Option<String>,
    #[serde(default)]
    pub file: Option<File>,
    #[serde(default)]
    pub template: Option<Template>,
    #[serde(default)]
    pub directory: Option<Directory>,
    #[serde(default)]
    pub absent: Option<Absent>,
    #[serde(default)]
    pub package: Option<Package>,
    #[serde(default)]
    pub service: Option<Service>,
    #[serde(default)]
    pub sysctl: Option<Sysctl>,
    #[serde(default)]
    pub kernel_modules: Option<KernelModules>,
    #[serde(default)]
    pub swap_off: Option<SwapOff>,
    #[serde(default)]
    pub artifact: Option<Artifact>,
    #[serde(default)]
    pub image: Option<Image>,
    #[serde(default)]
    pub command: Option<Command>,
    #[serde(default)]
    pub wait: Option<Wait>,
}

/// A file whose content is a rendered template.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The template's path in `templates/`.
    pub source: String,
    /// Absolute path on the host.
    pub path: String,
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Never show the content in a plan.
    #[serde(default)]
    pub secret: bool,
}

impl TaskSpec {
    /// The one kind that is given and what it says, or the names of those that are.
    pub(super) fn kind(&self) -> Result<(&'static str, Value), Vec<&'static str>> {
        let mut given: BTreeMap<&'static str, Value> = BTreeMap::new();
        macro_rules! collect {
            ($($kind:ident),*) => {$(
                if let Some(spec) = &self.$kind {
                    // These types hold strings, numbers and booleans: they always have a JSON form.
                    given.insert(stringify!($kind), serde_json::to_value(spec).unwrap_or_default());
                }
            )*};
        }
        collect!(
            file,
            template,
            directory,
            absent,
            package,
            service,
            sysctl,
            kernel_modules,
            swap_off,
            artifact,
            image,
            command,
            wait
        );
        match given.len() {
            1 => given.pop_first().ok_or_else(Vec::new),
            _ => Err(given.into_keys().collect()),
        }
    }
}
