//! Add-ons: what their settings need of the rest, and what no schema says of them. One file an add-on.

mod cert_manager;
mod cilium;
mod ingress_nginx;
mod longhorn;
mod metallb;
mod metrics_server;
mod monitoring;
mod nfs_provisioner;
mod own;
mod prometheus;
mod registry;

use std::net::Ipv4Addr;

use miette::Severity;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, Span},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    cert_manager::verify(document, problems);
    cilium::verify(document, problems);
    ingress_nginx::verify(document, problems);
    longhorn::verify(document, problems);
    metallb::verify(document, problems);
    nfs_provisioner::verify(document, problems);
    registry::verify(document, problems);
    metrics_server::verify(document, problems);
    monitoring::verify(document, problems);
    prometheus::verify(document, problems);
    own::verify(document, problems);
    one_address_twice(document, problems);
}

/// Where the key of an add-on stands.
fn asked(document: &Document<Inventory>, name: &str) -> Span {
    document.tree.key_at(&["addons", name])
}

/// An address that MetalLB shall give must be one that it has.
fn address_of_a_pool(
    document: &Document<Inventory>,
    path: &[&str],
    address: Option<Ipv4Addr>,
    balanced: bool,
    problems: &mut Vec<Problem>,
) {
    // What gives addresses may be left out for a mistake.
    let Some(address) = address.filter(|_| document.is_whole(&["addons"])) else { return };
    let at = document.tree.at(path);
    let Some(metallb) = document.value.addons.metallb.as_ref().filter(|_| balanced) else {
        problems.push(
            Problem::new(at, format!("the address {address} has no effect"))
                .label("only MetalLB gives addresses")
                .help("install MetalLB with a pool that has it, and expose it by `load-balancer`; or remove the address"),
        );
        return;
    };
    if !metallb.ranges().any(|(_, _, pool, _)| pool.contains(address)) {
        problems.push(
            Problem::new(at, format!("no pool of MetalLB has the address {address}"))
                .label("in no pool")
                .also(document.tree.at(&["addons", "metallb", "pools"]), "these are the pools")
                .help("take an address of a pool, or add it to one"),
        );
    }
}

/// MetalLB gives an address to one service.
fn one_address_twice(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let addons = &document.value.addons;
    let ingress = addons.ingress_nginx.as_ref().and_then(|settings| settings.address);
    let registry = addons.registry.as_ref().and_then(|settings| settings.address);
    let Some(address) = ingress.filter(|_| ingress == registry) else { return };
    let mut places = ["ingress-nginx", "registry"].map(|name| document.tree.at(&["addons", name, "address"]));
    places.sort_by_key(|place| place.offset());
    problems.push(
        Problem::new(places[1], format!("two add-ons ask MetalLB for the address {address}"))
            .label("again here")
            .also(places[0], "first here")
            .help("give each its own, or leave one out to have one given"),
    );
}

fn nobody_gives_addresses(at: Span) -> Problem {
    Problem::new(at, "nothing in this inventory gives a load balancer an address")
        .label("needs `metallb`")
        .severity(Severity::Warning)
        .help("install MetalLB, unless something of your own does it")
}

/// A certificate needs cert-manager, and an issuer that is there. `path` is that of the settings with `issuer`.
fn issuer(document: &Document<Inventory>, path: &[&str], named: Option<&str>, problems: &mut Vec<Problem>) {
    match &document.value.addons.cert_manager {
        None if document.tree.get(&["addons", "cert-manager"]).is_none() => problems.push(
            Problem::new(document.tree.key_at(path), "nobody gives out the certificate")
                .label("needs cert-manager")
                .help("add `cert-manager: {}` to the add-ons: its `own-ca` needs no internet"),
        ),
        Some(settings) if settings.acme.is_none() && named.is_some_and(|name| name.starts_with("acme-")) => {
            problems.push(
                Problem::new(document.tree.at(&[path, &["issuer"]].concat()), "the issuer is not there")
                    .label("comes with `acme`")
                    .help("add `acme` to the settings of cert-manager, or take `own-ca`"),
            )
        }
        _ => {}
    }
}

/// Whether one of the add-ons makes volumes for claims that name no storage class.
fn has_default_class(inventory: &Inventory) -> bool {
    let longhorn = inventory.addons.longhorn.as_ref().is_some_and(|longhorn| longhorn.default_class);
    let nfs = inventory.addons.nfs_provisioner.as_ref().is_some_and(|nfs| nfs.default_class != Some(false));
    longhorn || nfs
}

const NO_DEFAULT_CLASS: &str = "no add-on has a default storage class";
const NAME_A_CLASS: &str = "name a `storage_class`, or install Longhorn or the NFS provisioner";
