//! etcd on hosts of its own goes back to a snapshot, step by step as docs/operations.md says.

use std::{io::Write as _, process::Stdio};

use crate::{
    etcd::{members, nothing_to_change},
    stage::{Stage, until},
};

pub const HOSTS: [&str; 3] = ["etcd1", "etcd2", "etcd3"];
pub const AUTHORITY: [&str; 2] = ["/etc/etcd/pki/ca.crt", "/etc/etcd/pki/ca.key"];

/// A backup: what a snapshot has, and the authority's certificate and key.
pub struct Kept {
    snapshot: Vec<u8>,
    authority: [Vec<u8>; 2],
}

pub fn read(stage: &Stage, host: &str, path: &str) -> Vec<u8> {
    let output = stage.command(&["lab", "ssh", host, "--", &format!("cat {path}")]).output().unwrap();
    assert!(output.status.success(), "{host}: {path}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn write(stage: &Stage, host: &str, path: &str, content: &[u8]) {
    let command = format!("umask 077; cat > {path}");
    let mut ssh = stage.command(&["lab", "ssh", host, "--", &command]);
    let mut child = ssh.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    assert!(child.wait().unwrap().success(), "{host}: {path}");
}

/// What was deleted after a snapshot is back, and what was made after it is not.
pub fn deleted(stage: &Stage) -> Kept {
    stage.kubectl(&["create", "configmap", "deleted"]).exits(0);
    stage.on("etcd1", "rm -f /var/lib/hoist/etcd-before-*; hoist-etcd-snapshot");
    let kept = Kept {
        snapshot: read(stage, "etcd1", "/var/lib/hoist/etcd-before-*"),
        authority: AUTHORITY.map(|path| read(stage, "etcd1", path)),
    };
    stage.kubectl(&["delete", "configmap", "deleted"]).exits(0);
    stage.kubectl(&["create", "configmap", "later"]).exits(0);
    let running = "hoist-etcd-restore /var/lib/hoist/etcd-before-*";
    stage.hoist(&["lab", "ssh", "etcd1", "--", running]).exits(1).says("etcd runs here");
    go_back(stage, &kept);
    let owners = "cd /var/lib/etcd-external && stat -c %U member member/snap/db member-before-*";
    assert_eq!(stage.on("etcd2", owners), "etcd\n".repeat(3));
    kept
}

/// The three are empty, and nobody may begin an etcd for a cluster that lives.
pub fn lost(stage: &Stage, kept: &Kept) {
    for host in HOSTS {
        for (name, content) in ["ca.crt", "ca.key"].iter().zip(&kept.authority) {
            write(stage, host, &format!("/root/{name}"), content);
        }
        // etcd, which is not root, reads the certificate.
        let installed = "cd /root && install -D -m 0644 -t /etc/etcd/pki ca.crt && install -m 0600 -t /etc/etcd/pki ca.key";
        stage.on(host, installed);
    }
    let only = ["apply", "--only", "etcd", "--limit", "etcd1,etcd2,etcd3"];
    stage.hoist(&only).exits(1).says("lacks a place among the members of etcd");
    go_back(stage, kept);
}

fn go_back(stage: &Stage, kept: &Kept) {
    let on = |hosts: &[&str], command: &str| hosts.iter().for_each(|host| drop(stage.on(host, command)));
    on(
        &["cp1"],
        "mkdir -p /etc/kubernetes/stopped && mv /etc/kubernetes/manifests/*.yaml /etc/kubernetes/stopped/",
    );
    on(&HOSTS, "systemctl stop etcd");
    for host in HOSTS {
        write(stage, host, "/root/etcd.snapshot", &kept.snapshot);
        stage.on(host, "hoist-etcd-restore /root/etcd.snapshot");
    }
    on(&HOSTS, "systemctl start --no-block etcd");
    on(&["cp1"], "mv /etc/kubernetes/stopped/*.yaml /etc/kubernetes/manifests/");
    on(&["cp1", "w1"], "systemctl restart kubelet");
    until("the API server is back, and has what the snapshot has", 180, || {
        let both = ["get", "configmap", "kept", "deleted", "--request-timeout=5s"];
        stage.kubectl(&both).exit == Some(0)
    });
    stage.kubectl(&["get", "configmap", "later"]).exits(1).says("not found");
    stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
    nothing_to_change(stage);
    assert_eq!(members(stage, "etcd1").len(), 3);
}
