//! What workers may cost at most, before one is rented.

use crate::{
    burst::market::disk_price,
    inventory::{Burst, Capacity},
    report::table::Table,
};

/// So many prices are shown.
const SHOWN: usize = 5;

/// The limits, and the prices that the inventory says.
pub fn workers(burst: &Burst) -> String {
    let mut table = Table::new(["WORKERS AT MOST", "", ""]);
    let mut row = |what: &str, number: String, limit: &str| {
        table.row([what.to_owned(), number, format!("burst.{limit}")]);
    };
    let month = burst.monthly_budget.map(|month| format!("{month}.00"));
    row("US dollars a calendar month", month.unwrap_or_else(|| String::from("no limit")), "monthly_budget");
    let hour = burst.hourly_budget.map(|hour| format!("{hour:.4}"));
    row("US dollars an hour", hour.unwrap_or_else(|| String::from("no limit")), "hourly_budget");
    let nodes = burst.max_instances.map(|most| most.to_string());
    row("at the same time", nodes.unwrap_or_else(|| String::from("no limit")), "max_instances");
    row("vCPUs together", burst.max_vcpus.to_string(), "max_vcpus");
    let disk = format!(
        "Each has a disk of {} GiB for {} US dollars an hour, which the limits count.\n",
        burst.disk,
        disk_price(burst.disk)
    );
    format!("{table}{disk}{}\n", prices(burst))
}

/// What the cheapest types cost that the inventory names with a price and allows.
fn prices(burst: &Burst) -> String {
    let instances = &burst.instances;
    let allowed = |name: &str| {
        let family = name.split('.').next().unwrap_or_default();
        match instances.types.is_empty() {
            false => instances.types.iter().any(|it| it == name),
            true => instances.families.is_empty() || instances.families.iter().any(|it| it == family),
        }
    };
    let priced = burst.prices.iter().filter(|(name, _)| allowed(name));
    let mut priced: Vec<(&str, f64)> = priced.map(|(name, price)| (name.as_str(), *price)).collect();
    priced.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut text =
        String::from("By the prices that hold when an instance is launched; AWS' bill is the truth.\n");
    if priced.is_empty() || !burst.capacity.contains(&Capacity::OnDemand) {
        text += "What each type costs is asked of AWS: `hoist burst run --once --dry-run` tells what would be rented.\n";
        return text;
    }
    let mut table = Table::new(["CHEAPEST ON DEMAND", "AN HOUR"]);
    for (name, price) in priced.iter().take(SHOWN) {
        table.row([(*name).to_owned(), format!("{price:.4}")]);
    }
    format!("{text}\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Instances;

    #[test]
    fn the_cheapest_types_that_are_allowed_are_shown_with_their_prices() {
        let prices = [("m7i.large", 0.1197), ("c7i.large", 0.1), ("c7i.xlarge", 0.2), ("t3.nano", 0.005)];
        let prices = prices.map(|(name, price)| (name.to_owned(), price)).into_iter().collect();
        let families = Instances { families: vec!["c7i".into(), "m7i".into()], ..Instances::default() };
        let burst = Burst { prices, instances: families, hourly_budget: Some(1.5), ..Burst::default() };
        let text = workers(&burst);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: Vec<String> =
            text.lines().map(words).filter(|line| line.contains('.') && line.contains("large")).collect();
        assert_eq!(shown, ["c7i.large 0.1000", "m7i.large 0.1197", "c7i.xlarge 0.2000"]);
        assert!(text.contains("1.5000"), "{text}");
        assert!(text.contains("a disk of 30 GiB for 0.00411 US dollars an hour"), "{text}");
        let spot = Burst { capacity: vec![Capacity::Spot], ..burst };
        assert!(workers(&spot).contains("is asked of AWS"));
    }
}
