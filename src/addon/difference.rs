//! What differs between an add-on as it shall be and as it is.

use serde_json::Value;

use super::{
    Desired, Error, Observed, Secret, Status, crds,
    gate::{Gate, gate},
    gateway_api,
    identity::{declared_secrets, digest, is_same, labelled, secrets, stays},
    ready::of_manifests,
    release::ADDON,
    remove, upgrade,
};
use crate::{
    kube::{self, Api, Declared, name_of},
    task::{Change, Detail},
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
    /// Whether pods of manifests have to get ready, and gates to be passed.
    pub(super) prove: bool,
    /// How many of the changes only keep, outside of the cluster, what it has.
    pub(super) keeps: usize,
}

impl Difference {
    /// Of an add-on in a cluster that there is not yet.
    pub fn ahead(desired: &Desired) -> Difference {
        let mut difference = new(State::Missing);
        difference.changes.extend(desired.release.as_ref().map(|release| upgrade::install(desired, release)));
        let objects = desired
            .before
            .objects
            .iter()
            .chain(&desired.manifests.objects)
            .map(|object| name_of(object).to_string());
        let saved =
            desired.saved.iter().flat_map(|saved| saved.usable().into_iter().map(|it| saved.given(&it)));
        difference.changes.extend(saved.map(Change::new));
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
                None => difference.changes.push(upgrade::install(desired, wanted)),
                Some(installed) => difference.changes.extend(upgrade::changes(wanted, installed)),
            }
            if let Some(installed) = installed.filter(|_| difference.changes.is_empty()) {
                let declared = Declared { namespace: namespace.clone(), objects: installed.objects.clone() };
                difference.changes.extend(api.drift(&declared).await?.iter().map(upgrade::mend));
            }
            let definitions = crds::changes(api, wanted, installed.is_some()).await?;
            difference.changes.splice(0..0, definitions);
            // Where it is not installed yet, helm makes it.
            if installed.is_some() && gateway_api::lacks(api, desired).await? {
                difference.changes.push(gateway_api::change());
            }
            difference.release = !difference.changes.is_empty();
        } else if let Some(left) = remove::installed(name, namespace, observed) {
            difference.changes.extend(upgrade::leave(left));
            difference.uninstall = true;
        }
        if let (Some(saved), None) = (&desired.saved, record) {
            let missing = saved.missing(api).await?;
            difference.changes.extend(missing.iter().map(|named| Change::new(saved.given(named))));
        }
        let found = secrets(api, desired).await?;
        let secrets = declared_secrets(desired, &found);
        let before = labelled(desired, &gateway_api::before(api, desired).await?);
        for declared in [&secrets, &before, &labelled(desired, &desired.manifests)] {
            for found in api.diff_declared(declared).await? {
                match found.change {
                    kube::Change::Unchanged => {}
                    kube::Change::Created => difference
                        .changes
                        .push(upgrade::with_diff(format!("make {}", found.object), found.diff)),
                    kube::Change::Changed => difference
                        .changes
                        .push(upgrade::with_diff(format!("change {}", found.object), found.diff)),
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
            let gone = Declared { namespace: namespace.clone(), objects: difference.pruned.clone() };
            let taken = api.taken_over(&gone, (ADDON, name)).await?;
            let says = |object: &Value| {
                let (verb, taken) = match (stays(object), taken.contains(object)) {
                    (_, true) => ("let go of", ", and somebody else has taken it over"),
                    (true, false) => ("let go of", ""),
                    (false, false) => ("delete", ""),
                };
                Change::new(format!("{verb} {}: it is not declared any more{taken}", name_of(object)))
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
        // That is no reason to prove anything. Before it is installed what there is comes from somewhere else.
        if let (Some(saved), Some(_)) = (&desired.saved, record) {
            let stale = saved.stale(api).await?;
            difference.keeps = stale.len();
            difference.changes.extend(stale.iter().map(|named| Change::new(saved.taken(named))));
        }
        if difference.state == State::Installed && !difference.changes.is_empty() {
            difference.state = State::Different;
        }
        Ok(difference)
    }

    /// With the nodes for which alone it is proven, if so.
    fn prove(&mut self, desired: &Desired, nodes: &[String]) {
        let gates = desired.definition.gates.join(", ");
        let workloads = !of_manifests(desired).is_empty();
        self.prove = workloads || !gates.is_empty();
        if gates.is_empty() && workloads {
            self.changes.push(Change::new("wait until its pods are ready"));
        } else if !gates.is_empty() {
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
        keeps: 0,
    }
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

fn make_up(secret: &Secret) -> Option<Change> {
    let keys: Vec<&str> = secret.generate.keys().map(String::as_str).collect();
    (!keys.is_empty()).then(|| Change::new(format!("make up {} of Secret {}", keys.join(", "), secret.name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{
        Installed, Record,
        desired::tests::nothing,
        gate::testing::Cluster,
        upgrade::tests::{installed, wanted},
    };

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
    async fn what_somebody_else_has_taken_over_is_let_go_of() {
        let mut cluster = Cluster::new(&[]).await;
        let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let all = [("ours", "hoist"), ("theirs", "Helm")].map(|(name, manager)| {
            let labels = json!({ADDON: "web", "app.kubernetes.io/managed-by": manager});
            cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "site", "labels": labels}}));
            named(name)
        });
        let record = Record {
            addon: "web".into(),
            namespace: "site".into(),
            objects: [&all[..], &[named("gone")]].concat(),
            ..Record::default()
        };
        let observed = Observed { records: vec![record], ..Observed::default() };
        let found = Difference::find(cluster.bench("site").api, &nothing("web", "site"), &observed).await;
        let says: Vec<String> = found.unwrap().changes.into_iter().map(|change| change.summary).collect();
        assert_eq!(
            says,
            [
                "delete ConfigMap ours: it is not declared any more",
                "let go of ConfigMap theirs: it is not declared any more, and somebody else has taken it over",
                "delete ConfigMap gone: it is not declared any more",
            ]
        );
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
