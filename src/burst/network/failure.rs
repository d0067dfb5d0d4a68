//! Why the network could not be made, changed or taken away.

use std::time::Duration;

use miette::Diagnostic;

use super::stacks::Event;
use crate::{
    burst::cloud::{CloudError, Kind},
    exit::Exit,
};

/// What stands in the way. Nothing is lost by trying again: the next run goes on from what there is.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StackFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Document(#[from] crate::engine::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] super::Error),
    #[error("CloudFormation ended with {status}:{}", told(.failures))]
    #[diagnostic(help(
        "the words are AWS's own. If an action is missing, compare the policy with `hoist burst plan --as setup-policy`; \
         then run this again: it goes on from what there is"
    ))]
    Failed { status: String, failures: Vec<Event> },
    #[error("the stack {name} is in {status}, from which hoist has no way on")]
    #[diagnostic(help(
        "look at it in CloudFormation's console, continue its roll-back or delete it there, then run this again"
    ))]
    Stuck { name: String, status: String },
    #[error("the stack {name} was still in {status} after {} minutes", waited.as_secs() / 60)]
    #[diagnostic(help("CloudFormation goes on by itself: run this again, and it is waited for"))]
    Late { name: String, status: String, waited: Duration },
    #[error("somebody else changes the stack {name} at the same time")]
    #[diagnostic(help("see that only one inventory has a cluster of this name, then run this again"))]
    Contested { name: String },
    #[error("{region} has no zone {}", missing.join(", "))]
    #[diagnostic(help("set `burst.zones` to one of these for each of `burst.subnets`: {}", there.join(", ")))]
    Zones { region: String, missing: Vec<String>, there: Vec<String> },
    #[error("instances of {cluster} are there still: {}", instances.join(", "))]
    #[diagnostic(help("end them first: `hoist burst destroy` does, or EC2's console"))]
    Inhabited { cluster: String, instances: Vec<String> },
    #[error("the stack {name} has no output {output}")]
    #[diagnostic(help("it was made by something else: give the cluster another name, or delete that stack"))]
    Foreign { name: String, output: String },
}

impl StackFailure {
    pub fn exit(&self) -> Exit {
        match self {
            StackFailure::Cloud(error) => match error.kind {
                Kind::Denied | Kind::Expired => Exit::Permission,
                Kind::Throttled | Kind::Ambiguous => Exit::Unavailable,
                _ => Exit::Failed,
            },
            StackFailure::Document(_) | StackFailure::Network(_) | StackFailure::Zones { .. } => Exit::Data,
            StackFailure::Late { .. } | StackFailure::Contested { .. } => Exit::Temporary,
            _ => Exit::Failed,
        }
    }
}

/// One line for each, indented.
fn told(failures: &[Event]) -> String {
    let line = |event: &Event| {
        format!("\n  {} ({}): {}", event.part, event.kind, event.reason.as_deref().unwrap_or(&event.status))
    };
    match failures {
        [] => String::from(" it told no reason"),
        failures => failures.iter().map(line).collect(),
    }
}

const STACK: &str = "AWS::CloudFormation::Stack";

/// What failed in the last thing that was done to a stack. What CloudFormation only cancelled for it is left out.
pub(super) fn of_the_last_operation(events: &[Event]) -> Vec<Event> {
    let begins = |event: &&Event| {
        let begun = ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"];
        event.kind == STACK && begun.contains(&event.status.as_str())
    };
    let says = |event: &Event, word: &str| {
        event.reason.as_deref().is_some_and(|reason| reason.to_lowercase().contains(word))
    };
    let lately = || events.iter().take_while(|event| !begins(event));
    let failed = lately().filter(|event| {
        event.status.ends_with("_FAILED") && event.kind != STACK && !says(event, "cancelled")
    });
    let mut failed: Vec<Event> = failed.cloned().collect();
    if failed.is_empty() {
        // It failed before it came to any part.
        failed.extend(lately().filter(|event| event.kind == STACK && event.reason.is_some()).cloned());
    }
    failed.reverse();
    failed
}
