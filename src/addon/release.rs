//! What Helm keeps of a release: a Secret for each revision.
//!
//! Source: helm.sh/helm/v4 `pkg/storage/driver` (and v3's, which is the same): labels `owner=helm`, `name`, `status`,
//! `version`; `data.release` is gzipped JSON in base64, once more in base64 as every Secret.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Error;
use crate::kube::{Kind, documents};

/// Of every revision of every release.
pub(super) const SECRET: Kind = Kind::new("v1", "Secret");
/// Names the add-on of a release, and of every other object of hoist's.
pub const ADDON: &str = "hoist.dev/addon";
/// The beginning of the digest of the chart, as far as a label can be long.
pub const CHART: &str = "hoist.dev/chart";

/// The largest manifest of a chart in use has a few megabytes.
const MAX_RELEASE: u64 = 64 << 20;

/// How a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Deployed,
    Failed,
    /// A helm that was killed: nobody ended what it began.
    Pending,
    /// It is gone.
    Gone,
}

/// The newest revision of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    pub name: String,
    pub namespace: String,
    pub revision: u32,
    pub status: Status,
    /// The chart's name and version.
    pub chart: String,
    pub version: String,
    /// The beginning of its digest, where hoist installed it.
    pub digest: Option<String>,
    /// The add-on, where hoist installed it.
    pub addon: Option<String>,
    /// When this revision was begun, by the API server's clock.
    pub begun: Option<Timestamp>,
    pub values: Map<String, Value>,
    /// The objects that it made.
    pub objects: Vec<Value>,
    /// The newest revision that was in use before this one.
    pub good: Option<u32>,
}

impl Installed {
    /// The name of the Secret in which Helm keeps this revision.
    pub(super) fn kept_as(&self) -> String {
        format!("sh.helm.release.v1.{}.v{}", self.name, self.revision)
    }
}

#[derive(Deserialize)]
struct Stored {
    info: Info,
    chart: Chart,
    #[serde(default)]
    config: Option<Map<String, Value>>,
    #[serde(default)]
    manifest: String,
}

#[derive(Deserialize)]
struct Info {
    status: String,
}

#[derive(Deserialize)]
struct Chart {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

/// The releases that are kept in these Secrets, each at its newest revision.
///
/// # Errors
/// [`Error::Release`].
pub fn releases(secrets: &[Value]) -> Result<Vec<Installed>, Error> {
    let mut newest: Vec<(&str, &str, u32, &Value)> = Vec::new();
    for secret in secrets {
        let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/labels/name"));
        let Ok(revision) = text("/metadata/labels/version").parse() else { continue };
        match newest.iter_mut().find(|known| (known.0, known.1) == (namespace, name)) {
            Some(known) if known.2 < revision => *known = (namespace, name, revision, secret),
            Some(_) => {}
            None => newest.push((namespace, name, revision, secret)),
        }
    }
    let mut found = Vec::new();
    for (namespace, name, revision, secret) in newest {
        let failed =
            |reason: String| Error::Release { namespace: namespace.into(), name: name.into(), reason };
        let label = |key: &str| secret["metadata"]["labels"][key].as_str().map(String::from);
        // What others installed is not for hoist to understand.
        let ours = label(ADDON).is_some();
        let stored: Stored = match decoded(secret) {
            Ok(stored) => stored,
            Err(reason) if ours => return Err(failed(reason)),
            Err(_) => continue,
        };
        let objects = match documents(&stored.manifest) {
            Ok(objects) => objects,
            Err(error) if ours => return Err(failed(error.to_string())),
            Err(_) => Vec::new(),
        };
        let good = secrets.iter().filter_map(|other| {
            let labels = &other["metadata"]["labels"];
            let same = other["metadata"]["namespace"] == namespace && labels["name"] == name;
            let used = ["deployed", "superseded"].iter().any(|word| labels["status"] == *word);
            let number: u32 = labels["version"].as_str()?.parse().ok()?;
            (same && used && number < revision).then_some(number)
        });
        found.push(Installed {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            revision,
            status: match stored.info.status.as_str() {
                "deployed" => Status::Deployed,
                "failed" => Status::Failed,
                "uninstalled" | "superseded" => Status::Gone,
                // pending-install, pending-upgrade, pending-rollback, unknown; and uninstalling, which a helm leaves behind
                // that could not delete everything.
                _ => Status::Pending,
            },
            chart: stored.chart.metadata.name,
            version: stored.chart.metadata.version,
            digest: label(CHART),
            addon: label(ADDON),
            begun: secret["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse().ok()),
            values: stored.config.unwrap_or_default(),
            objects,
            good: good.max(),
        });
    }
    Ok(found)
}

fn decoded(secret: &Value) -> Result<Stored, String> {
    let outer = secret["data"]["release"].as_str().ok_or("it holds no release")?;
    let inner = STANDARD.decode(outer).map_err(|error| error.to_string())?;
    let packed = STANDARD.decode(inner).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    GzDecoder::new(&packed[..])
        .take(MAX_RELEASE)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    /// A revision as Helm keeps it.
    pub fn stored(name: &str, revision: u32, status: &str, values: Value) -> Value {
        made_of(
            "---\n# Source: web\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {page: one}\n",
            (name, revision, status, values),
        )
    }

    /// A revision of these objects.
    pub fn made_of(manifest: &str, (name, revision, status, values): (&str, u32, &str, Value)) -> Value {
        let release = json!({
            "name": name, "info": {"status": status}, "config": values,
            "chart": {"metadata": {"name": "web", "version": "1.0.0"}},
            "manifest": manifest,
        });
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(release.to_string().as_bytes()).unwrap();
        let once = STANDARD.encode(packer.finish().unwrap());
        json!({
            "metadata": {"namespace": "site", "labels": {
                "owner": "helm", "name": name, "status": status, "version": revision.to_string(), ADDON: name,
            }},
            "data": {"release": STANDARD.encode(once)},
        })
    }

    #[test]
    fn the_newest_revision_counts_and_the_last_good_one_is_known() {
        let secrets = [
            stored("web", 9, "superseded", json!({})),
            stored("web", 11, "pending-upgrade", json!({"page": "two"})),
            stored("web", 10, "failed", json!({})),
            stored("other", 1, "deployed", json!(null)),
        ];
        let found = releases(&secrets).unwrap();
        let web = &found[0];
        assert_eq!((web.revision, web.status, web.good), (11, Status::Pending, Some(9)));
        assert_eq!((web.values["page"].as_str(), web.version.as_str()), (Some("two"), "1.0.0"));
        assert_eq!(web.objects[0]["data"]["page"], "one");
        assert_eq!((found[1].status, found[1].good, found[1].values.len()), (Status::Deployed, None, 0));
        assert_eq!(found[1].addon.as_deref(), Some("other"));
        for (status, expected) in [("uninstalling", Status::Pending), ("uninstalled", Status::Gone)] {
            assert_eq!(releases(&[stored("web", 1, status, json!({}))]).unwrap()[0].status, expected);
        }
    }

    #[test]
    fn what_is_damaged_is_named() {
        let mut secret = stored("web", 1, "deployed", json!({}));
        secret["data"]["release"] = json!("bm90aGluZw==");
        let error = releases(&[secret.clone()]).unwrap_err();
        assert!(error.to_string().contains("site/web"), "{error}");
        // One that hoist has not installed stops nobody.
        secret["metadata"]["labels"].as_object_mut().unwrap().shift_remove(ADDON);
        assert_eq!(releases(&[secret, stored("other", 1, "deployed", json!({}))]).unwrap().len(), 1);
    }
}
