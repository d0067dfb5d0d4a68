//! Which pods are in which domains: what spread, affinity and anti-affinity are judged by.

use super::model::{Model, NOWHERE};

/// The domains that a spread constraint of a class is measured over.
#[derive(Debug, Clone, Default)]
struct Measured {
    /// Those of nodes that are there.
    existing: Vec<usize>,
    /// And those that can be rented.
    all: Vec<usize>,
}

/// Numbers of pods by group and domain. Where a group's key is the node's name, domains are rows.
#[derive(Clone)]
pub(super) struct Topology {
    /// For each group and domain: pods that count.
    counted: Vec<Vec<u32>>,
    /// For each group and domain: pods that want to be apart from those that count.
    averse: Vec<Vec<u32>>,
    /// For each group: all pods that count.
    total: Vec<u32>,
    /// For each class and its constraints of spread.
    measured: Vec<Vec<Measured>>,
    /// Whether new nodes are thought of. Before that, only what is there counts, as for the scheduler.
    pub renting: bool,
}

impl Topology {
    pub fn new(model: &Model<'_>) -> Topology {
        let size = |key: &Option<usize>| key.map_or(model.row_venue.len(), |key| model.domains[key]);
        let empty: Vec<Vec<u32>> = model.group_key.iter().map(|key| vec![0; size(key)]).collect();
        let mut topology = Topology {
            counted: empty.clone(),
            averse: empty,
            total: vec![0; model.groups.len()],
            measured: Vec::new(),
            renting: false,
        };
        topology.measured = model
            .classes
            .iter()
            .map(|class| {
                let demand = &model.demands[class.demand];
                let of = |(group, _): &(usize, u32)| {
                    let rows = (0..model.row_venue.len()).filter(|row| demand.selected[*row]);
                    let Some(key) = model.group_key[*group] else {
                        return Measured { existing: rows.collect(), all: Vec::new() };
                    };
                    let domain =
                        |venue: usize| Some(model.venues[venue][key]).filter(|domain| *domain != NOWHERE);
                    let mut existing: Vec<usize> = rows
                        .filter_map(|row| domain(model.row_venue[row]))
                        .map(|domain| domain as usize)
                        .collect();
                    existing.sort_unstable();
                    existing.dedup();
                    let offers =
                        model.offers.iter().enumerate().filter(|(number, _)| demand.offers.has(*number));
                    let mut all = existing.clone();
                    all.extend(
                        offers.filter_map(|(_, offer)| domain(offer.venue)).map(|domain| domain as usize),
                    );
                    all.sort_unstable();
                    all.dedup();
                    Measured { existing, all }
                };
                class.spread.iter().map(of).collect()
            })
            .collect();
        for (row, class) in &model.running {
            topology.add(model, *class, *row, model.row_venue[*row]);
        }
        topology
    }

    /// Makes room for one more node.
    pub fn open(&mut self, model: &Model<'_>) {
        for (group, key) in model.group_key.iter().enumerate() {
            if key.is_none() {
                self.counted[group].push(0);
                self.averse[group].push(0);
            }
        }
    }

    fn domain(model: &Model<'_>, group: usize, row: usize, venue: usize) -> Option<usize> {
        match model.group_key[group] {
            None => Some(row),
            Some(key) => Some(model.venues[venue][key])
                .filter(|domain| *domain != NOWHERE)
                .map(|domain| domain as usize),
        }
    }

    /// Counts a pod of this class on this row.
    pub fn add(&mut self, model: &Model<'_>, class: usize, row: usize, venue: usize) {
        let class = &model.classes[class];
        for group in &class.counted_in {
            self.total[*group] += 1;
            if let Some(domain) = Self::domain(model, *group, row, venue) {
                self.counted[*group][domain] += 1;
            }
        }
        for group in &class.apart {
            if let Some(domain) = Self::domain(model, *group, row, venue) {
                self.averse[*group][domain] += 1;
            }
        }
    }

    /// Whether other pods let one of this class onto this row. A row that is not there yet is an empty node.
    pub fn admits(&self, model: &Model<'_>, number: usize, row: usize, venue: usize) -> bool {
        let class = &model.classes[number];
        let at = |counts: &[Vec<u32>], group: usize, domain: usize| {
            counts[group].get(domain).copied().unwrap_or(0)
        };
        let spread = class.spread.iter().enumerate().all(|(constraint, (group, skew))| {
            let Some(domain) = Self::domain(model, *group, row, venue) else { return false };
            let own = u32::from(class.counts_in(*group));
            let fewest = self.fewest(model, number, constraint, *group);
            at(&self.counted, *group, domain) + own <= fewest.saturating_add(*skew)
        });
        let near = || {
            class.near.iter().all(|group| match Self::domain(model, *group, row, venue) {
                None => false,
                Some(domain) => {
                    at(&self.counted, *group, domain) > 0
                        || (self.total[*group] == 0 && class.counts_in(*group))
                }
            })
        };
        let none = |counts: &[Vec<u32>], group: usize| {
            Self::domain(model, group, row, venue).is_none_or(|domain| at(counts, group, domain) == 0)
        };
        spread
            && near()
            && class.apart.iter().all(|group| none(&self.counted, *group))
            && class.counted_in.iter().all(|group| none(&self.averse, *group))
    }

    /// The pods in the domain that has the fewest. A node that is still to be rented would have none.
    fn fewest(&self, model: &Model<'_>, class: usize, constraint: usize, group: usize) -> u32 {
        let measured = &self.measured[class][constraint];
        let domains = match (model.group_key[group], self.renting) {
            (None, true) => return 0,
            (_, false) => &measured.existing,
            (Some(_), true) => &measured.all,
        };
        domains.iter().map(|domain| self.counted[group][*domain]).min().unwrap_or(0)
    }
}
