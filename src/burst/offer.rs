//! What can be rented: a type of instance, in a zone, in a way of paying for it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::inventory::{Architecture, Capacity};

/// US dollars in millionths, so that sums are exact.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Money(pub u64);

impl Money {
    /// A whole number of US dollars.
    pub const fn dollars(dollars: u64) -> Money {
        Money(dollars.saturating_mul(1_000_000))
    }
}

/// `0.0416`: at least four decimals, which is how EC2 writes prices of an hour.
impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let digits = format!("{millionths:06}");
        let kept = digits.trim_end_matches('0').len().max(4);
        write!(formatter, "{dollars}.{}", &digits[..kept])
    }
}

/// A type of EC2 instances, as `DescribeInstanceTypes` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceType {
    /// `m7g.large`
    pub name: String,
    pub architecture: Architecture,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Pods that kubelet will take: with an overlay network its own limit, not EC2's addresses.
    pub max_pods: u32,
}

/// An instance type in a zone, paid for in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub instance_type: String,
    /// An availability zone, such as `eu-central-1a`.
    pub zone: String,
    pub capacity: Capacity,
    /// For an hour.
    pub price: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_ec2_writes_prices() {
        for (money, text) in [
            (Money(41_600), "0.0416"),
            (Money(1_234_567), "1.234567"),
            (Money::dollars(200), "200.0000"),
            (Money(0), "0.0000"),
        ] {
            assert_eq!(money.to_string(), text);
        }
    }
}
