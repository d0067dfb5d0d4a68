//! Takes the network away, and looks whether anything is left.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{
    Network,
    failure::StackFailure,
    stacks::{Stacks, Status},
    up::{Pace, Waiting, Watch},
};
use crate::burst::cloud::{CloudError, Kind};

/// EC2's word for one.
const INSTANCE: &str = "instance";
/// CloudFormation's.
const STACK: &str = "stack";

/// Something in EC2 that carries the cluster's tag and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tagged {
    /// EC2's word for what it is: `security-group`, for example.
    pub kind: String,
    pub id: String,
}

impl fmt::Display for Tagged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.id)
    }
}

/// Who knows what carries the tag.
#[async_trait]
pub trait Carriers: Send + Sync {
    /// All that carries [`super::TAG`] with this name of a cluster: whoever made it, hoist or a stack. Without what has
    /// ended and is only shown for a while.
    ///
    /// # Errors
    /// An answer is whole or an error.
    async fn carriers(&self, cluster: &str) -> Result<Vec<Tagged>, CloudError>;
}

/// What there is of the network, and whatever else carries its cluster's name: the stack first. Changes nothing. Where the
/// network is somebody else's, only a stack that [`super::up`] made before the inventory said so.
///
/// # Errors
/// CloudFormation or EC2 does not answer, or refuses.
pub async fn standing(
    stacks: &dyn Stacks,
    carriers: &dyn Carriers,
    network: &Network,
) -> Result<Vec<Tagged>, CloudError> {
    if network.existing.is_some() {
        return beside(stacks, network).await;
    }
    let mut standing = carriers.carriers(&network.cluster).await?;
    standing.sort();
    standing.splice(0..0, stack(stacks, network).await?);
    Ok(standing)
}

/// The stack, if it stands.
async fn stack(stacks: &dyn Stacks, network: &Network) -> Result<Option<Tagged>, CloudError> {
    let stack = stacks.describe(&network.stack()).await?.filter(|stack| stack.status != Status::Gone);
    Ok(stack.map(|_| Tagged { kind: STACK.to_owned(), id: network.stack() }))
}

/// Who may not ask is not told that there is none: it would cost money unseen.
async fn beside(stacks: &dyn Stacks, network: &Network) -> Result<Vec<Tagged>, CloudError> {
    match stack(stacks, network).await {
        Err(error) if error.kind == Kind::Denied => {
            let id = format!("{}, unless there is none: {error}", network.stack());
            Ok(vec![Tagged { kind: STACK.to_owned(), id }])
        }
        stack => Ok(stack?.into_iter().collect()),
    }
}

/// For how long EC2 may show what CloudFormation has deleted.
const LAG: Duration = Duration::from_secs(60);

/// Deletes the stack, waits until it is gone, and gives what still carries the cluster's tag: nothing is success. Workers
/// and the gateway are not its business: [`crate::burst::destroy`] ends them first. (A key that disks were encrypted with
/// is kept by AWS for 30 days, in which it can be taken back; it is not told.)
///
/// # Errors
/// Instances of the cluster run ([`StackFailure::Inhabited`]); CloudFormation failed, or does not answer.
pub async fn destroy(
    stacks: &dyn Stacks,
    carriers: &dyn Carriers,
    network: &Network,
    pace: Pace,
    watch: Watch<'_>,
) -> Result<Vec<Tagged>, StackFailure> {
    let cluster = &network.cluster;
    let carrying = carriers.carriers(cluster).await?;
    let instances: Vec<String> =
        carrying.into_iter().filter(|it| it.kind == INSTANCE).map(|it| it.id).collect();
    if !instances.is_empty() {
        return Err(StackFailure::Inhabited { cluster: cluster.clone(), instances });
    }
    if network.existing.is_none() {
        delete(stacks, &network.stack(), pace, watch).await?;
    }
    let deleted = Instant::now();
    loop {
        let mut remaining = carriers.carriers(cluster).await?;
        if remaining.is_empty() || deleted.elapsed() >= LAG.min(pace.patience) {
            remaining.sort();
            return Ok(remaining);
        }
        sleep(pace.every).await;
    }
}

async fn delete(stacks: &dyn Stacks, name: &str, pace: Pace, watch: Watch<'_>) -> Result<(), StackFailure> {
    let mut waiting = Waiting::begin(stacks, name, pace, watch).await?;
    let mut asked = false;
    loop {
        let stack = stacks.describe(name).await?;
        match stack.as_ref().map(|stack| &stack.status) {
            None | Some(Status::Gone) => return Ok(()),
            // What goes on already, a deletion too, is let end.
            Some(Status::Busy(_)) => {}
            Some(Status::Wreck(told)) if asked && waiting.watched => {
                return Err(waiting.failure(told.clone()).await?);
            }
            Some(_) => {
                stacks.delete(name).await?;
                (asked, waiting.watched) = (true, false);
            }
        }
        waiting.wait(stack.as_ref()).await?;
    }
}

#[cfg(test)]
#[path = "destroy_tests.rs"]
mod tests;
