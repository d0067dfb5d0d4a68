//! Secrets of cert-manager that outlive the cluster, in a folder of the administrator's: what an authority gives only so
//! often, and the own root that machines trust.
//!
//! A file for each, mode 0600, with the Secret as the API server takes it. hoist writes and reads them, and deletes none.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use crate::{
    disk::write_private,
    kube::{self, Api, Kind},
};

const SECRET: Kind = Kind::new("v1", "Secret");
const NAMESPACE: Kind = Kind::new("v1", "Namespace");
/// What cert-manager marks the Secrets of its certificates with (since 1.12).
const ISSUED: &str = "controller.cert-manager.io/fao=true";
const ISSUER: &str = "cert-manager.io/issuer-name";
const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
/// The issuer with strict limits; that for trying has generous ones.
const PRODUCTION: &str = "acme-production";
/// In cert-manager's own namespace: the accounts with authorities, and the own authority. Their keys stay for ever.
const LASTING: [&str; 3] = ["acme-production-account", "acme-staging-account", OWN];
const OWN: &str = "own-ca";
/// Files are called `NAMESPACE.NAME.json`; there is no dot in a namespace's name.
const FILE: &str = "json";
/// What a key was that another one took the place of.
const OLD: &str = "old";

/// A folder with Secrets, as it was read.
#[derive(Debug, Clone)]
pub struct Saved {
    folder: PathBuf,
    /// The namespace of what lasts.
    namespace: String,
    /// Whether the own authority is the cluster's; else its key is the administrator's anyway.
    own: bool,
    files: BTreeMap<(String, String), Kept>,
}

/// A Secret in a file. What is in it is not printed.
#[derive(Debug, Clone)]
struct Kept {
    /// When its certificate ends; a key has no end.
    until: Option<Timestamp>,
    text: SecretString,
}

/// A Secret by its names, and until when it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub namespace: String,
    pub name: String,
    until: Option<Timestamp>,
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret {}/{}", self.namespace, self.name)?;
        match self.until {
            Some(until) => write!(formatter, " (until {})", until.strftime("%Y-%m-%d")),
            None => Ok(()),
        }
    }
}

impl Saved {
    /// Reads a folder; one that there is not yet is empty.
    ///
    /// # Errors
    /// Every file that cannot be used, in words without what is in it.
    pub fn read(folder: &Path, namespace: &str, own: bool) -> Result<Saved, Vec<String>> {
        let mut saved =
            Saved { folder: folder.to_owned(), namespace: namespace.to_owned(), own, files: BTreeMap::new() };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(saved),
            Err(error) => return Err(vec![format!("{}: {error}", folder.display())]),
        };
        let mut mistakes = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            // The dot before is that of a file that was only being written.
            if path.extension().is_none_or(|end| end != FILE) || stem.starts_with('.') {
                continue;
            }
            match Kept::read(&path, stem) {
                Ok((key, kept)) => drop(saved.files.insert(key, kept)),
                Err(reason) => mistakes.push(format!("keep: {}: {reason}", path.display())),
            }
        }
        mistakes.sort();
        if mistakes.is_empty() { Ok(saved) } else { Err(mistakes) }
    }

    /// What can be given back: what has ended would be asked for again at once.
    pub fn usable(&self) -> Vec<Named> {
        let now = Timestamp::now();
        let usable = self.files.iter().filter(|(_, kept)| kept.until.is_none_or(|until| until > now));
        let usable = usable.filter(|((namespace, name), _)| {
            self.own || (namespace.as_str(), name.as_str()) != (self.namespace.as_str(), OWN)
        });
        usable.map(|(key, kept)| named(key, kept.until)).collect()
    }

    /// What a change that gives it back is called.
    pub fn given(&self, named: &Named) -> String {
        format!("give back {named}, kept in {}", self.folder.display())
    }

    /// What a change that keeps it is called.
    pub fn taken(&self, named: &Named) -> String {
        format!("keep {named} in {}", self.folder.display())
    }

    /// What can be given back and the cluster lacks.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn missing(&self, api: &Api) -> Result<Vec<Named>, kube::Error> {
        let mut missing = Vec::new();
        for named in self.usable() {
            if api.object(SECRET, Some(&named.namespace), &named.name).await?.is_none() {
                missing.push(named);
            }
        }
        Ok(missing)
    }

    /// Gives back what the cluster lacks; what it has stays as it is. Namespaces are made where there are none.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses one.
    pub async fn give_back(&self, api: &Api) -> Result<(), kube::Error> {
        for Named { namespace, name, .. } in self.missing(api).await? {
            let Some(kept) = self.files.get(&(namespace.clone(), name)) else { continue };
            let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            if api.object(NAMESPACE, None, &namespace).await?.is_none() {
                unless_there(api.create(home).await)?;
            }
            // It was read from JSON.
            let secret = serde_json::from_str(kept.text.expose_secret()).unwrap_or_default();
            unless_there(api.create(secret).await)?;
        }
        Ok(())
    }

    /// What the cluster has that is worth keeping, where the folder has it not, or another one.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn stale(&self, api: &Api) -> Result<Vec<Named>, kube::Error> {
        Ok(self.differing(api).await?.into_iter().map(|(key, kept)| named(&key, kept.until)).collect())
    }

    async fn differing(&self, api: &Api) -> Result<Vec<((String, String), Kept)>, kube::Error> {
        let mut found = Vec::new();
        for name in LASTING.iter().filter(|name| self.own || **name != OWN) {
            found.extend(api.object(SECRET, Some(&self.namespace), name).await?);
        }
        let issued = api.objects(SECRET, None, ISSUED).await?;
        found.extend(issued.into_iter().filter(|secret| {
            let annotations = &secret["metadata"]["annotations"];
            annotations[ISSUER] == PRODUCTION && annotations[ISSUER_KIND] == "ClusterIssuer"
        }));
        let read = found.iter().filter_map(Kept::of);
        Ok(read.filter(|(key, kept)| !self.files.get(key).is_some_and(|old| old.is(kept))).collect())
    }

    /// Writes what the cluster has into the folder. A key that should have lasted and that another one takes the place of is
    /// kept beside it.
    ///
    /// # Errors
    /// In words, when the folder cannot be written; the outer one, when the API server does not answer.
    pub async fn keep(&self, api: &Api) -> Result<Result<(), String>, kube::Error> {
        let differing = self.differing(api).await?;
        Ok(differing.iter().try_for_each(|((namespace, name), kept)| {
            let path = self.folder.join(format!("{namespace}.{name}.{FILE}"));
            let lasts = *namespace == self.namespace && LASTING.contains(&name.as_str());
            let old = self.files.get(&(namespace.clone(), name.clone())).filter(|_| lasts);
            let write = || {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
                if let Some(old) = old.filter(|old| old.key() != kept.key()) {
                    let aside = self.folder.join(format!("{namespace}.{name}.{OLD}"));
                    write_private(&aside, old.text.expose_secret().as_bytes())?;
                }
                write_private(&path, kept.text.expose_secret().as_bytes())
            };
            write().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
        }))
    }
}

fn named((namespace, name): &(String, String), until: Option<Timestamp>) -> Named {
    Named { namespace: namespace.clone(), name: name.clone(), until }
}

fn unless_there(made: Result<Value, kube::Error>) -> Result<(), kube::Error> {
    match made {
        Ok(_) | Err(kube::Error::Refused { status: 409, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Kept {
    fn read(path: &Path, stem: &str) -> Result<((String, String), Kept), String> {
        let mode = fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!("others may read it (mode {mode:04o}): `chmod 600` it"));
        }
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let damaged = "it is no Secret that hoist has kept: move it away, or bring its backup back";
        let secret: Value = serde_json::from_str(&text).map_err(|_| damaged.to_owned())?;
        let found = Some(&secret).filter(|secret| secret["kind"] == SECRET.kind).and_then(Kept::of);
        let (key, kept) = found.ok_or(damaged)?;
        match stem.split_once('.') {
            Some((namespace, name)) if (namespace, name) == (&*key.0, &*key.1) => Ok((key, kept)),
            _ => Err(format!("it holds the Secret {}/{}: name it {}.{}.{FILE}", key.0, key.1, key.0, key.1)),
        }
    }

    /// A Secret as it is kept: without what one cluster alone knows. None where it has no key, or a certificate that is none.
    fn of(secret: &Value) -> Option<((String, String), Kept)> {
        let metadata = &secret["metadata"];
        let key = (metadata["namespace"].as_str()?.to_owned(), metadata["name"].as_str()?.to_owned());
        // It becomes the name of a file here, and not every cluster can be trusted.
        let plain = |name: &str| name.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char));
        if !plain(&key.0) || !plain(&key.1) || key.0.contains('.') {
            return None;
        }
        let data: BTreeMap<&String, &str> = secret["data"]
            .as_object()?
            .iter()
            .filter_map(|(key, value)| Some((key, value.as_str()?)))
            .collect();
        data.get(&String::from("tls.key"))
            .filter(|value| STANDARD.decode(value).is_ok_and(|key| !key.is_empty()))?;
        let until = match data.get(&String::from("tls.crt")) {
            Some(certificate) => Some(end(certificate)?),
            None => None,
        };
        let all = |part: &str| {
            let mut map: Map<String, Value> = metadata[part].as_object().cloned().unwrap_or_default();
            map.retain(|key, _| !key.starts_with("kubectl.kubernetes.io/"));
            map
        };
        let kept = json!({
            "apiVersion": SECRET.api_version, "kind": SECRET.kind, "type": secret["type"],
            "metadata": {"name": key.1, "namespace": key.0, "labels": all("labels"), "annotations": all("annotations")},
            "data": data,
        });
        Some((key, Kept { until, text: SecretString::from(format!("{kept:#}\n")) }))
    }

    fn data(&self) -> Value {
        serde_json::from_str::<Value>(self.text.expose_secret()).unwrap_or_default()["data"].take()
    }

    /// Whether another one has the same in it.
    fn is(&self, other: &Kept) -> bool {
        self.data() == other.data()
    }

    fn key(&self) -> Value {
        self.data()["tls.key"].take()
    }
}

/// When the first certificate of a chain ends.
fn end(certificate: &str) -> Option<Timestamp> {
    let pem = STANDARD.decode(certificate).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let (_, certificate) = parse_x509_certificate(&pem.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
#[path = "saved_tests.rs"]
pub(super) mod tests;
