//! The question that is asked of the packer, and its answer.

use std::collections::BTreeMap;

use super::{
    node::{Node, Taint},
    pod::Pod,
    shape::Shape,
};
use crate::burst::offer::{Money, Offer};

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Pods that have no node.
    pub pods: &'a [Pod],
    /// Nodes that are there, rented ones and those in flight included.
    pub nodes: &'a [Node],
    pub market: &'a Market,
    pub limits: Limits,
}

/// What can be rented, and how it will look as a node.
#[derive(Debug, Clone, Default)]
pub struct Market {
    pub shapes: Vec<Shape>,
    pub offers: Vec<Listed>,
    /// Labels that every new node gets beside those of its type and zone.
    pub labels: BTreeMap<String, String>,
    /// Taints that every new node keeps.
    pub taints: Vec<Taint>,
    /// One pod of each DaemonSet.
    pub daemons: Vec<Pod>,
}

/// An offer, and whether EC2 had none of it when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub offer: Offer,
    pub exhausted: bool,
}

/// What must not be exceeded by all that is rented, in flight or planned. None: no such limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub nodes: Option<u32>,
    pub vcpus: Option<u32>,
    /// For an hour of everything.
    pub hourly: Option<Money>,
    pub month: Option<Month>,
}

/// The money of a calendar month. Nothing is rented that could not be paid for another hour, with all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    pub budget: Money,
    pub spent: Money,
}

impl Limits {
    /// The most that an hour of everything may cost, and by which limit.
    pub(super) fn hour(&self) -> Option<(Money, &'static str)> {
        let left = self.month.map(|month| Money(month.budget.0.saturating_sub(month.spent.0)));
        let month = left.map(|left| (left, "this month's budget"));
        let hourly = self.hourly.map(|hourly| (hourly, "the limit of an hour's cost"));
        month.into_iter().chain(hourly).min_by_key(|(money, _)| *money)
    }
}

/// Where every pod goes, and what has to be rented for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In an order in which a scheduler could place them.
    pub placed: Vec<Placement>,
    pub new: Vec<NewNode>,
    pub unplaced: Vec<Unplaced>,
}

/// A pod and its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Of the problem's pods.
    pub pod: usize,
    pub on: Slot,
}

/// A node that is there, or that will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Of the problem's nodes.
    Existing(usize),
    /// Of the plan's new ones.
    New(usize),
}

/// A node to be rented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// Of the market's offers: the cheapest that does.
    pub offer: usize,
    /// Others that do as well, cheapest first, for when EC2 has none of it.
    pub instead: Vec<usize>,
}

/// A pod for which there is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Of the problem's pods.
    pub pod: usize,
    /// In words, such as "needs nvidia.com/gpu, which no offered type has".
    pub because: String,
}

impl Plan {
    /// What an hour of the new nodes costs.
    pub fn price(&self, market: &Market) -> Money {
        let price = |node: &NewNode| market.offers.get(node.offer).map_or(0, |listed| listed.offer.price.0);
        Money(self.new.iter().map(price).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_hour_and_month_holds() {
        let month = |spent| Month { budget: Money::dollars(200), spent: Money::dollars(spent) };
        let limits =
            |hourly, month| Limits { hourly, month, ..Limits::default() }.hour().map(|(money, _)| money);
        assert_eq!(limits(None, None), None);
        assert_eq!(limits(Some(Money::dollars(3)), Some(month(100))), Some(Money::dollars(3)));
        assert_eq!(limits(Some(Money::dollars(3)), Some(month(199))), Some(Money::dollars(1)));
        assert_eq!(limits(None, Some(month(300))), Some(Money(0)));
    }
}
