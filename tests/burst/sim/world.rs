//! What is true in a simulation, and how it goes on by itself.

use std::collections::{BTreeMap, BTreeSet};

use hoist::burst::{
    claim::{Book, Claim},
    cloud::{Instance, State},
    controller::{CertificateRequest, Record, token_id},
    demand::Wish,
    gateway::{self, Known, PublicKey},
    offer::{Capacity, Money, Offer},
    quota::Bucket,
    service::Status,
    time::Time,
};

use super::bed::offers;

/// Where virtual time begins.
pub const START: u64 = 1_772_000_000_000;

/// EC2 forgets terminated instances after this long.
const SHOWN: u64 = 60 * 60 * 1000;

/// How often things go wrong, in percent of calls or instances, and rules that hold while they are set.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The answer to a changing call is cut after it was carried out.
    pub cut_after: u8,
    /// A call is cut or answered with 500 before anything was done.
    pub cut_before: u8,
    pub throttle: u8,
    /// The ledger writes and then says that it could not.
    pub ledger: u8,
    /// The longest that EC2's answers lag behind, in ms.
    pub lag: u64,
    /// An instance never joins.
    pub no_join: u8,
    /// An instance dies while pending.
    pub stillborn: u8,
    /// Spot instances die while pending, as where nobody lets EC2's role for them use the key of disks.
    pub spot_stillborn: bool,
    /// A volume or interface outlives its instance.
    pub leak: u8,
    /// A spot instance is taken back within the hour.
    pub notices: u8,
    /// An instance is not shown for a while, though it runs.
    pub hide: u8,
    /// `TYPE ZONE CAPACITY` as Debug writes it, or parts of it, of which EC2 has none.
    pub short: BTreeSet<String>,
    /// vCPUs by capacity type and bucket of families.
    pub quota: BTreeMap<(Capacity, Bucket), u32>,
    pub full: BTreeSet<String>,
    pub denied: BTreeSet<&'static str>,
    /// Orders that EC2 does not answer within 25 s, nor then.
    pub stalls: BTreeSet<&'static str>,
    /// Orders that EC2 never answers.
    pub silent: BTreeSet<&'static str>,
    /// The API server does not answer.
    pub away: bool,
    /// Nobody understands what persons want.
    pub scrawled: bool,
    /// EC2 does not mind who has an interface.
    pub interfaces_are_shared: bool,
    /// The gateway runs, and nobody reaches it.
    pub unreached: bool,
    /// Machines do not say whether they reach it.
    pub unsaid: bool,
    /// Instances whose nodes do not reach the API server, though these run.
    pub unready: BTreeSet<String>,
    /// What nodes run is longer than EC2 takes.
    pub unwritten: bool,
    /// All credentials have expired.
    pub expired: bool,
    /// Instances whose checks fail.
    pub impaired: BTreeSet<String>,
}

pub struct Machine {
    pub instance: Instance,
    /// One that was there before it.
    pub interface: Option<String>,
    pub zone: String,
    pub spot: bool,
    pub bucket: Bucket,
    /// What it was at which time.
    pub history: Vec<(u64, State, Option<String>)>,
    pub hidden_until: u64,
    pub joins_at: Option<u64>,
    pub notice_at: Option<u64>,
}

impl Machine {
    pub fn state(&self, at: u64) -> Option<(State, Option<String>)> {
        let entry = self.history.iter().rev().find(|(since, ..)| *since <= at);
        entry.map(|(_, state, reason)| (*state, reason.clone()))
    }

    pub fn is_alive(&self, now: u64) -> bool {
        self.state(now).is_some_and(|(state, _)| !state.is_ending())
    }

    pub fn is_forgotten(&self, at: u64) -> bool {
        let ended = self.history.iter().find(|(_, state, _)| *state == State::Terminated);
        ended.is_some_and(|(since, ..)| at >= since + SHOWN)
    }
}

pub struct Disk {
    pub claim: Option<String>,
    pub machine: Option<String>,
    pub is_volume: bool,
    pub leaks: bool,
    /// Free and not deleted since.
    pub free: bool,
}

pub struct Pod {
    pub node: Option<String>,
    pub ends: u64,
    /// A budget keeps it where it is.
    pub kept: bool,
    /// The scheduler never takes it, for a reason of its own.
    pub refused: bool,
    pub leaving_at: Option<u64>,
}

pub struct Node {
    pub provider_id: String,
    pub instance: String,
    pub ready_at: u64,
    pub cordoned: bool,
    pub notice: bool,
    /// Whether it has the label of its claim.
    pub labelled: bool,
}

pub struct World {
    pub seed: u64,
    /// True time in ms; controllers see it with `skew`.
    pub now: u64,
    pub skew: i64,
    pub rng: fastrand::Rng,
    pub faults: Faults,
    pub trace: Vec<String>,

    pub machines: BTreeMap<String, Machine>,
    pub tokens: BTreeMap<String, (String, String)>,
    pub disks: BTreeMap<String, Disk>,
    /// When EC2 was asked, by order.
    pub calls: BTreeMap<&'static str, Vec<u64>>,
    pub mismatches: u32,
    pub consoles: BTreeSet<String>,

    pub claims: BTreeMap<String, (Claim, u64)>,
    pub book: (Book, u64),
    /// What packers choose from, the cheapest first.
    pub offers: Vec<Offer>,
    /// The month's sum, kept elsewhere.
    pub kept_sum: Option<(String, Money)>,
    pub lease: Option<(Record, u64)>,
    pub gateway: (gateway::Record, u64),
    /// What machines have told, what they were told, and the gateway's own key.
    pub met: (BTreeMap<String, PublicKey>, Known, Option<String>),
    /// Whether programs keep a gateway.
    pub has_gateway: bool,
    pub version: u64,

    pub join_tokens: BTreeMap<String, u64>,
    pub requests: Vec<CertificateRequest>,
    pub approved: BTreeSet<String>,
    /// How many milliseconds each request has waited for its signature.
    pub signing: Vec<u64>,
    /// When requests were made.
    pub requested: BTreeMap<String, u64>,
    /// Nothing is rented, for want of a gateway.
    pub closed: bool,
    pub nodes: BTreeMap<String, Node>,
    pub pods: BTreeMap<String, Pod>,

    pub wish: Wish,
    pub status: Option<Status>,
    /// How often it was written.
    pub shown: u32,
    /// How often somebody found a way to the API server.
    pub ways: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: START,
            skew: 0,
            rng: fastrand::Rng::with_seed(seed),
            faults: Faults::default(),
            trace: Vec::new(),
            machines: BTreeMap::new(),
            tokens: BTreeMap::new(),
            disks: BTreeMap::new(),
            calls: BTreeMap::new(),
            mismatches: 0,
            consoles: BTreeSet::new(),
            claims: BTreeMap::new(),
            book: (Book::default(), 0),
            offers: offers(),
            kept_sum: None,
            lease: None,
            gateway: (gateway::Record::default(), 0),
            met: Default::default(),
            has_gateway: false,
            version: 0,
            join_tokens: BTreeMap::new(),
            requests: Vec::new(),
            approved: BTreeSet::new(),
            signing: Vec::new(),
            requested: BTreeMap::new(),
            closed: false,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            wish: Wish::default(),
            status: None,
            shown: 0,
            ways: 0,
        }
    }

    pub fn say(&mut self, what: impl std::fmt::Display) {
        self.trace.push(format!("{:>8.1} s  {what}", (self.now - START) as f64 / 1000.0));
    }

    pub fn roll(&mut self, percent: u8) -> bool {
        percent > 0 && self.rng.u8(0..100) < percent
    }

    /// Milliseconds between two numbers of seconds.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.rng.u64(from * 1000..=to * 1000)
    }

    /// What a controller's clock shows.
    pub fn shown(&self) -> Time {
        Time(self.now.saturating_add_signed(self.skew))
    }

    pub fn alive(&self) -> impl Iterator<Item = (&String, &Machine)> {
        self.machines.iter().filter(|(_, machine)| machine.is_alive(self.now))
    }

    pub fn pending(&self) -> impl Iterator<Item = &String> {
        self.pods.iter().filter(|(_, pod)| pod.node.is_none()).map(|(name, _)| name)
    }

    /// Pods that fit on a node.
    pub const ROOM: usize = 2;

    /// Lets time pass: machines boot and die, nodes join, pods are scheduled and end.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        let step = if millis < 10_000 { 2_000 } else { 5_000 };
        while self.now < end {
            self.now = (self.now + step).min(end);
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        let mut said = Vec::new();
        for (id, machine) in &mut self.machines {
            if machine.notice_at.is_some_and(|at| now >= at + 120_000) && machine.is_alive(now) {
                machine.notice_at = None;
                let reason = Some("Server.SpotInstanceTermination".to_owned());
                machine.history.push((now, State::Terminated, reason));
                said.push(format!("EC2 takes {id} back"));
            }
        }
        for line in said {
            self.say(line);
        }
        self.join();
        let (machines, nodes) = (&self.machines, &mut self.nodes);
        for node in nodes.values_mut() {
            let machine = machines.get(&node.instance);
            node.notice = machine.is_some_and(|it| it.notice_at.is_some_and(|at| now >= at));
        }
        for disk in self.disks.values_mut() {
            let over = disk.machine.as_ref().is_some_and(|id| {
                machines.get(id).is_none_or(|it| matches!(it.state(now), Some((State::Terminated, _))))
            });
            disk.free |= over;
        }
        self.disks.retain(|_, disk| disk.leaks || !disk.free);
        self.schedule();
    }

    /// Machines that booted ask for a certificate, and with one they become nodes.
    fn join(&mut self) {
        let now = self.now;
        for (id, machine) in &self.machines {
            let boots = machine.is_alive(now) && machine.joins_at.is_some_and(|at| now >= at);
            let Some(claim) = machine.instance.claim.clone().filter(|_| boots) else { continue };
            let name = format!("csr-{id}");
            if !self.nodes.contains_key(&claim) && !self.approved.contains(&name) {
                let valid = self.join_tokens.get(&claim).is_some_and(|until| now < *until);
                if valid && !self.requests.iter().any(|request| request.name == name) {
                    self.requested.insert(name.clone(), now);
                    self.requests.push(CertificateRequest {
                        name,
                        user: format!("system:bootstrap:{}", token_id(&claim)),
                        signer: "kubernetes.io/kube-apiserver-client-kubelet".into(),
                        common_name: format!("system:node:{claim}"),
                        alternatives: None,
                    });
                }
            } else if self.approved.contains(&name) && !self.nodes.contains_key(&claim) {
                let node = Node {
                    provider_id: format!("aws:///{}/{id}", machine.zone),
                    instance: id.clone(),
                    ready_at: now + 8_000,
                    cordoned: false,
                    notice: false,
                    labelled: true,
                };
                self.nodes.insert(claim, node);
            }
        }
    }

    pub fn is_ready(&self, node: &Node) -> bool {
        let reaches = !self.faults.unready.contains(&node.instance);
        let runs = self.machines.get(&node.instance).is_some_and(|it| it.is_alive(self.now));
        reaches && runs && self.now >= node.ready_at
    }

    fn schedule(&mut self) {
        let now = self.now;
        self.pods.retain(|_, pod| now < pod.ends);
        let nodes: BTreeSet<String> = self.nodes.keys().cloned().collect();
        for pod in self.pods.values_mut() {
            let left = pod.leaving_at.is_some_and(|at| now >= at);
            if left || pod.node.as_ref().is_some_and(|node| !nodes.contains(node)) {
                (pod.node, pod.leaving_at) = (None, None);
            }
        }
        let mut room: BTreeMap<String, usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| self.is_ready(node) && !node.cordoned)
            .map(|(name, _)| (name.clone(), Self::ROOM))
            .collect();
        for pod in self.pods.values() {
            if let Some(left) = pod.node.as_ref().and_then(|node| room.get_mut(node)) {
                *left = left.saturating_sub(1);
            }
        }
        for pod in self.pods.values_mut().filter(|pod| pod.node.is_none() && !pod.refused) {
            if let Some((name, left)) = room.iter_mut().find(|(_, left)| **left > 0) {
                *left -= 1;
                pod.node = Some(name.clone());
            }
        }
    }
}
