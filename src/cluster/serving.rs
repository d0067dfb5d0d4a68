//! Kubelets' serving certificates while a cluster is made. Control planes approve them by themselves, once an hour; nobody
//! waits for that here.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{AccessError, Session, speaker};
use crate::{
    inventory::Inventory,
    transport::{self, Script},
};

/// How long a kubelet may take to ask for its certificate and to get it.
const PATIENCE: Duration = Duration::from_secs(120);
/// A kubelet has what was approved within a second. Until it asks, there is nothing to approve.
const PAUSE: Duration = Duration::from_millis(250);
/// So often it is looked who has one, before what was asked for meanwhile is approved.
const LOOKS: usize = 4;

/// A kubelet that starts with one that has expired asks for another. Without openssl nobody could tell.
const HAS_ONE: &str = "certificate=/var/lib/kubelet/pki/kubelet-server-current.pem\n\
    [ -e $certificate ] && { ! command -v openssl || openssl x509 -noout -checkend 0 -in $certificate; }";
/// The role `credentials` puts it there.
const APPROVE: &str = "/usr/local/sbin/approve-kubelet-certificates";

/// Why kubelets have no serving certificates.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),
    #[error("no serving certificate for the kubelets of {} after {} s{}", hosts.join(", "), PATIENCE.as_secs(), said(complaints))]
    #[diagnostic(help(
        "until they have one, `kubectl logs` and `kubectl exec` do not work there; `hoist status` shows the requests that \
         wait, `journalctl -u kubelet` on the node why there is none"
    ))]
    Missing { hosts: Vec<String>, complaints: String },
}

fn said(complaints: &str) -> String {
    if complaints.is_empty() { String::new() } else { format!(": {complaints}") }
}

/// Has requests approved until all of these nodes have a certificate that has not expired.
///
/// # Errors
/// With the nodes that have none in the end, and why their requests were not approved.
pub async fn approve(inventory: &Inventory, session: &Session, nodes: &[String]) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut missing = without(session, nodes).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let (speaker, _) = speaker(inventory, session).await?;
    loop {
        let output = speaker.run(Script::new(APPROVE)).await?;
        let complaints = String::from_utf8_lossy(&output.stderr).trim().to_string();
        for _ in 0..LOOKS {
            missing = without(session, &missing).await?;
            if missing.is_empty() {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        if Instant::now() >= deadline {
            return Err(Error::Missing { hosts: missing, complaints });
        }
    }
}

async fn without(session: &Session, nodes: &[String]) -> Result<Vec<String>, transport::Error> {
    let asked = nodes.iter().filter_map(|name| Some((name, session.hosts.get(name)?)));
    let asked = asked.map(|(name, host)| async move {
        let output = host.run(Script::new(HAS_ONE)).await?;
        Ok((output.status != 0).then(|| name.clone()))
    });
    join_all(asked).await.into_iter().filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    #[test]
    fn a_certificate_that_has_expired_is_none() {
        let root = tempfile::tempdir().unwrap();
        let (openssl, certificate) = (root.path().join("openssl"), root.path().join("current.pem"));
        let script =
            HAS_ONE.replace("/var/lib/kubelet/pki/kubelet-server-current.pem", certificate.to_str().unwrap());
        let has_one = || {
            let mut sh = Command::new("/bin/sh");
            sh.args(["-c", &script]).env("PATH", root.path()).output().unwrap().status.success()
        };
        assert!(!has_one(), "there is none");
        fs::write(&certificate, "").unwrap();
        assert!(has_one(), "nobody can tell");
        for (status, expected) in [(0, true), (1, false)] {
            fs::write(&openssl, format!("#!/bin/sh\nexit {status}\n")).unwrap();
            fs::set_permissions(&openssl, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(has_one(), expected);
        }
    }
}
