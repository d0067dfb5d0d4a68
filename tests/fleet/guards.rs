//! What a run refuses before its first change, told by hosts of a cluster that lives.

use crate::{bed::Fleet, unreached::LIVES};

const NAMES: [&str; 4] = ["cp1", "cp2", "cp3", "w1"];

/// A kubelet that has joined, and the authority of its cluster.
fn node(authority: &str) -> String {
    format!(
        "mkdir -p /etc/kubernetes/pki; touch /etc/kubernetes/kubelet.conf\n\
         printf -- '-----BEGIN CERTIFICATE-----\\n{authority}\\n-----END CERTIFICATE-----\\n' >/etc/kubernetes/pki/ca.crt\n"
    )
}

/// An API server of this version.
fn api_server(version: &str) -> String {
    let image = format!("    image: k8s.gcr.io/kube-apiserver:v{version}");
    format!(
        "mkdir -p /etc/kubernetes/manifests; echo '{image}' >/etc/kubernetes/manifests/kube-apiserver.yaml\n"
    )
}

#[test]
fn a_living_host_keeps_its_place_in_the_cluster() {
    let Some(fleet) = Fleet::start(&NAMES) else { return };
    fleet.on("2222", 0, &(LIVES.to_owned() + &node("QUFB") + &api_server("1.20.2")));
    // A worker that the inventory has for a control plane, and a control plane that it has for a worker.
    fleet.on("2222", 1, &node("QUFB"));
    fleet.on("2222", 3, &(node("QUFB") + &api_server("1.20.2")));
    for (limit, says) in [
        ("cp1,cp2", "cp2 is a node of the cluster and no control plane, and the inventory has it for one"),
        ("w1", "w1 has an API server, and the inventory does not have it for a control plane"),
    ] {
        for verb in ["plan", "apply"] {
            fleet.hoist(verb, &["--limit", limit]).exits(1).says(says).says("nothing was changed");
        }
    }
    // Who is not changed is no matter of this run's.
    fleet.hoist("plan", &["--limit", "cp1"]).exits(2);
    // The administrator's credentials are gone, and with them what tells a control plane that lives from a lost one.
    fleet.on("2222", 0, "rm /etc/kubernetes/admin.conf");
    for verb in ["plan", "apply"] {
        fleet
            .hoist(verb, &["--limit", "cp1"])
            .exits(1)
            .says("cp1 has an API server and no")
            .says("kubeadm init phase");
    }
    assert_eq!(fleet.left(), Vec::<String>::new());
}

/// Single roles are carried out under the same guard, if they are a cluster's; others need nobody's leave.
#[test]
fn only_some_roles_of_a_cluster_are_no_way_around_it() {
    let Some(mut fleet) = Fleet::start(&["cp1", "w1", "w2"]) else { return };
    fleet.role(
        "own",
        "needs: [kubernetes]\ntasks:\n  - name: own\n    file: {path: '{{ vars.root }}/own', content: ''}",
    );
    fleet.on("2222", 0, &(LIVES.to_owned() + &node("QUFB") + &api_server("1.19.7")));
    for only in ["worker", "own", "note,kubernetes"] {
        for verb in ["plan", "apply"] {
            let ran = fleet.hoist(verb, &["--only", only, "--limit", "w1"]).exits(1);
            ran.says("the API server on cp1 is 1.19.7, and the inventory says 1.20.2");
        }
    }
    fleet.on("2222", 0, &api_server("1.20.2"));
    // A node of another cluster.
    fleet.on("2222", 2, &node("QkJC"));
    let ran = fleet.hoist("apply", &["--only", "own", "--limit", "w2"]).exits(1);
    ran.says("w2").says("a node of another cluster than cp1");
    assert_eq!(fleet.left(), Vec::<String>::new());
    fleet.hoist("apply", &["--only", "own", "--limit", "w1"]).exits(0).says("1 change");
    fleet.hoist("apply", &["--only", "own", "--limit", "w1"]).exits(0).says("0 changes");
    fleet.stop(0);
    fleet.hoist("plan", &["--only", "own", "--limit", "w1"]).exits(69).says("failed to connect to cp1");
    fleet
        .hoist("apply", &["--only", "note", "--limit", "w1,w2"])
        .exits(0)
        .says("4 changes")
        .says_nothing_of("cp1");
}

/// cp1 has the virtual address and knows nobody, as the only control plane that there is.
#[test]
fn a_control_plane_that_the_holder_of_the_address_does_not_know_is_not_begun() {
    let Some(fleet) = Fleet::start(&NAMES) else { return };
    let text = std::fs::read_to_string(fleet.path("inventory.yaml")).unwrap();
    let vip = "kubernetes: \"1.20.2\", endpoint: {vip: 10.78.0.99}";
    fleet.write("inventory.yaml", &text.replace("kubernetes: \"1.20.2\"", vip));
    fleet.role("load-balancer", "tasks: []");
    let keeper = |peers: &str| {
        format!(
            "mkdir -p /etc/keepalived; printf 'vrrp_instance api {{\\nunicast_peer {{\\n{peers}}}\\n}}\\n' >/etc/keepalived/keepalived.conf\n"
        )
    };
    fleet.on("2222", 0, &(LIVES.to_owned() + &node("QUFB") + &api_server("1.20.2") + &keeper("")));
    for verb in ["plan", "apply"] {
        for arguments in [&["--limit", "cp2"][..], &["--only", "load-balancer", "--limit", "cp2"]] {
            let ran = fleet.hoist(verb, arguments).exits(64).says("cp1 would not know cp2");
            ran.says("add cp1 to --limit");
        }
    }
    // Both are changed; no balancer is; it was known before.
    fleet.hoist("plan", &["--limit", "cp1,cp2"]).exits(2);
    fleet.hoist("plan", &["--only", "note", "--limit", "cp2"]).exits(2);
    fleet.on("2222", 0, &keeper("10.78.0.12\\n"));
    fleet.hoist("plan", &["--limit", "cp2"]).exits(2);
    // One that left the inventory and still balances.
    fleet.on("2222", 0, &keeper("10.78.0.12\\n10.78.0.77\\n"));
    let mut add = fleet.inside("ip");
    assert!(add.args(["address", "add", "10.78.0.77/24", "dev", "lo"]).status().unwrap().success());
    fleet.hoist("plan", &["--limit", "cp1"]).exits(2);
    let listener = fleet.enter(|| std::net::TcpListener::bind("10.78.0.77:6443").unwrap());
    let ran = fleet.hoist("plan", &["--limit", "cp1"]).exits(1);
    ran.says("10.78.0.77 is no control plane in the inventory any more")
        .says("disable --now keepalived haproxy");
    fleet.hoist("plan", &["--limit", "w1"]).exits(2);
    drop(listener);
}
