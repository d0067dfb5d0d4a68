//! metrics-server.

use miette::Severity;

use super::asked;
use crate::{
    inventory::Inventory,
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    if inventory.addons.metrics_server.is_some() && !inventory.cluster.security.kubelet_certificates {
        let place = document.tree.at(&["cluster", "security", "kubelet_certificates"]);
        problems.push(
            Problem::new(
                asked(document, "metrics-server"),
                "metrics-server cannot tell kubelets from others",
            )
            .label("takes any certificate (--kubelet-insecure-tls)")
            .also(place, "kubelets have certificates that nobody has signed")
            .help("leave `cluster.security.kubelet_certificates` on")
            .severity(Severity::Warning),
        );
    }
}
