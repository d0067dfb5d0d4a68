//! Two default storage classes: a claim that names none would get either of them.

use serde_json::Value;

use crate::{
    addon::{Desired, Error, release::ADDON},
    inventory::chart_of,
    kube::{Api, Kind},
};

const CLASS: Kind = Kind::new("storage.k8s.io/v1", "StorageClass");
/// The second is what it was called before Kubernetes 1.6; the API server heeds it still.
const MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Longhorn makes its class itself, by this name and with this driver.
const LONGHORN: (&str, &str) = ("longhorn", "driver.longhorn.io");

/// Looks whether these add-ons would make a default storage class beside one of somebody else. Gives what is worth a word
/// where both are there already.
///
/// # Errors
/// [`Error::Mistakes`] where one of them is only about to be made, and when the API server does not answer.
pub async fn classes(api: &Api, desired: &[Desired]) -> Result<Vec<String>, Error> {
    if !desired.iter().any(makes_class) {
        return Ok(Vec::new());
    }
    judge(desired, &api.objects(CLASS, None, "").await?)
}

/// Whether an add-on makes a default storage class.
pub fn makes_class(desired: &Desired) -> bool {
    !made(desired).is_empty()
}

fn judge(desired: &[Desired], classes: &[Value]) -> Result<Vec<String>, Error> {
    let wanted: Vec<(&Desired, String)> = desired
        .iter()
        .flat_map(|desired| made(desired).into_iter().map(move |name| (desired, name)))
        .collect();
    let (mut told, mut mistakes) = (Vec::new(), Vec::new());
    if let [(one, _), (other, _), ..] = wanted.as_slice() {
        mistakes.push(format!(
            "{} and {} would each make a default storage class: {}",
            one.name,
            other.name,
            fix(other)
        ));
    }
    let live =
        |name: &str| classes.iter().any(|class| class["metadata"]["name"] == name && is_default(class));
    let strangers = classes.iter().filter(|class| is_default(class));
    let strangers: Vec<&Value> =
        strangers.filter(|class| !desired.iter().any(|desired| is_of(class, desired))).collect();
    for (desired, class) in &wanted {
        for stranger in &strangers {
            let name = stranger["metadata"]["name"].as_str().unwrap_or_default();
            let there = format!("`{name}` ({})", stranger["provisioner"].as_str().unwrap_or_default());
            let way = format!(
                "{}, or take the mark from the other: `kubectl annotate --overwrite storageclass {name} {}=false`",
                fix(desired),
                mark(stranger).unwrap_or(MARKS[0])
            );
            if live(class) {
                told.push(format!(
                    "{}: beside its default storage class `{class}` there is another one, {there}: {way}",
                    desired.name
                ));
            } else {
                mistakes.push(format!(
                    "{} would make a second default storage class, `{class}`, beside {there}, which is in the cluster \
                     already: {way}",
                    desired.name
                ));
            }
        }
    }
    if mistakes.is_empty() { Ok(told) } else { Err(Error::Mistakes { mistakes }) }
}

/// The default classes that an add-on makes, as far as its values or its manifests say so. What an own chart makes nobody
/// knows.
fn made(desired: &Desired) -> Vec<String> {
    let declared = desired.before.objects.iter().chain(&desired.manifests.objects);
    let declared = declared.filter(|object| object["kind"] == CLASS.kind && is_default(object));
    let mut names: Vec<String> =
        declared.filter_map(|class| class["metadata"]["name"].as_str()).map(String::from).collect();
    if let Some(release) = &desired.release {
        let values = |part: &str, key: &str| release.values.get(part).map(|part| &part[key]);
        let name = match release.chart.name.as_str() {
            "longhorn" if values("persistence", "defaultClass") == Some(&Value::Bool(true)) => {
                Some(LONGHORN.0)
            }
            chart if chart == chart_of("nfs-provisioner") => {
                let is_default = values("storageClass", "defaultClass") == Some(&Value::Bool(true));
                values("storageClass", "name").and_then(Value::as_str).filter(|_| is_default)
            }
            _ => None,
        };
        names.extend(name.map(String::from));
    }
    names
}

/// Whether an add-on has made a class, and so takes its mark away where that is asked for.
fn is_of(class: &Value, desired: &Desired) -> bool {
    let metadata = &class["metadata"];
    let annotated = |key: &str, value: &str| metadata["annotations"][key] == value;
    let release = annotated("meta.helm.sh/release-name", &desired.name)
        && annotated("meta.helm.sh/release-namespace", &desired.definition.namespace);
    let longhorn =
        desired.name == LONGHORN.0 && metadata["name"] == LONGHORN.0 && class["provisioner"] == LONGHORN.1;
    release || longhorn || metadata["labels"][ADDON] == desired.name.as_str()
}

fn is_default(class: &Value) -> bool {
    mark(class).is_some()
}

fn mark(class: &Value) -> Option<&'static str> {
    MARKS.into_iter().find(|mark| class["metadata"]["annotations"][*mark] == "true")
}

fn fix(desired: &Desired) -> String {
    match desired.name.as_str() {
        name @ ("longhorn" | "nfs-provisioner") => format!("set `default_class: false` in `addons.{name}`"),
        name => format!("take the annotation {} out of the class of {name}", MARKS[0]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        desired::tests::{chart, nothing},
        gate::testing::Cluster,
    };

    fn longhorn(default: bool) -> Desired {
        let mut desired = nothing("longhorn", "longhorn-system");
        desired.release =
            Some(chart("longhorn", "1.12.0", json!({"persistence": {"defaultClass": default}})));
        desired
    }

    fn nfs(default: bool) -> Desired {
        let mut desired = nothing("nfs-provisioner", "nfs-provisioner");
        let values = json!({"storageClass": {"name": "nfs", "defaultClass": default}});
        desired.release = Some(chart("nfs-subdir-external-provisioner", "4.0.18", values));
        desired
    }

    /// As `kubectl get storageclass -o json` shows those of Rancher's local-path provisioner, Longhorn and Helm releases.
    fn class(name: &str, provisioner: &str, annotations: Value) -> Value {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
               "metadata": {"name": name, "annotations": annotations, "uid": "8b0d8a0e", "resourceVersion": "311"},
               "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"})
    }

    async fn seen(desired: &[Desired], classes: &[Value]) -> Result<Vec<String>, String> {
        let mut cluster = Cluster::new(&["cp1"]).await;
        for class in classes {
            cluster.put(class.clone());
        }
        super::classes(cluster.bench("").api, desired).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_default_class_of_somebody_else_stops_one_that_would_be_made() {
        for mark in MARKS {
            let local = class("local-path", "rancher.io/local-path", json!({mark: "true"}));
            let refusal = seen(&[longhorn(true)], std::slice::from_ref(&local)).await.unwrap_err();
            assert_eq!(
                refusal,
                format!(
                    "add-ons cannot be installed as they are asked for: longhorn would make a second default storage \
                     class, `longhorn`, beside `local-path` (rancher.io/local-path), which is in the cluster already: set \
                     `default_class: false` in `addons.longhorn`, or take the mark from the other: `kubectl annotate \
                     --overwrite storageclass local-path {mark}=false`"
                )
            );
            assert_eq!(seen(&[longhorn(false)], std::slice::from_ref(&local)).await, Ok(vec![]));
            assert!(seen(&[nfs(true)], &[local]).await.unwrap_err().contains("`addons.nfs-provisioner`"));
        }
        let unmarked = class("local-path", "rancher.io/local-path", json!({MARKS[0]: "false"}));
        assert_eq!(seen(&[longhorn(true)], &[unmarked]).await, Ok(vec![]));
        assert_eq!(seen(&[longhorn(true)], &[]).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn the_add_ons_own_class_is_none_of_somebody_else() {
        let own = class("longhorn", LONGHORN.1, json!({MARKS[0]: "true"}));
        assert_eq!(seen(&[longhorn(true)], std::slice::from_ref(&own)).await, Ok(vec![]));
        // The mark goes from one to the other in the same run.
        assert_eq!(seen(&[longhorn(false), nfs(true)], std::slice::from_ref(&own)).await, Ok(vec![]));
        let release = json!({MARKS[0]: "true", "meta.helm.sh/release-name": "nfs-provisioner",
                             "meta.helm.sh/release-namespace": "nfs-provisioner"});
        let nfs_class = class("nfs", "cluster.local/nfs", release);
        assert_eq!(seen(&[longhorn(true), nfs(false)], std::slice::from_ref(&nfs_class)).await, Ok(vec![]));
        // Nobody takes it from a class whose add-on is not wanted any more.
        assert!(seen(&[longhorn(true)], &[nfs_class]).await.unwrap_err().contains("beside `nfs`"));
        let both = [own, class("local-path", "rancher.io/local-path", json!({MARKS[0]: "true"}))];
        let told = seen(&[longhorn(true)], &both).await.unwrap();
        assert!(told.len() == 1 && told[0].contains("there is another one, `local-path`"), "{told:?}");
    }

    #[tokio::test]
    async fn a_manifest_counts_as_well_as_values_and_two_of_the_inventory_are_too_many() {
        let mut own = nothing("disks", "disks");
        own.manifests.objects = vec![class("fast", "csi.example.com", json!({MARKS[0]: "true"}))];
        let refusal = seen(&[longhorn(true), own.clone()], &[]).await.unwrap_err();
        assert!(refusal.contains("longhorn and disks would each make a default storage class"), "{refusal}");
        let mut there = class("fast", "csi.example.com", json!({MARKS[0]: "true"}));
        there["metadata"]["labels"] = json!({ADDON: "disks"});
        assert_eq!(seen(&[own], &[there]).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn nobody_is_asked_where_nothing_is_made() {
        let cluster = Cluster::new(&["cp1"]).await.without("storage.k8s.io/v1");
        let found = super::classes(cluster.bench("").api, &[nothing("web", "site")]).await.unwrap();
        assert_eq!(found, Vec::<String>::new());
    }
}
