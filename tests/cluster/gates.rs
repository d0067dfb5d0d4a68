//! Gates on real nodes: pods of the sandbox image that are asked and that answer, what a gate says when the network, the
//! plugin or a volume fails, and that nothing of it is left.
//!
//! Images of add-ons cannot be had here. So the test itself does what MetalLB, KEDA and External Secrets would do, and what
//! only others could answer is tested in `src/addon/gate` against answers that were written by hand.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use hoist::{
    addon::gate::{Bench, Closed, Proof, gate},
    cluster::{self, Session, Visit},
    inventory::{self, Inventory},
    kube::{Api, Kind},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::stage::{Stage, text, until};

const LAB: &str = "gates";
/// An address that no node has.
const ADDRESS: &str = "10.77.0.200";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn gates() {
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    let cast = stage.step("three nodes and a cluster", || {
        stage.hoist(&["lab", "up", "-i", text(&stage.path("inventory.yaml"))]).exits(0);
        stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
        Cast::new(&stage.path("inventory.yaml"))
    });
    stage.step("pods reach each other; what a killed run left is deleted", || reach(&stage, &cast));
    stage.step("a link that is cut is named from both ends", || cut(&stage, &cast));
    stage.step("a plugin that keeps policies and ignores them is told", || policy(&stage, &cast));
    stage.step("a volume is written, mounted anew and read back", || volume(&stage, &cast));
    stage.step("one that does not follow its pod is told", || lost_volume(&stage, &cast));
    stage.step("an address answers from outside, and moves when its announcer dies", || {
        address(&stage, &cast)
    });
    stage.step("a deployment gets replicas for work, and none without", || scaled(&stage, &cast));
    stage.step("a Secret comes from a store and follows it", || fetched(&stage, &cast));
}

/// Connections to the nodes, as a run has them.
struct Cast {
    runtime: Runtime,
    inventory: Inventory,
    session: Session,
    api: Api,
    said: Arc<Mutex<Vec<String>>>,
}

impl Cast {
    fn new(inventory: &Path) -> Cast {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let inventory = inventory::load(inventory).unwrap().inventory;
        let visits: Vec<Visit<'_>> = inventory.hosts.keys().map(|name| Visit { name, lock: None }).collect();
        let session = runtime.block_on(Session::open(&inventory, Path::new("/root"), &visits)).unwrap();
        assert!(session.unreached.is_empty(), "{:?}", session.unreached);
        let api = runtime.block_on(cluster::api(&inventory, &session)).unwrap();
        Cast { runtime, inventory, session, api, said: Arc::default() }
    }

    /// Passes a gate with the hosts that are not `without`.
    fn pass(&self, name: &str, namespace: &str, without: &[&str]) -> Result<Proof, Closed> {
        let mut hosts = self.session.hosts.clone();
        hosts.retain(|name, _| !without.contains(&name.as_str()));
        let said = self.said.clone();
        let say = move |text: &str| said.lock().unwrap().push(text.to_owned());
        let settings: Map<String, Value> =
            [("storage_class".to_owned(), json!("gate"))].into_iter().collect();
        let (inventory, api) = (&self.inventory, &self.api);
        let timeout = Duration::from_secs(180);
        let bench =
            Bench { inventory, api, hosts: &hosts, namespace, settings: &settings, timeout, say: &say };
        self.runtime.block_on(gate(name).unwrap().pass(&bench))
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    fn apply(&self, manifests: &Value) {
        self.runtime.block_on(self.api.apply(&manifests.to_string())).unwrap();
    }
}

/// Neither in the cluster nor on a node.
#[track_caller]
fn nothing_is_left(stage: &Stage) {
    until("namespaces of gates are gone", 120, || {
        let left = stage.kubectl(&["get", "namespaces", "-l", "hoist.dev/gate", "-o", "name"]);
        left.exit == Some(0) && left.stdout.is_empty()
    });
    for node in ["cp1", "w1", "w2"] {
        assert!(!stage.holds_on(node, "pgrep -x systemd-socket-"), "{node}");
    }
}

fn reach(stage: &Stage, cast: &Cast) {
    let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
    cast.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "hoist-gate-left", "labels": {"hoist.dev/gate": "pods-reach-each-other"},
        "annotations": {"hoist.dev/maker": format!("{machine}/4194305")}}}));
    let proof = cast.pass("pods-reach-each-other", "kube-system", &[]).unwrap();
    assert!(proof.seen[0].starts_with("pods on 3 nodes reached each other on all 9 ways"), "{proof:?}");
    assert!(proof.seen[1].starts_with("a Service (10."), "{proof:?}");
    assert!(proof.seen[1].contains("answered pods on all 3 nodes"), "{proof:?}");
    assert_eq!(proof.seen[2], "the cluster has no DNS to ask");
    assert!(
        cast.said().contains("deleting hoist-gate-left, which a run left that was killed"),
        "{}",
        cast.said()
    );
    nothing_is_left(stage);
}

fn cut(stage: &Stage, cast: &Cast) {
    stage.hoist(&["lab", "cut", "w1", "w2"]).exits(0);
    let closed = cast.pass("pods-reach-each-other", "kube-system", &[]).unwrap_err();
    stage.hoist(&["lab", "heal"]).exits(0);
    let words = closed.to_string();
    assert!(words.starts_with("pods reach each other on 7 of 9 ways: w1 (10.244.12."), "{words}");
    // By then w1's kernel may have noticed that nobody tells it where w2 is.
    let reasons = ["no answer within 5 s", "no route to host"];
    let named = |reason: &&str| words.contains(&format!(":8080/): {reason}; w2 (10.244.13."));
    assert!(reasons.iter().any(named), "{words}");
    assert!(words.ends_with("expected: an answer on every way"), "{words}");
    let Closed::Observed { help, .. } = closed else { panic!("{words}") };
    assert!(help.starts_with("between nodes packets are lost"), "{help}");
    nothing_is_left(stage);
}

fn policy(stage: &Stage, cast: &Cast) {
    let closed = cast.pass("policy-drops", "kube-system", &[]).unwrap_err();
    let words = closed.to_string();
    assert!(words.contains("still gets an answer of the pod on w2"), "{words}");
    assert!(words.ends_with("expected: no answer"), "{words}");
    let Closed::Observed { help, .. } = closed else { panic!("{words}") };
    assert!(help.contains("with the plugin `bridge` policies are kept and ignored"), "{help}");
    nothing_is_left(stage);
}

/// A folder of whichever node the pod is on.
fn folder(cast: &Cast, name: &str) {
    cast.apply(
        &json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "gate"},
                       "provisioner": "kubernetes.io/no-provisioner"}),
    );
    cast.apply(&json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "gate",
                 "persistentVolumeReclaimPolicy": "Retain",
                 "hostPath": {"path": format!("/var/lib/{name}"), "type": "DirectoryOrCreate"}}}));
}

fn volume(stage: &Stage, cast: &Cast) {
    folder(cast, "gate-one");
    let proof = cast.pass("volume-moves", "kube-system", &["w2"]).unwrap();
    assert!(proof.seen[0].starts_with("a volume of the class gate was mounted on w1"), "{proof:?}");
    assert!(proof.seen[1].starts_with("read back on w1, the only node, with the same checksum"), "{proof:?}");
    // The volume was made for it, and is as empty as before.
    assert_eq!(stage.on("w1", "ls -A /var/lib/gate-one"), "");
    nothing_is_left(stage);
}

fn lost_volume(stage: &Stage, cast: &Cast) {
    folder(cast, "gate-two");
    let words = cast.pass("volume-moves", "kube-system", &[]).unwrap_err().to_string();
    assert!(words.starts_with("the volume in the pod on w2 ("), "{words}");
    assert!(
        words.contains("No such file") && words.ends_with("expected: a file that can be written and read"),
        "{words}"
    );
    nothing_is_left(stage);
}

/// Kinds whose objects may have any fields.
fn define(stage: &Stage, cast: &Cast, group: &str, version: &str, kinds: &[(&str, &str)]) {
    for (plural, kind) in kinds {
        let schema =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        cast.apply(&json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced",
                     "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
                     "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]}}));
        let name = format!("crd/{plural}.{group}");
        stage.kubectl(&["wait", "--for=condition=Established", &name]).exits(0);
    }
}

const SERVICE: Kind = Kind::new("v1", "Service");
const POD: Kind = Kind::new("v1", "Pod");
const ANNOUNCER: Kind = Kind::new("metallb.io/v1beta1", "ServiceL2Status");

fn address(stage: &Stage, cast: &Cast) {
    let kinds = [("ipaddresspools", "IPAddressPool"), ("servicel2statuses", "ServiceL2Status")];
    define(stage, cast, "metallb.io", "v1beta1", &kinds);
    cast.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}}));
    cast.apply(&json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "lab", "namespace": "metallb-system"}, "spec": {"addresses": ["10.77.0.200-10.77.0.209"]}}));
    for node in ["w1", "w2"] {
        speaker(cast, node);
    }
    // As if hoist had installed it: without a chart, what it wrote down is enough.
    cast.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"objects": "[]"},
        "metadata": {"name": "hoist-addon-metallb", "namespace": "metallb-system", "labels": {"hoist.dev/addon": "metallb"}}}));
    let library = stage.path("library");
    fs::create_dir_all(library.join("roles/addons/metallb")).unwrap();
    let definition = "about: A gate.\nnamespace: metallb-system\ngates: [metallb-address]\n";
    fs::write(library.join("roles/addons/metallb/addon.yaml"), definition).unwrap();
    let wanted = stage.path("metallb.yaml");
    let usual = fs::read_to_string(stage.path("inventory.yaml")).unwrap();
    let addons = "\naddons: {metallb: {pools: [10.77.0.200-10.77.0.209]}}\n\nvars:";
    fs::write(&wanted, usual.replace("\nvars:", addons)).unwrap();
    let asked = ["addon", "status", "metallb", "-i", text(&wanted), "--roles", text(&library), "--disrupt"];
    stage.hoist(&asked).exits(0).says("metallb-address breaks the node that announces an address");
    let mut command = stage.command(&[&asked[..], &["--yes"]].concat());
    let output = thread::scope(|threads| {
        let gate = threads.spawn(move || command.output().unwrap());
        metallb(stage, cast, || gate.is_finished());
        gate.join().unwrap()
    });
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // No apply has proven it: that differs.
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in [
        "  proven: a Service gets an address of each pool",
        "a Service got the address 10.77.0.200 of the pool lab (10.77.0.200-10.77.0.209)",
        "10.77.0.200 answered this machine after",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let moved = said.lines().find(|line| line.contains("when its announcer w1 died, w2 took it over"));
    let moved = moved.unwrap_or_else(|| panic!("{said}"));
    eprint!("{} ", moved.rsplit(' ').nth(1).unwrap_or_default());
    let label = "node.kubernetes.io/exclude-from-external-load-balancers=hoist-gate";
    assert_eq!(stage.kubectl(&["get", "nodes", "-l", label, "-o", "name"]).exits(0).stdout, "");
    nothing_is_left(stage);
}

/// A pod that stands for MetalLB's speaker: while it lives, its node may announce.
fn speaker(cast: &Cast, node: &str) {
    cast.apply(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("speaker-{node}"), "namespace": "metallb-system",
                     "labels": {"app.kubernetes.io/component": "speaker"}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0,
                 "containers": [{"name": "speaker", "image": "k8s.gcr.io/pause:3.2"}]}}));
}

/// What MetalLB does in layer 2: gives the Service an address, has one node answer for it, and another when that one's
/// speaker is gone.
fn metallb(stage: &Stage, cast: &Cast, over: impl Fn() -> bool) {
    let mut announcer = String::new();
    while !over() {
        thread::sleep(Duration::from_millis(100));
        let (service, now) = cast.runtime.block_on(async {
            let services = cast.api.objects(SERVICE, None, "hoist.dev/gate=metallb-address").await.unwrap();
            let speakers = cast.api.objects(POD, Some("metallb-system"), "").await.unwrap();
            let living = speakers.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            (
                services.into_iter().next(),
                living.map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned()),
            )
        });
        let (Some(service), Some(now)) = (service, now) else { continue };
        if now == announcer {
            continue;
        }
        let at = |field: &str| service["metadata"][field].as_str().unwrap();
        let (namespace, name) = (at("namespace"), at("name"));
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}});
        let announced = json!({"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
            "metadata": {"name": format!("l2-{now}"), "namespace": "metallb-system"},
            "status": {"node": now, "serviceName": name, "serviceNamespace": namespace}});
        if !announcer.is_empty() {
            stage.on(&announcer, &format!("ip addr del {ADDRESS}/32 dev host0"));
        }
        stage.on(&now, &format!("ip addr add {ADDRESS}/32 dev host0"));
        // In place of the packet that tells neighbours whose the address is now.
        stage.hoist(&["lab", "exec", "--", "ip", "neigh", "flush", "to", ADDRESS]).exits(0);
        cast.runtime.block_on(async {
            if !announcer.is_empty() {
                let before = format!("l2-{announcer}");
                cast.api.delete(ANNOUNCER, Some("metallb-system"), &before).await.unwrap();
            }
            cast.api.create(announced).await.unwrap();
            cast.api.merge_status(SERVICE, Some(namespace), name, &status).await.unwrap();
        });
        announcer = now;
    }
    if !announcer.is_empty() {
        stage.on(&announcer, &format!("ip addr del {ADDRESS}/32 dev host0"));
    }
}

const DEPLOYMENT: Kind = Kind::new("apps/v1", "Deployment");
const SCALER: Kind = Kind::new("autoscaling/v1", "HorizontalPodAutoscaler");
const SCALED: Kind = Kind::new("keda.sh/v1alpha1", "ScaledObject");
const STORE: Kind = Kind::new("external-secrets.io/v1", "SecretStore");
const EXTERNAL: Kind = Kind::new("external-secrets.io/v1", "ExternalSecret");
const SECRET: Kind = Kind::new("v1", "Secret");

/// Passes a gate while an operator does its work again and again, in the namespace of the object that it looks for.
fn operated(
    cast: &Cast,
    gate: &str,
    namespace: &str,
    of: Kind,
    operate: impl Fn(&Value, &str),
) -> Result<Proof, Closed> {
    thread::scope(|threads| {
        let run = threads.spawn(|| cast.pass(gate, namespace, &[]));
        while !run.is_finished() {
            thread::sleep(Duration::from_millis(200));
            let label = format!("hoist.dev/gate={gate}");
            let found = cast.runtime.block_on(cast.api.objects(of, None, &label)).unwrap();
            if let Some(object) = found.first().filter(|it| it["metadata"]["deletionTimestamp"].is_null()) {
                operate(object, object["metadata"]["namespace"].as_str().unwrap());
            }
        }
        run.join().unwrap()
    })
}

/// KEDA's part is the test's; the deployment's pods are made by the cluster, and run.
fn scaled(stage: &Stage, cast: &Cast) {
    define(stage, cast, "keda.sh", "v1alpha1", &[("scaledobjects", "ScaledObject")]);
    let proof = operated(cast, "scaled-by-events", "keda", SCALED, |object, namespace| {
        cast.runtime.block_on(async {
            // It scales nothing: its target is not there.
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"});
            let _ = cast
                .api
                .create(json!({"apiVersion": SCALER.api_version, "kind": SCALER.kind,
                    "metadata": {"name": "keda-hpa-gate", "namespace": namespace},
                    "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2}}))
                .await;
            let labels = object["spec"]["triggers"][0]["metadata"]["podSelector"].as_str().unwrap();
            let work = cast.api.objects(POD, Some(namespace), labels).await.unwrap();
            let patch = json!({"spec": {"replicas": work.len()}});
            let name = object["spec"]["scaleTargetRef"]["name"].as_str().unwrap();
            // The namespace may be going already.
            let _ = cast.api.merge(DEPLOYMENT, Some(namespace), name, &patch).await;
        });
    })
    .unwrap();
    assert!(
        proof.seen[0].starts_with("a deployment without replicas got 2 for as many pods of work, after"),
        "{proof:?}"
    );
    assert!(
        proof.seen[1].starts_with("its HPA was made by KEDA; without work it had none again"),
        "{proof:?}"
    );
    nothing_is_left(stage);
}

fn fetched(stage: &Stage, cast: &Cast) {
    let kinds = [("secretstores", "SecretStore"), ("externalsecrets", "ExternalSecret")];
    define(stage, cast, "external-secrets.io", "v1", &kinds);
    let proof = operated(cast, "secret-fetched", "external-secrets", EXTERNAL, |external, namespace| {
        cast.runtime.block_on(async {
            let store = external["spec"]["secretStoreRef"]["name"].as_str().unwrap();
            let Some(store) = cast.api.object(STORE, Some(namespace), store).await.unwrap() else { return };
            let held = &store["spec"]["provider"]["fake"]["data"][0];
            assert_eq!(held["key"], external["spec"]["data"][0]["remoteRef"]["key"]);
            let name = external["spec"]["target"]["name"].as_str().unwrap();
            let key = external["spec"]["data"][0]["secretKey"].as_str().unwrap();
            // The namespace may be going already.
            let _ = cast
                .api
                .create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}))
                .await;
            let patch = json!({"stringData": {key: held["value"]}});
            let _ = cast.api.merge(SECRET, Some(namespace), name, &patch).await;
        });
    })
    .unwrap();
    assert!(proof.seen[0].starts_with("what a throw-away store holds was in a Secret after"), "{proof:?}");
    assert!(proof.seen[1].starts_with("what was changed in the store was in it after"), "{proof:?}");
    nothing_is_left(stage);
}
