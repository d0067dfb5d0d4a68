//! Every embedded role, compiled for the sample inventories: golden files of all that would be put on a host.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use hoist::{
    artifact::{File, Image, Index},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile, lint, role_reference},
    facts::Facts,
    inventory,
    task::Task,
};
use serde_json::json;

fn index() -> Index {
    let file = |name: &str| File {
        name: name.into(),
        path: format!("/artifacts/{name}").into(),
        sha256: "ab".repeat(32),
        size: 1,
    };
    let image = |name: &str, reference: &str| Image {
        name: name.into(),
        reference: reference.into(),
        path: format!("/artifacts/{name}.tar").into(),
        sha256: "cd".repeat(32),
        size: 1,
        digest: format!("sha256:{}", "ef".repeat(32)),
    };
    Index {
        kubernetes: "1.20.2".into(),
        origin: "a test".into(),
        files: vec![file("kubeadm"), file("kubelet")],
        images: vec![
            image("kube-apiserver", "k8s.gcr.io/kube-apiserver:v1.20.2"),
            image("kube-proxy", "k8s.gcr.io/kube-proxy:v1.20.2"),
            image("pause", "k8s.gcr.io/pause:3.2"),
            image("static-server", "hoist.local/static-server:1"),
        ],
        ..Index::default()
    }
}

/// A server of its own, and a virtual machine of VMware: what a host of each answers, as far as roles look at it.
const METAL: &str = "os.id=debian\nos.version=13\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\n";
const VMWARE: &str = "os.id=rocky\nos.like=rhel centos fedora\nos.version=9.4\ninit=systemd\nvirtualization=vmware\npackages=dnf\ncgroup=2\n";

/// All hosts of a sample inventory, or of a valid fixture, as they are before the first run. Those of the lab are
/// containers; of the others the second one is a virtual machine.
fn compiled(name: &str) -> Vec<(String, Vec<RoleSteps>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["inventory", "tests/fixtures/inventory/valid"];
    let path =
        folders.map(|folder| root.join(folder).join(name)).into_iter().find(|path| path.exists()).unwrap();
    let inventory = inventory::load(&path).unwrap().inventory;
    let facts: Observed = inventory
        .hosts
        .keys()
        .enumerate()
        .map(|(index, host)| {
            let answer = match (name, index) {
                ("lab.yaml", _) => include_str!("fixtures/facts/debian-nspawn.txt"),
                (_, 1) => VMWARE,
                _ => METAL,
            };
            let address = inventory.hosts[host].address;
            (host.clone(), Facts::parse(&format!("{answer}address=ens192 {address}/24\n")))
        })
        .collect();
    let library = Library::default();
    let templates = Templates::new(library.clone());
    targets(&inventory, &facts, Some(&index()), None)
        .into_iter()
        .map(|target| (target.name.clone(), compile(&library, &templates, &target).unwrap()))
        .collect()
}

/// What other hosts would give.
fn late() -> serde_json::Value {
    json!({
        "join": {"token": "TOKEN", "ca_hash": "HASH"},
        "place": {"made": "yes"},
        "settings": {"are": "there"},
        "pki": {
            "ca_crt": "CA", "ca_key": "KEY", "sa_pub": "SA", "sa_key": "SAKEY", "front_proxy_ca_crt": "FRONT",
            "front_proxy_ca_key": "FRONTKEY", "etcd_ca_crt": "ETCD", "etcd_ca_key": "ETCDKEY",
        },
    })
}

/// The whole of what a host gets, readable.
fn written(roles: &[RoleSteps]) -> String {
    let mut text = String::new();
    for role in roles {
        writeln!(text, "=== {}", role.role).unwrap();
        for step in &role.steps {
            writeln!(text, "--- {}", step.name).unwrap();
            match &step.task {
                Task::File(file) => write!(text, "{} {}\n{}", file.path, file.mode, file.content).unwrap(),
                Task::Command(command) => {
                    writeln!(
                        text,
                        "{}\nunless: {:?}",
                        command.run.trim_end(),
                        command.unless.as_deref().unwrap_or_default()
                    )
                    .unwrap();
                    if let Some(stdin) = &command.stdin {
                        let mut context = role.context.clone();
                        context.set("late", late());
                        let input =
                            Templates::new(Library::default()).file(&stdin.template, &context).unwrap();
                        writeln!(text, "stdin:\n{input}").unwrap();
                    }
                }
                other => writeln!(text, "{other:?}").unwrap(),
            }
        }
    }
    text
}

#[test]
fn what_each_host_of_the_samples_gets() {
    for name in ["lab.yaml", "single.yaml", "three.yaml"] {
        for (host, roles) in compiled(name) {
            let text = written(&roles);
            assert!(
                !text.contains("{{") && !text.contains("{%"),
                "{name} {host}: a template is left over:\n{text}"
            );
            insta::assert_snapshot!(format!("{}-{host}", name.trim_end_matches(".yaml")), text);
        }
    }
}

/// Debian and Red Hat, with and without the virtual address.
#[test]
fn what_balancers_get() {
    for (host, roles) in compiled("balancers.yaml").into_iter().filter(|(host, _)| host != "cp3") {
        let own: Vec<RoleSteps> = roles.into_iter().filter(|role| role.role == "load-balancer").collect();
        insta::assert_snapshot!(format!("balancers-{host}"), written(&own));
    }
    // Alone, without anybody to hand the address to.
    let (_, roles) = compiled("balancers.yaml").remove(0);
    let mut context = roles.iter().find(|role| role.role == "load-balancer").unwrap().context.clone();
    let mut host = context.get("host").clone();
    host["balancer"]["vrrp"]["peers"] = json!([]);
    context.set("host", host);
    let alone = Templates::new(Library::default()).file("keepalived/keepalived.conf", &context).unwrap();
    assert!(!alone.contains("unicast") && alone.contains("vrrp_mcast_group4"), "{alone}");
    // Clients and the API servers have different ports on the same hosts.
    let init = roles.iter().find(|role| role.role == "control-plane").unwrap();
    let init = Templates::new(Library::default()).file("kubeadm/init.yaml", &init.context).unwrap();
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(&init).unwrap();
    assert_eq!(documents[0]["localAPIEndpoint"]["bindPort"], 8444);
    assert_eq!(documents[1]["controlPlaneEndpoint"], "127.0.0.1:8443");
    let names = documents[1]["apiServer"]["certSANs"].as_array().unwrap();
    for name in ["127.0.0.1", "192.168.18.200"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

#[test]
fn the_samples_between_them_use_every_role() {
    let mut roles = BTreeSet::new();
    for name in ["lab.yaml", "single.yaml", "three.yaml", "balancers.yaml"] {
        roles.extend(compiled(name).into_iter().flat_map(|(_, roles)| roles).map(|role| role.role));
    }
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), Library::default().roles());
}

#[test]
fn the_roles_and_templates_have_no_mistake() {
    let found = lint(&Library::default(), &[]).unwrap();
    assert!(found.is_empty(), "{:?}", found.iter().map(|file| file.to_json()).collect::<Vec<_>>());
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/roles.md");
    let reference = role_reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == reference,
        "docs/roles.md is out of date: run `UPDATE=1 cargo test --test roles`"
    );
}

#[test]
fn what_programs_read_is_what_they_can_read() {
    for (host, roles) in compiled("lab.yaml") {
        let steps = || roles.iter().flat_map(|role| &role.steps);
        let content = |wanted: &str| {
            steps().find_map(|step| match &step.task {
                Task::File(file) if file.path == wanted => Some(file.content.clone()),
                _ => None,
            })
        };
        let network: serde_json::Value =
            serde_json::from_str(&content("/etc/cni/net.d/10-bridge.conflist").unwrap()).unwrap();
        let subnet = network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].as_str().unwrap();
        assert!(subnet.starts_with("10.244.1") && subnet.ends_with(".0/24"), "{host}: {subnet}");
        // No host has a route to its own pods, which are on its bridge.
        let routes = content("/etc/systemd/system/pod-routes.service").unwrap();
        assert!(
            !routes.contains(&format!("route replace {subnet} "))
                && routes.matches("route replace").count() == 2
        );
    }
}

/// kubeadm's documents for a release, with etcd where it is said to be: what the first control plane is made from, what
/// the second one joins with, and what a worker joins with.
fn kubeadm_documents(release: &str, etcd: &str) -> [String; 3] {
    let text = format!(
        "cluster: {{name: golden, kubernetes: \"{release}\", etcd: {etcd}, endpoint: {{address: api.example.lan}}}}\n\
         hosts:\n  cp1: {{address: 192.168.18.201, roles: [control-plane{role}]}}\n  \
         cp2: {{address: 192.168.18.202, roles: [control-plane, worker{role}], taints: [\"a=b:NoExecute\"]}}\n  \
         cp3: {{address: 192.168.18.203, roles: [control-plane{role}]}}\n  \
         w1: {{address: 192.168.18.211, roles: [worker]}}\n",
        role = if etcd == "external" { ", etcd" } else { "" },
    );
    let inventory = inventory::parse("golden.yaml", &text).unwrap().inventory;
    let facts: Observed = inventory.hosts.keys().map(|host| (host.clone(), Facts::parse(METAL))).collect();
    let all = targets(&inventory, &facts, Some(&index()), None);
    let templates = Templates::new(Library::default());
    [("cp1", "init"), ("cp2", "join-control-plane"), ("w1", "join")].map(|(name, template)| {
        let mut context = all.iter().find(|target| target.name == name).unwrap().context.clone();
        context.set("late", late());
        templates.file(&format!("kubeadm/{template}.yaml"), &context).unwrap()
    })
}

#[test]
fn kubeadm_documents_of_every_release_of_the_catalogue() {
    for minor in hoist::artifact::catalogue::minors().unwrap() {
        let release = minor.defaults[0].seen.to_string();
        for etcd in ["stacked", "external"] {
            let [init, control_plane, worker] = kubeadm_documents(&release, etcd);
            // Hardening, balancers and others have their part in the flags: what is golden here is kubeadm's own form.
            let text = format!("{init}=== cp2 joins\n{control_plane}=== w1 joins\n{worker}");
            insta::assert_snapshot!(format!("kubeadm-{}-{etcd}", minor.kubernetes), text);
        }
    }
}

#[test]
fn arguments_have_the_form_that_each_version_reads() {
    for minor in hoist::artifact::catalogue::minors().unwrap() {
        let release = minor.defaults[0].seen.to_string();
        let [init, control_plane, worker] = kubeadm_documents(&release, "stacked");
        let keys = control_plane.split_once("---\n").unwrap();
        assert_eq!(keys.0.lines().count(), 8, "{}", keys.0);
        let documents: Vec<serde_json::Value> = [init.as_str(), keys.1, &worker]
            .iter()
            .flat_map(|text| serde_yaml::from_multiple(text).unwrap())
            .collect();
        let old = matches!(minor.kubeadm_api.name(), "v1beta2" | "v1beta3");
        let own = |document: &&serde_json::Value| {
            document["apiVersion"].as_str().is_some_and(|version| version.starts_with("kubeadm.k8s.io/"))
        };
        let mut seen = 0;
        for document in documents.iter().filter(own) {
            assert_eq!(document["apiVersion"], format!("kubeadm.k8s.io/{}", minor.kubeadm_api.name()));
            for place in
                ["/nodeRegistration/kubeletExtraArgs", "/apiServer/extraArgs", "/controllerManager/extraArgs"]
            {
                let Some(arguments) = document.pointer(place) else { continue };
                assert_eq!(arguments.is_object(), old, "{} {place}", minor.kubernetes);
                seen += 1;
            }
            if let Some(socket) = document.pointer("/nodeRegistration/criSocket") {
                assert_eq!(
                    socket.as_str().unwrap().starts_with("unix://"),
                    minor.kubeadm_api.name() != "v1beta2"
                );
            }
        }
        assert_eq!(seen, 5);
    }
}

#[test]
fn kubeadm_reads_documents_of_its_own_kinds() {
    let (_, roles) = compiled("lab.yaml").remove(0);
    let role = roles.iter().find(|role| role.role == "control-plane").unwrap();
    let init = Templates::new(Library::default()).file("kubeadm/init.yaml", &role.context).unwrap();
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(&init).unwrap();
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"]
    );
    assert_eq!(
        documents[3]["conntrack"],
        json!({"maxPerCore": 0, "min": 0}),
        "the inventory's fields are merged in"
    );
    assert_eq!(documents[2]["cgroupDriver"], "systemd");
}
