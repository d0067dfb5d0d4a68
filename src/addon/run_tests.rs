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
    addon::{
        Difference, Observed, Saved,
        desired::tests::nothing,
        observe,
        saved::tests::{account, issued},
    },
    engine::{Interrupted, events},
    facts::Facts,
    inventory,
    kube::{
        fake::{Answer, Fake, SERVER},
        memory::Memory,
    },
    transport::{self, Destination, Host, Output, Script, Stream, Transfer},
};

/// A control plane that gives its kubeconfig, and whose API server is the fake one; until it is lost.
struct Plane {
    name: &'static str,
    server: (std::net::SocketAddr, String),
    lost: Arc<AtomicBool>,
}

impl Plane {
    fn lost(&self) -> transport::Error {
        transport::Error::Lost { host: self.name.into(), reason: "its power is gone".into() }
    }

    fn server(&self) -> Result<&(std::net::SocketAddr, String), transport::Error> {
        if self.lost.load(Ordering::SeqCst) { Err(self.lost()) } else { Ok(&self.server) }
    }
}

#[async_trait]
impl Host for Plane {
    fn name(&self) -> &str {
        self.name
    }

    async fn run(&self, _: Script) -> Result<Output, transport::Error> {
        let (_, ca) = self.server()?;
        Ok(Output { status: 0, stdout: Fake::kubeconfig(ca).into_bytes(), stderr: Vec::new() })
    }

    async fn send(&self, _: &Transfer, _: &(dyn Fn(u64) + Sync)) -> Result<(), transport::Error> {
        unreachable!("no chart, no helm")
    }

    async fn forward(&self, _: Destination) -> Result<Box<dyn Stream>, transport::Error> {
        let (address, _) = self.server()?;
        Ok(Box::new(TcpStream::connect(address).await.map_err(|_| self.lost())?))
    }
}

/// A cluster whose API server stops answering in the middle when it is told to.
pub(in crate::addon) struct Site {
    fake: Fake,
    pub memory: Arc<Mutex<Memory>>,
    /// Whether the first control plane is lost.
    first: Arc<AtomicBool>,
    /// Whether it is lost when metrics are asked for.
    pub dies: Arc<AtomicBool>,
    /// Whether what comes for `b` hangs, and that it does.
    hangs: Arc<AtomicBool>,
    hung: Arc<Notify>,
    pub inventory: Inventory,
}

impl Site {
    pub async fn new() -> Site {
        let (memory, hangs, hung) = (
            Arc::new(Mutex::new(Memory::default())),
            Arc::new(AtomicBool::new(false)),
            Arc::new(Notify::new()),
        );
        let (first, dies) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (kept, stops, tells) = (memory.clone(), hangs.clone(), hung.clone());
        let (lost, ends) = (first.clone(), dies.clone());
        let fake = Fake::serve(SERVER, move |_, request, body| {
            let real = request.starts_with("PATCH") && !request.contains("dryRun");
            if real && request.contains("/configmaps/b-notes") && stops.load(Ordering::SeqCst) {
                tells.notify_one();
                return Answer::Hang;
            }
            if request.contains("metrics.k8s.io") {
                if ends.swap(false, Ordering::SeqCst) {
                    lost.store(true, Ordering::SeqCst);
                    return Answer::Cut;
                }
                return Answer::Json(200, json!({"items": []}).to_string());
            }
            kept.lock().unwrap().answer(request, body)
        })
        .await;
        let text = include_str!("../../inventory/lab.yaml")
            .replace("roles: [worker]", "roles: [control-plane, worker]");
        Site {
            fake,
            memory,
            first,
            dies,
            hangs,
            hung,
            inventory: inventory::parse("lab.yaml", &text).unwrap().inventory,
        }
    }

    /// With two control planes, of which the first may be lost.
    pub fn session(&self, lost: bool) -> Session {
        self.first.store(lost, Ordering::SeqCst);
        let mut session = Session::default();
        for (name, lost) in [("cp1", self.first.clone()), ("w1", Arc::default())] {
            let server = (self.fake.address, self.fake.ca.clone());
            session.hosts.insert(name.into(), Arc::new(Plane { name, server, lost }));
            session
                .facts
                .insert(name.into(), Facts::parse("kubernetes.joined=yes\nkubernetes.control_plane=yes\n"));
        }
        session
    }

    /// A run; what was interrupted before it, how it ended if it was not killed, and what happened.
    pub async fn run(
        &self,
        addons: &[Desired],
        state: &Path,
        lost: bool,
        killed: bool,
    ) -> (Vec<Interrupted>, Ended, Vec<Event>) {
        let (journal, interrupted) = Journal::begin(state).unwrap();
        let ((events, mut listener), session) = (events(), self.session(lost));
        let crew = Crew {
            inventory: &self.inventory,
            session: &session,
            wanted: addons,
            helm: None,
            journal: Arc::new(journal),
            events,
            forks: 4,
        };
        self.hangs.store(killed, Ordering::SeqCst);
        let mut ended = Ended::default();
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
    let (_, ended, events) = site.run(&addons(), state.path(), false, true).await;
    assert_eq!(begun(&events), ["a", "b"]);
    assert_eq!(ended.outcomes.len(), 1, "b was in the middle");
    // What b is about to apply is noted before it is applied, so that nothing is ever left of which nobody knows.
    assert_eq!(site.config_maps(), ["a-notes", "hoist-addon-a", "hoist-addon-b"]);

    let (interrupted, ended, events) = site.run(&addons(), state.path(), false, false).await;
    let named: Vec<_> = interrupted.iter().map(|step| (step.role.as_str(), step.step.as_str())).collect();
    assert_eq!(named, [("addon b", "apply what comes after the chart")]);
    assert_eq!(begun(&events), ["b"], "a is done");
    assert!(ended.unfinished().is_empty() && ended.changes() > 0, "{ended:?}");
    assert_eq!(site.config_maps(), ["a-notes", "b-notes", "hoist-addon-a", "hoist-addon-b"]);

    let (interrupted, ended, events) = site.run(&addons(), state.path(), false, false).await;
    assert!(interrupted.is_empty() && events.is_empty(), "{events:?}");
    assert_eq!(ended.changes(), 0);
}

#[tokio::test]
async fn another_control_plane_goes_on_where_one_is_lost() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let (_, ended, events) = site.run(&addons(), state.path(), true, false).await;
    assert!(ended.unfinished().is_empty() && ended.changes() > 0, "{ended:?}");
    let waits = events.iter().find_map(|event| match event {
        Event::AddonWaits { addon, reason } if addon == "a" => Some(reason.as_str()),
        _ => None,
    });
    assert!(waits.is_some_and(|reason| reason.starts_with("for another control plane: ")), "{waits:?}");
}

/// cert-manager with a folder that keeps what shall outlive the cluster; the issuers are a ConfigMap here.
fn keeping(folder: &Path) -> [Desired; 1] {
    let mut desired = nothing("cert-manager", "cert-manager");
    desired.manifests.objects = vec![json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "issuers", "namespace": "cert-manager"}, "data": {"page": "one"}})];
    desired.saved = Some(Saved::read(folder, "cert-manager", true).unwrap());
    [desired]
}

async fn planned(site: &Site, desired: &[Desired]) -> Vec<String> {
    let api = crate::kube::connect(site.fake.host(), &Fake::kubeconfig(&site.fake.ca)).await.unwrap();
    let observed: Observed = observe(&api).await.unwrap();
    let found = Difference::find(&api, &desired[0], &observed).await.unwrap();
    found.changes.iter().map(|change| format!("{change:?}")).collect()
}

#[tokio::test]
async fn what_outlives_a_cluster_is_given_back_before_issuers_and_written_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let (folder, state) = (home.path().join("kept/office"), home.path().join("state"));
    let first = Site::new().await;
    let mut told = Vec::new();
    let (_, ended, events) = first.run(&keeping(&folder), &state, false, false).await;
    assert!(ended.unfinished().is_empty(), "{ended:?}");
    told.push(format!("{events:?}"));

    let secrets = [account("acme-production-account"), issued("shop", "www", "acme-production", 2090)];
    for secret in &secrets {
        first.memory.lock().unwrap().objects.put(secret.clone());
    }
    let plan = planned(&first, &keeping(&folder)).await;
    assert_eq!(plan.len(), 2, "{plan:?}");
    assert!(plan[1].contains("keep Secret shop/www (until 2090-01-01) in"), "{plan:?}");
    let (_, ended, events) = first.run(&keeping(&folder), &state, false, false).await;
    assert_eq!((ended.unfinished(), ended.changes()), (vec![], 2));
    let steps = events.iter().filter(|event| matches!(event, Event::AddonStep { .. })).count();
    assert_eq!(steps, 1, "nothing of the cluster is touched: {events:?}");
    told.extend([format!("{plan:?} {events:?}")]);
    assert_eq!(planned(&first, &keeping(&folder)).await, Vec::<String>::new());

    let second = Site::new().await;
    let plan = planned(&second, &keeping(&folder)).await;
    assert!(plan[0].contains("give back Secret cert-manager/acme-production-account, kept in"), "{plan:?}");
    let (_, ended, events) = second.run(&keeping(&folder), &state, false, false).await;
    assert!(ended.unfinished().is_empty(), "{ended:?}");
    told.push(format!("{plan:?} {events:?}"));
    let requests = second.fake.requests.lock().unwrap().clone();
    let at = |what: &str| {
        requests
            .iter()
            .position(|it| it.starts_with(what) && !it.contains("dryRun"))
            .unwrap_or_else(|| panic!("{what}"))
    };
    let issuers = at("PATCH /api/v1/namespaces/cert-manager/configmaps/issuers");
    assert!(at("POST /api/v1/namespaces/shop/secrets") < issuers, "{requests:?}");
    assert!(at("POST /api/v1/namespaces/cert-manager/secrets") < issuers, "{requests:?}");
    assert_eq!(planned(&second, &keeping(&folder)).await, Vec::<String>::new());

    let mut folders = vec![state];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => told.push(std::fs::read_to_string(path).unwrap()),
            }
        }
    }
    assert!(
        told.iter().any(|text| text.contains("keep what shall outlive the cluster")),
        "the journal is read"
    );
    for secret in &secrets {
        for (_, value) in secret["data"].as_object().unwrap() {
            let start = &value.as_str().unwrap()[40..80];
            assert!(told.iter().all(|text| !text.contains(start)), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_default_class_that_came_while_nobody_could_look_stops_only_who_makes_another() {
    let (site, state) = (Site::new().await, tempfile::tempdir().unwrap());
    let class = |name: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "csi.example.com",
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}})
    };
    site.memory.lock().unwrap().objects.put(class("local"));
    let mut all = addons().to_vec();
    all.push(nothing("disks", "disks"));
    all[2].manifests.objects = vec![class("fast")];
    let (_, ended, _) = site.run(&all, state.path(), false, false).await;
    assert_eq!(ended.unfinished(), ["disks"]);
    let failed = ended.outcomes.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Failed(failure) => Some(failure.to_string()),
        _ => None,
    });
    assert!(failed.unwrap().contains("a second default storage class, `fast`, beside `local`"));
    assert_eq!(site.memory.lock().unwrap().objects.of("StorageClass").len(), 1);
}
