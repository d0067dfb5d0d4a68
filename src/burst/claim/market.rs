//! What EC2 refused lately, and whether nodes join at all: what keeps the controller from asking for the same again and
//! again.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Claim, Phase, Why};
use crate::burst::{
    cloud::{CloudError, Kind},
    offer::{Capacity, Offer},
    quota::Bucket,
    time::Time,
};

/// EC2 had none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shortage {
    /// All of them where a subnet is full.
    instance_type: Option<String>,
    zone: String,
    /// Both where a subnet is full.
    capacity: Option<Capacity>,
    since: Time,
}

impl Shortage {
    fn concerns(&self, offer: &Offer) -> bool {
        self.zone == offer.zone
            && self.instance_type.as_ref().is_none_or(|name| *name == offer.instance_type)
            && self.capacity.is_none_or(|capacity| capacity == offer.capacity)
    }
}

/// The account had no more vCPUs: of one capacity type, in one bucket of families.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedUp {
    capacity: Capacity,
    bucket: Bucket,
    since: Time,
}

impl UsedUp {
    fn concerns(&self, offer: &Offer) -> bool {
        self.capacity == offer.capacity && self.bucket == Bucket::of(&offer.instance_type)
    }
}

/// Nothing is launched until the configuration is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// What the user is told.
    pub reason: String,
    /// Of the configuration that EC2 refused.
    pub configuration: String,
    pub since: Time,
}

/// Nodes that did not join, in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    pub failures: u32,
    pub last: Option<Time>,
}

impl Breaker {
    /// In a row, before launches pause.
    pub const FAILURES: u32 = 3;
    const FIRST: Duration = Duration::from_secs(5 * 60);
    const LONGEST: Duration = Duration::from_secs(30 * 60);

    /// How long the present pause is: 5 minutes after the third failure, twice that after each further one, up to 30.
    fn pause(&self) -> Option<Duration> {
        let further = self.failures.checked_sub(Self::FAILURES)?;
        Some((Self::FIRST * 2_u32.pow(further.min(8))).min(Self::LONGEST))
    }

    /// How many nodes may be on their way at the same time: any number, none, or one to see whether it joins now.
    pub fn at_once(&self, now: Time) -> usize {
        match (self.pause(), self.last) {
            (Some(pause), Some(last)) => usize::from(now < last || now.since(last) >= pause),
            _ => usize::MAX,
        }
    }
}

/// Everything learnt from refusals. Kept in the ledger, so that a controller that restarts asks no more than another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Market {
    shortages: Vec<Shortage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used_up: Vec<UsedUp>,
    /// Capacity types of which nothing is to be had. The name is that of ledgers of before, which knew no buckets.
    #[serde(rename = "quotas")]
    closed: BTreeMap<Capacity, Time>,
    /// Instances that ended before their Node was there, in a row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    stillborn: BTreeMap<Capacity, u32>,
    pub stopped: Option<Stopped>,
    pub breaker: Breaker,
}

impl Market {
    /// How long a type counts as not to be had in a zone.
    pub const SHORTAGE: Duration = Duration::from_secs(3 * 60);
    /// How long a quota counts as used up, and a capacity type as closed.
    pub const QUOTA: Duration = Duration::from_secs(15 * 60);

    /// EC2 has none of this type in this zone.
    fn short(&mut self, offer: &Offer, now: Time) {
        let (instance_type, capacity) = (Some(offer.instance_type.clone()), Some(offer.capacity));
        self.add(Shortage { instance_type, zone: offer.zone.clone(), capacity, since: now });
    }

    /// The subnet of this zone is full, for all types.
    fn full(&mut self, offer: &Offer, now: Time) {
        self.add(Shortage { instance_type: None, zone: offer.zone.clone(), capacity: None, since: now });
    }

    fn add(&mut self, shortage: Shortage) {
        let same = |other: &Shortage| {
            (&other.instance_type, &other.zone, other.capacity)
                == (&shortage.instance_type, &shortage.zone, shortage.capacity)
        };
        self.shortages.retain(|other| !same(other) && holds(other.since, Self::SHORTAGE, shortage.since));
        self.shortages.push(shortage);
    }

    /// The instance ended before its Node was there: its disk could not be encrypted, or was one too many. Once, another type
    /// or zone may do; from the second time on the other capacity type is tried, whose disks EC2 makes in another role's name.
    fn stillborn(&mut self, offer: &Offer, now: Time) {
        self.short(offer, now);
        let times = self.stillborn.entry(offer.capacity).or_default();
        *times = times.saturating_add(1);
        if *times > 1 {
            self.close(offer.capacity, now);
        }
    }

    /// The account has no more of what this is counted among.
    fn quota(&mut self, offer: &Offer, now: Time) {
        let (capacity, bucket) = (offer.capacity, Bucket::of(&offer.instance_type));
        self.used_up.retain(|it| !it.concerns(offer) && holds(it.since, Self::QUOTA, now));
        self.used_up.push(UsedUp { capacity, bucket, since: now });
    }

    /// The account has no more of this capacity type, whatever the instance type.
    fn close(&mut self, capacity: Capacity, now: Time) {
        self.closed.insert(capacity, now);
    }

    /// Every launch will fail until somebody changes something.
    pub fn stop(&mut self, reason: String, configuration: &str, now: Time) {
        self.stopped = Some(Stopped { reason, configuration: configuration.to_owned(), since: now });
    }

    fn not_joined(&mut self, now: Time) {
        self.breaker.failures += 1;
        self.breaker.last = Some(now);
    }

    /// Learns from what EC2 answered to a launch.
    pub fn refused(&mut self, error: &CloudError, offer: &Offer, configuration: &str, now: Time) {
        match error.kind {
            Kind::Capacity => self.short(offer, now),
            Kind::FullSubnet => self.full(offer, now),
            Kind::Quota => self.quota(offer, now),
            Kind::Limit => self.close(offer.capacity, now),
            Kind::Denied | Kind::Invalid | Kind::Mismatch => self.stop(error.to_string(), configuration, now),
            Kind::Throttled | Kind::Expired | Kind::Ambiguous | Kind::NotFound | Kind::TokenUsedUp => {}
        }
    }

    /// Learns from an edge that a claim went.
    pub fn learn(&mut self, before: &Claim, after: &Claim, now: Time) {
        let Some(offer) = before.launch.as_ref().map(|launch| &launch.offer) else { return };
        // One that was to end anyway says nothing about those that are to stay.
        let was_joining =
            (Phase::Launched..=Phase::Registered).contains(&before.phase) && before.why.is_none();
        match (before.phase, after.phase, &after.why) {
            // EC2 gave an instance that was at its end already.
            (Phase::Launching, Phase::Planned, _) if after.former.len() > before.former.len() => {
                self.short(offer, now);
            }
            (_, Phase::Ready, _) if was_joining => {
                self.breaker = Breaker::default();
                self.stillborn.remove(&offer.capacity);
            }
            (_, Phase::Terminating, Some(Why::Died(reason))) if is_scarcity(reason) => self.short(offer, now),
            (Phase::Ready, Phase::Draining, Some(Why::Notice)) => self.short(offer, now),
            (Phase::Launched | Phase::Running, Phase::Terminating, Some(Why::Died(_))) if was_joining => {
                self.stillborn(offer, now);
                self.not_joined(now);
            }
            (_, Phase::Terminating, Some(Why::TimeOut(_) | Why::Died(_) | Why::Lost)) if was_joining => {
                self.not_joined(now);
            }
            _ => {}
        }
    }

    /// Whether this offer may be asked for.
    pub fn has(&self, offer: &Offer, now: Time) -> bool {
        let short =
            |shortage: &Shortage| holds(shortage.since, Self::SHORTAGE, now) && shortage.concerns(offer);
        let used_up = |quota: &UsedUp| holds(quota.since, Self::QUOTA, now) && quota.concerns(offer);
        let closed = self.closed.get(&offer.capacity).is_some_and(|since| holds(*since, Self::QUOTA, now));
        !closed && !self.used_up.iter().any(used_up) && !self.shortages.iter().any(short)
    }
}

/// EC2's reasons that say it needs the machine for somebody else.
fn is_scarcity(reason: &str) -> bool {
    ["SpotInstance", "InsufficientInstanceCapacity"].iter().any(|word| reason.contains(word))
}

/// Whether what began at `since` still holds. What began in the future began before a clock was set back, and does not.
fn holds(since: Time, lasts: Duration, now: Time) -> bool {
    since <= now && now.since(since) < lasts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        claim::Launch,
        cloud::{Order, Template, UserData},
        offer::{Architecture, Money},
    };

    fn offer(instance_type: &str, zone: &str, capacity: Capacity) -> Offer {
        Offer { instance_type: instance_type.into(), zone: zone.into(), capacity, price: Money(1) }
    }

    fn minutes(minutes: u64) -> Time {
        Time(1_000_000 + minutes * 60_000)
    }

    #[test]
    fn a_shortage_is_that_of_a_type_in_a_zone_for_three_minutes() {
        let mut market = Market::default();
        let spot = offer("m7g.large", "a", Capacity::Spot);
        market.short(&spot, minutes(0));
        assert!(!market.has(&spot, minutes(2)));
        assert!(market.has(&spot, minutes(3)));
        for other in [
            offer("m7g.large", "a", Capacity::OnDemand),
            offer("m7g.large", "b", Capacity::Spot),
            offer("m7g.xlarge", "a", Capacity::Spot),
        ] {
            assert!(market.has(&other, minutes(0)), "{other:?}");
        }
    }

    #[test]
    fn a_full_subnet_concerns_its_zone_for_all_types() {
        let mut market = Market::default();
        market.full(&offer("m7g.large", "a", Capacity::Spot), minutes(0));
        assert!(!market.has(&offer("c7g.large", "a", Capacity::OnDemand), minutes(1)));
        assert!(market.has(&offer("m7g.large", "b", Capacity::Spot), minutes(1)));
    }

    #[test]
    fn a_quota_is_that_of_a_bucket_of_families_and_another_limit_that_of_a_capacity_type() {
        let spot = |name: &str| offer(name, "a", Capacity::Spot);
        let refused = |market: &mut Market, code: &str, offer: &Offer| {
            let error = CloudError::answered(Order::RunInstances, 400, code, "");
            market.refused(&error, offer, "1", minutes(0));
        };
        let mut market = Market::default();
        refused(&mut market, "MaxSpotInstanceCountExceeded", &spot("x8g.large"));
        assert!(!market.has(&spot("x2gd.large"), minutes(14)));
        assert!(market.has(&spot("r8g.xlarge"), minutes(0)), "counted elsewhere");
        refused(&mut market, "VcpuLimitExceeded", &offer("x8g.large", "a", Capacity::OnDemand));
        assert!(market.has(&offer("r8g.xlarge", "a", Capacity::OnDemand), minutes(0)));
        refused(&mut market, "MaxSpotInstanceCountExceeded", &spot("r8g.xlarge"));
        assert!(!market.has(&spot("m7g.large"), minutes(14)) && !market.has(&spot("x8g.large"), minutes(14)));
        assert!(market.has(&offer("m7g.large", "a", Capacity::OnDemand), minutes(14)));
        assert!(market.has(&spot("m7g.large"), minutes(15)) && market.has(&spot("x8g.large"), minutes(15)));
        let mut market = Market::default();
        refused(&mut market, "VolumeLimitExceeded", &spot("x8g.large"));
        assert!(!market.has(&spot("m7g.large"), minutes(14)));
        assert!(market.has(&offer("m7g.large", "a", Capacity::OnDemand), minutes(14)));
    }

    #[test]
    fn what_was_written_before_there_were_buckets_is_read() {
        let mut market = Market::default();
        market.close(Capacity::Spot, minutes(0));
        let written = serde_json::to_value(&market).unwrap();
        assert!(written["quotas"].get("spot").is_some() && written.get("used_up").is_none(), "{written}");
        assert_eq!(serde_json::from_value::<Market>(written).unwrap(), market);
        market.quota(&offer("x8g.large", "a", Capacity::OnDemand), minutes(0));
        let read: Market = serde_json::from_value(serde_json::to_value(&market).unwrap()).unwrap();
        assert_eq!(read, market);
    }

    #[test]
    fn a_clock_that_is_set_back_closes_nothing_for_ever() {
        let mut market = Market::default();
        let spot = offer("m7g.large", "a", Capacity::Spot);
        market.short(&spot, minutes(600));
        market.quota(&spot, minutes(600));
        market.close(Capacity::Spot, minutes(600));
        assert!(market.has(&spot, minutes(0)));
        for _ in 0..3 {
            market.not_joined(minutes(600));
        }
        assert_eq!(market.breaker.at_once(minutes(0)), 1);
    }

    #[test]
    fn instances_that_end_before_they_join_close_their_offer_and_then_their_capacity_type() {
        let (spot, other) =
            (offer("m7g.large", "a", Capacity::Spot), offer("c7g.large", "b", Capacity::Spot));
        let on_demand = offer("m7g.large", "a", Capacity::OnDemand);
        let learn = |market: &mut Market, offer: &Offer, from: Phase, to: Phase, why: Option<Why>| {
            let mut before = launched(offer);
            before.phase = from;
            let mut after = before.clone();
            (after.phase, after.why) = (to, why);
            market.learn(&before, &after, minutes(0));
        };
        let died = || Some(Why::Died("Client.InternalError".into()));
        for phase in [Phase::Launched, Phase::Running] {
            let mut market = Market::default();
            learn(&mut market, &spot, phase, Phase::Terminating, died());
            assert!(!market.has(&spot, minutes(1)) && market.has(&other, minutes(1)));
            learn(&mut market, &other, phase, Phase::Terminating, died());
            let third = offer("r7g.large", "c", Capacity::Spot);
            assert!(!market.has(&third, minutes(14)) && market.has(&on_demand, minutes(1)));
            assert!(market.has(&third, minutes(15)));
            assert_eq!(market.breaker.failures, 2);

            let mut market = Market::default();
            learn(&mut market, &spot, phase, Phase::Terminating, died());
            learn(&mut market, &other, Phase::Registered, Phase::Ready, None);
            learn(&mut market, &other, phase, Phase::Terminating, died());
            assert!(market.has(&third, minutes(1)), "they were not in a row");
        }
        for (from, why) in [
            (Phase::Registered, died()),
            (Phase::Ready, died()),
            (Phase::Running, Some(Why::TimeOut(Phase::Running))),
            (Phase::Running, Some(Why::Removed)),
        ] {
            let mut market = Market::default();
            learn(&mut market, &spot, from, Phase::Terminating, why);
            assert!(market.has(&spot, minutes(1)), "{from:?}: the offer is not to blame");
        }
    }

    fn launched(offer: &Offer) -> Claim {
        let mut template = Template::bare("uid");
        template.subnets.insert(offer.zone.clone(), "subnet-1".into());
        template.images.insert(Architecture::Arm64, "ami-1".into());
        let data = UserData::new(b"#!/bin/sh\n".to_vec()).unwrap();
        let request = template.request("burst-1", 1, offer, Architecture::Arm64, data, Time(0)).unwrap();
        let mut claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
        claim.launch = Some(Launch::new(offer.clone(), request));
        claim
    }

    #[test]
    fn three_nodes_that_do_not_join_pause_launches_and_one_tries_again() {
        let mut market = Market::default();
        let mut at = 0;
        for _ in 0..2 {
            market.not_joined(minutes(at));
        }
        assert_eq!(market.breaker.at_once(minutes(at)), usize::MAX);
        for pause in [5, 10, 20, 30, 30] {
            market.not_joined(minutes(at));
            assert_eq!(market.breaker.at_once(minutes(at + pause - 1)), 0, "{pause}");
            assert_eq!(market.breaker.at_once(minutes(at + pause)), 1, "{pause}");
            at += pause;
        }
    }
}
