//! What the gateway's keeper sees of the simulation.

use async_trait::async_trait;
use hoist::burst::{
    claim::{LedgerError, Version},
    cloud::{CloudError, Order},
    gateway::{Checks, Record, Records},
};

use super::bed::Handle;

#[async_trait]
impl Records for Handle {
    async fn gateway(&self) -> Result<(Record, Option<Version>), LedgerError> {
        Ok(self.call(|world| (world.gateway.0.clone(), Some(world.gateway.1.to_string()))).await)
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
        self.call(|world| match world.roll(world.faults.cut_before) {
            true => Err(CloudError::unanswered(Order::Describe("InstanceStatus"), "connection reset")),
            false => Ok(world.faults.impaired.contains(id)),
        })
        .await
    }
}
