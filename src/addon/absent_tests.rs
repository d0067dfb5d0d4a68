//! Releases without a node, with a helm that only notes what it is told.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::{
    addon::{Crew, desired::tests::nothing, release::tests::made_of, run::tests::Site},
    artifact::File,
    cluster::ways,
    engine::{Journal, events},
    transport::{Destination, Dialogue, Error, Host, Local, Output, Script, Stream, Transfer},
};

/// A host whose helm ends with 0 and does nothing.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

#[async_trait]
impl Host for Noting {
    fn name(&self) -> &str {
        "cp1"
    }

    async fn run(&self, _: Script) -> Result<Output, Error> {
        Ok(Output { status: 0, stdout: b"0\n".to_vec(), stderr: Vec::new() })
    }

    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        unreachable!("helm is there")
    }

    async fn dialogue(&self, script: &str) -> Result<Dialogue, Error> {
        let told = script.lines().find(|line| line.starts_with("set -- ")).unwrap_or_default();
        self.0.lock().unwrap().push(told.replace('\'', ""));
        Local::open("cp1".to_owned()).await?.dialogue("while read -r _; do echo '0 '; done").await
    }

    async fn forward(&self, _: Destination) -> Result<Box<dyn Stream>, Error> {
        unreachable!("helm is asked nothing through a connection")
    }
}

fn node(name: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "Unknown" };
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {}},
           "status": {"conditions": [{"type": "Ready", "status": status}]}})
}

/// On two nodes, with so many of its pods ready.
fn daemon_set(ready: u64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web", "namespace": "site"},
           "spec": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}},
           "status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": ready}})
}

fn revision(number: u32, status: &str) -> Value {
    let manifest = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: web}\n";
    let mut secret = made_of(manifest, ("web", number, status, json!({})));
    (secret["apiVersion"], secret["kind"]) = (json!("v1"), json!("Secret"));
    secret["metadata"]["name"] = json!(format!("sh.helm.release.v1.web.v{number}"));
    secret
}

/// What became of the add-on `web`, with these objects, and what helm was told then.
async fn made(objects: Vec<Value>, rollback: bool) -> (Option<String>, Vec<String>) {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let mut desired = nothing("web", "site");
    (desired.definition.timeout, desired.definition.rollback) = (0, rollback);
    let session = site.session(false);
    let crew = Crew {
        inventory: &site.inventory,
        session: &session,
        wanted: &[],
        helm: None,
        journal: Arc::new(Journal::begin(state.path()).unwrap().0),
        events: events().0,
        forks: 1,
    };
    let way = ways(&site.inventory, &session).next().unwrap();
    let api = way.api().await.unwrap();
    let install = Install { crew: &crew, desired: &desired, way, lost: &[] };
    let put = |object| site.memory.lock().unwrap().objects.put(object);
    objects.into_iter().for_each(put);
    let Ok(without) = install.without(&api).await else { panic!("the API server answers") };
    let Some(without) = without else { return (Some("helm waits".to_owned()), Vec::new()) };
    // What helm has made by now.
    put(revision(9, "deployed"));
    let program = File {
        name: "helm".into(),
        path: PathBuf::new(),
        sha256: "b".repeat(64),
        size: 1,
        version: "4.3.1".into(),
    };
    let host = Noting::default();
    let helm = Helm::ready(&host, &program, None, &|_| {}).await.unwrap();
    let said = match install.wait_without(&api, &helm, &without, Ok(())).await {
        Ok(()) => None,
        Err(Stop::Failed(failure)) => Some(format!("{}; {}", failure.what, failure.next)),
        Err(Stop::Away(reason)) => Some(format!("away: {reason}")),
    };
    (said, host.0.into_inner().unwrap())
}

#[tokio::test]
async fn helm_waits_where_all_nodes_are_ready_and_where_none_is_yet() {
    for (first, second, waits) in [(true, true, true), (false, false, true), (true, false, false)] {
        let (said, _) = made(vec![node("cp1", first), node("w1", second), daemon_set(1)], true).await;
        assert_eq!(said, waits.then(|| "helm waits".to_owned()), "{first} {second}");
    }
}

#[tokio::test]
async fn what_is_ready_on_the_other_nodes_stays_and_what_is_not_goes_back() {
    let with = |ready| vec![node("cp1", true), node("w1", false), daemon_set(ready)];
    assert_eq!(made([with(1), vec![revision(3, "deployed")]].concat(), true).await, (None, Vec::new()));
    for (before, told) in [
        (
            vec![revision(3, "deployed")],
            "set -- rollback web 3 --history-max 3 --server-side=false --namespace site",
        ),
        // The last one that was in use, not the last one.
        (
            vec![revision(3, "deployed"), revision(4, "failed")],
            "set -- rollback web 3 --history-max 3 --server-side=false --namespace site",
        ),
        (Vec::new(), "set -- uninstall web --no-hooks --ignore-not-found --namespace site"),
    ] {
        let (said, words) = made([with(0), before].concat(), true).await;
        let said = said.unwrap();
        assert!(said.starts_with("after 0 s DaemonSet site/web has 0 of 1 pods ready; "), "{said}");
        assert!(
            said.contains("Helm has rolled back") && said.contains("DaemonSet with a pod on w1"),
            "{said}"
        );
        assert_eq!(words, [told]);
    }
    let (said, words) = made([with(0), vec![revision(3, "deployed")]].concat(), false).await;
    assert!(said.is_some_and(|said| !said.contains("rolled back")) && words.is_empty(), "{words:?}");
}
