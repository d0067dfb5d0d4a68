//! Writes down the claims that a decision asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Controller, Error, Report, View,
    disrupt::{has_expired, is_ripe},
};
use crate::burst::{
    claim::{Claim, Phase, Why},
    cloud::hex,
    offer::Offer,
    time::Time,
};

/// A node that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where to launch, best first.
    pub offers: Vec<Offer>,
    /// For whom, as `namespace/name`; or the name of a worker that a person wants, without a slash.
    pub pods: Vec<String>,
}

/// A pod that waits, and has done so for long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// Another one when the pod is changed or replaced.
    pub mark: String,
    pub since: Time,
}

/// What should be done, by whoever knows pods and persons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// In addition to the nodes that are there or on their way. Pods that a claim on its way names are not served twice.
    pub wanted: Vec<Wanted>,
    /// Claims whose pods would have room on nodes that are there, by name.
    pub unneeded: BTreeSet<String>,
    /// Claims whose pods can be had for less with another node, by name, and where to launch that one, best first. It is
    /// rented before they are drained.
    pub cheaper: BTreeMap<String, Vec<Offer>>,
    /// Claims that a person wants to be removed, by name.
    pub removed: BTreeSet<String>,
    /// Pods that wait, by full name, so that it is known of whom a node that stays empty was of no use to.
    pub waiting: BTreeMap<String, Waiter>,
    /// Everything goes and nothing comes.
    pub remove_all: bool,
    /// The way between machines and rented nodes is known not to work: that nodes are not ready says nothing about them.
    pub is_cut: bool,
}

/// Launches that EC2 has not answered in time, before there are no more.
const UNANSWERED: usize = 3;

impl Controller {
    /// Makes claims for what is wanted, if launches are allowed and the batch is complete.
    pub(super) async fn plan(
        &mut self,
        view: &mut View,
        decision: &Decision,
        report: &mut Report,
        now: Time,
    ) -> Result<(), Error> {
        let served: BTreeSet<&String> = view
            .claims()
            .filter(|claim| claim.is_capacity() && claim.phase != Phase::Ready)
            .flat_map(|claim| &claim.pods)
            .collect();
        let is_new = |wanted: &&Wanted| wanted.pods.iter().any(|pod| !served.contains(pod));
        let wanted: Vec<Wanted> = decision.wanted.iter().filter(is_new).cloned().collect();
        let pods = wanted.iter().flat_map(|wanted| wanted.pods.iter().cloned()).collect();
        let mut plans = self.replacements(view, decision, now);
        if self.window.is_over(pods, &self.settings.batch, now) {
            plans.extend(wanted.into_iter().map(|Wanted { offers, pods }| (offers, pods, None)));
        }
        if plans.is_empty() || decision.remove_all {
            return Ok(());
        }
        if let Some(reason) = self.held_back(view, now) {
            report.held_back = Some(reason);
            return Ok(());
        }
        for (number, (offers, pods, replaces)) in plans.into_iter().enumerate() {
            let open: Vec<&Claim> = view.claims().collect();
            let on_the_way = open.iter().filter(|claim| claim.is_capacity() && claim.phase < Phase::Ready);
            let (caps, spent) = (&self.settings.caps, view.spent(now));
            let may = |offer: &&Offer| {
                view.has(offer, now) && caps.allow(offer, &open, spent, &self.settings.types)
            };
            if on_the_way.count() >= view.book.market.breaker.at_once(now) {
                report.held_back = Some("nodes did not join: launches pause".to_owned());
                break;
            }
            if !offers.iter().any(|offer| may(&offer)) {
                report.held_back = Some("no offer is to be had within the caps now".to_owned());
                continue;
            }
            let mut claim = Claim::new(self.name(number, now), offers, pods, now);
            claim.replaces = replaces;
            claim.demanded =
                claim.pods.iter().filter_map(|pod| decision.waiting.get(pod)).map(|it| it.since).min();
            let version = self.around.ledger.create(&claim).await?;
            report.planned.push(claim.name.clone());
            view.claims.push((claim, version));
        }
        Ok(())
    }

    /// Why nothing may be launched at all.
    fn held_back(&self, view: &View, now: Time) -> Option<String> {
        let stopped = view.book.market.stopped.as_ref();
        if let Some(stopped) = stopped.filter(|it| it.configuration == self.settings.configuration) {
            return Some(format!("since {}: {}", stopped.since, stopped.reason));
        }
        let open: Vec<&Claim> = view.claims().collect();
        let unanswered = |claim: &&&Claim| {
            claim.phase == Phase::Launching && claim.why == Some(Why::TimeOut(Phase::Launching))
        };
        // Each of them may have made an instance, which is ended when EC2 answers: no more of those.
        if open.iter().filter(unanswered).count() >= UNANSWERED {
            return Some("EC2 does not answer launches".to_owned());
        }
        let (caps, spent) = (&self.settings.caps, view.spent(now));
        caps.is_spent(spent, &open).then(|| {
            format!("${spent} are spent this month: that is the cap, less what it takes to end what runs")
        })
    }

    /// For nodes that EC2 takes back, that are too old or too dear, each once, and without waiting for a batch.
    #[allow(clippy::type_complexity)]
    fn replacements(
        &self,
        view: &View,
        decision: &Decision,
        now: Time,
    ) -> Vec<(Vec<Offer>, Vec<String>, Option<String>)> {
        let is_dear = |claim: &Claim| {
            let added = view.book.added;
            decision.cheaper.contains_key(&claim.name) && is_ripe(claim, added, &self.settings.policy, now)
        };
        let needs = |claim: &&Claim| {
            let node = view.nodes.iter().find(|node| node.name == claim.name);
            let used = node.is_some_and(|node| !node.pods.is_empty());
            let noticed = claim.phase == Phase::Ready && node.is_some_and(|node| node.notice);
            let kept = claim.workers().next().is_some();
            (used || kept)
                && (noticed || claim.why.is_none() && has_expired(claim, &self.settings.policy, now))
                || used && is_dear(claim)
        };
        let replaced = |claim: &Claim| view.claims().any(|it| it.replaces.as_ref() == Some(&claim.name));
        view.claims()
            .filter(needs)
            .filter(|claim| !replaced(claim))
            .map(|claim| {
                let pods = view.nodes.iter().find(|node| node.name == claim.name);
                let mut pods = pods.map(|node| node.pods.clone()).unwrap_or_default();
                pods.extend(claim.workers().cloned());
                let offers = match decision.cheaper.get(&claim.name) {
                    Some(offers) if is_dear(claim) => offers.clone(),
                    _ => claim.offers.clone(),
                };
                (offers, pods, Some(claim.name.clone()))
            })
            .collect()
    }

    /// Ten characters that differ by moment and process. Should they ever meet again, the client token does, too, and
    /// EC2 answers with the old instance instead of making one.
    fn name(&self, number: usize, now: Time) -> String {
        let from =
            format!("{}\n{}\n{}\n{number}", self.settings.template.cluster, self.candidate.identity, now.0);
        let digest: String = hex(from.as_bytes()).chars().take(10).collect();
        format!("burst-{digest}")
    }
}
