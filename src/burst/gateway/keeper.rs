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
    /// What machines have told, by their names.
    ///
    /// # Errors
    /// It cannot be read.
    async fn machines(&self) -> Result<BTreeMap<String, Machine>, LedgerError>;

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

/// What a machine has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub key: PublicKey,
    /// Whether the gateway has answered it within the last three minutes. A gateway that ends is noticed as late. None: it does
    /// not say, as one that `hoist apply` has not been run for since machines say so, or it is away itself.
    pub is_answered: Option<bool>,
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
    /// How many of them it has answered lately, as they say.
    #[serde(default)]
    pub answered: usize,
    /// Nodes of the inventory that have told no key, or one that another has told, too.
    pub without_key: Vec<String>,
    /// Nodes that have told a key and that the inventory does not have, as this process was given it.
    pub unknown: Vec<String>,
    /// What hinders it; the next turn goes on.
    pub trouble: Option<String>,
}

/// Machines that are installed tell their keys one after the other, and each change makes another gateway of it: for so
/// long none may have come.
pub const SETTLED: Duration = Duration::from_secs(20);
/// Between two looks at a gateway that is as it should be, or at EC2 when it refuses or does not answer. Its successor takes
/// 30 to 60 s besides; after 60 s without a sign of a worker, by the inventory's defaults, Kubernetes moves its pods.
const CALM: Duration = Duration::from_secs(10);
/// Between two looks while it comes or goes.
const BUSY: Duration = Duration::from_secs(2);
/// A gateway boots while workers do, so they need not wait for it. One that no machine reaches by then does not come by itself:
/// more workers would be paid for, and not join.
const COMING: Duration = Duration::from_secs(5 * 60);
/// The longest pause while EC2 refuses or does not answer: doubled each time.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two looks for one that nobody wants any more.
const NONE: Duration = Duration::from_secs(60);

/// Keeps one gateway. Keeps nothing in mind that a restart may not lose.
pub struct Keeper {
    around: Around,
    /// Without it there shall be none.
    plan: Option<(Plan, SocketAddrV4)>,
    settled: Duration,
    key: Option<PrivateKey>,
    /// Whom it should let in, and since when that is so.
    machines: Option<(BTreeMap<String, PublicKey>, Time)>,
    /// What EC2 showed last, when, and for how long that has to do.
    last: Option<(Option<Kept>, Time, Duration)>,
    /// Why workers would not find the machines, as far as was seen last.
    hindrance: Option<&'static str>,
    /// How often in a row EC2 has refused or not answered.
    troubles: u32,
}

impl Keeper {
    /// Where the network has no gateway, one that there was is ended. `settled` is [`SETTLED`], or less for whom one turn has
    /// to do.
    pub fn new(around: Around, plan: Plan, settled: Duration) -> Keeper {
        let endpoint =
            plan.made.gateway.as_ref().map(|gateway| SocketAddrV4::new(gateway.address, WIREGUARD));
        let plan = endpoint.map(|endpoint| (plan, endpoint));
        let hindrance = plan.is_some().then_some(NOT_THERE);
        Keeper { around, plan, settled, key: None, machines: None, last: None, hindrance, troubles: 0 }
    }

    /// What was seen before is of no use any more: the next turn looks anew.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Why workers would not find the machines, as far as was seen last. None: they do, or will when they have booted.
    pub fn hindrance(&self) -> Option<&'static str> {
        self.hindrance
    }

    /// One turn, by one that leads: what is known of the gateway, where there shall be one. EC2 not answering is no error: it is
    /// told, and the next turn goes on.
    ///
    /// # Errors
    /// The cluster did not answer, or what it keeps of the gateway is not understood: then nothing is done.
    pub async fn keep(&mut self) -> Result<Option<Kept>, LedgerError> {
        let now = self.around.clock.now();
        if let Some((kept, at, rest)) = &self.last
            && now >= *at
            && now.since(*at) < *rest
        {
            return Ok(kept.clone());
        }
        let Some(endpoint) = self.plan.as_ref().map(|(_, endpoint)| *endpoint) else {
            let ended = self.end().await?;
            self.last = Some((None, now, if ended { NONE } else { BUSY }));
            return Ok(None);
        };
        let kept = self.kept(endpoint, now).await?;
        // What is not as it should be without EC2's doing is looked at again soon: machines tell their keys.
        let rest = match kept.1 {
            Looked::Refused => CALM.saturating_mul(1 << self.troubles.min(3)).min(LONGEST),
            Looked::Well => CALM,
            Looked::Not | Looked::Asked => BUSY,
        };
        let refused = matches!(kept.1, Looked::Refused);
        self.troubles = if refused { self.troubles.saturating_add(1) } else { 0 };
        self.last = Some((Some(kept.0.clone()), now, rest));
        Ok(Some(kept.0))
    }

    /// Ends one that there was; whether nothing is left.
    async fn end(&self) -> Result<bool, LedgerError> {
        let around = &self.around;
        let (record, version) = around.records.gateway().await?;
        if record.is_nothing() && version.is_none() && around.meeting.known().await? == Known::default() {
            return Ok(true);
        }
        let done = turn(
            around.cloud.as_ref(),
            around.checks.as_ref(),
            around.records.as_ref(),
            around.clock.as_ref(),
            None,
        )
        .await?;
        if done.record.is_nothing() && done.trouble.is_none() {
            around.meeting.forget().await?;
        }
        Ok(false)
    }

    async fn kept(&mut self, endpoint: SocketAddrV4, now: Time) -> Result<(Kept, Looked), LedgerError> {
        self.hindrance = Some(NOT_THERE);
        let (machines, answers, unknown) = self.meet(endpoint).await?;
        let answered = answers.iter().filter(|is_answered| **is_answered).count();
        let nodes = self.addresses();
        let without_key = nodes.keys().filter(|name| !machines.contains_key(*name)).cloned().collect();
        let (instance, trouble, count) = (None, None, machines.len());
        let mut kept = Kept { endpoint, instance, machines: count, answered, without_key, unknown, trouble };
        if machines.is_empty() {
            let trouble =
                "no machine has a key yet, so that nobody could dial it: `hoist apply` gives them one";
            kept.trouble = Some(trouble.to_owned());
            return Ok((kept, Looked::Not));
        }
        let (record, _) = self.around.records.gateway().await?;
        kept.instance = record.instance().map(str::to_owned);
        self.hindrance = hindrance(&record, &answers, now);
        let wanted = match self.wanted(&machines, &nodes) {
            Ok(wanted) => wanted,
            Err(trouble) => return Ok((Kept { trouble: Some(trouble), ..kept }, Looked::Not)),
        };
        let since = match &self.machines {
            Some((before, since)) if *before == machines => (*since).min(now),
            _ => now,
        };
        self.machines = Some((machines, since));
        if !is_of(&record, &wanted) && now.since(since) < self.settled {
            return Ok((kept, Looked::Not));
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
        self.hindrance = hindrance(&done.record, &answers, now);
        let refused = || done.record.refused.as_ref().map(|refusal| refusal.reason.clone());
        let trouble = done.trouble.as_ref().map(ToString::to_string).or_else(refused);
        let trouble = trouble.or_else(|| short_lived(&done.record));
        let looked = match trouble {
            _ if is_well(&done.record, &wanted) => Looked::Well,
            Some(_) => Looked::Refused,
            None => Looked::Asked,
        };
        // EC2 has no part in this, and is asked as often as before.
        let unreached = self.hindrance.filter(|it| *it == UNREACHED).map(str::to_owned);
        kept.trouble = trouble.or(unreached);
        Ok((kept, looked))
    }

    /// Learns what machines tell, and tells machines what they should know. The second is whether the gateway
    /// answers them, of those that say so, the third are those that nobody knows.
    async fn meet(
        &mut self,
        endpoint: SocketAddrV4,
    ) -> Result<(BTreeMap<String, PublicKey>, Vec<bool>, Vec<String>), LedgerError> {
        let meeting = self.around.meeting.as_ref();
        if self.key.is_none() {
            self.key = Some(meeting.own_key().await?);
        }
        let (told, before) = (meeting.machines().await?, meeting.known().await?);
        let key_of = |name: &String| {
            told.get(name).map(|machine| &machine.key).or_else(|| before.machines.get(name)).cloned()
        };
        let nodes = self.addresses();
        let own = self.key.as_ref().map(PrivateKey::public);
        let mut machines: BTreeMap<String, PublicKey> =
            nodes.keys().filter_map(|name| Some((name.clone(), key_of(name)?))).collect();
        // Of two machines with one key, such as clones, WireGuard would know the last alone.
        let all: Vec<PublicKey> = machines.values().chain(&own).cloned().collect();
        machines.retain(|_, key| all.iter().filter(|other| *other == key).count() == 1);
        let unknown = told.keys().filter(|name| !nodes.contains_key(*name)).cloned().collect();
        let known = Known { endpoint: Some(endpoint), key: own, machines: machines.clone() };
        if known != before {
            meeting.tell(&known).await?;
        }
        let answers = machines.keys().filter_map(|name| told.get(name)?.is_answered).collect();
        Ok((machines, answers, unknown))
    }

    /// The machines that are nodes, by name. Others are of no interest to workers.
    fn addresses(&self) -> BTreeMap<String, Ipv4Addr> {
        let hosts = self.plan.iter().flat_map(|(plan, _)| &plan.inventory.hosts);
        let nodes = hosts.filter(|(_, host)| host.is_node());
        nodes.map(|(name, host)| (name.clone(), host.address)).collect()
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
        let (plan, _) = self.plan.as_ref().ok_or("there shall be none")?;
        let Plan { inventory, network, made, cluster, library } = plan;
        let site = Site::new(network, peers.collect());
        let key = self.key.as_ref().ok_or("it has no key")?;
        let data = user_data(library, &site, key).map_err(|error| error.to_string())?;
        wanted(inventory, made, cluster, &key.public(), data)
            .ok_or_else(|| "the network has no gateway".to_owned())
    }
}

/// What a turn has come to.
#[derive(Debug, Clone, Copy)]
enum Looked {
    /// EC2 was not asked.
    Not,
    Asked,
    /// It refused, did not answer, or ended what it gave.
    Refused,
    Well,
}

const NOT_THERE: &str = "the gateway to the machines is not there yet";
const UNREACHED: &str = "no machine reaches the gateway: `wg show hoist` on a machine tells its last handshake; UDP 51820 \
                         has to be allowed to go out";

/// Why workers would not find the machines. One that comes is waited for only if the one before it has not ended early. Where no
/// machine says whether it is answered, nothing is known.
fn hindrance(record: &Record, answers: &[bool], now: Time) -> Option<&'static str> {
    let Some(launch) = record.launch.as_ref().filter(|launch| launch.instance.is_some()) else {
        return Some(NOT_THERE);
    };
    let comes = launch.asked.is_some_and(|asked| now.since(asked) < COMING) && record.short == 0;
    let is_silent = !answers.is_empty() && !answers.contains(&true);
    (is_silent && !comes).then_some(UNREACHED)
}

fn short_lived(record: &Record) -> Option<String> {
    let ended = record.ended.as_deref().unwrap_or("EC2 does not say why");
    let words = || format!("{} in a row ended soon after they were launched: {ended}", record.short);
    (record.short > 1).then(words)
}

fn is_of(record: &Record, wanted: &Wanted) -> bool {
    record.launch.as_ref().is_some_and(|launch| launch.configuration == wanted.configuration())
}

fn is_well(record: &Record, wanted: &Wanted) -> bool {
    let troubled = record.missing_since.is_some() || record.impaired_since.is_some();
    is_of(record, wanted) && record.instance().is_some() && record.ending.is_empty() && !troubled
}
