//! Backups as Longhorn tells of them: by the definitions of its kinds, with the words of S3 services.

use std::sync::{Arc, Mutex};

use super::*;
use crate::addon::gate::testing::{Cluster, words};

const PLACE: &str = "longhorn-system";
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What the service answers to who has another key.
fn refused() -> String {
    format!(
        "failed to list backup stores for longhorn-system/default: error listing backup volume names: failed to execute: \
         /var/lib/longhorn/engine-binaries/longhorn [backup ls --volume-only s3://backups@us-east-1/office], output \
         InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records. \
         <AWSAccessKeyId>{KEY}</AWSAccessKeyId> key {SECRET_KEY} status code: 403"
    )
}

/// Longhorn with a target, and what it makes of backups.
async fn longhorn(status: Value, state: fn() -> Value) -> Cluster {
    longhorn_on(&["s1"], status, state).await
}

async fn longhorn_on(nodes: &[&str], status: Value, state: fn() -> Value) -> Cluster {
    let mut cluster = Cluster::new(nodes).await;
    cluster.runs_pods();
    cluster.set("backup", json!({"target": "s3://backups@us-east-1/office", "access_key": {"env": "S3"}}));
    cluster.put(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "longhorn"},
                       "provisioner": "driver.longhorn.io"}),
    );
    cluster.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "longhorn-backup", "namespace": PLACE},
        "data": {"AWS_ACCESS_KEY_ID": STANDARD.encode(KEY), "AWS_SECRET_ACCESS_KEY": STANDARD.encode(SECRET_KEY),
                 "AWS_ENDPOINTS": STANDARD.encode("https://minio.office.lan:9000")}}));
    cluster.put(json!({"apiVersion": "longhorn.io/v1beta2", "kind": "BackupTarget",
        "metadata": {"name": "default", "namespace": PLACE},
        "spec": {"backupTargetURL": "s3://backups@us-east-1/office/", "credentialSecret": "longhorn-backup",
                 "pollInterval": "5m0s"},
        "status": status}));
    cluster.on_script(|_, _| (0, "0123456789abcdef".repeat(4)));
    cluster.on_write(move |objects| {
        for claim in objects.of_mut("PersistentVolumeClaim") {
            claim["spec"]["volumeName"] = json!("pvc-5b1c");
        }
        for snapshot in objects.of_mut("Snapshot") {
            assert_eq!(snapshot["spec"]["volume"], "pvc-5b1c");
            snapshot["status"] = json!({"readyToUse": true, "size": 8 << 20});
        }
        let mut written = false;
        for backup in objects.of_mut("Backup") {
            assert_eq!(backup["metadata"]["labels"][OF], "pvc-5b1c");
            backup["status"] = state();
            written = true;
        }
        if written {
            objects.put(json!({"apiVersion": "longhorn.io/v1beta2", "kind": "BackupVolume",
                "metadata": {"name": "pvc-5b1c-7e1a", "namespace": PLACE}, "spec": {"volumeName": "pvc-5b1c"}}));
        }
    });
    cluster
}

fn complete() -> Value {
    json!({"state": "Completed", "progress": 100, "size": "41943040", "volumeName": "pvc-5b1c"})
}

fn keeps_its_secrets(text: &str) {
    assert!(!text.contains(KEY) && !text.contains(SECRET_KEY), "{text}");
}

#[tokio::test]
async fn a_backup_is_written_and_removed_and_those_of_others_stay() {
    let mut cluster = longhorn(json!({"available": true}), complete).await;
    cluster.put(json!({"apiVersion": "longhorn.io/v1beta2", "kind": "BackupVolume",
        "metadata": {"name": "pvc-other-1c2d", "namespace": PLACE}, "spec": {"volumeName": "pvc-other"}}));
    let proof = cluster.pass(&BackupWritten, PLACE).await.unwrap();
    assert_eq!(proof.seen[0], "the backup target s3://backups@us-east-1/office is available");
    assert!(proof.seen[1].starts_with("a backup of a volume with 8 MiB was complete after "), "{proof:?}");
    assert_eq!(proof.seen[2], "it was removed from the target again");
    assert!(cluster.has_no("Backup") && cluster.has_no("Namespace"), "nothing is left");
    assert_eq!(cluster.names("BackupVolume"), ["pvc-other-1c2d"]);
}

#[tokio::test]
async fn a_control_plane_that_comes_last_gets_no_volume() {
    let text = "cluster: {name: a, kubernetes: \"1.36.2\"}\nhosts:\n  node1: {address: 10.0.0.1, roles: [worker, storage]}\n  \
                node2: {address: 10.0.0.2, roles: [worker]}\n  node3: {address: 10.0.0.3, roles: [control-plane]}\n";
    let inventory = crate::inventory::parse("test", text).unwrap().inventory;
    let mut cluster = longhorn_on(&["node1", "node2", "node3"], json!({"available": true}), complete).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    cluster.on_script(move |host, _| {
        heard.lock().unwrap().push(host.to_owned());
        (0, "0123456789abcdef".repeat(4))
    });
    let bench = Bench { inventory: &inventory, ..cluster.bench(PLACE) };
    BackupWritten.pass(&bench).await.unwrap();
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|host| host == "node2"), "{asked:?}");
}

#[tokio::test]
async fn a_key_that_the_service_refuses_closes_the_gate_and_is_shown_nowhere() {
    let status = json!({"available": false, "conditions": [
        {"type": "Unavailable", "status": "True", "reason": "Unavailable", "message": refused()}]});
    let cluster = longhorn(status, complete).await;
    let closed = cluster.pass(&BackupWritten, PLACE).await.unwrap_err();
    let help = miette::Diagnostic::help(&closed).unwrap().to_string();
    let told = words(Some(closed));
    assert!(told.starts_with("the backup target is not available after 120 s: Unavailable: "), "{told}");
    assert!(told.ends_with("expected: s3://backups@us-east-1/office is available"), "{told}");
    assert!(help.starts_with("the service refuses the key"), "{help}");
    keeps_its_secrets(&format!("{told} {help} {}", cluster.said().join(" ")));
    assert!(cluster.said()[0].contains("(hidden)") || !cluster.said()[0].contains("AWSAccessKeyId"));
    assert!(cluster.has_no("Namespace") && cluster.has_no("Backup"), "nothing was begun");
}

#[tokio::test]
async fn an_endpoint_that_nobody_reaches_is_told() {
    for (said, advised) in [
        (
            "RequestError: send request failed: dial tcp: lookup minio.office.lan: no such host",
            "nodes do not reach",
        ),
        ("x509: certificate signed by unknown authority", "the endpoint's certificate"),
        (
            "NoSuchBucket: The specified bucket does not exist, status code: 404",
            "the service knows no such bucket",
        ),
    ] {
        let status = json!({"available": false, "conditions": [
            {"type": "Unavailable", "status": "True", "reason": "Unavailable", "message": said}]});
        let closed = longhorn(status, complete).await.pass(&BackupWritten, PLACE).await.unwrap_err();
        let help = miette::Diagnostic::help(&closed).unwrap().to_string();
        assert!(closed.to_string().contains(said) && help.starts_with(advised), "{closed}: {help}");
    }
}

#[tokio::test]
async fn a_backup_that_fails_closes_the_gate_and_is_removed() {
    let failed = || {
        json!({"state": "Error", "progress": 40,
               "error": format!("AccessDenied: key {KEY} must not PutObject, status code: 403")})
    };
    let cluster = longhorn(json!({"available": true}), failed).await;
    let closed = cluster.pass(&BackupWritten, PLACE).await.unwrap_err().to_string();
    assert!(closed.contains("Error: AccessDenied: key (hidden) must not PutObject"), "{closed}");
    assert!(closed.ends_with("expected: a backup that is complete"), "{closed}");
    keeps_its_secrets(&format!("{closed} {}", cluster.said().join(" ")));
    assert!(cluster.has_no("Backup") && cluster.has_no("BackupVolume") && cluster.has_no("Namespace"));
}

#[tokio::test]
async fn one_that_never_ends_closes_the_gate() {
    let writes = || json!({"state": "InProgress", "progress": 40});
    let cluster = longhorn(json!({"available": true}), writes).await;
    let closed = cluster.pass(&BackupWritten, PLACE).await.unwrap_err().to_string();
    assert!(closed.contains("40 % of it are written"), "{closed}");
    assert!(cluster.has_no("Backup"));
}

#[tokio::test]
async fn another_target_than_the_one_that_is_asked_for_is_told() {
    let mut cluster = longhorn(json!({"available": true}), complete).await;
    cluster.set("backup", json!({"target": "nfs://nas.office.lan:/srv/backups"}));
    let closed = cluster.pass(&BackupWritten, PLACE).await.unwrap_err().to_string();
    assert!(closed.contains("it is `s3://backups@us-east-1/office/`"), "{closed}");
}

#[tokio::test]
async fn what_a_killed_run_left_on_the_target_goes() {
    let mut cluster = Cluster::new(&["s1"]).await;
    let left = |name: &str, volume: &str, gate: Value| {
        json!({"apiVersion": "longhorn.io/v1beta2", "kind": "Backup", "metadata": {"name": name, "namespace": PLACE,
               "labels": {OF: volume, LABEL: gate}, "annotations": {MAKER: "elsewhere/1"},
               "creationTimestamp": "2026-01-01T00:00:00Z"}})
    };
    cluster.put(left("old", "pvc-5b1c", json!("backup-written")));
    cluster.put(left("nightly", "pvc-2", Value::Null));
    for volume in ["pvc-5b1c", "pvc-2"] {
        cluster.put(json!({"apiVersion": "longhorn.io/v1beta2", "kind": "BackupVolume",
            "metadata": {"name": volume, "namespace": PLACE}, "spec": {"volumeName": volume}}));
    }
    sweep(&cluster.bench(PLACE)).await.unwrap();
    assert_eq!(
        (cluster.names("Backup"), cluster.names("BackupVolume")),
        (vec!["nightly".into()], vec!["pvc-2".into()])
    );
    assert!(cluster.said()[0].contains("old"), "{:?}", cluster.said());
}

#[test]
fn without_a_target_there_is_nothing_to_prove() {
    let settings = |value: Value| value.as_object().unwrap().clone();
    assert!(BackupWritten.applies(&settings(json!({"backup": {"target": "nfs://a:/b"}}))));
    assert!(!BackupWritten.applies(&settings(json!({}))));
}
