//! What the inventory comes to for the controller.

use std::{collections::BTreeMap, time::Duration};

use miette::Diagnostic;

use crate::{
    burst::{
        claim::Limits,
        cloud::Template,
        controller::{Batch, Caps, Policy, Settings},
        demand::Rules,
        market::dollars_of,
        network,
        offer::Money,
    },
    inventory::Burst,
};

/// What keeps the controller from beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum Missing {
    #[error("the inventory asks for no workers in EC2")]
    #[diagnostic(help(
        "say `region`, `subnets` and the limits in `burst`: inventory/burst.yaml is a sample"
    ))]
    NotWanted,
    #[error("there is no network for workers in EC2")]
    #[diagnostic(help("`hoist burst up` makes it; or name what is there in `burst.existing`"))]
    Network,
}

/// The availability zones of the subnets, in their order.
pub fn zones(burst: &Burst) -> Vec<String> {
    let region = burst.region.as_deref().unwrap_or_default();
    network::zones(region, &burst.zones, burst.subnets.len())
}

/// What decisions go by.
///
/// # Errors
/// [`Missing::NotWanted`]: the limits are not said.
pub fn rules(burst: &Burst) -> Result<Rules, Missing> {
    let (Some(nodes), Some(month)) = (burst.max_instances, burst.monthly_budget) else {
        return Err(Missing::NotWanted);
    };
    if burst.region.is_none() || burst.subnets.is_empty() {
        return Err(Missing::NotWanted);
    }
    let caps = Caps {
        nodes,
        vcpus: burst.max_vcpus,
        hourly: burst.hourly_budget.map(dollars_of),
        monthly: Some(Money::dollars(u64::from(month))),
    };
    Ok(Rules { burst: burst.clone(), caps })
}

/// What the controller goes by. `key_id` tells credentials from others; types come later, when AWS has told them.
pub fn settings(rules: &Rules, template: Template, key_id: &str) -> Settings {
    let burst = &rules.burst;
    let policy = Policy {
        empty: Duration::from_secs(60 * u64::from(burst.idle_minutes)),
        maximum_life: Duration::from_secs(3600 * u64::from(burst.lifetime_hours)),
        ..Policy::default()
    };
    Settings {
        configuration: format!("{} {key_id}", template.digest()),
        template,
        limits: Limits::default(),
        policy,
        caps: rules.caps,
        batch: Batch::default(),
        types: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    fn burst(more: &str) -> Burst {
        let sample = include_str!("../../../inventory/burst.yaml");
        parse("burst.yaml", &format!("{sample}\n{more}")).unwrap().inventory.burst
    }

    #[test]
    fn the_limits_of_the_inventory_hold_and_none_is_missing() {
        let rules = rules(&burst("  hourly_budget: 1.5\n  max_vcpus: 48\n")).unwrap();
        let expected =
            Caps { nodes: 10, vcpus: 48, hourly: Some(Money(1_500_000)), monthly: Some(Money::dollars(200)) };
        assert_eq!(rules.caps, expected);
        for unsaid in [
            Burst::default(),
            Burst { monthly_budget: None, ..burst("") },
            Burst { max_instances: None, ..burst("") },
        ] {
            assert_eq!(super::rules(&unsaid).err(), Some(Missing::NotWanted));
        }
    }

    #[test]
    fn other_credentials_or_another_network_may_cure_a_refusal() {
        let rules = rules(&burst("  idle_minutes: 7\n  lifetime_hours: 12\n")).unwrap();
        let with = |group: &str, key: &str| {
            let groups = vec![group.to_owned()];
            settings(&rules, Template { security_groups: groups, ..Template::bare("8c1f") }, key)
        };
        let first = with("sg-1", "AKIA1");
        assert_eq!(first.configuration, with("sg-1", "AKIA1").configuration);
        assert_ne!(first.configuration, with("sg-1", "AKIA2").configuration);
        assert_ne!(first.configuration, with("sg-2", "AKIA1").configuration);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!((first.policy.empty, first.policy.maximum_life), (minutes(7), minutes(12 * 60)));
    }
}
