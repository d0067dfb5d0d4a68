//! Nodes and pods as tables.

use std::time::Duration;

use super::table::Table;
use crate::kube::{NodeStatus, PodStatus};

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
mod tests {
    use super::*;

    fn node(name: &str, ready: bool) -> NodeStatus {
        NodeStatus {
            name: name.into(),
            ready,
            reason: if ready { String::new() } else { "KubeletNotReady: no network plugin".into() },
            schedulable: ready,
            roles: if name == "cp1" { vec!["control-plane".into(), "master".into()] } else { vec![] },
            version: "v1.20.2".into(),
            addresses: vec!["10.77.0.11".into(), "203.0.113.9".into()],
            age: Duration::from_secs(75),
        }
    }

    #[test]
    fn a_table_of_nodes() {
        insta::assert_snapshot!(nodes(&[node("cp1", true), node("worker-1", false)]), @r"
        NODE       STATUS              ROLES                  AGE   VERSION   ADDRESS      WHY
        cp1        Ready               control-plane,master   75s   v1.20.2   10.77.0.11   -
        worker-1   NotReady,cordoned   -                      75s   v1.20.2   10.77.0.11   KubeletNotReady: no network plugin
        ");
    }

    #[test]
    fn a_table_of_pods() {
        let running = PodStatus {
            namespace: "hoist-sample".into(),
            name: "web-7c9f-abcde".into(),
            node: Some("worker-1".into()),
            phase: "Running".into(),
            ready: true,
            containers: (1, 1),
            restarts: 0,
            reason: String::new(),
            age: Duration::from_secs(7300),
        };
        let pending = PodStatus {
            name: "web-7c9f-fghij".into(),
            node: None,
            phase: "Pending".into(),
            ready: false,
            containers: (0, 1),
            reason: "Unschedulable: 0/3 nodes are available".into(),
            ..running.clone()
        };
        insta::assert_snapshot!(pods(&[running, pending]), @r"
        NAMESPACE      POD              READY   PHASE     RESTARTS   AGE   NODE       WHY
        hoist-sample   web-7c9f-abcde   1/1     Running   0          2h    worker-1   -
        hoist-sample   web-7c9f-fghij   0/1     Pending   0          2h    -          Unschedulable: 0/3 nodes are available
        ");
    }

    #[test]
    fn ages() {
        let shown = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|s| age(Duration::from_secs(s)));
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
