//! Why there is no place for a pod, in words.

use super::{
    class::Demand,
    fill::Fill,
    model::{Model, fits},
    topology::Topology,
};

/// The first thing that stands in the way of renting a node for this pod.
pub(super) fn why(model: &Model<'_>, topology: &Topology, fill: &Fill<'_, '_>, pod: usize) -> String {
    let (pod, class) = (&model.problem.pods[pod], model.class_of[pod]);
    let market = model.problem.market;
    if let Some(reason) = &pod.stays_home {
        return format!("it can only run on your own machines, and there is no room: {reason}");
    }
    if market.shapes.is_empty() || market.offers.is_empty() {
        return "there is no room on the nodes, and nothing is offered for rent".to_owned();
    }
    for name in pod.requests.extended.keys() {
        if market.shapes.iter().all(|shape| !shape.allocatable.extended.contains_key(name)) {
            return format!("needs {name}, which no offered type has");
        }
    }
    let demand = Demand::of(pod);
    for taint in &market.taints {
        if !taint.tolerated_by(&pod.tolerations) {
            return format!("does not tolerate the taint {taint}, which rented nodes have");
        }
    }
    // What it asks of labels, with exhausted offers, too.
    let labels = |listed: &super::plan::Listed| {
        let shape = market.shapes.iter().find(|shape| shape.name == listed.offer.instance_type)?;
        let mut labels = shape.labels(&listed.offer);
        labels.extend(market.labels.clone());
        Some((shape, labels))
    };
    let all: Vec<_> =
        market.offers.iter().filter_map(|listed| labels(listed).map(|found| (listed, found))).collect();
    let suiting: Vec<_> = all.iter().filter(|(_, (_, labels))| demand.selects(labels)).collect();
    if suiting.is_empty() {
        let asked = pod.selector.iter().map(|(key, value)| format!("{key}={value}"));
        let terms = pod
            .affinity
            .iter()
            .map(|term| term.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "));
        let terms: Vec<String> = terms.collect();
        let affinity = (!terms.is_empty()).then(|| terms.join(", or "));
        let asked: Vec<String> = asked.chain(affinity).collect();
        return format!("asks for a node with {}, which no rented node would be", asked.join(" and "));
    }
    for daemon in market.daemons.iter().filter(|daemon| Demand::of(daemon).tolerates(&market.taints)) {
        let everywhere = suiting.iter().all(|(_, (_, labels))| Demand::of(daemon).selects(labels));
        let port = pod.ports.iter().find(|port| daemon.ports.iter().any(|taken| taken.overlaps(port)));
        if let Some(port) = port.filter(|_| everywhere) {
            let name = daemon.full_name();
            return format!("needs port {port} of its node, which {name} has on every rented one");
        }
    }
    let takes = model.take(class);
    let large = |listed: usize| {
        let number = model.offers.iter().position(|offer| offer.listed == listed);
        number.is_some_and(|number| fits(&vec![0; model.dims], takes, model.room(number)))
    };
    let listed =
        |wanted: &super::plan::Listed| market.offers.iter().position(|listed| std::ptr::eq(listed, wanted));
    let had: Vec<_> = suiting.iter().filter(|(listed, _)| !listed.exhausted).collect();
    let fitting: Vec<usize> =
        had.iter().filter_map(|(offer, _)| listed(offer)).filter(|number| large(*number)).collect();
    if fitting.is_empty() {
        let exhausted: Vec<String> = suiting
            .iter()
            .filter(|(listed, (shape, _))| {
                let room = &shape.allocatable;
                listed.exhausted
                    && room.milli_cpu >= pod.requests.milli_cpu
                    && room.memory >= pod.requests.memory
                    && room.storage >= pod.requests.storage
            })
            .map(|(listed, _)| format!("{} in {}", listed.offer.instance_type, listed.offer.zone))
            .collect();
        if let Some(first) = exhausted.first() {
            let others = exhausted.len() - 1;
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            return format!("there is no capacity now of what would hold it: {first}{more}");
        }
        return format!("asks for {}, more than any offered type has that suits it", pod.requests);
    }
    limit_or_peers(model, topology, fill, class, &fitting)
}

fn limit_or_peers(
    model: &Model<'_>,
    topology: &Topology,
    fill: &Fill<'_, '_>,
    class: usize,
    fitting: &[usize],
) -> String {
    let limits = &model.problem.limits;
    let offers = || model.offers.iter().filter(|offer| fitting.contains(&offer.listed));
    if let Some(limit) = limits.nodes
        && fill.bill.nodes >= u64::from(limit)
    {
        return format!("the limit of {limit} rented nodes is reached");
    }
    if let Some(limit) = limits.vcpus
        && offers().all(|offer| fill.bill.vcpus + u64::from(offer.vcpus) > u64::from(limit))
    {
        return format!("a node for it would go over the limit of {limit} vCPUs");
    }
    if let Some((most, name)) = limits.hour()
        && offers().all(|offer| fill.bill.price + offer.price > most.0)
    {
        return format!(
            "a node for it would go over {name}: {most} dollars are left for an hour of all nodes"
        );
    }
    if offers().all(|offer| !fill.bill.allows(model, 1, u64::from(offer.vcpus), offer.price)) {
        return "a node for it would go over the limits of vCPUs and of cost together".to_owned();
    }
    let kind = &model.classes[class];
    let on_a_new_node = |venue: usize| topology.admits(model, class, model.row_venue.len(), venue);
    let near: Vec<&str> = kind.near.iter().map(|group| model.groups[*group].key).collect();
    if !near.is_empty() && !offers().any(|offer| on_a_new_node(offer.venue)) {
        return format!(
            "must be near other pods (by {}), and there are none where nodes can be rented",
            near.join(", ")
        );
    }
    let spread = kind.spread.iter().map(|constraint| model.groups[constraint.group].key);
    let apart = kind.apart.iter().map(|group| model.groups[*group].key);
    let keys: Vec<&str> = spread.chain(apart).collect();
    if keys.is_empty() {
        return "other pods keep it away from where nodes can be rented".to_owned();
    }
    format!("must be spread or kept apart by {}, and no domain is left for it", keys.join(", "))
}
