//! cert-manager.

use crate::{
    inventory::{Inventory, addons::OWN_CA},
    yaml::{Document, Problem, listed},
};

/// The issuers that come with `acme`.
const ACME: [&str; 2] = ["acme-staging", "acme-production"];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let addons = &document.value.addons;
    let Some(settings) = &addons.cert_manager else { return };
    let at = |path: &[&str]| document.tree.at(&[&["addons", "cert-manager"], path].concat());
    // A part with a mistake was left out.
    let said = document.tree.get(&["addons", "cert-manager", "acme"]).is_some();
    if ACME.contains(&settings.default_issuer.as_str()) && !said {
        problems.push(
            Problem::new(
                at(&["default_issuer"]),
                format!("the issuer `{}` is not there", settings.default_issuer),
            )
            .label("comes with `acme`")
            .help(format!("add `acme: {{email: …}}`, or take `{OWN_CA}`, which needs no internet")),
        );
    }
    if let Some(acme) = &settings.acme
        && document.complete
        && acme.ingress_class.is_none()
        && addons.ingress_nginx.is_none()
        && acme.cloudflare.is_none()
        && acme.route53.is_none()
    {
        let ways = ["`ingress_class` (HTTP)", "`cloudflare`", "`route53` (DNS)"];
        problems.push(
            Problem::new(
                document.tree.key_at(&["addons", "cert-manager", "acme"]),
                "nobody can show the ACME authority whose the names are",
            )
            .label("without an ingress class or a DNS provider")
            .help(format!("add {}, or install ingress-nginx", listed(ways, "or"))),
        );
    }
}
