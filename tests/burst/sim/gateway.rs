//! What the gateway's keeper sees of the simulation.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hoist::burst::{
    claim::{LedgerError, Version},
    cloud::{CloudError, Order, State},
    gateway::{Checks, Known, Machine, Meeting, NAME, PrivateKey, PublicKey, Record, Records},
};

use super::{
    bed::Handle,
    world::{self, World},
};

#[async_trait]
impl Records for Handle {
    async fn gateway(&self) -> Result<(Record, Option<Version>), LedgerError> {
        let kept = |world: &mut World| world.gateway.clone();
        let (record, version) = self.call(kept).await;
        let version = (record != Record::default()).then(|| version.to_string());
        Ok((record, version))
    }

    async fn keep_gateway(&self, record: &Record, version: Option<&Version>) -> Result<Version, LedgerError> {
        self.call(|world| {
            if version.is_some_and(|version| *version != world.gateway.1.to_string()) {
                return Err(LedgerError::Conflict { what: "the gateway".into() });
            }
            world.version += 1;
            world.gateway = (record.clone(), world.version);
            if world.roll(world.faults.ledger) {
                return Err(LedgerError::Unavailable { reason: "the answer is cut".into() });
            }
            Ok(world.version.to_string())
        })
        .await
    }
}

#[async_trait]
impl Checks for Handle {
    async fn impaired(&self, id: &str) -> Result<bool, CloudError> {
        self.stall("status").await;
        self.call(|world| {
            match world.roll(world.faults.cut_before) || world.faults.stalls.contains("status") {
                true => Err(CloudError::unanswered(Order::Describe("InstanceStatus"), "connection reset")),
                false => Ok(world.faults.impaired.contains(id)),
            }
        })
        .await
    }
}

#[async_trait]
impl Meeting for Handle {
    /// All of them are answered half a minute after the gateway has begun to run.
    async fn machines(&self) -> Result<BTreeMap<String, Machine>, LedgerError> {
        self.call(|world| {
            let at = world.now.saturating_sub(30_000);
            let is_up = |(_, it): (_, &world::Machine)| {
                it.instance.claim.as_deref() == Some(NAME)
                    && it.state(at).is_some_and(|(it, _)| it == State::Running)
            };
            let is_answered = !world.faults.unreached && world.alive().any(is_up);
            let is_answered = (!world.faults.unsaid).then_some(is_answered);
            let machine = |key: &PublicKey| Machine { key: key.clone(), is_answered };
            Ok(world.met.0.iter().map(|(name, key)| (name.clone(), machine(key))).collect())
        })
        .await
    }

    async fn own_key(&self) -> Result<PrivateKey, LedgerError> {
        let made = PrivateKey::generate().unwrap().expose();
        let kept = self.call(|world| world.met.2.get_or_insert(made).clone()).await;
        Ok(kept.parse().unwrap())
    }

    async fn known(&self) -> Result<Known, LedgerError> {
        Ok(self.call(|world| world.met.1.clone()).await)
    }

    async fn tell(&self, known: &Known) -> Result<(), LedgerError> {
        self.call(|world| world.met.1 = known.clone()).await;
        Ok(())
    }

    async fn forget(&self) -> Result<(), LedgerError> {
        self.call(|world| {
            world.met = Default::default();
            world.gateway.0 = Record::default();
        })
        .await;
        Ok(())
    }
}
