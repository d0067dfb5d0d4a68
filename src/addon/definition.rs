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
    /// Templates of manifests that need the chart; applied after it. An object that is not in them any more is deleted.
    #[serde(default)]
    pub manifests: Vec<String>,
    /// Secrets that are made of settings, before everything else.
    #[serde(default)]
    pub secrets: Vec<SecretObject>,
    /// Nodes are not ready without it: it is installed before they are waited for.
    #[serde(default)]
    pub network: bool,
    /// The add-ons that come before this one where they are wanted.
    #[serde(default)]
    pub after: Vec<String>,
    /// The add-ons that it cannot work without.
    #[serde(default)]
    pub requires: Vec<String>,
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
    /// What `hoist addon remove` leaves in the cluster, in words for people.
    #[serde(default)]
    pub kept: Vec<String>,
}

/// A Secret whose values come from where the inventory says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretObject {
    pub name: String,
    /// Its keys; each with the setting that says where the value is, such as `backup.access_key`. A setting that is
    /// absent leaves the key out, and without any key there is no Secret.
    pub data: BTreeMap<String, String>,
    /// Its keys with values that are no secret: templates.
    #[serde(default)]
    pub plain: BTreeMap<String, String>,
}

fn five_minutes() -> u32 {
    300
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
        assert_eq!(read.secrets[0].data["token"], "dns.token");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let text = "about: Certificates.\nnamespace: Cert\nchrt: cert-manager\n";
        let problems = yaml::read::<Definition>(&Source::new("addon.yaml", text)).unwrap_err().to_json();
        let text = problems.to_string();
        assert!(text.contains("chrt") && text.contains("`chart`") && text.contains("Cert"), "{text}");
    }
}
