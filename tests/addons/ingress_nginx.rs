//! ingress-nginx: the ways to it from outside, and its certificate.

use crate::{
    assert_keys,
    objects::{text, yaml},
    office,
    real::assert_real,
    render,
};

const CLUSTER: &str = "cluster: {name: office, kubernetes: 1.36.2}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                       w1: {address: 10.0.0.2, roles: [worker]}\n  w2: {address: 10.0.0.3, roles: [worker]}\n  \
                       w3: {address: 10.0.0.4, roles: [worker]}\n";

const BALANCED: &str = "addons:\n  metallb: {pools: [10.0.0.200-10.0.0.210]}\n  cert-manager: {}\n  ingress-nginx:\n    address: 10.0.0.201\n    \
                        default_certificate: {issued: {names: [\"*.apps.office.lan\"]}}\n";

const PORTS: &str = "addons:\n  ingress-nginx:\n    class: web\n    default_class: false\n    kind: deployment\n    expose: node-port\n    \
                     node_ports: {http: 31080, https: 31443}\n    client_addresses: false\n    \
                     default_certificate: {given: {certificate: {file: tls.crt}, key: {env: TLS_KEY}}}\n";

fn of(addons: &str) -> crate::Rendered {
    render(&format!("{CLUSTER}{addons}"), "ingress-nginx")
}

#[test]
fn an_address_of_metallb() {
    let rendered = of(BALANCED);
    insta::assert_snapshot!("ingress-nginx-balanced-values", yaml(&rendered.values));
    insta::assert_snapshot!("ingress-nginx-balanced-manifests", text(&rendered.manifests));
    assert_keys("ingress-nginx", &rendered.values);
}

#[test]
fn ports_of_all_nodes() {
    let rendered = of(PORTS);
    insta::assert_snapshot!("ingress-nginx-ports-values", yaml(&rendered.values));
    assert_keys("ingress-nginx", &rendered.values);
    assert_eq!(text(&rendered.manifests), "", "a certificate that is given needs no issuer");
    let all = rendered.values.to_string();
    assert!(!all.contains("TLS_KEY") && !all.contains("tls.crt"), "{all}");
    let three = of(&PORTS.replace("kind: deployment", "kind: deployment\n    replicas: 3"));
    assert_eq!(
        (&rendered.values["controller"]["replicaCount"], &three.values["controller"]["replicaCount"]),
        (&2.into(), &3.into())
    );
}

#[test]
fn ports_of_the_nodes_it_runs_on_where_nobody_gives_addresses() {
    let rendered = of("addons: {ingress-nginx: {}}\n");
    insta::assert_snapshot!("ingress-nginx-plain-values", yaml(&rendered.values));
    assert_keys("ingress-nginx", &rendered.values);
    assert_keys("ingress-nginx", &of("addons: {ingress-nginx: {}, prometheus: {}}\n").values);
    assert!(text(&rendered.manifests).contains("pod-security.kubernetes.io/enforce: privileged"));
}

#[test]
fn a_certificate_by_an_issuer_of_ones_own() {
    let own = BALANCED.replace("lan\"]", "lan\"], issuer: company");
    assert!(text(&of(&own).manifests).contains("name: company"));
}

#[test]
fn images_are_named_by_their_tags() {
    for addons in [BALANCED, PORTS] {
        let controller = &of(addons).values["controller"];
        for image in [&controller["image"], &controller["admissionWebhooks"]["patch"]["image"]] {
            assert_eq!(image["digest"], "");
        }
    }
}

#[test]
#[ignore = "needs HOIST_CHART_VALUES, the folder with charts' own values"]
fn the_real_chart_knows_every_value() {
    let all =
        [BALANCED, PORTS, "addons: {ingress-nginx: {}}\n", "addons: {ingress-nginx: {}, prometheus: {}}\n"];
    let all = all.iter().map(|addons| format!("{CLUSTER}{addons}"));
    assert_real("ingress-nginx", &all.chain([office()]).collect::<Vec<_>>());
}
