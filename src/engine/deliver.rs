//! Bringing a file to a host: from where it fetches it itself, from a neighbour, or from here.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{select, sync::SemaphorePermit, time::sleep};

use super::{
    Event,
    carry::Carrier,
    compile::{RoleSteps, Step},
    share::Refusal,
    spread::{Blame, Source},
    stop::Stop,
};
use crate::{
    task::{Act, Delivery, fetch_script},
    transport::{Error, Transfer, quote},
};

/// How often it is looked at how far a file is.
const GLANCE: Duration = Duration::from_secs(15);

/// Others of a site wait for a file that comes from here unless it is slower than this, in bytes a second: then the next
/// one gets it from here, too.
const SLOW: u64 = 256 << 10;

/// And for one that comes from a neighbour, where more can be expected.
const SLOW_PEER: u64 = 1 << 20;

/// Why a file did not come from a neighbour.
enum Trouble {
    /// Something between the two. There is another way.
    Between(Refusal),
    /// The host itself, which would not be better with another way.
    Host(Error),
}

impl Carrier {
    /// Waits for the turn of a step that brings a file, if it has to wait for it, and says from whom it comes.
    pub async fn source(&self, role: &RoleSteps, step: &Step, acts: &[Act]) -> Option<Source> {
        let mut files = acts.iter().filter_map(|act| match act {
            Act::Send(delivery) => Some(delivery),
            Act::Script { .. } | Act::Await { .. } => None,
        });
        let delivery = files.next().filter(|delivery| delivery.public && self.url(delivery).is_none())?;
        Some(self.claim(role, step, delivery).await)
    }

    async fn claim(&self, role: &RoleSteps, step: &Step, delivery: &Delivery) -> Source {
        let waits = |from: Vec<String>| {
            let (host, role, step, value) = self.names(role, step, &delivery.destination);
            self.shared.events.send(Event::Waiting { host, role, step, value, from });
        };
        self.shared.share.claim(&self.target.name, &delivery.sha256, waits).await
    }

    /// Where the host fetches a file itself.
    fn url<'a>(&self, delivery: &'a Delivery) -> Option<&'a str> {
        delivery.url.as_deref().filter(|_| !self.cannot_fetch.load(Ordering::Relaxed))
    }

    /// Brings a file to the host. `source` is from whom, if that has been decided. While it has to be decided again
    /// others may act in place of this host.
    pub async fn deliver<'a>(
        &'a self,
        role: &RoleSteps,
        step: &Step,
        delivery: &Delivery,
        source: Option<Source>,
        fork: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<(), Stop> {
        let begun = Instant::now();
        let (shared, host) = (&self.shared, &self.target.name);
        let Delivery { destination, sha256, mode, .. } = delivery;
        let transfer = Transfer {
            source: PathBuf::from(&delivery.source),
            destination: destination.clone(),
            sha256: sha256.clone(),
            mode: mode.0,
            beside: delivery.beside.clone(),
        };
        let came = |from: &str| {
            let seconds = begun.elapsed().as_secs_f64();
            let (host, from, bytes) = (host.clone(), from.to_string(), size(&transfer));
            shared.events.send(Event::Received { host, step: step.name.clone(), from, bytes, seconds });
        };
        if !delivery.public {
            self.takes(role, step, "installer").await?;
            self.send(step, &transfer, || ()).await.map_err(|error| self.lost(role, step, &error))?;
            came("installer");
            return Ok(());
        }
        if let Some(url) = self.url(delivery) {
            self.takes(role, step, url).await?;
            let mut script = fetch_script(url, sha256, destination, *mode);
            script.text.insert_str(0, &exported(&shared.environment));
            let output = self.host.run(script).await.map_err(|error| self.lost(role, step, &error))?;
            if output.status == 0 {
                self.arrived(step, delivery, None).await;
                came(url);
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            self.falls_back(step, url, said.trim().replace('\n', "; "));
            self.cannot_fetch.store(true, Ordering::Relaxed);
        }
        let mut decided = source;
        loop {
            let source = match decided.take() {
                Some(source) => source,
                None => {
                    *fork = None;
                    let source = self.claim(role, step, delivery).await;
                    *fork = shared.forks.acquire().await.ok();
                    source
                }
            };
            let from = match source {
                Source::Installer => {
                    self.takes(role, step, "installer").await?;
                    let late = || shared.share.is_late(host, sha256);
                    let sent = self.send(step, &transfer, late).await;
                    sent.map_err(|error| self.lost(role, step, &error))?;
                    "installer".to_string()
                }
                Source::Peer(peer) => {
                    self.takes(role, step, &peer).await?;
                    match self.fetch(&transfer, &peer).await {
                        Ok(()) => peer,
                        Err(Trouble::Host(error)) => return Err(self.lost(role, step, &error)),
                        Err(Trouble::Between(Refusal { reason, blame })) => {
                            self.falls_back(step, &peer, reason);
                            shared.share.failed(host, sha256, Some(blame));
                            continue;
                        }
                    }
                }
            };
            self.arrived(step, delivery, Some(destination)).await;
            came(&from);
            return Ok(());
        }
    }

    async fn arrived(&self, step: &Step, delivery: &Delivery, path: Option<&str>) {
        let host = self.target.name.clone();
        if let Err(reason) = self.shared.share.arrived(&host, &delivery.sha256, path).await {
            self.shared.events.send(Event::NotPassedOn { host, step: step.name.clone(), reason });
        }
    }

    async fn takes(&self, role: &RoleSteps, step: &Step, from: &str) -> Result<(), Stop> {
        let written = self.shared.journal.takes(&self.entry(role, step), from);
        written.map_err(|error| self.unable(role, step, &error))
    }

    fn falls_back(&self, step: &Step, from: &str, reason: String) {
        let (host, from) = (self.target.name.clone(), from.to_string());
        self.shared.events.send(Event::Fallback { host, step: step.name.clone(), from, reason });
    }

    /// From here. `late` is called when it goes so slowly that nobody should wait for it.
    async fn send(&self, step: &Step, transfer: &Transfer, late: impl Fn()) -> Result<(), Error> {
        let there = AtomicU64::new(0);
        let progress = |bytes| {
            there.store(bytes, Ordering::Relaxed);
            let (host, step) = (self.target.name.clone(), step.name.clone());
            self.shared.events.send(Event::Sent { host, step, bytes });
        };
        let watch = async {
            loop {
                let before = there.load(Ordering::Relaxed);
                sleep(GLANCE).await;
                if there.load(Ordering::Relaxed).saturating_sub(before) < SLOW * GLANCE.as_secs() {
                    late();
                }
            }
        };
        select! {
            sent = self.host.send(transfer, &progress) => sent,
            () = watch => Ok(()),
        }
    }

    /// From a neighbour.
    async fn fetch(&self, transfer: &Transfer, peer: &str) -> Result<(), Trouble> {
        let (share, host) = (&self.shared.share, &self.target.name);
        let peer = share.serve(peer, host, &transfer.sha256).await.map_err(Trouble::Between)?;
        let watch = async {
            sleep(GLANCE + Duration::from_secs(size(transfer) / SLOW_PEER)).await;
            share.is_late(host, &transfer.sha256);
            std::future::pending::<()>().await;
        };
        let fetched = select! {
            fetched = self.host.fetch(transfer, &peer) => fetched,
            () = watch => Ok(()),
        };
        fetched.map_err(|error| match error {
            Error::Peer { reason, .. } => {
                let damaged = reason.contains("digest");
                let blame = if damaged { Blame::Source } else { Blame::Way };
                Trouble::Between(Refusal { reason, blame })
            }
            error => Trouble::Host(error),
        })
    }
}

fn exported(variables: &[(String, String)]) -> String {
    variables.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect()
}

/// Nothing, if it cannot be read: sending it says why.
fn size(transfer: &Transfer) -> u64 {
    std::fs::metadata(&transfer.source).map_or(0, |file| file.len())
}
