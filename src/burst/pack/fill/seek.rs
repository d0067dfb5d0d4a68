//! Where a pod goes: the new node that has room, or the least money that makes room.

use super::{super::model::fits, Fill};

impl Fill<'_, '_> {
    /// The new node on which there is room as it is, and on which the pod leaves the most even rest.
    pub(super) fn with_room(&mut self, class: usize) -> Option<usize> {
        let take = self.model.take(class);
        let offers = &self.model.demands[self.model.classes[class].demand].offers;
        let mut best: Option<(f64, usize)> = None;
        for (number, planned) in self.planned.iter().enumerate() {
            let row = self.existing() + number;
            let free = self.free(row);
            if !within(take, free) {
                continue;
            }
            let misfit = self.misfit(free, take);
            if best.is_some_and(|(least, _)| misfit >= least) || !offers.has(planned.offer) {
                continue;
            }
            if self.admits(class, row, self.model.offers[planned.offer].venue) {
                best = Some((misfit, number));
            }
        }
        self.work += self.planned.len() as u64;
        best.map(|(_, number)| number)
    }

    /// The new node that becomes large enough for the least money: how much more, which one, and which offer of its
    /// venue.
    pub(super) fn larger(&mut self, class: usize) -> Option<(u64, usize, usize)> {
        let model = self.model;
        let take = model.take(class);
        let demand = model.classes[class].demand;
        let mut best: Option<(u64, f64, usize, usize)> = None;
        for number in 0..self.planned.len() {
            let planned = &self.planned[number];
            let (suits, row) = (planned.suits, self.existing() + number);
            let current = &model.offers[planned.offer];
            let most = best.map_or(u64::MAX, |(extra, ..)| current.price.saturating_add(extra));
            let both = self.both(suits, demand);
            let (planned, used) = (&self.planned[number], self.used(row));
            let list = &model.by_venue[current.venue];
            let found = list.iter().enumerate().skip(planned.position).find(|(_, offer)| {
                model.offers[**offer].price > most
                    || (fits(used, take, model.room(**offer)) && self.suits.list[both].has(**offer))
            });
            let Some((position, offer)) = found else { continue };
            let larger = &model.offers[*offer];
            let extra = larger.price - current.price;
            let misfit = self.waste(used, take, model.room(*offer));
            let better = best.is_none_or(|(least, rest, ..)| (extra, misfit) < (least, rest));
            let vcpus = u64::from(larger.vcpus).saturating_sub(u64::from(current.vcpus));
            if better
                && larger.price <= most
                && self.bill.allows(model, 0, vcpus, extra)
                && self.admits(class, row, current.venue)
            {
                best = Some((extra, misfit, number, position));
            }
        }
        self.work += 4 * self.planned.len() as u64;
        best.map(|(extra, _, number, position)| (extra, number, position))
    }

    /// The cheapest offer for another node, from this one on.
    pub fn cheapest(&self, class: usize, floor: usize) -> Option<usize> {
        let model = self.model;
        let (take, offers) = (model.take(class), &model.demands[model.classes[class].demand].offers);
        let nothing = vec![0; model.dims];
        let row = self.existing() + self.planned.len();
        let mut admitted = vec![None; model.venues.len()];
        let mut does = |number: &usize| {
            let offer = &model.offers[*number];
            offers.has(*number)
                && fits(&nothing, take, model.room(*number))
                && self.bill.allows(model, 1, u64::from(offer.vcpus), offer.price)
                && *admitted[offer.venue].get_or_insert_with(|| self.admits(class, row, offer.venue))
        };
        let first = (floor..model.offers.len()).find(&mut does)?;
        // Of the same in several zones that with the fewest new nodes, so that they are spread.
        let same = |number: &usize| {
            model.offers[*number].price == model.offers[first].price
                && model.room(*number) == model.room(first)
        };
        (first..model.offers.len())
            .take_while(same)
            .filter(does)
            .min_by_key(|number| self.in_venue[model.offers[*number].venue])
    }

    /// How uneven a rest the pod leaves: small where processor and memory run out together.
    pub(super) fn misfit(&self, free: &[u64], take: &[u64]) -> f64 {
        let cpu = (free[0] - take[0]) as f64 * self.weights[0];
        let memory = (free[1] - take[1]) as f64 * self.weights[1];
        (cpu - memory).abs() + (cpu + memory) / 4.0
    }

    pub fn waste(&self, used: &[u64], take: &[u64], room: &[u64]) -> f64 {
        let rest = |dim: usize| room[dim].saturating_sub(used[dim] + take[dim]) as f64 * self.weights[dim];
        (rest(0) - rest(1)).abs() + (rest(0) + rest(1)) / 4.0
    }
}

/// Whether it fits into what is free.
pub(super) fn within(take: &[u64], free: &[u64]) -> bool {
    take.iter().zip(free).all(|(take, free)| take <= free)
}
