//! What differs between an add-on as it shall be and as it is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Desired, Error, Installed, KEEP, Observed, Release, Secret, Status,
    gate::{Gate, gate},
    observed::labels,
    release::ADDON,
    remove,
    shown::{sorted, values_change},
    values::strip_nulls,
};
use crate::{
    kube::{self, Api, Declared, name_of},
    task::{Change, Detail, sha256},
};

/// How an add-on is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything is as it shall be.
    Installed,
    /// Nothing of it is there.
    Missing,
    /// Something differs.
    Different,
    /// The last helm was killed.
    Stuck,
    /// The last helm failed.
    Failed,
}

impl State {
    /// In words for people and programs.
    pub fn words(self) -> &'static str {
        match self {
            State::Installed => "installed",
            State::Missing => "not installed",
            State::Different => "differs",
            State::Stuck => "stuck",
            State::Failed => "failed",
        }
    }
}

/// What has to be done for an add-on.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub state: State,
    /// For people: empty when nothing is to be done.
    pub changes: Vec<Change>,
    /// Whether helm has to run.
    pub(super) release: bool,
    /// Whether its release has to go: its chart is not declared any more.
    pub(super) uninstall: bool,
    /// Objects that are not declared any more.
    pub(super) pruned: Vec<Value>,
    /// Whether gates have to be passed.
    pub(super) prove: bool,
}

impl Difference {
    /// Of an add-on in a cluster that there is not yet.
    pub fn ahead(desired: &Desired) -> Difference {
        let mut difference = new(State::Missing);
        difference.changes.extend(desired.release.as_ref().map(|release| install(desired, release)));
        let objects = desired
            .before
            .objects
            .iter()
            .chain(&desired.manifests.objects)
            .map(|object| name_of(object).to_string());
        let secrets = desired.secrets.iter().map(|secret| format!("Secret {}", secret.name));
        difference.changes.extend(secrets.chain(objects).map(|name| Change::new(format!("apply {name}"))));
        difference.prove(desired, &[]);
        let after = Detail::KnownAfter {
            what: String::from("its state"),
            after: String::from("the cluster is there"),
        };
        if let Some(first) = difference.changes.first_mut() {
            first.details.push(after);
        }
        difference
    }

    /// Of an add-on that the API server does not take as it shall be: the others are compared all the same.
    pub fn refused(error: &kube::Error) -> Difference {
        let mut difference = new(State::Different);
        difference.changes.push(Change::new(format!("this is refused as it is asked for: {error}")));
        difference
    }

    /// Compares an add-on with what the cluster has.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses to say.
    pub async fn find(api: &Api, desired: &Desired, observed: &Observed) -> Result<Difference, Error> {
        let (namespace, name) = (&desired.definition.namespace, &desired.name);
        let installed = observed.release(namespace, name).filter(|release| release.status != Status::Gone);
        let record = observed.record(namespace, name);
        let mut difference = new(match (installed.map(|release| release.status), record) {
            (Some(Status::Pending), _) => State::Stuck,
            (Some(Status::Failed), _) => State::Failed,
            (None, None) => State::Missing,
            _ => State::Installed,
        });
        if let Some(wanted) = &desired.release {
            match installed {
                None => difference.changes.push(install(desired, wanted)),
                Some(installed) => difference.changes.extend(release_changes(wanted, installed)),
            }
            if let Some(installed) = installed.filter(|_| difference.changes.is_empty()) {
                let declared = Declared { namespace: namespace.clone(), objects: installed.objects.clone() };
                difference.changes.extend(api.drift(&declared).await?.iter().map(mend));
            }
            difference.release = !difference.changes.is_empty();
        } else if let Some(left) = remove::installed(name, namespace, observed) {
            difference.changes.extend(leave(left));
            difference.uninstall = true;
        }
        let found = secrets(api, desired).await?;
        let secrets = declared_secrets(desired, &found);
        for declared in
            [&secrets, &labelled(desired, &desired.before), &labelled(desired, &desired.manifests)]
        {
            for found in api.diff_declared(declared).await? {
                match found.change {
                    kube::Change::Unchanged => {}
                    kube::Change::Created => {
                        difference.changes.push(with_diff(format!("make {}", found.object), found.diff))
                    }
                    kube::Change::Changed => {
                        difference.changes.push(with_diff(format!("change {}", found.object), found.diff))
                    }
                }
            }
        }
        difference.changes.extend(found.iter().filter_map(make_up));
        if let Some(record) = record {
            let declared = [&secrets, &desired.before, &desired.manifests];
            let kept = |recorded: &&Value| {
                let mut all = declared.iter().flat_map(|declared| &declared.objects);
                !all.any(|object| is_same(object, namespace, recorded))
            };
            let gone = record.objects.iter().filter(kept).cloned();
            difference.pruned = gone.collect();
            let says = |object: &Value| {
                Change::new(format!(
                    "{} {}: it is not declared any more",
                    if stays(object) { "let go of" } else { "delete" },
                    name_of(object)
                ))
            };
            difference.changes.extend(difference.pruned.iter().map(says));
        }
        // What was mended is used again, too.
        let proven = record.filter(|record| record.proven.as_deref() == Some(&digest(desired)));
        match proven.filter(|_| difference.changes.is_empty()) {
            None => difference.prove(desired, &[]),
            Some(record) => {
                let unproven = unproven(api, desired, &record.nodes).await?;
                if !unproven.is_empty() {
                    difference.prove(desired, &unproven);
                }
            }
        }
        if difference.state == State::Installed && !difference.changes.is_empty() {
            difference.state = State::Different;
        }
        Ok(difference)
    }

    /// With the nodes for which alone it is proven, if so.
    fn prove(&mut self, desired: &Desired, nodes: &[String]) {
        let gates = desired.definition.gates.join(", ");
        if !gates.is_empty() {
            self.prove = true;
            let nodes = match nodes {
                [] => String::new(),
                nodes => format!(", which {} has not seen", nodes.join(", ")),
            };
            self.changes.push(Change::new(format!("prove by use: {gates}{nodes}")));
        }
    }
}

fn new(state: State) -> Difference {
    Difference {
        state,
        changes: Vec::new(),
        release: false,
        uninstall: false,
        pruned: Vec::new(),
        prove: false,
    }
}

/// What goes with a release that nobody declares any more.
fn leave(left: &Installed) -> Vec<Change> {
    let Installed { name, chart, version, .. } = left;
    let summary =
        format!("remove the release {name} (chart {chart} {version}): its chart is not declared any more");
    let data = remove::data(left).map(|data| Change::new(format!("delete {data}: it goes with the release")));
    [Change::new(summary)].into_iter().chain(data).collect()
}

/// Whether something is proven of each node.
pub(super) fn is_of_each_node(desired: &Desired) -> bool {
    desired.definition.gates.iter().filter_map(|name| gate(name)).any(Gate::each_node)
}

/// The nodes of which nothing was proven, where something is of each.
async fn unproven(api: &Api, desired: &Desired, proven: &[String]) -> Result<Vec<String>, Error> {
    if !is_of_each_node(desired) {
        return Ok(Vec::new());
    }
    let nodes = api.nodes().await?.into_iter().map(|node| node.name);
    Ok(nodes.filter(|node| desired.hosts.contains(node) && !proven.contains(node)).collect())
}

fn install(desired: &Desired, release: &Release) -> Change {
    let Release { chart, values } = release;
    let summary =
        format!("install chart {} {} into {}", chart.name, chart.version, desired.definition.namespace);
    values_change(Change::new(summary), &Map::new(), values)
}

fn release_changes(wanted: &Release, installed: &Installed) -> Vec<Change> {
    let Release { chart, values } = wanted;
    let mut changes = Vec::new();
    match installed.status {
        Status::Pending => changes.push(Change::new(format!(
            "repair the release {}: its helm was killed at revision {}",
            installed.name, installed.revision
        ))),
        Status::Failed => changes.push(Change::new(format!(
            "install chart {} {} again: revision {} failed",
            chart.name, chart.version, installed.revision
        ))),
        Status::Deployed | Status::Gone => {}
    }
    if (&installed.chart, &installed.version) != (&chart.name, &chart.version) {
        let from = format!("{} {}", installed.chart, installed.version);
        let to = format!("{} {}", chart.name, chart.version);
        changes.push(
            Change::new(format!("replace the chart of {}", installed.name)).attribute("chart", from, to),
        );
    } else if installed.digest.as_deref() != Some(short(&chart.sha256)) {
        let from = installed.digest.as_deref().unwrap_or("not installed by hoist");
        let change = Change::new(format!("install chart {} {} again", chart.name, chart.version));
        changes.push(change.attribute("digest", from, short(&chart.sha256)));
    }
    let plain = |values: &Map<String, Value>| {
        let mut values = Value::Object(values.clone());
        strip_nulls(&mut values);
        values
    };
    if !same(&plain(values), &plain(&installed.values)) {
        changes.push(values_change(
            Change::new(format!("change the values of {}", installed.name)),
            &installed.values,
            values,
        ));
    }
    changes
}

/// The part of a chart's digest that a label has room for.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..32).unwrap_or(sha256)
}

/// Helm reads all numbers as floating ones.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn mend(found: &kube::Difference) -> Change {
    let what = if found.change == kube::Change::Created { "it is gone" } else { "somebody changed it" };
    with_diff(format!("mend {}: {what}", found.object), found.diff.clone())
}

fn with_diff(summary: String, diff: String) -> Change {
    let mut change = Change::new(summary);
    if !diff.is_empty() {
        change.details.push(Detail::Text { diff });
    }
    change
}

fn make_up(secret: &Secret) -> Option<Change> {
    let keys: Vec<&str> = secret.generate.keys().map(String::as_str).collect();
    (!keys.is_empty()).then(|| Change::new(format!("make up {} of Secret {}", keys.join(", "), secret.name)))
}

/// The Secrets of an add-on with what was made up before.
pub(super) async fn secrets(api: &Api, desired: &Desired) -> Result<Vec<Secret>, kube::Error> {
    futures::future::try_join_all(desired.secrets.iter().map(|secret| secret.found(api))).await
}

/// Secrets as the API server takes them.
pub(super) fn declared_secrets(desired: &Desired, secrets: &[Secret]) -> Declared {
    let labels = labels(&desired.name);
    let objects = secrets.iter().map(|secret| secret.object(&labels)).collect();
    Declared { namespace: desired.definition.namespace.clone(), objects }
}

/// Objects with the labels by which they are found again.
pub(super) fn labelled(desired: &Desired, declared: &Declared) -> Declared {
    let mut declared = declared.clone();
    for object in &mut declared.objects {
        if !object["metadata"]["labels"].is_object() {
            object["metadata"]["labels"] = Value::Object(Map::new());
        }
        let own = &mut object["metadata"]["labels"];
        own[ADDON] = Value::from(desired.name.as_str());
        if own.get("app.kubernetes.io/managed-by").is_none() {
            own["app.kubernetes.io/managed-by"] = Value::from("hoist");
        }
    }
    declared
}

/// Whether a recorded object is the declared one, perhaps in another version of its API. Where the declared one names no
/// namespace, the recorded one is in `namespace` or of a kind that has none.
fn is_same(declared: &Value, namespace: &str, recorded: &Value) -> bool {
    let group = |object: &Value| {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned())
    };
    let (ours, theirs) = (&declared["metadata"], &recorded["metadata"]);
    let place = match (ours["namespace"].as_str(), theirs["namespace"].as_str()) {
        (_, None) => true,
        (ours, Some(theirs)) => ours.unwrap_or(namespace) == theirs,
    };
    place
        && declared["kind"] == recorded["kind"]
        && ours["name"] == theirs["name"]
        && group(declared) == group(recorded)
}

/// What is never deleted by itself: with it goes what others keep there.
pub(super) fn stays(object: &Value) -> bool {
    ["Namespace", "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume"]
        .iter()
        .any(|kind| object["kind"] == *kind)
        || object["metadata"]["annotations"][KEEP] == "true"
}

/// A digest of everything that gates prove. Values of Secrets are not in it.
pub(super) fn digest(desired: &Desired) -> String {
    let release = desired
        .release
        .as_ref()
        .map(|release| (&release.chart.sha256, sorted(&Value::Object(release.values.clone()))));
    let keys = |secret: &Secret| {
        let keys: BTreeSet<String> = secret.data.keys().chain(secret.generate.keys()).cloned().collect();
        (secret.namespace.clone(), secret.name.clone(), keys)
    };
    let secrets: Vec<_> = desired.secrets.iter().map(keys).collect();
    let all = serde_json::json!([
        release,
        desired.before.objects,
        desired.manifests.objects,
        secrets,
        desired.definition.gates
    ]);
    sha256(all.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        Record,
        desired::tests::{chart, nothing},
        gate::testing::Cluster,
        release,
    };

    fn wanted(version: &str, values: Value) -> Release {
        chart("web", version, values)
    }

    fn installed(status: &str, values: Value) -> Installed {
        let mut found = release::releases(&[release::tests::stored("web", 3, status, values)]).unwrap();
        found[0].digest = Some("a".repeat(32));
        found.remove(0)
    }

    fn says(wanted: &Release, installed: &Installed) -> Vec<String> {
        release_changes(wanted, installed).into_iter().map(|change| change.summary).collect()
    }

    #[test]
    fn each_difference_of_a_release_is_a_change() {
        let one = wanted("1.0.0", json!({"port": 80, "none": null}));
        assert_eq!(says(&one, &installed("deployed", json!({"port": 80.0}))), Vec::<String>::new());
        assert_eq!(says(&one, &installed("deployed", json!({"port": 81}))), ["change the values of web"]);
        assert_eq!(
            says(&wanted("1.1.0", json!({})), &installed("deployed", json!({}))),
            ["replace the chart of web"]
        );
        assert!(
            says(&one, &installed("pending-upgrade", json!({"port": 80})))[0]
                .contains("killed at revision 3")
        );
        assert!(says(&one, &installed("failed", json!({"port": 80})))[0].contains("revision 3 failed"));
        let mut other = installed("deployed", json!({"port": 80}));
        other.digest = None;
        assert_eq!(says(&one, &other), ["install chart web 1.0.0 again"]);
    }

    #[test]
    fn an_object_is_the_same_in_another_version_and_not_in_another_namespace() {
        let object = |version: &str, namespace: Option<&str>| json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "a", "namespace": namespace}});
        let recorded = object("apps/v1beta1", Some("n"));
        assert!(is_same(&object("apps/v1", None), "n", &recorded));
        assert!(is_same(&object("apps/v1", Some("n")), "x", &recorded));
        assert!(!is_same(&object("apps/v1", Some("m")), "n", &recorded));
        assert!(!is_same(&object("extensions/v1", None), "n", &recorded));
    }

    #[tokio::test]
    async fn the_release_of_a_chart_that_is_not_declared_any_more_goes_with_its_data() {
        let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}});
        let mut left = installed("deployed", json!({}));
        left.objects.push(claim);
        let mut desired = nothing("web", "site");
        let cluster = Cluster::new(&[]).await;
        let find = async |desired: &Desired, left: &Installed| {
            let observed = Observed { releases: vec![left.clone()], records: Vec::new() };
            let api = cluster.bench("site").api;
            let found = Difference::find(api, desired, &observed).await.unwrap();
            let says: Vec<String> = found.changes.into_iter().map(|change| change.summary).collect();
            (found.uninstall, found.state, says)
        };
        let expected = vec![
            "remove the release web (chart web 1.0.0): its chart is not declared any more".to_owned(),
            "delete PersistentVolumeClaim data with all that is in it: it goes with the release".to_owned(),
        ];
        assert_eq!(find(&desired, &left).await, (true, State::Different, expected));
        // Somebody else's stays, and so does what is wanted.
        left.addon = None;
        assert_eq!(find(&desired, &left).await, (false, State::Installed, vec![]));
        desired.release = Some(wanted("1.0.0", json!({})));
        left = installed("deployed", json!({}));
        left.objects.clear();
        assert_eq!(find(&desired, &left).await, (false, State::Installed, vec![]));
    }

    #[tokio::test]
    async fn a_node_that_joins_is_a_reason_to_prove_again() {
        let mut desired = nothing("net", "kube-system");
        desired.definition.gates = vec!["pods-reach-each-other".into()];
        desired.hosts = ["cp1", "w1"].map(String::from).into();
        // One of them is rented.
        let cluster = Cluster::new(&["cp1", "w1", "rented"]).await;
        let api = cluster.bench("kube-system").api;
        let find = async |desired: &Desired, nodes: &[&str]| {
            let record = Record {
                addon: "net".into(),
                namespace: "kube-system".into(),
                proven: Some(digest(desired)),
                nodes: nodes.iter().map(ToString::to_string).collect(),
                ..Record::default()
            };
            let observed = Observed { records: vec![record], ..Observed::default() };
            let found = Difference::find(api, desired, &observed).await.unwrap();
            found.changes.into_iter().map(|change| change.summary).collect::<Vec<_>>()
        };
        assert_eq!(find(&desired, &["cp1", "w1"]).await, Vec::<String>::new());
        assert_eq!(find(&desired, &["cp1", "w1", "gone"]).await, Vec::<String>::new());
        assert_eq!(
            find(&desired, &["cp1"]).await,
            ["prove by use: pods-reach-each-other, which w1 has not seen"]
        );
        desired.definition.gates = vec!["volume-moves".into()];
        assert_eq!(find(&desired, &[]).await, Vec::<String>::new(), "nothing is said of each node");
    }
}
