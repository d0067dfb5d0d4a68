//! The registry.

use std::net::IpAddr;

use miette::Severity;

use super::{
    NAME_A_CLASS, NO_DEFAULT_CLASS, address_of_a_pool, asked, has_default_class, issuer,
    nobody_gives_addresses,
};
use crate::{
    inventory::{Inventory, addons::RegistryExposure},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let addons = &document.value.addons;
    let Some(registry) = &addons.registry else { return };
    let path = |key| ["addons", "registry", key];
    let at = |key| document.tree.at(&path(key));
    if registry.host.parse::<IpAddr>().is_ok() {
        problems.push(
            Problem::new(at("host"), "the registry needs a name, for its certificate and for ingresses")
                .label("an address")
                .help("write a name that your DNS knows, such as registry.office.lan; the address is for `address`"),
        );
    }
    let given = registry.storage_class.is_some() || has_default_class(&document.value);
    if !given && document.is_whole(&["addons"]) {
        problems.push(
            Problem::new(asked(document, "registry"), "nothing gives the registry a volume")
                .label(NO_DEFAULT_CLASS)
                .help(NAME_A_CLASS),
        );
    }
    match registry.expose {
        Some(RegistryExposure::Ingress) if addons.ingress_nginx.is_none() => problems.push(
            Problem::new(
                at("expose"),
                "the registry is to be reached through ingress-nginx, which is not installed",
            )
            .label("needs `ingress-nginx`")
            .help("add `ingress-nginx: {}`, or take `load-balancer` or `node-port`"),
        ),
        Some(RegistryExposure::LoadBalancer) if addons.metallb.is_none() => {
            problems.push(nobody_gives_addresses(at("expose")));
        }
        _ => {}
    }
    let balanced = match registry.expose {
        Some(expose) => expose == RegistryExposure::LoadBalancer,
        None => addons.ingress_nginx.is_none() && addons.metallb.is_some(),
    };
    address_of_a_pool(document, &path("address"), registry.address, balanced, problems);
    if registry.tls {
        issuer(document, &["addons", "registry"], registry.issuer.as_deref(), problems);
    } else {
        problems.push(
            Problem::new(at("tls"), "passwords for the registry cross the network in clear")
                .label("no TLS")
                .severity(Severity::Warning)
                .help("remove it, and add cert-manager: its `own-ca` needs no internet"),
        );
    }
}
