//! MetalLB.

use serde_json::{Value, json};

use crate::{assert_keys, catalogue_images, real::assert_real, render};

fn office(metallb: &str) -> String {
    format!(
        "cluster: {{name: a, kubernetes: \"1.36.2\"}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}, \
         b: {{address: 10.0.0.2, roles: [worker]}}}}\naddons: {{metallb: {{{metallb}}}}}\n"
    )
}

const L2: &str = "pools: [10.0.0.200-10.0.0.210], interfaces: [eth0], node_selector: {edge: \"yes\"}";
const BGP: &str = "pools: [10.0.0.200-10.0.0.210], named_pools: {public: {addresses: [198.51.100.0/27], protocol: bgp, auto_assign: false, namespaces: [web]}}, \
                   bgp: {asn: 64512, peers: [{address: 10.0.0.254, asn: 64513}, {address: 10.9.0.1, asn: 64514, multihop: true, port: 1179}], password: {env: BGP_PASSWORD}}";

fn objects(metallb: &str) -> Vec<Value> {
    let rendered = render(&office(metallb), "metallb");
    let (_, text) = rendered.manifests.iter().find(|(name, _)| name == "pools.yaml").unwrap();
    let documents = serde_yaml::from_multiple::<Value>(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn of<'a>(kind: &str, objects: &'a [Value]) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn golden() {
    insta::assert_snapshot!("metallb_l2", render(&office(L2), "metallb").golden());
    insta::assert_snapshot!("metallb_bgp", render(&office(BGP), "metallb").golden());
}

#[test]
fn what_speaks_bgp_is_there_only_for_bgp() {
    let on = |metallb: &str| render(&office(metallb), "metallb").values["frrk8s"]["enabled"].clone();
    assert_eq!((on(L2), on(BGP)), (json!(false), json!(true)));
    assert!(of("BGPPeer", &objects(L2)).is_empty() && of("BGPAdvertisement", &objects(L2)).is_empty());
    let all = "pools: [10.0.0.200-10.0.0.210], protocol: bgp, bgp: {asn: 1, peers: [{address: 10.0.0.254, asn: 2}]}";
    assert_eq!(on(all), true);
    assert!(of("L2Advertisement", &objects(all)).is_empty());
    assert!(of("BGPPeer", &objects(all))[0]["spec"].get("passwordSecret").is_none());
}

#[test]
fn each_pool_is_announced_once() {
    let objects = objects(BGP);
    let pools: Vec<&Value> =
        of("IPAddressPool", &objects).iter().map(|pool| &pool["metadata"]["name"]).collect();
    assert_eq!(pools, ["default", "public"]);
    assert_eq!(of("L2Advertisement", &objects)[0]["spec"]["ipAddressPools"], json!(["default"]));
    assert_eq!(of("BGPAdvertisement", &objects)[0]["spec"]["ipAddressPools"], json!(["public"]));
}

#[test]
fn a_password_is_in_no_manifest() {
    let rendered = render(&office(BGP), "metallb");
    let all = format!("{} {:?}", rendered.values, rendered.manifests);
    assert!(!all.contains("BGP_PASSWORD"), "{all}");
    let secret = &rendered.definition.secrets[0];
    assert_eq!(
        (secret.kind.as_deref(), secret.data["password"].as_str()),
        (Some("kubernetes.io/basic-auth"), "bgp.password")
    );
    for peer in of("BGPPeer", &objects(BGP)) {
        assert_eq!(peer["spec"]["passwordSecret"]["name"], secret.name.as_str());
    }
}

#[test]
fn settings_are_in_the_objects() {
    let found = objects(L2);
    let advertisement = &of("L2Advertisement", &found)[0]["spec"];
    assert_eq!(advertisement["interfaces"], json!(["eth0"]));
    assert_eq!(advertisement["nodeSelectors"][0]["matchLabels"], json!({"edge": "yes"}));
    assert_eq!(of("IPAddressPool", &found)[0]["spec"]["avoidBuggyIPs"], true);
    let found = objects("pools: [10.0.0.200-10.0.0.210], avoid_buggy_ips: false");
    assert_eq!(of("IPAddressPool", &found)[0]["spec"]["avoidBuggyIPs"], false);
    assert_eq!(render(&office(L2), "metallb").values["speaker"]["nodeSelector"], json!({"edge": "yes"}));
}

#[test]
fn a_router_of_the_same_asn_needs_no_multihop() {
    let peers = "peers: [{address: 10.9.0.1, asn: 64512, multihop: true}, {address: 10.9.0.2, asn: 64513, multihop: true}, \
                 {address: 10.9.0.3, asn: 64514}]";
    let found =
        objects(&format!("pools: [10.0.0.200-10.0.0.210], protocol: bgp, bgp: {{asn: 64512, {peers}}}"));
    let hops: Vec<&Value> = of("BGPPeer", &found).iter().map(|peer| &peer["spec"]["ebgpMultiHop"]).collect();
    assert_eq!(hops, [false, true, false]);
}

#[test]
fn a_cluster_whose_workers_are_control_planes_announces_there() {
    let ignores = |text: &str| render(text, "metallb").values["speaker"]["ignoreExcludeLB"].clone();
    assert_eq!(ignores(&office(L2)), false);
    let alone = office(L2)
        .replace("[control-plane]", "[control-plane, worker]")
        .replace(", b: {address: 10.0.0.2, roles: [worker]}", "");
    assert_eq!(ignores(&alone), true);
}

#[test]
fn rented_nodes_announce_nothing() {
    let rendered = render(&office(BGP), "metallb");
    let everywhere = format!("{} {:?}", rendered.values, objects(BGP));
    // The speakers, what speaks BGP, both advertisements and both routers.
    assert_eq!(everywhere.matches("hoist.dev/claim").count(), 6, "{everywhere}");
}

#[test]
fn the_chart_knows_every_key() {
    for settings in [L2, BGP] {
        assert_keys("metallb", &render(&office(settings), "metallb").values);
    }
}

#[test]
fn images_are_the_charts_own() {
    assert!(!render(&office(BGP), "metallb").values.to_string().contains("\"image\""));
    assert!(catalogue_images("metallb").iter().all(|image| !image.contains('@')));
}

#[test]
#[ignore = "needs HOIST_CHART_VALUES, the charts' own files"]
fn the_real_chart_knows_every_key() {
    assert_real("metallb", &[office(L2), office(BGP), crate::office()]);
}
