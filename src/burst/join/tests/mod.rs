//! What nodes run, as text and for real.

mod scripts;
mod skeleton;

use std::process::Command;

use flate2::bufread::GzDecoder;

use super::*;
use crate::{
    artifact::{self, File, Image, Package},
    burst::{
        claim::Claim,
        offer::{Capacity, Money, Offer},
        time::Time,
    },
    inventory,
};

const SAMPLE: &str = include_str!("../../../../inventory/burst.yaml");
const TOKEN: &str = "abcdef.0123456789abcdef";

/// The sample with more said at its top level, `artifacts.url` first of all.
fn sample(change: impl Fn(String) -> String) -> Inventory {
    let text = format!("{SAMPLE}artifacts: {{url: \"http://files.office.lan/hoist\"}}\n");
    inventory::parse("burst.yaml", &change(text)).unwrap().inventory
}

/// What `hoist lock` pins, all digests different, as they are.
fn index(inventory: &Inventory) -> Index {
    let release = &inventory.cluster.kubernetes;
    let folder = format!("/home/ada/.cache/hoist/artifacts/kubernetes-{release}");
    let digest = |name: &str| crate::task::sha256(name.as_bytes());
    let file = |path: &str, name: &str, version: &str| File {
        name: name.into(),
        path: format!("{folder}/{path}{name}").into(),
        sha256: digest(name),
        size: 1,
        version: version.into(),
    };
    let image = |(name, reference, everywhere): (String, String, bool)| Image {
        path: format!("{folder}/images/{name}.tar").into(),
        sha256: digest(&reference),
        size: 1,
        digest: format!("sha256:{}", digest(&name)),
        name,
        reference,
        everywhere,
    };
    let kubernetes = ["kube-apiserver", "kube-proxy", "coredns", "pause"];
    let kubernetes = kubernetes.map(|name| (name.into(), format!("registry.k8s.io/{name}:{release}"), false));
    // The catalogue has none for the oldest releases.
    let addons = crate::artifact::extra(inventory).unwrap_or_default().images;
    Index {
        kubernetes: release.to_string(),
        files: ["kubeadm", "kubectl", "kubelet", "crictl"].map(|name| file("", name, "")).into(),
        extras: [("containerd", "2.1.5"), ("runc", "1.3.0"), ("cni-plugins", "1.9.1")]
            .map(|(name, version)| file("extras/", name, version))
            .into(),
        images: kubernetes.into_iter().chain(addons).map(image).collect(),
        ..Index::default()
    }
}

fn joiner(inventory: &Inventory) -> Result<Joiner, Error> {
    joiner_of(inventory, &Library::new(Some(env!("CARGO_MANIFEST_DIR").into())))
}

fn joiner_of(inventory: &Inventory, library: &Library) -> Result<Joiner, Error> {
    Joiner::new(inventory, &index(inventory), library, "sha256:c0ffee".into())
}

/// A library with files of its own, each with its path.
fn library(files: &[(&str, &str)]) -> (tempfile::TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let library = Library::new(Some(folder.path().to_path_buf()));
    (folder, library)
}

fn offer() -> Offer {
    Offer {
        instance_type: "m7i.large".into(),
        zone: "eu-central-1a".into(),
        capacity: Capacity::Spot,
        price: Money(30_000),
    }
}

fn user_data(joiner: &Joiner, token: &str) -> Result<UserData, Unwritten> {
    let (claim, offer) = (Claim::new("burst-1a2b".into(), vec![], vec![], Time(0)), offer());
    joiner.write(&Joining { claim: &claim, number: 1, offer: &offer, token })
}

fn unpacked(data: &UserData) -> String {
    let mut text = String::new();
    GzDecoder::new(data.expose()).read_to_string(&mut text).unwrap();
    text
}

/// Whether shells read a script to its end.
fn is_sh(text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    for shell in ["sh", "dash", "bash", "busybox"] {
        let arguments: &[&str] = if shell == "busybox" { &["sh", "-n"] } else { &["-n"] };
        let Ok(output) = Command::new(shell).args(arguments).arg(file.path()).output() else { continue };
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_whole_of_what_a_node_runs() {
    let with_script =
        |text: String| text.replace("burst:\n", "burst:\n  script: |\n    echo 'ours, before it joins'\n");
    let joiner = joiner(&sample(with_script)).unwrap();
    let data = user_data(&joiner, TOKEN).unwrap();
    let script = unpacked(&data);
    is_sh(&script);
    insta::assert_snapshot!("script", script);
    assert_eq!(user_data(&joiner, TOKEN).unwrap(), data, "the same for the same node");
    assert_eq!(joiner.script().matches(TOKEN).count(), 0);
    assert!(script.contains(TOKEN) && !format!("{data:?}").contains(TOKEN));
}

#[test]
fn what_a_node_runs_leaves_room_for_what_the_administrator_adds() {
    for release in ["1.36.2", "1.20.2"] {
        let inventory = sample(|text| text.replace("1.36.2", release));
        let data = user_data(&joiner(&inventory).unwrap(), TOKEN).unwrap();
        println!("{release}: {} bytes of {}", data.expose().len(), UserData::MAX);
        assert!(data.expose().len() < 12 * 1024, "{release}: {}", data.expose().len());
    }
    let mut seed = fastrand::Rng::with_seed(1);
    let long: String = std::iter::repeat_with(|| seed.alphanumeric()).take(16 * 1024).collect();
    let inventory = sample(|text| text.replace("burst:\n", &format!("burst:\n  script: \": {long}\"\n")));
    let error = joiner(&inventory).err().unwrap();
    assert!(matches!(error, Error::Unwritten(Unwritten::TooLong(_))), "{error}");
    assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("burst.script"));
}

#[test]
fn a_script_that_is_taken_is_short_enough_for_every_node() {
    let mut seed = fastrand::Rng::with_seed(2);
    let mut letters = |count: usize| -> String {
        std::iter::repeat_with(|| seed.alphanumeric().to_ascii_lowercase()).take(count).collect()
    };
    let long = letters(16 * 1024);
    let with = |length: usize| {
        let script = format!("burst:\n  script: \": {}\"\n", &long[..length]);
        joiner(&sample(|text| text.replace("burst:\n", &script)))
    };
    // The longest that is taken, to a few bytes.
    let (mut most, mut least) = (0, long.len());
    while least - most > 8 {
        let middle = (most + least) / 2;
        if with(middle).is_ok() { most = middle } else { least = middle }
    }
    let joiner = with(most).unwrap();
    for _ in 0..50 {
        let token = format!("{}.{}", letters(6), letters(16));
        assert!(user_data(&joiner, &token).is_ok());
    }
}

#[test]
fn a_value_that_a_shell_reads_in_another_way_is_refused_and_not_shown() {
    let joiner = joiner(&sample(|text| text)).unwrap();
    for token in ["abc/def", "abc'def", "abc def", "abc\ndef", "ABC&DEF", ""] {
        let error = user_data(&joiner, token).unwrap_err();
        assert_eq!(error, Unwritten::Odd { what: "token" });
        let shown = format!("{error} {error:?}");
        assert!(token.is_empty() || !shown.contains(token), "{shown}");
    }
}

#[test]
fn what_nobody_can_do_for_a_node_is_refused_when_the_writer_is_made() {
    let refused = |change: &dyn Fn(String) -> String, files: &[(&str, &str)]| {
        let (_folder, library) = library(files);
        let error = joiner_of(&sample(change), &library).err().unwrap();
        format!("{error}: {}", miette::Diagnostic::help(&error).unwrap())
    };
    let same = |text: String| text;
    let burst = |line: &str| {
        let line = format!("burst:\n  {line}\n");
        move |text: String| text.replace("burst:\n", &line)
    };
    for (error, words) in [
        (
            refused(&|text| text.replace("url: \"http://files.office.lan/hoist\"", ""), &[]),
            ["role containerd, \"containerd is unpacked\"", "set `artifacts.url`"],
        ),
        (
            refused(&|text| text.replace("artifacts: {", "artifacts: {packages: pinned, "), &[]),
            ["no packages are pinned for a rented node, which is debian-13", "hoist lock"],
        ),
        (
            refused(&burst("instances: {architectures: [amd64, arm64]}"), &[]),
            ["exactly one", "artifacts are staged for one architecture"],
        ),
        (
            refused(&burst("labels: {node-role.kubernetes.io/cloud: \"\"}"), &[]),
            ["`node-role.kubernetes.io/cloud`", "choose another name"],
        ),
        (
            refused(
                &|text| text.replace("plugin: cilium", "plugin: bridge").replace("longhorn: {}", ""),
                &[],
            ),
            ["network plugin `bridge`", "`cluster.network.plugin: cilium`"],
        ),
        (
            refused(
                &same,
                &[(
                    "roles/hardened/role.yaml",
                    "description: A.\ntasks: [{name: motd, line: {path: /etc/motd, line: a}}]\n",
                )],
            ),
            ["role hardened, \"motd\": what it does depends on what is on a host", "`template`"],
        ),
        (
            refused(
                &same,
                &[
                    (
                        "roles/hardened/role.yaml",
                        "description: A.\ntasks: [{name: keys, command: {run: cat, creates: /a, stdin: {template: a.txt}}}]\n",
                    ),
                    ("templates/a.txt", "{{ late.pki.ca_key }}"),
                ],
            ),
            ["role hardened, \"keys\": nobody gives a rented node the value `late.pki`", "late.join.token"],
        ),
    ] {
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_node_finds_the_api_server_where_the_inventory_has_it() {
    let script = |endpoint: &str| {
        let inventory = sample(|text| text.replace("{vip: 192.168.18.200}", endpoint));
        joiner(&inventory).unwrap().script().to_owned()
    };
    let own = "ip address replace 192.168.18.200/32 dev lo";
    for (endpoint, bind, server, has_address) in [
        ("{vip: 192.168.18.200}", Some("bind 192.168.18.200:6443"), "192.168.18.200:6443", true),
        ("{vip: 192.168.18.200, local: true}", Some("bind 127.0.0.1:6443"), "127.0.0.1:6443", false),
        ("{address: api.office.lan}", None, "api.office.lan:6443", false),
    ] {
        let script = script(endpoint);
        assert!(script.contains(&format!("apiServerEndpoint: \"{server}\"")), "{endpoint}");
        assert_eq!(script.contains(own), has_address, "{endpoint}");
        assert_eq!(script.contains("begin 'load-balancer: "), bind.is_some(), "{endpoint}");
        assert!(bind.is_none_or(|bind| script.contains(bind)), "{endpoint}");
    }
}

#[test]
fn a_node_fetches_what_runs_everywhere_and_what_the_inventory_names() {
    let inventory =
        sample(|text| text.replace("artifacts: {", "artifacts: {images: [\"ghcr.io/acme/shop:1\"], "));
    let all: Vec<String> = index(&inventory).images.into_iter().map(|image| image.reference).collect();
    let script = joiner(&inventory).unwrap().script().to_owned();
    for (reference, fetched) in [
        ("registry.k8s.io/pause:1.36.2", true),
        ("registry.k8s.io/coredns:1.36.2", false),
        ("registry.k8s.io/kube-apiserver:1.36.2", false),
        ("quay.io/cilium/cilium:", true),
        ("quay.io/cilium/cilium-envoy:", true),
        ("quay.io/cilium/hubble-ui:", false),
        ("metallb", false),
        ("ghcr.io/acme/shop:1", true),
        ("longhorn", false),
        ("cert-manager", false),
    ] {
        assert!(all.iter().any(|known| known.contains(reference)), "{reference}: {all:?}");
        assert_eq!(script.contains(reference), fetched, "{reference}");
    }
}

#[test]
fn pinned_packages_are_fetched_as_well() {
    let inventory = sample(|text| text.replace("artifacts: {", "artifacts: {packages: pinned, "));
    let names = [
        "ca-certificates",
        "kmod",
        "socat",
        "iproute2",
        "curl",
        "haproxy",
        "gzip",
        "tar",
        "conntrack",
        "ebtables",
        "ethtool",
        "iptables",
    ];
    let mut index = index(&inventory);
    let folder = "/home/ada/.cache/hoist/artifacts/kubernetes-1.36.2/packages/debian-13";
    let package = |name: &&str| Package {
        name: (*name).into(),
        version: "1".into(),
        path: format!("{folder}/{name}.deb").into(),
        sha256: crate::task::sha256(name.as_bytes()),
        size: 1,
    };
    index.packages = vec![artifact::System {
        os: "debian-13".into(),
        needs: names.map(|name| (name.to_owned(), vec![name.to_owned()])).into(),
        files: names.iter().map(package).collect(),
    }];
    let joiner = Joiner::new(&inventory, &index, &Library::default(), String::new()).unwrap();
    is_sh(joiner.script());
    let url = "url='http://files.office.lan/hoist/kubernetes-1.36.2/packages/debian-13/haproxy.deb'";
    assert_eq!(joiner.script().matches(url).count(), 1);
}

#[test]
fn every_image_of_every_maker_is_known() {
    for system in ["debian-12", "debian-13", "ubuntu-24.04"] {
        for architecture in ["amd64", "arm64"] {
            let line = format!(
                "burst:\n  image: {{system: {system}}}\n  instances: {{architectures: [{architecture}]}}\n"
            );
            is_sh(joiner(&sample(|text| text.replace("burst:\n", &line))).unwrap().script());
        }
    }
}

#[test]
fn labels_that_a_kubelet_may_set() {
    for (key, may) in [
        ("team", true),
        ("example.com/team", true),
        ("node.kubernetes.io/exclude-from-external-load-balancers", true),
        ("a.node.kubernetes.io/x", true),
        ("topology.kubernetes.io/zone", true),
        ("topology.kubernetes.io/rack", false),
        ("node-role.kubernetes.io/worker", false),
        ("node-restriction.kubernetes.io/x", false),
        ("xnode.kubernetes.io/x", false),
        ("k8s.io/x", false),
        ("mykubernetes.io/x", true),
    ] {
        assert_eq!(may_label_itself(key), may, "{key}");
    }
}
