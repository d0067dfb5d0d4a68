//! `hoist apply`: make it so.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join;

use super::{
    Failure,
    addons::{Addons, Tools},
    live,
    request::{EngineArgs, Request, command_line, lock, read_plan},
    shared::{InventoryArg, Output, home, print, tell_unreached},
};
use crate::{
    addon,
    artifact::Index,
    cluster::{self, Session, Work, serving},
    engine::{
        Bystander, Event, Interrupted, Journal, Lock, Log, Outcome, Plan, Run, SavedPlan, Subject, Turns,
        events,
    },
    exit::Exit,
    inventory::{Host, Inventory, Role},
    kube::NodeStatus,
    preflight::{self, Finding, Severity},
    report::{self, progress::Progress, run::Ended, tell_text},
};

/// How long nodes may take to be ready after their last change.
const READY: Duration = Duration::from_secs(300);

/// Makes every host as the inventory says, then reads everything again to prove that nothing is left to change.
/// Safe to repeat and to kill: the next run goes on from there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist apply -i inventory/lab.yaml\n  hoist apply office.plan\n  \
    hoist apply -i office.yaml --only base --limit w1,w2")]
pub struct Args {
    /// A plan that `hoist plan --out FILE` wrote: exactly this is done, or nothing if it does not fit any more.
    #[arg(value_name = "PLAN", conflicts_with_all = ["roles", "limit", "only"])]
    plan: Option<PathBuf>,
    /// The inventory: a file, or a folder of them.
    #[arg(short, long, value_name = "FILE", env = "HOIST_INVENTORY", required_unless_present = "plan")]
    inventory: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// `json` prints one event a line to standard output.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    /// With everything but the inventory at its default.
    pub fn of(inventory: InventoryArg) -> Args {
        Args {
            plan: None,
            inventory: Some(inventory.file),
            engine: EngineArgs::usual(),
            output: Output::Text,
        }
    }

    /// One role on these hosts.
    pub fn only(inventory: &Path, hosts: &[&str], role: &str) -> Args {
        let Ok(limit) = hosts.join(",").parse();
        let only = Some(vec![role.to_string()]);
        let engine = EngineArgs { limit: Some(limit), only, ..EngineArgs::usual() };
        Args { plan: None, inventory: Some(inventory.to_owned()), engine, output: Output::Text }
    }
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let json = args.output == Output::Json;
    let file = args.inventory.as_deref();
    let saved = args.plan.as_deref().map(|path| read_plan(path, file)).transpose()?;
    let request = match (&saved, file) {
        (Some(saved), _) => Request::again(&saved.source)?,
        // The parser asks for one of the two.
        (None, file) => Request::new(file.unwrap_or(Path::new("")), &args.engine)?,
    };
    let inventory = request.inventory();
    let index = request.index()?;
    // What cannot be installed is told before anything is changed.
    let addons = Addons::desired(&request, index.as_ref(), true)?;
    let lock = lock();
    let mut work = request.open(index.as_ref(), Some(&lock)).await?;
    let contents = saved.as_ref().is_some_and(|saved| saved.source.contents);
    let mut plan = work.plan(contents, args.engine.forks.into()).await;
    let silent = live::compare(&addons, &request, &work.session, &mut plan).await?;
    let unreached = std::mem::take(&mut work.session.unreached);
    let lost = tell_unreached(unreached, inventory.hosts.len());
    if let Some(saved) = &saved {
        saved.still_fits(&SavedPlan::new(request.source(contents)?, &work.subjects, &plan))?;
    }
    if !json {
        tell_text(report::plan::summary(&plan));
    }
    let mut warnings = Vec::new();
    if work.guarded {
        let only = request.scope.only.is_some();
        warnings = refuse_what_would_fail(inventory, &work.session, &plan, index.as_ref(), only).await?;
        tell_text(report::preflight::warnings(&warnings));
    }
    let Work { mut session, subjects, bystanders, .. } = work;
    let job = Job { request: &request, args, addons: &addons, plan: &plan, warnings, lock: &lock, begun };
    let Done { outcomes, ended, nodes, log } = job.carry_out(&mut session, subjects, bystanders).await?;
    tell_text(report::run::failures(&outcomes));
    let whole = ended.failed.is_empty() && ended.blocked.is_empty() && ended.addons.is_empty();
    if !json && let Ok(nodes) = &nodes {
        if let Some(nodes) = nodes {
            print(report::status::nodes(nodes).to_string().as_bytes())?;
        }
        tell_text(ended.summary(begun.elapsed(), nodes.as_ref().map(Vec::len)));
    }
    tell_text(ended.not_finished(log.as_deref(), &command_line()));
    let own = if whole { Exit::Ok } else { Exit::Failed };
    // Where nothing differed, nobody else said that add-ons could not be compared.
    let lost = Exit::worst([lost, if plan.is_empty() { silent } else { Exit::Ok }]);
    match nodes {
        Ok(_) => Ok(Exit::worst([own, lost])),
        Err(failure) => Err(failure.or_worse(lost)),
    }
}

/// What a run left.
struct Done {
    /// Of hosts, then of add-ons.
    outcomes: Vec<(String, Outcome)>,
    ended: Ended,
    /// The nodes, when they were waited for.
    nodes: Result<Option<Vec<NodeStatus>>, Failure>,
    /// Where all that happened is written down, when anything did.
    log: Option<PathBuf>,
}

/// What is to be done.
struct Job<'a> {
    request: &'a Request,
    args: &'a Args,
    addons: &'a Addons,
    plan: &'a Plan,
    warnings: Vec<Finding>,
    lock: &'a Lock,
    begun: Instant,
}

impl Job<'_> {
    /// Carries out what is in the plan, and shows and records it: hosts, then the add-ons without which nodes are not
    /// ready, then, when they are, the others.
    async fn carry_out(
        &self,
        session: &mut Session,
        subjects: Vec<Subject>,
        bystanders: Vec<Bystander>,
    ) -> Result<Done, Failure> {
        let Job { request, plan, .. } = self;
        let inventory = request.inventory();
        let json = self.args.output == Output::Json;
        let (events, receiver) = events();
        let (journal, log, interrupted) = match plan.is_empty() {
            true => (None, None, Vec::new()),
            false => begin(inventory).map(|(journal, log, before)| (Some(journal), Some(log), before))?,
        };
        let journal = journal.map(Arc::new);
        let path = log.as_ref().map(|log: &Log| log.path().to_path_buf());
        let following = tokio::spawn(Progress::new(json).follow(receiver, log));
        for Interrupted { host, role, step } in interrupted {
            events.send(Event::Interrupted { host, role, step });
        }
        for unread in &plan.unread {
            events.send(Event::HostUnreached { host: unread.host.clone(), reason: unread.reason.clone() });
        }
        for Finding { check, hosts, observed, expected, fix, .. } in self.warnings.iter().cloned() {
            events.send(Event::Warned { check: check.to_string(), hosts, observed, expected, fix });
        }
        let mut outcomes = match &journal {
            Some(journal) if plan.changes() > 0 => {
                let (library, events, journal) = (request.library.clone(), events.clone(), journal.clone());
                let forks = self.args.engine.forks.into();
                let places = cluster::places(inventory);
                let environment = cluster::environment(inventory);
                // Whoever works on other hosts of this cluster asks the same control planes for turns.
                let turns = Turns::kept_by(session.control_planes(inventory), self.lock);
                let run =
                    Run { subjects, bystanders, library, journal, events, forks, places, environment, turns };
                run.carry_out(&plan.hosts).await?
            }
            _ => held(plan),
        };
        let mut ended = Ended::new(&outcomes, &plan.unread);
        let mut addons = addon::Ended::default();
        let mut nodes = Ok(None);
        let stopped = stopped_by(inventory, &ended);
        if let Some(host) = &stopped {
            self.addons.not_begun(plan, Some(host), &events, &mut addons);
        } else if !ended.converged.is_empty() && request.scope.only.is_none() {
            if cluster::first(inventory, &session.facts).is_none() {
                // The run has begun the cluster.
                session.refresh(inventory.with_role(Role::ControlPlane).map(|(name, _)| name)).await;
            }
            let tools = journal.map(|journal| Tools {
                journal,
                events: events.clone(),
                forks: self.args.engine.forks.into(),
            });
            let marked = live::mark(inventory, session, plan, &ended.converged, &events).await;
            self.addons.carry_out(request, session, tools.clone(), true, &mut addons).await;
            nodes = match marked {
                Ok(given) => {
                    ended.changes += given;
                    self.nodes(session, &ended).await
                }
                Err(failure) => Err(failure),
            };
            match (&nodes, &tools) {
                (Ok(_), _) => self.addons.carry_out(request, session, tools, false, &mut addons).await,
                (Err(_), Some(tools)) => self.addons.not_begun(plan, None, &tools.events, &mut addons),
                (Err(_), None) => {}
            }
        }
        ended.addons = addons.unfinished();
        ended.changes += addons.changes();
        outcomes.extend(addons.outcomes);
        events.send(ended.event(self.begun.elapsed(), session.exchanges()));
        // Nobody else has an end of it any more, so that this ends, too.
        drop(events);
        let _ = following.await;
        Ok(Done { outcomes, ended, nodes, log: path })
    }

    async fn nodes(&self, session: &Session, ended: &Ended) -> Result<Option<Vec<NodeStatus>>, Failure> {
        let inventory = self.request.inventory();
        // Hosts that are only for etcd are no nodes.
        let is_node = |name: &&String| inventory.hosts.get(*name).is_some_and(Host::is_node);
        let joined: Vec<String> = ended.converged.iter().filter(is_node).cloned().collect();
        if joined.is_empty() {
            return Ok(None);
        }
        let approve = self.plan.changes() > 0 && inventory.cluster.security.kubelet_certificates;
        wait_for_nodes(inventory, session, &joined, approve).await.map(Some)
    }
}

/// Stops before the first change where it can be told that the run would fail, or that it would change hosts of
/// somebody else. Gives what stops nothing and may come to matter. With `only` some roles, hosts become no nodes, and need
/// not be fit for it.
async fn refuse_what_would_fail(
    inventory: &Inventory,
    session: &Session,
    plan: &Plan,
    index: Option<&Index>,
    only: bool,
) -> Result<Vec<Finding>, Failure> {
    let in_scope = |name: &str| plan.hosts.iter().any(|host| host.host == name);
    let changes = plan.changes() > 0;
    let mut findings = match changes && !only {
        true => preflight::before(inventory, &session.hosts, &session.facts, &in_scope).await,
        false => preflight::foreign(inventory, &session.facts),
    };
    if changes {
        findings.extend(preflight::of_programs(index.and_then(Index::architecture), &session.facts));
    }
    let warnings = findings.extract_if(.., |finding| finding.severity == Severity::Warning).collect();
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() {
        return Ok(warnings);
    }
    tell_text(report::preflight::findings(&findings, false));
    let report = miette::miette!(
        help = "mend what is named above, then run the same command again; `hoist preflight` looks at more",
        "hosts are not fit to be nodes; nothing was changed"
    );
    Err(Failure { report, exit: Exit::Failed })
}

/// The host without which the cluster cannot go on, of those that did not get to their end. Workers that are nothing else are
/// missed by none of the others, once a control plane is done.
fn stopped_by(inventory: &Inventory, ended: &Ended) -> Option<String> {
    let has = |name: &String, role| inventory.hosts.get(name).is_some_and(|host| host.has(role));
    let is_plain = |name: &String| inventory.hosts.get(name).is_some_and(|host| host.roles == [Role::Worker]);
    let led = ended.converged.iter().any(|name| has(name, Role::ControlPlane));
    let mut lost = ended.failed.iter().chain(ended.blocked.iter().map(|(host, _)| host));
    let stopping = lost.find(|name| !led || !is_plain(name)).cloned();
    // Of hosts that could not even be asked, the first.
    stopping.or_else(|| ended.unreached.first().filter(|_| ended.converged.is_empty()).cloned())
}

/// The record of a run that changes something, and what the run before left in flight.
fn begin(inventory: &Inventory) -> Result<(Journal, Log, Vec<Interrupted>), Failure> {
    let (journal, interrupted) = Journal::begin(&state_folder(inventory))?;
    let log = Log::beside(&journal)?;
    Ok((journal, log, interrupted))
}

/// How hosts end that have nothing to change.
fn held(plan: &Plan) -> Vec<(String, Outcome)> {
    plan.hosts.iter().map(|host| (host.host.clone(), Outcome::Converged { changes: 0 })).collect()
}

async fn wait_for_nodes(
    inventory: &Inventory,
    session: &Session,
    names: &[String],
    approve: bool,
) -> Result<Vec<NodeStatus>, Failure> {
    let api = cluster::api(inventory, session).await?;
    let served = async {
        match approve {
            true => serving::approve(inventory, session, names).await,
            false => Ok(()),
        }
    };
    let (nodes, served) = join(api.wait_for_nodes_ready(names, READY, &mut |_| {}), served).await;
    // A node that is not ready says more than its missing certificate.
    let nodes = nodes?;
    served?;
    Ok(nodes)
}

fn state_folder(inventory: &Inventory) -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    state.unwrap_or_else(|| home().join(".local/state")).join("hoist").join(&inventory.cluster.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Failure, inventory};

    #[test]
    fn only_workers_that_are_nothing_else_are_not_missed() {
        let office = inventory::parse("ha.yaml", include_str!("../../inventory/ha.yaml")).unwrap().inventory;
        let failure = || {
            Outcome::Failed(Failure {
                host: String::new(),
                role: "base".into(),
                step: "swap is off".into(),
                what: "it ended with status 1".into(),
                output: Vec::new(),
                cause: None,
                next: "mend it".into(),
            })
        };
        let stopped = |done: &[&str], failed: &[&str], blocked: &[&str]| {
            let block = || Outcome::Blocked { role: "worker".into(), step: "join".into(), by: "cp1".into() };
            let done = done.iter().map(|name| (name.to_string(), Outcome::Converged { changes: 1 }));
            let failed = failed.iter().map(|name| (name.to_string(), failure()));
            let blocked = blocked.iter().map(|name| (name.to_string(), block()));
            stopped_by(&office, &Ended::new(&done.chain(failed).chain(blocked).collect::<Vec<_>>(), &[]))
        };
        let at = |name: &str| Some(name.to_owned());
        assert_eq!(stopped(&["cp1", "cp2", "w1", "s1"], &[], &[]), None);
        assert_eq!(stopped(&["cp1", "s1"], &["w1"], &["w2"]), None);
        assert_eq!(stopped(&["cp1"], &["w1", "s1"], &[]), at("s1"), "it keeps volumes");
        assert_eq!(stopped(&["cp1"], &["cp2"], &[]), at("cp2"));
        assert_eq!(stopped(&["cp1"], &["etcd1"], &[]), at("etcd1"));
        assert_eq!(stopped(&["w2"], &["w1"], &[]), at("w1"), "no control plane is done");
        assert_eq!(stopped(&[], &[], &[]), None);
        let away = crate::engine::Unread { host: "cp1".into(), reason: "off".into() };
        assert_eq!(stopped_by(&office, &Ended::new(&[], &[away])), at("cp1"));
    }
}
