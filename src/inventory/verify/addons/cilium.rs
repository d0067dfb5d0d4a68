//! Cilium.

use miette::Severity;

use super::asked;
use crate::{
    inventory::{Inventory, KubeadmAddon, Plugin, Routing},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let Some(cilium) = &inventory.addons.cilium else { return kube_proxy(document, problems) };
    if inventory.cluster.network.plugin != Plugin::Cilium {
        problems.push(
            Problem::new(asked(document, "cilium"), "settings for Cilium, which is not the network plugin")
                .label("not used")
                .also(document.tree.at(&["cluster", "network", "plugin"]), "another plugin")
                .help("set `cluster.network.plugin` to `cilium`, or remove the settings"),
        );
        return;
    }
    let at = |key| document.tree.at(&["addons", "cilium", key]);
    let hubble = cilium.hubble;
    let incomplete = match (hubble.enabled, hubble.relay, hubble.ui) {
        (false, true, _) | (false, _, true) => {
            Some(("without `enabled` there is nothing to ask", "switch `relay` and `ui` off as well"))
        }
        (_, false, true) => {
            Some(("the page shows what the relay gathers", "switch `relay` on, or `ui` off as well"))
        }
        _ => None,
    };
    if let Some((reason, help)) = incomplete {
        problems.push(
            Problem::new(at("hubble"), "these parts of Hubble do not work together").label(reason).help(help),
        );
    }
    if cilium.routing == Routing::Native && inventory.burst.is_wanted() {
        problems.push(
            Problem::new(at("routing"), "rented workers are not in the network of the machines")
                .label("no routes between them")
                .also(document.tree.key_at(&["burst"]), "wanted here")
                .help("take `vxlan`, or leave `burst` out"),
        );
    }
    if cilium.local_redirect_policy && !cilium.kube_proxy_replacement {
        problems.push(
            Problem::new(at("kube_proxy_replacement"), "services are redirected by what replaces kube-proxy")
                .label("switched off")
                .help("set `local_redirect_policy: false` as well, or leave both on"),
        );
    }
    if !cilium.kube_proxy_replacement && inventory.cluster.skip_addons.contains(&KubeadmAddon::KubeProxy) {
        problems.push(
            Problem::new(at("kube_proxy_replacement"), "nothing makes the addresses of services work")
                .label("neither Cilium")
                .also(document.tree.at(&["cluster", "skip_addons"]), "nor kube-proxy")
                .help("let Cilium replace kube-proxy, or do not leave kube-proxy out"),
        );
    }
    if cilium.gateway_api && !cilium.kube_proxy_replacement {
        problems.push(
            Problem::new(at("gateway_api"), "the Gateway API needs Cilium in place of kube-proxy")
                .label("wanted here")
                .also(at("kube_proxy_replacement"), "switched off")
                .help("leave `kube_proxy_replacement` on, or `gateway_api` off"),
        );
    }
    kube_proxy(document, problems);
}

/// Settings of a kube-proxy that is not there.
fn kube_proxy(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let replaced = inventory.cilium().is_some_and(|cilium| cilium.kube_proxy_replacement);
    if replaced && !inventory.cluster.kube_proxy.is_empty() {
        problems.push(
            Problem::new(document.tree.key_at(&["cluster", "kube_proxy"]), "there is no kube-proxy")
                .label("not used")
                .severity(Severity::Warning)
                .help("Cilium does its work: remove it, or set `kube_proxy_replacement: false` in `addons.cilium`"),
        );
    }
}
