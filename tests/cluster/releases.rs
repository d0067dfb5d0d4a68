//! The README's command where official releases can be reached: of a mirror that has the lab's own Kubernetes in the
//! places of the official one, `hoist demo` makes a cluster without building anything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    offline::{mirror, registry::Registry},
    skip,
    stage::{Ran, Stage, cache, output_of, text},
};
use hoist::lab::SAMPLE_IMAGE;

const LAB: &str = "releases";
const COREDNS: &str = "k8s.gcr.io/coredns:1.7.0";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn releases() {
    if !nix::unistd::geteuid().is_root() || !cache().join("lab/node.tar").exists() {
        return skip::skip("needs root and a cache that `hoist lab setup` has filled");
    }
    let Some(registry) = Registry::start() else { return };
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    stage.inventory("inventory.yaml", &[("  w2: {address: 10.77.0.13, roles: [worker]}\n", "")]);
    let bed = Bed { stage, registry };
    let stage = &bed.stage;
    eprintln!();
    stage.step("a mirror and a registry", || bed.fill());
    stage.step("releases are taken where they can be reached, and only there", || chosen(&bed));
    stage.step("demo makes a cluster of a release", || made(&bed));
    stage.step("everything came by the lock", || locked(&bed));
    stage.step("a second demo changes nothing, and asks nobody", || again(&bed));
}

struct Bed {
    stage: Stage,
    registry: Registry,
}

impl Bed {
    /// The release that the lab can build, and of the newest as much as is asked for to see whether it is there.
    fn fill(&self) {
        mirror(&self.stage, &self.registry);
        let newest = newest();
        for url in [
            format!("dl.k8s.io/release/v{newest}/bin/linux/amd64/kubeadm"),
            format!("github.com/kubernetes-sigs/cri-tools/releases/download/{}", crictl(&newest)),
            format!("get.helm.sh/helm-v{}-linux-amd64.tar.gz", tool(&newest, "helm")),
        ] {
            let path = self.stage.path("mirror").join(url);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "only asked for").unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let images = cache().join("artifacts/kubernetes-1.20.2/images");
        runtime.block_on(async {
            let server = format!("registry.k8s.io/kube-apiserver:v{newest}");
            self.registry.push(&server, &["amd64"]).await;
            // CoreDNS is in no Debian archive: its pods run, and are never ready.
            self.registry.push_archive(COREDNS, &images.join("pause.tar")).await;
            self.registry.push_root(SAMPLE_IMAGE, &busybox()).await;
        });
        // A cache of its own but for the nodes, without what set-up has built.
        fs::create_dir_all(self.cache()).unwrap();
        std::os::unix::fs::symlink(cache().join("lab"), self.cache().join("lab")).unwrap();
    }

    fn cache(&self) -> PathBuf {
        self.stage.path("cache")
    }

    /// The inventory that the demonstration writes.
    fn inventory(&self) -> PathBuf {
        cache().join("lab/labs").join(LAB).join("release/inventory.yaml")
    }

    fn hoist(&self, words: &[&str], mirror: bool) -> Ran {
        let mut command = self.stage.command(words);
        command.env("HOIST_CACHE", self.cache());
        if mirror {
            command.env("HOIST_MIRROR", self.stage.path("mirror"));
            command.env("HOIST_REGISTRY", self.registry.url());
        }
        self.stage.run(command)
    }

    /// What the demonstration says to somebody who may not make a lab.
    fn said(&self, origin: &[&str]) -> Ran {
        let program = self.stage.path("hoist");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command.args(["demo", "--yes", "-i", text(&self.stage.path("inventory.yaml"))]).args(origin);
        command.env("HOME", self.stage.path("home")).env_remove("HOIST_CACHE").current_dir("/");
        self.stage.run(command).exits(77).says("root").within(15)
    }
}

fn newest() -> String {
    hoist::lab::newest(hoist::lab::has_cgroup_v2()).unwrap().unwrap().to_string()
}

fn tool(kubernetes: &str, name: &str) -> String {
    let release = hoist::artifact::catalogue::Release::find(&kubernetes.parse().unwrap()).unwrap();
    release.tool(name).unwrap()
}

fn crictl(kubernetes: &str) -> String {
    let version = tool(kubernetes, "crictl");
    format!("v{version}/crictl-v{version}-linux-amd64.tar.gz")
}

/// This machine's busybox with its libraries, as the root of an image.
fn busybox() -> Vec<u8> {
    let files = "ldd bin/busybox | grep -o '/[^ ]*' | sed 's|^/||'";
    let pack = format!("cd / && tar --create --dereference bin/busybox $({files})");
    let output = Command::new("sh").args(["-c", &pack]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn chosen(bed: &Bed) {
    let newest = newest();
    let (mirror, registry) = (bed.stage.path("mirror"), bed.registry.url());
    let (mirror, registry) = (text(&mirror), registry.as_str());
    bed.said(&["--mirror", mirror, "--registry", registry])
        .says(&format!("Kubernetes {newest} from the official releases: they can be had"));
    let nobody = "http://127.0.0.1:9";
    for origin in [["--mirror", nobody, "--registry", registry], ["--mirror", mirror, "--registry", nobody]] {
        bed.said(&origin)
            .says(&format!(
                "Kubernetes 1.20.2 from Debian's source package: official releases of {newest} cannot be reached"
            ))
            .says("Connection refused");
    }
}

fn made(bed: &Bed) {
    let inventory = bed.stage.path("inventory.yaml");
    let ran = bed.hoist(&["demo", "--yes", "--kubernetes", "1.20.2", "-i", text(&inventory)], true).exits(0);
    let ran = ran.says("Kubernetes 1.20.2 from the official releases: as `--kubernetes` says");
    ran.says("download Kubernetes 1.20.2 and what goes with it")
        .says("2 nodes ready")
        .says(&format!("--image {SAMPLE_IMAGE}"))
        .says("answers through cp1")
        .says("answers through w1")
        .says("downloads");
}

fn locked(bed: &Bed) {
    assert!(!bed.cache().join("artifacts").exists(), "nothing was built");
    let lock = fs::read_to_string(bed.inventory().with_file_name("hoist.lock")).unwrap();
    for pinned in ["https://dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubelet", COREDNS, SAMPLE_IMAGE] {
        assert!(lock.contains(pinned), "{pinned}: {lock}");
    }
    // The mirror's file, bit for bit.
    let digest = |program: &Path| output_of("sha256sum", &[text(program)])[..64].to_owned();
    let kubelet = digest(&bed.stage.path("mirror/dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubelet"));
    assert_eq!(bed.stage.on("w1", "sha256sum </usr/local/bin/kubelet")[..64], kubelet);
    let images = bed.stage.on("w1", "ctr --namespace k8s.io images list --quiet");
    assert!(images.contains(COREDNS) && images.contains(SAMPLE_IMAGE), "{images}");
    let kubeconfig = bed.stage.path("kubeconfig");
    let release = bed.inventory();
    bed.hoist(&["kubeconfig", "-i", text(&release), "--file", text(&kubeconfig)], false).exits(0);
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    let deployed = bed.stage.kubectl(&["-n", "kube-system", "get", "deployment", "coredns", "-o", image]);
    assert_eq!(deployed.exits(0).stdout, COREDNS);
}

fn again(bed: &Bed) {
    let inventory = bed.stage.path("inventory.yaml");
    let files =
        || [bed.inventory(), bed.inventory().with_file_name("hoist.lock")].map(|f| fs::read(f).unwrap());
    let before = files();
    let ran = bed.hoist(&["demo", "--yes", "-i", text(&inventory)], false).exits(0).within(60);
    ran.says("Kubernetes 1.20.2 from the official releases: the lab has nodes for it already")
        .says("Nothing to change")
        .says("Deployment hoist-sample/web unchanged");
    assert!(files() == before, "inventory and lock stay");
    bed.hoist(&["demo", "--yes", "--kubernetes", "debian", "-i", text(&inventory)], false)
        .exits(64)
        .says("lab `releases` has nodes for Kubernetes 1.20.2 from the official releases");
}
