//! ingress-nginx.

use miette::Severity;

use super::{address_of_a_pool, asked, issuer};
use crate::{
    inventory::{
        Inventory,
        addons::{DefaultCertificate, Exposure, Workload},
    },
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let addons = &document.value.addons;
    let Some(settings) = &addons.ingress_nginx else { return };
    let path = |key| ["addons", "ingress-nginx", key];
    let at = |key| document.tree.at(&path(key));
    // https://kubernetes.io/blog/2025/11/11/ingress-nginx-retirement/
    problems.push(
        Problem::new(asked(document, "ingress-nginx"), "nobody maintains ingress-nginx since March 2026")
            .label("its project has ended")
            .severity(Severity::Warning)
            .help(
                "holes that are found in it stay open. For new applications use the Gateway API, through Cilium; \
                 docs/addons.md says how both run side by side",
            ),
    );
    let default = match addons.metallb {
        Some(_) => Exposure::LoadBalancer,
        None => Exposure::HostPort,
    };
    let expose = settings.expose.unwrap_or(default);
    if expose == Exposure::HostPort && settings.kind == Workload::Deployment {
        problems.push(
            Problem::new(at("kind"), "a deployment would fight over the ports of the nodes")
                .label("with `host-port`")
                .help("take `daemon-set`, or another way to `expose` it"),
        );
    }
    if let Some(replicas) = settings.replicas
        && settings.kind == Workload::DaemonSet
    {
        problems.push(
            Problem::new(at("replicas"), format!("{replicas} replicas have no effect"))
                .label("a daemon set runs on every worker")
                .severity(Severity::Warning)
                .help("add `kind: deployment`, or remove it"),
        );
    }
    address_of_a_pool(
        document,
        &path("address"),
        settings.address,
        expose == Exposure::LoadBalancer,
        problems,
    );
    if settings.expose == Some(Exposure::LoadBalancer) && addons.metallb.is_none() {
        problems.push(super::nobody_gives_addresses(at("expose")));
    }
    if let Some(DefaultCertificate::Issued(issued)) = &settings.default_certificate {
        let path = ["addons", "ingress-nginx", "default_certificate", "issued"];
        issuer(document, &path, issued.issuer.as_deref(), problems);
    }
}
