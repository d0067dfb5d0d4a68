//! The chart of an add-on, through helm: installed, repaired where a helm was killed, taken away.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Observed, Release, State, Status, crds, gateway_api,
    helm::{self, Helm, Said},
    identity::labelled,
    install::Install,
    observe, pods,
    release::{Installed, SECRET, releases},
    stop::Stop,
    watch::Watch,
};
use crate::{
    engine::Event,
    kube::{self, Api, Declared},
};

/// Between two looks at pods while Helm waits for them.
const LOOK: Duration = Duration::from_secs(2);
pub(super) const FORWARD: &str =
    "mend the cause, then run the same again: it goes on from there, for it cannot go back";
pub(super) const ROLLED_BACK: &str =
    "mend the cause, then run the same again; Helm has rolled back what it changed";

impl Install<'_> {
    /// The chart: what a killed Helm left is repaired first, and what Helm does not mend is mended after it.
    pub(super) async fn release(&self, api: &Api, observed: &Observed, state: State) -> Result<(), Stop> {
        let (desired, namespace) = (self.desired, self.namespace());
        let Some(release) = &desired.release else { return Ok(()) };
        let helm = self.helm(Some(release)).await?;
        let stuck = observed.release(namespace, &desired.name).filter(|_| state == State::Stuck);
        if let Some(stuck) = stuck
            && self.is_left(api, stuck).await?
        {
            self.wait(format!("a helm was killed at revision {}: that is repaired first", stuck.revision))
                .await;
            if let Some(said) = self.repair(api, &helm, stuck).await? {
                self.judge(said, None, ROLLED_BACK)?;
            }
        }
        // Before the pods of the new version, which know them. Those of the old one go on: what is stored stays as it is.
        api.mend(&crds::declared(release)).await.map_err(|error| self.kube(error))?;
        let deadline = Instant::now() + Duration::from_secs(desired.definition.timeout.into());
        let there = observed.release(namespace, &desired.name).is_some();
        let lacks = there && gateway_api::lacks(api, desired).await.map_err(|error| self.kube(error))?;
        let shared = observed.also_of(namespace, &desired.name).is_some();
        let without = self.without(api).await?;
        loop {
            let watch = Watch::default();
            let said = tokio::select! {
                said = helm.upgrade(desired, release, without.is_none()) => said.map_err(|error| self.host(error))?,
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
                    let next = if desired.definition.rollback { ROLLED_BACK } else { FORWARD };
                    let done = self.judge(said, watch.last(), next);
                    match &without {
                        Some(without) => self.wait_without(api, &helm, without, done).await?,
                        None => done?,
                    }
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
        if lacks { self.serve_gateways(api).await } else { Ok(()) }
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
    pub(super) async fn uninstall(&self, api: &Api, left: &Installed) -> Result<(), Stop> {
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
        if ours && self.lost.is_empty() {
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
            if now.is_none_or(|now| now.status != Status::Pending || now.revision != stuck.revision) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A try that was cut off may have left the release stuck.
    async fn unlock(&self, api: &Api, helm: &Helm<'_>) -> Result<(), Stop> {
        let observed = observe(api).await.map_err(|error| self.unknown(error))?;
        let stuck = observed.release(self.namespace(), &self.desired.name);
        if let Some(stuck) = stuck.filter(|release| release.status == Status::Pending) {
            self.repair(api, helm, stuck).await?;
        }
        Ok(())
    }

    /// Ends what a killed helm began; what helm says of it, where it has to be asked.
    async fn repair(&self, api: &Api, helm: &Helm<'_>, stuck: &Installed) -> Result<Option<Said>, Stop> {
        if !self.desired.definition.rollback {
            return self.forget(api, stuck).await.map(|()| None);
        }
        let said = helm.repair(stuck, self.desired.definition.timeout).await;
        said.map(Some).map_err(|error| self.host(error))
    }

    /// What cannot go back goes on: helm knows nothing more of the revision that it was killed at, and takes what that one has
    /// made for its own when it installs again.
    pub(super) async fn forget(&self, api: &Api, stuck: &Installed) -> Result<(), Stop> {
        let gone = api.delete(SECRET, Some(&stuck.namespace), &stuck.kept_as()).await;
        gone.map(drop).map_err(|error| self.kube(error))
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
}
