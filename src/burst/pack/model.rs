//! The problem in numbers: what the packer counts with.

use std::{cmp::Reverse, collections::HashMap};

use super::{
    bits::Bits,
    class::{Class, Classes, Demand, Group, Interned},
    node::Origin,
    plan::Problem,
    pod::HOSTNAME,
    resources::Resources,
};

/// Where a node lacks the label that domains are made of.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Processor, memory, ephemeral storage, pods; extended resources follow.
const FIXED: usize = 4;
pub(super) const PODS: usize = 3;

/// The problem in numbers. Rows are the problem's nodes; offers are those that can be had, cheapest first.
pub(super) struct Model<'a> {
    pub problem: Problem<'a>,
    /// How many resources there are.
    pub dims: usize,
    pub extended: Vec<&'a str>,
    /// For each row what is free, and for each class what one pod takes.
    pub free: Vec<u64>,
    pub takes: Vec<u64>,
    pub classes: Vec<Class<'a>>,
    pub groups: Vec<Group<'a>>,
    /// For each group, of which key it is; `None` is the node itself.
    pub group_key: Vec<Option<usize>>,
    /// The class of each pending pod.
    pub class_of: Vec<usize>,
    /// Row and class of each running pod.
    pub running: Vec<(usize, usize)>,
    pub demands: Vec<Accepted>,
    pub offers: Vec<Rentable>,
    /// For each offer what pods can have of it when its daemons run.
    pub capacity: Vec<u64>,
    /// Places that differ in a label that domains are made of: the domain for each key.
    pub venues: Vec<Vec<u32>>,
    /// How many domains each key has.
    pub domains: Vec<usize>,
    pub row_venue: Vec<usize>,
    /// Offers of each venue, cheapest first.
    pub by_venue: Vec<Vec<usize>>,
}

/// An offer that can be had.
pub(super) struct Rentable {
    /// Of the market's offers.
    pub listed: usize,
    pub venue: usize,
    /// Millionths of a dollar for an hour.
    pub price: u64,
    pub vcpus: u32,
}

/// What a demand comes to.
pub(super) struct Accepted {
    pub rows: Vec<bool>,
    /// Rows that selector and affinity allow, whatever their taints: their domains count for spread.
    pub selected: Vec<bool>,
    pub offers: Bits,
}

impl<'a> Model<'a> {
    pub fn new(problem: Problem<'a>) -> Model<'a> {
        let mut classes = Classes::default();
        let class_of: Vec<usize> = problem.pods.iter().map(|pod| classes.number(pod)).collect();
        let rows = problem.nodes.iter().enumerate();
        let pods = rows.flat_map(|(row, node)| node.pods.iter().map(move |pod| (row, pod)));
        let running: Vec<(usize, usize)> = pods.map(|(row, pod)| (row, classes.number(pod))).collect();
        classes.count();
        let mut extended = Interned::default();
        for pod in problem.pods {
            for name in pod.requests.extended.keys() {
                extended.number(name.as_str());
            }
        }
        let Classes { list: classes, groups, demands, .. } = classes;
        let (groups, extended) = (groups.list, extended.list);
        let mut keys = Interned::default();
        let group_key =
            groups.iter().map(|group| (group.key != HOSTNAME).then(|| keys.number(group.key))).collect();
        let mut model = Model {
            problem,
            dims: FIXED + extended.len(),
            extended,
            free: Vec::new(),
            takes: Vec::new(),
            classes,
            groups,
            group_key,
            class_of,
            running,
            demands: Vec::new(),
            offers: Vec::new(),
            capacity: Vec::new(),
            venues: Vec::new(),
            domains: Vec::new(),
            row_venue: Vec::new(),
            by_venue: Vec::new(),
        };
        model.takes = model.classes.iter().flat_map(|class| model.vector(&class.pod.requests, 1)).collect();
        model.fill_rows();
        model.list_offers(&demands.list, &keys.list);
        model
    }

    /// Resources as numbers.
    fn vector(&self, resources: &Resources, pods: u64) -> Vec<u64> {
        let fixed = [resources.milli_cpu, resources.memory, resources.storage, pods];
        let more = self.extended.iter().map(|name| resources.extended.get(*name).copied().unwrap_or(0));
        fixed.into_iter().chain(more).collect()
    }

    fn fill_rows(&mut self) {
        for node in self.problem.nodes {
            let mut used = Resources::default();
            let mut pods = node.pods.len() as u64;
            node.pods.iter().for_each(|pod| used += &pod.requests);
            if let Origin::Rented { in_flight: true, .. } = node.origin
                && node.pods.is_empty()
            {
                // Its daemons are still to come.
                for daemon in &self.problem.market.daemons {
                    // They use folders of their host, whichever that is.
                    let demand = Demand::of(daemon);
                    if demand.selects(&node.labels) && demand.tolerates(&node.taints) {
                        used += &daemon.requests;
                        pods += 1;
                    }
                }
            }
            let all = self.vector(&node.allocatable, u64::from(node.max_pods));
            let used = self.vector(&used, pods);
            self.free.extend(all.iter().zip(&used).map(|(all, used)| all.saturating_sub(*used)));
        }
    }

    fn list_offers(&mut self, demands: &[Demand<'a>], keys: &[&'a str]) {
        let market = self.problem.market;
        let shapes: HashMap<&str, usize> =
            market.shapes.iter().enumerate().map(|(number, shape)| (shape.name.as_str(), number)).collect();
        let known = market.offers.iter().enumerate().filter(|(_, listed)| !listed.exhausted);
        let mut known: Vec<(usize, usize)> = known
            .filter_map(|(number, listed)| Some((number, *shapes.get(listed.offer.instance_type.as_str())?)))
            .collect();
        // The cheapest first; of equals the larger.
        known.sort_by_key(|(number, shape)| {
            let room = &market.shapes[*shape].allocatable;
            (market.offers[*number].offer.price, Reverse((room.milli_cpu, room.memory)), *number)
        });

        let mut domains: Vec<Interned<String>> = keys.iter().map(|_| Interned::default()).collect();
        let mut venues = Interned::default();
        let mut venue = |labels: &std::collections::BTreeMap<String, String>| {
            let of = |(key, domains): (&&str, &mut Interned<String>)| match labels.get(*key) {
                Some(value) => domains.number(value.clone()) as u32,
                None => NOWHERE,
            };
            venues.number(keys.iter().zip(&mut domains).map(of).collect::<Vec<u32>>())
        };
        self.row_venue = self.problem.nodes.iter().map(|node| venue(&node.labels)).collect();
        let mut labels = Vec::new();
        for (number, shape) in &known {
            let (offer, shape) = (&market.offers[*number].offer, &market.shapes[*shape]);
            let mut all = shape.labels(offer);
            all.extend(market.labels.clone());
            self.offers.push(Rentable {
                listed: *number,
                venue: venue(&all),
                price: offer.price.0,
                vcpus: shape.vcpus,
            });
            let mut used = Resources::default();
            let mut pods = 0;
            for daemon in &market.daemons {
                let demand = Demand::of(daemon);
                if demand.selects(&all) && demand.tolerates(&market.taints) {
                    used += &daemon.requests;
                    pods += 1;
                }
            }
            let all_of_it = self.vector(&shape.allocatable, u64::from(shape.max_pods));
            let used = self.vector(&used, pods);
            let fits = all_of_it.iter().zip(&used).all(|(all, used)| all >= used);
            let room = all_of_it.iter().zip(&used).map(|(all, used)| if fits { all - used } else { 0 });
            self.capacity.extend(room);
            labels.push(all);
        }
        self.venues = venues.list;
        self.domains = domains.iter().map(|domains| domains.list.len()).collect();
        self.by_venue = vec![Vec::new(); self.venues.len()];
        for (number, offer) in self.offers.iter().enumerate() {
            self.by_venue[offer.venue].push(number);
        }
        let accepted = demands.iter().map(|demand| {
            let open = !demand.stays_home && demand.tolerates(&market.taints);
            Accepted {
                rows: self.problem.nodes.iter().map(|node| demand.accepts(node)).collect(),
                selected: self.problem.nodes.iter().map(|node| demand.selects(&node.labels)).collect(),
                offers: Bits::of(labels.len(), |number| open && demand.selects(&labels[number])),
            }
        });
        self.demands = accepted.collect();
    }

    /// What a pod of this class takes.
    pub fn take(&self, class: usize) -> &[u64] {
        &self.takes[class * self.dims..][..self.dims]
    }

    /// What an offer has.
    pub fn room(&self, offer: usize) -> &[u64] {
        &self.capacity[offer * self.dims..][..self.dims]
    }
}

/// Whether `takes` is there beside `used`.
pub(super) fn fits(used: &[u64], takes: &[u64], room: &[u64]) -> bool {
    used.iter().zip(takes).zip(room).all(|((used, takes), room)| used + takes <= *room)
}
