//! kubeadm's documents, for every release of the catalogue.

use hoist::{
    cluster::{Observed, targets},
    engine::{Library, Templates},
    facts::Facts,
    inventory,
};
use serde_json::json;

use super::bed::{METAL, compiled, index, late};

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
            insta::assert_snapshot!(format!("{}-{etcd}", minor.kubernetes), text);
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
