//! One turn, and what is told of it.

use std::{collections::BTreeMap, time::Duration};

use super::{Beside, Connection, Error, Kind, Known, Line, Service, Status, Told};
use crate::burst::{
    claim::{Claim, Phase},
    controller::{Controller, Decision, Report, View},
    demand::{Explanation, Rules, Situation, Wish, decide},
    gateway::Kept,
    offer::{Capacity, Money},
    time::Time,
};

/// How often the status is written when only its numbers change.
const SHOW: Duration = Duration::from_secs(60);

const NO_WAY: &str = "the gateway to the machines is not there yet";

/// What came of a turn.
pub enum Outcome {
    /// Another controller leads.
    Standby,
    Done(Box<Done>),
}

/// A turn that was made.
pub struct Done {
    pub decision: Decision,
    pub explanation: Explanation,
    /// None: nothing was to be carried out.
    pub report: Option<Report>,
    /// Why nothing would be launched now, though nodes are wanted, where nothing was to be carried out.
    pub would_wait: Option<String>,
    pub spent: Money,
    /// Something else than claims and pods is on its way: the gateway.
    pub busy: bool,
}

impl Outcome {
    /// Whether the next turn should come soon.
    pub fn is_busy(&self, controller: &Controller) -> bool {
        match self {
            Outcome::Standby => false,
            Outcome::Done(done) => {
                controller.is_busy()
                    || done.busy
                    || done.explanation.young > 0
                    || !done.decision.wanted.is_empty()
            }
        }
    }
}

impl Service {
    /// What persons want. What somebody wrote there that is not understood keeps nobody from draining what EC2 takes back.
    async fn wish(&mut self, connection: &Connection) -> Result<Wish, Error> {
        match (connection.board.wish().await, &self.wish) {
            (Ok(wish), _) => {
                self.memory.forget(Kind::Trouble, "wish");
                self.wish = Some(wish.clone());
                Ok(wish)
            }
            (Err(error), Some(last)) => {
                let last = last.clone();
                self.standing(Kind::Trouble, "wish", &error.to_string());
                Ok(last)
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Looks, decides and carries out. With `only_look`, it changes nothing and does not ask who leads.
    ///
    /// # Errors
    /// The API server did not answer, or what it keeps is not understood. The next turn goes on.
    pub async fn turn(&mut self, connection: &mut Connection, only_look: bool) -> Result<Outcome, Error> {
        let Known { asked, offered, troubles } = self.known.borrow().clone();
        let caps = self.rules.caps.beside(offered.gateway.unwrap_or_default());
        let rules = Rules { caps, ..self.rules.clone() };
        connection.controller.know(&offered.types, caps);
        for remark in &offered.remarks {
            self.standing(Kind::Market, "", remark);
        }
        let view = match only_look {
            true => connection.controller.peek().await?,
            false => match connection.controller.look().await? {
                Some(view) => view,
                None => {
                    self.memory.forget(Kind::Lead, "this controller");
                    connection.keeper.iter().for_each(Beside::forget);
                    self.standing(Kind::Lead, "another controller", "leads; this one waits");
                    return Ok(Outcome::Standby);
                }
            },
        };
        self.memory.forget(Kind::Trouble, "api");
        self.memory.forget(Kind::Lead, "another controller");
        if !only_look {
            self.standing(Kind::Lead, "this controller", "leads");
            self.told_of(&view);
            connection.keeper.iter().for_each(Beside::begin);
        }
        let (seen, wish) = (connection.look.look().await?, self.wish(connection).await?);
        let now = self.clock.now();
        let spent = view.spent(now);
        let has = |offer: &_| view.has(offer, now);
        let situation = Situation {
            seen: &seen,
            claims: view.claims().collect(),
            wish: &wish,
            types: &offered.types,
            offers: &offered.offers,
            has: &has,
            in_vain: view.in_vain(),
            spent,
            now,
        };
        let (mut decision, mut explanation) = decide(&situation, &rules, &mut self.waits);
        if !asked {
            // Nobody knows yet what can be rented.
            explanation.unplaced.clear();
        }
        if only_look {
            let is_there = match &connection.written {
                Some(records) => records.gateway().await?.0.instance().is_some(),
                None => true,
            };
            let would_wait = (!is_there && !decision.wanted.is_empty()).then(|| NO_WAY.to_owned());
            let (report, busy) = (None, false);
            return Ok(Outcome::Done(Box::new(Done {
                decision,
                explanation,
                report,
                would_wait,
                spent,
                busy,
            })));
        }
        if let Some(keeper) = connection.keeper.as_ref().filter(|_| self.once) {
            connection.controller.holding(keeper.first()).await;
        }
        // A look that goes on says nothing yet.
        let known = connection.keeper.as_ref().map(Beside::told);
        let hindrance = known.and_then(|told| told.map_or(Some(NO_WAY), |told| told.hindrance));
        decision.is_cut = hindrance.is_some();
        let waits = hindrance.is_some() && !decision.wanted.is_empty();
        if waits {
            // They would not find the machines, and be paid for until they are given up.
            decision.wanted.clear();
        }
        let mut report = connection.controller.carry_out(view, &decision).await?;
        if let Some(hindrance) = hindrance.filter(|_| waits) {
            report.held_back.get_or_insert_with(|| hindrance.to_owned());
        }
        // All of it was done.
        self.memory.forget(Kind::Trouble, "turn");
        let gateway = connection.keeper.as_ref().and_then(Beside::told).and_then(|told| self.heard(told));
        self.told(&explanation, &report, &troubles);
        let status = Status {
            at: now,
            controller: self.identity.clone(),
            spent,
            gateway: gateway.clone(),
            gateway_price: offered.gateway,
            explanation: explanation.clone(),
            held_back: report.held_back.clone(),
            troubles: self.memory.recent(Kind::Trouble, now),
            offers: offered.offers.len(),
            remarks: offered.remarks,
        };
        self.show(connection, status).await;
        let busy = waits || gateway.as_ref().is_some_and(|it| it.instance.is_none());
        let (report, would_wait) = (Some(report), None);
        Ok(Outcome::Done(Box::new(Done { decision, explanation, report, would_wait, spent, busy })))
    }

    /// Shows the status, if it is news or old. That it cannot be shown stops nothing.
    async fn show(&mut self, connection: &Connection, status: Status) {
        let same = |shown: &Status| {
            let (at, spent) = (status.at, status.spent);
            Status { at, spent, ..shown.clone() } == status && at.since(shown.at) < SHOW && at >= shown.at
        };
        if self.shown.as_ref().is_some_and(same) {
            return;
        }
        match connection.board.show(&status).await {
            Ok(()) => self.shown = Some(status),
            Err(error) => self.standing(Kind::Trouble, "status", &error.to_string()),
        }
    }

    /// Tells what claims have become since they were last seen.
    fn told_of(&mut self, view: &View) {
        let claims: BTreeMap<String, String> =
            view.claims().map(|claim| (claim.name.clone(), words(claim))).collect();
        for (claim, message) in claims {
            self.standing(Kind::Claim, &claim, &message);
        }
    }

    /// What hinders the gateway hinders nothing else: nodes are drained, and given back.
    fn heard(&mut self, told: Told) -> Option<Kept> {
        if let Some(trouble) = &told.trouble {
            self.standing(Kind::Trouble, "gateway", trouble);
        }
        if let Some(kept) = &told.kept {
            self.told_of_gateway(kept);
        }
        told.kept
    }

    fn told_of_gateway(&mut self, kept: &Kept) {
        let what = kept.instance.as_deref().unwrap_or("is not there yet,");
        self.standing(
            Kind::Gateway,
            "gateway",
            &format!("{what} at {}, lets in {}", kept.endpoint, kept.machines),
        );
        let without = kept.without_key.join(" ");
        if !without.is_empty() && kept.machines > 0 {
            self.standing(Kind::Gateway, &without, "no key is known to the gateway: `hoist apply` makes one");
        }
        let unknown = kept.unknown.join(" ");
        if !unknown.is_empty() {
            let message = "not in the inventory that this controller was given: give it the new one";
            self.standing(Kind::Gateway, &unknown, message);
        }
        if let Some(trouble) = &kept.trouble {
            self.standing(Kind::Trouble, "gateway", trouble);
        }
    }

    fn told(&mut self, explanation: &Explanation, report: &Report, troubles: &[String]) {
        for claim in &report.gone {
            self.say(Kind::Claim, claim, "is gone: EC2 has nothing of it any more");
            self.memory.forget(Kind::Claim, claim);
        }
        for id in &report.collected {
            self.say(Kind::Collected, id, "belongs to no claim: it is being ended");
        }
        for pod in &explanation.unplaced {
            self.standing(Kind::Unplaced, &pod.pod, &format!("nothing is rented for it: {}", pod.because));
        }
        match &report.held_back {
            Some(reason) => self.standing(Kind::HeldBack, "", &format!("nothing is launched: {reason}")),
            None => drop(self.memory.forget(Kind::HeldBack, "")),
        }
        for trouble in troubles.iter().chain(&report.troubles) {
            self.standing(Kind::Trouble, trouble, trouble);
        }
    }

    /// Tells what holds now, unless it was told already.
    pub(super) fn standing(&mut self, kind: Kind, about: &str, message: &str) {
        let now = self.clock.now();
        // Remarks and troubles are known by their words.
        let key = if kind == Kind::Market { message } else { about };
        if self.memory.is_new(kind, key, message, now) {
            let about = if about == message { "" } else { about };
            self.say(kind, about, message);
        }
    }

    fn say(&mut self, kind: Kind, about: &str, message: &str) {
        let time: Time = self.clock.now();
        (self.tell)(&Line { time, kind, about: about.to_owned(), message: message.to_owned() });
    }
}

/// `EC2 gave an instance, m7i.large (spot, eu-central-1a) at 0.0416 $/h, for web/a`
fn words(claim: &Claim) -> String {
    let mut words = match claim.phase {
        Phase::Planned => String::from("planned"),
        Phase::Launching => String::from("EC2 is asked for it"),
        Phase::Launched => String::from("EC2 gave an instance"),
        Phase::Running => String::from("runs, and should join"),
        Phase::Registered => String::from("has joined, and is not ready yet"),
        Phase::Ready => String::from("is ready"),
        Phase::Draining => String::from("is drained"),
        Phase::Terminating => String::from("is given back"),
        Phase::Gone => String::from("is gone"),
    };
    if let Some(why) = &claim.why {
        words.push_str(&format!(", because {}", why.words()));
    }
    if let Some(offer) = claim.offer().filter(|_| claim.phase <= Phase::Launched) {
        let way = if offer.capacity == Capacity::Spot { "spot" } else { "on demand" };
        words.push_str(&format!(", {} ({way}, {}) at {} $/h", offer.instance_type, offer.zone, offer.price));
    }
    if claim.phase <= Phase::Launched && !claim.pods.is_empty() {
        words.push_str(&format!(", for {}", claim.pods.join(" ")));
    }
    words
}
