//! Burst: what it needs of the rest.

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, listed},
};

/// Sizes of an EC2 subnet: https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
const SUBNETS: std::ops::RangeInclusive<u8> = 16..=28;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    if !burst.is_wanted() {
        return;
    }
    let keys = [
        ("region", burst.region.is_none()),
        ("subnets", burst.subnets.is_empty()),
        ("max_instances", burst.max_instances.is_none()),
        ("monthly_budget", burst.monthly_budget.is_none()),
    ];
    // A key that is there but was left out for a mistake has been reported.
    let missing = keys.into_iter().filter(|(key, absent)| {
        *absent && document.tree.get(&["burst", key]).is_none_or(|node| node.is_empty())
    });
    let missing: Vec<&str> = missing.map(|(key, _)| key).collect();
    if !missing.is_empty() {
        problems.push(
            Problem::new(
                document.tree.key_at(&["burst"]),
                format!("`burst` lacks {}", listed(missing.iter().copied(), "and")),
            )
            .label("said in part")
            .help("say all of it, so that there are no costs without a limit, or leave `burst` out"),
        );
    }
    for (index, subnet) in burst.subnets.iter().enumerate() {
        if !SUBNETS.contains(&subnet.prefix_len()) {
            problems.push(
                Problem::new(
                    document.tree.at(&["burst", "subnets", &index.to_string()]),
                    format!("the subnet {subnet} has a size that EC2 refuses"),
                )
                .label(format!("neither between /{} and /{}", SUBNETS.start(), SUBNETS.end()))
                .help("a /22 has room for about a thousand instances"),
            );
        }
    }
}
