//! Prometheus, Alertmanager and Grafana.

use miette::Severity;

use super::{NAME_A_CLASS, NO_DEFAULT_CLASS, asked, has_default_class};
use crate::{
    inventory::{Inventory, Scraped},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    // What is left out for a mistake is not missing.
    let Some(prometheus) = inventory.addons.prometheus.as_ref().filter(|_| document.is_whole(&["addons"]))
    else {
        return;
    };
    let at = |path: &[&str]| document.tree.at(&[&["addons", "prometheus"], path].concat());
    if prometheus.volume.is_none() {
        problems.push(
            Problem::new(asked(document, "prometheus"), "what Prometheus measures is lost with its pod")
                .label("has no volume")
                .help("give it a `volume`, such as 50Gi")
                .severity(Severity::Warning),
        );
    }
    let volumes =
        [(&prometheus.volume, vec!["volume"]), (&prometheus.grafana.volume, vec!["grafana", "volume"])];
    let wanted = volumes.into_iter().find(|(size, _)| size.is_some());
    if let Some((_, path)) = wanted
        && prometheus.storage_class.is_none()
        && !has_default_class(inventory)
    {
        problems.push(
            Problem::new(at(&path), "nothing makes this volume").label(NO_DEFAULT_CLASS).help(NAME_A_CLASS),
        );
    }
    if let Some(email) = &prometheus.alerts.email
        && email.user.is_some() != email.password.is_some()
    {
        let (there, missing) = if email.user.is_some() { ("user", "password") } else { ("password", "user") };
        problems.push(
            Problem::new(at(&["alerts", "email", there]), format!("a login without a {missing}"))
                .label(format!("needs `{missing}`"))
                .help("say both, or neither where the server wants no login"),
        );
    }
    let bound = inventory.cluster.kube_proxy.get("metricsBindAddress").and_then(|value| value.as_str());
    let elsewhere =
        bound.is_some_and(|address| !address.starts_with("127.") && !address.starts_with("localhost"));
    if prometheus.scrape.contains(&Scraped::KubeProxy) && !elsewhere {
        problems.push(
            Problem::new(at(&["scrape"]), "kube-proxy gives its measurements on 127.0.0.1 only")
                .label("cannot be scraped")
                .help("write `kube_proxy: {metricsBindAddress: 0.0.0.0}` under `cluster`, or take it out"),
        );
    }
}
