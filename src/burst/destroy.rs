//! Ends everything that carries the cluster's tag, and says whether anything is left.
//!
//! Claims and the gateway come first, if they can be read: what was asked of EC2 and not answered has to be asked for
//! again before it is known what to end. Then the tags are walked, whoever made what carries them, until two looks in a
//! row show nothing.

use std::time::Duration;

use super::{
    cloud::{Cloud, CloudError, State},
    controller::{Clock, Controller, Decision, terminate},
    gateway::{Checks, Records, Turn, turn},
    time::Time,
};

/// What is left, by name or id. Nothing of all three is success; anything else must not end with exit code 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remaining {
    pub claims: Vec<String>,
    pub instances: Vec<String>,
    /// Volumes and network interfaces.
    pub leftovers: Vec<String>,
    /// What stood in the way, lately.
    pub troubles: Vec<String>,
}

impl Remaining {
    pub fn is_nothing(&self) -> bool {
        self.claims.is_empty() && self.instances.is_empty() && self.leftovers.is_empty()
    }
}

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// For how long EC2 has to show nothing: longer than what it shows lags behind.
const QUIET: Duration = Duration::from_secs(60);

/// What is known only while the cluster lives.
pub struct Living<'a> {
    /// For the claims.
    pub controller: &'a mut Controller,
    pub checks: &'a dyn Checks,
    /// Of the gateway.
    pub records: &'a dyn Records,
}

/// Destroys, for `patience` at most. Without what lives only the tags are walked, as when the cluster is no more.
///
/// # Errors
/// EC2 did not answer to the end, so that nobody knows what is left.
pub async fn destroy(
    cloud: &dyn Cloud,
    living: Option<Living<'_>>,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<Remaining, CloudError> {
    let deadline = clock.now().after(patience);
    let mut remaining = Remaining::default();
    if let Some(Living { controller, checks, records }) = living {
        let may_walk = end_claims(controller, &mut remaining, clock, deadline).await;
        if !may_walk {
            return Ok(remaining);
        }
        end_gateway(cloud, checks, records, &mut remaining, clock, deadline).await;
    }
    let mut quiet_since = None;
    loop {
        let walked = walk(cloud, &mut remaining).await;
        let now = clock.now();
        let clear = walked.is_ok() && remaining.instances.is_empty() && remaining.leftovers.is_empty();
        quiet_since = clear.then(|| quiet_since.unwrap_or(now));
        if quiet_since.is_some_and(|since| now.since(since) >= QUIET) {
            return Ok(remaining);
        }
        if now >= deadline {
            if clear {
                remaining.troubles.push("EC2 shows nothing, but not for a minute yet".to_owned());
                remaining.leftovers.push("what EC2 does not show yet".to_owned());
            }
            return walked.map(|()| remaining);
        }
        clock.sleep(ROUND).await;
    }
}

/// How long another controller may seem to lead: the lease of one that has died is over long before.
const RIVAL: Duration = Duration::from_secs(30);

/// Lets the controller end all claims. Whatever hinders it is told with what remains. False while another leads, which would
/// rent anew what is ended behind its back.
async fn end_claims(
    controller: &mut Controller,
    remaining: &mut Remaining,
    clock: &dyn Clock,
    deadline: Time,
) -> bool {
    let decision = Decision { remove_all: true, ..Decision::default() };
    let mut rival_since = None;
    loop {
        let view = controller.look().await;
        remaining.troubles.clear();
        match view {
            Ok(Some(view)) => {
                remaining.claims = view.claims().map(|claim| claim.name.clone()).collect();
                rival_since = None;
                if remaining.claims.is_empty() {
                    return true;
                }
                match controller.carry_out(view, &decision).await {
                    Ok(report) => remaining.troubles.extend(report.troubles),
                    Err(error) => remaining.troubles.push(error.to_string()),
                }
            }
            Ok(None) => {
                remaining.claims = vec!["all that there may be".to_owned()];
                remaining.troubles.push("another controller leads: stop it first".to_owned());
                let now = clock.now();
                if now.since(*rival_since.get_or_insert(now)) >= RIVAL {
                    return false;
                }
            }
            Err(error) => {
                remaining.claims = vec!["all that there may be".to_owned()];
                remaining.troubles.push(error.to_string());
            }
        }
        if clock.now() >= deadline {
            return rival_since.is_none();
        }
        clock.sleep(ROUND).await;
    }
}

/// Lets the gateway end: its launch, too, has to be answered before it is known what to end.
async fn end_gateway(
    cloud: &dyn Cloud,
    checks: &dyn Checks,
    records: &dyn Records,
    remaining: &mut Remaining,
    clock: &dyn Clock,
    deadline: Time,
) {
    loop {
        remaining.troubles.clear();
        match turn(cloud, checks, records, clock, None).await {
            Ok(Turn { record, .. }) if record.launch.is_none() => return,
            Ok(Turn { trouble, .. }) => remaining.troubles.extend(trouble.map(|it| it.to_string())),
            Err(error) => remaining.troubles.push(error.to_string()),
        }
        if clock.now() >= deadline {
            return;
        }
        clock.sleep(ROUND).await;
    }
}

/// Looks once and ends what is there.
async fn walk(cloud: &dyn Cloud, remaining: &mut Remaining) -> Result<(), CloudError> {
    let instances = cloud.instances().await?;
    let leftovers = cloud.leftovers().await?;
    let left: Vec<_> = instances.into_iter().filter(|it| it.state != State::Terminated).collect();
    let alive: Vec<String> = left.iter().filter(|it| !it.state.is_ending()).map(|it| it.id.clone()).collect();
    let mut errors = Vec::new();
    if !alive.is_empty() {
        errors = terminate(cloud, &alive).await;
    }
    for leftover in leftovers.iter().filter(|it| !it.in_use) {
        errors.extend(cloud.delete(leftover).await.err());
    }
    remaining.instances = left.into_iter().map(|it| it.id).collect();
    remaining.leftovers = leftovers.into_iter().map(|it| it.id).collect();
    if !errors.is_empty() {
        remaining.troubles = errors.iter().map(ToString::to_string).collect();
    }
    Ok(())
}
