//! What kubeadm's documents and command lines are filled with, in the words of each version of its configuration:
//! https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/

use serde_json::{Value, json};

use super::{components::arguments, etcd, rented::Rented};
use crate::{
    artifact::catalogue::{Defaults, Release},
    facts::Facts,
    inventory::{Etcd, Host, Inventory, KubeadmAddon, NO_CGROUP_V1, Role},
};

/// Where containerd answers.
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// What a control plane shows to etcd on hosts of its own, and how it knows them. Not below `/etc/kubernetes/pki`,
/// which `kubeadm reset` empties.
const ETCD_CLIENT: &str = "/etc/kubernetes/etcd";

/// What the catalogue says of the inventory's release.
pub(super) struct Kubeadm {
    /// The version of its configuration, such as `v1beta4`.
    pub api: &'static str,
    registry: String,
    /// The repository of CoreDNS, without its last word.
    dns: String,
    /// The key of the taint that keeps workloads away from control planes.
    pub taint: String,
    images: Defaults,
}

impl Kubeadm {
    /// Nothing for a release that the catalogue does not have, which no verified inventory names. It reads the
    /// catalogue: once is enough for all hosts.
    pub fn of(inventory: &Inventory) -> Option<Kubeadm> {
        let Release { minor, defaults, .. } = Release::find(&inventory.cluster.kubernetes).ok()?;
        let dns = match minor.coredns.rsplit_once('/') {
            Some((folder, _)) => format!("{}/{folder}", minor.registry),
            None => minor.registry.clone(),
        };
        let api = minor.kubeadm_api.name();
        Some(Kubeadm { api, registry: minor.registry, dns, taint: minor.taint, images: defaults })
    }

    /// What templates see as `cluster.kubeadm`: parts of the ClusterConfiguration that follow from the catalogue and
    /// from where etcd is. Images are named, so that kubeadm asks for those which hosts were given, whatever its patch
    /// release would take by itself.
    pub fn cluster(&self, inventory: &Inventory) -> Value {
        let etcd = match inventory.cluster.etcd {
            Etcd::Stacked => json!({"local": {
                "imageTag": self.images.etcd,
                "extraArgs": arguments(etcd::flags(inventory), self.api),
            }}),
            Etcd::External => {
                let members = inventory.with_role(Role::Etcd);
                let endpoints = members.map(|(_, host)| format!("https://{}:2379", host.address));
                json!({"external": {
                    "endpoints": endpoints.collect::<Vec<_>>(),
                    "caFile": format!("{ETCD_CLIENT}/ca.crt"),
                    "certFile": format!("{ETCD_CLIENT}/client.pem"),
                    "keyFile": format!("{ETCD_CLIENT}/client.pem"),
                }})
            }
        };
        json!({
            "registry": self.registry,
            "dns": {"imageRepository": self.dns, "imageTag": self.images.coredns},
            "etcd": etcd,
            "kube_proxy": !inventory.skipped_addons().contains(&KubeadmAddon::KubeProxy),
        })
    }

    /// The `nodeRegistration` of a host.
    pub fn registration(&self, name: &str, host: &Host) -> Value {
        self.registered(name, self.taints(host), [("node-ip".to_string(), host.address.to_string())])
    }

    /// The `nodeRegistration` of a node that is rented. Its kubelet makes the Node with all its labels, so that nobody sees
    /// it without them.
    pub fn rented(&self, node: &Rented<'_>) -> Value {
        let labels = node.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let args = [
            ("node-ip", node.address.to_string()),
            ("node-labels", labels.collect::<Vec<_>>().join(",")),
            ("provider-id", node.provider_id.to_string()),
        ];
        self.registered(
            node.name,
            once(taints(node.taints)),
            args.map(|(name, value)| (name.to_string(), value)),
        )
    }

    fn registered(
        &self,
        name: &str,
        taints: Vec<Value>,
        args: impl IntoIterator<Item = (String, String)>,
    ) -> Value {
        // Version 1.20 takes a path; versions since 1.24 warn of anything but a URL.
        let socket = match self.api {
            "v1beta2" => CONTAINERD.to_string(),
            _ => format!("unix://{CONTAINERD}"),
        };
        json!({
            "name": name,
            "criSocket": socket,
            "taints": taints,
            "kubeletExtraArgs": arguments(args, self.api),
        })
    }

    /// The taints of nodes that keep volumes or run what uses them, each once: what serves volumes must tolerate them.
    pub fn volume_taints(&self, inventory: &Inventory) -> Vec<Value> {
        let mut taints: Vec<Value> = Vec::new();
        for host in inventory.hosts.values().filter(|host| host.has(Role::Worker) || host.has(Role::Storage))
        {
            for taint in self.taints(host) {
                if !taints.contains(&taint) {
                    taints.push(taint);
                }
            }
        }
        taints
    }

    /// Taints as kubeadm's nodeRegistration has them. A host that is only a control plane keeps workloads away.
    pub fn taints(&self, host: &Host) -> Vec<Value> {
        let mut taints = taints(&host.taints);
        if host.has(Role::ControlPlane) && !host.has(Role::Worker) {
            taints.push(json!({"key": self.taint, "effect": "NoSchedule"}));
        }
        once(taints)
    }
}

/// Each key and effect once, or else no kubelet starts: what an inventory says itself comes before what hoist adds.
fn once(taints: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for taint in taints {
        if !kept.iter().any(|other| other["key"] == taint["key"] && other["effect"] == taint["effect"]) {
            kept.push(taint);
        }
    }
    kept
}

/// Taints as kubectl has them, in kubeadm's form.
fn taints(said: &[String]) -> Vec<Value> {
    let parsed = said.iter().filter_map(|taint| {
        let (key_value, effect) = taint.rsplit_once(':')?;
        let (key, value) = key_value.split_once('=').unwrap_or((key_value, ""));
        Some(json!({"key": key, "value": value, "effect": effect}))
    });
    parsed.collect()
}

/// What `kubeadm init` and `kubeadm join` are called with.
pub(super) fn flags(inventory: &Inventory, facts: &Facts, initializes: bool) -> String {
    let cluster = &inventory.cluster;
    let mut flags = Vec::new();
    let mut ignored: Vec<&str> = cluster.ignore_preflight_errors.iter().map(String::as_str).collect();
    // kubeadm's verification of the system knows nothing of what the kubelet was told.
    let told = cluster.kubelet.get("failCgroupV1") == Some(&json!(false));
    let verification = "SystemVerification";
    if told
        && facts.cgroup == 1
        && cluster.kubernetes.minor >= NO_CGROUP_V1
        && !ignored.contains(&verification)
    {
        ignored.push(verification);
    }
    if !ignored.is_empty() {
        flags.push(format!("--ignore-preflight-errors={}", ignored.join(",")));
    }
    let skipped: Vec<String> =
        inventory.skipped_addons().iter().map(|addon| format!("addon/{}", addon.name())).collect();
    if initializes && !skipped.is_empty() {
        flags.push(format!("--skip-phases={}", skipped.join(",")));
    }
    flags.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::targets::{common, host_context},
        engine::{Library, Templates},
        inventory,
    };

    fn parsed(text: &str) -> Inventory {
        inventory::parse("t.yaml", text).unwrap().inventory
    }

    const LAB: &str = include_str!("../../inventory/lab.yaml");

    /// What kubeadm 1.22 to 1.30 reads, of which the catalogue has none yet.
    #[test]
    fn documents_of_the_form_between_the_oldest_and_the_newest() {
        let inventory = parsed(
            "cluster: {name: golden, kubernetes: \"1.31.14\", endpoint: {address: api.example.lan}}\n\
             hosts:\n  cp1: {address: 192.168.18.201, roles: [control-plane]}\n  \
             cp2: {address: 192.168.18.202, roles: [control-plane, worker], taints: [\"a=b:NoExecute\"]}\n  \
             cp3: {address: 192.168.18.203, roles: [control-plane]}\n  \
             w1: {address: 192.168.18.211, roles: [worker]}\n",
        );
        let kubeadm = Kubeadm { api: "v1beta3", ..Kubeadm::of(&inventory).unwrap() };
        let pki = ["ca", "sa", "front_proxy_ca", "etcd_ca"].map(|name| {
            [("crt", "CERTIFICATE"), ("key", "KEY"), ("pub", "PUBLIC")]
                .map(|(kind, is)| (format!("{name}_{kind}"), json!(is)))
        });
        let late = json!({
            "join": {"token": "TOKEN", "ca_hash": "HASH"},
            "kept": {"before": "yes"},
            "place": {"made": "yes"},
            "pki": pki.into_iter().flatten().collect::<serde_json::Map<_, _>>(),
        });
        let templates = Templates::new(Library::default());
        let documents =
            [("cp1", "init"), ("cp2", "join-control-plane"), ("w1", "join")].map(|(name, template)| {
                let host = &inventory.hosts[name];
                let mut own = host_context(&inventory, name, host, None);
                own["registration"] = kubeadm.registration(name, host);
                let mut context = common(&inventory, None, Some(&kubeadm));
                context.set("host", own);
                context.set("late", &late);
                let text = templates.file(&format!("kubeadm/{template}.yaml"), &context).unwrap();
                format!("=== {name}: {template}\n{text}")
            });
        insta::assert_snapshot!("kubeadm_v1beta3", documents.concat());
    }

    #[test]
    fn a_host_that_is_only_a_control_plane_keeps_workloads_away() {
        let taints_of = |text: &str, name: &str| {
            let inventory = parsed(text);
            let taints = Kubeadm::of(&inventory).unwrap().taints(&inventory.hosts[name]);
            serde_json::to_string(&taints).unwrap()
        };
        let taint =
            |word: &str| format!(r#"[{{"key":"node-role.kubernetes.io/{word}","effect":"NoSchedule"}}]"#);
        assert_eq!(taints_of(LAB, "cp1"), taint("master"));
        assert_eq!(taints_of(LAB, "w1"), "[]");
        assert_eq!(taints_of(&LAB.replace("1.20.2", "1.36.2"), "cp1"), taint("control-plane"));
        let both = LAB.replace("roles: [control-plane]", "roles: [control-plane, worker]");
        assert_eq!(taints_of(&both, "cp1"), "[]");
        // Who says it, too, has it once.
        let said =
            r#"roles: [control-plane], taints: ["node-role.kubernetes.io/master:NoSchedule", "a:NoExecute"]"#;
        let [kubeadms, own] = [("node-role.kubernetes.io/master", "NoSchedule"), ("a", "NoExecute")]
            .map(|(key, effect)| format!(r#"{{"key":"{key}","value":"","effect":"{effect}"}}"#));
        let said = LAB.replace("roles: [control-plane]", said);
        assert_eq!(taints_of(&said, "cp1"), format!("[{kubeadms},{own}]"));
        let three = include_str!("../../inventory/three.yaml");
        assert_eq!(
            taints_of(three, "w2"),
            r#"[{"key":"storage","value":"slow","effect":"PreferNoSchedule"}]"#
        );
    }

    #[test]
    fn a_kubelet_that_was_told_to_take_cgroup_v1_passes_the_verification() {
        let old = Facts { cgroup: 1, ..Facts::default() };
        let new = Facts { cgroup: 2, ..Facts::default() };
        for (told, version, facts, expected) in [
            (true, "1.36.2", &old, "ImagePull,SystemVerification"),
            (true, "1.36.2", &new, "ImagePull"),
            (true, "1.34.1", &old, "ImagePull"),
            (false, "1.36.2", &old, "ImagePull"),
        ] {
            let mut inventory = parsed(&LAB.replace("1.20.2", version));
            if told {
                inventory.cluster.kubelet.insert("failCgroupV1".to_string(), json!(false));
            }
            let flags = flags(&inventory, facts, false);
            assert_eq!(flags, format!("--ignore-preflight-errors={expected}"), "{version}");
        }
        let flags = flags(&parsed(LAB), &old, true);
        assert_eq!(flags, "--ignore-preflight-errors=ImagePull --skip-phases=addon/coredns");
    }

    #[test]
    fn images_are_those_of_the_catalogue() {
        let cluster = |version: &str| {
            let inventory = parsed(&LAB.replace("1.20.2", version));
            Kubeadm::of(&inventory).unwrap().cluster(&inventory)
        };
        let (old, new) = (cluster("1.20.2"), cluster("1.37.1"));
        assert_eq!(old["dns"], json!({"imageRepository": "k8s.gcr.io", "imageTag": "1.7.0"}));
        assert_eq!(new["dns"], json!({"imageRepository": "registry.k8s.io/coredns", "imageTag": "v1.14.6"}));
        assert_eq!(old["etcd"]["local"]["imageTag"], "3.4.13-0");
        // As kubeadm's documents of each time have them.
        assert_eq!(old["etcd"]["local"]["extraArgs"]["quota-backend-bytes"], "8589934592");
        let quota = json!({"name": "quota-backend-bytes", "value": "8589934592"});
        assert!(new["etcd"]["local"]["extraArgs"].as_array().unwrap().contains(&quota));
    }
}
