//! Server-side apply: the API server merges, so that fields which others own (a replica count that an
//! autoscaler sets) stay theirs, and what is ours and was changed by hand comes back.

use std::collections::HashMap;

use ::kube::{
    api::{Api as Resources, ApiResource, DynamicObject, Patch, PatchParams, TypeMeta},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    api::Api,
    error::Error,
    hidden::{hide_keyed, hide_listed},
    manifest::{Manifest, ObjectName, parse},
};

/// Who owns the fields that we apply, in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "hoist";

/// What applying did, or would do, to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    Changed,
    Unchanged,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
        })
    }
}

/// One object of an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub object: ObjectName,
    pub change: Change,
}

/// One object of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub object: ObjectName,
    pub change: Change,
    /// A unified diff of the YAML, without what the cluster itself keeps in there; values of Secrets are
    /// hidden. Empty when nothing would change.
    pub diff: String,
}

impl Api {
    /// Applies the documents of `manifests` in their order and says what each did. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Manifest`] before anything is sent; [`Error::UnknownKind`] and [`Error::Refused`] at the
    /// first object that the API server does not take: those before it stay applied.
    pub async fn apply(&self, manifests: &str) -> Result<Vec<Applied>, Error> {
        let mut kinds = Kinds::default();
        let mut applied = Vec::new();
        for manifest in parse(manifests)? {
            let resources = kinds.resources(self, &manifest).await?;
            let (before, after) = self.send(&resources, &manifest, false).await?;
            applied.push(Applied { object: manifest.name, change: compare(before.as_ref(), &after) });
        }
        Ok(applied)
    }

    /// What [`Api::apply`] would do, asked of the API server without doing it.
    ///
    /// # Errors
    /// Those of [`Api::apply`]; besides, an object in a namespace that does not exist yet cannot be asked
    /// about, and is told as created.
    pub async fn diff(&self, manifests: &str) -> Result<Vec<Difference>, Error> {
        let mut kinds = Kinds::default();
        let mut differences = Vec::new();
        for manifest in parse(manifests)? {
            let resources = kinds.resources(self, &manifest).await?;
            let (before, after) = match self.send(&resources, &manifest, true).await {
                Err(Error::Refused { status: 404, .. }) => (None, manifest.object.clone()),
                answer => answer?,
            };
            let change = compare(before.as_ref(), &after);
            let diff = match change {
                Change::Unchanged => String::new(),
                _ => unified(before.as_ref(), &after),
            };
            differences.push(Difference { object: manifest.name, change, diff });
        }
        Ok(differences)
    }

    /// The objects of a kind, in a namespace where the kind has them.
    pub(super) fn of(
        &self,
        resource: &ApiResource,
        scope: &Scope,
        namespace: Option<&str>,
    ) -> Resources<DynamicObject> {
        match scope {
            Scope::Cluster => Resources::all_with(self.client.clone(), resource),
            Scope::Namespaced => {
                Resources::namespaced_with(self.client.clone(), namespace.unwrap_or("default"), resource)
            }
        }
    }

    pub(super) async fn send(
        &self,
        resources: &Resources<DynamicObject>,
        manifest: &Manifest,
        dry_run: bool,
    ) -> Result<(Option<DynamicObject>, DynamicObject), Error> {
        let name = &manifest.name;
        let before = self.ask(&format!("read {name}"), || resources.get_opt(&name.name)).await?;
        // Forced: what the inventory says wins over what was typed in by hand.
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.dry_run = dry_run;
        let patch = Patch::Apply(&manifest.object);
        let action = format!("apply {name}");
        let after = self.ask(&action, || resources.patch(&name.name, &params, &patch)).await?;
        Ok((before, after))
    }
}

/// Which kinds the API server knows, asked once each.
#[derive(Default)]
struct Kinds(HashMap<(String, String), (ApiResource, Scope)>);

impl Kinds {
    async fn resources(&mut self, api: &Api, manifest: &Manifest) -> Result<Resources<DynamicObject>, Error> {
        let TypeMeta { api_version, kind } = manifest.types.clone();
        let key = (api_version, kind);
        if !self.0.contains_key(&key) {
            let found = look_up(api, manifest).await?;
            self.0.insert(key.clone(), found);
        }
        let (resource, scope) = &self.0[&key];
        Ok(api.of(resource, scope, manifest.name.namespace.as_deref()))
    }
}

/// What the API server knows of an object's kind.
///
/// # Errors
/// [`Error::UnknownKind`] when it knows none.
pub(super) async fn look_up(api: &Api, manifest: &Manifest) -> Result<(ApiResource, Scope), Error> {
    let unknown = || Error::UnknownKind {
        object: manifest.name.to_string(),
        api_version: manifest.types.api_version.clone(),
        kind: manifest.types.kind.clone(),
    };
    let kind = GroupVersionKind::try_from(&manifest.types).map_err(|_| unknown())?;
    let action = format!("look up the kind of {}", manifest.name);
    let missing = |error: &::kube::Error| match error {
        ::kube::Error::Discovery(_) => true,
        ::kube::Error::Api(status) => status.code == 404,
        _ => false,
    };
    let found = api.ask(&action, || async {
        match pinned_kind(&api.client, &kind).await {
            Ok((resource, capabilities)) => Ok(Some((resource, capabilities.scope))),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    });
    found.await?.ok_or_else(unknown)
}

pub(super) fn compare(before: Option<&DynamicObject>, after: &DynamicObject) -> Change {
    // Versions would not do: a dry run keeps the old one, a controller that writes the status makes a new one,
    // and some API servers note the time of an apply that changed nothing.
    match before {
        None => Change::Created,
        Some(before) if essence(before) == essence(after) => Change::Unchanged,
        Some(_) => Change::Changed,
    }
}

/// What a person declares about an object, without what the cluster keeps in it.
fn essence(object: &DynamicObject) -> Value {
    // A DynamicObject came from JSON, so that it can become JSON.
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"]
        {
            metadata.remove(field);
        }
    }
    value
}

pub(super) fn unified(before: Option<&DynamicObject>, after: &DynamicObject) -> String {
    let mut old = before.map(essence).unwrap_or_default();
    let mut new = essence(after);
    if new["kind"] == json!("Secret") {
        hide(&mut old, &mut new);
    }
    for object in [&mut old, &mut new] {
        hide_listed(object);
        if object["kind"] != json!("Secret") {
            hide_keyed(object);
        }
        // `kubectl apply` keeps a copy of the whole object here.
        let copy = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
        if let Some(copy) = object.pointer_mut(copy) {
            *copy = json!("(hidden)");
        }
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        value => serde_yaml::to_string(value).unwrap_or_default(),
    };
    let (old, new) = (text(&old), text(&new));
    TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string()
}

/// Shows which keys of a Secret change and none of their values.
fn hide(old: &mut Value, new: &mut Value) {
    for field in ["data", "stringData"] {
        let before = old.get(field).cloned().unwrap_or_default();
        if let Some(values) = new.get_mut(field).and_then(Value::as_object_mut) {
            for (key, value) in values {
                let same = before.get(key) == Some(&*value);
                *value = json!(if same { "(hidden)" } else { "(hidden, new)" });
            }
        }
        for value in
            old.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
        {
            *value = json!("(hidden)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_status_or_a_time_stamp_is_not_a_change() {
        let live = |version: &str, ready: u32, replicas: u32| {
            object(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "resourceVersion": version, "generation": ready,
                             "managedFields": [{"manager": "hoist", "time": format!("2026-01-01T00:00:0{ready}Z")}]},
                "spec": {"replicas": replicas}, "status": {"readyReplicas": ready},
            }))
        };
        assert_eq!(compare(None, &live("1", 0, 3)), Change::Created);
        assert_eq!(compare(Some(&live("1", 0, 3)), &live("1", 0, 3)), Change::Unchanged);
        assert_eq!(compare(Some(&live("1", 0, 3)), &live("2", 1, 3)), Change::Unchanged);
        assert_eq!(compare(Some(&live("1", 0, 3)), &live("2", 0, 4)), Change::Changed);
        assert_eq!(compare(Some(&live("1", 0, 3)), &live("1", 0, 4)), Change::Changed, "a dry run");
    }

    #[test]
    fn a_diff_shows_the_field_and_nothing_else() {
        let config = |text: &str| {
            object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": text},
                          "data": {"a": text, "b": "same"}}))
        };
        let diff = unified(Some(&config("old")), &config("new"));
        assert!(diff.contains("-  a: old\n+  a: new\n"), "{diff}");
        assert!(!diff.contains("uid"), "{diff}");
    }

    #[test]
    fn a_diff_of_a_workload_has_no_password() {
        let workload = |value: &str, image: &str| {
            object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": format!("a copy of {value}")}},
                "spec": {"containers": [{"image": image, "env": [{"name": "DB_PASSWORD", "value": value}]}]}}))
        };
        let diff = unified(Some(&workload("hunter1", "web:1")), &workload("hunter2", "web:2"));
        assert!(diff.contains("web:2") && diff.contains("DB_PASSWORD") && !diff.contains("hunter"), "{diff}");
    }

    #[test]
    fn a_diff_of_settings_has_no_password() {
        let map = |value: &str, port: u16| {
            object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
                          "data": {"token": value, "web.conf": format!("password: {value}\nport: {port}\n")}}))
        };
        let diff = unified(Some(&map("hunter1", 80)), &map("hunter2", 81));
        assert!(diff.contains("port: 81") && diff.contains("password: (hidden)"), "{diff}");
        assert!(!diff.contains("hunter"), "{diff}");
        let pod = |value: &str, image: &str| {
            object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                "spec": {"containers": [{"image": image, "args": [format!("--password={value}"), "--token", value]}]}}))
        };
        let diff = unified(Some(&pod("hunter1", "web:1")), &pod("hunter2", "web:2"));
        assert!(diff.contains("--password=(hidden)") && diff.contains("web:2"), "{diff}");
        assert!(!diff.contains("hunter"), "{diff}");
    }

    #[test]
    fn a_diff_of_a_secret_has_keys_and_no_values() {
        let secret = |value: &str| {
            object(json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "s", "annotations":
                    {"kubectl.kubernetes.io/last-applied-configuration": format!("copy of {value}")}},
                "data": {"password": value, "user": "Ym9i"}}))
        };
        let diff = unified(Some(&secret("aHVudGVyMg==")), &secret("aHVudGVyMw=="));
        assert!(diff.contains("password"), "{diff}");
        assert!(diff.contains("(hidden, new)"), "{diff}");
        for leak in ["aHVudGVy", "Ym9i"] {
            assert!(!diff.contains(leak), "{diff}");
        }
        let created = unified(None, &secret("aHVudGVyMg=="));
        assert!(created.contains("password") && !created.contains("aHVudGVy"), "{created}");
    }
}
