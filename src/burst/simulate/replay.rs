//! The simulation's loop: from one event to the next.

use std::collections::BTreeMap;

use super::{
    Site,
    outcome::{Hour, Outcome, Pending, Point, Refused},
    state::{State, Waiting},
    workload::{Event, Happening},
};
use crate::burst::{
    offer::Money,
    pack::{
        Effect, Home, Limits, Market, Month, Patience, Plan, Pod, Problem, Rented, Slot, Taint, pack,
        send_home,
    },
};

const HOUR: u64 = 3_600_000;
/// How often it is asked which nodes can go home.
const TICK: u64 = 60_000;

struct Replay<'a> {
    site: &'a Site,
    now: u64,
    state: State,
    patience: Patience,
    /// When the batch was opened, and when the last pod came to it.
    batch: Option<(u64, u64)>,
    next_tick: Option<u64>,
    last_add: u64,
    /// Nodes that are drained when what takes their place is ready, and when that is.
    replaced: BTreeMap<String, u64>,
    /// What the hours up to now have been told of the cost.
    told: Money,
    because: BTreeMap<String, String>,
    waits: Vec<u64>,
    waits_for_rented: Vec<u64>,
    outcome: Outcome,
}

/// Replays a workload until all is quiet and nothing is rented any more.
pub fn replay(site: &Site, events: &[Event]) -> Outcome {
    let outcome = Outcome {
        pods: 0,
        ran: 0,
        gave_up: 0,
        moved: 0,
        refused: Vec::new(),
        pending: Pending::default(),
        pending_for_rented: Pending::default(),
        rented: 0,
        most_at_once: 0,
        cost: Money(0),
        hours: Vec::new(),
        points: Vec::new(),
    };
    let mut replay = Replay {
        site,
        now: 0,
        state: State::of(&site.metal),
        patience: Patience::default(),
        batch: None,
        next_tick: None,
        last_add: 0,
        replaced: BTreeMap::new(),
        told: Money(0),
        because: BTreeMap::new(),
        waits: Vec::new(),
        waits_for_rented: Vec::new(),
        outcome,
    };
    let mut next = 0;
    while let Some(at) = replay.soonest(events.get(next)) {
        replay.pass_to(at);
        let mut changed = replay.state.join(at);
        while let Some(event) = events.get(next).filter(|event| event.at <= at) {
            replay.happen(&event.what);
            changed = true;
            next += 1;
        }
        replay.state.return_drained(at);
        if replay.next_tick.is_some_and(|tick| tick <= at) {
            changed |= replay.tick();
        }
        if changed {
            replay.schedule();
        }
        replay.burst();
        replay.note();
    }
    replay.finish()
}

impl Replay<'_> {
    /// When something happens next. None: never again.
    fn soonest(&self, event: Option<&Event>) -> Option<u64> {
        let leases = self.state.leases.values();
        let joining = self.state.nodes[self.state.ready..]
            .iter()
            .filter_map(|node| self.state.leases.get(&node.name))
            .map(|lease| lease.ready);
        let drained = leases.filter_map(|lease| lease.drained);
        let waiting = self.state.waiting.iter().filter(|waiting| !waiting.considered);
        let eligible =
            waiting.map(|waiting| waiting.since + self.site.delays.before).filter(|at| *at > self.now);
        let batch = self.batch.map(|batch| self.closing(batch));
        // When the workload has ended and what runs runs for ever, only what can go home is waited for.
        let tick = self.next_tick.filter(|_| event.is_some() || !self.is_settled());
        let times = event.map(|event| event.at).into_iter().chain(joining).chain(drained).chain(eligible);
        times.chain(batch).chain(tick).min().map(|at| at.max(self.now))
    }

    /// Whether two hours have changed nothing: then nothing will.
    fn is_settled(&self) -> bool {
        let last = self.outcome.points.last().map_or(0, |point| point.at);
        self.now.saturating_sub(last) > 2 * HOUR
    }

    fn closing(&self, (opened, last): (u64, u64)) -> u64 {
        (last + self.site.delays.idle).min(opened + self.site.delays.batch)
    }

    /// Lets time pass, and writes down what each hour of it cost.
    fn pass_to(&mut self, at: u64) {
        while self.now < at {
            let hour = self.now / HOUR;
            let until = at.min((hour + 1) * HOUR);
            let cost = self.state.cost(until);
            let more = cost.0.saturating_sub(self.told.0);
            self.told = cost;
            let node_hours = self.state.leases.len() as f64 * (until - self.now) as f64 / HOUR as f64;
            let entry = self.hour(hour);
            entry.cost.0 += more;
            entry.node_hours += node_hours;
            self.now = until;
        }
    }

    fn hour(&mut self, hour: u64) -> &mut Hour {
        let (pending, nodes) = (self.state.waiting.len(), self.state.leases.len());
        let hours = &mut self.outcome.hours;
        while hours.len() as u64 <= hour {
            hours.push(Hour {
                hour: hours.len() as u64,
                created: 0,
                most_pending: pending,
                most_nodes: nodes,
                node_hours: 0.0,
                cost: Money(0),
            });
        }
        &mut hours[hour as usize]
    }

    fn happen(&mut self, what: &Happening) {
        match what {
            Happening::Create(pod) => {
                self.outcome.pods += 1;
                let hour = self.now / HOUR;
                self.hour(hour).created += 1;
                let waiting =
                    Waiting { pod: Pod::clone(pod), since: self.now, moved: false, considered: false };
                self.state.waiting.push(waiting);
            }
            Happening::Delete(name) => {
                if let Some(waiting) = self.state.end(name, self.now) {
                    self.outcome.gave_up += usize::from(!waiting.moved);
                    self.because.remove(name);
                }
            }
        }
    }

    /// What the scheduler does: whoever waits gets a place on a node that is ready.
    fn schedule(&mut self) {
        if self.state.waiting.is_empty() {
            return;
        }
        let pods: Vec<Pod> = self.state.waiting.iter().map(|waiting| waiting.pod.clone()).collect();
        let (nodes, nothing) = (&self.state.nodes[..self.state.ready], Market::default());
        let plan = pack(Problem { pods: &pods, nodes, market: &nothing, limits: Limits::default() });
        let mut placed: BTreeMap<usize, usize> = BTreeMap::new();
        for placement in plan.placed {
            if let Slot::Existing(node) = placement.on {
                placed.insert(placement.pod, node);
            }
        }
        let waiting = std::mem::take(&mut self.state.waiting);
        for (number, waiting) in waiting.into_iter().enumerate() {
            let Some(node) = placed.get(&number) else {
                self.state.waiting.push(waiting);
                continue;
            };
            let node = &mut self.state.nodes[*node];
            if !waiting.moved {
                let wait = self.now - waiting.since;
                self.waits.push(wait);
                if !node.is_metal() {
                    self.waits_for_rented.push(wait);
                }
                self.outcome.ran += 1;
            }
            self.because.remove(&waiting.pod.full_name());
            node.pods.push(waiting.pod);
            if let Some(lease) = self.state.leases.get_mut(&node.name) {
                lease.empty_since = None;
            }
        }
    }

    /// Opens a batch when a pod has waited for long enough, and rents nodes when the batch is closed.
    fn burst(&mut self) {
        if self.state.ready == self.state.nodes.len() {
            // Whoever still waits, and was not refused, lost its place on a new node to another.
            for waiting in &mut self.state.waiting {
                waiting.considered &= self.because.contains_key(&waiting.pod.full_name());
            }
        }
        let ripe = |waiting: &Waiting| waiting.since + self.site.delays.before <= self.now;
        let newest = self
            .state
            .waiting
            .iter()
            .filter(|waiting| ripe(waiting) && !waiting.considered)
            .map(|waiting| waiting.since + self.site.delays.before)
            .max();
        self.batch = newest.map(|newest| match self.batch {
            Some((opened, _)) => (opened, newest),
            None => (newest.max(self.now), newest.max(self.now)),
        });
        if self.batch.is_none_or(|batch| self.closing(batch) > self.now) {
            return;
        }
        self.batch = None;
        let (mut numbers, mut pods) = (Vec::new(), Vec::new());
        for (number, waiting) in self.state.waiting.iter_mut().enumerate() {
            if waiting.since + self.site.delays.before <= self.now {
                waiting.considered = true;
                numbers.push(number);
                pods.push(waiting.pod.clone());
            }
        }
        let plan = pack(Problem {
            pods: &pods,
            nodes: &self.state.nodes,
            market: &self.site.market,
            limits: self.limits(),
        });
        self.carry_out(&plan, &pods);
    }

    fn limits(&self) -> Limits {
        let month = self.site.monthly_budget;
        let month = month.map(|budget| Month { budget, spent: self.state.cost(self.now) });
        Limits { month, ..self.site.limits }
    }

    fn carry_out(&mut self, plan: &Plan, pods: &[Pod]) {
        for new in &plan.new {
            self.state.rent(&self.site.market, new, self.now, self.now + self.site.delays.ready);
            self.last_add = self.now;
        }
        if !plan.new.is_empty() {
            self.next_tick.get_or_insert(self.now + TICK);
        }
        for placement in &plan.placed {
            self.because.remove(&pods[placement.pod].full_name());
        }
        for unplaced in &plan.unplaced {
            self.because.insert(pods[unplaced.pod].full_name(), unplaced.because.clone());
        }
    }

    /// Sends nodes home. Says whether anything changed.
    fn tick(&mut self) -> bool {
        self.next_tick = (!self.state.leases.is_empty()).then_some(self.now + TICK);
        // What was refused may be possible now.
        for waiting in &mut self.state.waiting {
            waiting.considered &= !self.because.contains_key(&waiting.pod.full_name());
        }
        let ready = &self.state.nodes[..self.state.ready];
        let rented = ready.iter().enumerate().filter_map(|(node, it)| {
            let lease = self.state.leases.get(&it.name)?;
            Some(Rented {
                node,
                since: lease.ready / 1000,
                empty_since: lease.empty_since.map(|since| since / 1000),
                draining: lease.drained.is_some() || self.replaced.contains_key(&it.name),
            })
        });
        let rented: Vec<Rented> = rented.collect();
        let home = Home {
            now: self.now / 1000,
            last_add: self.last_add / 1000,
            nodes: ready,
            rented: &rented,
            budgets: &BTreeMap::new(),
            market: &self.site.market,
            limits: self.limits(),
            settings: self.site.settings,
        };
        let drains = send_home(&home, &mut self.patience);
        let mut changed = !drains.is_empty();
        for drain in &drains {
            for new in &drain.instead {
                self.state.rent(&self.site.market, new, self.now, self.now + self.site.delays.ready);
                self.last_add = self.now;
            }
            let name = self.state.nodes[drain.node].name.clone();
            let from = self.now + if drain.instead.is_empty() { 0 } else { self.site.delays.ready };
            self.replaced.insert(name, from);
        }
        let due: Vec<String> = self
            .replaced
            .iter()
            .filter(|(_, from)| **from <= self.now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.replaced.remove(&name);
            if let Some(number) = self.state.nodes.iter().position(|node| node.name == name) {
                self.drain(number);
                changed = true;
            }
        }
        self.state.return_drained(self.now);
        changed
    }

    fn drain(&mut self, number: usize) {
        let is_empty = self.state.nodes[number].pods.is_empty();
        let until = self.now + if is_empty { 0 } else { self.site.delays.drain };
        let cordon = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: Effect::NoSchedule,
        };
        self.outcome.moved += self.state.drain(number, self.now, until, cordon);
    }

    fn note(&mut self) {
        let point = Point { at: self.now, pending: self.state.waiting.len(), nodes: self.state.leases.len() };
        let hour = self.now / HOUR;
        let entry = self.hour(hour);
        entry.most_pending = entry.most_pending.max(point.pending);
        entry.most_nodes = entry.most_nodes.max(point.nodes);
        self.outcome.most_at_once = self.outcome.most_at_once.max(point.nodes);
        let same = |last: &Point| last.pending == point.pending && last.nodes == point.nodes;
        if !self.outcome.points.last().is_some_and(same) {
            self.outcome.points.push(point);
        }
    }

    fn finish(mut self) -> Outcome {
        let refused = self.state.waiting.iter().map(|waiting| {
            let pod = waiting.pod.full_name();
            let because =
                self.because.get(&pod).cloned().unwrap_or_else(|| "no node was ready for it".to_owned());
            Refused { pod, because }
        });
        self.outcome.refused = refused.collect();
        self.outcome.pending = Pending::of(std::mem::take(&mut self.waits));
        self.outcome.pending_for_rented = Pending::of(std::mem::take(&mut self.waits_for_rented));
        self.outcome.rented = self.state.rented;
        self.outcome.cost = self.state.cost(self.now);
        let rest = self.outcome.cost.0.saturating_sub(self.told.0);
        if let Some(hour) = self.outcome.hours.last_mut() {
            hour.cost.0 += rest;
        }
        self.outcome
    }
}
