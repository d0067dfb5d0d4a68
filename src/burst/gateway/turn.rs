//! One turn: look, decide, write down, act, write down.

use async_trait::async_trait;

use super::{
    NAME,
    machine::{Seen, answered, next},
    record::{Record, Records, Wanted},
};
use crate::burst::{
    claim::LedgerError,
    cloud::{Cloud, CloudError},
    controller::Clock,
};

/// What EC2 checks of an instance that runs (`DescribeInstanceStatus`).
#[async_trait]
pub trait Checks: Send + Sync {
    /// Whether the checks of the instance or of its host fail. What EC2 does not tell of yet does not fail.
    ///
    /// # Errors
    /// By [`CloudError::kind`].
    async fn impaired(&self, id: &str) -> Result<bool, CloudError>;
}

/// What came of a turn.
#[derive(Debug)]
pub struct Turn {
    pub record: Record,
    /// What hindered it; the next one goes on.
    pub trouble: Option<CloudError>,
}

/// Brings the gateway one step nearer to what is wanted; without `wanted`, to its end. To be repeated every few seconds by one
/// that leads. It may end anywhere: the next one goes on from the record.
///
/// # Errors
/// The record cannot be read or written: then nothing is done.
pub async fn turn(
    cloud: &(dyn Cloud + '_),
    checks: &(dyn Checks + '_),
    records: &(dyn Records + '_),
    clock: &(dyn Clock + '_),
    wanted: Option<&Wanted>,
) -> Result<Turn, LedgerError> {
    // EC2 first: whatever it shows was written down before.
    let looked = cloud.instances().await;
    let (record, version) = records.gateway().await?;
    let instances = match looked {
        Ok(instances) => instances,
        // Nothing is judged without having seen.
        Err(trouble) => return Ok(Turn { record, trouble: Some(trouble) }),
    };
    let instances = instances.into_iter().filter(|it| it.claim.as_deref() == Some(NAME)).collect();
    let (impaired, mut trouble) = match record.instance() {
        Some(id) => match checks.impaired(id).await {
            Ok(impaired) => (impaired, None),
            Err(error) => (record.impaired_since.is_some(), Some(error)),
        },
        None => (false, None),
    };
    let decided = next(&record, wanted, &Seen { instances, impaired }, clock.now());
    let mut version = version;
    if decided.record != record || decided.launch {
        version = Some(records.keep_gateway(&decided.record, version.as_ref()).await?);
    }
    let mut record = decided.record;
    // One by one: an id that EC2 does not know would fail the others.
    for id in decided.terminate {
        trouble = cloud.terminate(&[id]).await.err().or(trouble);
    }
    if let Some(launch) = record.launch.clone().filter(|_| decided.launch) {
        let answer = cloud.launch(&launch.request).await;
        let after = answered(&record, &answer, clock.now());
        if after != record {
            records.keep_gateway(&after, version.as_ref()).await?;
            record = after;
        }
        trouble = answer.err().or(trouble);
    }
    Ok(Turn { record, trouble })
}
