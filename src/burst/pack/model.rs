//! The problem in numbers: what the packer counts with.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{
    bits::Bits,
    class::{Class, Classes, Demand, Group, Interned},
    node::{Origin, Taint},
    plan::Problem,
    pod::{HOSTNAME, Pod},
    ports::Ports,
    resources::Resources,
};

/// Where a node lacks the label that domains are made of.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Processor, memory, ephemeral storage, pods; extended resources and ports follow.
const FIXED: usize = 4;
pub(super) const PODS: usize = 3;

/// The problem in numbers. Rows are the problem's nodes; offers are those that can be had, cheapest first.
pub(super) struct Model<'a> {
    pub problem: Problem<'a>,
    /// How many resources there are.
    pub dims: usize,
    pub extended: Vec<&'a str>,
    ports: Ports<'a>,
    /// For each row what is free, and for each class what one pod takes.
    pub free: Vec<u64>,
    pub takes: Vec<u64>,
    pub classes: Vec<Class<'a>>,
    pub groups: Vec<Group<'a>>,
    /// For each group, of which key it is; `None` is the node itself.
    pub group_key: Vec<Option<usize>>,
    /// For each group, on which rows and offers pods count; `None` is all.
    pub group_over: Vec<Option<Counted>>,
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
    pub offers: Bits,
}

/// Rows and offers that count for spread.
pub(super) struct Counted {
    pub rows: Bits,
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
        let running_pods = problem.nodes.iter().flat_map(|node| &node.pods);
        let ports = Ports::of(problem.pods, running_pods.chain(&problem.market.daemons));
        let Classes { list: classes, groups, demands, .. } = classes;
        let (groups, extended) = (groups.list, extended.list);
        let mut keys = Interned::default();
        let group_key =
            groups.iter().map(|group| (group.key != HOSTNAME).then(|| keys.number(group.key))).collect();
        let mut model = Model {
            problem,
            dims: FIXED + extended.len() + ports.len(),
            extended,
            ports,
            free: Vec::new(),
            takes: Vec::new(),
            classes,
            groups,
            group_key,
            group_over: Vec::new(),
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
        let take = |class: &Class<'a>| model.used(std::iter::once(class.pod));
        model.takes = model.classes.iter().flat_map(take).collect();
        model.fill_rows();
        model.list_offers(&demands.list, &keys.list);
        model
    }

    /// Resources as numbers.
    fn vector(&self, resources: &Resources, pods: u64, ports: impl Iterator<Item = u64>) -> Vec<u64> {
        let fixed = [resources.milli_cpu, resources.memory, resources.storage, pods];
        let more = self.extended.iter().map(|name| resources.extended.get(*name).copied().unwrap_or(0));
        fixed.into_iter().chain(more).chain(ports).collect()
    }

    /// What an empty node has.
    fn whole(&self, resources: &Resources, max_pods: u32) -> Vec<u64> {
        self.vector(resources, u64::from(max_pods), std::iter::repeat_n(1, self.ports.len()))
    }

    /// What pods take that are on one node.
    fn used<'p>(&self, pods: impl Iterator<Item = &'p Pod> + Clone) -> Vec<u64> {
        let mut used = Resources::default();
        let mut count = 0;
        for pod in pods.clone() {
            used += &pod.requests;
            count += 1;
        }
        self.vector(&used, count, self.ports.taken(pods))
    }

    /// What daemons take of a node with these labels and taints.
    fn daemons(&self, labels: &BTreeMap<String, String>, taints: &[Taint]) -> Vec<u64> {
        // They may use folders of their host, whichever that is.
        let runs = |daemon: &&Pod| {
            let demand = Demand::of(daemon);
            demand.selects(labels) && demand.tolerates(taints)
        };
        self.used(self.problem.market.daemons.iter().filter(runs))
    }

    fn fill_rows(&mut self) {
        for node in self.problem.nodes {
            let mut used = self.used(node.pods.iter());
            if let Origin::Rented { in_flight: true, .. } = node.origin
                && node.pods.iter().all(|pod| !pod.daemon)
            {
                // Its daemons are still to come.
                let daemons = self.daemons(&node.labels, &node.taints);
                used.iter_mut().zip(daemons).for_each(|(used, more)| *used = used.saturating_add(more));
            }
            let all = self.whole(&node.allocatable, node.max_pods);
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
            let used = self.daemons(&all, &market.taints);
            let all_of_it = self.whole(&shape.allocatable, shape.max_pods);
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
                offers: Bits::of(labels.len(), |number| open && demand.selects(&labels[number])),
            }
        });
        self.demands = accepted.collect();
        let nodes = self.problem.nodes;
        let over = self.groups.iter().map(|group| {
            (!group.over.is_all()).then(|| Counted {
                rows: Bits::of(nodes.len(), |row| group.over.counts(&nodes[row].labels, &nodes[row].taints)),
                offers: Bits::of(labels.len(), |number| group.over.counts(&labels[number], &market.taints)),
            })
        });
        self.group_over = over.collect();
    }

    /// What a pod of this class takes.
    pub fn take(&self, class: usize) -> &[u64] {
        &self.takes[class * self.dims..][..self.dims]
    }

    /// Whether pods on a row that is there count in this group.
    pub fn counts_on_row(&self, group: usize, row: usize) -> bool {
        self.group_over[group].as_ref().is_none_or(|counted| counted.rows.has(row))
    }

    /// Whether pods count in this group that are on a node of this offer.
    pub fn counts_on_offer(&self, group: usize, offer: usize) -> bool {
        self.group_over[group].as_ref().is_none_or(|counted| counted.offers.has(offer))
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
