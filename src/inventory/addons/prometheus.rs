//! Settings of Prometheus, Alertmanager and Grafana.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{inventory::SecretSource, yaml::schema};

/// Settings of Prometheus, Alertmanager and Grafana, as kube-prometheus-stack installs them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    /// How long measurements are kept: a number with `h`, `d`, `w` or `y`.
    #[schemars(regex(pattern = "^[1-9][0-9]*[hdwy]$"))]
    pub retention: String,
    /// The size of the volume that measurements are kept on, such as `50Gi`. Default: none, and what was measured is
    /// lost with the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]*[GT]i$"), example = "50Gi")]
    pub volume: Option<String>,
    /// The storage class of all volumes here. Default: the cluster's default class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::dns_label")]
    pub storage_class: Option<String>,
    /// What is scraped besides nodes, pods, the API server, kubelets and CoreDNS. Nodes answer for these on 127.0.0.1
    /// alone unless you have them listen on the hosts' addresses; name them here when they do.
    #[schemars(extend("uniqueItems" = true))]
    pub scrape: Vec<Scraped>,
    /// Who is told of alerts. Default: nobody; Alertmanager's page shows them.
    pub alerts: Alerts,
    pub grafana: Grafana,
    /// Values for the chart kube-prometheus-stack, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Prometheus {
            retention: String::from("15d"),
            volume: None,
            storage_class: None,
            scrape: Vec::new(),
            alerts: Alerts::default(),
            grafana: Grafana::default(),
            values: Map::new(),
        }
    }
}

/// A component that listens on 127.0.0.1 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scraped {
    /// Port 10257 of control planes.
    ControllerManager,
    /// Port 10259 of control planes.
    Scheduler,
    /// Port 10249 of all nodes; `cluster.kube_proxy` must have `metricsBindAddress: 0.0.0.0`.
    KubeProxy,
}

/// Who is told of alerts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// An address that Alertmanager posts them to; it is a secret, because it often holds a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<SecretSource>,
    /// They are mailed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
}

/// Where alerts are mailed, and through which server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    #[schemars(regex(pattern = "^[^@ ]+@[^@ ]+$"))]
    pub to: String,
    #[schemars(regex(pattern = "^[^@ ]+@[^@ ]+$"))]
    pub from: String,
    /// The mail server with its port, such as `smtp.example.lan:587`. It must offer STARTTLS.
    #[schemars(regex(pattern = r"^[A-Za-z0-9.-]+:[0-9]{1,5}$"))]
    pub server: String,
    /// Whom to log in as. Default: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
}

/// Grafana.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grafana {
    /// The password of `admin`. Default: one that is made up once and kept in the Secret `grafana-admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// The size of the volume for what is changed in Grafana itself, such as `5Gi`. Default: none, and such changes are
    /// lost with the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]*[GT]i$"), example = "5Gi")]
    pub volume: Option<String>,
}
