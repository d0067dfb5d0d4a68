//! What the cluster has: two questions, however many add-ons there are.

use serde_json::{Value, json};

use super::{
    Desired, Error, Installed, KEEP, Status,
    release::{self, ADDON, SECRET},
};
use crate::kube::{Api, Declared, FIELD_MANAGER, Kind, MANAGED_BY};

/// What hoist applied of an add-on beside its chart is written down in a ConfigMap of this kind, before it is applied.
const RECORD: Kind = Kind::new("v1", "ConfigMap");

/// What the cluster has of all add-ons.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    pub releases: Vec<Installed>,
    pub records: Vec<Record>,
}

/// What hoist did for an add-on beside its chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    pub addon: String,
    pub namespace: String,
    /// The objects that it applied, by `apiVersion`, `kind`, namespace and name.
    pub objects: Vec<Value>,
    /// The digest of what all gates were passed with.
    pub proven: Option<String>,
    /// The nodes that were ready and answered then.
    pub nodes: Vec<String>,
}

/// Asks for all releases and all records.
///
/// # Errors
/// When the API server does not answer, or a release cannot be read.
pub async fn observe(api: &Api) -> Result<Observed, Error> {
    let secrets = async { api.objects(SECRET, None, "owner=helm").await };
    let records = async { api.objects(RECORD, None, ADDON).await };
    let (secrets, records) = tokio::try_join!(secrets, records)?;
    let records = records.iter().filter_map(Record::read).collect();
    Ok(Observed { releases: release::releases(&secrets)?, records })
}

impl Observed {
    /// The release of an add-on.
    pub fn release(&self, namespace: &str, name: &str) -> Option<&Installed> {
        self.releases
            .iter()
            .find(|release| (release.namespace.as_str(), release.name.as_str()) == (namespace, name))
    }

    /// The record of an add-on.
    pub fn record(&self, namespace: &str, name: &str) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| (record.namespace.as_str(), record.addon.as_str()) == (namespace, name))
    }

    /// Whether an add-on is there: its release is in use, or, where it has none, something of it was applied.
    pub fn is_installed(&self, desired: &Desired) -> bool {
        let (namespace, name) = (&desired.definition.namespace, &desired.name);
        match &desired.release {
            Some(_) => {
                self.release(namespace, name).is_some_and(|release| release.status == Status::Deployed)
            }
            None => self.record(namespace, name).is_some(),
        }
    }

    /// Whose a namespace is besides that of this add-on, in words: the cluster's own, or that of others.
    pub fn also_of(&self, namespace: &str, name: &str) -> Option<String> {
        if namespace == "default" || namespace.starts_with("kube-") {
            return Some(String::from("the cluster"));
        }
        let others = self.addons().into_iter().filter(|(other, place)| other != name && place == namespace);
        let others: Vec<String> = others.map(|(other, _)| format!("`{other}`")).collect();
        (!others.is_empty()).then(|| others.join(", "))
    }

    /// The add-ons that hoist installed, with their namespaces.
    pub fn addons(&self) -> Vec<(String, String)> {
        let releases = self.releases.iter().filter(|release| release.status != Status::Gone);
        let releases =
            releases.filter_map(|release| Some((release.addon.clone()?, release.namespace.clone())));
        let records = self.records.iter().map(|record| (record.addon.clone(), record.namespace.clone()));
        let mut all: Vec<_> = releases.chain(records).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Record {
    fn read(object: &Value) -> Option<Record> {
        let metadata = &object["metadata"];
        let addon = metadata["labels"][ADDON].as_str()?;
        // What an add-on itself has of this kind bears the label, too.
        if metadata["name"] != name(addon) {
            return None;
        }
        let text = |key: &str| object["data"][key].as_str();
        Some(Record {
            addon: addon.to_owned(),
            namespace: metadata["namespace"].as_str()?.to_owned(),
            objects: serde_json::from_str(text("objects").unwrap_or_default()).unwrap_or_default(),
            proven: text("proven").map(String::from),
            nodes: serde_json::from_str(text("nodes").unwrap_or_default()).unwrap_or_default(),
        })
    }

    /// The object that keeps it.
    pub(super) fn object(&self) -> Value {
        let mut data = json!({"objects": json!(self.objects).to_string()});
        if let Some(proven) = &self.proven {
            data["proven"] = json!(proven);
        }
        if !self.nodes.is_empty() {
            data["nodes"] = json!(json!(self.nodes).to_string());
        }
        json!({
            "apiVersion": RECORD.api_version, "kind": RECORD.kind,
            "metadata": {"name": name(&self.addon), "namespace": self.namespace, "labels": labels(&self.addon)},
            "data": data,
        })
    }
}

/// The labels of everything that hoist makes for an add-on.
pub(super) fn labels(addon: &str) -> Value {
    json!({ADDON: addon, MANAGED_BY: FIELD_MANAGER})
}

fn name(addon: &str) -> String {
    format!("hoist-addon-{addon}")
}

/// Whether two references are of the same object.
pub(super) fn is_named(one: &Value, other: &Value) -> bool {
    let (here, there) = (&one["metadata"], &other["metadata"]);
    one["apiVersion"] == other["apiVersion"]
        && one["kind"] == other["kind"]
        && here["name"] == there["name"]
        && here["namespace"] == there["namespace"]
}

/// What is needed to find objects again. Where one names no namespace it is taken to be in the add-on's.
pub(super) fn references(declared: &Declared) -> Vec<Value> {
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        let mut reference = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": metadata["name"]},
        });
        if metadata["namespace"].is_string() {
            reference["metadata"]["namespace"] = metadata["namespace"].clone();
        }
        // Who deletes it must know what it said of itself.
        if metadata["labels"][MANAGED_BY].is_string() {
            reference["metadata"]["labels"] = json!({MANAGED_BY: metadata["labels"][MANAGED_BY]});
        }
        if metadata["annotations"][KEEP].is_string() {
            reference["metadata"]["annotations"] = json!({KEEP: metadata["annotations"][KEEP]});
        }
        reference
    };
    declared.objects.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::desired::tests::{chart, nothing};

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record {
            addon: "metallb".into(),
            namespace: "metallb-system".into(),
            objects: vec![json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})],
            proven: Some("abc".into()),
            nodes: vec!["cp1".into()],
        };
        let mut object = record.object();
        assert_eq!(Record::read(&object), Some(record));
        object["metadata"]["name"] = json!("another");
        assert_eq!(Record::read(&object), None);
    }

    #[test]
    fn what_hoist_installed_is_known_without_an_inventory() {
        let releases = release::releases(&[
            release::tests::stored("web", 1, "deployed", json!({})),
            release::tests::stored("old", 2, "uninstalled", json!({})),
        ]);
        let record = Record { addon: "site".into(), namespace: "web".into(), ..Record::default() };
        let observed = Observed { releases: releases.unwrap(), records: vec![record] };
        let known =
            [("site", "web"), ("web", "site")].map(|(name, space)| (name.to_string(), space.to_string()));
        assert_eq!(observed.addons(), known);
        assert!(observed.release("site", "web").is_some() && observed.release("web", "web").is_none());
        assert_eq!(observed.also_of("site", "web"), None);
        assert_eq!(observed.also_of("site", "other").as_deref(), Some("`web`"));
        assert_eq!(observed.also_of("kube-system", "web").as_deref(), Some("the cluster"));
    }

    #[test]
    fn what_failed_or_was_never_applied_is_not_installed() {
        let with = |status: &str| Observed {
            releases: release::releases(&[release::tests::stored("web", 1, status, json!({}))]).unwrap(),
            records: Vec::new(),
        };
        let mut web = nothing("web", "site");
        assert!(!with("deployed").is_installed(&web), "it has manifests alone, and none was applied");
        let record = Record { addon: "web".into(), namespace: "site".into(), ..Record::default() };
        assert!(Observed { records: vec![record], ..Observed::default() }.is_installed(&web));
        web.release = Some(chart("web", "1.0.0", json!({})));
        assert!(with("deployed").is_installed(&web));
        assert!(!with("failed").is_installed(&web) && !Observed::default().is_installed(&web));
    }
}
