//! Objects as an add-on's own: by which labels and names they are found again, and by which digest they are proven.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Desired, KEEP, Secret, observed::labels, release::ADDON, shown::sorted};
use crate::{
    kube::{self, Api, Declared, FIELD_MANAGER, MANAGED_BY},
    task::sha256,
};

/// The Secrets of an add-on with what was made up before.
pub(super) async fn secrets(api: &Api, desired: &Desired) -> Result<Vec<Secret>, kube::Error> {
    futures::future::try_join_all(desired.secrets.iter().map(|secret| secret.found(api))).await
}

/// Secrets as the API server takes them.
pub(super) fn declared_secrets(desired: &Desired, secrets: &[Secret]) -> Declared {
    let labels = labels(&desired.name);
    let objects = secrets.iter().map(|secret| secret.object(&labels)).collect();
    Declared { namespace: desired.definition.namespace.clone(), objects }
}

/// Objects with the labels by which they are found again.
pub(super) fn labelled(desired: &Desired, declared: &Declared) -> Declared {
    let mut declared = declared.clone();
    for object in &mut declared.objects {
        if !object["metadata"]["labels"].is_object() {
            object["metadata"]["labels"] = Value::Object(Map::new());
        }
        let own = &mut object["metadata"]["labels"];
        own[ADDON] = Value::from(desired.name.as_str());
        if own.get(MANAGED_BY).is_none() {
            own[MANAGED_BY] = Value::from(FIELD_MANAGER);
        }
    }
    declared
}

/// Whether a recorded object is the declared one, perhaps in another version of its API. Where the declared one names no
/// namespace, the recorded one is in `namespace` or of a kind that has none.
pub(super) fn is_same(declared: &Value, namespace: &str, recorded: &Value) -> bool {
    let group = |object: &Value| {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned())
    };
    let (ours, theirs) = (&declared["metadata"], &recorded["metadata"]);
    let place = match (ours["namespace"].as_str(), theirs["namespace"].as_str()) {
        (_, None) => true,
        (ours, Some(theirs)) => ours.unwrap_or(namespace) == theirs,
    };
    place
        && declared["kind"] == recorded["kind"]
        && ours["name"] == theirs["name"]
        && group(declared) == group(recorded)
}

/// What is never deleted by itself: with it goes what others keep there.
pub(super) fn stays(object: &Value) -> bool {
    ["Namespace", "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume"]
        .iter()
        .any(|kind| object["kind"] == *kind)
        || object["metadata"]["annotations"][KEEP] == "true"
}

/// A digest of everything that gates prove. Values of Secrets are not in it.
pub(super) fn digest(desired: &Desired) -> String {
    let release = desired
        .release
        .as_ref()
        .map(|release| (&release.chart.sha256, sorted(&Value::Object(release.values.clone()))));
    let keys = |secret: &Secret| {
        let keys: BTreeSet<String> =
            secret.data.keys().chain(secret.generate.keys()).chain(secret.missing.keys()).cloned().collect();
        (secret.namespace.clone(), secret.name.clone(), keys)
    };
    let secrets: Vec<_> = desired.secrets.iter().map(keys).collect();
    let all = serde_json::json!([
        release,
        desired.before.objects,
        desired.manifests.objects,
        secrets,
        desired.definition.gates
    ]);
    sha256(all.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_the_same_in_another_version_and_not_in_another_namespace() {
        let object = |version: &str, namespace: Option<&str>| json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "a", "namespace": namespace}});
        let recorded = object("apps/v1beta1", Some("n"));
        assert!(is_same(&object("apps/v1", None), "n", &recorded));
        assert!(is_same(&object("apps/v1", Some("n")), "x", &recorded));
        assert!(!is_same(&object("apps/v1", Some("m")), "n", &recorded));
        assert!(!is_same(&object("extensions/v1", None), "n", &recorded));
    }
}
