//! How the whole cluster is, as far as those that answer can say.

use futures::future::{join, join_all};
use jiff::Timestamp;
use semver::Version;

use super::{
    AccessError, Session,
    certificates::{self, Certificate},
    etcd,
    health::{self, Health},
    unlisted,
};
use crate::{
    inventory::{Inventory, Role},
    kube::{self, Api, NodeStatus, Pending, PodStatus},
};

/// How a cluster is.
#[derive(Debug)]
pub struct State {
    pub name: String,
    /// The version that the inventory asks for.
    pub wanted: Version,
    pub control_planes: Vec<Health>,
    pub etcd: Vec<Health>,
    /// Members of an etcd on hosts of its own that the inventory does not have.
    pub unlisted_members: Vec<String>,
    /// Of the hosts that answer, in the order of the inventory.
    pub certificates: Vec<Certificate>,
    /// What the API server says; or why nobody can ask it.
    pub cluster: Result<Objects, AccessError>,
}

/// What only the API server knows.
#[derive(Debug)]
pub struct Objects {
    pub nodes: Vec<NodeStatus>,
    pub pods: Vec<PodStatus>,
    /// Requests for certificates that nobody has approved.
    pub requests: Vec<Pending>,
    /// The hosts of the inventory that should be nodes and are not, or are not ready.
    pub missing: Vec<String>,
    /// The nodes that are control planes, and not so in the inventory.
    pub unlisted: Vec<String>,
}

impl State {
    /// Asks everybody at the same time: whoever does not answer holds up nobody for longer than a few seconds.
    pub async fn gather(inventory: &Inventory, session: &Session) -> State {
        let certificates = join_all(session.hosts.values().map(|host| certificates::read(&**host)));
        let ((control_planes, api), (etcd, certificates)) = join(
            health::control_planes(inventory, session),
            join(health::etcd(inventory, session), certificates),
        )
        .await;
        let cluster = match api {
            Some(api) => Objects::read(inventory, &api).await.map_err(AccessError::from),
            None => Err(unanswered(inventory, session).await),
        };
        State {
            name: inventory.cluster.name.clone(),
            wanted: inventory.cluster.kubernetes.clone(),
            control_planes,
            etcd,
            unlisted_members: etcd::unlisted(inventory, &session.facts),
            // A host that is lost meanwhile is missed elsewhere.
            certificates: certificates.into_iter().flatten().flatten().collect(),
            cluster,
        }
    }

    /// Whether everything that was asked is as it should be, and no certificate has expired; hosts that cannot be reached
    /// apart.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        let well = |all: &[Health]| all.iter().all(|one| one.trouble.is_none());
        well(&self.control_planes)
            && well(&self.etcd)
            && !self.certificates.iter().any(|one| one.has_expired(now))
            && self.cluster.as_ref().is_ok_and(|objects| objects.missing.is_empty())
    }
}

impl Objects {
    async fn read(inventory: &Inventory, api: &Api) -> Result<Objects, kube::Error> {
        let (nodes, pods) = (api.nodes().await?, api.pods(None).await?);
        let ready = |name: &str| nodes.iter().any(|node| node.name == name && node.ready);
        let hosts = inventory.hosts.iter().filter(|(_, host)| host.is_node());
        let missing = hosts.filter(|(name, _)| !ready(name)).map(|(name, _)| name.clone()).collect();
        let planes = nodes.iter().filter(|node| node.is_control_plane()).map(|node| node.name.as_str());
        let unlisted = unlisted(inventory, planes);
        Ok(Objects { requests: api.pending_requests().await?, missing, unlisted, nodes, pods })
    }
}

/// Why no control plane's own API server answers.
async fn unanswered(inventory: &Inventory, session: &Session) -> AccessError {
    match super::api(inventory, session).await {
        Err(error) => error,
        Ok(_) => {
            let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name.to_string());
            AccessError::Silent { silent: control_planes.collect() }
        }
    }
}
