//! The NFS provisioner: its storage class, and who is the default one.

use crate::{assert_keys, objects::yaml, render};

const CLUSTER: &str = "cluster: {name: office, kubernetes: 1.36.2}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                       s1: {address: 10.0.0.3, roles: [worker, storage]}\n";

fn of(settings: &str, others: &str) -> serde_json::Value {
    let addons = format!(
        "addons:\n  nfs-provisioner: {{server: nas.office.lan, path: /srv/volumes{settings}}}\n{others}"
    );
    let values = render(&format!("{CLUSTER}{addons}"), "nfs-provisioner").values;
    assert_keys("nfs-provisioner", &values);
    values
}

#[test]
fn settings_become_values() {
    insta::assert_snapshot!("nfs-provisioner-plain-values", yaml(&of("", "")));
    let all = ", mount_options: [nfsvers=3, nolock], class: slow, default_class: false, reclaim_policy: Retain, archive_on_delete: false";
    insta::assert_snapshot!("nfs-provisioner-full-values", yaml(&of(all, "")));
}

#[test]
fn its_pod_runs_where_the_cluster_allows_restricted_pods_alone() {
    let rendered = render(
        &format!("{CLUSTER}addons: {{nfs-provisioner: {{server: nas, path: /srv}}}}\n"),
        "nfs-provisioner",
    );
    assert_eq!(rendered.definition.before, ["namespace.yaml"]);
    let namespace = &rendered.objects()[0];
    assert_eq!(namespace["metadata"]["name"], rendered.definition.namespace.as_str());
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "baseline");
}

#[test]
fn it_is_the_default_class_where_longhorn_is_not() {
    let default = |settings, others| of(settings, others)["storageClass"]["defaultClass"].clone();
    assert_eq!(default("", ""), true);
    assert_eq!(default("", "  longhorn: {}\n"), false);
    assert_eq!(default("", "  longhorn: {default_class: false}\n"), true);
    assert_eq!(default(", default_class: false", ""), false);
    assert_eq!(default(", default_class: true", "  longhorn: {default_class: false}\n"), true);
}
