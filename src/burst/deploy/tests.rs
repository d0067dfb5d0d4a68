//! The documents, and whether their rights are those that the code needs.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::{
    burst::{
        claim::{Book, Claim, Ledger as _},
        cloud::UserData,
        controller::{LeaseStore as _, Nodes as _, Record, Work},
        demand::{Cluster, Explanation, Look as _, Wish},
        gateway::{Meeting as _, Records as _},
        kubernetes::{Boards, Store, Workers},
        offer::{Capacity, Money, Offer},
        service::{Board as _, Place, Status, authority, uid},
        time::Time,
    },
    kube::{
        self, Api,
        fake::{Fake, SERVER},
        memory::Memory,
    },
};

fn installation() -> Installation {
    Installation {
        image: Some("registry.example.com/hoist:1".into()),
        version: "1.36.2".into(),
        index: "kubernetes: 1.36.2\nfiles: []\n".into(),
        inventory: "# mine\nburst:\n  region: eu-central-1\n".into(),
        credentials: Some("aws".into()),
        roles: None,
        region: "eu-central-1".into(),
    }
}

fn objects() -> Vec<Value> {
    let text = document(&Library::default(), Form::Deployment, &installation()).unwrap();
    kube::documents(&text).unwrap()
}

#[test]
fn the_objects_are_the_golden_ones() {
    insta::assert_snapshot!(document(&Library::default(), Form::Deployment, &installation()).unwrap());
}

#[test]
fn the_unit_is_the_golden_one() {
    insta::assert_snapshot!(document(&Library::default(), Form::Systemd, &installation()).unwrap());
}

/// What systemd reads as credentials is as old as the start.
#[test]
fn a_unit_with_a_copy_of_the_kubeconfig_is_started_anew_long_before_its_certificate_ends() {
    let unit = document(&Library::default(), Form::Systemd, &installation()).unwrap();
    let value = |key: &str| {
        let mut found = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        (found.next().unwrap_or_default(), found.count())
    };
    assert_eq!(value("LoadCredential"), ("kubeconfig:/etc/kubernetes/admin.conf", 0));
    assert_eq!((value("RuntimeMaxSec"), value("RuntimeRandomizedExtraSec")), (("1d", 0), ("1h", 0)));
    // It ends by SIGTERM, which gives the lease back; `on-failure` and `always` count that time-out, others do not.
    assert_eq!((value("Restart"), value("KillSignal")), (("always", 0), ("", 0)));
}

#[test]
fn the_inventory_arrives_as_it_is_and_without_credentials_no_secret_is_read() {
    let of = |kind: &str, all: &[Value]| all.iter().find(|it| it["kind"] == kind).unwrap().clone();
    assert_eq!(of("ConfigMap", &objects())["data"]["inventory.yaml"], installation().inventory);
    let bare = Installation { credentials: None, ..installation() };
    let text = document(&Library::default(), Form::Deployment, &bare).unwrap();
    let deployment = of("Deployment", &kube::documents(&text).unwrap());
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert!(container.get("envFrom").is_none() && container["image"] == "registry.example.com/hoist:1");
}

#[test]
fn who_has_own_roles_makes_nodes_of_them_in_either_form() {
    let own = Installation { roles: Some("/our own".into()), ..installation() };
    let text = |form| document(&Library::default(), form, &own).unwrap();
    let objects = kube::documents(&text(Form::Deployment)).unwrap();
    let deployment = objects.iter().find(|it| it["kind"] == "Deployment").unwrap();
    let command = deployment["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap();
    assert_eq!(command[command.len() - 2..], ["--roles", "/our own"]);
    assert!(
        text(Form::Systemd)
            .contains("--kubeconfig ${CREDENTIALS_DIRECTORY}/kubeconfig --roles \"/our own\"\n")
    );
}

/// A request as authorisation sees it: verb, group, resource with its subresource, namespace, name.
fn asked(request: &str) -> Option<(&'static str, String, String, String, String)> {
    let (method, target) = request.split_once(' ')?;
    let path = target.split('?').next()?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        // Discovery is everybody's.
        [] => return None,
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name) = (rest[0], rest.get(1).copied().unwrap_or_default());
    let resource = rest.get(2).map_or(resource.to_owned(), |below| format!("{resource}/{below}"));
    let verb = match (method, name) {
        ("GET", "") => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => return None,
    };
    Some((verb, group.to_owned(), resource, namespace.to_owned(), name.to_owned()))
}

fn holds(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|it| it == wanted))
}

fn pod_on_it() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "web"},
           "spec": {"nodeName": "burst-1", "containers": []}})
}

/// Everything that the controller asks of the API server, once.
async fn everything(api: Api, memory: &Mutex<Memory>) {
    let store = Store::open(api.clone()).await.unwrap();
    let claim = Claim::new("burst-1".into(), vec![], vec!["web/a".into()], Time(0));
    assert_eq!(store.claims().await.unwrap(), []);
    let version = store.create(&claim).await.unwrap();
    let version = store.update(&claim, &version).await.unwrap();
    store.keep_console("burst-1", "booted").await.unwrap();
    let (book, _) = store.book().await.unwrap();
    let first = store.save(&Book::default(), None).await.unwrap();
    store.save(&book, Some(&first)).await.unwrap();
    for _ in 0..2 {
        store.kept_sum().await.unwrap();
        store.keep_sum("2026-02", Money(1)).await.unwrap();
        let place = Place { region: "eu-central-1".into(), stack: "hoist-burst-office".into() };
        place.keep(&store).await.unwrap();
    }
    let record = Record { holder: Some("a".into()), renewed: Time(0), transitions: 0 };
    store.write(&record, None).await.unwrap();
    let (_, held) = store.read().await.unwrap().unwrap();
    store.write(&record, Some(&held)).await.unwrap();

    let workers = Workers::new(api.clone(), Box::new(|_| Ok(UserData::new(Vec::new())?)));
    workers.nodes(&[]).await.unwrap();
    workers.requests().await.unwrap();
    let offer = Offer {
        instance_type: "m7i.large".into(),
        zone: "a".into(),
        capacity: Capacity::Spot,
        price: Money(1),
    };
    workers.prepare(&claim, 1, &offer).await.unwrap();
    workers.prepare(&claim, 2, &offer).await.unwrap();
    for work in [
        Work::Approve("csr-1".into()),
        Work::Cordon,
        Work::Uncordon,
        Work::Evict { grace: None, respect_budgets: true },
        Work::Evict { grace: None, respect_budgets: false },
        Work::DropToken,
        Work::Label,
        Work::DropNode(vec![]),
    ] {
        // A pod that comes in between, so that both ways have something to move.
        memory.lock().unwrap().objects.put(pod_on_it());
        workers.work("burst-1", &work).await.unwrap();
    }
    Cluster::new(api.clone()).look().await.unwrap();
    let boards = Boards::new(api.clone());
    boards.wish().await.unwrap();
    let status = Status {
        at: Time(0),
        controller: "a".into(),
        spent: Money(0),
        gateway: None,
        gateway_price: None,
        explanation: Explanation::default(),
        held_back: None,
        troubles: vec![],
        offers: 0,
        remarks: vec![],
    };
    boards.show(&status).await.unwrap();
    boards.show(&status).await.unwrap();
    assert_eq!(boards.shown().await.unwrap(), Some(status));
    // Of the gateway.
    let (record, _) = store.gateway().await.unwrap();
    let kept = store.keep_gateway(&record, None).await.unwrap();
    store.keep_gateway(&record, Some(&kept)).await.unwrap();
    store.own_key().await.unwrap();
    store.machines().await.unwrap();
    for _ in 0..2 {
        let known = store.known().await.unwrap();
        store.tell(&known).await.unwrap();
    }
    store.forget().await.unwrap();
    uid(&api).await.unwrap();
    assert!(authority(&api).await.unwrap_err().to_string().contains("cluster-info"));
    store.delete("burst-1", &version).await.unwrap();
    // Persons do this, with rights of their own.
    let _: Wish = boards.wished().await.unwrap().0;
}

#[tokio::test]
async fn the_rights_are_those_that_the_code_needs_and_no_others() {
    let mut memory = Memory::default();
    let object = |kind: &str, api_version: &str, more: Value| {
        let mut object = json!({"kind": kind, "apiVersion": api_version});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    memory.objects.put(object(
        "Namespace",
        "v1",
        json!({"metadata": {"name": "kube-system", "uid": "8c1f"}}),
    ));
    memory.objects.put(object(
        "Node",
        "v1",
        json!({"metadata": {"name": "burst-1", "labels": {"hoist.dev/claim": "burst-1"}}}),
    ));
    let params = rcgen::CertificateParams::new(Vec::new()).map(|mut params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:burst-1");
        params
    });
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.unwrap().serialize_request(&key).unwrap().pem().unwrap();
    let request = k8s_openapi::ByteString(pem.into_bytes());
    for name in ["csr-1", "csr-2"] {
        let spec = json!({"request": request, "signerName": "kubernetes.io/kubelet-serving"});
        let metadata = json!({"name": name});
        memory.objects.put(object(
            "CertificateSigningRequest",
            "certificates.k8s.io/v1",
            json!({"metadata": metadata, "spec": spec}),
        ));
    }
    let memory = Arc::new(Mutex::new(memory));
    let kept = memory.clone();
    let fake = Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
    let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    everything(api, &memory).await;

    let objects = objects();
    let roles: Vec<&Value> =
        objects.iter().filter(|it| it["kind"] == "ClusterRole" || it["kind"] == "Role").collect();
    let mut used = std::collections::BTreeSet::new();
    let requests = fake.requests.lock().unwrap().clone();
    for request in &requests {
        let Some((verb, group, resource, namespace, name)) = asked(request) else { continue };
        let mut allowed = false;
        for role in &roles {
            let place = role["metadata"]["namespace"].as_str();
            if place.is_some_and(|place| place != namespace) {
                continue;
            }
            for (number, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
                let names = rule.get("resourceNames");
                if holds(&rule["apiGroups"], &group)
                    && holds(&rule["resources"], &resource)
                    && holds(&rule["verbs"], verb)
                    && names.is_none_or(|names| holds(names, &name))
                {
                    allowed = true;
                    used.insert((place.unwrap_or_default().to_owned(), number, verb));
                }
            }
        }
        assert!(allowed, "nobody may {verb} {group}/{resource} in {namespace:?}: {request}");
    }
    let mut unused = Vec::new();
    for role in &roles {
        let place = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for (number, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
            for verb in rule["verbs"].as_array().unwrap() {
                let verb = verb.as_str().unwrap();
                // These two are checked when a binding is made, and when a certificate is approved; and what new nodes may
                // read, when their role is made.
                let passed_on = rule["resourceNames"][0] == "kubeadm-config";
                let indirect = passed_on || ["bind", "approve"].contains(&verb);
                if !indirect && !used.iter().any(|it| (it.0.as_str(), it.1, it.2) == (place, number, verb)) {
                    unused.push(format!("{verb} {} {place}", rule["resources"]));
                }
            }
        }
    }
    assert_eq!(unused, [""; 0], "{requests:#?}");
}
