//! Longhorn: where replicas go, and what is done with volumes again and again.

use serde_json::json;

use crate::{
    assert_keys,
    objects::{text, yaml},
    office,
    real::assert_real,
    render,
};

const CLUSTER: &str = "cluster: {name: office, kubernetes: 1.36.2}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                       w1: {address: 10.0.0.2, roles: [worker], taints: [\"gpu=yes:NoSchedule\"]}\n  \
                       s1: {address: 10.0.0.3, roles: [worker, storage]}\n  s2: {address: 10.0.0.4, roles: [worker, storage]}\n";

const FULL: &str = "vars: {storage: {path: /srv/replicas}}\naddons:\n  longhorn:\n    replicas: 1\n    default_class: false\n    \
                    reclaim_policy: Retain\n    over_provisioning: 150\n    minimal_available: 10\n    node_down: do-nothing\n    \
                    priority_class: storage\n    instance_manager_cpu: 20\n    backup:\n      \
                    target: s3://backups@us-east-1/office\n      endpoint: https://minio.office.lan:9000\n      \
                    access_key: {env: S3_KEY}\n      secret_key: {file: s3.secret}\n      certificate: {file: ca.pem}\n      \
                    virtual_hosted_style: true\n      poll: 600\n    recurring_jobs:\n      hourly: {task: snapshot, cron: \"0 * * * *\", retain: 24}\n      \
                    nightly: {task: backup, cron: \"0 2 * * *\", concurrency: 2}\n      trim: {task: filesystem-trim, cron: \"0 4 * * sun\"}\n";

fn full() -> crate::Rendered {
    render(&format!("{CLUSTER}{FULL}"), "longhorn")
}

fn plain() -> crate::Rendered {
    render(&format!("{CLUSTER}addons: {{longhorn: {{}}}}\n"), "longhorn")
}

#[test]
fn settings_become_values_and_jobs() {
    let rendered = full();
    insta::assert_snapshot!("longhorn-full-values", yaml(&rendered.values));
    insta::assert_snapshot!("longhorn-full-manifests", text(&rendered.manifests));
    assert_keys("longhorn", &rendered.values);
}

#[test]
fn replicas_are_on_storage_hosts_alone_and_as_many_as_there_are() {
    let rendered = plain();
    insta::assert_snapshot!("longhorn-plain-values", yaml(&rendered.values));
    assert_keys("longhorn", &rendered.values);
    assert_eq!(rendered.values["defaultSettings"]["createDefaultDiskLabeledNodes"], "true");
    assert_eq!(rendered.values["persistence"]["defaultClassReplicaCount"], 2);
    // Nodes with taints use volumes, too; those that keep none of them and run no pods do not count.
    assert_eq!(rendered.values["defaultSettings"]["taintToleration"], "gpu=yes:NoSchedule");
    assert!(!rendered.manifests.iter().any(|(_, text)| text.contains("RecurringJob")));
}

#[test]
fn longhorn_lets_a_job_keep_what_the_inventory_says() {
    let most = |retain: u32| {
        let job =
            |name: &str, retain| format!("{name}: {{task: snapshot, cron: \"0 * * * *\", retain: {retain}}}");
        let jobs =
            format!("addons: {{longhorn: {{recurring_jobs: {{{}, {}}}}}}}\n", job("a", retain), job("b", 2));
        let rendered = render(&format!("{CLUSTER}{jobs}"), "longhorn");
        assert_keys("longhorn", &rendered.values);
        rendered.values["defaultSettings"]["recurringJobMaxRetention"].clone()
    };
    assert_eq!((most(100), most(101), most(250)), (json!(null), json!("101"), json!("250")));
}

#[test]
fn the_key_to_backups_is_in_a_secret_and_nowhere_else() {
    let rendered = full();
    let secret = &rendered.definition.secrets[0];
    assert_eq!(rendered.values["defaultBackupStore"]["backupTargetCredentialSecret"], json!(secret.name));
    assert_eq!(secret.data["AWS_SECRET_ACCESS_KEY"], "backup.secret_key");
    let all = format!("{}{}", rendered.values, text(&rendered.manifests));
    assert!(!all.contains("S3_KEY") && !all.contains("s3.secret") && !all.contains("ca.pem"), "{all}");
}

#[test]
fn what_is_no_secret_of_the_backup_is_rendered_also_without_one() {
    let with = |addons: &str| render(&format!("{CLUSTER}{addons}"), "longhorn").plain;
    let found = with(FULL);
    assert_eq!(
        (found["AWS_ENDPOINTS"].as_str(), found["VIRTUAL_HOSTED_STYLE"].as_str()),
        ("https://minio.office.lan:9000", "true")
    );
    let found = with("addons: {longhorn: {}}\n");
    assert_eq!((found["AWS_ENDPOINTS"].as_str(), found["VIRTUAL_HOSTED_STYLE"].as_str()), ("", "false"));
}

#[test]
#[ignore = "needs HOIST_CHART_VALUES, the folder with charts' own values"]
fn the_real_chart_knows_every_value() {
    assert_real(
        "longhorn",
        &[format!("{CLUSTER}{FULL}"), format!("{CLUSTER}addons: {{longhorn: {{}}}}\n"), office()],
    );
}
