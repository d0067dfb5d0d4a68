//! The form of `roles/addons/NAME/addon.yaml`. The doc comments are the reference that users read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::inventory::Role;

/// An add-on. Its templates lie beside this file. They see `settings` (what the inventory says of this add-on, with
/// defaults), `addons` (the same of every add-on that is wanted, by name), `cluster`, `hosts` and `vars` as roles do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is for, in one line.
    pub about: String,
    /// The namespace of its release and of what does not say another.
    #[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// The name of its chart in the catalogue and in the lock. Without one it is manifests alone.
    #[serde(default)]
    pub chart: Option<String>,
    /// The template of the chart's values.
    #[serde(default)]
    pub values: Option<String>,
    /// Templates of manifests that the chart needs; applied before it.
    #[serde(default)]
    pub before: Vec<String>,
    /// Files with manifests among the artifacts that the chart needs; applied before it, where they are there. What is in them
    /// stays when the add-on is removed, or the setting is switched off.
    #[serde(default)]
    pub artifacts: Vec<ManifestFile>,
    /// Templates of manifests that need the chart; applied after it. An object that is not in them any more is deleted.
    #[serde(default)]
    pub manifests: Vec<String>,
    /// Settings that name a folder of the administrator's with manifests, applied with those after the chart.
    #[serde(default)]
    pub folders: Vec<String>,
    /// Secrets that are made of settings, before everything else.
    #[serde(default)]
    pub secrets: Vec<SecretObject>,
    /// A template of a list of more such secrets, where settings say how many there are.
    #[serde(default)]
    pub more_secrets: Option<String>,
    /// Nodes are not ready without it: it is installed before they are waited for.
    #[serde(default)]
    pub network: bool,
    /// The add-ons that come before this one where they are wanted: it waits for their end, however they end.
    #[serde(default)]
    pub after: Vec<String>,
    /// The add-ons that it cannot work without: it comes after them, and where one fails it is not begun.
    #[serde(default)]
    pub requires: Vec<Need>,
    /// It needs a host with this role.
    #[serde(default)]
    pub hosts: Option<Role>,
    /// The proofs by use that it works, by name, in this order.
    #[serde(default)]
    pub gates: Vec<String>,
    /// Seconds that the chart's own readiness may take.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1))]
    pub timeout: u32,
    /// Where an upgrade fails, helm goes back to the revision before. Without it what failed stays, and the next apply goes on
    /// from there: for what cannot go back.
    #[serde(default = "yes")]
    pub rollback: bool,
    /// Its chart goes up one minor version at a time, and never back: anything else is refused before it is begun.
    #[serde(default)]
    pub minor_by_minor: bool,
    /// What `hoist addon remove` leaves in the cluster in any case, in words for people.
    #[serde(default)]
    pub kept: Vec<String>,
    /// What it leaves in the add-on's namespaces, and what goes with them when that is asked for.
    #[serde(default)]
    pub inside: Vec<String>,
}

/// A file with manifests among the artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// What the catalogue and the lock call it.
    pub name: String,
    /// The setting that must be true, or it is not applied.
    pub setting: String,
}

/// An add-on that another one cannot work without.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Its name.
    pub addon: String,
    /// An expression: it is needed only where this is true. It sees what templates see, and `storage`, the add-on that makes
    /// the volumes of `storage_class`, or of the default class.
    #[serde(default)]
    pub when: Option<String>,
}

/// What a manifest's object is annotated with that stays when its add-on is removed, and when it is no longer rendered.
pub const KEEP: &str = "hoist.dev/keep";

/// A Secret whose values come from where the inventory says, or are made up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretObject {
    #[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace, which is made where it is missing. Default: the add-on's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its type, as Kubernetes has it. Default: `Opaque`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Its keys; each with the setting that says where the value is, such as `backup.access_key`. A setting that is
    /// absent leaves the key out, and without any key there is no Secret.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Characters that no value in `data` may have, because who reads it cannot take them.
    #[serde(default)]
    pub without: String,
    /// What every value in `data` must be. Default: anything.
    #[serde(default)]
    pub form: Option<Form>,
    /// Its keys with values that are no secret: templates.
    #[serde(default)]
    pub plain: BTreeMap<String, String>,
    /// Its keys with values that are made up where the cluster has none: how many letters and digits. They are never
    /// changed afterwards. Where `data` has the same key, its setting wins while it is there.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "integer", "minimum": 16, "maximum": 256}))]
    pub generate: BTreeMap<String, u32>,
}

/// What a value must be, so that who reads it can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Lines of `USER:HASH` with hashes of bcrypt.
    Htpasswd,
}

fn five_minutes() -> u32 {
    300
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Source};

    #[test]
    fn a_definition_is_read_with_its_defaults() {
        let text = "about: Certificates.\nnamespace: cert-manager\nchart: cert-manager\nvalues: values.yaml\n\
                    secrets: [{name: dns, data: {token: dns.token}}]\n";
        let read = yaml::read::<Definition>(&Source::new("addon.yaml", text)).unwrap().value;
        assert_eq!((read.timeout, read.network), (300, false));
        assert_eq!((read.rollback, read.minor_by_minor), (true, false));
        assert_eq!(read.secrets[0].data["token"], "dns.token");
    }

    #[test]
    fn a_secret_may_be_made_up_and_lie_elsewhere() {
        let read = |secret: &str| {
            let text = format!("about: Certificates.\nnamespace: a\nsecrets: [{secret}]\n");
            yaml::read::<Definition>(&Source::new("addon.yaml", text))
                .map(|read| read.value.secrets[0].clone())
        };
        let secret = read("{name: admin, namespace: tig, generate: {token: 48}}").unwrap();
        assert_eq!((secret.namespace.as_deref(), secret.generate["token"]), (Some("tig"), 48));
        assert!(secret.data.is_empty());
        // What is short can be guessed.
        assert!(read("{name: admin, generate: {token: 8}}").is_err());
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let text = "about: Certificates.\nnamespace: Cert\nchrt: cert-manager\n";
        let problems = yaml::read::<Definition>(&Source::new("addon.yaml", text)).unwrap_err().to_json();
        let text = problems.to_string();
        assert!(text.contains("chrt") && text.contains("`chart`") && text.contains("Cert"), "{text}");
    }
}
