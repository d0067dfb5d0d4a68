//! How a cluster is, as tables and as JSON.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::Table;
use crate::{
    cluster::{Unreached, certificates::Certificate, health::Health, state::State},
    kube::{NodeStatus, Pending, PodStatus},
};

/// A certificate that ends within so many days is shown on its own: kubeadm's live for 365, and a kubelet asks for a new
/// one when about 70 are left at the latest.
const SOON: i64 = 30;

/// Everything, the troubles first. Pods that are well are left out.
pub fn text(state: &State, unreached: &[Unreached], now: Timestamp) -> String {
    let mut sections = Vec::new();
    if !unreached.is_empty() {
        sections.push(super::hosts::table(unreached));
    }
    sections.push(healths("CONTROL PLANE", &state.control_planes));
    sections.push(healths("ETCD MEMBER", &state.etcd));
    let mut end = String::new();
    if let Ok(objects) = &state.cluster {
        sections.push(nodes(&objects.nodes));
        let unwell: Vec<PodStatus> = objects.pods.iter().filter(|pod| !is_well(pod)).cloned().collect();
        if !unwell.is_empty() {
            sections.push(pods(&unwell));
        }
        if !objects.requests.is_empty() {
            sections.push(requests(&objects.requests));
        }
        let _ =
            write!(end, "\n{} of {} pods are well\n", objects.pods.len() - unwell.len(), objects.pods.len());
        end += &unlisted(&objects.unlisted).map(|line| format!("\n{line}\n")).unwrap_or_default();
    }
    end += &unlisted_members(&state.unlisted_members).map(|line| format!("\n{line}\n")).unwrap_or_default();
    if !state.certificates.is_empty() {
        sections.push(certificates(&state.certificates, now));
        end += &ending(&state.certificates, now);
    }
    sections.iter().map(Table::to_string).collect::<Vec<_>>().join("\n") + &end
}

/// The same for programs, with all pods that are not well and all certificates.
pub fn json(state: &State, unreached: &[Unreached], now: Timestamp) -> Value {
    let health = |all: &[Health]| -> Value {
        let all = all.iter();
        all.map(|it| json!({"host": it.host, "healthy": it.trouble.is_none(), "version": it.version, "trouble": it.trouble}))
            .collect()
    };
    let unreached_json: Value =
        unreached.iter().map(|lost| json!({"host": lost.host, "error": lost.why.to_string()})).collect();
    let mut answer = json!({
        "cluster": state.name,
        "version": state.wanted.to_string(),
        "healthy": state.is_healthy(now) && unreached.is_empty(),
        "unreached": unreached_json,
        "control_planes": health(&state.control_planes),
        "etcd": health(&state.etcd),
        "unlisted_members": state.unlisted_members,
        "certificates": certificates_json(&state.certificates, now),
        "error": state.cluster.as_ref().err().map(ToString::to_string),
    });
    if let Ok(objects) = &state.cluster {
        answer["nodes"] = objects.nodes.iter().map(node_json).collect();
        answer["pods"] = json!({
            "all": objects.pods.len(),
            "unwell": objects.pods.iter().filter(|pod| !is_well(pod)).map(pod_json).collect::<Vec<Value>>(),
        });
        answer["unlisted"] = json!(objects.unlisted);
        answer["requests"] = objects.requests.iter().map(request_json).collect();
    }
    answer
}

/// What to say of control planes that the cluster has and the inventory has not.
pub fn unlisted(names: &[String]) -> Option<String> {
    let what = format!(
        "The cluster has control planes that the inventory does not have for such: {}. Nobody sees to them; put them back, or \
         take them out (docs/operations.md, \"A control plane is taken out\")",
        names.join(", ")
    );
    (!names.is_empty()).then_some(what)
}

/// The same of members of an etcd on hosts of its own.
pub fn unlisted_members(names: &[String]) -> Option<String> {
    let what = format!(
        "etcd has members that the inventory does not have: {}. Nobody sees to them, and each counts for the majority; put them \
         back, or take them out (docs/operations.md, \"A member of etcd is taken out\")",
        names.join(", ")
    );
    (!names.is_empty()).then_some(what)
}

/// Whether a pod does what it is there for, or has done it.
fn is_well(pod: &PodStatus) -> bool {
    pod.phase == "Succeeded" || (pod.ready && pod.reason.is_empty())
}

fn healths(title: &str, all: &[Health]) -> Table {
    let mut table = Table::new([title, "STATUS", "VERSION", "WHY"]);
    for one in all {
        let status = if one.trouble.is_none() { "Ready" } else { "NotReady" };
        table.row([
            one.host.clone(),
            status.to_owned(),
            one.version.clone(),
            one.trouble.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn requests(all: &[Pending]) -> Table {
    let mut table = Table::new(["REQUEST FOR A CERTIFICATE", "OF", "SIGNER", "WAITS"]);
    for one in all {
        table.row([one.name.clone(), one.user.clone(), one.signer.clone(), age(one.age)]);
    }
    table
}

/// What ends first on each host, and everything that ends soon. Authorities stand apart from what they signed.
fn certificates(all: &[Certificate], now: Timestamp) -> Table {
    let mut table = Table::new(["CERTIFICATES OF", "DAYS LEFT", "EXPIRES", "FIRST TO EXPIRE"]);
    let mut shown: Vec<&Certificate> = all.iter().filter(|it| it.days_left(now) < SOON).collect();
    for one in all {
        let same = |other: &&Certificate| other.host == one.host && other.authority == one.authority;
        let first = all.iter().filter(same).min_by_key(|it| it.expires);
        if first.is_some_and(|first| std::ptr::eq(first, one))
            && !shown.iter().any(|it| std::ptr::eq(*it, one))
        {
            shown.push(one);
        }
    }
    shown.sort_by_key(|it| it.expires);
    for one in shown {
        table.row([
            one.host.clone(),
            one.days_left(now).to_string(),
            day(one),
            format!("{}{}", one.path, if one.authority { " (authority)" } else { "" }),
        ]);
    }
    table
}

/// What to do about certificates that have expired or soon will; nothing where none does.
fn ending(all: &[Certificate], now: Timestamp) -> String {
    let soon = all.iter().filter(|it| it.days_left(now) < SOON);
    let (expired, soon): (Vec<_>, Vec<_>) = soon.partition(|it| it.has_expired(now));
    if expired.is_empty() && soon.is_empty() {
        return String::new();
    }
    format!(
        "\nOf the certificates {} expired and {} will within {SOON} days: `hoist certificates renew`; authorities and those \
         of kubelets apart (docs/security.md)\n",
        expired.len(),
        soon.len()
    )
}

/// All certificates, one a line.
pub fn certificate_list(all: &[Certificate], now: Timestamp) -> Table {
    let mut table = Table::new(["HOST", "DAYS LEFT", "EXPIRES", "CERTIFICATE", "SUBJECT"]);
    for one in all {
        let days = one.days_left(now).to_string();
        table.row([one.host.clone(), days, day(one), one.path.clone(), one.subject.clone()]);
    }
    table
}

/// All certificates for programs.
pub fn certificates_json(all: &[Certificate], now: Timestamp) -> Value {
    let one = |it: &Certificate| {
        json!({
            "host": it.host,
            "path": it.path,
            "subject": it.subject,
            "authority": it.authority,
            "expires": it.expires.to_string(),
            "days": it.days_left(now),
        })
    };
    all.iter().map(one).collect()
}

fn day(certificate: &Certificate) -> String {
    certificate.expires.strftime("%Y-%m-%d").to_string()
}

fn node_json(node: &NodeStatus) -> Value {
    json!({
        "name": node.name,
        "ready": node.ready,
        "reason": node.reason,
        "schedulable": node.schedulable,
        "roles": node.roles,
        "version": node.version,
        "addresses": node.addresses,
        "age_seconds": node.age.as_secs(),
    })
}

fn pod_json(pod: &PodStatus) -> Value {
    json!({
        "namespace": pod.namespace,
        "name": pod.name,
        "node": pod.node,
        "phase": pod.phase,
        "restarts": pod.restarts,
        "reason": pod.reason,
        "age_seconds": pod.age.as_secs(),
    })
}

fn request_json(request: &Pending) -> Value {
    json!({
        "name": request.name,
        "user": request.user,
        "signer": request.signer,
        "age_seconds": request.age.as_secs(),
    })
}

/// The nodes of a cluster, one a line.
pub fn nodes(nodes: &[NodeStatus]) -> Table {
    let mut table = Table::new(["NODE", "STATUS", "ROLES", "AGE", "VERSION", "ADDRESS", "WHY"]);
    for node in nodes {
        let mut status = if node.ready { "Ready" } else { "NotReady" }.to_owned();
        if !node.schedulable {
            status.push_str(",cordoned");
        }
        table.row([
            node.name.clone(),
            status,
            node.roles.join(","),
            age(node.age),
            node.version.clone(),
            node.addresses.first().cloned().unwrap_or_default(),
            node.reason.clone(),
        ]);
    }
    table
}

/// Pods, one a line.
pub fn pods(pods: &[PodStatus]) -> Table {
    let mut table = Table::new(["NAMESPACE", "POD", "READY", "PHASE", "RESTARTS", "AGE", "NODE", "WHY"]);
    for pod in pods {
        let (ready, all) = pod.containers;
        table.row([
            pod.namespace.clone(),
            pod.name.clone(),
            format!("{ready}/{all}"),
            pod.phase.clone(),
            pod.restarts.to_string(),
            age(pod.age),
            pod.node.clone().unwrap_or_default(),
            pod.reason.clone(),
        ]);
    }
    table
}

/// An age in the largest unit that it has two of: `45s`, `119s`, `2m`, `3h`, `12d`.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
