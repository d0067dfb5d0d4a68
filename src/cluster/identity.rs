//! What a cluster is begun with and keeps: where its API server is reached and listens, the ranges of its addresses, and where
//! etcd is.

use std::fmt::Display;

use ipnet::Ipv4Net;

use super::{Observed, living};
use crate::{
    facts::Kubernetes,
    inventory::{Etcd, Inventory},
};

/// The inventory says something else of the cluster than what it was begun with. The run that carried this out would
/// take the old away from under nodes and pods that know nothing of the new.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{} {has} ({} on {host}), and the inventory says {wanted}", kept.what, kept.file)]
#[diagnostic(help(
    "nothing was changed, for {}, and a cluster keeps it for its life: set {} back; another one needs a new cluster",
    kept.why,
    kept.setting
))]
pub struct OtherIdentity {
    kept: &'static Kept,
    pub host: String,
    pub has: String,
    pub wanted: String,
}

/// One such thing, in words.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    what: &'static str,
    file: &'static str,
    why: &'static str,
    setting: &'static str,
}

const ENDPOINT: Kept = Kept {
    what: "the API server of this cluster is reached at",
    file: "/etc/kubernetes/admin.conf",
    why: "all nodes reach it there",
    setting: "`cluster.endpoint` (without `vip`, `local` and `address` it is the address of the first control plane)",
};
const SERVICES: Kept = Kept {
    what: "the Services of this cluster have addresses of",
    file: "/etc/kubernetes/manifests/kube-apiserver.yaml",
    why: "Services keep the addresses that they have, that of the DNS server among them",
    setting: "`cluster.network.services`",
};
const PODS: Kept = Kept {
    what: "the pods of this cluster have addresses of",
    file: "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    why: "pods that run keep the addresses that they have",
    setting: "`cluster.network.pods`",
};
const ETCD: Kept = Kept {
    what: "etcd of this cluster is",
    file: "/etc/kubernetes/manifests/kube-apiserver.yaml",
    why: "its data stay where they are, and the API servers would ask an etcd that is not there",
    setting: "`cluster.etcd`",
};
const API_PORT: Kept = Kept {
    what: "the API servers of this cluster listen on port",
    file: "/etc/kubernetes/manifests/kube-apiserver.yaml",
    why: "no balancer can be put before them, or be taken away, while nodes reach them",
    setting: "`cluster.endpoint` (with `vip` or `local` hoist's own balancers have its port, and API servers the one after it)",
};

/// Compares the inventory with what control planes that live have. What none of them says is passed over, and so are those
/// of a cluster with another name, of which preflight tells. Where one of them has what the inventory says and others have
/// not, somebody is at it.
///
/// # Errors
/// The first thing that the cluster has otherwise.
pub fn same_identity(inventory: &Inventory, facts: &Observed) -> Result<(), OtherIdentity> {
    let planes: Vec<(&str, &Kubernetes)> = living(inventory, facts)
        .filter_map(|host| Some((host, &facts.get(host)?.kubernetes)))
        .filter(|(_, own)| own.cluster.is_empty() || own.cluster == inventory.cluster.name)
        .collect();
    let network = &inventory.cluster.network;
    if let Some((address, port)) = inventory.endpoint() {
        let wanted = format!("{}:{port}", address.to_lowercase());
        same(&ENDPOINT, &planes, |own| endpoint(&own.endpoint), wanted)?;
    }
    same(&SERVICES, &planes, |own| range(&own.services), network.services.trunc())?;
    same(&PODS, &planes, |own| range(&own.pods), network.pods.trunc())?;
    let etcd = match inventory.cluster.etcd {
        Etcd::Stacked => "stacked",
        Etcd::External => "external",
    };
    same(&ETCD, &planes, |own| Some(own.etcd.clone()).filter(|said| !said.is_empty()), etcd.to_owned())?;
    same(&API_PORT, &planes, |own| own.api_port, inventory.api_port())
}

fn same<T: Display + PartialEq>(
    kept: &'static Kept,
    planes: &[(&str, &Kubernetes)],
    read: impl Fn(&Kubernetes) -> Option<T>,
    wanted: T,
) -> Result<(), OtherIdentity> {
    let have: Vec<(&str, T)> = planes.iter().filter_map(|(host, own)| Some((*host, read(own)?))).collect();
    match have.first() {
        Some((host, has)) if have.iter().all(|(_, has)| *has != wanted) => Err(OtherIdentity {
            kept,
            host: (*host).to_owned(),
            has: has.to_string(),
            wanted: wanted.to_string(),
        }),
        _ => Ok(()),
    }
}

/// `HOST:PORT` of what a kubeconfig says behind `https://`, where the port may be left out.
fn endpoint(said: &str) -> Option<String> {
    let (host, port) = said.rsplit_once(':').unwrap_or((said, "443"));
    (!host.is_empty()).then(|| format!("{}:{port}", host.to_lowercase()))
}

/// The range, or the first of several.
fn range(said: &str) -> Option<Ipv4Net> {
    said.split(',').next()?.parse::<Ipv4Net>().ok().map(|range| range.trunc())
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;
    use crate::{facts::Facts, inventory};

    const LAB: &str = include_str!("../../inventory/lab.yaml");

    fn plane(endpoint: &str, services: &str, pods: &str) -> Kubernetes {
        Kubernetes {
            joined: true,
            control_plane: true,
            endpoint: endpoint.to_owned(),
            services: services.to_owned(),
            pods: pods.to_owned(),
            ..Kubernetes::default()
        }
    }

    /// What is said of an inventory where these control planes live.
    fn answer(text: &str, planes: &[(&str, Kubernetes)]) -> Result<(), OtherIdentity> {
        let inventory = inventory::parse("t.yaml", text).unwrap().inventory;
        let facts = planes
            .iter()
            .map(|(host, own)| ((*host).to_owned(), Facts { kubernetes: own.clone(), ..Facts::default() }));
        same_identity(&inventory, &facts.collect())
    }

    /// What kubeadm writes for each way to reach the API server; and what it would be where that was another.
    #[test]
    fn the_endpoint_of_an_unchanged_cluster_is_its_own_and_another_is_refused() {
        let with = |endpoint: &str| {
            let text = LAB.replace("endpoint: {address: 10.77.0.11, port: 6443}", endpoint);
            assert!(text == LAB || !text.contains("10.77.0.11, port"), "{endpoint}");
            text
        };
        for (said, own, other) in [
            // The first control plane's, whether said or not.
            ("endpoint: {address: 10.77.0.11, port: 6443}", "10.77.0.11:6443", "10.77.0.10:6443"),
            ("endpoint: {}", "10.77.0.11:6443", "10.77.0.12:6443"),
            ("endpoint: {port: 7443}", "10.77.0.11:7443", "10.77.0.11:6443"),
            ("endpoint: {address: api.example.lan}", "api.example.lan:6443", "10.77.0.11:6443"),
            ("endpoint: {address: api.example.lan, port: 443}", "API.example.lan", "api.example.lan:6443"),
            ("endpoint: {vip: 10.77.0.200}", "10.77.0.200:6443", "10.77.0.201:6443"),
            ("endpoint: {vip: 10.77.0.200, port: 7443}", "10.77.0.200:7443", "10.77.0.200:6443"),
            ("endpoint: {local: true}", "127.0.0.1:6443", "10.77.0.11:6443"),
            // What people outside use is another thing.
            ("endpoint: {vip: 10.77.0.201, local: true}", "127.0.0.1:6443", "10.77.0.201:6443"),
            ("endpoint: {address: api.example.lan, local: true}", "127.0.0.1:6443", "api.example.lan:6443"),
        ] {
            assert_eq!(answer(&with(said), &[("cp1", plane(own, "", ""))]), Ok(()), "{said}");
            let error = answer(&with(said), &[("cp1", plane(other, "", ""))]).unwrap_err();
            assert_eq!((error.kept, error.has.as_str()), (&ENDPOINT, other), "{said}");
        }
    }

    #[test]
    fn another_endpoint_or_range_is_refused_with_what_to_do() {
        for (own, message, help) in [
            (
                plane("10.77.0.10:6443", "10.96.0.0/12", "10.244.0.0/16"),
                "the API server of this cluster is reached at 10.77.0.10:6443 (/etc/kubernetes/admin.conf on cp1), and the \
                 inventory says 10.77.0.11:6443",
                "set `cluster.endpoint`",
            ),
            (
                plane("10.77.0.11:6443", "10.97.0.0/16", "10.244.0.0/16"),
                "the Services of this cluster have addresses of 10.97.0.0/16 \
                 (/etc/kubernetes/manifests/kube-apiserver.yaml on cp1), and the inventory says 10.96.0.0/12",
                "set `cluster.network.services` back; another one needs a new cluster",
            ),
            (
                plane("10.77.0.11:6443", "10.96.0.0/12", "10.244.0.0/15"),
                "the pods of this cluster have addresses of 10.244.0.0/15 \
                 (/etc/kubernetes/manifests/kube-controller-manager.yaml on cp1), and the inventory says 10.244.0.0/16",
                "set `cluster.network.pods` back; another one needs a new cluster",
            ),
        ] {
            let error = answer(LAB, &[("cp1", own)]).unwrap_err();
            assert_eq!(error.to_string(), message);
            let said = error.help().unwrap().to_string();
            assert!(said.starts_with("nothing was changed") && said.contains(help), "{said}");
        }
    }

    /// What kubeadm is told by hoist for each way, and what a cluster was told that was begun in another.
    #[test]
    fn where_etcd_is_and_where_api_servers_listen_is_kept() {
        let told = |etcd: &str, api_port| Kubernetes {
            etcd: etcd.to_owned(),
            api_port,
            ..plane("10.77.0.11:6443", "", "")
        };
        let with = |endpoint: &str| LAB.replace("endpoint: {address: 10.77.0.11, port: 6443}", endpoint);
        let external = include_str!("../../tests/fixtures/cluster/etcd.yaml").to_owned();
        let vip = plane("10.77.0.200:6443", "", "");
        let behind = |api_port| Kubernetes { api_port: Some(api_port), ..vip.clone() };
        for (text, own, refused) in [
            (LAB.to_owned(), told("stacked", Some(6443)), None),
            (LAB.to_owned(), told("", None), None),
            (LAB.to_owned(), told("external", Some(6443)), Some((&ETCD, "external", "stacked"))),
            (external.clone(), told("external", Some(6443)), None),
            (external, told("stacked", Some(6443)), Some((&ETCD, "stacked", "external"))),
            // The endpoint is the same, with a balancer before the API servers and without.
            (with("endpoint: {vip: 10.77.0.200}"), behind(6444), None),
            (with("endpoint: {address: 10.77.0.200}"), behind(6444), Some((&API_PORT, "6444", "6443"))),
            (with("endpoint: {address: 10.77.0.200}"), behind(6443), None),
            (with("endpoint: {vip: 10.77.0.200}"), behind(6443), Some((&API_PORT, "6443", "6444"))),
        ] {
            let said = answer(&text, &[("cp1", own.clone())]);
            let said = said.as_ref().err().map(|it| (it.kept, it.has.as_str(), it.wanted.as_str()));
            assert_eq!(said, refused, "{own:?}");
        }
        let own = Kubernetes { api_port: Some(6444), ..plane("127.0.0.1:6443", "", "") };
        // The virtual address beside it is for people: it comes and goes.
        for endpoint in ["endpoint: {local: true}", "endpoint: {vip: 10.77.0.201, local: true}"] {
            assert_eq!(answer(&with(endpoint), &[("cp1", own.clone())]), Ok(()), "{endpoint}");
        }
        let why = answer(LAB, &[("cp1", told("external", None))]).unwrap_err();
        assert_eq!(
            why.to_string(),
            "etcd of this cluster is external (/etc/kubernetes/manifests/kube-apiserver.yaml on cp1), and the inventory says \
             stacked"
        );
    }

    #[test]
    fn what_is_not_said_or_said_in_other_words_is_no_difference() {
        for own in [
            plane("", "", ""),
            plane("10.77.0.11:6443", "", ""),
            plane("10.77.0.11:6443", "10.96.0.1/12", "10.244.0.0/16"),
            plane("10.77.0.11:6443", "10.96.0.0/12,fd00::/108", "10.244.0.0/16,fd01::/48"),
            plane("10.77.0.11:6443", "fd00::/108", "unknown"),
        ] {
            assert_eq!(answer(LAB, &[("cp1", own.clone())]), Ok(()), "{own:?}");
        }
    }

    #[test]
    fn one_control_plane_that_has_it_is_enough_and_those_of_others_do_not_count() {
        let stacked = include_str!("../../tests/fixtures/cluster/stacked.yaml");
        let (own, other) = (plane("10.77.0.50:6443", "", ""), plane("10.77.0.11:6443", "", ""));
        for (first, second, refused) in [
            (&own, &own, None),
            (&own, &other, None),
            (&other, &own, None),
            (&other, &other, Some("cp1")),
            // It is being made anew: nothing of it counts.
            (&Kubernetes { interrupted: true, ..Kubernetes::default() }, &other, Some("cp2")),
            (&Kubernetes { cluster: "theirs".to_owned(), ..other.clone() }, &own, None),
            (&Kubernetes { cluster: "theirs".to_owned(), ..own.clone() }, &other, Some("cp2")),
        ] {
            let said = answer(stacked, &[("cp1", first.clone()), ("cp2", second.clone())]);
            assert_eq!(
                said.err().map(|error| error.host),
                refused.map(str::to_owned),
                "{first:?} {second:?}"
            );
        }
        // What the inventory has for a worker speaks for no cluster.
        assert_eq!(answer(LAB, &[("w1", own)]), Ok(()));
    }
}
