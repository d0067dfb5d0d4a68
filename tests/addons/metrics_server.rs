//! metrics-server.

use serde_json::json;

use crate::{assert_keys, render};

fn office(cluster: &str, addons: &str) -> String {
    format!(
        "cluster: {{name: a, kubernetes: \"1.36.2\"{cluster}}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane, worker]}}, \
         b: {{address: 10.0.0.2, roles: [worker]}}}}\naddons: {{metrics-server: {{}}{addons}}}\n"
    )
}

const LATER: &str = ", prometheus: {}";

#[test]
fn golden() {
    let rendered = render(&office("", LATER), "metrics-server");
    insta::assert_snapshot!("metrics_server", rendered.golden());
    assert_keys("metrics-server", &rendered.values);
}

#[test]
fn kubelets_are_told_from_others_unless_nobody_signs_their_certificates() {
    assert!(render(&office("", ""), "metrics-server").values.get("args").is_none());
    let without = office(", security: {kubelet_certificates: false}", "");
    let values = render(&without, "metrics-server").values;
    assert_eq!(values["args"], json!(["--kubelet-insecure-tls"]));
    assert_keys("metrics-server", &values);
}

#[test]
fn one_worker_has_one() {
    let text = office("", "").replace(", b: {address: 10.0.0.2, roles: [worker]}", "");
    let values = render(&text, "metrics-server").values;
    assert_eq!((&values["replicas"], values.get("podDisruptionBudget")), (&json!(1), None));
    assert_eq!(render(&office("", ""), "metrics-server").values["replicas"], 2);
}

#[test]
fn it_is_scraped_only_where_somebody_does() {
    assert!(render(&office("", ""), "metrics-server").values.get("metrics").is_none());
    assert_eq!(render(&office("", LATER), "metrics-server").values["metrics"]["enabled"], true);
}
