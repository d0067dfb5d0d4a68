//! Kubernetes, simulated: the ledger, the lease, nodes and their pods.

use std::sync::Arc;

use async_trait::async_trait;
use hoist::burst::{
    claim::{Book, Claim, Ledger, LedgerError, NodeSeen, Version},
    cloud::UserData,
    controller::{CertificateRequest, LeaseStore, NodeError, Nodes, Record, Work},
    offer::{Money, Offer},
};

use super::{
    bed::Handle,
    world::{Node, World},
};

fn conflict(what: &str) -> LedgerError {
    LedgerError::Conflict { what: what.to_owned() }
}

/// A write that is done may still be answered with an error.
fn written(world: &mut World) -> Result<Version, LedgerError> {
    let version = world.version.to_string();
    match world.roll(world.faults.ledger) {
        true => Err(LedgerError::Unavailable { reason: "the answer is cut".into() }),
        false => Ok(version),
    }
}

#[async_trait]
impl Ledger for Handle {
    async fn claims(&self) -> Result<Vec<(Claim, Version)>, LedgerError> {
        let all = |world: &mut World| match world.faults.away {
            true => Err(LedgerError::Unavailable { reason: "the line is cut".into() }),
            false => Ok(world
                .claims
                .values()
                .map(|(claim, version)| (claim.clone(), version.to_string()))
                .collect()),
        };
        self.call(all).await
    }

    async fn create(&self, claim: &Claim) -> Result<Version, LedgerError> {
        self.call(|world| {
            if world.claims.contains_key(&claim.name) {
                return Err(conflict(&claim.name));
            }
            world.version += 1;
            world.say(format!("claim {} for {:?}", claim.name, claim.pods));
            world.claims.insert(claim.name.clone(), (claim.clone(), world.version));
            written(world)
        })
        .await
    }

    async fn update(&self, claim: &Claim, version: &Version) -> Result<Version, LedgerError> {
        self.call(|world| {
            match world.claims.get(&claim.name) {
                Some((_, found)) if found.to_string() == *version => {}
                _ => return Err(conflict(&claim.name)),
            }
            world.version += 1;
            let (before, _) = &world.claims[&claim.name];
            if before.phase != claim.phase {
                let why = claim.why.as_ref().map(|why| format!(" {why:?}")).unwrap_or_default();
                let line = format!("{} {:?} -> {:?}{why}", claim.name, before.phase, claim.phase);
                world.say(line);
            }
            world.claims.insert(claim.name.clone(), (claim.clone(), world.version));
            written(world)
        })
        .await
    }

    async fn delete(&self, claim: &str, version: &Version) -> Result<(), LedgerError> {
        self.call(|world| {
            if world.claims.get(claim).is_some_and(|(_, found)| found.to_string() != *version) {
                return Err(conflict(claim));
            }
            world.claims.remove(claim);
            written(world).map(|_| ())
        })
        .await
    }

    async fn book(&self) -> Result<(Book, Option<Version>), LedgerError> {
        let read =
            |world: &mut World| (world.book.0.clone(), (world.book.1 > 0).then(|| world.book.1.to_string()));
        Ok(self.call(read).await)
    }

    async fn kept_sum(&self) -> Result<Option<(String, Money)>, LedgerError> {
        Ok(self.call(|world| world.kept_sum.clone()).await)
    }

    async fn keep_sum(&self, month: &str, sum: Money) -> Result<(), LedgerError> {
        self.call(|world| world.kept_sum = Some((month.to_owned(), sum))).await;
        Ok(())
    }

    async fn save(&self, book: &Book, version: Option<&Version>) -> Result<Version, LedgerError> {
        self.call(|world| {
            if version.is_some_and(|version| *version != world.book.1.to_string()) {
                return Err(conflict("the book"));
            }
            world.version += 1;
            world.book = (book.clone(), world.version);
            written(world)
        })
        .await
    }

    async fn keep_console(&self, claim: &str, _: &str) -> Result<(), LedgerError> {
        self.call(|world| world.consoles.insert(claim.to_owned())).await;
        Ok(())
    }
}

#[async_trait]
impl LeaseStore for Handle {
    async fn read(&self) -> Result<Option<(Record, Version)>, LedgerError> {
        let read = |world: &mut World| {
            world.lease.as_ref().map(|(record, version)| (record.clone(), version.to_string()))
        };
        Ok(self.call(read).await)
    }

    async fn write(&self, record: &Record, version: Option<&Version>) -> Result<(), LedgerError> {
        self.call(|world| {
            let found = world.lease.as_ref().map(|(_, version)| version.to_string());
            if found.as_ref() != version {
                return Err(conflict("the lease"));
            }
            let now = world.now;
            world.calls.entry("lease").or_default().push(now);
            world.version += 1;
            world.lease = Some((record.clone(), world.version));
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Nodes for Handle {
    async fn nodes(&self, claims: &[&Claim]) -> Result<Vec<NodeSeen>, NodeError> {
        let seen = |world: &mut World| {
            let on = |name: &str| {
                let is_on = |node: &Option<String>| node.as_deref() == Some(name);
                world.pods.iter().filter(|(_, pod)| is_on(&pod.node)).map(|(pod, _)| pod.clone()).collect()
            };
            let owned = |name: &str, id: &str| claims.iter().any(|claim| claim.owns(name, id));
            let nodes =
                world.nodes.iter().filter(|(name, node)| node.labelled || owned(name, &node.provider_id));
            nodes
                .map(|(name, node)| NodeSeen {
                    name: name.clone(),
                    provider_id: node.provider_id.clone(),
                    ready: world.is_ready(node),
                    cordoned: node.cordoned,
                    pods: on(name),
                    notice: node.notice,
                    labelled: node.labelled,
                })
                .collect()
        };
        Ok(self.call(seen).await)
    }

    async fn requests(&self) -> Result<Vec<CertificateRequest>, NodeError> {
        Ok(self.call(|world| world.requests.clone()).await)
    }

    /// Each time another secret, as a token has.
    async fn prepare(&self, claim: &Claim, number: u32, offer: &Offer) -> Result<UserData, NodeError> {
        self.call(|world| {
            if world.faults.unwritten {
                let (action, reason) = ("write the user data".into(), "it is too long".into());
                return Err(NodeError { action, reason, lasts: true });
            }
            let secret = world.rng.u64(..);
            world.join_tokens.insert(claim.name.clone(), world.now + 20 * 60_000);
            let text = format!("#cloud-config {} {number} {} {secret:x}", claim.name, offer.instance_type);
            UserData::new(text.into()).map_err(|error| NodeError {
                action: "prepare".into(),
                reason: error.to_string(),
                lasts: false,
            })
        })
        .await
    }

    async fn work(&self, claim: &str, work: &Work) -> Result<(), NodeError> {
        self.call(|world| carry_out(world, claim, work)).await;
        Ok(())
    }
}

fn carry_out(world: &mut World, claim: &str, work: &Work) {
    let now = world.now;
    match work {
        Work::Approve(request) => {
            world.requests.retain(|it| it.name != *request);
            world.approved.insert(request.clone());
            let waited = world.requested.get(request).map_or(0, |made| now - made);
            world.signing.push(waited);
        }
        Work::Cordon | Work::Uncordon => {
            if let Some(node) = world.nodes.get_mut(claim) {
                node.cordoned = *work == Work::Cordon;
            }
        }
        Work::Evict { grace, respect_budgets } => {
            let takes = grace.map_or(5_000, |grace| 5_000.min(grace.as_millis() as u64));
            let leaves = |pod: &&mut super::world::Pod| {
                pod.node.as_deref() == Some(claim) && !(pod.kept && *respect_budgets)
            };
            for pod in world.pods.values_mut().filter(leaves) {
                pod.leaving_at.get_or_insert(now + takes);
            }
        }
        Work::DropToken => {
            world.join_tokens.remove(claim);
        }
        Work::Label => {
            if let Some(node) = world.nodes.get_mut(claim) {
                node.labelled = true;
            }
        }
        Work::DropNode(instances) => {
            let ours = |node: &Node| node.labelled || instances.contains(&node.instance);
            if world.nodes.get(claim).is_some_and(ours) {
                world.nodes.remove(claim);
            }
            world.join_tokens.remove(claim);
            world.requests.retain(|it| it.common_name != format!("system:node:{claim}"));
        }
    }
}

/// The same handle for all traits.
pub fn all(handle: Handle) -> hoist::burst::controller::Surroundings {
    let handle = Arc::new(handle);
    hoist::burst::controller::Surroundings {
        cloud: handle.clone(),
        ledger: handle.clone(),
        lease: handle.clone(),
        nodes: handle.clone(),
        clock: handle,
    }
}
