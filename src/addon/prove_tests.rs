//! Proofs that lose hosts, and pods of manifests that do not get ready.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::{
    addon::{
        Crew, Desired, Status, desired::tests::nothing, gate::Proof, observe, release, run::tests::Site,
    },
    cluster::{Session, ways},
    engine::{Journal, Outcome, events},
    kube,
};

/// A gate that stays closed like this while it has the host `w1` to work with.
struct Closes(fn() -> Closed);

#[async_trait]
impl Gate for Closes {
    fn name(&self) -> &'static str {
        "closes"
    }

    fn proves(&self) -> &'static str {
        "it works"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        if bench.hosts.contains_key("w1") { Err(self.0()) } else { Ok(Proof::default()) }
    }
}

fn lost(host: &str) -> transport::Error {
    transport::Error::Lost { host: host.into(), reason: "its power is gone".into() }
}

fn full() -> transport::Error {
    transport::Error::NoSpace {
        host: "cp1".into(),
        path: "/var/lib/hoist".into(),
        needed: 2 << 20,
        available: 0,
    }
}

fn crew<'a>(site: &'a Site, session: &'a Session, desired: &'a Desired, state: &Path) -> Crew<'a> {
    Crew {
        inventory: &site.inventory,
        session,
        wanted: std::slice::from_ref(desired),
        helm: None,
        journal: Arc::new(Journal::begin(state).unwrap().0),
        events: events().0,
        forks: 1,
    }
}

#[tokio::test]
async fn what_is_lost_during_a_proof_is_told_from_what_does_not_work() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let (session, desired) = (site.session(false), nothing("site", "demo"));
    let crew = crew(&site, &session, &desired, state.path());
    let way = ways(&site.inventory, &session).next().unwrap();
    let api = way.api().await.unwrap();
    let install = Install { crew: &crew, desired: &desired, way, lost: &[] };
    let pass = async |closed: fn() -> Closed| {
        let mut hosts = session.hosts.clone();
        let said = match install.pass(&api, &Closes(closed), &mut hosts).await {
            Ok(()) => "passed".to_owned(),
            Err(Stop::Away(reason)) => format!("away: {reason}"),
            Err(Stop::Failed(failure)) => format!("{}; {}", failure.what, failure.next),
        };
        (said, hosts.len())
    };
    let away = |said: &str| said.starts_with("away: ");
    let (said, _) = pass(|| {
        kube::Error::Tunnel {
            host: "cp1".into(),
            server: "10.0.0.1:6443".into(),
            source: Arc::new(lost("cp1")),
        }
        .into()
    })
    .await;
    assert!(away(&said), "{said}");
    let (said, _) = pass(|| {
        kube::Error::Unavailable { action: "ask".into(), status: 503, message: "etcd has no leader".into() }
            .into()
    })
    .await;
    assert!(away(&said), "{said}");
    let (said, _) = pass(|| lost("cp1").into()).await;
    assert!(away(&said), "{said}");
    assert_eq!(pass(|| lost("w1").into()).await, ("passed".to_owned(), 1), "without the worker");
    let (said, hosts) = pass(|| full().into()).await;
    assert!(
        said.starts_with("it works: no space for /var/lib/hoist on cp1: 2 MiB needed, 0 MiB free; "),
        "{said}"
    );
    assert!(said.contains("make room there") && hosts == 2, "{said}");
    let (said, _) = pass(|| Closed::Observed {
        observed: "nothing".into(),
        expected: "an answer".into(),
        help: "look there".into(),
    })
    .await;
    assert_eq!(said, "it works: nothing; expected: an answer; look there");
    // What helm needs is put there the same way.
    let Stop::Failed(failure) = install.host(full()) else {
        panic!("another control plane does not mend it")
    };
    assert!(
        failure.what.starts_with("no space for") && failure.next.contains("make room there"),
        "{failure}"
    );
    assert!(matches!(install.host(lost("cp1")), Stop::Away(_)));
}

#[tokio::test]
async fn what_cannot_go_back_goes_on_and_only_the_revision_that_helm_was_killed_at_is_forgotten() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let (session, desired) = (site.session(false), nothing("site", "site"));
    let crew = crew(&site, &session, &desired, state.path());
    let way = ways(&site.inventory, &session).next().unwrap();
    let api = way.api().await.unwrap();
    let install = Install { crew: &crew, desired: &desired, way, lost: &[] };
    for (revision, status) in [(1, "deployed"), (2, "pending-upgrade")] {
        let mut secret = release::tests::stored("site", revision, status, json!({}));
        (secret["apiVersion"], secret["kind"]) = (json!("v1"), json!("Secret"));
        secret["metadata"]["name"] = json!(format!("sh.helm.release.v1.site.v{revision}"));
        site.memory.lock().unwrap().objects.put(secret);
    }
    let found = observe(&api).await.unwrap();
    let stuck = found.release("site", "site").unwrap();
    assert_eq!(stuck.status, Status::Pending);
    assert!(install.forget(&api, stuck).await.is_ok());
    let left = observe(&api).await.unwrap();
    assert_eq!(left.release("site", "site").map(|it| (it.revision, it.status)), Some((1, Status::Deployed)));
}

#[tokio::test]
async fn another_control_plane_proves_what_one_began_to_prove_that_is_lost() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let mut desired = nothing("metrics", "demo");
    desired.definition.gates = vec!["metrics-answered".into()];
    site.dies.store(true, Ordering::SeqCst);
    let (_, ended, events) = site.run(&[desired], state.path(), false, false).await;
    assert!(ended.unfinished().is_empty() && ended.changes() > 0, "{ended:?}");
    let told = |wanted: &str| events.iter().any(|event| format!("{event:?}").contains(wanted));
    assert!(told("for another control plane: ") && told("AddonProved"), "{events:?}");
}

/// An add-on of one Deployment.
fn web() -> Desired {
    let mut desired = nothing("web", "demo");
    desired.definition.timeout = 1;
    desired.manifests.objects = vec![json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "demo"}, "spec": {"selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "none"}]}}}})];
    desired
}

/// How a run of it ended: what went wrong and why, or how much was changed.
async fn applied(site: &Site, state: &Path) -> Result<usize, String> {
    let (_, ended, _) = site.run(&[web()], state, false, false).await;
    match &ended.outcomes[0].1 {
        Outcome::Converged { changes } => Ok(*changes),
        Outcome::Failed(failure) => Err(format!("{}: {}: {:?}", failure.step, failure.what, failure.cause)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pods_of_manifests_are_waited_for_until_they_are_ready() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let pod = |status: Value| {
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": "web-1", "namespace": "demo", "labels": {"app": "web"}}, "status": status})
    };
    let waiting = json!({"phase": "Pending", "containerStatuses": [{"name": "web", "ready": false, "image": "none",
        "imageID": "", "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]});
    site.memory.lock().unwrap().objects.put(pod(waiting));
    let expected = "wait until its pods are ready: after 1 s Deployment demo/web has 0 of 1 pods ready: \
                    Some(\"pods did not get ready: web-1: ErrImagePull: no such image\")";
    for _ in 0..2 {
        // Also where nothing else is left to do.
        assert_eq!(applied(&site, state.path()).await, Err(expected.to_owned()));
    }
    {
        let mut memory = site.memory.lock().unwrap();
        let status = json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        memory.objects.find_mut("Deployment", "web").unwrap()["status"] = status;
    }
    assert_eq!(applied(&site, state.path()).await, Ok(1));
    assert_eq!(applied(&site, state.path()).await, Ok(0), "nothing is left to do");
}
