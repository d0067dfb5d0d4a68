//! The administrator's kubeconfig: read from a control plane, made fit for use from outside, written safely.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use miette::Diagnostic;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    disk::write_private,
    transport::{self, Host, Script},
};

/// Where kubeadm puts it, on every control plane.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the admin.conf of a control plane.
///
/// # Errors
/// [`Error::Missing`] if the host has none: it is no control plane, or not one yet.
pub async fn fetch(host: &dyn Host) -> Result<SecretString, Error> {
    let script = Script { text: format!("cat {ADMIN_CONF}"), stdin: None, timeout: READ_TIMEOUT };
    let output = host.run(script).await?;
    if output.status != 0 {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Missing { host: host.name().to_owned(), reason });
    }
    let text = String::from_utf8(output.stdout).map_err(|_| Error::NotOne { reason: "it is not text" })?;
    parse(&text)?;
    Ok(text.into())
}

/// Whose credentials they are, which the names in the kubeconfig say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The administrator's: the context has the cluster's name.
    Admin,
    /// Those of a person who may do less: the context is `CLUSTER-limited`.
    Limited(&'a str),
}

/// The same credentials with `server` (such as `https://192.168.18.200:6443`) as the address of the API server
/// and cluster, context and user named after the cluster, so that it can be merged with others.
pub fn rename(
    text: &SecretString,
    cluster: &str,
    server: &str,
    whose: Whose<'_>,
) -> Result<SecretString, Error> {
    let mut config = parse(text.expose_secret())?;
    let (context, user) = match whose {
        Whose::Admin => (cluster.to_string(), format!("{cluster}-admin")),
        Whose::Limited(name) => (format!("{cluster}-limited"), format!("{cluster}-{name}")),
    };
    config["clusters"][0]["name"] = json!(cluster);
    config["clusters"][0]["cluster"]["server"] = json!(server);
    config["users"][0]["name"] = json!(user);
    config["contexts"][0]["name"] = json!(context);
    config["contexts"][0]["context"]["cluster"] = json!(cluster);
    config["contexts"][0]["context"]["user"] = json!(user);
    config["current-context"] = json!(context);
    written(&config)
}

/// The same credentials for the API server at `server`.
pub fn at(text: &SecretString, server: &str) -> Result<SecretString, Error> {
    let mut config = parse(text.expose_secret())?;
    config["clusters"][0]["cluster"]["server"] = json!(server);
    written(&config)
}

/// Two kubeconfigs of the same cluster as one; the context of the first stays the current one.
pub fn join(first: &SecretString, second: &SecretString) -> Result<SecretString, Error> {
    let (mut config, second) = (parse(first.expose_secret())?, parse(second.expose_secret())?);
    for list in ["users", "contexts"] {
        if let Some(entries) = config[list].as_array_mut() {
            entries.push(second[list][0].clone());
        }
    }
    written(&config)
}

fn written(config: &Value) -> Result<SecretString, Error> {
    let text = serde_yaml::to_string(config).map_err(|_| Error::NotOne { reason: "it is not YAML" })?;
    Ok(text.into())
}

/// Writes the kubeconfig so that only its owner can read it, and a reader sees the old file or the new one.
pub fn write(path: &Path, text: &SecretString) -> Result<(), Error> {
    write_private(path, text.expose_secret().as_bytes())
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Reads a kubeconfig with one cluster, one user and one context: what kubeadm writes. No error quotes it.
fn parse(text: &str) -> Result<Value, Error> {
    let config: Value = serde_yaml::from_str(text).map_err(|_| Error::NotOne { reason: "it is not YAML" })?;
    if config["kind"] != "Config" {
        return Err(Error::NotOne { reason: "its kind is not Config" });
    }
    let one = |list: &str, inside: &str| {
        config[list].as_array().is_some_and(|list| list.len() == 1 && list[0][inside].is_object())
    };
    if !one("clusters", "cluster") || !one("users", "user") || !one("contexts", "context") {
        return Err(Error::NotOne { reason: "it does not have one cluster, one user and one context" });
    }
    if !config["clusters"][0]["cluster"]["certificate-authority-data"].is_string() {
        return Err(Error::NotOne { reason: "it has no certificate authority in it" });
    }
    Ok(config)
}

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),

    #[error("{host} has no {ADMIN_CONF}: {reason}")]
    #[diagnostic(help("a control plane has it once `hoist apply` has finished there"))]
    Missing { host: String, reason: String },

    #[error("{ADMIN_CONF} is not what kubeadm writes: {reason}")]
    #[diagnostic(help("write it anew on the control plane with `kubeadm init phase kubeconfig admin`"))]
    NotOne { reason: &'static str },

    #[error("failed to write {}", path.display())]
    #[diagnostic(help("the folder must exist and be writable, with some space left"))]
    Write { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::transport::{Destination, Output, Stream, Transfer};

    const ADMIN: &str = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: Q0E=\n    server: \
        https://10.0.0.1:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: \
        kubernetes-admin\n  name: kubernetes-admin@kubernetes\ncurrent-context: \
        kubernetes-admin@kubernetes\nkind: Config\npreferences: {}\nusers:\n- name: kubernetes-admin\n  user:\n    \
        client-certificate-data: Q0VSVA==\n    client-key-data: S0VZ\n";

    #[test]
    fn a_renamed_kubeconfig() {
        let text = rename(&ADMIN.into(), "office", "https://192.168.18.200:6443", Whose::Admin).unwrap();
        insta::assert_snapshot!(text.expose_secret());
    }

    #[test]
    fn two_contexts_in_one_file() {
        let of = |whose| rename(&ADMIN.into(), "office", "https://a:6443", whose).unwrap();
        let both = join(&of(Whose::Admin), &of(Whose::Limited("ada"))).unwrap();
        let config: Value = serde_yaml::from_str(both.expose_secret()).unwrap();
        let names = |list: &str| -> Vec<String> {
            let entries = config[list].as_array().unwrap().iter();
            entries.map(|entry| entry["name"].as_str().unwrap().to_string()).collect()
        };
        assert_eq!(names("clusters"), ["office"]);
        assert_eq!(names("contexts"), ["office", "office-limited"]);
        assert_eq!(names("users"), ["office-admin", "office-ada"]);
        assert_eq!(config["contexts"][1]["context"]["user"], "office-ada");
        assert_eq!(config["current-context"], "office");
    }

    #[test]
    fn only_the_address_is_another() {
        let there = at(&ADMIN.into(), "https://10.0.0.2:6444").unwrap();
        let (before, after): (Value, Value) =
            (serde_yaml::from_str(ADMIN).unwrap(), serde_yaml::from_str(there.expose_secret()).unwrap());
        assert_eq!(after["clusters"][0]["cluster"]["server"], "https://10.0.0.2:6444");
        assert_eq!((&after["users"], &after["contexts"]), (&before["users"], &before["contexts"]));
    }

    #[test]
    fn a_cluster_may_be_called_what_yaml_takes_for_something_else() {
        for name in ["no", "on", "1", "1e3", "null", "0x1f"] {
            let text = rename(&ADMIN.into(), name, "https://a:6443", Whose::Admin).unwrap();
            let quoted = ['"', '\''].map(|quote| format!("current-context: {quote}{name}{quote}\n"));
            assert!(quoted.iter().any(|line| text.expose_secret().contains(line)), "{name}");
        }
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused_and_not_quoted() {
        for (text, reason) in [
            ("S0VZ: [", "not YAML"),
            ("kind: Secret\ndata: {key: S0VZ}", "kind is not Config"),
            ("kind: Config\nclusters: []\nusers: [{user: {client-key-data: S0VZ}}]", "one cluster"),
            (&ADMIN.replace("certificate-authority-data", "certificate-authority"), "certificate authority"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("S0VZ"), "{error}");
        }
    }

    struct Answers(i32, &'static str, &'static str);

    #[async_trait]
    impl Host for Answers {
        fn name(&self) -> &str {
            "cp1"
        }
        async fn run(&self, script: Script) -> Result<Output, transport::Error> {
            assert_eq!(script.text, "cat /etc/kubernetes/admin.conf");
            Ok(Output { status: self.0, stdout: self.1.into(), stderr: self.2.into() })
        }
        async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), transport::Error> {
            unreachable!()
        }
        async fn forward(&self, _: Destination) -> Result<Box<dyn Stream>, transport::Error> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn fetched_from_a_control_plane_or_said_why_not() {
        assert_eq!(fetch(&Answers(0, ADMIN, "")).await.unwrap().expose_secret(), ADMIN);
        let error = fetch(&Answers(1, "", "cat: No such file\n")).await.unwrap_err();
        assert_eq!(error.to_string(), "cp1 has no /etc/kubernetes/admin.conf: cat: No such file");
    }
}
