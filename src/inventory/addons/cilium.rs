//! Settings of Cilium.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::inventory::{Inventory, Plugin};

/// What fits through the usual tunnels between sites: AWS's Site-to-Site VPN takes 1446 bytes, WireGuard on a line with
/// PPPoE 1412. https://docs.aws.amazon.com/vpn/latest/s2svpn/your-cgw.html
pub const MTU_BETWEEN_SITES: u16 = 1400;

/// Settings of Cilium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cilium {
    /// Cilium makes the addresses of services work, and there is no kube-proxy.
    pub kube_proxy_replacement: bool,
    /// How packets get to the pods of other hosts. It is chosen once: a change cuts off pods until all of them have
    /// been made anew.
    pub routing: Routing,
    /// Encrypts what pods of different hosts send each other (WireGuard, UDP port 51871). Default: where nodes stand at
    /// more than one of `sites`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<bool>,
    /// The largest packet between hosts, in bytes, from which that of pods follows. It is chosen once: pods keep what they
    /// were made with. Default: what each host's interface says; 1400 where nodes stand at more than one of `sites` or
    /// `burst` is wanted, whose instances would find 9001.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 9216))]
    pub mtu: Option<u16>,
    /// How many operators run, each on a host of its own. Default: 2, and 1 where there is only one node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub operator_replicas: Option<u8>,
    /// What is sent and what is dropped, as `hubble observe` shows it.
    pub hubble: Hubble,
    /// Lets services be redirected to a pod on the same host (`CiliumLocalRedirectPolicy`), such as a DNS cache.
    pub local_redirect_policy: bool,
    /// Serves the Gateway API. Its CustomResourceDefinitions are not in Cilium's chart: `hoist lock` pins them, and they are
    /// applied before it, unless the cluster has them from somebody else. It needs `kube_proxy_replacement`.
    pub gateway_api: bool,
    /// A folder on this machine with `NetworkPolicy`, `CiliumNetworkPolicy` and `CiliumClusterwideNetworkPolicy` objects,
    /// applied when Cilium works. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<PathBuf>,
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for Cilium {
    fn default() -> Self {
        Cilium {
            kube_proxy_replacement: true,
            routing: Routing::default(),
            encryption: None,
            mtu: None,
            operator_replicas: None,
            hubble: Hubble::default(),
            local_redirect_policy: true,
            gateway_api: false,
            policies: None,
            values: Map::new(),
        }
    }
}

/// How packets get to the pods of other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// In a tunnel between the hosts (UDP port 8472), which needs nothing of the network.
    #[default]
    Vxlan,
    /// As they are, by a route to each other host: all nodes are in one layer-2 network.
    Native,
}

/// What Hubble has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hubble {
    /// Every agent remembers what it saw.
    pub enabled: bool,
    /// One place to ask all of them.
    pub relay: bool,
    /// A page in the browser; needs `relay`.
    pub ui: bool,
}

impl Default for Hubble {
    fn default() -> Self {
        Hubble { enabled: true, relay: true, ui: true }
    }
}

impl Cilium {
    /// With everything decided that is left open here and follows from the rest of the inventory.
    fn settled(mut self, inventory: &Inventory) -> Cilium {
        let nodes = || inventory.hosts.values().filter(|host| host.is_node());
        let sites: BTreeSet<_> = nodes().filter_map(|host| host.site.as_deref()).collect();
        let apart = sites.len() > 1;
        self.encryption.get_or_insert(apart);
        if apart || inventory.burst.is_wanted() {
            self.mtu.get_or_insert(MTU_BETWEEN_SITES);
        }
        self.operator_replicas.get_or_insert(if nodes().count() > 1 { 2 } else { 1 });
        self
    }

    /// Whether packets between hosts are encrypted.
    pub fn encrypts(&self) -> bool {
        self.encryption == Some(true)
    }
}

impl Inventory {
    /// Cilium's settings, nothing left open but the MTU, where it is the network plugin.
    pub fn cilium(&self) -> Option<Cilium> {
        let wanted = self.cluster.network.plugin == Plugin::Cilium;
        wanted.then(|| self.addons.cilium.clone().unwrap_or_default().settled(self))
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory::{self, KubeadmAddon};

    /// Encryption, MTU, operators, and whether kube-proxy is left out.
    fn settled(more: &str, hosts: &str) -> (bool, Option<u16>, u8, bool) {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.36.2\", network: {{plugin: cilium}}}}\nsites: [a, b]\nhosts: {{{hosts}}}\n{more}\n"
        );
        let inventory = inventory::parse("test", &text).unwrap().inventory;
        let cilium = inventory.cilium().unwrap();
        let skipped = inventory.skipped_addons().contains(&KubeadmAddon::KubeProxy);
        (cilium.encrypts(), cilium.mtu, cilium.operator_replicas.unwrap(), skipped)
    }

    const ONE: &str = "a: {address: 10.0.0.1, roles: [control-plane, worker], site: a}";
    const SAME_SITE: &str = "a: {address: 10.0.0.1, roles: [control-plane], site: a}, b: {address: 10.0.0.2, roles: [worker], site: a}";
    const TWO_SITES: &str = "a: {address: 10.0.0.1, roles: [control-plane], site: a}, b: {address: 10.0.0.2, roles: [worker], site: b}";
    const BURST: &str =
        "burst: {region: eu-central-1, subnets: [172.16.0.0/22], max_instances: 1, monthly_budget: 1}";

    #[test]
    fn what_is_left_open_follows_from_the_hosts() {
        assert_eq!(settled("", ONE), (false, None, 1, true));
        assert_eq!(settled("", SAME_SITE), (false, None, 2, true));
        assert_eq!(settled("", TWO_SITES), (true, Some(1400), 2, true));
        assert_eq!(settled(BURST, SAME_SITE), (false, Some(1400), 2, true));
    }

    #[test]
    fn what_is_said_counts() {
        let said = "addons: {cilium: {encryption: false, mtu: 9000, operator_replicas: 3, kube_proxy_replacement: false, local_redirect_policy: false}}";
        assert_eq!(settled(said, TWO_SITES), (false, Some(9000), 3, false));
    }
}
