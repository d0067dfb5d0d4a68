//! One attempt: pods are taken in a given order, and each goes where it adds least to the bill.
//!
//! A node that is not rented yet has no fixed size. It is the cheapest offer that holds its pods, and becomes a larger
//! one where that costs less than another node.

mod bill;
mod seek;
mod tight;

use std::collections::HashMap;

use bill::Bill;
use seek::within;

use super::{
    bits::Bits,
    class::Interned,
    model::{Model, PODS},
    topology::Topology,
};

/// How an attempt is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    /// Pending pods in the order in which they are taken.
    pub order: Vec<usize>,
    /// New nodes begin with an offer that is not cheaper than this one, where there is one.
    pub floor: usize,
    /// Offers of nodes that are there from the beginning.
    pub given: Vec<usize>,
    /// Whether nodes may be added to those.
    pub may_open: bool,
    /// When a new node becomes a larger one.
    pub grow: Grow,
    /// So many of the first in the order get nodes of their own, which are filled before others are begun.
    pub tight: usize,
}

/// When a new node becomes a larger one in place of renting another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Grow {
    /// Where that is not dearer.
    #[default]
    Willingly,
    /// Where that is cheaper.
    Reluctantly,
    /// Where there can be no other.
    InNeed,
}

/// A node to be rented.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub offer: usize,
    /// Where that stands in its venue's list.
    position: usize,
    /// Offers that suit all of its pods.
    suits: usize,
}

/// An attempt.
pub(super) struct Fill<'m, 'a> {
    pub model: &'m Model<'a>,
    topology: Topology,
    /// For each row, new nodes after those that are there: what is free, and of new ones what is used.
    free: Vec<u64>,
    used: Vec<u64>,
    pub planned: Vec<Planned>,
    /// Pods and rows, in the order in which they were placed.
    pub placed: Vec<(usize, usize)>,
    pub left: Vec<usize>,
    pub bill: Bill,
    suits: Interned<Bits>,
    both: HashMap<(usize, usize), usize>,
    /// What a unit of processor and of memory weighs.
    weights: [f64; 2],
    /// New nodes of each venue.
    in_venue: Vec<u32>,
    /// How many rows were looked at.
    pub work: u64,
}

impl<'m, 'a> Fill<'m, 'a> {
    /// Makes an attempt, from the topology of what is there.
    pub fn run(model: &'m Model<'a>, topology: &Topology, rule: &Rule) -> Fill<'m, 'a> {
        let mut fill = Fill {
            model,
            topology: topology.clone(),
            free: model.free.clone(),
            used: vec![0; model.free.len()],
            planned: Vec::new(),
            placed: Vec::with_capacity(rule.order.len()),
            left: Vec::new(),
            bill: Bill::of(model),
            suits: Interned::default(),
            both: HashMap::new(),
            weights: weights(model),
            in_venue: vec![0; model.venues.len()],
            work: 0,
        };
        fill.suits.number(Bits::of(model.offers.len(), |_| true));
        let left = fill.repeat(&rule.order, |fill, pod| fill.place_existing(pod));
        fill.topology.renting = true;
        fill.topology.closed = !rule.may_open;
        for offer in &rule.given {
            fill.open(*offer);
        }
        let left = if rule.tight > 0 {
            let mut first = vec![false; model.class_of.len()];
            rule.order[..rule.tight].iter().for_each(|pod| first[*pod] = true);
            let (seeds, others): (Vec<usize>, Vec<usize>) = left.iter().partition(|pod| first[**pod]);
            let mut waits = vec![false; model.class_of.len()];
            tight::fill_tightly(&mut fill, &seeds, &others).into_iter().for_each(|pod| waits[pod] = true);
            rule.order.iter().filter(|pod| waits[**pod]).copied().collect()
        } else {
            left
        };
        fill.left = fill.repeat(&left, |fill, pod| fill.place_new(pod, rule));
        fill.shrink();
        fill
    }

    /// Tries all, and those that found no place again as long as others find one: they may have waited for them.
    fn repeat(&mut self, pods: &[usize], mut place: impl FnMut(&mut Self, usize) -> bool) -> Vec<usize> {
        let mut left = pods.to_vec();
        loop {
            let before = left.len();
            // Of pods that are alike and that no other pods matter to, one speaks for all.
            let mut refused = vec![false; self.model.classes.len()];
            left.retain(|pod| {
                let class = self.model.class_of[*pod];
                let found = !refused[class] && place(self, *pod);
                refused[class] |= !found && !self.model.classes[class].is_bound();
                !found
            });
            if left.is_empty() || left.len() == before {
                return left;
            }
        }
    }

    fn dims(&self) -> usize {
        self.model.dims
    }

    fn existing(&self) -> usize {
        self.model.row_venue.len()
    }

    fn free(&self, row: usize) -> &[u64] {
        &self.free[row * self.dims()..][..self.dims()]
    }

    fn used(&self, row: usize) -> &[u64] {
        &self.used[row * self.dims()..][..self.dims()]
    }

    fn place_existing(&mut self, pod: usize) -> bool {
        let class = self.model.class_of[pod];
        let take = self.model.take(class);
        let demand = &self.model.demands[self.model.classes[class].demand];
        let mut best: Option<(bool, f64, usize)> = None;
        for row in (0..self.existing()).filter(|row| demand.rows[*row]) {
            let free = self.free(row);
            if !within(take, free) || !self.admits(class, row, self.model.row_venue[row]) {
                continue;
            }
            let rank = (!self.model.problem.nodes[row].is_metal(), self.misfit(free, take), row);
            if best.is_none_or(|best| (rank.0, rank.1) < (best.0, best.1)) {
                best = Some(rank);
            }
        }
        self.work += self.existing() as u64;
        if let Some((_, _, row)) = best {
            self.put(pod, row, self.model.row_venue[row]);
        }
        best.is_some()
    }

    fn place_new(&mut self, pod: usize, rule: &Rule) -> bool {
        let class = self.model.class_of[pod];
        // More pods may have made a place possible that was refused before.
        if self.model.classes[class].is_bound() && self.place_existing(pod) {
            return true;
        }
        if let Some(number) = self.with_room(class) {
            return self.put_planned(pod, number, self.planned[number].position);
        }
        let larger = self.larger(class);
        let opened = if rule.may_open { self.cheapest(class, 0) } else { None };
        let price = |offer: usize| self.model.offers[offer].price;
        match (larger, opened) {
            (Some((extra, number, position)), opened)
                if opened.is_none_or(|offer| match rule.grow {
                    Grow::Willingly => extra <= price(offer),
                    Grow::Reluctantly => extra < price(offer),
                    Grow::InNeed => false,
                }) =>
            {
                self.put_planned(pod, number, position)
            }
            (_, Some(offer)) => {
                let number = self.open(self.cheapest(class, rule.floor).unwrap_or(offer));
                self.put_planned(pod, number, self.planned[number].position)
            }
            _ => false,
        }
    }

    fn admits(&self, class: usize, row: usize, venue: usize) -> bool {
        let kind = &self.model.classes[class];
        (!kind.is_bound() && kind.counted_in.is_empty())
            || self.topology.admits(self.model, class, row, venue)
    }

    /// Whether other pods let one of this class onto a node that is not there yet.
    pub fn admits_on_new(&self, class: usize, venue: usize) -> bool {
        self.admits(class, self.existing() + self.planned.len(), venue)
    }

    /// Puts a pod on a new node, if it fits and may be there.
    pub fn put_as_it_is(&mut self, pod: usize, number: usize) -> bool {
        let class = self.model.class_of[pod];
        let (row, planned) = (self.existing() + number, &self.planned[number]);
        within(self.model.take(class), self.free(row))
            && self.admits(class, row, self.model.offers[planned.offer].venue)
            && self.put_planned(pod, number, planned.position)
    }

    pub fn open(&mut self, offer: usize) -> usize {
        let model = self.model;
        let rentable = &model.offers[offer];
        let position = model.by_venue[rentable.venue].iter().position(|other| *other == offer).unwrap_or(0);
        self.planned.push(Planned { offer, position, suits: 0 });
        self.free.extend_from_slice(model.room(offer));
        self.used.extend(std::iter::repeat_n(0, model.dims));
        self.topology.open(model, offer);
        self.in_venue[rentable.venue] += 1;
        self.bill.add(1, u64::from(rentable.vcpus), rentable.price);
        self.planned.len() - 1
    }

    fn put_planned(&mut self, pod: usize, number: usize, position: usize) -> bool {
        let model = self.model;
        let class = model.class_of[pod];
        let suits = self.both(self.planned[number].suits, model.classes[class].demand);
        let venue = model.offers[self.planned[number].offer].venue;
        self.planned[number].suits = suits;
        self.resize(number, position);
        self.put(pod, self.existing() + number, venue);
        true
    }

    fn resize(&mut self, number: usize, position: usize) {
        let (model, dims) = (self.model, self.dims());
        let before = self.planned[number].offer;
        let after = model.by_venue[model.offers[before].venue][position];
        if before == after {
            return;
        }
        self.planned[number].offer = after;
        self.planned[number].position = position;
        self.bill.replace(&model.offers[before], &model.offers[after]);
        let start = (self.existing() + number) * dims;
        for (dim, room) in model.room(after).iter().enumerate() {
            self.free[start + dim] = room - self.used[start + dim];
        }
    }

    fn put(&mut self, pod: usize, row: usize, venue: usize) {
        let class = self.model.class_of[pod];
        for (dim, take) in self.model.take(class).iter().enumerate() {
            self.free[row * self.model.dims + dim] -= take;
            self.used[row * self.model.dims + dim] += take;
        }
        self.topology.add(self.model, class, row, venue);
        self.placed.push((pod, row));
    }

    /// The offers that suit a set's pods and those of this demand.
    fn both(&mut self, suits: usize, demand: usize) -> usize {
        let (sets, demands) = (&mut self.suits, &self.model.demands);
        *self.both.entry((suits, demand)).or_insert_with(|| {
            let both = sets.list[suits].and(&demands[demand].offers);
            sets.number(both)
        })
    }

    /// Makes every new node the cheapest offer that holds its pods, and leaves out empty ones.
    fn shrink(&mut self) {
        let empty: Vec<usize> =
            (0..self.planned.len()).filter(|number| self.used(self.existing() + number)[PODS] == 0).collect();
        for number in 0..self.planned.len() {
            let planned = &self.planned[number];
            let row = self.existing() + number;
            let list = &self.model.by_venue[self.model.offers[planned.offer].venue];
            let smallest = list.iter().take(planned.position).position(|offer| {
                self.suits.list[planned.suits].has(*offer)
                    && within(self.used(row), self.model.room(*offer))
                    && self.bill.allows_instead(self.model, planned.offer, *offer)
            });
            if let Some(position) = smallest {
                self.resize(number, position);
            }
        }
        let kept: Vec<usize> = (0..self.planned.len()).filter(|number| !empty.contains(number)).collect();
        for number in empty {
            let offer = &self.model.offers[self.planned[number].offer];
            self.bill.remove(offer);
        }
        let existing = self.existing();
        for (_, row) in &mut self.placed {
            if *row >= existing {
                *row = existing + kept.binary_search(&(*row - existing)).unwrap_or(0);
            }
        }
        let dims = self.dims();
        self.used = kept.iter().flat_map(|number| self.used(existing + number).to_vec()).collect();
        self.used.splice(0..0, std::iter::repeat_n(0, existing * dims));
        self.planned = kept.iter().map(|number| self.planned[*number].clone()).collect();
    }

    /// Offers that would do in place of a planned node's own, cheapest first.
    pub fn instead(&self, number: usize) -> impl Iterator<Item = usize> {
        let planned = &self.planned[number];
        let list = &self.model.by_venue[self.model.offers[planned.offer].venue];
        let does = move |offer: &&usize| {
            **offer != planned.offer
                && self.suits.list[planned.suits].has(**offer)
                && within(self.used(self.existing() + number), self.model.room(**offer))
        };
        list.iter().filter(does).copied()
    }
}

/// Processor and memory weigh as much as is asked of them in all.
fn weights(model: &Model<'_>) -> [f64; 2] {
    [0, 1].map(|dim| {
        let sum: u64 = model.class_of.iter().map(|class| model.take(*class)[dim]).sum();
        1.0 / sum.max(1) as f64
    })
}
