//! Add-ons as a part of `plan` and `apply`.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Failure, request::Request, shared::home};
use crate::{
    addon::{self, Crew, Desired, Difference, Ended, Observed, Sources, observe, refuse},
    artifact::{File, Index},
    cluster::Session,
    engine::{AddonPlan, Events, Journal, Plan},
    exit::Exit,
    inventory::Inventory,
    kube::{self, Api},
    report::tell_line,
    task::Change,
};

/// What stands in a plan for what is not known.
pub(super) const UNKNOWN: &str = "compare it with the cluster, which does not answer now";
/// So many add-ons are compared at the same time.
const AT_ONCE: usize = 4;

/// The add-ons that are wanted; none where only some hosts or roles are meant.
pub struct Addons {
    pub desired: Vec<Desired>,
    pub helm: Option<File>,
}

/// What a run records with.
#[derive(Clone)]
pub struct Tools {
    pub journal: Arc<Journal>,
    pub events: Events,
    pub forks: usize,
}

impl Addons {
    /// What they shall be. Without `needs_secrets` those that are not where the inventory says are not compared.
    pub fn desired(request: &Request, index: Option<&Index>, needs_secrets: bool) -> Result<Addons, Failure> {
        if !request.is_whole() {
            return Ok(Addons { desired: Vec::new(), helm: None });
        }
        let home = home();
        let (inventory, library) = (request.inventory(), &request.library);
        let sources = Sources { inventory, index, library, home: &home, needs_secrets };
        let desired = addon::desired(&sources)?;
        let helm = index.and_then(|index| index.extra("helm")).cloned();
        if helm.is_none() && desired.iter().any(|addon| addon.release.is_some()) {
            let report = miette::miette!(
                help = "`hoist lock --fetch` gets it, from Kubernetes 1.31 on; nothing was changed",
                "add-ons are installed by helm, which is not among the artifacts"
            );
            return Err(Failure { report, exit: Exit::Data });
        }
        Ok(Addons { desired, helm })
    }

    /// Adds to a plan what a cluster gets that is not there yet.
    ///
    /// # Errors
    /// What would keep an add-on from working.
    pub async fn ahead(
        &self,
        inventory: &Inventory,
        session: &Session,
        plan: &mut Plan,
    ) -> Result<(), addon::Error> {
        refuse::gateway_api(None, &self.desired).await?;
        tell(refuse::pools(None, inventory, &session.hosts, &session.facts).await?);
        let ahead = self.desired.iter().map(|desired| (desired, Difference::ahead(desired)));
        plan.addons = ahead.map(|(desired, difference)| planned(desired, difference)).collect();
        Ok(())
    }

    /// Adds to a plan what differs in the cluster.
    ///
    /// # Errors
    /// When the API server does not answer, and what would keep an add-on from working.
    pub async fn compare(
        &self,
        api: &Api,
        inventory: &Inventory,
        session: &Session,
        plan: &mut Plan,
    ) -> Result<(), addon::Error> {
        let observed = observe(api).await?;
        refuse::steps(&self.desired, &observed)?;
        tell(refuse::classes(api, &self.desired).await?);
        refuse::gateway_api(Some(api), &self.desired).await?;
        tell(refuse::pools(Some(api), inventory, &session.hosts, &session.facts).await?);
        let differences = self.differences(api, &observed).await?;
        let differ = differences.into_iter().filter(|(_, difference)| !difference.changes.is_empty());
        plan.addons = differ.map(|(desired, difference)| planned(desired, difference)).collect();
        let unwanted: BTreeSet<String> = self.unwanted(&observed).into_iter().map(|(name, _)| name).collect();
        plan.unwanted = unwanted.into_iter().collect();
        Ok(())
    }

    /// Adds to a plan that nobody knows what differs.
    pub fn unknown(&self, plan: &mut Plan) {
        let change = Change::new(UNKNOWN);
        let unknown =
            |desired: &Desired| AddonPlan { addon: desired.name.clone(), changes: vec![change.clone()] };
        plan.addons = self.desired.iter().map(unknown).collect();
    }

    /// What differs of each.
    pub async fn differences(
        &self,
        api: &Api,
        observed: &Observed,
    ) -> Result<Vec<(&Desired, Difference)>, addon::Error> {
        let one = async |desired| {
            let found = match Difference::find(api, desired, observed).await {
                Err(addon::Error::Api(
                    refused @ (kube::Error::Refused { .. } | kube::Error::Forbidden { .. }),
                )) => Difference::refused(&refused),
                found => found?,
            };
            Ok((desired, found))
        };
        stream::iter(&self.desired).map(one).buffered(AT_ONCE).try_collect().await
    }

    /// The add-ons that hoist installed and that are wanted no more, or somewhere else, each with its namespace.
    pub fn unwanted(&self, observed: &Observed) -> Vec<(String, String)> {
        let left = observed.addons().into_iter().filter(|(name, namespace)| {
            let is_it =
                |desired: &Desired| desired.name == *name && desired.definition.namespace == *namespace;
            !self.desired.iter().any(is_it)
        });
        left.collect()
    }

    /// Makes them as they shall be: those of the network, or all others. Without tools there is nothing to do.
    pub async fn carry_out(
        &self,
        request: &Request,
        session: &Session,
        tools: Option<Tools>,
        network: bool,
        ended: &mut Ended,
    ) {
        let Some(Tools { journal, events, forks }) = tools else { return };
        let these: Vec<&Desired> =
            self.desired.iter().filter(|desired| desired.definition.network == network).collect();
        let helm = self.helm.clone();
        let (inventory, wanted) = (request.inventory(), &*self.desired);
        let crew = Crew { inventory, session, wanted, helm, journal, events, forks };
        crew.carry_out(&these, ended).await;
    }

    /// Those of a plan that are not begun because of a host; without one, those that wait for nodes, which are not ready:
    /// because of what makes the network, where that is not done.
    pub fn not_begun(&self, plan: &Plan, host: Option<&str>, events: &Events, ended: &mut Ended) {
        let unfinished = || ended.unfinished().into_iter().next();
        let by = host.map(String::from).or_else(unfinished).unwrap_or_else(|| String::from("the cluster"));
        let planned = |desired: &&Desired| plan.addons.iter().any(|planned| planned.addon == desired.name);
        let waits = |desired: &&Desired| host.is_some() || !desired.definition.network;
        for desired in self.desired.iter().filter(waits).filter(planned) {
            ended.block(events, &desired.name, by.clone());
        }
    }
}

/// What is worth a word, and no reason to stop.
pub(super) fn tell(words: Vec<String>) {
    for word in words {
        tell_line(word);
    }
}

fn planned(desired: &Desired, difference: Difference) -> AddonPlan {
    AddonPlan { addon: desired.name.clone(), changes: difference.changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Event, Failure, Library, Outcome, events},
        report,
    };

    #[test]
    fn what_waits_for_nodes_is_named_with_what_keeps_them() {
        let one = |name: &str, network: bool| {
            let mut definition = addon::definition(&Library::default(), "registry").unwrap();
            definition.network = network;
            Desired {
                name: name.into(),
                definition,
                needs: Vec::new(),
                settings: serde_json::Map::new(),
                release: None,
                secrets: Vec::new(),
                before: kube::Declared::default(),
                manifests: kube::Declared::default(),
                hosts: BTreeSet::new(),
                saved: None,
            }
        };
        let addons = Addons {
            desired: vec![one("cilium", true), one("metallb", false), one("keda", false)],
            helm: None,
        };
        let mut plan = Plan::default();
        let differs = |name: &str| AddonPlan { addon: name.into(), changes: vec![Change::new("install it")] };
        plan.addons = vec![differs("cilium"), differs("metallb")];
        for (failed, by) in [(true, "cilium"), (false, "the cluster")] {
            let failure = Failure {
                host: "cp1".into(),
                role: "addon cilium".into(),
                step: "install it".into(),
                what: "helm ended with status 1".into(),
                output: Vec::new(),
                cause: None,
                next: "mend it".into(),
            };
            let mut ended = Ended::default();
            if failed {
                ended.outcomes.push(("cilium".into(), Outcome::Failed(failure)));
            }
            addons.not_begun(&plan, None, &events().0, &mut ended);
            let told = report::run::failures(&ended.outcomes);
            let line = format!("metallb: addon metallb: install it: not begun, because of {by}");
            assert!(told.contains(&line) && !told.contains("keda"), "{told}");
        }
        let (mut ended, (events, mut told)) = (Ended::default(), events());
        addons.not_begun(&plan, Some("cp1"), &events, &mut ended);
        assert_eq!(ended.unfinished(), ["cilium", "metallb"]);
        let blocked = |addon: &str| Event::AddonBlocked { addon: addon.into(), by: "cp1".into() };
        assert_eq!([told.try_recv().unwrap(), told.try_recv().unwrap()], ["cilium", "metallb"].map(blocked));
    }
}
