//! Runs that are killed and lose control planes, against an API server in memory.

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use serde_json::json;
use tokio::{net::TcpStream, sync::Notify};

use super::*;
use crate::{
    addon::desired::tests::nothing,
    engine::{Interrupted, events},
    facts::Facts,
    inventory,
    kube::{
        fake::{Answer, Fake, SERVER},
        memory::Memory,
    },
    transport::{self, Destination, Host, Output, Script, Stream, Transfer},
};

/// A control plane that gives its kubeconfig, and whose API server is the fake one; or one that is lost.
struct Plane {
    name: &'static str,
    server: Option<(std::net::SocketAddr, String)>,
}

impl Plane {
    fn lost(&self) -> transport::Error {
        transport::Error::Lost { host: self.name.into(), reason: "its power is gone".into() }
    }
}

#[async_trait]
impl Host for Plane {
    fn name(&self) -> &str {
        self.name
    }

    async fn run(&self, _: Script) -> Result<Output, transport::Error> {
        let (_, ca) = self.server.as_ref().ok_or_else(|| self.lost())?;
        Ok(Output { status: 0, stdout: Fake::kubeconfig(ca).into_bytes(), stderr: Vec::new() })
    }

    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), transport::Error> {
        unreachable!("no chart, no helm")
    }

    async fn forward(&self, _: Destination) -> Result<Box<dyn Stream>, transport::Error> {
        let (address, _) = self.server.as_ref().ok_or_else(|| self.lost())?;
        Ok(Box::new(TcpStream::connect(address).await.map_err(|_| self.lost())?))
    }
}

/// A cluster whose API server stops answering in the middle when it is told to.
struct Site {
    fake: Fake,
    memory: Arc<Mutex<Memory>>,
    /// Whether what comes for `b` hangs, and that it does.
    hangs: Arc<AtomicBool>,
    hung: Arc<Notify>,
    inventory: Inventory,
}

impl Site {
    async fn new() -> Site {
        let (memory, hangs, hung) = (
            Arc::new(Mutex::new(Memory::default())),
            Arc::new(AtomicBool::new(false)),
            Arc::new(Notify::new()),
        );
        let (kept, stops, tells) = (memory.clone(), hangs.clone(), hung.clone());
        let fake = Fake::serve(SERVER, move |_, request, body| {
            let real = request.starts_with("PATCH") && !request.contains("dryRun");
            if real && request.contains("/configmaps/b-notes") && stops.load(Ordering::SeqCst) {
                tells.notify_one();
                return Answer::Hang;
            }
            kept.lock().unwrap().answer(request, body)
        })
        .await;
        let text = include_str!("../../inventory/lab.yaml")
            .replace("roles: [worker]", "roles: [control-plane, worker]");
        Site { fake, memory, hangs, hung, inventory: inventory::parse("lab.yaml", &text).unwrap().inventory }
    }

    /// With two control planes, of which the first may be lost.
    fn session(&self, lost: bool) -> Session {
        let server = (self.fake.address, self.fake.ca.clone());
        let mut session = Session::default();
        for (name, server) in [("cp1", Some(server.clone()).filter(|_| !lost)), ("w1", Some(server))] {
            session.hosts.insert(name.into(), Arc::new(Plane { name, server }));
            session
                .facts
                .insert(name.into(), Facts::parse("kubernetes.joined=yes\nkubernetes.control_plane=yes\n"));
        }
        session
    }

    /// A run; what was interrupted before it, how it ended if it was not killed, and what happened.
    async fn run(&self, state: &Path, lost: bool, killed: bool) -> (Vec<Interrupted>, Ended, Vec<Event>) {
        let (journal, interrupted) = Journal::begin(state).unwrap();
        let ((events, mut listener), session) = (events(), self.session(lost));
        let crew = Crew {
            inventory: &self.inventory,
            session: &session,
            helm: None,
            journal: Arc::new(journal),
            events,
            forks: 4,
        };
        self.hangs.store(killed, Ordering::SeqCst);
        let (addons, mut ended) = (addons(), Ended::default());
        let all: Vec<&Desired> = addons.iter().collect();
        tokio::select! {
            () = crew.carry_out(&all, &mut ended) => assert!(!killed),
            () = self.hung.notified() => assert!(killed),
        }
        (interrupted, ended, std::iter::from_fn(|| listener.try_recv().ok()).collect())
    }

    fn config_maps(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        let names = memory.objects.of("ConfigMap").into_iter().map(|it| it["metadata"]["name"].to_string());
        names.map(|name| name.trim_matches('"').to_owned()).collect()
    }
}

/// `a`, and `b` which comes after it; each with one manifest.
fn addons() -> [Desired; 2] {
    ["a", "b"].map(|name| {
        let mut desired = nothing(name, "n");
        desired.manifests.objects = vec![json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{name}-notes"), "namespace": "n"}, "data": {"page": "one"}})];
        if name == "b" {
            desired.definition.after = vec!["a".into()];
        }
        desired
    })
}

fn begun(events: &[Event]) -> Vec<&str> {
    let started = events.iter().filter_map(|event| match event {
        Event::AddonStarted { addon, .. } => Some(addon.as_str()),
        _ => None,
    });
    started.collect()
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_with_what_is_not_done() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let (_, ended, events) = site.run(state.path(), false, true).await;
    assert_eq!(begun(&events), ["a", "b"]);
    assert_eq!(ended.outcomes.len(), 1, "b was in the middle");
    // What b is about to apply is noted before it is applied, so that nothing is ever left of which nobody knows.
    assert_eq!(site.config_maps(), ["a-notes", "hoist-addon-a", "hoist-addon-b"]);

    let (interrupted, ended, events) = site.run(state.path(), false, false).await;
    let named: Vec<_> = interrupted.iter().map(|step| (step.role.as_str(), step.step.as_str())).collect();
    assert_eq!(named, [("addon b", "apply what comes after the chart")]);
    assert_eq!(begun(&events), ["b"], "a is done");
    assert!(ended.unfinished().is_empty() && ended.changes() > 0, "{ended:?}");
    assert_eq!(site.config_maps(), ["a-notes", "b-notes", "hoist-addon-a", "hoist-addon-b"]);

    let (interrupted, ended, events) = site.run(state.path(), false, false).await;
    assert!(interrupted.is_empty() && events.is_empty(), "{events:?}");
    assert_eq!(ended.changes(), 0);
}

#[tokio::test]
async fn another_control_plane_goes_on_where_one_is_lost() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let (_, ended, events) = site.run(state.path(), true, false).await;
    assert!(ended.unfinished().is_empty() && ended.changes() > 0, "{ended:?}");
    let waits = events.iter().find_map(|event| match event {
        Event::AddonWaits { addon, reason } if addon == "a" => Some(reason.as_str()),
        _ => None,
    });
    assert!(waits.is_some_and(|reason| reason.starts_with("for another control plane: ")), "{waits:?}");
}
