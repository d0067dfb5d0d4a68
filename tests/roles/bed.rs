//! Hosts as the first run finds them, and what roles make of them, readable.

use std::{fmt::Write as _, path::Path};

use hoist::{
    artifact::{File, Image, Index},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};
use serde_json::json;

pub fn index() -> Index {
    let file = |name: &str| File {
        name: name.into(),
        path: format!("/artifacts/{name}").into(),
        sha256: "ab".repeat(32),
        size: 1,
        ..File::default()
    };
    let image = |name: &str, reference: &str| Image {
        name: name.into(),
        reference: reference.into(),
        path: format!("/artifacts/{name}.tar").into(),
        sha256: "cd".repeat(32),
        size: 1,
        digest: format!("sha256:{}", "ef".repeat(32)),
        everywhere: false,
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
pub const METAL: &str = "os.id=debian\nos.version=13\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\n";
const VMWARE: &str = "os.id=rocky\nos.like=rhel centos fedora\nos.version=9.4\ninit=systemd\nvirtualization=vmware\npackages=dnf\ncgroup=2\n";

/// What roles write to a path.
pub fn laid_out(roles: &[RoleSteps], path: &str) -> String {
    let steps = roles.iter().flat_map(|role| &role.steps);
    let mut content = steps.filter_map(|step| match &step.task {
        Task::File(file) if file.path == path => Some(file.content.clone()),
        _ => None,
    });
    content.next_back().unwrap()
}

/// All hosts of a sample inventory, or of a valid fixture, as they are before the first run. Those of the lab are
/// containers; of the others the second one is a virtual machine.
pub fn compiled(name: &str) -> Vec<(String, Vec<RoleSteps>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["inventory", "tests/fixtures/inventory/valid", "tests/fixtures/cluster"];
    let path =
        folders.map(|folder| root.join(folder).join(name)).into_iter().find(|path| path.exists()).unwrap();
    let inventory = inventory::load(&path).unwrap().inventory;
    let facts: Observed = inventory
        .hosts
        .keys()
        .enumerate()
        .map(|(index, host)| {
            let answer = match (name, index) {
                ("lab.yaml" | "etcd.yaml", _) => include_str!("../fixtures/facts/debian-nspawn.txt"),
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
pub fn late() -> serde_json::Value {
    json!({
        "join": {"token": "TOKEN", "ca_hash": "HASH"},
        "kept": {"before": "yes"},
        "place": {"made": "yes"},
        "settings": {"are": "there"},
        "encryption": {"file": "ENCRYPTION"},
        "etcd_ca": {"certificate": "CERTIFICATE", "key": "KEY"},
        "etcd_client": {"ca": "CA", "certificate": "CERTIFICATE"},
        "pki": {
            "ca_crt": "CA", "ca_key": "KEY", "sa_pub": "SA", "sa_key": "SAKEY", "front_proxy_ca_crt": "FRONT",
            "front_proxy_ca_key": "FRONTKEY", "etcd_ca_crt": "ETCD", "etcd_ca_key": "ETCDKEY",
        },
    })
}

/// The whole of what a host gets, readable.
pub fn written(roles: &[RoleSteps]) -> String {
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
