//! Changing who is a member of etcd without ever putting its majority at risk. Pure: states and steps between them.
//!
//! The rules are etcd's own (https://etcd.io/docs/v3.6/op-guide/runtime-configuration/), which it enforces as well
//! (`strict-reconfig-check`): a member that is gone is removed before another is added; a new one copies the data as a
//! learner, which has no vote, and votes only when it has them; one at a time; and nobody is added while a voter is away.

/// A member as the others list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// In hexadecimal; empty for one that is yet to be added.
    pub id: String,
    pub name: String,
    pub address: String,
    pub voter: bool,
    /// Whether it is known to run. What cannot be seen counts as down.
    pub up: bool,
}

/// A host that is to become a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub address: String,
}

/// What is done to the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Takes out a member that is gone.
    Remove { id: String },
    /// Lists the host as a learner; it starts and copies the data.
    Add(Peer),
    /// Gives a learner that has the data its vote.
    Promote { address: String },
}

/// Why nothing, or nothing more, may be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("etcd has no majority: {up} of {voters} voting members are known to run")]
    NoMajority { up: usize, voters: usize },
    #[error(
        "etcd takes no new member while {name} ({address}) does not run: bring it back, or take it out on a living one, `etcdctl member remove {id}`"
    )]
    Away { name: String, address: String, id: String },
    #[error("the member {name} ({address}) runs, and is not taken out for another of its name or address")]
    Lives { name: String, address: String },
    #[error("{address} is no learner that runs")]
    NoLearner { address: String },
    #[error("a learner is there already: {name} ({address})")]
    TwoLearners { name: String, address: String },
}

/// Who is a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership(pub Vec<Member>);

impl Membership {
    /// How many voters may be lost before there is no majority any more.
    ///
    /// # Errors
    /// There is none.
    pub fn spare(&self) -> Result<usize, Refusal> {
        let voters = self.0.iter().filter(|member| member.voter).count();
        let up = self.0.iter().filter(|member| member.voter && member.up).count();
        up.checked_sub(voters / 2 + 1).ok_or(Refusal::NoMajority { up, voters })
    }

    /// The members that this host is, was, or would be taken for.
    pub fn of<'a>(&'a self, peer: &'a Peer) -> impl Iterator<Item = &'a Member> {
        self.0.iter().filter(|member| member.name == peer.name || member.address == peer.address)
    }

    /// The membership after a step.
    ///
    /// # Errors
    /// The rule that the step breaks.
    pub fn after(&self, step: &Step) -> Result<Membership, Refusal> {
        let mut members = self.0.clone();
        match step {
            Step::Remove { id } => {
                if let Some(member) = members.iter().find(|member| member.id == *id && member.up) {
                    let (name, address) = (member.name.clone(), member.address.clone());
                    return Err(Refusal::Lives { name, address });
                }
                members.retain(|member| member.id != *id);
            }
            Step::Add(peer) => {
                if let Some(away) = members.iter().find(|member| !member.up) {
                    let Member { name, address, id, .. } = away.clone();
                    return Err(Refusal::Away { name, address, id });
                }
                if let Some(learner) = members.iter().find(|member| !member.voter) {
                    let (name, address) = (learner.name.clone(), learner.address.clone());
                    return Err(Refusal::TwoLearners { name, address });
                }
                let Peer { name, address } = peer.clone();
                members.push(Member { id: String::new(), name, address, voter: false, up: true });
            }
            Step::Promote { address } => {
                let learner = members.iter_mut().find(|member| member.address == *address);
                match learner.filter(|member| member.up && !member.voter) {
                    Some(learner) => learner.voter = true,
                    None => return Err(Refusal::NoLearner { address: address.clone() }),
                }
            }
        }
        let after = Membership(members);
        after.spare()?;
        Ok(after)
    }
}

/// The steps that make these hosts members, and let learners vote that run already. Every state on the way has a
/// majority, and can spare as many members as the one before.
///
/// # Errors
/// Why it cannot be done now; then nothing of it should be.
pub fn steps(now: &Membership, joining: &[Peer]) -> Result<Vec<Step>, Refusal> {
    now.spare()?;
    let running = now.0.iter().filter(|member| !member.voter && member.up);
    let promoted = running.map(|learner| Step::Promote { address: learner.address.clone() });
    let mut stale: Vec<&Member> = joining.iter().flat_map(|peer| now.of(peer)).collect();
    stale.sort_by_key(|member| &member.id);
    stale.dedup();
    let removed = stale.into_iter().map(|member| Step::Remove { id: member.id.clone() });
    let added = joining
        .iter()
        .flat_map(|peer| [Step::Add(peer.clone()), Step::Promote { address: peer.address.clone() }]);
    let steps: Vec<Step> = removed.chain(promoted).chain(added).collect();
    steps.iter().try_fold(now.clone(), |state, step| state.after(step))?;
    Ok(steps)
}
