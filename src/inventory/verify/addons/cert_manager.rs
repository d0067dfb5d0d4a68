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
        && document.is_whole(&["addons"])
        && acme.ingress_class.is_none()
        && acme.gateway.is_none()
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
    let acme = settings.acme.as_ref().filter(|acme| acme.gateway.is_some());
    let place = at(&["acme", "gateway"]);
    if acme.is_some() && !settings.gateway_api {
        problems.push(
            Problem::new(place, "cert-manager makes no routes for a Gateway")
                .label("needs `gateway_api`")
                .help("add `gateway_api: true` to `cert-manager`; that of `cilium` brings the Gateway API to the cluster"),
        );
    }
    if acme.is_some_and(|acme| acme.ingress_class.is_some()) {
        problems.push(
            Problem::new(place, "the ACME authority can be answered over HTTP in one way only")
                .label("one")
                .also(at(&["acme", "ingress_class"]), "the other")
                .help("remove the one by which names are not reached any more"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory;

    /// What is said of these settings.
    fn said(settings: &str) -> String {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.36.2\"}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane, worker]}}}}\n\
             addons: {{cert-manager: {{{settings}}}}}\n"
        );
        inventory::parse("test", &text).err().map(|error| format!("{error:?}")).unwrap_or_default()
    }

    #[test]
    fn a_gateway_needs_its_api_and_stands_alone() {
        let gateway = "gateway: {name: web, namespace: edge}";
        assert_eq!(said(&format!("gateway_api: true, acme: {{email: a@b.de, {gateway}}}")), "");
        let without = said(&format!("acme: {{email: a@b.de, {gateway}}}"));
        assert!(without.contains("cert-manager makes no routes for a Gateway"), "{without}");
        let both =
            said(&format!("gateway_api: true, acme: {{email: a@b.de, ingress_class: nginx, {gateway}}}"));
        assert!(both.contains("in one way only"), "{both}");
    }
}
