//! Moves claims along, one edge after the other, and does what each edge asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Controller, Decision, Error, Report, Unwanted, View, Work, disrupt::endings, nodes::may_sign,
    order::order, vain::unhelped,
};
use crate::burst::{
    claim::{Action, Answer, Book, Claim, NodeSeen, Phase, Seen, Sight, Why, answered, next},
    cloud::{Kind, UserData},
    offer::Offer,
    time::Time,
};

/// Edges of one claim in one turn: more than there are offers to be refused.
const EDGES: usize = 200;

impl Controller {
    /// Carries out a decision that was made on `view`.
    ///
    /// # Errors
    /// Another controller leads, the ledger did not answer, or Kubernetes did not.
    pub async fn carry_out(&mut self, mut view: View, decision: &Decision) -> Result<Report, Error> {
        let now = self.around.clock.now();
        let mut report = Report { troubles: std::mem::take(&mut view.troubles), ..Report::default() };
        self.look_at_way(decision.is_cut, now);
        // What was between the look and the decision may have taken long.
        if !self.leads_still().await? {
            return Ok(report);
        }
        self.plan(&mut view, decision, &mut report, now).await?;
        // A claim is launched only by one that led after the claim was written: whoever leads next has seen it.
        if !self.leads().await? {
            return Ok(report);
        }
        self.sign(&view, &mut report).await;
        self.label(&view, &mut report).await;
        let endings = self.endings(&view, decision, now);
        for index in order(&view.claims().collect::<Vec<_>>()) {
            self.drive(&mut view, index, &endings, decision, &mut report).await?;
        }
        self.close(&mut view, &mut report).await?;
        self.keep_sum(&view, &mut report).await;
        self.collect(&view, &mut report).await?;
        Ok(report)
    }

    fn endings(&self, view: &View, decision: &Decision, now: Time) -> BTreeMap<String, Why> {
        let claims: Vec<&Claim> = view.claims().collect();
        let unwanted = Unwanted {
            all: decision.remove_all,
            removed: decision.removed.clone(),
            spent: self.settings.caps.is_spent(view.spent(now), &claims),
            dear: decision.cheaper.keys().cloned().collect(),
        };
        endings(&claims, &unwanted, view.book.added, &self.settings.policy, now)
    }

    async fn sign(&self, view: &View, report: &mut Report) {
        let claims: Vec<&Claim> = view.claims().collect();
        for request in view.requests.iter().filter(|request| may_sign(request, &claims)) {
            let claim = request.common_name.trim_start_matches("system:node:");
            if let Err(error) = self.around.nodes.work(claim, &Work::Approve(request.name.clone())).await {
                report.troubles.push(error.to_string());
            }
        }
    }

    /// Who takes the label away from a rented node does not mean to end it.
    async fn label(&self, view: &View, report: &mut Report) {
        for claim in view.claims() {
            let is_bare = |node: &NodeSeen| !node.labelled && claim.owns(&node.name, &node.provider_id);
            if view.nodes.iter().any(is_bare) {
                self.work(&claim.name, &Work::Label, report).await;
            }
        }
    }

    /// Moves one claim as far as it goes without a new look. Each edge is written down before what it asks for is done.
    async fn drive(
        &mut self,
        view: &mut View,
        index: usize,
        endings: &BTreeMap<String, Why>,
        decision: &Decision,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut seen = self.seen(view, index, endings, decision);
        for _ in 0..EDGES {
            let now = self.around.clock.now();
            // A turn with slow launches outlasts the lease.
            if !self.leads_still().await? {
                break;
            }
            seen.silent = report.silent;
            let claim = view.claims[index].0.clone();
            let asks_cloud = !matches!(claim.phase, Phase::Ready | Phase::Draining);
            if asks_cloud && !self.pace.is_open(now) {
                break;
            }
            if claim.phase == Phase::Planned && seen.end.is_none() {
                seen.offer = self.choose(view, index, now);
                // A claim that nothing can be launched for would keep its pods waiting for a node that does not come.
                seen.end = seen.offer.is_none().then_some(Why::NoOffer);
            }
            let after = next(&claim, &seen, &self.settings.limits, now);
            let moved = after.claim.phase != claim.phase;
            // First, for it may be repeated: a kill in between forgets nobody.
            self.learn(view, unhelped(&claim, &after.claim, &seen, &decision.waiting), now).await?;
            self.record(view, index, after.claim, now).await?;
            if moved && view.claims[index].0.phase == Phase::Ready {
                // Should this fail, the token ends by itself.
                self.work(&claim.name, &Work::DropToken, report).await;
            }
            let mut answers = false;
            for action in after.actions {
                if let Some(answer) = self.act(&claim, action, report).await {
                    answers |= self.take_in(view, index, answer).await?;
                }
            }
            if !moved && !answers {
                break;
            }
            // What was seen of EC2 is older than what it has answered now.
            if answers {
                seen.cloud = None;
            }
        }
        Ok(())
    }

    fn seen(&self, view: &View, index: usize, endings: &BTreeMap<String, Why>, decision: &Decision) -> Seen {
        let claim = &view.claims[index].0;
        let ids: BTreeSet<&str> = claim.instances().collect();
        let is_ours = |tag: &Option<String>| tag.as_ref() == Some(&claim.name);
        let cloud = view.cloud.as_ref().map(|cloud| Sight {
            instances: cloud
                .instances
                .iter()
                .filter(|it| is_ours(&it.claim) || ids.contains(it.id.as_str()))
                .cloned()
                .collect(),
            leftovers: cloud.leftovers.iter().filter(|it| is_ours(&it.claim)).cloned().collect(),
        });
        Seen {
            cloud,
            node: view.nodes.iter().find(|node| node.name == claim.name).cloned(),
            offer: None,
            end: endings.get(&claim.name).cloned(),
            unneeded: decision.unneeded.contains(&claim.name) || decision.cheaper.contains_key(&claim.name),
            blamed: self.blames(view, index, self.around.clock.now()),
            silent: false,
        }
    }

    /// The best offer that is to be had, within the caps and beside all other claims.
    fn choose(&self, view: &View, index: usize, now: Time) -> Option<Offer> {
        let others: Vec<&Claim> =
            view.claims().enumerate().filter(|(other, _)| *other != index).map(|(_, claim)| claim).collect();
        let (market, spent) = (&view.book.market, view.spent(now));
        let stopped =
            market.stopped.as_ref().is_some_and(|it| it.configuration == self.settings.configuration);
        let may = |offer: &&Offer| {
            !stopped
                && market.has(offer, now)
                && self.settings.caps.allow(offer, &others, spent, &self.settings.types)
                && self.can_be_asked_for(offer)
        };
        view.claims[index].0.offers.iter().find(may).cloned()
    }

    /// Whether there is a subnet and an image for it.
    fn can_be_asked_for(&self, offer: &Offer) -> bool {
        let template = &self.settings.template;
        let shape = self.settings.types.get(&offer.instance_type);
        template.subnets.contains_key(&offer.zone)
            && shape.is_some_and(|shape| template.images.contains_key(&shape.architecture))
    }

    /// Writes a claim down, if it changed, and what is learnt from the change.
    async fn record(&self, view: &mut View, index: usize, mut after: Claim, now: Time) -> Result<(), Error> {
        let (claim, version) = &view.claims[index];
        if after.phase != claim.phase {
            after.times.insert(after.phase, now);
        }
        if after == *claim {
            return Ok(());
        }
        let version = self.around.ledger.update(&after, version).await?;
        let mut book = view.book.clone();
        book.market.learn(claim, &after, now);
        // Not when it was planned: where EC2 has nothing to give, claims come and go, and no node is added.
        if after.phase == Phase::Launched && claim.phase != Phase::Launched {
            book.added = Some(now);
        }
        view.claims[index] = (after, version);
        self.save(view, book).await
    }

    /// Remembers pods that a node was of no use to.
    async fn learn(&self, view: &mut View, marks: Vec<String>, now: Time) -> Result<(), Error> {
        if marks.is_empty() {
            return Ok(());
        }
        let mut book = view.book.clone();
        book.in_vain.learn(&marks, now);
        self.save(view, book).await
    }

    pub(super) async fn save(&self, view: &mut View, book: Book) -> Result<(), Error> {
        if book != view.book {
            view.book_version = Some(self.around.ledger.save(&book, view.book_version.as_ref()).await?);
            view.book = book;
        }
        Ok(())
    }

    /// Takes in an answer; whether there is more to do now.
    async fn take_in(&self, view: &mut View, index: usize, answer: Answer) -> Result<bool, Error> {
        let now = self.around.clock.now();
        let claim = view.claims[index].0.clone();
        if let (Answer::Refused(error), Some(launch)) = (&answer, &claim.launch) {
            let mut book = view.book.clone();
            book.market.refused(error, &launch.offer, &self.settings.configuration, now);
            self.save(view, book).await?;
        }
        if let Answer::Unwritten(why) = &answer {
            let mut book = view.book.clone();
            book.market.stop(why.clone(), &self.settings.configuration, now);
            self.save(view, book).await?;
        }
        let mut after = answered(&claim, answer, now);
        if after.attempt != claim.attempt {
            after.lifetime = Some(self.settings.policy.maximum_life);
        }
        let moved = after.phase != claim.phase;
        self.record(view, index, after, now).await?;
        Ok(moved)
    }

    async fn act(&mut self, claim: &Claim, action: Action, report: &mut Report) -> Option<Answer> {
        let now = self.around.clock.now();
        let name = &claim.name;
        let cloud = self.around.cloud.clone();
        match action {
            Action::Prepare(offer) => {
                let number = claim.attempt + 1;
                match self.around.nodes.prepare(claim, number, &offer).await {
                    Ok(user_data) => return self.request(claim, number, offer, user_data, report),
                    Err(error) => {
                        report.troubles.push(error.to_string());
                        return error.lasts.then(|| Answer::Unwritten(error.to_string()));
                    }
                }
            }
            Action::Launch(request) => {
                report.launches += 1;
                let answer = self.holding(cloud.launch(&request)).await;
                // A launch has its own pause, and a refusal of one says nothing about other calls.
                if answer.as_ref().is_err_and(|error| matches!(error.kind, Kind::Throttled | Kind::Expired)) {
                    self.pace.take_in(&answer, now);
                }
                return Some(match answer {
                    Ok(instance) => Answer::Launched(instance),
                    Err(error) => {
                        report.silent |= error.kind == Kind::Ambiguous;
                        report.troubles.push(error.to_string());
                        Answer::Refused(error)
                    }
                });
            }
            Action::Console(id) => {
                let kept = match self.holding(cloud.console_output(&id)).await {
                    Ok(output) => {
                        self.around.ledger.keep_console(name, &output).await.map_err(|it| it.to_string())
                    }
                    Err(error) => Err(error.to_string()),
                };
                report.troubles.extend(kept.err());
            }
            Action::Cordon => self.work(name, &Work::Cordon, report).await,
            Action::Uncordon => self.work(name, &Work::Uncordon, report).await,
            Action::Evict { grace, respect_budgets } => {
                self.work(name, &Work::Evict { grace, respect_budgets }, report).await;
            }
            Action::Terminate(ids) => self.terminate(&ids, report).await,
            Action::Delete(leftover) => {
                if let Err(error) = self.holding(cloud.delete(&leftover)).await {
                    report.troubles.push(error.to_string());
                }
            }
            Action::DropNode => self.work(name, &drop_node(claim), report).await,
            Action::Finish => match self.around.nodes.work(name, &drop_node(claim)).await {
                Ok(()) => return Some(Answer::Dropped),
                Err(error) => report.troubles.push(error.to_string()),
            },
        }
        None
    }

    fn request(
        &self,
        claim: &Claim,
        number: u32,
        offer: Offer,
        user_data: UserData,
        report: &mut Report,
    ) -> Option<Answer> {
        let now = self.around.clock.now();
        let expires = now.after(self.settings.policy.maximum_life + self.settings.policy.replacement);
        let architecture = self.settings.types.get(&offer.instance_type)?.architecture;
        let request =
            self.settings.template.request(&claim.name, number, &offer, architecture, user_data, expires);
        match request {
            Some(request) => Some(Answer::Prepared(offer, Box::new(request))),
            None => {
                report.troubles.push(format!(
                    "{} in {} cannot be launched: there is no subnet in that zone, or no image for {architecture:?}",
                    offer.instance_type, offer.zone
                ));
                None
            }
        }
    }

    pub(super) async fn work(&self, claim: &str, work: &Work, report: &mut Report) {
        if let Err(error) = self.around.nodes.work(claim, work).await {
            report.troubles.push(error.to_string());
        }
    }

    /// Counts what claims cost that are gone, and drops them.
    async fn close(&self, view: &mut View, report: &mut Report) -> Result<(), Error> {
        let now = self.around.clock.now();
        let mut book = view.book.clone();
        for (claim, _) in view.claims.iter().filter(|(claim, _)| claim.phase == Phase::Gone) {
            book.spent.close(claim, now);
        }
        book.spent.prune(&view.claims().map(|claim| claim.name.clone()).collect());
        self.save(view, book).await?;
        for (claim, version) in view.claims.iter().filter(|(claim, _)| claim.phase == Phase::Gone) {
            self.around.ledger.delete(&claim.name, version).await?;
            report.gone.push(claim.name.clone());
        }
        view.claims.retain(|(claim, _)| claim.phase != Phase::Gone);
        Ok(())
    }
}

fn drop_node(claim: &Claim) -> Work {
    Work::DropNode(claim.instances().map(str::to_owned).collect())
}
