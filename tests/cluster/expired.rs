//! A cluster whose certificates have all expired is got back, step by step as docs/operations.md says.

use serde_json::Value;

use crate::{
    etcd::{ETCDCTL, nothing_to_change},
    restored::{AUTHORITY, HOSTS, read, write},
    stage::{Stage, text, until},
};

/// `past FILE AUTHORITY` signs the certificate in a file again, for a time that is over: with the same key, subject and
/// extensions. A key beside it stays.
const PAST: &str = r#"
set -eu
umask 077
past() {
    openssl x509 -in "$1" -CA "$2.crt" -CAkey "$2.key" -not_before 20240101000000Z -not_after 20250101000000Z \
        -out /run/past 2>/dev/null
    sed '/BEGIN CERTIFICATE/,/END CERTIFICATE/d' "$1" >> /run/past
    cat /run/past > "$1"
    rm /run/past
}
"#;

/// What a control plane has, with etcd's authority in `/run`.
const CONTROL_PLANE: &str = r#"
past /etc/kubernetes/etcd/client.pem /run/authority
cd /etc/kubernetes/pki
past apiserver.crt ca
past apiserver-kubelet-client.crt ca
past front-proxy-client.crt front-proxy-ca
for file in /etc/kubernetes/*.conf; do
    grep -q client-certificate-data: $file || continue
    sed -n 's/^ *client-certificate-data: //p' $file | base64 -d > /run/certificate
    past /run/certificate ca
    sed -i "s|\(client-certificate-data: \).*|\1$(base64 -w 0 /run/certificate)|" $file
done
for use in client server; do past /var/lib/kubelet/pki/kubelet-$use-current.pem ca; done
rm /run/authority.*
"#;

/// What a worker has, with the cluster's authority in `/run`.
const WORKER: &str = r#"
for use in client server; do past /var/lib/kubelet/pki/kubelet-$use-current.pem /run/authority; done
rm /run/authority.*
"#;

/// Gives a host another one's authority.
fn lend(stage: &Stage, from: &str, authority: [&str; 2], to: &str) {
    for (path, file) in authority.iter().zip(["/run/authority.crt", "/run/authority.key"]) {
        write(stage, to, file, &read(stage, from, path));
    }
}

/// A cluster with an application, of which every certificate but the authorities' is over, and whatever read one when it
/// started is started anew.
pub fn end(stage: &Stage) {
    stage.hoist(&["sample"]).exits(0).says("answers through w1");
    lend(stage, "etcd1", AUTHORITY, "cp1");
    lend(stage, "cp1", ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"], "w1");
    for host in HOSTS {
        stage.on(host, &format!("{PAST} past /etc/etcd/pki/member.pem /etc/etcd/pki/ca"));
    }
    stage.on("cp1", &format!("{PAST}{CONTROL_PLANE}"));
    stage.on("w1", &format!("{PAST}{WORKER}"));
    assert!(days(stage).iter().all(|days| *days < 0));

    // The kubelet, which still runs, starts them again.
    stage.on("cp1", "pkill -x kube-apiserver; pkill -x kube-controller; pkill -x kube-scheduler");
    let says =
        |host: &str, log: &str, words: &str| stage.holds_on(host, &format!("{log} | grep -q '{words}'"));
    until("the API server finds that the certificates of etcd are over", 60, || {
        let log = "cat /var/log/pods/kube-system_kube-apiserver-cp1_*/kube-apiserver/*.log";
        says("cp1", log, "x509: certificate has expired or is not yet valid")
    });
    for host in HOSTS {
        stage.on(host, "systemctl restart --no-block etcd");
    }
    for host in ["cp1", "w1"] {
        stage.on(host, "systemctl restart kubelet");
        until("the kubelet finds that its own is over", 30, || {
            let log = "journalctl -q --no-pager -o cat -u kubelet";
            says(host, log, "part of the existing bootstrap client certificate.* is expired")
                && says(host, log, "unable to load bootstrap kubeconfig")
        });
    }
    stage.kubectl(&["get", "nodes", "--request-timeout=5s"]).exits(1);
    assert!(!stage.holds_on("etcd1", &format!("{ETCDCTL} get hoist")), "etcd has a majority");
}

/// How many days each certificate has left, the authorities' apart.
fn days(stage: &Stage) -> Vec<i64> {
    let shown = stage.hoist(&["certificates", "show", "--output", "json"]).exits(0).stdout;
    let shown: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let others = shown.iter().filter(|it| it["authority"] == false);
    let days: Vec<i64> = others.map(|it| it["days"].as_i64().unwrap()).collect();
    assert_eq!(days.len(), 14, "{shown:?}");
    days
}

pub fn renewed(stage: &Stage) {
    stage.hoist(&["certificates", "renew"]).exits(0);
    for host in HOSTS {
        stage.on(host, &format!("{ETCDCTL} endpoint health"));
    }
    stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    stage.kubectl(&["get", "configmap", "kept"]).exits(0);
    let lease = || {
        let time = "jsonpath={.spec.renewTime}";
        stage.kubectl(&["-n", "kube-node-lease", "get", "lease", "cp1", "-o", time]).exits(0).stdout
    };
    let before = lease();
    until("its kubelet speaks to the API server", 60, || lease() != before);
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    until("the control plane is ready", 60, || {
        stage.kubectl(&["get", "node", "cp1", "-o", ready]).exits(0).stdout == "True"
    });
}

pub fn joins_anew(stage: &Stage) {
    let fix =
        "the host lacks a kubelet's certificate that has not expired: run `kubeadm reset --force` there";
    let plan = stage.hoist(&["plan"]).exits(2).says(fix);
    assert!(!plan.stdout.contains("cp1"), "{plan}");
    stage.hoist(&["apply"]).exits(1).says(fix);
    stage.on("w1", "kubeadm reset --force");
    stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
    nothing_to_change(stage);
    assert!(days(stage).iter().all(|days| *days > 300), "those with which kubelets serve, too");
    stage.kubectl(&["-n", "kube-system", "logs", "--tail=1", "kube-apiserver-cp1"]).exits(0);
    stage.hoist(&["sample"]).exits(0).says("answers through w1");
}
