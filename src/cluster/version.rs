//! Which version the cluster runs, and that no other is brought to its hosts unasked.

use std::time::Duration;

use futures::future::join_all;
use semver::Version;

use super::{Observed, Session, living};
use crate::{artifact::skew, inventory::Inventory, transport::Script};

/// How long a kubelet may take to say its version.
const PATIENCE: Duration = Duration::from_secs(30);

/// The inventory names another version than the cluster runs. New kubelets beside old API servers are no upgrade: a
/// kubelet must never be newer (version skew policy).
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum OtherVersion {
    #[error("the API server on {host} is {runs}, and the inventory says {wanted}")]
    #[diagnostic(help(
        "nothing was changed, and this version of hoist upgrades no cluster: set `cluster.kubernetes` back to {runs}{}",
        also(runs, wanted)
    ))]
    ApiServer { host: String, runs: Version, wanted: Version },
    /// Where no control plane tells its version.
    #[error(
        "the kubelet on {host} is {runs}, the inventory says {wanted}, and no control plane tells what the cluster runs"
    )]
    #[diagnostic(help(
        "nothing was changed, for a kubelet must never be newer than the API servers: bring a control plane back; or set \
         `cluster.kubernetes` back to {runs}"
    ))]
    Kubelet { host: String, runs: Version, wanted: Version },
}

/// What would stand in the way even if somebody did it by hand.
fn also(runs: &Version, wanted: &Version) -> String {
    skew::upgrade(runs, wanted).err().map(|skew| format!("; besides, {skew}")).unwrap_or_default()
}

/// Compares the inventory with every control plane that lives. One that does not say its version is passed over.
///
/// # Errors
/// The first that runs another.
pub fn same_version(inventory: &Inventory, facts: &Observed) -> Result<(), OtherVersion> {
    let wanted = inventory.cluster.kubernetes.clone();
    match told(inventory, facts).find(|(_, runs)| *runs != wanted) {
        Some((host, runs)) => Err(OtherVersion::ApiServer { host: host.to_owned(), runs, wanted }),
        None => Ok(()),
    }
}

/// The control planes that tell their version.
fn told<'a>(inventory: &'a Inventory, facts: &Observed) -> impl Iterator<Item = (&'a str, Version)> {
    living(inventory, facts)
        .filter_map(|host| Some((host, facts.get(host)?.kubernetes.version.parse::<Version>().ok()?)))
}

/// Where no control plane tells its version, asks the kubelets of the nodes that are changed for theirs, and compares these. One
/// that does not say its version is passed over.
///
/// # Errors
/// The first that is another.
pub async fn same_kubelets(
    inventory: &Inventory,
    session: &Session,
    changed: &[&str],
) -> Result<(), OtherVersion> {
    if told(inventory, &session.facts).next().is_some() {
        return Ok(());
    }
    let nodes = session.hosts.iter().filter(|(name, _)| {
        changed.contains(&name.as_str())
            && session.facts.get(*name).is_some_and(|facts| facts.kubernetes.joined)
    });
    let answers = join_all(nodes.map(|(name, host)| async move {
        let output = host.run(Script::new("kubelet --version 2>/dev/null").timeout(PATIENCE)).await.ok()?;
        Some((name, kubelet(&String::from_utf8_lossy(&output.stdout))?))
    }));
    let wanted = inventory.cluster.kubernetes.clone();
    match answers.await.into_iter().flatten().find(|(_, runs)| *runs != wanted) {
        Some((host, runs)) => Err(OtherVersion::Kubelet { host: host.clone(), runs, wanted }),
        None => Ok(()),
    }
}

/// The version in `Kubernetes v1.36.2`. What a distribution adds behind a plus makes no other version.
fn kubelet(said: &str) -> Option<Version> {
    let (_, version) = said.trim().rsplit_once('v')?;
    version.split('+').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use miette::Diagnostic;

    use super::*;
    use crate::{
        facts::{Facts, Kubernetes},
        inventory,
        transport::{Destination, Error, Host, Local, Output, Stream, Transfer},
    };

    fn answer(runs: &str) -> Result<(), OtherVersion> {
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        let kubernetes =
            Kubernetes { control_plane: true, version: runs.to_owned(), ..Kubernetes::default() };
        same_version(
            &lab,
            &[("cp1".to_owned(), Facts { kubernetes, ..Facts::default() })].into_iter().collect(),
        )
    }

    #[test]
    fn another_version_is_refused_with_what_to_do() {
        for same in ["1.20.2", "", "unknown"] {
            assert_eq!(answer(same), Ok(()), "{same}");
        }
        for (runs, help) in [
            ("1.20.1", "set `cluster.kubernetes` back to 1.20.1"),
            ("1.20.3", "besides, Kubernetes 1.20.3 cannot become 1.20.2: that is a way back"),
            ("1.18.0", "besides, Kubernetes 1.18.0 cannot become 1.20.2 in one step"),
        ] {
            let error = answer(runs).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the API server on cp1 is {runs}, and the inventory says 1.20.2")
            );
            let said = error.help().unwrap().to_string();
            assert!(said.ends_with(help), "{said}");
        }
    }

    /// A shell of this machine with a kubelet of its own.
    struct Node {
        shell: Local,
        says: &'static str,
    }

    #[async_trait]
    impl Host for Node {
        fn name(&self) -> &str {
            self.shell.name()
        }

        async fn run(&self, script: Script) -> Result<Output, Error> {
            let text = format!("kubelet() {{ echo '{}'; }}\n{}", self.says, script.text);
            self.shell.run(Script { text, ..script }).await
        }

        async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
            self.shell.send(transfer, progress).await
        }

        async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
            self.shell.forward(to).await
        }
    }

    /// What is said of w1 with this kubelet, where cp1's API server says this version.
    async fn ask(
        says: &'static str,
        api_server: &str,
        changed: &[&str],
        joined: bool,
    ) -> Result<(), OtherVersion> {
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        let mut session = Session::default();
        let shell = Local::open("w1").await.unwrap();
        session.hosts.insert("w1".into(), Arc::new(Node { shell, says }));
        let node = Kubernetes { joined, ..Kubernetes::default() };
        session.facts.insert("w1".into(), Facts { kubernetes: node, ..Facts::default() });
        if !api_server.is_empty() {
            let plane =
                Kubernetes { control_plane: true, version: api_server.to_owned(), ..Kubernetes::default() };
            session.facts.insert("cp1".into(), Facts { kubernetes: plane, ..Facts::default() });
        }
        same_kubelets(&lab, &session, changed).await
    }

    #[tokio::test]
    async fn where_no_control_plane_tells_its_version_kubelets_keep_theirs() {
        for (says, api_server, changed, joined) in [
            ("Kubernetes v1.20.2", "", &["w1"][..], true),
            ("Kubernetes v1.20.2+dfsg-1", "", &["w1"], true),
            ("", "", &["w1"], true),
            // The API server decides; and nobody is asked who is not changed, or is no node yet.
            ("Kubernetes v1.19.7", "1.20.2", &["w1"], true),
            ("Kubernetes v1.19.7", "", &["w2"], true),
            ("Kubernetes v1.19.7", "", &["w1"], false),
        ] {
            assert_eq!(ask(says, api_server, changed, joined).await, Ok(()), "{says:?} {api_server:?}");
        }
        for api_server in ["", "unknown"] {
            let error = ask("Kubernetes v1.19.7", api_server, &["w1", "w2"], true).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the kubelet on w1 is 1.19.7, the inventory says 1.20.2, and no control plane tells what the cluster runs"
            );
            assert!(error.help().unwrap().to_string().ends_with("set `cluster.kubernetes` back to 1.19.7"));
        }
    }
}
