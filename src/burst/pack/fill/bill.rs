//! What nodes are counted against limits.

use super::super::{
    model::{Model, Rentable},
    node::Origin,
};

/// What is rented, in flight or planned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bill {
    pub nodes: u64,
    pub vcpus: u64,
    pub price: u64,
}

impl Bill {
    /// Of what is rented or in flight already.
    pub fn of(model: &Model<'_>) -> Bill {
        let mut bill = Bill::default();
        for node in model.problem.nodes {
            if let Origin::Rented { price, vcpus, .. } = node.origin {
                bill.add(1, u64::from(vcpus), price.0);
            }
        }
        bill
    }

    pub fn add(&mut self, nodes: u64, vcpus: u64, price: u64) {
        self.nodes += nodes;
        self.vcpus += vcpus;
        self.price += price;
    }

    pub fn remove(&mut self, offer: &Rentable) {
        self.nodes -= 1;
        self.vcpus -= u64::from(offer.vcpus);
        self.price -= offer.price;
    }

    pub fn replace(&mut self, before: &Rentable, after: &Rentable) {
        self.remove(before);
        self.add(1, u64::from(after.vcpus), after.price);
    }

    /// Whether the limits leave room for that much more.
    pub fn allows(&self, model: &Model<'_>, nodes: u64, vcpus: u64, price: u64) -> bool {
        let limits = &model.problem.limits;
        let below = |limit: Option<u32>, value: u64| limit.is_none_or(|limit| value <= u64::from(limit));
        (nodes == 0 || below(limits.nodes, self.nodes + nodes))
            && (vcpus == 0 || below(limits.vcpus, self.vcpus + vcpus))
            && (price == 0 || limits.hour().is_none_or(|(most, _)| self.price + price <= most.0))
    }

    pub fn allows_instead(&self, model: &Model<'_>, before: usize, after: usize) -> bool {
        let mut without = *self;
        without.remove(&model.offers[before]);
        let after = &model.offers[after];
        without.allows(model, 1, u64::from(after.vcpus), after.price)
    }
}
