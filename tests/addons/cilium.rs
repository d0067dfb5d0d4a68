//! Cilium.

use crate::{assert_keys, catalogue_images, real::assert_real, render};

const OFFICE: &str = include_str!("../../inventory/ha.yaml");

fn cluster(more: &str, hosts: &str) -> String {
    format!(
        "cluster: {{name: a, kubernetes: \"1.36.2\", network: {{plugin: cilium}}{more}}}\nhosts: {{{hosts}}}\n"
    )
}

fn one(addons: &str) -> String {
    cluster("", "a: {address: 10.0.0.1, roles: [control-plane, worker]}") + addons
}

/// A client of `monitoring` that measures something.
fn measured(what: &str) -> String {
    format!("addons: {{monitoring: {{storage_class: fast, clients: {{tig: {{{what}}}}}}}}}\n")
}

/// Inventories that make the template take each of its ways.
fn all() -> Vec<String> {
    vec![
        OFFICE.to_owned(),
        one(""),
        one("addons: {prometheus: {}}\n"),
        one("addons: {cilium: {routing: native, gateway_api: true, hubble: {ui: false}, mtu: 9000}}\n"),
        one(
            "addons: {cilium: {kube_proxy_replacement: false, local_redirect_policy: false, encryption: true, policies: policies}}\n",
        ),
        cluster(
            ", endpoint: {local: true}",
            "a: {address: 10.0.0.1, roles: [control-plane]}, b: {address: 10.0.0.2, roles: [control-plane]}, c: {address: 10.0.0.3, roles: [control-plane]}",
        ),
        one(&measured("ping: [10.0.0.1]")),
    ]
}

#[test]
fn golden() {
    insta::assert_snapshot!("cilium_office", render(OFFICE, "cilium").golden());
    insta::assert_snapshot!("cilium_alone", render(&one(""), "cilium").golden());
}

#[test]
fn agents_find_the_api_server_on_every_node() {
    let found = |more: &str| {
        let values =
            render(&cluster(more, "a: {address: 10.0.0.1, roles: [control-plane]}"), "cilium").values;
        (values["k8sServiceHost"].as_str().unwrap().to_owned(), values["k8sServicePort"].as_u64().unwrap())
    };
    assert_eq!(found(""), ("10.0.0.1".into(), 6443));
    assert_eq!(found(", endpoint: {local: true}"), ("127.0.0.1".into(), 6443));
    assert_eq!(found(", endpoint: {vip: 10.0.0.9, port: 7443}"), ("10.0.0.9".into(), 7443));
    assert_eq!(found(", endpoint: {address: api.example.lan}"), ("api.example.lan".into(), 6443));
}

#[test]
fn settings_are_in_the_values() {
    let with =
        |settings: &str| render(&one(&format!("addons: {{cilium: {{{settings}}}}}\n")), "cilium").values;
    assert_eq!(with("routing: native")["ipv4NativeRoutingCIDR"], "10.244.0.0/16");
    assert_eq!(with("routing: native")["autoDirectNodeRoutes"], true);
    assert_eq!(with("mtu: 1450")["MTU"], 1450);
    assert!(with("").get("MTU").is_none());
    assert_eq!(with("encryption: true")["encryption"]["type"], "wireguard");
    assert!(with("").get("encryption").is_none());
    assert_eq!(with("operator_replicas: 3")["operator"]["replicas"], 3);
    assert_eq!(with("gateway_api: true")["gatewayAPI"]["enabled"], true);
    let without = with("kube_proxy_replacement: false, local_redirect_policy: false");
    assert_eq!(without["kubeProxyReplacement"], false);
    assert_eq!(without["bpf"]["masquerade"], false);
    assert_eq!(without["localRedirectPolicies"]["enabled"], false);
    let hubble = with("hubble: {enabled: true, relay: false, ui: false}");
    assert_eq!(
        (&hubble["hubble"]["relay"]["enabled"], &hubble["hubble"]["ui"]["enabled"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn ports_of_hosts_are_served_by_one() {
    let chained = |settings: &str| {
        let values = render(&one(&format!("addons: {{cilium: {{{settings}}}}}\n")), "cilium").values;
        values["cni"].get("chainingMode").cloned()
    };
    assert_eq!(chained(""), None);
    assert_eq!(
        chained("kube_proxy_replacement: false, local_redirect_policy: false"),
        Some("portmap".into())
    );
}

#[test]
fn policies_by_address_mean_nodes_only_where_a_client_measures_one() {
    let mode = |addons: &str| render(&one(addons), "cilium").values.get("policyCIDRMatchMode").cloned();
    let device = |address: &str| format!("devices: {{a: {{address: {address}, community: {{env: A}}}}}}");
    let nodes = Some(serde_json::json!(["nodes"]));
    assert_eq!(mode(&measured("ping: [192.0.2.1, 10.0.0.1]")), nodes);
    assert_eq!(mode(&measured(&device("10.0.0.1"))), nodes);
    assert_eq!(mode(&measured(&format!("ping: [192.0.2.1], {}", device("192.0.2.2")))), None);
    assert_eq!(mode(""), None);
}

#[test]
fn addresses_of_services_are_given_by_one() {
    let values = render(&one("addons: {metallb: {pools: [10.0.0.8/30]}}\n"), "cilium").values;
    assert_eq!((&values["enableLBIPAM"], &values["defaultLBServiceIPAM"]), (&false.into(), &"none".into()));
    assert!(render(&one(""), "cilium").values.get("enableLBIPAM").is_none());
}

#[test]
fn hubble_has_a_node_where_there_are_only_control_planes() {
    let alone = render(&all()[5], "cilium").values;
    assert_eq!(alone["hubble"]["relay"]["tolerations"][0]["operator"], "Exists");
    assert!(render(OFFICE, "cilium").values["hubble"]["relay"].get("tolerations").is_none());
}

#[test]
fn the_chart_knows_every_key() {
    for inventory in all() {
        assert_keys("cilium", &render(&inventory, "cilium").values);
    }
}

/// The chart's own tags are used: what the values must do is turn off digests, for each image of the catalogue.
#[test]
fn images_are_named_by_tag() {
    let values = render(OFFICE, "cilium").values;
    let switches = [
        "/image",
        "/envoy/image",
        "/operator/image",
        "/hubble/relay/image",
        "/hubble/ui/backend/image",
        "/hubble/ui/frontend/image",
    ];
    assert_eq!(catalogue_images("cilium").len(), switches.len());
    for image in switches {
        assert_eq!(values.pointer(image).unwrap(), &serde_json::json!({"useDigest": false}), "{image}");
    }
}

#[test]
#[ignore = "needs HOIST_CHART_VALUES, the charts' own files"]
fn the_real_chart_knows_every_key() {
    assert_real("cilium", &all());
}
