//! Makes the network, or changes it to what the inventory says, and waits until it is so.
//!
//! What to do follows from what CloudFormation says of the stack, each time anew: a run that was killed, or another one,
//! goes on from there.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    Error, Network,
    documents::{Format, digest, document},
    failure::{StackFailure, of_the_last_operation},
    made::Made,
    stacks::{Blueprint, Event, Stack, Stacks, Status, Updated},
};
use crate::engine::Library;

/// How often and how long CloudFormation is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub every: Duration,
    /// A VPN takes ten minutes to make, all else three.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { every: Duration::from_secs(2), patience: Duration::from_secs(30 * 60) }
    }
}

/// Is told what happens.
pub type Watch<'a> = &'a (dyn Fn(&Event) + Send + Sync);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was so already.
    Nothing,
    Made,
    Changed,
}

/// What is to be done about a stack.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create,
    Update,
    Delete,
    Wait(String),
    Done,
    /// It ended in this status, and its events say why.
    Failed(String),
    Stuck(String),
}

/// `watched`: whether this run has seen how it came to be so. Otherwise a wreck is an old one, whose reasons were told.
fn step(stack: Option<&Stack>, digest: &str, watched: bool) -> Step {
    let Some(stack) = stack else { return Step::Create };
    let same = stack.digest() == Some(digest);
    match &stack.status {
        Status::Gone => Step::Create,
        Status::Busy(told) => Step::Wait(told.clone()),
        Status::WentBack if watched => Step::Failed("UPDATE_ROLLBACK_COMPLETE".to_owned()),
        Status::Complete | Status::WentBack if same => Step::Done,
        Status::Complete | Status::WentBack => Step::Update,
        Status::Wreck(told) if watched => Step::Failed(told.clone()),
        Status::Wreck(_) => Step::Delete,
        Status::Stuck(told) => Step::Stuck(told.clone()),
    }
}

fn blueprint(library: &Library, network: &Network) -> Result<(Blueprint, String), StackFailure> {
    if network.existing.is_some() {
        return Err(Error::Existing.into());
    }
    let document = document(library, network, Format::Cloudformation)?;
    let digest = digest(&document);
    let tags = network.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok((Blueprint { name: network.stack(), document, tags }, digest))
}

/// What [`up`] would do now. Changes nothing.
///
/// # Errors
/// CloudFormation does not answer, or refuses.
pub async fn state(
    stacks: &dyn Stacks,
    library: &Library,
    network: &Network,
) -> Result<Outcome, StackFailure> {
    let (blueprint, digest) = blueprint(library, network)?;
    let stack = stacks.describe(&blueprint.name).await?;
    Ok(match step(stack.as_ref(), &digest, false) {
        Step::Done => Outcome::Nothing,
        Step::Update => Outcome::Changed,
        Step::Wait(told) if told.starts_with("UPDATE_") => Outcome::Changed,
        _ => Outcome::Made,
    })
}

/// Whether the network's zones are among those of its region. Where the inventory names none, they are taken to be called `a`,
/// `b`, `c`, which not every region and account has; CloudFormation would make half of the network before it finds out.
///
/// # Errors
/// [`StackFailure::Zones`].
pub fn in_zones(network: &Network, there: &[String]) -> Result<(), StackFailure> {
    let names = network.zones.iter().map(|zone| zone.name.clone());
    let missing: Vec<String> = names.filter(|name| !there.contains(name)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(StackFailure::Zones { region: network.region.clone(), missing, there: there.to_vec() }),
    }
}

/// What there is of the network, whichever document it was made from; nothing if nobody has made it.
///
/// # Errors
/// CloudFormation does not answer, or the stack is another's.
pub async fn made(stacks: &dyn Stacks, network: &Network) -> Result<Option<Made>, StackFailure> {
    let stack = stacks.describe(&network.stack()).await?;
    stack.map(|stack| Made::read(network, &stack.outputs)).transpose()
}

/// Makes the network so, and gives what it consists of. Safe to repeat and to kill.
///
/// # Errors
/// [`StackFailure`]: CloudFormation has then gone back to what was before, as far as it could.
pub async fn up(
    stacks: &dyn Stacks,
    library: &Library,
    network: &Network,
    pace: Pace,
    watch: Watch<'_>,
) -> Result<(Outcome, Made), StackFailure> {
    let (blueprint, digest) = blueprint(library, network)?;
    let mut waiting = Waiting::begin(stacks, &blueprint.name, pace, watch).await?;
    let (mut outcome, mut updated) = (Outcome::Nothing, false);
    loop {
        let stack = stacks.describe(&blueprint.name).await?;
        match step(stack.as_ref(), &digest, waiting.watched) {
            Step::Done => {
                let outputs = stack.map(|stack| stack.outputs).unwrap_or_default();
                return Ok((outcome, Made::read(network, &outputs)?));
            }
            Step::Create => {
                stacks.create(&blueprint).await?;
                outcome = Outcome::Made;
            }
            Step::Update if updated && waiting.watched => {
                return Err(StackFailure::Contested { name: blueprint.name });
            }
            // What CloudFormation tells lags a little.
            Step::Update if updated => {}
            Step::Update => {
                if stacks.update(&blueprint).await? == Updated::NothingToDo {
                    let outputs = stack.map(|stack| stack.outputs).unwrap_or_default();
                    return Ok((outcome, Made::read(network, &outputs)?));
                }
                (outcome, updated) = (Outcome::Changed, true);
            }
            Step::Delete => stacks.delete(&blueprint.name).await?,
            Step::Wait(_) => {}
            Step::Failed(status) => return Err(waiting.failure(status).await?),
            Step::Stuck(status) => return Err(StackFailure::Stuck { name: blueprint.name, status }),
        }
        waiting.wait(stack.as_ref()).await?;
    }
}

/// Waits for CloudFormation, and tells what happens meanwhile.
pub(super) struct Waiting<'a> {
    stacks: &'a dyn Stacks,
    name: &'a str,
    pace: Pace,
    watch: Watch<'a>,
    begun: Instant,
    known: BTreeSet<String>,
    /// Whether anything happened since it began.
    pub watched: bool,
}

impl<'a> Waiting<'a> {
    pub async fn begin(
        stacks: &'a dyn Stacks,
        name: &'a str,
        pace: Pace,
        watch: Watch<'a>,
    ) -> Result<Self, StackFailure> {
        let known = stacks.events(name).await?.into_iter().map(|event| event.id).collect();
        Ok(Self { stacks, name, pace, watch, begun: Instant::now(), known, watched: false })
    }

    /// # Errors
    /// [`StackFailure::Late`] when patience has ended.
    pub async fn wait(&mut self, stack: Option<&Stack>) -> Result<(), StackFailure> {
        let waited = self.begun.elapsed();
        if waited >= self.pace.patience {
            let status = match stack.map(|stack| &stack.status) {
                Some(Status::Busy(told) | Status::Wreck(told) | Status::Stuck(told)) => told.clone(),
                _ => String::from("transition"),
            };
            return Err(StackFailure::Late { name: self.name.to_owned(), status, waited });
        }
        self.watched |= stack.is_some_and(|stack| matches!(stack.status, Status::Busy(_)));
        sleep(self.pace.every).await;
        for event in self.stacks.events(self.name).await?.iter().rev() {
            if self.known.insert(event.id.clone()) {
                self.watched = true;
                (self.watch)(event);
            }
        }
        Ok(())
    }

    /// With the reasons of what failed.
    pub async fn failure(&self, status: String) -> Result<StackFailure, StackFailure> {
        let failures = of_the_last_operation(&self.stacks.events(self.name).await?);
        Ok(StackFailure::Failed { status, failures })
    }
}

#[cfg(test)]
#[path = "up_tests.rs"]
mod tests;
