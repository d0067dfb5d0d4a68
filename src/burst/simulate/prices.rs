//! A file of instance types and prices.

use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    burst::{
        offer::{Architecture, Capacity, InstanceType, Money, Offer},
        pack::{Listed, Market, Reserved, Shape},
    },
    yaml,
};

/// Instance types, and what they cost in some zones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The availability zones in which all types are offered.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
    /// Instance types by name.
    #[schemars(extend("minProperties" = 1))]
    pub types: IndexMap<String, Type>,
}

/// An instance type and its price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Type {
    #[serde(default = "amd64")]
    pub architecture: Architecture,
    #[schemars(range(min = 1))]
    pub vcpus: u32,
    #[schemars(range(min = 1))]
    pub memory_mib: u64,
    /// Pods that its kubelet takes.
    #[serde(default = "max_pods")]
    #[schemars(range(min = 1))]
    pub max_pods: u32,
    /// Extended resources, such as `nvidia.com/gpu: 1`.
    #[serde(default)]
    pub extended: IndexMap<String, u64>,
    /// US dollars for an hour on demand. None: not offered that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub on_demand: Option<f64>,
    /// US dollars for an hour as spot. None: not offered that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub spot: Option<f64>,
}

fn amd64() -> Architecture {
    Architecture::Amd64
}

/// kubelet's default.
fn max_pods() -> u32 {
    110
}

/// Reads a file of prices, in YAML or JSON.
///
/// # Errors
/// When it cannot be read, and every mistake in it.
pub fn read(path: &Path) -> Result<Prices, Error> {
    Ok(yaml::read(&yaml::Source::load(path)?)?.value)
}

impl Prices {
    /// As a market. With `spot`, spot offers are among it.
    pub fn market(&self, spot: bool) -> Market {
        let mut market = Market::default();
        for (name, kind) in &self.types {
            let instance = InstanceType {
                name: name.clone(),
                architecture: kind.architecture,
                vcpus: kind.vcpus,
                memory_mib: kind.memory_mib,
                max_pods: kind.max_pods,
            };
            let mut shape = Shape::of(&instance, &Reserved::default());
            shape
                .allocatable
                .extended
                .extend(kind.extended.iter().map(|(name, amount)| (name.clone(), *amount)));
            market.shapes.push(shape);
            let ways = [(Capacity::OnDemand, kind.on_demand), (Capacity::Spot, kind.spot.filter(|_| spot))];
            for zone in &self.zones {
                for (capacity, price) in ways {
                    let Some(price) = price else { continue };
                    let price = Money((price * 1e6).round() as u64);
                    let offer = Offer { instance_type: name.clone(), zone: zone.clone(), capacity, price };
                    market.offers.push(Listed { offer, exhausted: false });
                }
            }
        }
        market
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_prices_becomes_offers_in_every_zone() {
        let text = "zones: [a-1a, a-1b]\ntypes:\n  \
            small: {vcpus: 2, memory_mib: 4096, on_demand: 0.0416, spot: 0.0139}\n  \
            gpu: {vcpus: 4, memory_mib: 16384, on_demand: 0.526, extended: {nvidia.com/gpu: 1}}\n";
        let prices: Prices = yaml::read(&yaml::Source::new("prices.yaml", text)).unwrap().value;
        let market = prices.market(false);
        let offers: Vec<String> = market
            .offers
            .iter()
            .map(|Listed { offer, .. }| format!("{} {} {}", offer.instance_type, offer.zone, offer.price))
            .collect();
        assert_eq!(offers, ["small a-1a 0.0416", "small a-1b 0.0416", "gpu a-1a 0.5260", "gpu a-1b 0.5260"]);
        assert_eq!(market.shapes[1].allocatable.extended["nvidia.com/gpu"], 1);
        assert_eq!(prices.market(true).offers.len(), 6);
    }
}
