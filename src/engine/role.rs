//! What a role file says.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    task::{
        Absent, Archive, Artifact, AuthorizedKey, Block, Command, Directory, File, Filesystem, Hostname,
        Image, KernelModules, Line, Mode, Mount, Package, Require, Service, SwapOff, Sysctl, User, Wait,
        file_mode, root,
    },
    yaml::{Document, Problem},
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
    /// Names under `vars` that have no default: the inventory must give them.
    #[serde(default)]
    pub inputs: Vec<String>,
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
    /// Ask anew for each host that needs it, which the script knows as `$HOIST_ASKER_NAME` and
    /// `$HOIST_ASKER_ADDRESS`; else the first answer is for all.
    #[serde(default)]
    pub each: bool,
    /// For how many seconds an answer is good: who needs it later asks anew. Default: for the whole run.
    #[serde(default)]
    pub lasts: Option<u64>,
    /// Seconds it may take.
    #[serde(default = "one_minute")]
    pub timeout: u64,
}

fn one_minute() -> u64 {
    60
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
    pub copy: Option<Copy>,
    #[serde(default)]
    pub directory: Option<Directory>,
    #[serde(default)]
    pub absent: Option<Absent>,
    #[serde(default)]
    pub line: Option<Line>,
    #[serde(default)]
    pub block: Option<Block>,
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
    pub hostname: Option<Hostname>,
    #[serde(default)]
    pub user: Option<User>,
    #[serde(default)]
    pub authorized_key: Option<AuthorizedKey>,
    #[serde(default)]
    pub filesystem: Option<Filesystem>,
    #[serde(default)]
    pub mount: Option<Mount>,
    #[serde(default)]
    pub artifact: Option<Artifact>,
    #[serde(default)]
    pub archive: Option<Archive>,
    #[serde(default)]
    pub image: Option<Image>,
    #[serde(default)]
    pub command: Option<Command>,
    #[serde(default)]
    pub wait: Option<Wait>,
    #[serde(default)]
    pub require: Option<Require>,
}

/// A file whose content is a rendered template.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The template's path in `templates/`.
    pub source: String,
    /// Absolute path on the host.
    pub path: String,
    /// Permission bits, set-id bits included.
    #[serde(default = "file_mode")]
    pub mode: Mode,
    /// The user it belongs to, who must exist.
    #[serde(default = "root")]
    pub owner: String,
    /// The group it belongs to, which must exist.
    #[serde(default = "root")]
    pub group: String,
    /// Never show the content in a plan.
    #[serde(default)]
    pub secret: bool,
    /// POSIX sh that must succeed before a new content takes its place, such as a program's check of its configuration.
    /// The new content is in the file `"$1"`, beside that place. Where it fails, the old content stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
}

/// A file that is shipped beside the role and is the same on the host, byte for byte. Nothing in it is rendered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The file's path in `roles/NAME/files/`.
    pub source: String,
    /// Absolute path on the host.
    pub path: String,
    /// Permission bits, set-id bits included.
    #[serde(default = "file_mode")]
    pub mode: Mode,
    /// The user it belongs to, who must exist.
    #[serde(default = "root")]
    pub owner: String,
    /// The group it belongs to, which must exist.
    #[serde(default = "root")]
    pub group: String,
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
            copy,
            directory,
            absent,
            line,
            block,
            package,
            service,
            sysctl,
            kernel_modules,
            swap_off,
            hostname,
            user,
            authorized_key,
            filesystem,
            mount,
            artifact,
            archive,
            image,
            command,
            wait,
            require
        );
        match given.len() {
            1 => given.pop_first().ok_or_else(Vec::new),
            _ => Err(given.into_keys().collect()),
        }
    }
}

/// Tasks that state nothing, or several things.
pub(super) fn kind_problems(document: &Document<RoleFile>) -> Vec<Problem> {
    let written = document.kept(&["tasks"]);
    let problem = |(index, task): (usize, &TaskSpec)| {
        let path = ["tasks", &index.to_string()];
        // What is mistaken was left out, and may be its kind.
        if !document.is_whole(&path) {
            return None;
        }
        let kinds = task.kind().err()?;
        let span = document.tree.at(&[&path[..], &["name"]].concat());
        let (label, help) = match kinds[..] {
            [] => ("no kind".to_string(), "add one kind, such as `file:`"),
            _ => (format!("kinds: {}", kinds.join(", ")), "make one task of each kind"),
        };
        Some(Problem::new(span, "a task states exactly one thing").label(label).help(help))
    };
    written.into_iter().zip(&document.value.tasks).filter_map(problem).collect()
}
