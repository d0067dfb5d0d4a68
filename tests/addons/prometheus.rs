//! Prometheus, Alertmanager and Grafana.

use serde_json::{Value, json};

use crate::{assert_keys, render};

fn office(prometheus: &str, more: &str) -> String {
    format!(
        "cluster: {{name: a, kubernetes: \"1.36.2\", network: {{plugin: cilium}}, kube_proxy: {{metricsBindAddress: 0.0.0.0}}}}\n\
         hosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}, b: {{address: 10.0.0.2, roles: [worker, storage]}}}}\n\
         addons: {{prometheus: {{{prometheus}}}, longhorn: {{}}{more}}}\n"
    )
}

const ALL: &str = "retention: 30d, volume: 50Gi, storage_class: fast, scrape: [controller-manager, kube-proxy], \
                   alerts: {webhook: {env: ALERTS}, email: {to: ops@example.com, from: a@example.com, server: 'mail.example.com:587', \
                   user: alerts, password: {file: mail.secret}}}, grafana: {password: {env: GRAFANA}, volume: 5Gi}";

#[test]
fn golden() {
    for (name, settings, others) in [("prometheus", "", ""), ("prometheus_all", ALL, SCRAPED)] {
        let rendered = render(&office(settings, others), "prometheus");
        insta::assert_snapshot!(name, rendered.golden());
        assert_keys("prometheus", &rendered.values);
    }
}

#[test]
fn what_listens_on_loopback_is_scraped_only_where_it_is_said() {
    let enabled = |settings: &str| {
        let values = render(&office(settings, ""), "prometheus").values;
        ["kubeControllerManager", "kubeScheduler", "kubeProxy", "kubeEtcd"]
            .map(|part| values[part]["enabled"].as_bool().unwrap())
    };
    assert_eq!(enabled(""), [false; 4]);
    assert_eq!(enabled("scrape: [scheduler, kube-proxy]"), [false, true, true, false]);
}

#[test]
fn the_node_exporter_runs_on_nodes_with_any_taint() {
    let values = render(&office("", ""), "prometheus").values;
    assert_eq!(values["prometheus-node-exporter"]["tolerations"], json!([{"operator": "Exists"}]));
}

#[test]
fn secrets_are_files_and_keys_and_never_values() {
    let rendered = render(&office(ALL, ""), "prometheus");
    let all = rendered.golden();
    for secret in ["ALERTS", "mail.secret", "GRAFANA"] {
        assert!(!all.contains(secret), "{secret}");
    }
    let receiver = &rendered.values["alertmanager"]["config"]["receivers"][1];
    assert_eq!(receiver["webhook_configs"][0]["url_file"], "/etc/alertmanager/secrets/alerts/webhook");
    let file = &receiver["email_configs"][0]["auth_password_file"];
    assert_eq!(file, "/etc/alertmanager/secrets/alerts/mail-password");
    assert_eq!(rendered.values["alertmanager"]["alertmanagerSpec"]["secrets"], json!(["alerts"]));
    let alerts = rendered.secrets.iter().find(|secret| secret.name == "alerts").unwrap();
    let keys: Vec<&String> = alerts.data.keys().collect();
    assert_eq!(keys, ["mail-password", "webhook"]);
}

#[test]
fn nobody_can_log_in_to_grafana_with_the_charts_password() {
    let rendered = render(&office("", ""), "prometheus");
    let admin = &rendered.values["grafana"]["admin"];
    let secret = rendered.secrets.iter().find(|secret| secret.name == admin["existingSecret"]).unwrap();
    assert!(secret.plain.contains_key(admin["userKey"].as_str().unwrap()));
    let password = admin["passwordKey"].as_str().unwrap();
    assert!(secret.generate[password] >= 32 && secret.data[password] == "grafana.password");
}

#[test]
fn it_stops_before_its_volume_is_full() {
    let spec = |volume: &str| {
        let values = render(&office(&format!("volume: {volume}"), ""), "prometheus").values;
        values["prometheus"]["prometheusSpec"].clone()
    };
    assert_eq!(spec("50Gi")["retentionSize"], "43520MiB");
    assert_eq!(spec("1Ti")["retentionSize"], "891289MiB");
    let claim = &spec("50Gi")["storageSpec"]["volumeClaimTemplate"]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "50Gi");
    assert!(claim.get("storageClassName").is_none());
}

const SCRAPED: &str =
    ", cert-manager: {}, ingress-nginx: {}, metrics-server: {}, keda: {}, external-secrets: {}";

/// Where Prometheus failed or was not begun, there are no such kinds, and others are begun all the same.
#[test]
fn nobody_else_makes_objects_of_its_kinds() {
    let inventory = office("", SCRAPED);
    let others =
        ["cilium", "longhorn", "cert-manager", "ingress-nginx", "metrics-server", "keda", "external-secrets"];
    for addon in others {
        let rendered = render(&inventory, addon);
        let all = rendered.golden().to_lowercase();
        for word in ["servicemonitor", "podmonitor", "prometheusrule", "monitoring.coreos.com"] {
            assert!(!all.contains(word), "{addon}: {word}");
        }
        assert!(
            !rendered.definition.after.contains(&"prometheus".to_owned()),
            "{addon} waits for nothing there"
        );
    }
}

#[test]
fn grafana_leaves_the_plugins_of_its_image_as_they_are() {
    let env = &render(&office("", ""), "prometheus").values["grafana"]["env"];
    assert_eq!(env["GF_PLUGINS_PREINSTALL_DISABLED"], "true");
    assert_eq!(env["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"], "false");
}

/// Ports that a chart has only when it is told so, by the name that the monitors select.
#[test]
fn what_is_scraped_has_a_port_to_be_asked_at() {
    let inventory = office("", SCRAPED);
    let scraped: Vec<(String, String)> = render(&inventory, "prometheus")
        .objects()
        .iter()
        .filter(|object| object["apiVersion"] == "monitoring.coreos.com/v1")
        .map(|monitor| {
            let (spec, kind) = (&monitor["spec"], monitor["kind"].as_str().unwrap());
            let endpoints = match kind {
                "PodMonitor" => "podMetricsEndpoints",
                _ => "endpoints",
            };
            let port = &spec[endpoints][0]["port"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&monitor["metadata"]["name"]), text(port))
        })
        .collect();
    let expected = [
        ("cilium", "prometheus"),
        ("cilium-operator", "prometheus"),
        ("cert-manager", "http-metrics"),
        ("ingress-nginx", "metrics"),
        ("longhorn", "manager"),
        ("metrics-server", "https"),
        ("keda", "metrics"),
        ("external-secrets", "metrics"),
    ];
    assert_eq!(scraped, expected.map(|(name, port)| (name.to_owned(), port.to_owned())));
    assert_eq!(render(&inventory, "cilium").values["prometheus"]["enabled"], true);
    assert_eq!(render(&inventory, "ingress-nginx").values["controller"]["metrics"]["enabled"], true);
    assert_eq!(render(&inventory, "metrics-server").values["metrics"]["enabled"], true);
    let keda = render(&inventory, "keda").values;
    assert_eq!(keda["prometheus"], json!({"operator": {"enabled": true}, "metricServer": {"enabled": true}}));
    let without = inventory.replace("prometheus: {},", "");
    assert!(render(&without, "cilium").values.get("prometheus").is_none());
    assert!(render(&without, "ingress-nginx").values["controller"].get("metrics").is_none());
}

#[test]
fn dashboards_are_json_of_what_is_wanted() {
    let names = |inventory: &str| {
        let rendered = render(inventory, "prometheus");
        let maps = rendered.objects().into_iter().filter(|object| object["kind"] == "ConfigMap");
        maps.map(|map| {
            assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
            let (file, text) = map["data"].as_object().unwrap().iter().next().unwrap();
            let dashboard: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            assert_eq!(dashboard["panels"].as_array().unwrap().len(), 4);
            assert!(dashboard["panels"][0]["targets"][0]["legendFormat"].as_str().unwrap().starts_with("{{"));
            file.clone()
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(names(&office("", "")), ["etcd.json", "cilium.json", "longhorn.json"]);
    let plain = office("", "").replace("cilium", "bridge").replace(", longhorn: {}", "");
    assert_eq!(names(&plain), ["etcd.json"]);
}
