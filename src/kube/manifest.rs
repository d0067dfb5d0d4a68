//! Multi-document YAML, as people and charts write it, into objects with a kind and a name.

use ::kube::api::{DynamicObject, TypeMeta};
use serde_json::Value;

use super::error::Error;

/// What names an object in messages: `Deployment hoist-sample/web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub kind: String,
    /// Absent for objects of the cluster, and where the manifest leaves it to the default.
    pub namespace: Option<String>,
    pub name: String,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
            None => write!(formatter, "{} {}", self.kind, self.name),
        }
    }
}

/// One document: its kind, its name, and all of it.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub types: TypeMeta,
    pub name: ObjectName,
    pub object: DynamicObject,
}

/// Reads all documents, in the order of the text; empty ones are nothing.
///
/// # Errors
/// [`Error::Manifest`] with every document that is not an object with `apiVersion`, `kind` and
/// `metadata.name`.
pub(super) fn parse(text: &str) -> Result<Vec<Manifest>, Error> {
    // As kubectl reads numbers: `defaultMode: 0644` is octal. Unlike it, `on`, `no` and `y` stay text: nobody
    // means a boolean by them, and the API server says so if somebody does. No snippets: there are Secrets.
    let options =
        serde_yaml::options! { legacy_octal_numbers: true, strict_booleans: true, with_snippet: false };
    let documents: Vec<Value> = serde_yaml::from_multiple_with_options(text, options)
        .map_err(|error| Error::Manifest { mistakes: vec![format!("not YAML: {error}")] })?;
    let mut manifests = Vec::new();
    let mut mistakes = Vec::new();
    for (index, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
        match read(document) {
            Ok(manifest) => manifests.push(manifest),
            Err(mistake) => mistakes.push(format!("document {}: {mistake}", index + 1)),
        }
    }
    if mistakes.is_empty() { Ok(manifests) } else { Err(Error::Manifest { mistakes }) }
}

pub(super) fn read(document: Value) -> Result<Manifest, String> {
    let text = |pointer: &str| {
        document
            .pointer(pointer)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| format!("{} is missing", pointer.trim_start_matches('/').replace('/', ".")))
    };
    let types = TypeMeta { api_version: text("/apiVersion")?, kind: text("/kind")? };
    let name = ObjectName {
        kind: types.kind.clone(),
        namespace: text("/metadata/namespace").ok(),
        name: text("/metadata/name").map_err(|mistake| format!("{}: {mistake}", types.kind))?,
    };
    let object = serde_json::from_value(document).map_err(|error| format!("{name}: {error}"))?;
    Ok(Manifest { types, name, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_order_and_empty_ones_are_nothing() {
        let text = "---\n# only a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n\
                    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b, namespace: a}\nspec: {replicas: 1}\n";
        let manifests = parse(text).unwrap();
        let names: Vec<_> = manifests.iter().map(|manifest| manifest.name.to_string()).collect();
        assert_eq!(names, ["Namespace a", "Deployment a/b"]);
        assert_eq!(manifests[1].object.data["spec"]["replicas"], 1);
    }

    #[test]
    fn scalars_mean_what_they_mean_to_kubernetes() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: n, labels: {on: no}}\n\
                    spec: {mode: 0644, port: 8080, on: true, size: 250m, version: \"1.20\"}\n";
        let object = &parse(text).unwrap()[0].object;
        let expected =
            serde_json::json!({"mode": 0o644, "port": 8080, "on": true, "size": "250m", "version": "1.20"});
        assert_eq!(object.data["spec"], expected);
        assert_eq!(object.metadata.labels.as_ref().unwrap()["on"], "no");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "kind: Pod\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n---\n[1]\n";
        let Error::Manifest { mistakes } = parse(text).unwrap_err() else { panic!("another error") };
        assert_eq!(
            mistakes,
            [
                "document 1: apiVersion is missing",
                "document 2: Pod: metadata.name is missing",
                "document 3: apiVersion is missing"
            ]
        );
    }

    #[test]
    fn broken_yaml_is_named_so() {
        let error = parse("a: [1\n").unwrap_err().to_string();
        assert!(error.contains("not YAML"), "{error}");
        let error = parse("kind: Secret\ndata: {key: s3cr3t, key: other}\n").unwrap_err().to_string();
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}
