//! A site without internet: a cluster from a bundle alone, the packages of its operating system included.
//!
//! First a place with everything: a Debian repository, a mirror of the releases and a container registry, all of them
//! inside of the lab's network, where nodes have no way out. There the lock is written and the bundle is made. Then all
//! that is switched off, packages are taken from a node, and the bundle must be enough.

#[path = "../support/archive.rs"]
mod archive;
#[path = "../artifact/registry.rs"]
#[allow(dead_code, reason = "the tests of artifacts use more of it")]
pub mod registry;

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::{
    skip,
    stage::{Stage, cache, text},
};
use archive::{sha256, tar};
use registry::Registry;

const LAB: &str = "bundles";
/// What the roles of this inventory install.
const PACKAGES: &str = "ca-certificates kmod iproute2 containerd runc containernetworking-plugins conntrack ebtables \
                        ethtool iptables socat";
const REPOSITORY: &str = "10.77.0.1:8099";
const IMAGES: [(&str, &str); 6] = [
    ("kube-apiserver", "k8s.gcr.io/kube-apiserver:v1.20.2"),
    ("kube-controller-manager", "k8s.gcr.io/kube-controller-manager:v1.20.2"),
    ("kube-scheduler", "k8s.gcr.io/kube-scheduler:v1.20.2"),
    ("kube-proxy", "k8s.gcr.io/kube-proxy:v1.20.2"),
    ("etcd", "k8s.gcr.io/etcd:3.4.13-0"),
    ("pause", "k8s.gcr.io/pause:3.2"),
];

#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn offline() {
    if !nix::unistd::geteuid().is_root() || !cache().join("lab/node.tar").exists() {
        return skip::skip("needs root and a cache that `hoist lab setup` has filled");
    }
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    stage.step("two nodes", || {
        stage.hoist(&["lab", "up", "--nodes", "cp1=10.77.0.11,w1=10.77.0.12"]).exits(0);
    });
    let debs = stage.step("a Debian repository of the nodes' release", || repository(&stage));
    let _inside = Inside::enter();
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    serve(debs);
    let bundle = {
        let Some(registry) = Registry::start() else { return };
        stage.step("a mirror and a registry", || mirror(&stage, &registry));
        stage.step("the lock and the bundle", || bundle(&stage, &registry))
    };
    stage.step("nodes lose their repositories, and w1 its packages", || strip(&stage));
    stage.step("what is not pinned is named before anything is changed", || not_pinned(&stage));
    stage.step("a cluster from the bundle alone", || apply(&stage, &bundle));
    stage.step("a second run changes nothing", || {
        hoist(&stage, "away/site.yaml", &["plan"]).exits(0).says("Nothing to change");
    });
}

/// While it lives, everything that this thread starts is inside of the lab's network.
struct Inside(File);

impl Inside {
    fn enter() -> Inside {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        let network = File::open(Path::new("/run/netns").join(LAB)).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        Inside(own)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

/// hoist with a cache of its own.
fn hoist(stage: &Stage, inventory: &str, words: &[&str]) -> super::stage::Ran {
    let mut command = stage.command(words);
    command.env("HOIST_INVENTORY", stage.path(inventory));
    let site = stage.path(inventory).parent().unwrap().to_owned();
    command.env("HOIST_CACHE", site.join("cache"));
    stage.run(command)
}

/// Downloads what the nodes' release has of the packages and all that they need, from where this machine's own apt is
/// told to look, and writes the index of it.
fn repository(stage: &Stage) -> PathBuf {
    let suite = stage.on("cp1", ". /etc/os-release; echo $VERSION_CODENAME");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("debs-{}", suite.trim()));
    fs::create_dir_all(&folder).unwrap();
    let script = r#"
set -e
. /etc/os-release
own() { apt-get indextargets --format '$(CODENAME) $(REPO_URI)' | sed -n "s/^$VERSION_CODENAME //p" | head -n 1; }
base=$(own)
# A machine that has never looked knows no names of releases.
[ -n "$base" ] || { apt-get -qq update && base=$(own); }
mkdir -p lists/partial archives/partial
: >status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $base $suite main" >sources.list
apt() {
    apt-get -qy -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$PWD/lists" \
        -o Dir::State::status="$PWD/status" -o Dir::Cache="$PWD" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
apt update
apt install --download-only --no-install-recommends $packages
cd archives
for file in *.deb; do
    dpkg-deb -f "$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(wc -c <"$file")" "$(sha256sum <"$file" | cut -c 1-64)"
done >Packages"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(&folder).env("suite", suite.trim()).env("packages", PACKAGES);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("archives")
}

/// Serves a folder to the nodes for as long as this process lives.
fn serve(folder: PathBuf) {
    let listener = TcpListener::bind(REPOSITORY).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let folder = folder.clone();
            thread::spawn(move || -> std::io::Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                // apt asks for several files on one connection.
                loop {
                    let mut first = String::new();
                    if reader.read_line(&mut first)? == 0 {
                        return Ok(());
                    }
                    let mut line = String::from("x");
                    while !line.trim().is_empty() {
                        line.clear();
                        reader.read_line(&mut line)?;
                    }
                    let name =
                        first.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default();
                    // In addresses apt writes some signs as their numbers.
                    let name = name.replace("%2b", "+").replace("%7e", "~").replace("%25", "%");
                    let (status, body) = match fs::read(folder.join(name)) {
                        Ok(body) => ("200 OK", body),
                        Err(_) => ("404 Not Found", Vec::new()),
                    };
                    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
                    if !first.starts_with("HEAD") {
                        stream.write_all(&body)?;
                    }
                }
            });
        }
    });
}

/// The lab's own Kubernetes, in the places of the official one.
pub fn mirror(stage: &Stage, registry: &Registry) {
    let home = cache().join("artifacts/kubernetes-1.20.2");
    let put = |url: &str, content: &[u8]| {
        let path = stage.path("mirror").join(url);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for name in ["kubeadm", "kubelet", "kubectl"] {
        let (content, url) =
            (fs::read(home.join(name)).unwrap(), format!("dl.k8s.io/release/v1.20.2/bin/linux/amd64/{name}"));
        put(&url, &content);
        put(&format!("{url}.sha256"), sha256(&content).as_bytes());
    }
    let packed = |name: &str, content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&tar(name, content)).unwrap();
        encoder.finish().unwrap()
    };
    let crictl = packed("crictl", &fs::read(home.join("crictl")).unwrap());
    put(
        "github.com/kubernetes-sigs/cri-tools/releases/download/v1.20.0/crictl-v1.20.0-linux-amd64.tar.gz",
        &crictl,
    );
    let (etcd, name) = (packed("etcd", b"not used here"), "etcd-v3.4.13-linux-amd64.tar.gz");
    let folder = "github.com/etcd-io/etcd/releases/download/v3.4.13";
    put(&format!("{folder}/SHA256SUMS"), format!("{}  {name}\n", sha256(&etcd)).as_bytes());
    put(&format!("{folder}/{name}"), &etcd);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, reference) in IMAGES {
        runtime.block_on(registry.push_archive(reference, &home.join(format!("images/{name}.tar"))));
    }
}

/// Writes the inventory of the site and its lock, and makes the bundle.
fn bundle(stage: &Stage, registry: &Registry) -> PathBuf {
    site(stage, "office", "packages: pinned");
    for node in ["cp1", "w1"] {
        let source = format!("deb [trusted=yes] http://{REPOSITORY} ./");
        stage.on(node, &format!("echo '{source}' >/etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*"));
    }
    let lists = "find /var/lib/apt /var/cache/apt /var/lib/dpkg -type f -exec ls -l --time-style=full-iso {} + | sha256sum";
    let before = stage.on("cp1", lists);
    let (mirror, registry) = (stage.path("mirror"), registry.url());
    let origin = ["--mirror", text(&mirror), "--registry", &registry];
    let locked = hoist(stage, "office/site.yaml", &[&["lock"], &origin[..]].concat()).exits(0);
    locked.says("5 files, 6 images").says("packages for debian-13 (amd64)");
    assert_eq!(stage.on("cp1", lists), before, "asking changes nothing on a host");
    let lock = fs::read_to_string(stage.path("office/hoist.lock")).unwrap();
    assert!(lock.contains(&format!("url: http://{REPOSITORY}/./socat_")), "{lock}");
    hoist(stage, "office/site.yaml", &[&["lock"], &origin[..]].concat()).exits(0).says("unchanged");
    let bundle = stage.path("site.bundle");
    hoist(stage, "office/site.yaml", &[&["bundle", "create", text(&bundle)], &origin[..]].concat()).exits(0);
    hoist(stage, "office/site.yaml", &["bundle", "verify", text(&bundle)]).exits(0);
    bundle
}

/// The lab's inventory with two hosts and this in its `artifacts`.
fn site(stage: &Stage, folder: &str, artifacts: &str) {
    fs::create_dir_all(stage.path(folder)).unwrap();
    let home = stage.path(folder).join("artifacts");
    let folder_line = format!("folder: {}/artifacts\n", cache().display());
    stage.inventory(
        &format!("{folder}/site.yaml"),
        &[
            (&folder_line, &format!("folder: {}\n  {artifacts}\n", home.display())),
            ("  w2: {address: 10.77.0.13, roles: [worker]}\n", ""),
        ],
    );
}

fn strip(stage: &Stage) {
    for node in ["cp1", "w1"] {
        stage.on(node, "rm -rf /etc/apt/sources.list /var/lib/apt/lists/*");
    }
    stage.on("w1", "dpkg --purge socat ebtables conntrack");
    assert!(!stage.holds_on("w1", "command -v socat"));
}

/// A bundle of a lock that was written before somebody asked for packages.
fn not_pinned(stage: &Stage) {
    let lock = fs::read_to_string(stage.path("office/hoist.lock")).unwrap();
    for (folder, lock, expected) in [
        (
            "none",
            lock.split_once("\npackages:").unwrap().0.to_owned() + "\n",
            "no packages are pinned for cp1, which is debian-13",
        ),
        (
            "less",
            lock.replace("    socat:\n", "    other:\n"),
            "installs socat, which is not pinned for debian-13",
        ),
    ] {
        // `other` is a name that is pinned, or the lock would not be one.
        let lock = lock.replace("    other:\n", "    libc6:\n");
        site(
            stage,
            folder,
            &format!("packages: pinned\n  bundle: {}", stage.path(folder).join("b").display()),
        );
        fs::write(stage.path(folder).join("hoist.lock"), lock).unwrap();
        fs::create_dir_all(stage.path(folder).join("cache")).unwrap();
        let made = stage.path(folder).join("cache/store");
        std::os::unix::fs::symlink(stage.path("office/cache/store"), made).unwrap();
        let inventory = format!("{folder}/site.yaml");
        let file = stage.path(folder).join("b");
        hoist(stage, &inventory, &["bundle", "create", text(&file)]).exits(0);
        let refused = hoist(stage, &inventory, &["apply"]).exits(65);
        refused.says(expected).says("hoist lock -i INVENTORY --update");
    }
    assert!(!stage.holds_on("cp1", "[ -e /usr/local/bin/kubeadm ] || [ -e /usr/bin/kubeadm ]"));
}

fn apply(stage: &Stage, bundle: &Path) {
    site(stage, "away", &format!("packages: pinned\n  bundle: {}", bundle.display()));
    let plan = hoist(stage, "away/site.yaml", &["plan"]).exits(2);
    plan.says("install conntrack ebtables socat");
    hoist(stage, "away/site.yaml", &["apply"]).exits(0).says("2 nodes ready");
    stage.on("w1", "dpkg --audit; dpkg -s socat ebtables conntrack >/dev/null");
    for node in ["cp1", "w1"] {
        stage.on(node, "[ ! -e /var/lib/hoist/packages ] && [ ! -e /etc/apt/sources.list ]");
    }
}
