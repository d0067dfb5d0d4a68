//! The monitoring of clients' networks.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toml_edit::DocumentMut;

use crate::{Rendered, catalogue_images, render};

const CLIENTS: &str = "cluster: {name: a, kubernetes: \"1.36.2\", network: {plugin: cilium}}\n\
                       hosts: {a: {address: 10.0.0.1, roles: [control-plane]}, b: {address: 10.0.0.2, roles: [worker, storage]}}\n\
                       addons:\n  longhorn: {}\n  ingress-nginx: {}\n  monitoring:\n    storage_class: fast\n    clients:\n      \
                       tig:\n        host: tig.example.com\n        password: {file: tig.secret}\n        ping: [192.0.2.1, 192.0.2.2]\n        \
                       devices:\n          core-switch: {address: 192.0.2.10, community: {env: TIG_CORE}}\n          \
                       roof: {address: 192.0.2.11, port: 1161, community: {env: TIG_ROOF}}\n        \
                       interval: 30\n        retention: 90\n        volume: 20Gi\n      \
                       acme: {ping: [198.51.100.1]}\n";

fn clients() -> Rendered {
    render(CLIENTS, "monitoring")
}

fn telegraf(rendered: &Rendered, client: &str) -> DocumentMut {
    let map = rendered.object("ConfigMap", client, "collector");
    map["data"]["telegraf.conf"].as_str().unwrap().parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The pods' templates of all Deployments, by namespace and name.
fn pods(rendered: &Rendered) -> Vec<(String, Value)> {
    let deployments = rendered.objects().into_iter().filter(|object| object["kind"] == "Deployment");
    deployments
        .map(|object| {
            let metadata = &object["metadata"];
            let name =
                format!("{}/{}", metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap());
            (name, object["spec"]["template"]["spec"].clone())
        })
        .collect()
}

#[test]
fn golden() {
    let rendered = clients();
    insta::assert_snapshot!("monitoring", rendered.golden());
    insta::assert_snapshot!(
        "monitoring_telegraf",
        rendered.object("ConfigMap", "tig", "collector")["data"]["telegraf.conf"].as_str().unwrap()
    );
}

#[test]
fn telegraf_pings_four_times_and_asks_by_snmp_2() {
    let rendered = clients();
    let read = telegraf(&rendered, "tig");
    let ping = read["inputs"]["ping"].as_array_of_tables().unwrap().get(0).unwrap();
    assert_eq!((ping["count"].as_integer(), ping["method"].as_str()), (Some(4), Some("exec")));
    let urls: Vec<&str> = ping["urls"].as_array().unwrap().iter().filter_map(|url| url.as_str()).collect();
    assert_eq!(urls, ["192.0.2.1", "192.0.2.2"]);
    // What is called is a copy without the file capability of the image's own, made where the pod may write.
    let binary = ping["binary"].as_str().unwrap();
    let pod = pods(&rendered).into_iter().find(|(name, _)| name == "tig/collector").unwrap().1;
    let container = &pod["containers"][0];
    assert!(
        container["command"][2]
            .as_str()
            .unwrap()
            .starts_with(&format!("cp \"$(command -v ping)\" {binary} && exec "))
    );
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert!(
        mounts.iter().any(|mount| binary.starts_with(mount["mountPath"].as_str().unwrap())),
        "{mounts:?}"
    );
    let snmp = read["inputs"]["snmp"].as_array_of_tables().unwrap();
    let asked: Vec<_> = snmp
        .iter()
        .map(|device| {
            assert_eq!(device["version"].as_integer(), Some(2));
            assert_eq!(
                device["table"].as_array_of_tables().unwrap().get(0).unwrap()["field"]
                    .as_array_of_tables()
                    .unwrap()
                    .len(),
                6
            );
            let agent = device["agents"].as_array().unwrap().get(0).and_then(|agent| agent.as_str());
            (
                agent.unwrap(),
                device["community"].as_str().unwrap(),
                device["tags"]["device"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            ("udp://192.0.2.10:161", "${SNMP_CORE_SWITCH}", "core-switch"),
            ("udp://192.0.2.11:1161", "${SNMP_ROOF}", "roof"),
        ]
    );
    assert_eq!(read["agent"]["interval"].as_str(), Some("30s"));
    // Who has no devices is not asked.
    assert!(telegraf(&rendered, "acme")["inputs"].get("snmp").is_none());
}

#[test]
fn what_telegraf_reads_from_the_environment_is_in_secrets() {
    let rendered = clients();
    let secret = |client: &str, name: &str| {
        let found = rendered
            .secrets
            .iter()
            .find(|secret| secret.namespace.as_deref() == Some(client) && secret.name == name);
        found.unwrap_or_else(|| panic!("no Secret {client}/{name}")).clone()
    };
    let snmp = secret("tig", "snmp");
    assert_eq!(snmp.data["SNMP_CORE_SWITCH"], "clients.tig.devices.core-switch.community");
    assert_eq!(snmp.data["SNMP_ROOF"], "clients.tig.devices.roof.community");
    // What would end the text of Telegraf's configuration that it is put into.
    assert_eq!(snmp.without, "\"'\\$\r\n");
    assert!(secret("acme", "database").generate["token"] >= 32);
    assert_eq!(secret("tig", "grafana").data["password"], "clients.tig.password");
    assert!(
        rendered
            .secrets
            .iter()
            .all(|secret| secret.namespace.as_deref() != Some("acme") || secret.name != "snmp")
    );
    let all = rendered.golden();
    for source in ["TIG_CORE", "TIG_ROOF", "tig.secret"] {
        assert!(!all.contains(source), "{source}");
    }
}

#[test]
fn the_policies_are_those_of_the_example() {
    let rendered = clients();
    let policy = |name: &str| rendered.object("NetworkPolicy", "tig", name)["spec"].clone();
    assert_eq!(
        policy("collector-to-database"),
        json!({
            "podSelector": {"matchLabels": {"app": "database"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "collector"}}}],
                "ports": [{"protocol": "TCP", "port": 8086}],
            }],
        })
    );
    assert_eq!(policy("default-deny"), json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    assert_eq!(
        policy("database-out"),
        json!({
            "podSelector": {"matchLabels": {"app": "database"}},
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"protocol": "TCP", "port": 443}]}],
        })
    );
    let out = policy("collector-out");
    let cidrs: Vec<&str> = out["egress"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["to"].as_array().unwrap())
        .filter_map(|to| to["ipBlock"]["cidr"].as_str())
        .collect();
    assert_eq!(cidrs, ["192.0.2.10/32", "192.0.2.11/32", "192.0.2.1/32", "192.0.2.2/32"]);
    assert_eq!(out["egress"][2]["ports"], json!([{"protocol": "UDP", "port": 1161}]));
}

#[test]
fn nobody_is_let_in_from_outside_but_ingress_nginx_where_there_is_a_host() {
    let rendered = clients();
    let from_elsewhere = |client: &str| {
        let policies = rendered
            .objects()
            .into_iter()
            .filter(|object| object["kind"] == "NetworkPolicy" && object["metadata"]["namespace"] == client);
        policies
            .filter(|policy| policy["spec"]["ingress"].to_string().contains("namespaceSelector"))
            .map(|policy| policy["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(from_elsewhere("tig"), ["ingress-to-grafana"]);
    assert_eq!(from_elsewhere("acme"), Vec::<String>::new());
    assert_eq!(rendered.object("Ingress", "tig", "grafana")["spec"]["rules"][0]["host"], "tig.example.com");
}

#[test]
fn no_container_may_do_more_than_run() {
    let pods = pods(&clients());
    assert_eq!(pods.len(), 6);
    for (name, pod) in pods {
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(
                container["securityContext"],
                json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}}),
                "{name}"
            );
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
        // `ping` needs this where there are no capabilities; the Pod Security Standards allow it at every level.
        let sysctls = pod["securityContext"].get("sysctls").map(ToString::to_string).unwrap_or_default();
        assert_eq!(sysctls.contains("net.ipv4.ping_group_range"), name.ends_with("/collector"), "{name}");
    }
}

#[test]
fn what_runs_is_in_the_catalogue() {
    let run: BTreeSet<String> = pods(&clients())
        .iter()
        .flat_map(|(_, pod)| pod["containers"].as_array().unwrap())
        .map(|container| container["image"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(run, catalogue_images("monitoring").into_iter().collect());
}

#[test]
fn volumes_namespaces_and_policies_outlive_it() {
    for object in clients().objects() {
        let kept = object["metadata"]["annotations"][hoist::addon::KEEP] == "true";
        let kind = object["kind"].as_str().unwrap();
        assert_eq!(kept, ["Namespace", "PersistentVolumeClaim", "NetworkPolicy"].contains(&kind), "{object}");
    }
    let claim = clients().object("PersistentVolumeClaim", "tig", "database");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
}
