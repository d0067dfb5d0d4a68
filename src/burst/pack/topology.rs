//! Which pods are in which domains: what spread, affinity and anti-affinity are judged by.

use super::{
    class::Constraint,
    model::{Model, NOWHERE},
};

/// The domains that spread of a group is measured over.
#[derive(Debug, Clone)]
enum Measured {
    /// Nobody spreads over them.
    Not,
    /// Values of a label: those of nodes that are there, and, in `all`, those that can be rented as well.
    Domains { existing: Vec<usize>, all: Vec<usize> },
    /// Nodes, which are many: how many count, the fewest pods on one of them, and how many have so few.
    Nodes { count: usize, fewest: u32, with_fewest: usize },
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
    /// For each group.
    measured: Vec<Measured>,
    /// The offers of new nodes, as they were when these were opened.
    opened: Vec<usize>,
    /// Whether new nodes are thought of. Before that, only what is there counts, as for the scheduler.
    pub renting: bool,
    /// Whether all new nodes are open before the first pod is placed on one. Otherwise there might always be another one,
    /// with no pod on it.
    pub closed: bool,
}

impl Topology {
    pub fn new(model: &Model<'_>) -> Topology {
        let size = |key: &Option<usize>| key.map_or(model.row_venue.len(), |key| model.domains[key]);
        let empty: Vec<Vec<u32>> = model.group_key.iter().map(|key| vec![0; size(key)]).collect();
        let mut topology = Topology {
            counted: empty.clone(),
            averse: empty,
            total: vec![0; model.groups.len()],
            measured: vec![Measured::Not; model.groups.len()],
            opened: Vec::new(),
            renting: false,
            closed: false,
        };
        for constraint in model.classes.iter().flat_map(|class| &class.spread) {
            topology.measured[constraint.group] = measured(model, constraint.group);
        }
        for (row, class) in &model.running {
            topology.add(model, *class, *row, model.row_venue[*row]);
        }
        topology
    }

    /// Makes room for one more node.
    pub fn open(&mut self, model: &Model<'_>, offer: usize) {
        self.opened.push(offer);
        for (group, key) in model.group_key.iter().enumerate() {
            if key.is_none() {
                self.counted[group].push(0);
                self.averse[group].push(0);
                if let Measured::Nodes { count, fewest, with_fewest } = &mut self.measured[group]
                    && self.closed
                    && model.counts_on_offer(group, offer)
                {
                    *count += 1;
                    *with_fewest = if *fewest == 0 { *with_fewest + 1 } else { 1 };
                    *fewest = 0;
                }
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
            if !self.counts(model, *group, row) {
                continue;
            }
            self.total[*group] += 1;
            if let Some(domain) = Self::domain(model, *group, row, venue) {
                self.counted[*group][domain] += 1;
                if let Measured::Nodes { fewest, with_fewest, .. } = &mut self.measured[*group]
                    && self.counted[*group][domain] == *fewest + 1
                {
                    *with_fewest = with_fewest.saturating_sub(1);
                    if *with_fewest == 0 {
                        self.measure_nodes(model, *group);
                    }
                }
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
        let spread = class.spread.iter().all(|constraint| {
            let Constraint { group, skew, .. } = *constraint;
            let Some(domain) = Self::domain(model, group, row, venue) else { return false };
            let own = u32::from(class.counts_in(group));
            at(&self.counted, group, domain) + own <= self.fewest(constraint).saturating_add(skew)
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

    /// Whether pods on this row count in this group.
    fn counts(&self, model: &Model<'_>, group: usize, row: usize) -> bool {
        match row.checked_sub(model.row_venue.len()) {
            None => model.counts_on_row(group, row),
            Some(new) => self.opened.get(new).is_none_or(|offer| model.counts_on_offer(group, *offer)),
        }
    }

    /// The pods in the domain that has the fewest.
    fn fewest(&self, constraint: &Constraint) -> u32 {
        let group = constraint.group;
        let (count, fewest) = match &self.measured[group] {
            Measured::Not => return 0,
            // Another one that is rented would have none.
            Measured::Nodes { .. } if self.renting && !self.closed => return 0,
            Measured::Nodes { count, fewest, .. } => (*count, *fewest),
            Measured::Domains { existing, all } => {
                let domains = if self.renting { all } else { existing };
                let fewest = domains.iter().map(|domain| self.counted[group][*domain]).min();
                (domains.len(), fewest.unwrap_or(0))
            }
        };
        if count < constraint.min_domains as usize { 0 } else { fewest }
    }

    /// Looks at all nodes of a group anew.
    fn measure_nodes(&mut self, model: &Model<'_>, group: usize) {
        let rows = if self.closed { self.counted[group].len() } else { model.row_venue.len() };
        let counted: Vec<u32> = (0..rows)
            .filter(|row| self.counts(model, group, *row))
            .map(|row| self.counted[group][row])
            .collect();
        let fewest = counted.iter().min().copied().unwrap_or(0);
        let with_fewest = counted.iter().filter(|pods| **pods == fewest).count();
        self.measured[group] = Measured::Nodes { count: counted.len(), fewest, with_fewest };
    }
}

/// What spread of a group is measured over, before any pod is counted.
fn measured(model: &Model<'_>, group: usize) -> Measured {
    let rows = (0..model.row_venue.len()).filter(|row| model.counts_on_row(group, *row));
    let Some(key) = model.group_key[group] else {
        let count = rows.count();
        return Measured::Nodes { count, fewest: 0, with_fewest: count };
    };
    let domain = |venue: usize| Some(model.venues[venue][key]).filter(|domain| *domain != NOWHERE);
    let sorted = |mut domains: Vec<usize>| {
        domains.sort_unstable();
        domains.dedup();
        domains
    };
    let existing: Vec<usize> =
        rows.filter_map(|row| domain(model.row_venue[row])).map(|domain| domain as usize).collect();
    let offers = (0..model.offers.len()).filter(|offer| model.counts_on_offer(group, *offer));
    let offered = offers.filter_map(|offer| domain(model.offers[offer].venue)).map(|domain| domain as usize);
    let all = existing.iter().copied().chain(offered).collect();
    Measured::Domains { existing: sorted(existing), all: sorted(all) }
}
