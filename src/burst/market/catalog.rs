//! What was last known of types and prices, asked for again when it is old.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Market, Told, admits};
use crate::{
    burst::{
        cloud::CloudError,
        gateway::disk_gib,
        offer::{Capacity, InstanceType, Money, Offer},
        time::Time,
    },
    inventory::Burst,
};

/// Types, zones and prices on demand change by the month.
const HOURLY: Duration = Duration::from_secs(3600);
/// Spot prices move by the hour.
const SPOT: Duration = Duration::from_secs(600);
/// What was refused, or not answered, is asked for again.
const AGAIN: Duration = Duration::from_secs(60);

/// A gp3 volume, in US dollars a GiB and month. More than AWS asks in most regions: a budget errs on the safe side.
const GP3: f64 = 0.10;
/// Of a month, as AWS counts where it asks by the month.
const HOURS: f64 = 730.0;

/// What an hour of a disk costs.
pub fn disk_price(gib: u32) -> Money {
    dollars_of(f64::from(gib) * GP3 / HOURS)
}

/// What can be rented.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// By name.
    pub types: BTreeMap<String, InstanceType>,
    pub offers: Vec<Offer>,
    /// What an hour of the gateway and its disk costs, where there shall be one and its price is known.
    pub gateway: Option<Money>,
    /// What the inventory allows or names and is not offered, and why.
    pub remarks: Vec<String>,
}

/// Something that AWS is asked for now and then.
#[derive(Debug, Clone)]
struct Kept<T> {
    value: T,
    /// When it was last asked for, and whether it was answered.
    asked: Option<(Time, bool)>,
}

impl<T: Default> Default for Kept<T> {
    fn default() -> Self {
        Kept { value: T::default(), asked: None }
    }
}

impl<T> Kept<T> {
    fn is_old(&self, lasts: Duration, now: Time) -> bool {
        self.asked.is_none_or(|(asked, answered)| {
            // A clock that was set back asks anew.
            now < asked || now.since(asked) >= if answered { lasts } else { AGAIN }
        })
    }

    /// Keeps an answer; what was known stays where there is none.
    fn take_in(&mut self, answer: Result<T, CloudError>, now: Time, troubles: &mut Vec<String>) {
        self.asked = Some((now, answer.is_ok()));
        match answer {
            Ok(value) => self.value = value,
            Err(error) => troubles.push(error.to_string()),
        }
    }
}

/// What was last known.
#[derive(Default)]
pub struct Catalog {
    types: Kept<Vec<Told>>,
    zones: Kept<BTreeSet<(String, String)>>,
    spot: Kept<BTreeMap<(String, String), Money>>,
    on_demand: Kept<BTreeMap<String, Money>>,
}

impl Catalog {
    /// Whether there is anything to ask for.
    pub fn is_old(&self, burst: &Burst, now: Time) -> bool {
        self.types.is_old(HOURLY, now)
            || self.zones.is_old(HOURLY, now)
            || wants_spot(burst) && self.spot.is_old(SPOT, now)
            || wants_list(burst) && self.on_demand.is_old(HOURLY, now)
    }

    /// Asks for what is old. What AWS does not answer, or refuses, stays as it was; says what that was.
    pub async fn refresh(&mut self, market: &dyn Market, burst: &Burst, now: Time) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.types.is_old(HOURLY, now) {
            self.types.take_in(market.types().await, now, &mut troubles);
        }
        if self.zones.is_old(HOURLY, now) {
            self.zones.take_in(market.zones().await, now, &mut troubles);
        }
        if wants_spot(burst) && self.spot.is_old(SPOT, now) {
            self.spot.take_in(market.spot().await, now, &mut troubles);
        }
        if wants_list(burst) && self.on_demand.is_old(HOURLY, now) {
            self.on_demand.take_in(market.on_demand().await, now, &mut troubles);
        }
        troubles
    }

    /// What can be rented in these zones. A type without a price is not offered: its cost would have no limit.
    pub fn offered(&self, burst: &Burst, zones: &[String]) -> Offered {
        let admitted = self.types.value.iter().filter(|told| admits(&burst.instances, told));
        let said: BTreeMap<&str, Money> =
            burst.prices.iter().map(|(name, dollars)| (name.as_str(), dollars_of(*dollars))).collect();
        let on_demand = |name: &str| match burst.prices.is_empty() {
            true => self.on_demand.value.get(name).copied(),
            false => said.get(name).copied(),
        };
        let with_disk = |price: Money, gib: u32| Money(price.0.saturating_add(disk_price(gib).0));
        let gateway = Some(&burst.gateway_type).filter(|_| burst.has_gateway());
        let gateway = gateway.and_then(|name| on_demand(name)).map(|price| with_disk(price, disk_gib(burst)));
        let (mut offered, mut priceless) = (Offered { gateway, ..Offered::default() }, BTreeSet::new());
        for told in admitted {
            let Some(kind) = &told.kind else { continue };
            offered.types.insert(told.name.clone(), kind.clone());
            for zone in
                zones.iter().filter(|zone| self.zones.value.contains(&(told.name.clone(), (*zone).clone())))
            {
                for capacity in burst.capacity.iter().filter(|it| told.capacity.contains(it)) {
                    let price = match capacity {
                        Capacity::Spot => self.spot.value.get(&(told.name.clone(), zone.clone())).copied(),
                        Capacity::OnDemand => on_demand(&told.name),
                    };
                    let Some(price) = price.filter(|price| price.0 > 0) else {
                        priceless.insert((*capacity, told.name.as_str()));
                        continue;
                    };
                    let price = with_disk(price, burst.disk);
                    let (instance_type, zone, capacity) = (told.name.clone(), zone.clone(), *capacity);
                    offered.offers.push(Offer { instance_type, zone, capacity, price });
                }
            }
        }
        offered.remarks = self.remarks(burst, &offered, &priceless);
        offered
    }

    fn remarks(
        &self,
        burst: &Burst,
        offered: &Offered,
        priceless: &BTreeSet<(Capacity, &str)>,
    ) -> Vec<String> {
        let mut remarks = Vec::new();
        for (capacity, words) in [(Capacity::Spot, "as spot"), (Capacity::OnDemand, "on demand")] {
            let names: Vec<&str> =
                priceless.iter().filter(|(it, _)| *it == capacity).map(|(_, name)| *name).collect();
            if !names.is_empty() {
                remarks.push(format!(
                    "not offered {words}, because AWS and `burst.prices` tell no price: {}",
                    some(&names)
                ));
            }
        }
        // Before EC2 has told anything, nothing can be said of it.
        if !self.types.value.is_empty() {
            let named = burst.instances.types.iter();
            let missing: Vec<&str> =
                named.filter(|name| !offered.types.contains_key(*name)).map(String::as_str).collect();
            if !missing.is_empty() {
                remarks.push(format!(
                    "`burst.instances.types` names what this region does not have, or images do not boot on: {}",
                    some(&missing)
                ));
            }
            if offered.types.is_empty() {
                remarks.push("`burst.instances` allows no type that this region has".to_owned());
            }
        }
        let is_known = self.on_demand.asked.is_some() || !burst.prices.is_empty();
        if burst.has_gateway() && is_known && offered.gateway.is_none() {
            let name = &burst.gateway_type;
            remarks.push(format!(
                "AWS and `burst.prices` tell no price of the gateway, a {name}: no limit counts it"
            ));
        }
        remarks
    }
}

fn wants_spot(burst: &Burst) -> bool {
    burst.capacity.contains(&Capacity::Spot)
}

/// The inventory's prices stand in for the list, where a company does not let anybody read it.
fn wants_list(burst: &Burst) -> bool {
    (burst.capacity.contains(&Capacity::OnDemand) || burst.has_gateway()) && burst.prices.is_empty()
}

/// The first few.
fn some(names: &[&str]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let told = names.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { told } else { format!("{told} and {more} more") }
}

/// Rounded up to a millionth.
pub fn dollars_of(dollars: f64) -> Money {
    // What does not fit is too dear for every limit.
    Money((dollars.max(0.0) * 1e6).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::burst::{cloud::Order, market::admit::tests::told};

    const ZONE: &str = "eu-central-1a";

    /// AWS with two types; what it is asked, and whether it answers.
    #[derive(Default)]
    struct Aws {
        asked: Mutex<Vec<&'static str>>,
        denied: Mutex<Vec<&'static str>>,
    }

    impl Aws {
        fn answer<T>(&self, what: &'static str, order: Order, value: T) -> Result<T, CloudError> {
            self.asked.lock().unwrap().push(what);
            match self.denied.lock().unwrap().contains(&what) {
                true => Err(CloudError::answered(order, 403, "AccessDeniedException", "no")),
                false => Ok(value),
            }
        }

        fn was_asked(&self) -> String {
            std::mem::take(&mut *self.asked.lock().unwrap()).join(" ")
        }
    }

    #[async_trait]
    impl Market for Aws {
        async fn types(&self) -> Result<Vec<Told>, CloudError> {
            self.answer(
                "types",
                Order::DescribeInstanceTypes,
                ["m7i.large", "c7i.large"].map(|name| told(name, 2, 8)).into(),
            )
        }

        async fn zones(&self) -> Result<BTreeSet<(String, String)>, CloudError> {
            let zones = ["m7i.large", "c7i.large"].map(|name| (name.to_owned(), ZONE.to_owned()));
            self.answer("zones", Order::DescribeInstanceTypeOfferings, zones.into())
        }

        async fn spot(&self) -> Result<BTreeMap<(String, String), Money>, CloudError> {
            let prices = [(("m7i.large".to_owned(), ZONE.to_owned()), Money(40_000))];
            self.answer("spot", Order::DescribeSpotPriceHistory, prices.into())
        }

        async fn on_demand(&self) -> Result<BTreeMap<String, Money>, CloudError> {
            let prices = [("m7i.large".to_owned(), Money(120_000))];
            self.answer("list", Order::GetProducts, prices.into())
        }
    }

    fn offers(catalog: &Catalog, burst: &Burst) -> Vec<String> {
        let offered = catalog.offered(burst, &[ZONE.to_owned(), "eu-central-1b".to_owned()]);
        let told = |it: &Offer| format!("{} {} {:?} {}", it.instance_type, it.zone, it.capacity, it.price);
        offered.offers.iter().map(told).collect()
    }

    #[tokio::test]
    async fn what_is_old_is_asked_for_and_what_is_not_answered_stays() {
        let (aws, mut catalog, burst) = (Aws::default(), Catalog::default(), Burst::default());
        let minute = |minutes: u64| Time(1_000_000 + minutes * 60_000);
        assert_eq!(catalog.refresh(&aws, &burst, minute(0)).await, [""; 0]);
        assert_eq!(aws.was_asked(), "types zones spot list");
        let known = offers(&catalog, &burst);
        assert_eq!(
            known,
            ["m7i.large eu-central-1a Spot 0.04411", "m7i.large eu-central-1a OnDemand 0.12411"],
            "with 30 GiB; neither in a zone where it is not, nor without a price"
        );
        let remarks = catalog.offered(&burst, &[ZONE.to_owned()]).remarks;
        assert_eq!(remarks.len(), 2);
        assert!(remarks[0].ends_with("tell no price: c7i.large"), "{remarks:?}");

        catalog.refresh(&aws, &burst, minute(9)).await;
        assert_eq!(aws.was_asked(), "");
        catalog.refresh(&aws, &burst, minute(10)).await;
        assert_eq!(aws.was_asked(), "spot");
        *aws.denied.lock().unwrap() = vec!["types", "list"];
        let troubles = catalog.refresh(&aws, &burst, minute(60)).await;
        assert_eq!(aws.was_asked(), "types zones spot list");
        assert!(troubles[1].starts_with("AWS' price list refused GetProducts"), "{troubles:?}");
        assert_eq!(offers(&catalog, &burst), known, "what was known stays");
        aws.denied.lock().unwrap().clear();
        catalog.refresh(&aws, &burst, minute(61)).await;
        assert_eq!(aws.was_asked(), "types list", "a minute later again");
    }

    #[tokio::test]
    async fn prices_of_the_inventory_stand_in_for_the_list() {
        let (aws, mut catalog) = (Aws::default(), Catalog::default());
        let mut burst = Burst { capacity: vec![Capacity::OnDemand], ..Burst::default() };
        burst.prices.insert("c7i.large".into(), 0.0969);
        catalog.refresh(&aws, &burst, Time(0)).await;
        assert_eq!(aws.was_asked(), "types zones");
        assert_eq!(offers(&catalog, &burst), ["c7i.large eu-central-1a OnDemand 0.10101"]);
        burst.instances.types = vec!["c7i.large".into(), "t9.large".into()];
        let remarks = catalog.offered(&burst, &[ZONE.to_owned()]).remarks;
        assert!(remarks[0].ends_with("do not boot on: t9.large"), "{remarks:?}");
    }

    #[tokio::test]
    async fn the_gateways_price_is_known_or_it_is_told_that_no_limit_counts_it() {
        let (aws, mut catalog) = (Aws::default(), Catalog::default());
        let mut burst = Burst {
            region: Some("eu-central-1".into()),
            subnets: vec!["172.16.0.0/22".parse().unwrap()],
            capacity: vec![Capacity::Spot],
            gateway_type: "m7i.large".into(),
            ..Burst::default()
        };
        assert_eq!(catalog.offered(&burst, &[]).remarks, [""; 0], "AWS was not asked yet");
        catalog.refresh(&aws, &burst, Time(0)).await;
        assert_eq!(aws.was_asked(), "types zones spot list", "the gateway is rented on demand");
        assert_eq!(catalog.offered(&burst, &[]).gateway, Some(Money(121_096)), "with its disk");
        burst.gateway_type = "t4g.nano".into();
        let offered = catalog.offered(&burst, &[]);
        let untold = |remark: &String| remark.contains("no price of the gateway, a t4g.nano");
        assert!(offered.gateway.is_none() && offered.remarks.iter().any(untold), "{:?}", offered.remarks);
        burst.prices.insert("t4g.nano".into(), 0.0048);
        assert_eq!(catalog.offered(&burst, &[]).gateway, Some(Money(5_896)));
        burst.image.arm64 = Some("ami-1".into());
        assert_eq!(catalog.offered(&burst, &[]).gateway, Some(Money(4_800 + disk_price(burst.disk).0)));
        burst.connection = crate::inventory::Connection::Routed;
        assert_eq!(catalog.offered(&burst, &[]).gateway, None);
    }
}
