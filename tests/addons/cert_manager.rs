//! cert-manager: issuers with and without internet, and what outlives it.

use crate::{
    assert_keys,
    objects::{text, yaml},
    office,
    real::assert_real,
    render,
};

const CLUSTER: &str = "cluster: {name: office, kubernetes: 1.36.2}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                       w1: {address: 10.0.0.2, roles: [worker]}\n  w2: {address: 10.0.0.3, roles: [worker]}\n";

const FULL: &str = "addons:\n  ingress-nginx: {class: web}\n  cert-manager:\n    default_issuer: acme-production\n    gateway_api: true\n    \
                    ca: {certificate: {file: ca.pem}, key: {env: CA_KEY}}\n    acme:\n      email: admin@company.com\n      \
                    cloudflare: {token: {env: CLOUDFLARE}, zones: [company.com]}\n      \
                    route53: {access_key: {env: AWS_ID}, secret_key: {env: AWS_KEY}}\n      nameservers: [\"1.1.1.1:53\", \"9.9.9.9:53\"]\n";

fn full() -> crate::Rendered {
    render(&format!("{CLUSTER}{FULL}"), "cert-manager")
}

fn plain() -> crate::Rendered {
    render(&format!("{CLUSTER}addons: {{cert-manager: {{}}}}\n"), "cert-manager")
}

#[test]
fn settings_become_values_and_issuers() {
    let rendered = full();
    insta::assert_snapshot!("cert-manager-full-values", yaml(&rendered.values));
    insta::assert_snapshot!("cert-manager-full-manifests", text(&rendered.manifests));
    assert_keys("cert-manager", &rendered.values);
}

#[test]
fn without_internet_there_is_an_own_authority() {
    let rendered = plain();
    insta::assert_snapshot!("cert-manager-plain-values", yaml(&rendered.values));
    insta::assert_snapshot!("cert-manager-plain-manifests", text(&rendered.manifests));
    assert_keys("cert-manager", &rendered.values);
}

#[test]
fn certificates_outlive_their_objects_and_the_chart() {
    for rendered in [full(), plain()] {
        assert_eq!(rendered.values["enableCertificateOwnerRef"], false);
        assert_eq!(rendered.values["crds"]["keep"], true);
    }
}

#[test]
fn one_worker_has_one_of_each() {
    let one = "cluster: {name: a, kubernetes: 1.36.2}\nhosts: {a: {address: 10.0.0.1, roles: [control-plane, worker]}}\n";
    let rendered = render(&format!("{one}addons: {{cert-manager: {{}}}}\n"), "cert-manager");
    assert_eq!(rendered.values["webhook"]["replicaCount"], 1);
    assert_eq!(rendered.values["webhook"]["podDisruptionBudget"]["enabled"], false);
}

#[test]
fn an_ingress_class_of_ones_own_and_another_authority() {
    let acme = "addons: {cert-manager: {acme: {email: a@b.de, ingress_class: cilium, server: \"https://ca.lan/acme\", \
                staging_server: \"https://ca.lan/try\"}}}\n";
    let rendered = render(&format!("{CLUSTER}{acme}"), "cert-manager");
    insta::assert_snapshot!("cert-manager-http-manifests", text(&rendered.manifests));
}

#[test]
fn a_gateway_takes_the_place_of_an_ingress_class() {
    let acme = "addons: {ingress-nginx: {}, cert-manager: {gateway_api: true, acme: {email: a@b.de, \
                gateway: {name: web, namespace: edge}}}}\n";
    let rendered = render(&format!("{CLUSTER}{acme}"), "cert-manager");
    for name in ["acme-staging", "acme-production"] {
        let issuer = rendered
            .objects()
            .into_iter()
            .find(|object| object["kind"] == "ClusterIssuer" && object["metadata"]["name"] == name)
            .unwrap();
        let solvers = serde_json::json!([{"http01": {"gatewayHTTPRoute": {
            "parentRefs": [{"kind": "Gateway", "name": "web", "namespace": "edge"}]}}}]);
        assert_eq!(issuer["spec"]["acme"]["solvers"], solvers);
    }
}

#[test]
fn secrets_are_in_secrets_alone() {
    let rendered = full();
    let secrets = &rendered.definition.secrets;
    let sources: Vec<&str> =
        secrets.iter().flat_map(|secret| secret.data.values()).map(String::as_str).collect();
    assert_eq!(
        sources,
        [
            "ca.certificate",
            "ca.key",
            "acme.cloudflare.token",
            "acme.route53.access_key",
            "acme.route53.secret_key"
        ]
    );
    let all = format!("{}{}", rendered.values, text(&rendered.manifests));
    for name in ["CLOUDFLARE", "AWS_ID", "AWS_KEY", "CA_KEY", "ca.pem"] {
        assert!(!all.contains(name), "{name}");
    }
    for secret in secrets {
        assert!(all.contains(&secret.name), "nobody uses {}", secret.name);
    }
}

#[test]
#[ignore = "needs HOIST_CHART_VALUES, the folder with charts' own values"]
fn the_real_chart_knows_every_value() {
    let plain = format!("{CLUSTER}addons: {{cert-manager: {{}}}}\n");
    assert_real("cert-manager", &[format!("{CLUSTER}{FULL}"), plain, office()]);
}
