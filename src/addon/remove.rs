//! An add-on taken away: what hoist installed, and nothing that others keep there.

use serde_json::Value;

use super::{
    Definition, Installed, Observed, Record, Status,
    helm::{Helm, Said},
    identity::stays,
    release::ADDON,
};
use crate::{
    artifact::File,
    kube::{self, Api, Declared, Kind, name_of},
    transport::{self, Host},
};

const NAMESPACE: Kind = Kind::new("v1", "Namespace");

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
    /// What would go and what would stay of an add-on in these [`spaces`]. `namespaces` takes all of them along, with
    /// everything in them.
    pub fn of(
        name: &str,
        spaces: &[String],
        observed: &Observed,
        known: Option<&Definition>,
        namespaces: bool,
    ) -> Removal {
        let mut removal = Removal::default();
        let namespace = spaces.first().map(String::as_str).unwrap_or_default();
        if let Some(release) = installed(name, namespace, observed) {
            removal
                .removed
                .push(format!("release {namespace}/{name} (chart {} {})", release.chart, release.version));
            removal.removed.extend(data(release));
        }
        let is_space = |space: &str| spaces.iter().any(|known| known == space);
        for object in observed.record(namespace, name).into_iter().flat_map(|record| &record.objects) {
            let metadata = &object["metadata"];
            let named = metadata["name"].as_str().unwrap_or_default();
            // Spaces are told of below.
            if object["kind"] == "Namespace" && is_space(named) {
                continue;
            }
            let goes_along = namespaces && metadata["namespace"].as_str().is_some_and(is_space);
            let list = if stays(object) && !goes_along { &mut removal.kept } else { &mut removal.removed };
            list.push(name_of(object).to_string());
        }
        let list = if namespaces { &mut removal.removed } else { &mut removal.kept };
        list.extend(spaces.iter().map(|space| format!("Namespace {space} and all else in it")));
        if !namespaces {
            removal.kept.push(String::from("volumes and their claims, unless they are named above"));
        }
        removal.kept.push(String::from(
            "CustomResourceDefinitions from the chart's folder `crds`, with their objects",
        ));
        removal.kept.extend(known.into_iter().flat_map(|known| known.kept.iter().cloned()));
        let inside = known.into_iter().flat_map(|known| known.inside.iter().cloned());
        if namespaces { &mut removal.removed } else { &mut removal.kept }.extend(inside);
        removal
    }
}

/// The namespaces of an add-on: that of its release, then those that it declared besides, also when it does so no more. Where
/// it is installed at another place, too, what is there is not meant.
///
/// # Errors
/// When the API server does not answer.
pub async fn spaces(
    api: &Api,
    name: &str,
    namespace: &str,
    observed: &Observed,
) -> Result<Vec<String>, kube::Error> {
    let marked = api.objects(NAMESPACE, None, &format!("{ADDON}={name}")).await?;
    let marked = marked.iter().filter_map(|space| space["metadata"]["name"].as_str());
    let elsewhere: Vec<&Record> = observed
        .records
        .iter()
        .filter(|record| record.addon == name && record.namespace != namespace)
        .collect();
    let declared = |record: &&Record, space: &str| {
        let named = |it: &Value| it["kind"] == "Namespace" && it["metadata"]["name"] == space;
        record.namespace == space || record.objects.iter().any(named)
    };
    let others = marked
        .filter(|space| *space != namespace && installed(name, space, observed).is_none())
        .filter(|space| !elsewhere.iter().any(|record| declared(record, space)));
    Ok([namespace].into_iter().chain(others).map(String::from).collect())
}

/// The release of an add-on, where hoist has installed it. Somebody else's of the same name is not for hoist to touch.
pub(super) fn installed<'a>(name: &str, namespace: &str, observed: &'a Observed) -> Option<&'a Installed> {
    let release = observed.release(namespace, name);
    release.filter(|release| release.status != Status::Gone && release.addon.as_deref() == Some(name))
}

/// What goes with a release and has what others keep in it.
pub(super) fn data(release: &Installed) -> impl Iterator<Item = String> {
    let goes = release.objects.iter().filter(|object| keeps_data(object) && !is_kept(object));
    goes.map(|object| format!("{} with all that is in it", name_of(object)))
}

fn keeps_data(object: &Value) -> bool {
    ["PersistentVolumeClaim", "CustomResourceDefinition", "Namespace"]
        .iter()
        .any(|kind| object["kind"] == *kind)
}

/// Whether Helm leaves it.
fn is_kept(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
}

/// Takes an add-on in these [`spaces`] away, through this control plane.
///
/// # Errors
/// [`Stuck`]; the same again goes on.
pub async fn remove(
    name: &str,
    spaces: &[String],
    namespaces: bool,
    timeout: u32,
    observed: &Observed,
    (api, host, program): (&Api, &dyn Host, Option<&File>),
) -> Result<(), Stuck> {
    let Some((namespace, others)) = spaces.split_first() else { return Ok(()) };
    if name == "longhorn" {
        let kind = Kind::new("longhorn.io/v1beta2", "Setting");
        let flag = api.object(kind, Some(namespace), "deleting-confirmation-flag").await?;
        if flag.is_some_and(|flag| flag["value"] != "true") {
            return Err(Stuck::Guarded { namespace: namespace.clone() });
        }
    }
    let record = observed.record(namespace, name);
    // What needs the chart's kinds and webhooks goes while they are there.
    let objects =
        record.into_iter().flat_map(|record| record.objects.iter().rev()).filter(|object| !stays(object));
    let declared = Declared { namespace: namespace.clone(), objects: objects.cloned().collect() };
    let owner = (ADDON, name);
    api.delete_declared(&declared, owner).await?;
    if let Some(release) = installed(name, namespace, observed) {
        let helm = Helm::ready(host, program.ok_or(Stuck::NoHelm)?, None, &|_| {}).await?;
        let Said { status, lines } = helm.uninstall(release, timeout).await?;
        if status != 0 {
            return Err(Stuck::Helm { status, lines });
        }
    }
    // The record last: without it nobody would know what is left if this is killed.
    for space in others.iter().filter(|_| namespaces) {
        api.delete(NAMESPACE, None, space).await?;
    }
    if let Some(record) = record {
        let declared = Declared { namespace: namespace.clone(), objects: vec![record.object()] };
        api.delete_declared(&declared, owner).await?;
    }
    if namespaces {
        api.delete(NAMESPACE, None, namespace).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        gate::testing::Cluster,
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
            ..Record::default()
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
        let removal = Removal::of("web", &["site".into()], &observed(Some("web"), objects), None, false);
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
        let removal = Removal::of("web", &["site".into()], &observed(None, vec![]), None, false);
        assert_eq!(removal.removed, ["ConfigMap notes"]);
    }

    /// The record of an add-on that has made a namespace for a client, and one that somebody else made.
    fn clients(cluster: &mut Cluster) -> Observed {
        let space = |name: &str, addon: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {ADDON: addon}}});
        for (name, addon) in
            [("monitoring", "monitoring"), ("tig", "monitoring"), ("old", "monitoring"), ("shop", "web")]
        {
            cluster.put(space(name, addon));
        }
        let claim = |name: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                                        "metadata": {"name": name, "namespace": "tig", "labels": {ADDON: "monitoring"}}})
        };
        cluster.put(claim("database"));
        let record = Record {
            addon: "monitoring".into(),
            namespace: "monitoring".into(),
            objects: vec![space("tig", "monitoring"), claim("database")],
            ..Record::default()
        };
        cluster.put(record.object());
        Observed { releases: Vec::new(), records: vec![record] }
    }

    #[tokio::test]
    async fn namespaces_of_clients_stay_or_go_and_are_named_either_way() {
        let mut cluster = Cluster::new(&["cp1"]).await;
        let observed = clients(&mut cluster);
        let spaces = spaces(cluster.bench("").api, "monitoring", "monitoring", &observed).await.unwrap();
        assert_eq!(spaces, ["monitoring", "old", "tig"]);
        let mut known = crate::addon::desired::tests::nothing("monitoring", "monitoring").definition;
        known.inside = vec!["the volumes of databases".into()];
        let all = spaces.iter().map(|space| format!("Namespace {space} and all else in it"));
        let all: Vec<String> = all.collect();
        let stay = Removal::of("monitoring", &spaces, &observed, Some(&known), false);
        assert_eq!(stay.removed, Vec::<String>::new());
        let kept = |what: &str| stay.kept.iter().any(|kept| kept == what);
        assert!(
            all.iter().all(|space| kept(space)) && kept("PersistentVolumeClaim tig/database"),
            "{stay:?}"
        );
        assert!(kept("the volumes of databases"), "{stay:?}");
        let go = Removal::of("monitoring", &spaces, &observed, Some(&known), true);
        let expected =
            [&["PersistentVolumeClaim tig/database".to_owned()], &all[..], &known.inside[..]].concat();
        assert_eq!(go.removed, expected);
        assert!(!go.kept.iter().any(|kept| kept.contains("tig")), "{go:?}");
    }

    #[tokio::test]
    async fn what_the_same_add_on_has_at_another_place_is_not_meant() {
        let mut cluster = Cluster::new(&["cp1"]).await;
        let mut observed = clients(&mut cluster);
        // It was moved from `old`, and made the clients' namespaces its own.
        let before = Record { addon: "monitoring".into(), namespace: "old".into(), ..Record::default() };
        observed.records.push(before);
        let api = cluster.bench("").api;
        assert_eq!(spaces(api, "monitoring", "old", &observed).await.unwrap(), ["old"]);
        assert_eq!(spaces(api, "monitoring", "monitoring", &observed).await.unwrap(), ["monitoring", "tig"]);
    }

    #[tokio::test]
    async fn namespaces_go_only_when_that_is_asked_for() {
        for (asked, left) in [(false, vec!["monitoring", "old", "shop", "tig"]), (true, vec!["shop"])] {
            let mut cluster = Cluster::new(&["cp1"]).await;
            let observed = clients(&mut cluster);
            let (bench, host) = (cluster.bench(""), &cluster.hosts["cp1"]);
            let spaces = spaces(bench.api, "monitoring", "monitoring", &observed).await.unwrap();
            remove("monitoring", &spaces, asked, 60, &observed, (bench.api, &**host, None)).await.unwrap();
            let found = bench.api.objects(NAMESPACE, None, "").await.unwrap();
            let names: Vec<&str> = found.iter().filter_map(|it| it["metadata"]["name"].as_str()).collect();
            assert_eq!(names, left);
            assert_eq!(cluster.has_no("PersistentVolumeClaim"), asked);
            assert!(cluster.has_no("ConfigMap"), "the record is gone");
        }
    }
}
