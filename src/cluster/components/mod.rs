//! What the parts of the control plane and the kubelets are told beyond kubeadm's own defaults.
//!
//! Every concern adds its part to one [`Components`]; the templates of kubeadm's documents write down what comes
//! together. So a flag has one place where it is decided, and none where it is repeated.

mod failure;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::inventory::Inventory;

/// What all parts are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Components {
    pub api_server: Component,
    pub controller_manager: Component,
    pub scheduler: Component,
    /// Fields of the KubeletConfiguration; the inventory's `cluster.kubelet` goes over them.
    pub kubelet: Map<String, Value>,
}

/// What one static pod is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Component {
    /// Flags without the leading dashes.
    pub args: BTreeMap<String, String>,
    /// What of the host it sees.
    pub volumes: Vec<HostPath>,
}

/// A file or folder of the host in a static pod, in the terms of kubeadm's `extraVolumes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPath {
    pub name: String,
    pub host_path: String,
    pub mount_path: String,
    pub read_only: bool,
    /// `File`, `DirectoryOrCreate` …
    pub path_type: String,
}

/// What follows from the inventory.
pub fn components(inventory: &Inventory) -> Components {
    let mut all = Components::default();
    // Each host's part of the pod network follows from the inventory.
    all.controller_manager.arg("allocate-node-cidrs", "false");
    all.kubelet.insert("cgroupDriver".to_string(), json!("systemd"));
    failure::add(inventory, &mut all);
    all
}

/// Arguments as kubeadm's documents have them. Up to v1beta3 they are a map; since v1beta4 they are a list, because a
/// flag may be given more than once.
pub(super) fn arguments(args: impl IntoIterator<Item = (String, String)>, kubeadm_api: &str) -> Value {
    let args = args.into_iter();
    match kubeadm_api {
        "v1beta2" | "v1beta3" => json!(args.collect::<BTreeMap<_, _>>()),
        _ => args.map(|(name, value)| json!({"name": name, "value": value})).collect(),
    }
}

impl Component {
    /// Sets a flag.
    pub fn arg(&mut self, name: &str, value: impl Into<String>) {
        self.args.insert(name.to_string(), value.into());
    }

    /// `extraArgs` and `extraVolumes`, where there are any.
    fn document(&self, kubeadm_api: &str) -> Value {
        let mut document = Map::new();
        if !self.args.is_empty() {
            document.insert("extraArgs".to_string(), arguments(self.args.clone(), kubeadm_api));
        }
        if !self.volumes.is_empty() {
            document.insert("extraVolumes".to_string(), json!(self.volumes));
        }
        document.into()
    }
}

impl Components {
    /// What templates see as `cluster.components`: fragments of kubeadm's ClusterConfiguration, and the kubelet's
    /// fields.
    pub fn context(&self, kubeadm_api: &str) -> Value {
        json!({
            "api_server": self.api_server.document(kubeadm_api),
            "controller_manager": self.controller_manager.document(kubeadm_api),
            "scheduler": self.scheduler.document(kubeadm_api),
            "kubelet": self.kubelet,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_map_or_a_list() {
        let mut component = Component::default();
        assert_eq!(component.document("v1beta4"), json!({}));
        component.arg("v", "2");
        assert_eq!(component.document("v1beta2"), json!({"extraArgs": {"v": "2"}}));
        assert_eq!(component.document("v1beta3"), json!({"extraArgs": {"v": "2"}}));
        assert_eq!(component.document("v1beta4"), json!({"extraArgs": [{"name": "v", "value": "2"}]}));
        component.volumes.push(HostPath {
            name: "audit".to_string(),
            host_path: "/var/log/kubernetes".to_string(),
            mount_path: "/var/log/kubernetes".to_string(),
            read_only: false,
            path_type: "DirectoryOrCreate".to_string(),
        });
        let volume = &component.document("v1beta4")["extraVolumes"][0];
        assert_eq!(
            (&volume["hostPath"], &volume["pathType"]),
            (&json!("/var/log/kubernetes"), &json!("DirectoryOrCreate"))
        );
    }
}
