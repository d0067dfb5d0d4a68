//! The registry: manifests of hoist's own, as a client reaches it.

use hoist::{addon::Form, artifact::extra, inventory};

use crate::{objects::text, render};

const CLUSTER: &str = "cluster: {name: office, kubernetes: 1.36.2}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                       s1: {address: 10.0.0.3, roles: [worker, storage]}\n";

fn of(settings: &str, others: &str) -> String {
    let addons = format!(
        "addons:\n  longhorn: {{}}\n{others}  registry: {{host: registry.office.lan, users: {{env: REGISTRY_USERS}}{settings}}}\n"
    );
    let rendered = render(&format!("{CLUSTER}{addons}"), "registry");
    let users = &rendered.definition.secrets[0];
    assert_eq!((users.data["htpasswd"].as_str(), users.form), ("users", Some(Form::Htpasswd)));
    let text = text(&rendered.manifests);
    assert!(!text.contains("REGISTRY_USERS"), "{text}");
    text
}

#[test]
fn through_ingress_nginx() {
    insta::assert_snapshot!("registry-ingress", of("", "  cert-manager: {}\n  ingress-nginx: {}\n"));
}

#[test]
fn by_an_address_of_its_own() {
    let others = "  cert-manager: {}\n  metallb: {pools: [10.0.0.200-10.0.0.210]}\n";
    let settings = ", address: 10.0.0.202, size: 1Ti, storage_class: slow, issuer: company";
    insta::assert_snapshot!("registry-address", of(settings, others));
}

#[test]
fn by_a_port_of_every_node_without_tls() {
    let text = of(", tls: false, node_port: 30555", "");
    insta::assert_snapshot!("registry-port", text);
}

#[test]
fn a_way_that_is_named_wins() {
    let others = "  cert-manager: {}\n  ingress-nginx: {}\n  metallb: {pools: [10.0.0.200-10.0.0.210]}\n";
    assert!(of(", expose: load-balancer", others).contains("type: LoadBalancer"));
    assert!(of(", expose: node-port", others).contains("type: NodePort"));
    assert!(of("", others).contains("type: ClusterIP"));
}

#[test]
fn it_runs_the_image_that_the_lock_pins() {
    let inventory = format!(
        "{CLUSTER}addons: {{longhorn: {{}}, registry: {{host: r.lan, tls: false, users: {{env: U}}}}}}\n"
    );
    let images = extra(&inventory::parse("test", &inventory).unwrap().inventory).unwrap().images;
    let image = images.iter().find(|(name, _, _)| name == "library-registry").unwrap();
    assert!(of(", tls: false", "").contains(&format!("image: {}\n", image.1)));
}
