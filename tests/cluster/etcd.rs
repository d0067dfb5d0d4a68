//! etcd on hosts of its own: begun with one member, grown to three, killed, without one of them, with one that lost its disk.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    another, expired, restored,
    stage::{Stage, cache, output_of, text, until},
};

const LAB: &str = "cluster-etcd";
pub const ETCDCTL: &str = "etcdctl --cacert /etc/etcd/pki/ca.crt --cert /etc/etcd/pki/member.pem \
                       --key /etc/etcd/pki/member.pem --endpoints https://127.0.0.1:2379";
const MEMBER: &str = "the host is a member of etcd";
/// In the inventory, those who come later.
const LATER: &str =
    "  etcd2: {address: 10.77.0.22, roles: [etcd]}\n  etcd3: {address: 10.77.0.23, roles: [etcd]}\n";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn etcd() {
    let stage = Stage::new(LAB, include_str!("../fixtures/cluster/etcd.yaml"));
    artifacts(&stage.path("artifacts/kubernetes-1.20.2"));
    older_release(&stage, &[(LATER, "")]);
    let nodes = text(&stage.inventory("nodes.yaml", &[])).to_owned();
    eprintln!();
    stage.step("five nodes", || stage.hoist(&["lab", "up", "-i", &nodes]).exits(0).took);
    stage.step("killed while the control plane is initialised, after it has written to etcd", || {
        killed_while_initialising(&stage);
    });
    stage.step("an apply goes on from there to a cluster with one member of etcd", || {
        stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
        nothing_to_change(&stage);
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
        stage.kubectl(&["create", "configmap", "kept", "--from-literal=is=here"]).exits(0);
    });
    stage.step("etcd grows from one member to three, killed while it does", || grows(&stage));
    stage.step("etcd answers nobody without a certificate", || only_with_certificates(&stage));
    stage.step("without one member the API server goes on", || one_is_off(&stage, &nodes));
    stage.step("a member that lost its disk, killed while it joins, is one again", || {
        lost_disk(&stage, &nodes)
    });
    stage.step("another release and setting restart one member at a time", || newer_release(&stage));
    stage.step("a setting that one member does not get well with reaches no other", || bad_setting(&stage));
    stage.step("a certificate in its last months is made anew", || old_certificate(&stage));
    stage.step("certificates of etcd are shown, and renewed by one command", || renewed(&stage));
    stage.step("certificates that have all expired end the API", || expired::end(&stage));
    stage.step("one command renews them, and the API is back", || expired::renewed(&stage));
    stage.step("a worker whose kubelet's certificate has expired joins anew", || expired::joins_anew(&stage));
    let kept = stage.step("a snapshot brings back what was deleted since", || restored::deleted(&stage));
    stage.step("an authority that was left by something else is replaced", || stays_the_same(&stage));
    stage.step("no etcd is begun beside one that may live, nor beside its cluster", || {
        no_second(&stage, &nodes)
    });
    stage.step("hosts that lost everything get it back from the snapshot and the authority's key", || {
        restored::lost(&stage, &kept);
    });
    stage.step("another etcd than API servers ask is refused", || another::is_refused(&stage));
    stage.step("the authority's key was never shown", || secrets(&stage));
}

/// The inventory of the story with an older release of etcd among the artifacts, before that of the nodes' packages.
fn older_release(stage: &Stage, edits: &[(&str, &str)]) {
    let (made, own) = (cache().join("artifacts"), stage.path("artifacts"));
    stage.inventory("inventory.yaml", &[&[(text(&made), text(&own))], edits].concat());
}

/// The lab's artifacts and etcd as its project releases it: an archive with a folder.
fn artifacts(home: &std::path::Path) {
    let made = cache().join("artifacts/kubernetes-1.20.2");
    fs::create_dir_all(home).unwrap();
    for entry in fs::read_dir(&made).unwrap().flatten().filter(|entry| entry.file_name() != "index.yaml") {
        symlink(entry.path(), home.join(entry.file_name())).unwrap();
    }
    let mut index = fs::read_to_string(made.join("index.yaml")).unwrap();
    assert!(!index.contains("extras:"), "{index}");
    let archive = home.join("etcd.tar.gz");
    let programs = cache().join("lab/kubernetes-build/etcd/usr/bin");
    let rename = "--transform=s|^|etcd-release/|";
    output_of("tar", &["-czf", text(&archive), "-C", text(&programs), rename, "etcd", "etcdctl"]);
    let digest = output_of("sha256sum", &[text(&archive)]);
    let (digest, size) = (&digest[..64], fs::metadata(&archive).unwrap().len());
    index += &format!("extras:\n- {{name: etcd, path: etcd.tar.gz, sha256: {digest}, size: {size}}}\n");
    fs::write(home.join("index.yaml"), index).unwrap();
}

pub fn nothing_to_change(stage: &Stage) {
    stage.hoist(&["plan"]).exits(0).says("Nothing to change").within(30);
}

fn step(event: &Value, kind: &str, host: &str, step: &str) -> bool {
    event["event"] == kind && event["host"] == host && event["step"] == step
}

/// An apply that is killed at once when an event is as wanted.
fn killed(stage: &Stage, wanted: impl Fn(&Value) -> bool) {
    let log = stage.path("killed.log");
    let mut command: Command = stage.command(&["apply", "--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let mut found = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        stage.hear(&line);
        if wanted(&serde_json::from_str(&line).unwrap()) {
            found = true;
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let errors = fs::read_to_string(&log).unwrap();
    stage.hear(&errors);
    assert!(found, "the run ended before: {errors}");
}

/// What the first API server wrote is still there when the next one comes, and must not be strange to it.
fn killed_while_initialising(stage: &Stage) {
    let log = stage.path("killed.log");
    let mut command = stage.command(&["apply"]);
    let mut child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    // In one connection, for not much time is left then.
    let key = "/registry/configmaps/kube-system/kubeadm-config";
    stage.on(
        "etcd1",
        &format!("until {ETCDCTL} get {key} --keys-only 2>/dev/null | grep -q .; do sleep 0.1; done"),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    stage.hear(&fs::read_to_string(&log).unwrap());
    // What it had begun on the host ends with the connection.
    thread::sleep(Duration::from_secs(3));
    let at_work = stage.holds_on("cp1", "test -e /var/lib/hoist/kubeadm-at-work");
    assert!(at_work, "kubeadm was done before it could be killed");
    stage.hoist(&["plan"]).exits(2).says("run kubeadm_once init");
}

/// The inventory names two more. The API server asks them when they have a vote, and not before.
fn grows(stage: &Stage) {
    let servers =
        || stage.on("cp1", "grep -o -e '--etcd-servers=.*' /etc/kubernetes/manifests/kube-apiserver.yaml");
    let endpoints = ["21", "22", "23"].map(|last| format!("https://10.77.0.{last}:2379"));
    assert_eq!(servers().trim(), format!("--etcd-servers={}", endpoints[0]));
    let first = members(stage, "etcd1");
    assert_eq!(first.len(), 1, "{first:?}");
    older_release(stage, &[]);
    stage.hoist(&["plan"]).exits(2).says("run etcd_join");
    killed(stage, |event| ["etcd2", "etcd3"].iter().any(|host| step(event, "step-done", host, MEMBER)));
    serves(stage);
    stage.hoist(&["plan"]).exits(2).says("run etcd_");
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
    serves(stage);
    let grown = members(stage, "etcd3");
    assert!(grown.len() == 3 && grown.contains(&first[0]), "{first:?} {grown:?}");
    assert_eq!(servers().trim(), format!("--etcd-servers={}", endpoints.join(",")));
    let others = "etcd has members that the inventory does not have: etcd2 (10.77.0.22), etcd3 (10.77.0.23)";
    older_release(stage, &[(LATER, "")]);
    stage.hoist(&["plan"]).exits(2).says(others);
    stage.hoist(&["status"]).says(others);
    older_release(stage, &[]);
}

fn only_with_certificates(stage: &Stage) {
    let curl = |arguments: &[&str]| {
        let mut all = vec!["lab", "exec", "--", "curl", "-sS", "-k", "--max-time", "5"];
        all.extend(arguments);
        stage.hoist(&all)
    };
    assert_ne!(curl(&["https://10.77.0.21:2379/health"]).exit, Some(0));
    assert_ne!(curl(&["http://10.77.0.21:2379/health"]).exit, Some(0));
    assert_ne!(curl(&["https://10.77.0.21:2380/members"]).exit, Some(0));
    assert_ne!(curl(&["http://10.77.0.21:2381/health"]).exit, Some(0), "only on the loopback");
    stage.on("etcd1", "stat -c '%a %U' /var/lib/etcd-external | grep -qx '700 etcd'");
    stage.on("etcd1", "stat -c '%a %U' /etc/etcd/pki/ca.key | grep -qx '600 root'");
    stage.on("etcd1", "ps -o user= -C etcd | grep -qx etcd");
    assert!(!stage.holds_on("etcd1", "test -e /var/lib/hoist || test -e /run/etcd-initial.conf"));
}

/// Identity and name of each member.
pub fn members(stage: &Stage, on: &str) -> Vec<String> {
    let list = stage.on(on, &format!("{ETCDCTL} member list"));
    assert!(list.lines().all(|line| line.ends_with(", false")), "all vote: {list}");
    list.lines()
        .map(|line| line.split(", ").collect::<Vec<_>>())
        .map(|words| format!("{} {}", words[0], words[2]))
        .collect()
}

#[track_caller]
fn serves(stage: &Stage) {
    stage.kubectl(&["get", "configmap", "kept", "--request-timeout=5s"]).exits(0);
}

fn one_is_off(stage: &Stage, nodes: &str) {
    let before = members(stage, "etcd1");
    stage.hoist(&["lab", "stop", "etcd2"]).exits(0);
    // A request that was on its way to a member without power hangs until the API server misses its keepalives.
    until("the API server answers without etcd2", 60, || {
        stage.kubectl(&["get", "configmap", "kept", "--request-timeout=5s"]).exit == Some(0)
    });
    for _ in 0..20 {
        serves(stage);
        thread::sleep(Duration::from_millis(200));
    }
    stage.hoist(&["plan"]).exits(69).says("Nothing to change");
    stage.hoist(&["lab", "up", "-i", nodes]).exits(0);
    until("etcd2 is as it should be", 60, || stage.hoist(&["plan"]).exit == Some(0));
    assert_eq!(members(stage, "etcd2"), before);
    // Stopped on the host, it is started again.
    stage.on("etcd2", "systemctl stop etcd");
    stage.hoist(&["plan"]).exits(2).says("run etcd_restart");
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
}

fn lost_disk(stage: &Stage, nodes: &str) {
    let before = members(stage, "etcd1");
    stage.hoist(&["lab", "down", "etcd3"]).exits(0);
    stage.hoist(&["lab", "up", "-i", nodes]).exits(0);
    let stale = before.iter().find(|member| member.ends_with(" etcd3")).unwrap();
    let stale = stale.split(' ').next().unwrap();
    stage.hoist(&["plan"]).exits(2).says(&format!("run etcd_join {stale}"));
    killed(stage, |event| step(event, "step-started", "etcd3", MEMBER));
    serves(stage);
    stage.hoist(&["apply"]).exits(0);
    serves(stage);
    nothing_to_change(stage);
    let after = members(stage, "etcd3");
    assert_eq!(after.len(), 3, "{after:?}");
    assert!(!after.iter().any(|member| member.starts_with(stale)), "{after:?}");
    // What etcd held before its members changed is kept where that was done.
    let kept = stage.on("etcd3", "stat -c '%a %U' /var/lib/hoist/etcd-before-*");
    assert!(!kept.is_empty() && kept.lines().all(|line| line == "600 root"), "{kept}");
    // Only its data this time.
    stage.on("etcd1", "systemctl stop etcd; rm -rf /var/lib/etcd-external/member");
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
    assert_eq!(members(stage, "etcd1").len(), 3);
    serves(stage);
}

fn newer_release(stage: &Stage) {
    assert!(stage.on("etcd1", "/proc/$(pidof etcd)/exe --version").contains("etcd Version: 3.4"));
    stage.inventory("inventory.yaml", &[("vars:", "vars:\n  etcd: {snapshot_count: 20000}")]);
    let since = "systemctl show -P InvocationID etcd";
    let hosts = ["etcd1", "etcd2", "etcd3"];
    let before = hosts.map(|host| stage.on(host, since));
    stage.hoist(&["plan"]).exits(2).says("write /etc/etcd/etcd.conf");
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
    for (host, before) in hosts.iter().zip(before) {
        assert_ne!(stage.on(host, since), before, "{host} was restarted");
    }
    assert!(!stage.on("etcd1", "/proc/$(pidof etcd)/exe --version").contains("etcd Version: 3.4"));
    // When each went and when it was back, by their one clock.
    let times = "systemctl show -P InactiveExitTimestampMonotonic -P ActiveEnterTimestampMonotonic etcd | paste -sd' '";
    let mut times: Vec<(u64, u64)> = hosts
        .iter()
        .map(|host| {
            let times = stage.on(host, times);
            let (left, back) = times.trim().split_once(' ').unwrap();
            (left.parse().unwrap(), back.parse().unwrap())
        })
        .collect();
    times.sort_unstable();
    assert!(times.windows(2).all(|two| two[0].1 <= two[1].0), "two at the same time: {times:?}");
    serves(stage);
}

/// What no check of an inventory can see: a template of one's own.
fn bad_setting(stage: &Stage) {
    let own = stage.path("own/templates/etcd");
    fs::create_dir_all(&own).unwrap();
    let template = include_str!("../../templates/etcd/etcd.conf");
    let bad = template.replace("ETCD_AUTO_COMPACTION_MODE=periodic", "ETCD_AUTO_COMPACTION_MODE=nonsense");
    fs::write(own.join("etcd.conf"), bad).unwrap();
    let since = "systemctl show -P InvocationID etcd";
    let hosts = ["etcd1", "etcd2", "etcd3"];
    let before = hosts.map(|host| stage.on(host, since));
    let failed = stage.hoist(&["apply", "--roles", text(&stage.path("own"))]).exits(1);
    failed.says("etcd did not get well with its new settings").says("it has its old settings again");
    serves(stage);
    let same = hosts.iter().zip(&before).filter(|(host, before)| stage.on(host, since) == **before).count();
    assert_eq!(same, 2, "only one was restarted");
    for host in hosts {
        stage.on(host, &format!("{ETCDCTL} endpoint health"));
    }
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
    serves(stage);
}

fn renewed(stage: &Stage) {
    let (member, client) = ("/etc/etcd/pki/member.pem", "/etc/kubernetes/etcd/client.pem");
    let shown = stage.hoist(&["certificates", "show"]).exits(0).says(member).says(client);
    assert_eq!(shown.stdout.matches(member).count(), 3, "{}", shown.stdout);
    let certificates = [("etcd1", member), ("etcd2", member), ("etcd3", member), ("cp1", client)];
    let serials = || {
        certificates.map(|(host, path)| stage.on(host, &format!("openssl x509 -noout -serial -in {path}")))
    };
    let before = serials();
    stage.hoist(&["certificates", "renew"]).exits(0).says("5 changes");
    let after = serials();
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    for host in ["etcd1", "etcd2", "etcd3"] {
        stage.on(host, &format!("{ETCDCTL} endpoint health"));
    }
    serves(stage);
    nothing_to_change(stage);
}

fn old_certificate(stage: &Stage) {
    stage.on(
        "etcd1",
        "sed 's/-days 365/-days 80/' /usr/local/sbin/hoist-etcd-sign > /run/sign\n\
         sh /run/sign /etc/etcd/pki/member.pem /CN=etcd1 DNS:etcd1,DNS:localhost,IP:10.77.0.21,IP:127.0.0.1\n\
         rm /run/sign",
    );
    let until = |host: &str, file: &str| stage.on(host, &format!("openssl x509 -noout -enddate -in {file}"));
    let before = until("etcd1", "/etc/etcd/pki/member.pem");
    stage.hoist(&["plan"]).exits(2).says("run hoist-etcd-sign").says("1 of");
    // The API server's own is the one that etcd's hosts sign for others.
    let client = until("cp1", "/etc/kubernetes/etcd/client.pem");
    thread::sleep(Duration::from_secs(1));
    stage.on("cp1", "rm /etc/kubernetes/etcd/client.pem");
    stage.hoist(&["apply"]).exits(0).says("2 changes");
    nothing_to_change(stage);
    assert_ne!(until("etcd1", "/etc/etcd/pki/member.pem"), before);
    assert_ne!(until("cp1", "/etc/kubernetes/etcd/client.pem"), client);
    stage.on(
        "etcd2",
        &ETCDCTL.replace("127.0.0.1", "10.77.0.21").replace("etcdctl", "etcdctl endpoint health"),
    );
    serves(stage);
}

/// Every host has the same authority, whoever made it.
fn stays_the_same(stage: &Stage) {
    let digest = |host: &str| stage.on(host, "sha256sum < /etc/etcd/pki/ca.crt");
    let first = digest("etcd1");
    stage.on(
        "etcd3",
        "systemctl stop etcd; rm -rf /var/lib/etcd-external/member\n\
         openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -days 9 -keyout /etc/etcd/pki/ca.key \
         -out /etc/etcd/pki/ca.crt 2>/dev/null",
    );
    stage.hoist(&["apply"]).exits(0);
    nothing_to_change(stage);
    for host in ["etcd2", "etcd3"] {
        assert_eq!(digest(host), first, "{host}");
    }
    serves(stage);
}

/// Two of three lose everything while the third is off.
fn no_second(stage: &Stage, nodes: &str) {
    stage.hoist(&["lab", "stop", "etcd3"]).exits(0);
    stage.hoist(&["lab", "down", "etcd1", "etcd2"]).exits(0);
    stage.hoist(&["lab", "up", "--nodes", "etcd1=10.77.0.21,etcd2=10.77.0.22"]).exits(0);
    stage.hoist(&["apply"]).exits(69).says("etcd3, which cannot be used, may have it");
    stage.hoist(&["lab", "down", "etcd3"]).exits(0);
    stage.hoist(&["lab", "up", "-i", nodes]).exits(0);
    stage.hoist(&["apply"]).exits(1).says("cp1, w1 belong to a cluster: a new etcd would know nothing of it");
}

fn secrets(stage: &Stage) {
    let key = stage.on("cp1", "grep -v -- - /etc/kubernetes/etcd/client.pem | head -n 1");
    let heard = stage.heard();
    assert!(key.len() > 40 && !heard.contains(key.trim()), "a key was printed");
    for entry in fs::read_dir(stage.path("state/hoist/lab-etcd/runs")).unwrap().flatten() {
        let record = fs::read_to_string(entry.path()).unwrap();
        assert!(!record.contains(key.trim()), "a key is in {}", entry.path().display());
        assert!(!record.contains("PRIVATE KEY"), "{}", entry.path().display());
    }
}
