//! One add-on made as it shall be, through one control plane.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Desired, Difference, Observed, Record, gateway_api, helm,
    identity::{self, labelled, stays},
    observe,
    observed::{is_named, references},
    refuse,
    release::ADDON,
    remove,
    run::Crew,
    stop::Stop,
};
use crate::{
    cluster::Way,
    engine::{self, Entry, Event, Failure},
    kube::{self, Api, Declared, Kind},
    task::sha256,
};

/// Between two tries of what passes by itself.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the API server may take until it serves a new definition.
const SERVED: Duration = Duration::from_secs(60);
const NAMESPACE: Kind = Kind::new("v1", "Namespace");
const CRD: Kind = Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");

/// An add-on at work on a control plane.
pub(super) struct Install<'a> {
    pub crew: &'a Crew<'a>,
    pub desired: &'a Desired,
    pub way: Way,
    /// The control planes that went away before, perhaps with a helm at work.
    pub lost: &'a [String],
}

impl Install<'_> {
    /// Compares, and makes what differs. Gives the number of changes.
    pub async fn carry_out(&self) -> Result<usize, Stop> {
        let api = self.way.api().await.map_err(|error| self.access(error))?;
        let observed = observe(&api).await.map_err(|error| self.unknown(error))?;
        let difference =
            Difference::find(&api, self.desired, &observed).await.map_err(|error| self.unknown(error))?;
        let changes = difference.changes.len();
        if changes == 0 {
            return Ok(0);
        }
        self.tell(Event::AddonStarted { addon: self.desired.name.clone(), changes });
        // It was looked at before the run, if there was an API server that answered.
        if refuse::makes_class(self.desired) {
            refuse::classes(&api, self.crew.wanted).await.map_err(|error| self.unknown(error))?;
        }
        if difference.keeps == changes {
            self.keep(&api).await?;
            return Ok(changes);
        }
        let desired = self.desired;
        self.step("make what comes before the chart", self.before(&api, &observed)).await?;
        if let Some(release) = desired.release.as_ref().filter(|_| difference.release) {
            let step = format!("install chart {} {}", release.chart.name, release.chart.version);
            self.step(&step, self.release(&api, &observed, difference.state)).await?;
        }
        let after = labelled(desired, &desired.manifests);
        if !after.objects.is_empty() {
            self.step("apply what comes after the chart", self.apply(&api, &after)).await?;
        }
        if self.keeps_record(&difference, &observed) {
            self.step("write down what was applied", self.settle(&api, &difference)).await?;
        }
        if let Some(left) = remove::installed(&desired.name, self.namespace(), &observed)
            && difference.uninstall
        {
            let step = format!("remove chart {} {}", left.chart, left.version);
            self.step(&step, self.uninstall(&api, left)).await?;
        }
        if difference.prove {
            self.prove(&api).await?;
        }
        self.keep(&api).await?;
        Ok(changes)
    }

    /// Keeps what shall outlive the cluster.
    async fn keep(&self, api: &Api) -> Result<(), Stop> {
        let Some(saved) = &self.desired.saved else { return Ok(()) };
        let name = "keep what shall outlive the cluster";
        let work = async {
            let kept = saved.keep(api).await.map_err(|error| self.kube(error))?;
            kept.map_err(|reason| self.failed(name, reason, Vec::new()))
        };
        self.step(name, work).await
    }

    pub(super) fn namespace(&self) -> &str {
        &self.desired.definition.namespace
    }

    fn keeps_record(&self, difference: &Difference, observed: &Observed) -> bool {
        let desired = self.desired;
        !difference.pruned.is_empty()
            || observed.record(self.namespace(), &desired.name).is_some()
            || !(desired.secrets.is_empty()
                && desired.before.objects.is_empty()
                && desired.manifests.objects.is_empty())
    }

    /// One step, written down before and after.
    pub(super) async fn step(
        &self,
        name: &str,
        work: impl Future<Output = Result<(), Stop>>,
    ) -> Result<(), Stop> {
        let role = format!("addon {}", self.desired.name);
        let input = sha256(identity::digest(self.desired).as_bytes());
        let entries = [Entry { host: self.way.host.name(), role: &role, step: name, input }];
        let journal = |error: engine::Error| self.failed(name, error.to_string(), Vec::new());
        self.crew.journal.began(&entries).map_err(journal)?;
        self.tell(Event::AddonStep { addon: self.desired.name.clone(), step: name.to_owned() });
        let done = work.await;
        let failed = if done.is_ok() { 1..1 } else { 0..1 };
        self.crew.journal.ended(&entries, failed).map_err(journal)?;
        done.map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Failed(Box::new(Failure { step: name.to_owned(), ..*failure })),
            away => away,
        })
    }

    /// Namespace, Secrets and what the chart needs; but first a note of all that will be applied, so that a run that is
    /// killed leaves nothing of which nobody knows.
    async fn before(&self, api: &Api, observed: &Observed) -> Result<(), Stop> {
        let (desired, namespace) = (self.desired, self.namespace());
        let mut secrets = identity::secrets(api, desired).await.map_err(|error| self.kube(error))?;
        for secret in &mut secrets {
            secret.fill().map_err(|error| self.failed("make up a Secret", error.to_string(), Vec::new()))?;
        }
        let secrets = identity::declared_secrets(desired, &secrets);
        let before = gateway_api::before(api, desired).await.map_err(|error| self.kube(error))?;
        let before = labelled(desired, &before);
        self.namespaces(api, &before).await?;
        let (first, rest): (Vec<Value>, Vec<Value>) =
            before.objects.into_iter().partition(|object| object["kind"] == "Namespace");
        let declared = |objects| Declared { namespace: namespace.to_owned(), objects };
        self.apply(api, &declared(first.clone())).await?;
        if let (Some(saved), None) = (&desired.saved, observed.record(namespace, &desired.name)) {
            saved.give_back(api).await.map_err(|error| self.kube(error))?;
        }
        let all = [&declared(first), &secrets, &declared(rest.clone()), &desired.manifests].map(references);
        let mut record = self.record(observed, all.concat());
        (record.proven, record.nodes) = (None, Vec::new());
        if !record.objects.is_empty() {
            self.apply(api, &declared(vec![record.object()])).await?;
        }
        self.apply(api, &secrets).await?;
        self.apply(api, &declared(rest.clone())).await?;
        self.established(api, &rest).await
    }

    /// The namespaces that nothing declares before what lies in them is applied.
    async fn namespaces(&self, api: &Api, before: &Declared) -> Result<(), Stop> {
        let declared = |name: &str| {
            before
                .objects
                .iter()
                .any(|object| object["kind"] == "Namespace" && object["metadata"]["name"] == name)
        };
        let of_secrets = self.desired.secrets.iter().map(|secret| secret.namespace.as_str());
        let wanted: BTreeSet<&str> = of_secrets.chain([self.namespace()]).collect();
        for name in wanted.into_iter().filter(|name| !declared(name)) {
            if api.object(NAMESPACE, None, name).await.map_err(|error| self.kube(error))?.is_none() {
                let made =
                    serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                self.apply(api, &Declared { namespace: name.to_owned(), objects: vec![made] }).await?;
            }
        }
        Ok(())
    }

    /// Waits until the API server serves the kinds of definitions that were applied: Helm asks which there are.
    async fn established(&self, api: &Api, objects: &[Value]) -> Result<(), Stop> {
        let deadline = Instant::now() + SERVED;
        for object in objects.iter().filter(|object| object["kind"] == CRD.kind) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            loop {
                let live = api.object(CRD, None, name).await.map_err(|error| self.kube(error))?;
                let live = live.unwrap_or_default();
                let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
                if { conditions }.any(|it| it["type"] == "Established" && it["status"] == "True") {
                    break;
                }
                if Instant::now() >= deadline {
                    let what = format!("{} {name} is not served after {} s", CRD.kind, SERVED.as_secs());
                    let next = format!("`kubectl describe crd {name}` says why; then run the same again");
                    return Err(self.stop(what, Vec::new(), None, &next));
                }
                self.wait(format!("{} {name} is not served yet", CRD.kind)).await;
            }
        }
        Ok(())
    }

    /// What was written down before, and what comes now.
    fn record(&self, observed: &Observed, now: Vec<Value>) -> Record {
        let mut record = observed.record(self.namespace(), &self.desired.name).cloned().unwrap_or_default();
        record.addon.clone_from(&self.desired.name);
        self.namespace().clone_into(&mut record.namespace);
        for object in now {
            // What was noted of it before may not have said that it stays.
            record.objects.retain(|known| !is_named(known, &object));
            record.objects.push(object);
        }
        record
    }

    /// Deletes what is not declared any more, and writes down what is left.
    async fn settle(&self, api: &Api, difference: &Difference) -> Result<(), Stop> {
        let (gone, _): (Vec<Value>, Vec<Value>) =
            difference.pruned.iter().cloned().partition(|object| !stays(object));
        let gone = Declared { namespace: self.namespace().to_owned(), objects: gone };
        api.delete_declared(&gone, (ADDON, &self.desired.name)).await.map_err(|error| self.kube(error))?;
        self.write(api, None, Vec::new()).await
    }

    /// Writes down what is applied, and what was proven with it, and where.
    pub(super) async fn write(
        &self,
        api: &Api,
        proven: Option<String>,
        nodes: Vec<String>,
    ) -> Result<(), Stop> {
        let desired = self.desired;
        let secrets = identity::declared_secrets(desired, &desired.secrets);
        let before = gateway_api::before(api, desired).await.map_err(|error| self.kube(error))?;
        let parts = [&secrets, &before, &desired.manifests];
        let found = parts.map(references).concat();
        let record = Record {
            addon: desired.name.clone(),
            namespace: self.namespace().to_owned(),
            objects: found,
            proven,
            nodes,
        };
        self.apply(api, &Declared { namespace: self.namespace().to_owned(), objects: vec![record.object()] })
            .await
    }

    /// Applies objects; what passes by itself is tried again until the add-on's time is up.
    pub(super) async fn apply(&self, api: &Api, declared: &Declared) -> Result<(), Stop> {
        let deadline = Instant::now() + Duration::from_secs(self.desired.definition.timeout.into());
        loop {
            let error = match api.apply_declared(declared).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let text = error.to_string();
            let reason = match &error {
                kube::Error::UnknownKind { kind, .. } => {
                    Some(format!("the cluster does not know {kind} yet"))
                }
                _ => helm::passing(&text).map(|reason| format!("{reason}: {text}")),
            };
            match reason {
                Some(reason) if Instant::now() < deadline => self.wait(reason).await,
                _ => return Err(self.kube(error)),
            }
        }
    }

    pub(super) async fn wait(&self, reason: String) {
        self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason });
        sleep(PAUSE).await;
    }

    pub(super) fn tell(&self, event: Event) {
        self.crew.events.send(event);
    }
}
