//! The life of one rented node, written down before EC2 is asked for it.
//!
//! `machine` and `ending` decide (pure), `market` remembers what EC2 refused and `vain` whom no node helped, `ledger`
//! keeps claims where a restarted controller finds them. The rule behind all of it: whatever may cost money has a claim,
//! and a claim ends only when EC2 itself has said that nothing is left.

mod ending;
mod ledger;
mod limits;
mod machine;
mod market;
mod seen;
mod vain;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use ledger::{Book, Ledger, LedgerError, Spent, Version};
pub use limits::Limits;
pub use machine::{Next, answered, next};
pub use market::{Breaker, Market, Stopped};
pub use seen::{Action, Answer, NodeSeen, Seen, Sight};
pub use vain::{InVain, Pause};

use super::{cloud::RunInstances, offer::Offer, time::Time};

/// Where a claim is. The order is that of a life without trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// EC2 was not asked for this attempt yet.
    Planned,
    /// The request is written down. EC2 may have been asked, and an instance may exist.
    Launching,
    /// EC2 gave an instance.
    Launched,
    /// It runs, and should join.
    Running,
    /// Kubernetes has its Node.
    Registered,
    /// It takes pods.
    Ready,
    /// Its pods are moved away.
    Draining,
    /// Its Node is deleted and whatever EC2 has of it is being deleted, until EC2 says that all of it is gone.
    Terminating,
    /// Nothing is left. The ledger drops it.
    Gone,
}

/// Why a claim ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing runs on it.
    Empty,
    /// What runs on it has room elsewhere, or cheaper.
    Unneeded,
    /// It reached its maximum lifetime.
    Expired,
    /// The money of this month is spent.
    Money,
    /// A person asked for it, or the whole burst is taken down.
    Removed,
    /// EC2 takes the spot instance back.
    Notice,
    /// The Node has not been ready for too long.
    Broken,
    /// Somebody has deleted its Node, which does not come back by itself.
    Deleted,
    /// No offer is to be had now.
    NoOffer,
    /// EC2 refused the launch; its words.
    Refused(String),
    /// In this phase it took longer than the limit allows.
    TimeOut(Phase),
    /// The instance ended without us; EC2's reason.
    Died(String),
    /// EC2 does not show the instance any more.
    Lost,
}

impl Why {
    /// Completes "it ends because …".
    pub fn words(&self) -> String {
        match self {
            Why::Empty => "nothing has run on it".to_owned(),
            Why::Unneeded => "what runs on it has room elsewhere".to_owned(),
            Why::Expired => "it has reached its greatest age".to_owned(),
            Why::Money => "the money of the month is spent".to_owned(),
            Why::Removed => "somebody has asked for it".to_owned(),
            Why::Notice => "EC2 takes it back".to_owned(),
            Why::Broken => "its node has not been ready for too long".to_owned(),
            Why::Deleted => "its node was deleted".to_owned(),
            Why::NoOffer => "no offer is to be had now".to_owned(),
            Why::Refused(words) => words.clone(),
            Why::TimeOut(Phase::Launching) => "EC2 has not answered its launch".to_owned(),
            Why::TimeOut(Phase::Launched) => "it has not begun to run in time".to_owned(),
            Why::TimeOut(Phase::Running) => "it has not joined in time".to_owned(),
            Why::TimeOut(_) => "it was not ready in time".to_owned(),
            Why::Died(reason) => format!("its instance ended: {reason}"),
            Why::Lost => "EC2 does not show its instance any more".to_owned(),
        }
    }
}

/// One attempt to launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    pub offer: Offer,
    /// Sent as it is here, every time.
    pub request: RunInstances,
    /// Of the request, to prove that nothing changed it.
    pub digest: String,
    /// How often EC2 was asked. Counted before it is asked.
    pub tries: u32,
    pub asked: Option<Time>,
    pub instance: Option<String>,
}

impl Launch {
    pub fn new(offer: Offer, request: RunInstances) -> Self {
        let digest = request.digest();
        Self { offer, request, digest, tries: 0, asked: None, instance: None }
    }
}

/// The intent to have one EC2 worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Also the Node's name, and in the instance's tag.
    pub name: String,
    pub created: Time,
    /// Since when the first of its pods has waited, as its controller saw it.
    #[serde(default)]
    pub demanded: Option<Time>,
    /// When each phase was last begun, to tell where time went.
    #[serde(default)]
    pub times: BTreeMap<Phase, Time>,
    /// Where to launch, best first.
    pub offers: Vec<Offer>,
    /// For whom, as `namespace/name`; or the name of a worker that a person wants, which has no slash.
    pub pods: Vec<String>,
    /// The claim whose node this one shall take the place of.
    pub replaces: Option<String>,
    pub phase: Phase,
    /// When the phase began.
    pub since: Time,
    /// The number of the present attempt, from 1; 0 before the first.
    pub attempt: u32,
    pub launch: Option<Launch>,
    /// When EC2 gave the instance.
    pub launched: Option<Time>,
    /// How old it was to become when what it runs was written: by that it ends itself. Nothing where that was not kept.
    #[serde(default)]
    pub lifetime: Option<Duration>,
    /// The private address of the instance, as EC2 tells it.
    pub address: Option<String>,
    /// Instances of earlier attempts, and any other that carries the claim's tag.
    pub former: BTreeSet<String>,
    /// Instances that EC2 has said are terminated.
    pub dead: BTreeSet<String>,
    /// Since when EC2 does not show what it should.
    pub missing_since: Option<Time>,
    pub unready_since: Option<Time>,
    /// Since when Kubernetes does not show its Node, which was there.
    pub nodeless_since: Option<Time>,
    pub idle_since: Option<Time>,
    pub unneeded_since: Option<Time>,
    /// When terminating or deleting was last asked for.
    pub asked: Option<Time>,
    pub why: Option<Why>,
}

impl Claim {
    pub fn new(name: String, offers: Vec<Offer>, pods: Vec<String>, now: Time) -> Self {
        Self {
            name,
            created: now,
            demanded: None,
            times: BTreeMap::from([(Phase::Planned, now)]),
            offers,
            pods,
            replaces: None,
            phase: Phase::Planned,
            since: now,
            attempt: 0,
            launch: None,
            launched: None,
            lifetime: None,
            address: None,
            former: BTreeSet::new(),
            dead: BTreeSet::new(),
            missing_since: None,
            unready_since: None,
            nodeless_since: None,
            idle_since: None,
            unneeded_since: None,
            asked: None,
            why: None,
        }
    }

    /// The workers that a person wants and that this one stands for: it stays when nothing runs on it.
    pub fn workers(&self) -> impl Iterator<Item = &String> {
        self.pods.iter().filter(|pod| !pod.contains('/'))
    }

    /// How long hoist itself has taken, from the first pod that waited to the present question to EC2: without `wait`, which
    /// is how long pods and batches are to wait. Nothing where no pod asked for it, or EC2 was not asked.
    pub fn own_share(&self, wait: Duration) -> Option<Duration> {
        let asked = self.launch.as_ref()?.asked?;
        Some(asked.since(self.demanded?).saturating_sub(wait))
    }

    /// Whether it is ready and nothing that counts has run on it since it became so.
    pub fn is_unused(&self) -> bool {
        self.phase == Phase::Ready && self.idle_since == Some(self.since)
    }

    /// The instance of the present attempt.
    pub fn instance(&self) -> Option<&str> {
        self.launch.as_ref()?.instance.as_deref()
    }

    /// All instances that are known to be this claim's.
    pub fn instances(&self) -> impl Iterator<Item = &str> {
        self.instance().into_iter().chain(self.former.iter().map(String::as_str))
    }

    /// Whether a Node is that of one of its instances, whatever labels it has.
    pub fn owns(&self, node: &str, provider_id: &str) -> bool {
        let instance = provider_id.rsplit('/').next().unwrap_or_default();
        node == self.name && !instance.is_empty() && self.instances().any(|id| id == instance)
    }

    /// Whether there is, or will be, a node that pods can count on.
    pub fn is_capacity(&self) -> bool {
        self.phase <= Phase::Ready && self.why.is_none()
    }

    /// Whether a certificate may be signed for its Node: EC2 gave an instance which is not on its way out.
    pub fn may_join(&self) -> bool {
        (Phase::Launching..=Phase::Ready).contains(&self.phase) && self.why.is_none()
    }

    /// Whether EC2 may be asked, or was asked, for something that costs money.
    pub fn may_cost(&self) -> bool {
        self.phase != Phase::Gone && (self.launch.is_some() || !self.former.is_empty() || self.is_capacity())
    }

    /// What it is, or would at best be, rented as.
    pub fn offer(&self) -> Option<&Offer> {
        self.launch.as_ref().map(|launch| &launch.offer).or(self.offers.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        cloud::{Template, UserData},
        offer::{Architecture, Capacity, Money},
    };

    fn launching() -> Claim {
        let template = Template {
            cluster: "3f0c".into(),
            images: [(Architecture::Arm64, "ami-1".into())].into(),
            subnets: [("a".into(), "subnet-a".into())].into(),
            security_groups: vec![],
            instance_profile: None,
            root_device: "/dev/xvda".into(),
            root_gib: 20,
            kms_key: None,
            tags: [].into(),
        };
        let (instance_type, zone) = ("m7g.large".to_owned(), "a".to_owned());
        let offer = Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(30_000) };
        let user_data = UserData::new("token: s3cr3t".into()).unwrap();
        let mut claim = Claim::new("burst-1".into(), vec![offer.clone()], vec!["web/a".into()], Time(0));
        let request =
            template.request(&claim.name, 1, &offer, Architecture::Arm64, user_data, Time(0)).unwrap();
        claim.launch = Some(Launch::new(offer, request));
        claim.phase = Phase::Launching;
        claim.why = Some(Why::TimeOut(Phase::Running));
        claim
    }

    #[test]
    fn a_claim_is_read_back_to_the_byte_that_is_sent() {
        let claim = launching();
        let read: Claim = serde_json::from_str(&serde_json::to_string(&claim).unwrap()).unwrap();
        assert_eq!(read, claim);
        let launch = read.launch.unwrap();
        assert_eq!(launch.request.digest(), launch.digest);
        assert_eq!(launch.request.user_data.expose(), b"token: s3cr3t");
    }

    #[test]
    fn a_claim_that_was_written_before_its_lifetime_was_kept_is_read() {
        let mut written = serde_json::to_value(launching()).unwrap();
        assert!(written.as_object_mut().unwrap().remove("lifetime").is_some());
        assert_eq!(serde_json::from_value::<Claim>(written).unwrap().lifetime, None);
    }

    #[test]
    fn a_request_that_was_changed_is_not_sent() {
        let mut claim = launching();
        claim.why = None;
        let sent = |claim: &Claim| next(claim, &Seen::default(), &Limits::default(), Time(1));
        assert!(matches!(sent(&claim).actions[..], [Action::Launch(_)]));
        claim.launch.as_mut().unwrap().request.image_id = "ami-2".into();
        let after = sent(&claim);
        assert_eq!((after.claim.phase, after.actions.len()), (Phase::Terminating, 0));
        assert!(after.claim.launch.is_some(), "it may have been sent before");
    }

    #[test]
    fn a_node_that_has_got_pods_meanwhile_is_not_drained_as_an_empty_one() {
        let mut claim = launching();
        (claim.phase, claim.why, claim.idle_since) = (Phase::Ready, None, Some(Time(0)));
        claim.launch.as_mut().unwrap().instance = Some("i-1".into());
        let seen =
            |pods: &[&str], end: Why| Seen { node: Some(node(pods)), end: Some(end), ..Seen::default() };
        let phase = |seen: &Seen| next(&claim, seen, &Limits::default(), Time(300_000)).claim.phase;
        assert_eq!(phase(&seen(&[], Why::Empty)), Phase::Draining);
        assert_eq!(phase(&seen(&["web/a"], Why::Empty)), Phase::Ready);
        assert_eq!(phase(&seen(&["web/a"], Why::Unneeded)), Phase::Ready, "it is needed again");
        assert_eq!(phase(&seen(&["web/a"], Why::Removed)), Phase::Draining);
    }

    #[test]
    fn an_empty_node_that_got_a_pod_before_its_cordon_stays_and_one_that_ends_for_another_reason_goes() {
        let after = |why: Why, cordoned: bool, pods: &[&str]| {
            let mut claim = launching();
            (claim.phase, claim.why) = (Phase::Draining, Some(why));
            claim.launch.as_mut().unwrap().instance = Some("i-1".into());
            let seen = Seen { node: Some(NodeSeen { cordoned, ..node(pods) }), ..Seen::default() };
            let after = next(&claim, &seen, &Limits::default(), Time(1));
            (after.claim.phase, after.claim.why.is_some(), after.actions)
        };
        let evict = Action::Evict { grace: None, respect_budgets: true };
        assert_eq!(after(Why::Empty, false, &[]), (Phase::Draining, true, vec![Action::Cordon]));
        assert_eq!(after(Why::Empty, true, &[]), (Phase::Terminating, true, vec![]));
        assert_eq!(after(Why::Empty, true, &["web/a"]), (Phase::Draining, true, vec![Action::Uncordon]));
        assert_eq!(after(Why::Empty, false, &["web/a"]), (Phase::Ready, false, vec![]));
        let drained = (Phase::Draining, true, vec![Action::Cordon, evict]);
        assert_eq!(after(Why::Unneeded, true, &["web/a"]), drained);
    }

    fn node(pods: &[&str]) -> NodeSeen {
        NodeSeen {
            name: "burst-1".into(),
            provider_id: "aws:///a/i-1".into(),
            ready: true,
            cordoned: false,
            pods: pods.iter().map(ToString::to_string).collect(),
            notice: false,
            labelled: true,
        }
    }

    #[test]
    fn a_claim_that_is_printed_tells_no_secret() {
        assert!(!format!("{:?}", launching()).contains("s3cr3t"));
    }
}
