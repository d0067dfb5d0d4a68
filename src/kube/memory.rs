//! For tests: an API server that keeps objects in memory. It makes, lists, merges, replaces and deletes them; what
//! controllers would do, a test does after each write.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fake::Answer;

/// Group and version, kind, plural, and whether objects are in namespaces.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("v1", "Namespace", "namespaces", false),
    ("v1", "Node", "nodes", false),
    ("v1", "PersistentVolume", "persistentvolumes", false),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("v1", "Pod", "pods", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Event", "events", true),
    ("coordination.k8s.io/v1", "Lease", "leases", true),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false),
    ("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", false),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true),
    ("networking.k8s.io/v1", "Ingress", "ingresses", true),
    ("networking.k8s.io/v1", "IngressClass", "ingressclasses", false),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    ("apps/v1", "DaemonSet", "daemonsets", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("batch/v1", "Job", "jobs", true),
    ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", true),
    ("external-secrets.io/v1", "SecretStore", "secretstores", true),
    ("external-secrets.io/v1", "ExternalSecret", "externalsecrets", true),
    ("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses", false),
    ("gateway.networking.k8s.io/v1", "Gateway", "gateways", true),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", true),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("cert-manager.io/v1", "Issuer", "issuers", true),
    ("cert-manager.io/v1", "Certificate", "certificates", true),
    ("cilium.io/v2", "CiliumNode", "ciliumnodes", false),
    ("metallb.io/v1beta1", "IPAddressPool", "ipaddresspools", true),
    ("metallb.io/v1beta1", "ServiceL2Status", "servicel2statuses", true),
    ("longhorn.io/v1beta2", "Replica", "replicas", true),
    ("longhorn.io/v1beta2", "BackupTarget", "backuptargets", true),
    ("longhorn.io/v1beta2", "BackupVolume", "backupvolumes", true),
    ("longhorn.io/v1beta2", "Backup", "backups", true),
    ("longhorn.io/v1beta2", "Snapshot", "snapshots", true),
];

/// What a test does after each write, as controllers do.
pub type Controller = Box<dyn FnMut(&mut Objects) + Send>;

/// Objects by plural, namespace and name.
#[derive(Default)]
pub struct Objects {
    kept: BTreeMap<(String, String, String), Value>,
    writes: u64,
}

impl Objects {
    /// Keeps an object as it is.
    pub fn put(&mut self, object: Value) {
        let kind = object["kind"].as_str().unwrap();
        let (_, _, plural, _) = KINDS.iter().find(|(_, it, _, _)| *it == kind).unwrap();
        let at = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        self.kept.insert((plural.to_string(), at("namespace"), at("name")), object);
    }

    /// The object of a kind and name in any namespace.
    pub fn find_mut(&mut self, kind: &str, name: &str) -> Option<&mut Value> {
        self.kept.values_mut().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    }

    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.kept.values().filter(|it| it["kind"] == kind).collect()
    }

    /// Why an object is not written, if a version is demanded that it does not have.
    fn refusal(&self, key: &(String, String, String), version: &Value) -> Option<Answer> {
        let Some(object) = self.kept.get(key) else { return Some(missing()) };
        let other = !version.is_null() && object["metadata"]["resourceVersion"] != *version;
        other.then(|| Answer::failure(409, "Conflict", "the object has been modified"))
    }

    pub fn of_mut(&mut self, kind: &str) -> Vec<&mut Value> {
        self.kept.values_mut().filter(|it| it["kind"] == kind).collect()
    }
}

/// An API server in memory.
#[derive(Default)]
pub struct Memory {
    pub objects: Objects,
    pub controllers: Vec<Controller>,
    /// Groups with versions that it does not know.
    pub unknown: Vec<String>,
}

impl Memory {
    /// Answers a request (`METHOD /path?query`).
    pub fn answer(&mut self, request: &str, body: &[u8]) -> Answer {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => (version.to_string(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return missing(),
        };
        if self.unknown.contains(&group) {
            return missing();
        }
        let (namespace, rest) = match rest {
            [] => return resources(&group),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name) = (rest[0], rest.get(1).copied().unwrap_or_default());
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let answer = match method {
            "GET" if name.is_empty() => return self.list(plural, namespace, query),
            "GET" => return self.objects.kept.get(&key).map_or_else(missing, found),
            "POST" if rest.get(2) == Some(&"eviction") => match self.delete(&key, &Value::Null) {
                Answer::Json(200, _) => {
                    Answer::Json(201, json!({"kind": "Status", "status": "Success"}).to_string())
                }
                refusal => refusal,
            },
            "POST" => self.create(plural, namespace, body),
            "PATCH" => self.patch(&key, &body, query),
            "PUT" => self.replace(&key, body),
            "DELETE" => self.delete(&key, &body["preconditions"]["resourceVersion"]),
            _ => missing(),
        };
        let mut controllers = std::mem::take(&mut self.controllers);
        for controller in &mut controllers {
            controller(&mut self.objects);
        }
        self.controllers = controllers;
        answer
    }

    fn list(&self, plural: &str, namespace: &str, query: &str) -> Answer {
        let query = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let selector =
            query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
        let wanted: Vec<&str> = selector.split(',').filter(|it| !it.is_empty()).collect();
        let fits = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            wanted.iter().all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels[key] == value,
                None => labels[*wanted].is_string(),
            })
        };
        let of_it = self.objects.kept.iter().filter(|((it, place, _), object)| {
            it == plural && (namespace.is_empty() || place == namespace) && fits(object)
        });
        let items: Vec<&Value> = of_it.map(|(_, object)| object).collect();
        Answer::Json(
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string(),
        )
    }

    fn create(&mut self, plural: &str, namespace: &str, mut object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (plural.to_owned(), namespace.to_owned(), name.clone());
        if self.objects.kept.contains_key(&key) {
            return Answer::failure(409, "AlreadyExists", &format!("{plural} {name:?} already exists"));
        }
        self.objects.writes += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.objects.writes));
        object["metadata"]["resourceVersion"] = json!(self.objects.writes.to_string());
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.objects.kept.insert(key, object.clone());
        if plural == "namespaces" {
            let metadata = json!({"name": "default", "namespace": name});
            self.objects.put(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        }
        found(&object)
    }

    /// Merges. Applying, which is forced here as it is by hoist, makes what is missing; a dry run writes nothing.
    fn patch(&mut self, key: &(String, String, String), patch: &Value, query: &str) -> Answer {
        let applies = query.contains("force=true");
        let version = &patch["metadata"]["resourceVersion"];
        if !version.is_null()
            && let Some(refusal) = self.objects.refusal(key, version)
        {
            return refusal;
        }
        let homeless = !key.1.is_empty()
            && self.objects.of("Namespace").iter().all(|it| it["metadata"]["name"] != key.1);
        let mut object = match self.objects.kept.get(key) {
            Some(object) => object.clone(),
            None if applies && !homeless => {
                self.objects.writes += 1;
                json!({"metadata": {"uid": format!("uid-{}", self.objects.writes)}})
            }
            None => return missing(),
        };
        merge(&mut object, patch);
        if !query.contains("dryRun") {
            if applies && !key.1.is_empty() {
                object["metadata"]["namespace"] = json!(key.1);
            }
            self.objects.kept.insert(key.clone(), object.clone());
        }
        found(&object)
    }

    fn replace(&mut self, key: &(String, String, String), mut object: Value) -> Answer {
        if let Some(refusal) = self.objects.refusal(key, &object["metadata"]["resourceVersion"]) {
            return refusal;
        }
        self.objects.writes += 1;
        object["metadata"]["resourceVersion"] = json!(self.objects.writes.to_string());
        self.objects.kept.insert(key.clone(), object.clone());
        found(&object)
    }

    fn delete(&mut self, key: &(String, String, String), version: &Value) -> Answer {
        if let Some(refusal) = self.objects.refusal(key, version) {
            return refusal;
        }
        let Some(object) = self.objects.kept.remove(key) else { return missing() };
        if key.0 == "namespaces" {
            self.objects.kept.retain(|(_, namespace, _), _| *namespace != key.2);
        }
        found(&object)
    }
}

fn found(object: impl std::borrow::Borrow<Value>) -> Answer {
    Answer::Json(200, object.borrow().to_string())
}

fn missing() -> Answer {
    Answer::failure(404, "NotFound", "the server could not find the requested resource")
}

fn resources(group: &str) -> Answer {
    let ours = KINDS.iter().filter(|(it, ..)| *it == group);
    let all: Vec<Value> = ours
        .map(|(_, kind, plural, namespaced)| {
            json!({"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind,
                   "verbs": ["get", "list", "create", "update", "patch", "delete"]})
        })
        .collect();
    if all.is_empty() {
        return missing();
    }
    let list = json!({"kind": "APIResourceList", "groupVersion": group, "resources": all});
    Answer::Json(200, list.to_string())
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        patch.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().shift_remove(key)),
            value => merge(&mut target[key.as_str()], value),
        }
    }
}
