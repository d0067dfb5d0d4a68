//! In which order claims are driven. Pure.

use crate::burst::claim::{Claim, Phase};

/// The claims' indices: first nodes that take pods and may have a notice, for they wait for nothing; last launches, each of
/// which may take half a minute. Of these the one that EC2 was asked for longest ago comes first, so that all have their turn.
pub fn order(claims: &[&Claim]) -> Vec<usize> {
    let key = |index: &usize| {
        let claim = claims[*index];
        match claim.phase {
            Phase::Ready | Phase::Draining => (0, None),
            Phase::Planned | Phase::Launching => (2, claim.launch.as_ref().and_then(|launch| launch.asked)),
            _ => (1, None),
        }
    };
    let mut indices: Vec<usize> = (0..claims.len()).collect();
    indices.sort_by_key(key);
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        claim::Launch,
        cloud::{Template, UserData},
        offer::{Architecture, Capacity, Money, Offer},
        time::Time,
    };

    fn claim(phase: Phase, asked: Option<u64>) -> Claim {
        let mut template = Template::bare("uid");
        template.subnets.insert("a".into(), "subnet-1".into());
        template.images.insert(Architecture::Arm64, "ami-1".into());
        let (instance_type, zone) = ("m7g.large".to_owned(), "a".to_owned());
        let offer = Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(1) };
        let data = UserData::new(Vec::new()).unwrap();
        let request = template.request("burst-1", 1, &offer, Architecture::Arm64, data, Time(0)).unwrap();
        let mut claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
        claim.phase = phase;
        claim.launch = Some(Launch { asked: asked.map(Time), ..Launch::new(offer, request) });
        claim
    }

    #[test]
    fn what_waits_for_nothing_comes_first_and_launches_last_the_longest_unasked_before_others() {
        let claims = [
            claim(Phase::Launching, Some(9)),
            claim(Phase::Launching, Some(5)),
            claim(Phase::Planned, None),
            claim(Phase::Running, Some(1)),
            claim(Phase::Ready, Some(8)),
            claim(Phase::Terminating, Some(2)),
            claim(Phase::Draining, Some(7)),
        ];
        assert_eq!(order(&claims.iter().collect::<Vec<_>>()), [4, 6, 3, 5, 2, 1, 0]);
    }
}
