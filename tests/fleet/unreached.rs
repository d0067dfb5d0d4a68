//! Hosts that do not answer, and the others.

use std::{
    fs,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::bed::Fleet;

const NAMES: [&str; 3] = ["cp1", "w1", "w2"];

/// What makes a host a control plane that lives, with credentials as kubeadm writes them.
pub const LIVES: &str =
    "mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf; cat > /etc/kubernetes/admin.conf <<'EOT'
apiVersion: v1
kind: Config
clusters: [{name: kubernetes, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: Q0E=}}]
contexts: [{name: admin, context: {cluster: kubernetes, user: admin}}]
current-context: admin
users: [{name: admin, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}]
EOT
";

#[test]
fn the_others_go_on_and_it_is_named_again_at_the_end() {
    let Some(mut fleet) = Fleet::start(&NAMES) else { return };
    fleet.stop(2);
    let plan = fleet.hoist("plan", &["--only", "note"]).exits(69);
    let plan = plan.says("1 of 3 hosts cannot be used").says("failed to connect to w2");
    plan.says("4 of 4 statements on 2 hosts do not hold, and 1 host could not be read.");
    let json = fleet.hoist("plan", &["--only", "note", "--output", "json"]).exits(69).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["unread"][0]["host"], &json["hosts"][1]["host"]), (&"w2".into(), &"w1".into()));

    let ran = fleet.hoist("apply", &["--only", "note"]).exits(69).says("Not finished: w2 cannot be used.");
    let ran = ran.says("The others are done in").says(": 4 changes.");
    let again = format!(
        "run the same again: {} apply --roles {}",
        env!("CARGO_BIN_EXE_hoist"),
        fleet.path("roles").display()
    );
    ran.says(&format!("{again} --only note"));
    assert_eq!(fleet.left(), ["cp1.note", "cp1.secret", "w1.note", "w1.secret"]);
    let ran = fleet
        .hoist("apply", &["--only", "note"])
        .exits(69)
        .says("Nothing to change: 4 statements hold on 2 hosts");
    ran.says("Not finished: w2 cannot be used.").says_nothing_of("All that happened");
    fleet.hoist("apply", &["--only", "note", "--limit", "cp1,w1"]).exits(0).says("Done in");
}

/// What a plan says of the others is not the whole answer, so that it must not be taken for it.
#[test]
fn a_host_that_cannot_be_used_outweighs_that_something_would_change() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    fleet.on("2222", 1, "sed -i '/^root:/s|:[^:]*$|:/bin/false|' /etc/passwd");
    let plan = fleet.hoist("plan", &["--only", "note"]).exits(1).says("failed to start a root shell on w1");
    plan.says("2 of 2 statements on 1 host do not hold");
}

#[test]
fn programs_learn_of_it_too() {
    let Some(mut fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    fleet.stop(1);
    for changes in [2, 0] {
        let ran = fleet.hoist("apply", &["--only", "note", "--output", "json"]).exits(69);
        let events: Vec<serde_json::Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&events[0]["event"], &events[0]["host"]),
            (&"host-unreached".into(), &"w1".into()),
            "{ran}"
        );
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["changes"]), (&"run-ended".into(), &changes.into()), "{ran}");
        assert_eq!((&last["unreached"][0], &last["failed"]), (&"w1".into(), &serde_json::json!([])), "{ran}");
    }
}

#[test]
fn no_cluster_is_begun_beside_a_control_plane_that_does_not_answer() {
    let Some(mut fleet) = Fleet::start(&NAMES) else { return };
    fleet.stop(0);
    for verb in ["plan", "apply"] {
        let ran = fleet.hoist(verb, &[]).exits(69).says("failed to connect to cp1");
        let ran = ran
            .says("no control plane that answers has a cluster, and cp1, which cannot be used, may have one");
        ran.says("nothing was changed").says("--limit worker");
    }
    assert_eq!(fleet.left(), Vec::<String>::new());
    // What the refusal offers: everything that needs nothing of it is done, the rest is blocked by its name.
    let ran = fleet
        .hoist("apply", &["--limit", "worker"])
        .exits(69)
        .says("w1: worker: joined: not begun, because of cp1");
    ran.says("Not finished: w1 is blocked by cp1, w2 is blocked by cp1, cp1 cannot be used.");
    assert_eq!(fleet.left(), ["w1.prepared", "w2.prepared"]);
    // Workers that need nothing of it are done; only what the API server would say of them is not to be had.
    for worker in ["w1", "w2"] {
        fleet.write(&format!("root/{worker}.joined"), "");
    }
    let ran =
        fleet.hoist("apply", &["--limit", "worker"]).exits(69).says("Nothing to change: 4 statements hold");
    ran.says("no control plane that answers has a cluster, and cp1 cannot be used");
}

#[test]
fn members_of_a_lost_cluster_are_not_abandoned() {
    let Some(fleet) = Fleet::start(&NAMES) else { return };
    fleet.on("2222", 1, "mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf");
    let ran = fleet.hoist("apply", &[]).exits(1).says("no control plane lives, but w1 belong to a cluster");
    ran.says("kubeadm reset");
    assert_eq!(fleet.left(), Vec::<String>::new());
}

/// A new kubelet beside an old API server: the next version in the inventory is no upgrade.
#[test]
fn another_version_is_brought_to_no_host_of_a_living_cluster() {
    let Some(fleet) = Fleet::start(&NAMES) else { return };
    fleet.on("2222", 0, LIVES);
    let image = "    image: k8s.gcr.io/kube-apiserver:v1.19.7";
    fleet.on("2222", 0, &format!("mkdir -p /etc/kubernetes/manifests; echo '{image}' > /etc/kubernetes/manifests/kube-apiserver.yaml"));
    for verb in ["plan", "apply"] {
        let ran = fleet
            .hoist(verb, &[])
            .exits(1)
            .says("the API server on cp1 is 1.19.7, and the inventory says 1.20.2");
        ran.says("set `cluster.kubernetes` back to 1.19.7");
    }
    assert_eq!(fleet.left(), Vec::<String>::new());
}

#[test]
fn what_only_reads_the_cluster_needs_one_control_plane() {
    let Some(mut fleet) = Fleet::start(&NAMES) else { return };
    fleet.on("2222", 0, LIVES);
    fleet.stop(2);
    let config = fleet.path("kubeconfig");
    crate::bed::Ran::of(fleet.command(&[
        "kubeconfig",
        "--context",
        "admin",
        "--file",
        config.to_str().unwrap(),
    ]))
    .exits(0);
    assert!(fs::read_to_string(config).unwrap().contains("client-key-data"));
    // Nothing answers for the API server here; which hosts do not is said before.
    let ran = crate::bed::Ran::of(fleet.command(&["status"])).exits(69);
    assert!(ran.stdout.contains("w2     unreachable   failed to connect to w2"), "{ran}");
    fleet.stop(0);
    let sample = ["sample", "--image", "docker.io/library/busybox:1.36"];
    for arguments in [&["status"][..], &["kubeconfig"], &sample] {
        crate::bed::Ran::of(fleet.command(arguments)).exits(69).says("cp1 cannot be used");
    }
}

#[test]
fn a_control_plane_that_is_not_changed_is_asked() {
    let Some(fleet) = Fleet::start(&NAMES) else { return };
    fleet.on("2222", 0, LIVES);
    // As headings: the name of a temporary folder may have such letters in it, too.
    fleet
        .hoist("plan", &["--limit", "w1"])
        .exits(2)
        .says("w1")
        .says_nothing_of("\ncp1\n")
        .says_nothing_of("\nw2\n");
    // The nodes cannot be waited for: nothing answers for the API server.
    let ran = fleet.hoist("apply", &["--limit", "w1"]).says("w1");
    assert_ne!(ran.exit, Some(0));
    assert_eq!(fleet.left(), ["w1.joined", "w1.prepared"]);
    assert_eq!(fs::read_to_string(fleet.root().join("w1.joined")).unwrap(), "marker4711secret");
    ran.says_nothing_of("marker4711secret");
}

/// Machines that hang up after a while, all on one listener, which counts how many are knocked at together.
#[test]
fn a_hundred_hosts_are_not_knocked_at_all_at_once() {
    let workers: Vec<String> = (1..100).map(|index| format!("w{index}")).collect();
    let names: Vec<&str> = ["cp1"].into_iter().chain(workers.iter().map(String::as_str)).collect();
    let Some(fleet) = Fleet::without_servers(&names) else { return };
    let (open, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let listener = fleet.enter(|| TcpListener::bind("0.0.0.0:2222").unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            while all.load(SeqCst) < 100 {
                let (connection, _) = listener.accept().unwrap();
                all.fetch_add(1, SeqCst);
                most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                let open = &open;
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(500));
                    open.fetch_sub(1, SeqCst);
                    drop(connection);
                });
            }
        });
        fleet.hoist("plan", &["--only", "note"]).exits(69).says("100 of 100 hosts cannot be used");
    });
    let most = most.load(SeqCst);
    assert!((2..=64).contains(&most), "{most}");
}

#[test]
fn clones_are_refused_before_anything_is_changed() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    fleet.role(
        "clone",
        "tasks: [{name: a copied disk, file: {path: /etc/machine-id, content: \"0123456789abcdef0123456789abcdef\\n\"}}]",
    );
    fleet.hoist("apply", &["--only", "clone"]).exits(0);
    let ran = fleet.hoist("apply", &[]).exits(1);
    ran.says("cp1, w1: /etc/machine-id (clone-machine-id)").says("nothing was changed");
    assert_eq!(fleet.left(), Vec::<String>::new());
}
