//! What burst may take at most.

use std::{collections::BTreeMap, time::Duration};

use crate::burst::{
    claim::Claim,
    offer::{InstanceType, Money, Offer},
};

/// Hours, as AWS reckons a month.
pub const MONTH: u64 = 730;

/// How long before the money of the month is spent nodes begin to go: a drain takes half an hour at most, and then EC2 takes
/// some minutes to end an instance. What EC2 does not end in that time costs more than the cap.
pub const ENDING: Duration = Duration::from_secs(35 * 60);

/// Upper bounds over all claims together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    pub nodes: u32,
    pub vcpus: u32,
    /// For an hour of everything that runs.
    pub hourly: Option<Money>,
    /// For a calendar month in UTC. A hard stop: all nodes are drained and given back in time for it, see [`ENDING`].
    pub monthly: Option<Money>,
}

impl Default for Caps {
    fn default() -> Self {
        Self { nodes: 10, vcpus: 32, hourly: None, monthly: None }
    }
}

impl Caps {
    /// What is left when something beside the claims costs this much an hour, all the time: it is set aside for a whole
    /// month, so that a cap errs on the cheap side.
    #[must_use]
    pub fn beside(self, hourly: Money) -> Caps {
        let less = |cap: Money, by: u64| Money(cap.0.saturating_sub(by));
        Caps {
            hourly: self.hourly.map(|cap| less(cap, hourly.0)),
            monthly: self.monthly.map(|cap| less(cap, hourly.0.saturating_mul(MONTH))),
            ..self
        }
    }

    /// Whether this offer may be added to these claims, when so much of the month's money is spent: an hour of everything
    /// has to be left. A claim that ends counts until EC2 says that it is gone, for until then it costs.
    pub fn allow(
        &self,
        offer: &Offer,
        open: &[&Claim],
        spent: Money,
        types: &BTreeMap<String, InstanceType>,
    ) -> bool {
        let open = costing(open);
        let vcpus = |offer: &Offer| types.get(&offer.instance_type).map(|it| it.vcpus);
        // A type whose size is not known counts as too large.
        let Some(new) = vcpus(offer) else { return false };
        // What runs and is not offered any more fills the cap: nobody knows how large it is.
        let taken =
            open.iter().fold(0, |sum: u32, offer| sum.saturating_add(vcpus(offer).unwrap_or(self.vcpus)));
        let price = open.iter().fold(offer.price.0, |sum, offer| sum.saturating_add(offer.price.0));
        open.len() < self.nodes as usize
            && taken.saturating_add(new) <= self.vcpus
            && self.hourly.is_none_or(|cap| price <= cap.0)
            && self.monthly.is_none_or(|cap| spent.0.saturating_add(price) <= cap.0)
    }

    /// Whether the money of the month is spent, when so much is spent and these claims take until [`ENDING`] is over to end.
    pub fn is_spent(&self, spent: Money, open: &[&Claim]) -> bool {
        let hour = costing(open).into_iter().fold(0, |sum: u64, offer| sum.saturating_add(offer.price.0));
        let ending = hour.saturating_mul(ENDING.as_secs()).div_ceil(3600);
        self.monthly.is_some_and(|cap| spent.0.saturating_add(ending) >= cap.0)
    }
}

fn costing<'a>(open: &[&'a Claim]) -> Vec<&'a Offer> {
    open.iter().filter(|claim| claim.may_cost()).filter_map(|claim| claim.offer()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        claim::Phase,
        offer::{Architecture, Capacity},
        time::Time,
    };

    fn offer(price: u64) -> Offer {
        let (instance_type, zone) = ("m7g.large".to_owned(), "a".to_owned());
        Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(price) }
    }

    fn claims(count: usize) -> Vec<Claim> {
        (0..count).map(|n| Claim::new(format!("burst-{n}"), vec![offer(40)], vec![], Time(0))).collect()
    }

    fn allow(caps: Caps, claims: &[Claim]) -> bool {
        let large = InstanceType {
            name: "m7g.large".into(),
            architecture: Architecture::Arm64,
            vcpus: 2,
            memory_mib: 8192,
            max_pods: 110,
        };
        let types = [("m7g.large".to_owned(), large)].into();
        caps.allow(&offer(40), &claims.iter().collect::<Vec<_>>(), Money(0), &types)
    }

    #[test]
    fn each_cap_holds_by_itself() {
        let none = Caps { nodes: 99, vcpus: 99, hourly: None, monthly: None };
        assert!(allow(none, &claims(9)));
        assert!(allow(Caps { nodes: 3, ..none }, &claims(2)));
        assert!(!allow(Caps { nodes: 3, ..none }, &claims(3)));
        assert!(allow(Caps { vcpus: 6, ..none }, &claims(2)));
        assert!(!allow(Caps { vcpus: 7, ..none }, &claims(3)));
        assert!(allow(Caps { hourly: Some(Money(120)), ..none }, &claims(2)));
        assert!(!allow(Caps { hourly: Some(Money(119)), ..none }, &claims(2)));
        let monthly = Caps { monthly: Some(Money(10)), ..none };
        let spent = |caps: Caps, sum: u64| caps.is_spent(Money(sum), &[]);
        assert!(spent(monthly, 10) && !spent(monthly, 9) && !spent(none, u64::MAX));
    }

    #[test]
    fn the_months_cap_leaves_an_hour_for_what_comes_and_the_time_to_end_for_what_is_there() {
        let caps = Caps { nodes: 99, vcpus: 99, hourly: None, monthly: Some(Money(1000)) };
        let large = || InstanceType {
            name: "m7g.large".into(),
            architecture: Architecture::Arm64,
            vcpus: 2,
            memory_mib: 8192,
            max_pods: 110,
        };
        let mut three = claims(3);
        three.iter_mut().for_each(|claim| claim.phase = Phase::Ready);
        let open: Vec<&Claim> = three.iter().collect();
        let allow = |spent: u64| {
            caps.allow(&offer(40), &open, Money(spent), &[("m7g.large".to_owned(), large())].into())
        };
        assert!(allow(840) && !allow(841), "four at 40 an hour");
        // Three at 40 for 35 minutes are 70.
        assert!(caps.is_spent(Money(930), &open) && !caps.is_spent(Money(929), &open));
    }

    #[test]
    fn what_stands_beside_the_claims_is_set_aside() {
        let caps = Caps { hourly: Some(Money(124)), monthly: Some(Money(7_400)), ..Caps::default() };
        let left = caps.beside(Money(4));
        assert_eq!((left.hourly, left.monthly), (Some(Money(120)), Some(Money(4_480))));
        assert!(allow(left, &claims(2)) && !allow(caps.beside(Money(5)), &claims(2)));
        assert!(!left.is_spent(Money(4_479), &[]) && left.is_spent(Money(4_480), &[]));
        assert_eq!(caps.beside(Money(11)).monthly, Some(Money(0)), "nothing is left to rent for");
        let none = Caps { hourly: None, monthly: None, ..caps };
        assert_eq!(none.beside(Money(4)), none);
    }

    #[test]
    fn what_ends_counts_until_it_is_gone_and_what_was_never_launched_does_not() {
        let caps = Caps { nodes: 1, vcpus: 99, hourly: None, monthly: None };
        let mut ending = claims(1);
        ending[0].phase = Phase::Terminating;
        ending[0].former.insert("i-1".into());
        assert!(!allow(caps, &ending));
        ending[0].former.clear();
        assert!(allow(caps, &ending));
    }

    #[test]
    fn what_runs_and_is_not_offered_any_more_fills_the_cap() {
        let mut former = claims(1);
        former[0].offers[0].instance_type = "m5.2xlarge".into();
        let caps = Caps { nodes: 99, vcpus: 99, hourly: None, monthly: None };
        assert!(!allow(caps, &former));
    }

    #[test]
    fn a_type_of_unknown_size_is_not_taken() {
        assert!(!Caps::default().allow(&offer(1), &[], Money(0), &BTreeMap::new()));
    }
}
