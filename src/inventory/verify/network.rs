//! Networks: sizes and overlaps.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    inventory::{Inventory, POD_SUBNET_PREFIX, pod_subnet},
    yaml::{Document, Problem, Span},
};

/// The controller manager hands out at most 2^16 node subnets (`--node-cidr-mask-size` minus the prefix of
/// the cluster's network).
const LARGEST_PODS: u8 = POD_SUBNET_PREFIX - 16;
/// The API server takes no service network larger than 20 bits, and no smaller than 8 addresses.
const SERVICES: std::ops::RangeInclusive<u8> = 12..=29;
/// The smallest pod subnet: one address for the bridge and at least one for a pod.
const SMALLEST_POD_SUBNET: u8 = 30;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    sizes(document, problems);
    overlaps(document, problems);
    pod_subnets(document, problems);
}

fn span_of(document: &Document<Inventory>, network: &str) -> Span {
    document.tree.at(&["cluster", "network", network])
}

fn sizes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let network = &document.value.cluster.network;
    let pods = network.pods;
    if pods.prefix_len() > POD_SUBNET_PREFIX {
        problems.push(
            Problem::new(span_of(document, "pods"), format!("the pod network {pods} is too small"))
                .label(format!("no room for a /{POD_SUBNET_PREFIX}"))
                .help(format!("each host takes a /{POD_SUBNET_PREFIX}: a /16 has room for 256 hosts")),
        );
    } else if pods.prefix_len() < LARGEST_PODS {
        problems.push(
            Problem::new(span_of(document, "pods"), format!("the pod network {pods} is too large"))
                .label(format!("larger than a /{LARGEST_PODS}"))
                .help("Kubernetes divides a network into at most 65536 parts: a /16 has room for 256 hosts"),
        );
    }
    if !SERVICES.contains(&network.services.prefix_len()) {
        problems.push(
            Problem::new(
                span_of(document, "services"),
                format!("the service network {} has a size that the API server refuses", network.services),
            )
            .label(format!("neither between /{} and /{}", SERVICES.start(), SERVICES.end()))
            .help("a /16 has room for 65534 services"),
        );
    }
}

fn overlaps(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let network = &inventory.cluster.network;
    if overlap(network.pods, network.services) {
        problems.push(
            Problem::new(span_of(document, "services"), "the networks of pods and services overlap")
                .label(format!("services: {}", network.services))
                .also(span_of(document, "pods"), format!("pods: {}", network.pods))
                .help("choose two networks that share no address, such as 10.244.0.0/16 and 10.96.0.0/12"),
        );
    }
    for (kind, taken) in [("pods", network.pods), ("services", network.services)] {
        let mut inside = |span: Span, whose: String, address: Ipv4Addr| {
            if taken.contains(&address) {
                problems.push(
                    Problem::new(
                        span,
                        format!("the address of {whose} is in the network of the {kind}, {taken}"),
                    )
                    .label(format!("inside {taken}"))
                    .also(span_of(document, kind), format!("{kind}: {taken}"))
                    .help(format!("choose a network for the {kind} that no machine uses")),
                );
            }
        };
        for (name, host) in &inventory.hosts {
            inside(document.tree.at(&["hosts", name, "address"]), format!("`{name}`"), host.address);
        }
        let endpoint =
            inventory.cluster.endpoint.address.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok());
        if let Some(address) =
            endpoint.filter(|address| inventory.hosts.values().all(|host| host.address != *address))
        {
            inside(document.tree.at(&["cluster", "endpoint", "address"]), "the endpoint".into(), address);
        }
    }
}

fn pod_subnets(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let pods = inventory.cluster.network.pods;
    let mut taken: Vec<(&str, Ipv4Net)> = Vec::new();
    for (name, host) in &inventory.hosts {
        let span = document.tree.at(&["hosts", name, "pod_subnet"]);
        if let Some(own) = host.pod_subnet {
            if !pods.contains(&own) {
                problems.push(
                    Problem::new(
                        span,
                        format!("the pod subnet of `{name}` is outside of the pod network {pods}"),
                    )
                    .label("outside")
                    .also(span_of(document, "pods"), format!("pods: {pods}"))
                    .help("choose a part of the pod network, or leave it out to have one derived"),
                );
                continue;
            }
            if own.prefix_len() > SMALLEST_POD_SUBNET {
                problems.push(
                    Problem::new(span, format!("the pod subnet of `{name}` has room for no pod"))
                        .label("too small")
                        .help(format!(
                            "take at least a /{SMALLEST_POD_SUBNET}; a /{POD_SUBNET_PREFIX} is usual"
                        )),
                );
            }
        }
        let Some(subnet) = pod_subnet(inventory, host) else { continue };
        match taken.iter().find(|(_, other)| overlap(*other, subnet)) {
            Some((other, others)) => problems.push(
                Problem::new(span, format!("`{other}` and `{name}` would take the same pod subnet"))
                    .label(format!("`{name}` takes {subnet}"))
                    .also(document.tree.at(&["hosts", other, "pod_subnet"]), format!("`{other}` takes {others}"))
                    .help(format!(
                        "set pod_subnet on one of them, to a free part of {pods}; without it, the last digits of \
                         the address decide"
                    )),
            ),
            None => taken.push((name, subnet)),
        }
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}
