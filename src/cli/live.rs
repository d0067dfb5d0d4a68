//! What lives in the cluster and not on its hosts, as a part of `plan` and `apply`: the labels and taints of nodes, and
//! add-ons.

use std::time::Duration;

use super::{
    Failure,
    addons::{Addons, UNKNOWN},
    request::Request,
};
use crate::{
    addon,
    cluster::{self, AccessError, Session, etcd, marks},
    engine::{Event, Events, NodePlan, Plan},
    exit::Exit,
    inventory::Inventory,
    kube::Patience,
    report::{self, tell_line},
    task::Change,
};

/// How long the API server may take where it is only compared with: one that is restarted is back sooner, and whoever asks
/// for a plan of a cluster that is down wants to see what of the hosts.
const COMPARING: Patience = Patience { request: Duration::from_secs(15), total: Duration::from_secs(30) };

/// Adds to a plan what differs in the cluster. One that does not answer makes the exit code. Single roles are none of the
/// cluster's business, and add-ons none of single hosts'.
pub async fn compare(
    addons: &Addons,
    request: &Request,
    session: &Session,
    plan: &mut Plan,
) -> Result<Exit, Failure> {
    let inventory = request.inventory();
    if request.scope.only.is_some() {
        return Ok(Exit::Ok);
    }
    if let Some(line) = report::status::unlisted_members(&etcd::unlisted(inventory, &session.facts)) {
        tell_line(format_args!("{line}"));
    }
    let names: Vec<String> = plan.hosts.iter().map(|host| host.host.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let looked = async {
        let api = match cluster::api(inventory, session).await {
            Err(AccessError::NoCluster) => {
                plan.nodes = planned(marks::differences(inventory, names.iter().copied(), &[]));
                return if request.is_whole() {
                    addons.ahead(inventory, session, plan).await
                } else {
                    Ok(())
                };
            }
            api => api?.with_patience(COMPARING),
        };
        addon::refuse::plugin(&api, inventory, &session.hosts, &session.facts).await?;
        let joined = |name: &str| session.facts.get(name).is_none_or(|facts| facts.kubernetes.joined);
        let mut nodes = marks::nodes(&api).await?;
        let unlisted = cluster::unlisted(inventory, marks::control_planes(&nodes));
        if let Some(line) = report::status::unlisted(&unlisted) {
            tell_line(format_args!("{line}"));
        }
        // The object of a host that has not joined is a former one's, which goes when the host joins.
        nodes.retain(|node| node["metadata"]["name"].as_str().is_some_and(joined));
        plan.nodes = planned(marks::differences(inventory, names.iter().copied(), &nodes));
        if request.is_whole() { addons.compare(&api, inventory, session, plan).await } else { Ok(()) }
    };
    match looked.await {
        Ok(()) => Ok(Exit::Ok),
        Err(error @ (addon::Error::Access(_) | addon::Error::Api(_))) => {
            let failure = Failure::from(error);
            plan.nodes = unknown(inventory, &names);
            addons.unknown(plan);
            // Nothing is missed where nothing is wanted.
            if plan.nodes.is_empty() && plan.addons.is_empty() {
                return Ok(Exit::Ok);
            }
            tell_line(format_args!(
                "labels, taints and add-ons cannot be compared with the cluster: {}",
                failure.report
            ));
            Ok(failure.exit)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives nodes the labels and taints that differ, and says how many nodes were given some. Of a run that changed hosts all
/// are looked at again: one that joined anew has none. Hosts that are not `converged` may be no nodes.
pub async fn mark(
    inventory: &Inventory,
    session: &Session,
    plan: &Plan,
    converged: &[String],
    events: &Events,
) -> Result<usize, Failure> {
    let planned = plan.nodes.iter().map(|node| node.node.as_str());
    let mut names: Vec<&str> = match plan.changes() {
        0 => planned.collect(),
        _ => plan.hosts.iter().map(|host| host.host.as_str()).collect(),
    };
    names.retain(|name| converged.iter().any(|it| it == name));
    if names.is_empty() {
        return Ok(0);
    }
    let api = cluster::api(inventory, session).await?;
    let mut given = 0;
    let mut done = |difference: &marks::Difference| {
        given += 1;
        let (node, summary) = (difference.node.clone(), difference.change.summary.clone());
        events.send(Event::NodeMarked { node, summary });
    };
    marks::give(&api, inventory, &names, &mut done).await?;
    Ok(given)
}

fn planned(differences: Vec<marks::Difference>) -> Vec<NodePlan> {
    let plan = |difference: marks::Difference| NodePlan { node: difference.node, change: difference.change };
    differences.into_iter().map(plan).collect()
}

/// The nodes of which somebody said something.
fn unknown(inventory: &Inventory, names: &[&str]) -> Vec<NodePlan> {
    let marked = names.iter().filter(|name| {
        inventory
            .hosts
            .get(**name)
            .is_some_and(|host| host.is_node() && !(host.labels.is_empty() && host.taints.is_empty()))
    });
    marked.map(|name| NodePlan { node: name.to_string(), change: Change::new(UNKNOWN) }).collect()
}
