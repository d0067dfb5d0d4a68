//! What the machine is told, what it asks for, and what came of it.

use std::time::Duration;

use super::Why;
use crate::burst::{
    cloud::{CloudError, Instance, Leftover, RunInstances},
    offer::Offer,
};

/// What EC2 shows of a claim, in one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Whatever carries the claim's tag or is known by its id.
    pub instances: Vec<Instance>,
    pub leftovers: Vec<Leftover>,
}

/// A claim's Node, as Kubernetes shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    pub name: String,
    /// `aws:///ZONE/INSTANCE`
    pub provider_id: String,
    /// Ready, and without the taints that it starts with.
    pub ready: bool,
    pub cordoned: bool,
    /// Those that a drain moves: neither of DaemonSets nor static.
    pub pods: Vec<String>,
    /// Whether the node was told that EC2 takes it back.
    pub notice: bool,
    /// Whether it has the label of its claim.
    pub labelled: bool,
}

/// What is known of a claim now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Nothing if EC2 was not asked, or did not answer.
    pub cloud: Option<Sight>,
    pub node: Option<NodeSeen>,
    /// Where an attempt may go, for a claim that has none.
    pub offer: Option<Offer>,
    /// That it should end, unless it does so already.
    pub end: Option<Why>,
    /// That its pods would have room elsewhere.
    pub unneeded: bool,
    /// Whether it is blamed for not being ready, and not the way to it.
    pub blamed: bool,
    /// Whether EC2 has just left another launch unanswered: this one waits.
    pub silent: bool,
}

/// What is to be done. Everything but [`Action::Launch`] may be repeated at will; that one may be repeated as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a token to join with, and the request. Answered by [`Answer::Prepared`] or [`Answer::Unwritten`].
    Prepare(Offer),
    /// Answered by [`Answer::Launched`] or [`Answer::Refused`].
    Launch(Box<RunInstances>),
    Console(String),
    Cordon,
    Uncordon,
    /// Move its pods away, each with at most this much grace.
    Evict {
        grace: Option<Duration>,
        respect_budgets: bool,
    },
    Terminate(Vec<String>),
    Delete(Leftover),
    /// Delete its Node, token and requests for certificates.
    DropNode,
    /// The same, now that nothing else is left. Answered by [`Answer::Dropped`].
    Finish,
}

/// What came of an action.
#[derive(Debug, Clone)]
pub enum Answer {
    Prepared(Offer, Box<RunInstances>),
    Launched(Instance),
    Refused(CloudError),
    /// There is no request, and there will be none before something else is configured: why.
    Unwritten(String),
    Dropped,
}
