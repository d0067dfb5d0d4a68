//! One add-on made as it shall be, through one control plane.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Desired, Difference, Observed, Record, Release, State,
    difference::{self, labelled, stays},
    gate::{Bench, Gate, gate},
    helm::{self, Helm, Said},
    observe,
    observed::{is_named, references},
    pods,
    release::{ADDON, Installed, SECRET, releases},
    remove,
    run::Crew,
    stop::Stop,
    watch::Watch,
};
use crate::{
    cluster::Way,
    engine::{self, Entry, Event, Failure},
    kube::{self, Api, Declared, Kind},
    task::sha256,
};

/// Between two tries of what passes by itself.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at pods while Helm waits for them.
const LOOK: Duration = Duration::from_secs(2);
/// How long nodes may take that are about to be ready.
const NODES: Duration = Duration::from_secs(60);
const ROLLED_BACK: &str = "mend the cause, then run the same again; Helm has rolled back what it changed";
const NAMESPACE: Kind = Kind::new("v1", "Namespace");

/// An add-on at work on a control plane.
pub(super) struct Install<'a> {
    pub crew: &'a Crew<'a>,
    pub desired: &'a Desired,
    pub way: Way,
    /// Whether another control plane was lost before, perhaps with a helm at work on it.
    pub again: bool,
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
            let nodes = self.nodes(&api).await?;
            for gate in desired.definition.gates.iter().filter_map(|name| gate(name)) {
                self.step(&format!("prove {}", gate.name()), self.prove(&api, gate)).await?;
            }
            self.step("write down what was proven", self.proven(&api, nodes)).await?;
        }
        Ok(changes)
    }

    fn namespace(&self) -> &str {
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
    async fn step(&self, name: &str, work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
        let role = format!("addon {}", self.desired.name);
        let input = sha256(difference::digest(self.desired).as_bytes());
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
        let mut secrets = difference::secrets(api, desired).await.map_err(|error| self.kube(error))?;
        for secret in &mut secrets {
            secret.fill().map_err(|error| self.failed("make up a Secret", error.to_string(), Vec::new()))?;
        }
        let secrets = difference::declared_secrets(desired, &secrets);
        let before = labelled(desired, &desired.before);
        self.namespaces(api, &before).await?;
        let (first, rest): (Vec<Value>, Vec<Value>) =
            before.objects.into_iter().partition(|object| object["kind"] == "Namespace");
        let declared = |objects| Declared { namespace: namespace.to_owned(), objects };
        self.apply(api, &declared(first.clone())).await?;
        let all = [&declared(first), &secrets, &declared(rest.clone()), &desired.manifests].map(references);
        let mut record = self.record(observed, all.concat());
        (record.proven, record.nodes) = (None, Vec::new());
        if !record.objects.is_empty() {
            self.apply(api, &declared(vec![record.object()])).await?;
        }
        self.apply(api, &secrets).await?;
        self.apply(api, &declared(rest)).await
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

    async fn proven(&self, api: &Api, nodes: Vec<String>) -> Result<(), Stop> {
        self.write(api, Some(difference::digest(self.desired)), nodes).await
    }

    /// The nodes that gates can use. Where something is proven of each, those are waited for that are about to be ready:
    /// the network's pods run a moment before their nodes say so.
    async fn nodes(&self, api: &Api) -> Result<Vec<String>, Stop> {
        let deadline = Instant::now() + NODES;
        loop {
            let mut nodes = api.nodes().await.map_err(|error| self.kube(error))?;
            nodes.retain(|node| self.crew.session.hosts.contains_key(&node.name));
            match nodes.iter().find(|node| !node.ready) {
                Some(node) if difference::is_of_each_node(self.desired) && Instant::now() < deadline => {
                    self.wait(format!("{} is not ready: {}", node.name, node.reason)).await;
                }
                _ => {
                    let ready = nodes.into_iter().filter(|node| node.ready);
                    return Ok(ready.map(|node| node.name).collect());
                }
            }
        }
    }

    /// Writes down what is applied, and what was proven with it, and where.
    async fn write(&self, api: &Api, proven: Option<String>, nodes: Vec<String>) -> Result<(), Stop> {
        let desired = self.desired;
        let secrets = difference::declared_secrets(desired, &desired.secrets);
        let parts = [&secrets, &desired.before, &desired.manifests];
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
    async fn apply(&self, api: &Api, declared: &Declared) -> Result<(), Stop> {
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

    async fn wait(&self, reason: String) {
        self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason });
        sleep(PAUSE).await;
    }

    /// The chart: what a killed Helm left is repaired first, and what Helm does not mend is mended after it.
    async fn release(&self, api: &Api, observed: &Observed, state: State) -> Result<(), Stop> {
        let (desired, namespace) = (self.desired, self.namespace());
        let Some(release) = &desired.release else { return Ok(()) };
        let helm = self.helm(Some(release)).await?;
        let stuck = observed.release(namespace, &desired.name).filter(|_| state == State::Stuck);
        if let Some(stuck) = stuck
            && self.is_left(api, stuck).await?
        {
            self.wait(format!("a helm was killed at revision {}: that is repaired first", stuck.revision))
                .await;
            let said =
                helm.repair(stuck, desired.definition.timeout).await.map_err(|error| self.host(error))?;
            self.judge(said, None, ROLLED_BACK)?;
        }
        let deadline = Instant::now() + Duration::from_secs(desired.definition.timeout.into());
        let shared = observed.also_of(namespace, &desired.name).is_some();
        loop {
            let watch = Watch::default();
            let said = tokio::select! {
                said = helm.upgrade(desired, release) => said.map_err(|error| self.host(error))?,
                never = self.watch(api, &watch, shared) => never,
            };
            let reason = helm::passing(&said.lines.join("\n")).filter(|_| said.status != 0);
            match reason {
                Some(reason) if Instant::now() < deadline => {
                    let last = said.lines.last().cloned().unwrap_or_default();
                    self.wait(format!("{reason}: {last}")).await;
                    self.unlock(api, &helm).await?;
                }
                _ => {
                    self.judge(said, watch.last(), ROLLED_BACK)?;
                    break;
                }
            }
        }
        // Helm does not compare custom resources with what lives.
        let observed = observe(api).await.map_err(|error| self.unknown(error))?;
        if let Some(installed) = observed.release(namespace, &desired.name) {
            let declared = Declared { namespace: namespace.to_owned(), objects: installed.objects.clone() };
            let drift = api.drift(&declared).await.map_err(|error| self.kube(error))?;
            let names: Vec<&kube::ObjectName> = drift.iter().map(|drift| &drift.object).collect();
            let differs = |object: &&Value| {
                let name = kube::name_of(object);
                names.iter().any(|known| (&known.kind, &known.name) == (&name.kind, &name.name))
            };
            let objects = declared.objects.iter().filter(differs).cloned().collect();
            api.mend(&Declared { objects, ..declared }).await.map_err(|error| self.kube(error))?;
        }
        Ok(())
    }

    /// Helm on the control plane, with a chart if one is to be installed.
    async fn helm(&self, release: Option<&Release>) -> Result<Helm<'_>, Stop> {
        let Some(program) = &self.crew.helm else {
            let what = String::from("there is no helm among the artifacts");
            let next = "`hoist lock --fetch` gets it, from Kubernetes 1.31 on";
            return Err(self.stop(what, Vec::new(), None, next));
        };
        Helm::ready(&*self.way.host, program, release, &|_| {}).await.map_err(|error| self.host(error))
    }

    /// Takes a release away whose chart is not declared any more.
    async fn uninstall(&self, api: &Api, left: &Installed) -> Result<(), Stop> {
        let helm = self.helm(None).await?;
        let deadline = Instant::now() + Duration::from_secs(self.desired.definition.timeout.into());
        loop {
            let said = helm
                .uninstall(left, self.desired.definition.timeout)
                .await
                .map_err(|error| self.host(error))?;
            match helm::passing(&said.lines.join("\n")).filter(|_| said.status != 0) {
                Some(reason) if Instant::now() < deadline => self.wait(reason.to_owned()).await,
                _ => {
                    self.judge(
                        said,
                        None,
                        "mend the cause, then run the same again: what is left of it goes then",
                    )?;
                    break;
                }
            }
        }
        // Helm deletes by name: what the chart had and a manifest declares now is made anew.
        self.apply(api, &labelled(self.desired, &self.desired.before)).await?;
        self.apply(api, &labelled(self.desired, &self.desired.manifests)).await
    }

    /// Waits for as long as another helm may be at work on a release: one of somebody else, or ours on a control plane that
    /// was lost. False when it has ended by itself.
    async fn is_left(&self, api: &Api, stuck: &Installed) -> Result<bool, Stop> {
        let ours = stuck.addon.as_deref() == Some(self.desired.name.as_str());
        if ours && !self.again {
            return Ok(true);
        }
        let most = 2 * u64::from(self.desired.definition.timeout);
        let young = |begun: Timestamp| {
            Timestamp::now().duration_since(begun).unsigned_abs() < Duration::from_secs(most)
        };
        while stuck.begun.is_some_and(young) {
            self.wait(format!("another helm may be at work on revision {}", stuck.revision)).await;
            let observed = observe(api).await.map_err(|error| self.unknown(error))?;
            let now = observed.release(self.namespace(), &self.desired.name);
            if now.is_none_or(|now| now.status != super::Status::Pending || now.revision != stuck.revision) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A try that was cut off may have left the release stuck.
    async fn unlock(&self, api: &Api, helm: &Helm<'_>) -> Result<(), Stop> {
        let observed = observe(api).await.map_err(|error| self.unknown(error))?;
        let stuck = observed.release(self.namespace(), &self.desired.name);
        if let Some(stuck) = stuck.filter(|release| release.status == super::Status::Pending) {
            helm.repair(stuck, self.desired.definition.timeout).await.map_err(|error| self.host(error))?;
        }
        Ok(())
    }

    /// Looks at pods for as long as it is polled, and tells why they are not ready. Among those of others its own are known
    /// by the release, which Helm writes down before it makes anything.
    async fn watch(&self, api: &Api, watch: &Watch, shared: bool) -> Said {
        let (namespace, ours) = (Some(self.namespace()), format!("owner=helm,name={}", self.desired.name));
        loop {
            sleep(LOOK).await;
            // That a look fails is for those who act to tell.
            let Ok(secrets) = api.objects(SECRET, namespace, &ours).await else { continue };
            let Ok(releases) = releases(&secrets) else { continue };
            let Ok(pods) = pods::of(api, self.desired, releases.first(), shared).await else { continue };
            let unready = pods.iter().filter(|pod| !pod.ready && pod.phase != "Succeeded");
            let reasons: Vec<String> = unready.map(|pod| format!("{}: {}", pod.name, pod.reason)).collect();
            if watch.see(&reasons) {
                let reason = reasons.join("; ");
                self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason });
            }
        }
    }

    /// With what to do where the cause is not known.
    fn judge(&self, said: Said, watched: Option<String>, otherwise: &str) -> Result<(), Stop> {
        if said.status == 0 {
            return Ok(());
        }
        let text = said.lines.join("\n");
        let known = helm::cause(&text);
        let cause = known.map(|(cause, _)| cause.to_owned()).or(watched);
        let next = known.map_or(otherwise, |(_, next)| next);
        Err(self.stop(format!("helm ended with status {}", said.status), said.lines, cause, next))
    }

    async fn prove(&self, api: &Api, gate: &dyn Gate) -> Result<(), Stop> {
        let say = |reason: &str| {
            self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason: reason.to_owned() });
        };
        let bench = Bench {
            inventory: self.crew.inventory,
            api,
            hosts: &self.crew.session.hosts,
            namespace: self.namespace(),
            settings: &self.desired.settings,
            say: &say,
        };
        match gate.pass(&bench).await {
            Ok(proof) => {
                let (addon, gate) = (self.desired.name.clone(), gate.name().to_owned());
                self.tell(Event::AddonProved { addon, gate, seen: proof.seen });
                Ok(())
            }
            Err(closed) => {
                let help = miette::Diagnostic::help(&closed).map(|help| help.to_string()).unwrap_or_default();
                let what = format!("{}: {closed}", gate.proves());
                Err(self.stop(
                    what,
                    Vec::new(),
                    None,
                    if help.is_empty() { "look at its pods with `hoist addon status`" } else { &help },
                ))
            }
        }
    }

    fn tell(&self, event: Event) {
        self.crew.events.send(event);
    }
}
