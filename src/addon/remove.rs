//! An add-on taken away: what hoist installed, and nothing that others keep there.

use serde_json::Value;

use super::{
    Definition, Installed, Observed, Status,
    difference::stays,
    helm::{Helm, Said},
    release::ADDON,
};
use crate::{
    artifact::File,
    cluster::Way,
    kube::{self, Api, Declared, Kind, name_of},
    transport,
};

/// What a removal takes away, and what it leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    pub removed: Vec<String>,
    pub kept: Vec<String>,
}

/// Why an add-on is still there.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Stuck {
    #[error("helm ended with status {status}: {}", lines.join("\n"))]
    #[diagnostic(help("mend what is named, then run the same again"))]
    Helm { status: i32, lines: Vec<String> },
    #[error("Longhorn refuses to go: all volumes with their data would go with it; nothing was changed")]
    #[diagnostic(help(
        "where that is meant: `kubectl -n {namespace} patch settings.longhorn.io deleting-confirmation-flag --type merge \
         -p '{{\"value\": \"true\"}}'`, then run the same again"
    ))]
    Guarded { namespace: String },
    #[error("there is no helm among the artifacts")]
    #[diagnostic(help("`hoist lock --fetch` gets it, from Kubernetes 1.31 on"))]
    NoHelm,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),
}

impl Removal {
    /// What would go and what would stay. `namespaces` takes the namespace along, with everything in it.
    pub fn of(
        name: &str,
        namespace: &str,
        observed: &Observed,
        known: Option<&Definition>,
        namespaces: bool,
    ) -> Removal {
        let mut removal = Removal::default();
        if let Some(release) = installed(name, namespace, observed) {
            removal
                .removed
                .push(format!("release {namespace}/{name} (chart {} {})", release.chart, release.version));
            let goes = release.objects.iter().filter(|object| keeps_data(object) && !is_kept(object));
            removal.removed.extend(goes.map(|object| format!("{} with all that is in it", name_of(object))));
        }
        for object in observed.record(namespace, name).into_iter().flat_map(|record| &record.objects) {
            let list = if stays(object) { &mut removal.kept } else { &mut removal.removed };
            list.push(name_of(object).to_string());
        }
        let own = format!("Namespace {namespace}");
        removal.kept.retain(|kept| *kept != own);
        let list = if namespaces { &mut removal.removed } else { &mut removal.kept };
        list.push(format!("{own} and all else in it"));
        if !namespaces {
            removal.kept.push(String::from("volumes and their claims, unless they are named above"));
        }
        removal.kept.push(String::from(
            "CustomResourceDefinitions from the chart's folder `crds`, with their objects",
        ));
        removal.kept.extend(known.into_iter().flat_map(|known| known.kept.iter().cloned()));
        removal
    }
}

/// The release of an add-on, where hoist has installed it. Somebody else's of the same name is not for hoist to touch.
fn installed<'a>(name: &str, namespace: &str, observed: &'a Observed) -> Option<&'a Installed> {
    let release = observed.release(namespace, name);
    release.filter(|release| release.status != Status::Gone && release.addon.as_deref() == Some(name))
}

fn keeps_data(object: &Value) -> bool {
    object["kind"] == "PersistentVolumeClaim" || object["kind"] == "CustomResourceDefinition"
}

/// Whether Helm leaves it.
fn is_kept(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
}

/// Takes an add-on away, through this control plane.
///
/// # Errors
/// [`Stuck`]; the same again goes on.
pub async fn remove(
    name: &str,
    namespace: &str,
    namespaces: bool,
    timeout: u32,
    observed: &Observed,
    (api, way, program): (&Api, &Way, Option<&File>),
) -> Result<(), Stuck> {
    if name == "longhorn" {
        let kind = Kind::new("longhorn.io/v1beta2", "Setting");
        let flag = api.object(kind, Some(namespace), "deleting-confirmation-flag").await?;
        if flag.is_some_and(|flag| flag["value"] != "true") {
            return Err(Stuck::Guarded { namespace: namespace.to_owned() });
        }
    }
    let record = observed.record(namespace, name);
    // What needs the chart's kinds and webhooks goes while they are there.
    let objects =
        record.into_iter().flat_map(|record| record.objects.iter().rev()).filter(|object| !stays(object));
    let declared = Declared { namespace: namespace.to_owned(), objects: objects.cloned().collect() };
    let owner = (ADDON, name);
    api.delete_declared(&declared, owner).await?;
    if let Some(release) = installed(name, namespace, observed) {
        let helm = Helm::ready(&*way.host, program.ok_or(Stuck::NoHelm)?, None, &|_| {}).await?;
        let Said { status, lines } = helm.uninstall(release, timeout).await?;
        if status != 0 {
            return Err(Stuck::Helm { status, lines });
        }
    }
    if let Some(record) = record {
        let declared = Declared { namespace: namespace.to_owned(), objects: vec![record.object()] };
        api.delete_declared(&declared, owner).await?;
    }
    if namespaces {
        api.delete(Kind::new("v1", "Namespace"), None, namespace).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        observed::Record,
        release::{self, tests::stored},
    };

    fn observed(addon: Option<&str>, objects: Vec<Value>) -> Observed {
        let mut releases = release::releases(&[stored("web", 3, "deployed", json!({}))]).unwrap();
        releases[0].addon = addon.map(String::from);
        releases[0].objects = objects;
        let configured = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}});
        let kept = json!({"apiVersion": "v1", "kind": "Secret",
                          "metadata": {"name": "admin", "annotations": {"hoist.dev/keep": "true"}}});
        let record = Record {
            addon: "web".into(),
            namespace: "site".into(),
            objects: vec![configured, kept],
            proven: None,
        };
        Observed { releases, records: vec![record] }
    }

    #[test]
    fn a_removal_names_the_data_that_goes_with_the_chart_and_what_stays() {
        let object = |kind: &str, name: &str, policy: Option<&str>| {
            json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "annotations": {"helm.sh/resource-policy": policy}}})
        };
        let objects = vec![
            object("PersistentVolumeClaim", "data", None),
            object("PersistentVolumeClaim", "saved", Some("keep")),
            object("CustomResourceDefinition", "pools.example.com", None),
            object("Service", "web", None),
        ];
        let removal = Removal::of("web", "site", &observed(Some("web"), objects), None, false);
        assert_eq!(
            removal.removed,
            [
                "release site/web (chart web 1.0.0)",
                "PersistentVolumeClaim data with all that is in it",
                "CustomResourceDefinition pools.example.com with all that is in it",
                "ConfigMap notes",
            ]
        );
        assert!(removal.kept.iter().any(|kept| kept == "Secret admin"), "{:?}", removal.kept);
    }

    #[test]
    fn the_release_of_somebody_else_is_left_alone() {
        let removal = Removal::of("web", "site", &observed(None, vec![]), None, false);
        assert_eq!(removal.removed, ["ConfigMap notes"]);
    }
}
