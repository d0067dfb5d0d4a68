//! What is refused before the first change of every run that touches a cluster.

use super::{
    Session,
    etcd::{OtherEtcd, same_etcd},
    identity::{OtherIdentity, same_identity},
    keepers::{self, TwoHolders},
    roles::{OtherRole, same_roles},
    subnets::{OtherSubnet, same_subnets},
    version::{OtherVersion, same_kubelets, same_version},
};
use crate::{
    engine::{self, Library, with_needs},
    exit::Exit,
    inventory::Inventory,
};

/// The roles of the library that put hosts into a cluster, or change what its hosts run. All others leave it alone.
const OF_A_CLUSTER: [&str; 17] = [
    "bridge",
    "cilium",
    "containerd",
    "control-plane",
    "credentials",
    "encryption",
    "etcd",
    "etcd-ca",
    "etcd-client",
    "hardened",
    "hardening",
    "kubernetes",
    "load-balancer",
    "longhorn",
    "tunnel",
    "watches",
    "worker",
];

/// Why a run must not change the hosts.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Refusal {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Role(#[from] OtherRole),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Version(#[from] OtherVersion),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Identity(#[from] OtherIdentity),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Etcd(#[from] OtherEtcd),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Subnet(#[from] OtherSubnet),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Holders(#[from] TwoHolders),
}

impl Refusal {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Refusal::Holders(why) => why.exit(),
            _ => Exit::Failed,
        }
    }
}

/// The roles that a run carries out, as far as they decide what is looked at before it.
pub(super) struct Guard {
    /// These, and what they need; nothing where hosts get all roles of a node.
    only: Option<Vec<String>>,
}

impl Guard {
    /// # Errors
    /// Roles that are not there, and mistakes in them.
    pub(super) fn of(library: &Library, only: Option<&[String]>) -> Result<Guard, engine::Error> {
        let Some(roles) = only else { return Ok(Guard { only: None }) };
        let resolved = with_needs(library, roles)?;
        Ok(Guard { only: Some(resolved.into_iter().map(|(name, _)| name).collect()) })
    }

    /// Whether the run touches a cluster at all.
    pub(super) fn is_needed(&self) -> bool {
        OF_A_CLUSTER.iter().any(|role| self.includes(role))
    }

    fn includes(&self, role: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == role))
    }

    /// Judges by facts alone.
    ///
    /// # Errors
    /// The first reason not to go on.
    pub(super) fn judge(
        &self,
        inventory: &Inventory,
        session: &Session,
        changed: &[&str],
    ) -> Result<(), Refusal> {
        if self.is_needed() {
            same_roles(inventory, &session.facts, changed)?;
            same_version(inventory, &session.facts)?;
            same_identity(inventory, &session.facts)?;
            same_etcd(inventory, &session.facts, changed)?;
        }
        if self.includes("bridge") {
            same_subnets(inventory, &session.facts)?;
        }
        if self.includes("load-balancer") {
            let silent: Vec<&str> = session.unreached.iter().map(|lost| lost.host.as_str()).collect();
            keepers::known(inventory, &session.facts, &silent, changed)?;
        }
        Ok(())
    }

    /// Asks hosts for what their facts do not tell, where it matters.
    ///
    /// # Errors
    /// The first reason not to go on.
    pub(super) async fn ask(
        &self,
        inventory: &Inventory,
        session: &Session,
        changed: &[&str],
    ) -> Result<(), Refusal> {
        if self.includes("kubernetes") {
            same_kubelets(inventory, session, changed).await?;
        }
        if self.includes("load-balancer") {
            keepers::gone(inventory, session, changed).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::targets::roles, facts::Facts, inventory};

    fn guard(only: &[&str]) -> Guard {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        Guard::of(&Library::default(), Some(&only)).unwrap()
    }

    #[test]
    fn roles_that_leave_the_cluster_alone_are_not_held_up() {
        assert!(Guard::of(&Library::default(), None).unwrap().is_needed());
        for role in ["kubernetes", "worker", "hardened", "etcd", "load-balancer", "containerd", "encryption"]
        {
            assert!(guard(&[role]).is_needed(), "{role}");
            assert!(guard(&["base", role]).is_needed(), "{role}");
        }
        for role in ["base", "storage", "nfs-client", "vmware", "renewal"] {
            assert!(!guard(&[role]).is_needed(), "{role}");
        }
        // What a role needs counts: a role of one's own may need `kubernetes`.
        assert!(guard(&["worker"]).includes("kubernetes") && !guard(&["etcd"]).includes("kubernetes"));
        assert!(Guard::of(&Library::default(), Some(&["nothing".to_owned()])).is_err());
    }

    #[test]
    fn every_role_that_makes_a_host_a_node_is_held_up() {
        let text = include_str!("../../inventory/ha.yaml");
        let inventory = inventory::parse("ha.yaml", text).unwrap().inventory;
        for (name, host) in &inventory.hosts {
            for role in roles(&inventory, host, &Facts::default()) {
                let alone = ["storage", "nfs-client"].contains(&role.as_str());
                assert_ne!(guard(&[&role]).is_needed(), alone, "{role} of {name}");
            }
        }
    }
}
