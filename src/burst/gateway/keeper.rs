//! Keeps the gateway: learns whom machines and it should know, tells them of each other, and sees that there is one.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    PrivateKey, PublicKey,
    launch::wanted,
    record::{Record, Records, Wanted},
    turn::{Checks, turn},
    user_data::{Peer, Site, user_data},
};
use crate::{
    burst::{
        claim::LedgerError,
        cloud::Cloud,
        controller::Clock,
        network::{Made, Network, WIREGUARD},
        time::Time,
    },
    engine::Library,
    inventory::Inventory,
};

/// Where machines and the gateway tell each other their keys.
#[async_trait]
pub trait Meeting: Send + Sync {
    /// The key of each machine that has told it, by its name.
    ///
    /// # Errors
    /// They cannot be read.
    async fn keys(&self) -> Result<BTreeMap<String, PublicKey>, LedgerError>;

    /// The gateway's own, which is made where there is none. Every instance has the same, or machines would have to learn a
    /// new one.
    ///
    /// # Errors
    /// It cannot be read or written.
    async fn own_key(&self) -> Result<PrivateKey, LedgerError>;

    /// What machines were told last; nothing at first.
    ///
    /// # Errors
    /// It cannot be read.
    async fn known(&self) -> Result<Known, LedgerError>;

    /// # Errors
    /// It cannot be written.
    async fn tell(&self, known: &Known) -> Result<(), LedgerError>;

    /// There is no gateway any more: machines take their tunnels down, and nothing is left of what was known of it.
    ///
    /// # Errors
    /// Something could not be deleted.
    async fn forget(&self) -> Result<(), LedgerError>;
}

/// What machines are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Where they dial.
    pub endpoint: Option<SocketAddrV4>,
    /// Whom they find there.
    pub key: Option<PublicKey>,
    /// Whom the gateway lets in. One that is being installed anew keeps its place until it tells another key.
    pub machines: BTreeMap<String, PublicKey>,
}

/// Everything outside of the keeper.
pub struct Around {
    pub cloud: Arc<dyn Cloud>,
    pub checks: Arc<dyn Checks>,
    pub records: Arc<dyn Records>,
    pub meeting: Arc<dyn Meeting>,
    pub clock: Arc<dyn Clock>,
}

/// What the gateway is made from.
pub struct Plan {
    pub inventory: Inventory,
    pub network: Network,
    pub made: Made,
    /// The uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    pub library: Library,
}

/// How it is with the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Where machines dial.
    pub endpoint: SocketAddrV4,
    /// The instance that is the gateway now.
    pub instance: Option<String>,
    /// How many machines it lets in.
    pub machines: usize,
    /// Nodes of the inventory that have told no key.
    pub without_key: Vec<String>,
    /// What hinders it; the next turn goes on.
    pub trouble: Option<String>,
}

/// Machines that are installed tell their keys one after the other, and each change makes another gateway of it: for so
/// long none may have come.
pub const SETTLED: Duration = Duration::from_secs(20);
/// Between two looks at a gateway that is as it should be, or at EC2 when it refuses or does not answer. With the 30 s for which EC2's checks may fail, and the 30 to 60 s
/// that its successor takes, workers are cut off for less than the 300 s after which Kubernetes moves their pods.
const CALM: Duration = Duration::from_secs(10);
/// Between two looks while it comes or goes.
const BUSY: Duration = Duration::from_secs(2);

/// Keeps one gateway. Keeps nothing in mind that a restart may not lose.
pub struct Keeper {
    around: Around,
    plan: Plan,
    endpoint: SocketAddrV4,
    settled: Duration,
    key: Option<PrivateKey>,
    /// Whom it should let in, and since when that is so.
    machines: Option<(BTreeMap<String, PublicKey>, Time)>,
    /// What EC2 showed last, when, and for how long that has to do.
    last: Option<(Kept, Time, Duration)>,
}

impl Keeper {
    /// Nothing where the network has no gateway. `settled` is [`SETTLED`], or less for whom one turn has to do.
    pub fn new(around: Around, plan: Plan, settled: Duration) -> Option<Keeper> {
        let endpoint = SocketAddrV4::new(plan.made.gateway.as_ref()?.address, WIREGUARD);
        Some(Keeper { around, plan, endpoint, settled, key: None, machines: None, last: None })
    }

    /// One turn, by one that leads. EC2 not answering is no error: it is told, and the next turn goes on.
    ///
    /// # Errors
    /// The cluster did not answer, or what it keeps of the gateway is not understood: then nothing is done.
    pub async fn keep(&mut self) -> Result<Kept, LedgerError> {
        let now = self.around.clock.now();
        if let Some((kept, at, rest)) = &self.last
            && now >= *at
            && now.since(*at) < *rest
        {
            return Ok(kept.clone());
        }
        let machines = self.meet().await?;
        let nodes = addresses(&self.plan.inventory);
        let without_key = nodes.keys().filter(|name| !machines.contains_key(*name)).cloned().collect();
        let mut kept = Kept {
            endpoint: self.endpoint,
            instance: None,
            machines: machines.len(),
            without_key,
            trouble: None,
        };
        if machines.is_empty() {
            let trouble =
                "no machine has a key yet, so that nobody could dial it: `hoist apply` gives them one";
            kept.trouble = Some(trouble.to_owned());
            return Ok(kept);
        }
        let (record, _) = self.around.records.gateway().await?;
        kept.instance = record.instance().map(str::to_owned);
        let wanted = match self.wanted(&machines, &nodes) {
            Ok(wanted) => wanted,
            Err(trouble) => return Ok(Kept { trouble: Some(trouble), ..kept }),
        };
        let since = match &self.machines {
            Some((before, since)) if *before == machines => (*since).min(now),
            _ => now,
        };
        self.machines = Some((machines, since));
        if !is_of(&record, &wanted) && now.since(since) < self.settled {
            return Ok(kept);
        }
        let around = &self.around;
        let done = turn(
            around.cloud.as_ref(),
            around.checks.as_ref(),
            around.records.as_ref(),
            around.clock.as_ref(),
            Some(&wanted),
        )
        .await?;
        kept.instance = done.record.instance().map(str::to_owned);
        let refused = done.record.refused.as_ref().map(|(_, reason)| reason.clone());
        kept.trouble = done.trouble.map(|trouble| trouble.to_string()).or(refused);
        let rest = if kept.trouble.is_some() || is_well(&done.record, &wanted) { CALM } else { BUSY };
        self.last = Some((kept.clone(), now, rest));
        Ok(kept)
    }

    /// Learns the machines' keys, and tells machines what they should know.
    async fn meet(&mut self) -> Result<BTreeMap<String, PublicKey>, LedgerError> {
        let meeting = self.around.meeting.as_ref();
        if self.key.is_none() {
            self.key = Some(meeting.own_key().await?);
        }
        let (told, before) = (meeting.keys().await?, meeting.known().await?);
        let key_of = |name: &String| told.get(name).or_else(|| before.machines.get(name)).cloned();
        let nodes = addresses(&self.plan.inventory);
        let machines: BTreeMap<String, PublicKey> =
            nodes.keys().filter_map(|name| Some((name.clone(), key_of(name)?))).collect();
        let known = Known {
            endpoint: Some(self.endpoint),
            key: self.key.as_ref().map(PrivateKey::public),
            machines: machines.clone(),
        };
        if known != before {
            meeting.tell(&known).await?;
        }
        Ok(machines)
    }

    /// The gateway as it should be, or why it cannot be.
    fn wanted(
        &self,
        machines: &BTreeMap<String, PublicKey>,
        nodes: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<Wanted, String> {
        let peers = machines.iter().filter_map(|(name, key)| {
            Some(Peer { name: name.clone(), address: *nodes.get(name)?, key: key.clone() })
        });
        let Plan { inventory, network, made, cluster, library } = &self.plan;
        let site = Site::new(network, peers.collect());
        let key = self.key.as_ref().ok_or("it has no key")?;
        let data = user_data(library, &site, key).map_err(|error| error.to_string())?;
        wanted(inventory, made, cluster, data).ok_or_else(|| "the network has no gateway".to_owned())
    }
}

/// The machines that are nodes, by name. Others are of no interest to workers.
fn addresses(inventory: &Inventory) -> BTreeMap<String, Ipv4Addr> {
    let nodes = inventory.hosts.iter().filter(|(_, host)| host.is_node());
    nodes.map(|(name, host)| (name.clone(), host.address)).collect()
}

fn is_of(record: &Record, wanted: &Wanted) -> bool {
    record.launch.as_ref().is_some_and(|launch| launch.configuration == wanted.configuration())
}

fn is_well(record: &Record, wanted: &Wanted) -> bool {
    let troubled = record.missing_since.is_some() || record.impaired_since.is_some();
    is_of(record, wanted) && record.instance().is_some() && record.ending.is_empty() && !troubled
}
