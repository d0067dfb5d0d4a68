//! Several attempts, of which the cheapest is taken, and then the question whether it can be had for less.

use std::cmp::Reverse;

use super::{
    class::Class,
    explain,
    fill::{Fill, Grow, Rule},
    model::Model,
    plan::{NewNode, Placement, Plan, Problem, Slot, Unplaced},
    topology::Topology,
};

/// Nodes looked at before no more attempts are begun: about a second's work.
const WORK: u64 = 40_000_000;
/// Offers that are named in place of one that EC2 has none of.
const INSTEAD: usize = 20;

/// With so few pods more orders are tried, and how many more.
const FEW: usize = 12;
const SHUFFLES: u64 = 24;

/// How attempts compare: first whether those with the highest priority have a place, then money, then nodes.
type Rank = (Vec<i32>, u64, usize);

/// The best attempt up to now.
struct Search<'m, 'a> {
    model: &'m Model<'a>,
    topology: &'m Topology,
    best: Option<(Rank, Rule, Fill<'m, 'a>)>,
    work: u64,
}

/// Says where pending pods go and what has to be rented for them. The same problem has the same answer.
pub fn pack(problem: Problem<'_>) -> Plan {
    let model = Model::new(problem);
    let topology = Topology::new(&model);
    let orders = orders(&model);
    let mut search = Search { model: &model, topology: &topology, best: None, work: 0 };
    search.begin(&orders);
    while search.improve(&orders) {}
    search.best.map_or_else(Plan::default, |(_, _, fill)| plan(&model, &topology, &fill))
}

impl Search<'_, '_> {
    /// Makes an attempt and says whether it is the best.
    fn attempt(&mut self, rule: Rule) -> bool {
        let fill = Fill::run(self.model, self.topology, &rule);
        self.work += fill.work + fill.placed.len() as u64 + 1;
        let rank = rank(self.model, &fill);
        let better = self.best.as_ref().is_none_or(|(least, ..)| rank < *least);
        if better {
            self.best = Some((rank, rule, fill));
        }
        better
    }

    fn is_tired(&self) -> bool {
        self.work >= WORK
    }

    fn begin(&mut self, orders: &[Vec<usize>]) {
        let singles = |order: &Vec<usize>| {
            order.iter().take_while(|pod| dependence(self.model, self.model.class_of[**pod]) == 0).count()
        };
        let singles: Vec<usize> = orders.iter().map(singles).collect();
        let tight = orders.iter().zip(&singles).filter(|(_, singles)| **singles > 0);
        let loose = orders.iter().map(|order| (order, &0));
        for grow in [Grow::Willingly, Grow::Reluctantly, Grow::InNeed] {
            for floor in floors(self.model) {
                for (order, tight) in tight.clone().chain(loose.clone()) {
                    let (order, given, tight) = (order.clone(), Vec::new(), *tight);
                    self.attempt(Rule { order, floor, given, may_open: true, grow, tight });
                    let needs_nothing = self
                        .best
                        .as_ref()
                        .is_some_and(|((left, price, _), ..)| left.is_empty() && *price == 0);
                    if needs_nothing || self.is_tired() {
                        return;
                    }
                }
            }
        }
    }

    /// Would all find a place with one node fewer, or with one that is smaller?
    fn improve(&mut self, orders: &[Vec<usize>]) -> bool {
        let Some((_, rule, fill)) = &self.best else { return false };
        let own = rule.order.clone();
        let mut given: Vec<usize> = fill.planned.iter().map(|planned| planned.offer).collect();
        // The most expensive first.
        given.sort_unstable_by_key(|offer| Reverse(*offer));
        for without in 0..given.len() {
            let mut fewer = given.clone();
            fewer.remove(without);
            for order in [&own].into_iter().chain(orders) {
                for may_open in [false, true] {
                    if self.is_tired() {
                        return false;
                    }
                    if self.attempt(Rule {
                        order: order.clone(),
                        given: fewer.clone(),
                        may_open,
                        ..Rule::default()
                    }) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

fn rank(model: &Model<'_>, fill: &Fill<'_, '_>) -> Rank {
    let mut left: Vec<i32> = fill.left.iter().map(|pod| model.problem.pods[*pod].priority).collect();
    left.sort_unstable_by_key(|priority| Reverse(*priority));
    let price = fill.planned.iter().map(|planned| model.offers[planned.offer].price).sum();
    (left, price, fill.planned.len())
}

/// Orders to try: important pods first, then those that depend on others, then large ones, by different measures.
fn orders(model: &Model<'_>) -> Vec<Vec<usize>> {
    let sum = |dim: usize| {
        let all: u64 = model.class_of.iter().map(|class| model.take(*class)[dim]).sum();
        all.max(1) as f64
    };
    let sums: Vec<f64> = (0..model.dims).map(sum).collect();
    let share = |class: usize, dim: usize| model.take(class)[dim] as f64 / sums[dim];
    let sizes: [&dyn Fn(usize) -> f64; 4] = [
        &|class| (0..model.dims).map(|dim| share(class, dim)).fold(0.0, f64::max),
        &|class| share(class, 0) + share(class, 1),
        &|class| share(class, 1),
        &|class| share(class, 0),
    ];
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for size in sizes {
        let sizes: Vec<f64> = (0..model.classes.len()).map(size).collect();
        let mut order: Vec<usize> = (0..model.class_of.len()).collect();
        order.sort_by(|a, b| {
            let key = |pod: usize| {
                let class = model.class_of[pod];
                (Reverse(model.problem.pods[pod].priority), dependence(model, class))
            };
            let [x, y] = [*a, *b].map(|pod| sizes[model.class_of[pod]]);
            key(*a)
                .cmp(&key(*b))
                .then(y.total_cmp(&x))
                .then(model.class_of[*a].cmp(&model.class_of[*b]))
                .then(a.cmp(b))
        });
        if !orders.contains(&order) {
            orders.push(order);
        }
    }
    if model.class_of.len() <= FEW {
        shuffle(model, &mut orders);
    }
    orders
}

/// Adds orders that no measure would give, in which important pods and those that others depend on still come first.
fn shuffle(model: &Model<'_>, orders: &mut Vec<Vec<usize>>) {
    let Some(first) = orders.first().cloned() else { return };
    for number in 1..=SHUFFLES {
        let mut order = first.clone();
        order.sort_by_key(|pod| {
            let class = model.class_of[*pod];
            // Multiplying by an odd number permutes, and its high bits look random.
            let chance = (*pod as u64 + 1).wrapping_mul(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) >> 32;
            (Reverse(model.problem.pods[*pod].priority), dependence(model, class), chance)
        });
        if !orders.contains(&order) {
            orders.push(order);
        }
    }
}

/// What comes first: pods that want a node of their own, or a port of it, decide how many nodes there are.
fn dependence(model: &Model<'_>, class: usize) -> u8 {
    let Class { pod, apart, .. } = &model.classes[class];
    let is_alone = !pod.ports.is_empty() || apart.iter().any(|group| model.group_key[*group].is_none());
    u8::from(!is_alone)
}

/// Offers to begin new nodes with: none in particular, and some of each size.
fn floors(model: &Model<'_>) -> Vec<usize> {
    let mut floors: Vec<usize> = vec![0];
    let mut last = 0;
    for (number, offer) in model.offers.iter().enumerate() {
        // Each at least a quarter more than the one before.
        if offer.price * 4 > last * 5 {
            floors.push(number);
            last = offer.price;
        }
    }
    floors
}

fn plan(model: &Model<'_>, topology: &Topology, fill: &Fill<'_, '_>) -> Plan {
    let existing = model.problem.nodes.len();
    let slot = |row: usize| if row < existing { Slot::Existing(row) } else { Slot::New(row - existing) };
    let new = fill.planned.iter().enumerate().map(|(number, planned)| NewNode {
        offer: model.offers[planned.offer].listed,
        instead: fill.instead(number).take(INSTEAD).map(|offer| model.offers[offer].listed).collect(),
    });
    let mut left = fill.left.clone();
    left.sort_unstable();
    let unplaced =
        left.into_iter().map(|pod| Unplaced { pod, because: explain::why(model, topology, fill, pod) });
    Plan {
        placed: fill.placed.iter().map(|(pod, row)| Placement { pod: *pod, on: slot(*row) }).collect(),
        new: new.collect(),
        unplaced: unplaced.collect(),
    }
}
