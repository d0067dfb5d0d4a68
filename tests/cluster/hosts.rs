//! What runs containers and keeps volumes on hosts: containerd as a package and from its release, mirrors of registries,
//! a proxy, a disk.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use hoist::{
    artifact::{File, Index},
    task::sha256,
};

use crate::stage::{Stage, cache, output_of, text, until};

const LAB: &str = "hosts";
const KUBERNETES: &str = "1.20.2";

/// The machine, as nodes see it.
const GATEWAY: &str = "10.77.0.1";

/// What the inventory says beyond the lab's.
const OUTSIDE: &str = "  proxy: {http: \"http://10.77.0.1:3128\", no_proxy: [10.77.0.1, .near.test]}
  registries: {registry.test: [{url: \"http://10.77.0.1:5000\"}]}
";
const PLACE: &str = "  # lab: images come from";
/// One node is enough: it keeps volumes, too.
const NODE: (&str, &str) = (
    "cp1: {address: 10.77.0.11, roles: [control-plane]}",
    "cp1: {address: 10.77.0.11, roles: [control-plane, worker, storage], disks: [{device: /dev/disk/by-id/hoist-test}]}",
);
/// The kubelet would remove images that no pod uses, and that a plan then wants back, when the machine's disk is full.
const KUBELET: (&str, &str) = ("  kubelet:\n", "  kubelet:\n    maxPods: 111\n");
const VARS: (&str, &str) = (
    "containerd: {restrict_oom_score_adj: true}",
    "containerd: {restrict_oom_score_adj: true}\n  storage: {iscsi: false, nfs: false} # the kernel has no iSCSI",
);
const NO_WORKERS: (&str, &str) = (
    "  w1: {address: 10.77.0.12, roles: [worker]}
  w2: {address: 10.77.0.13, roles: [worker]}
",
    "",
);

#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn hosts() {
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    inventory(&stage, OUTSIDE, &[]);
    let disk = Disk::new(&stage.path("disk"));
    stage.step("a cluster of one node with a disk for volumes", || begin(&stage, &disk));
    stage.step("a disk that holds something else is refused", || refused(&stage));
    let registry = Registry::start(&stage);
    stage.step("an image is pulled from the mirror", || pull(&stage));
    stage.step("what has no mirror is asked for through the proxy", || proxy(&stage));
    stage.step("containerd from its release takes over, and pods go on", || release(&stage));
    stage.step("another release replaces it", || another(&stage));
    drop(registry);
    stage.step("mirrors and proxy go when the inventory has none", || inside(&stage));
    stage.hoist(&["lab", "down"]).exits(0);
}

fn inventory(stage: &Stage, outside: &str, more: &[(&str, &str)]) {
    let outside = format!("{outside}{PLACE}");
    let edits = [&[(PLACE, outside.as_str()), NODE, KUBELET, VARS, NO_WORKERS], more].concat();
    stage.inventory("inventory.yaml", &edits);
}

fn unchanged(stage: &Stage) {
    stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    stage.hoist(&["apply"]).exits(0).says("0 changes");
}

fn begin(stage: &Stage, disk: &Disk) {
    stage.hoist(&["lab", "up", "--nodes", "cp1=10.77.0.11"]).exits(0);
    stage.hoist(&["plan"]).exits(2).says("refuse: there is no block device /dev/disk/by-id/hoist-test");
    disk.give(stage, "cp1");
    stage.hoist(&["apply"]).exits(0).says("1 node ready");
    unchanged(stage);
    stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    assert_eq!(
        stage.on("cp1", "findmnt -no FSTYPE /var/lib/longhorn; cat /var/lib/longhorn/kept"),
        "ext4\nkept\n"
    );
    assert!(stage.on("cp1", "cat /etc/fstab").contains("/var/lib/longhorn ext4 defaults,noatime,nofail 0 0"));
    // What the inventory adds for kubelets, and one proxy for all that asks for something.
    assert!(stage.on("cp1", "cat /var/lib/kubelet/config.yaml").contains("maxPods: 111"));
    let environment =
        stage.on("cp1", "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID containerd)/environ");
    let set = |line: &str| environment.lines().any(|it| it == line);
    assert!(
        set("HTTP_PROXY=http://10.77.0.1:3128") && set("HTTPS_PROXY=http://10.77.0.1:3128"),
        "{environment}"
    );
    let direct = environment.lines().find_map(|line| line.strip_prefix("NO_PROXY=")).unwrap();
    for entry in ["localhost", "10.77.0.11", "10.244.0.0/16", "10.96.0.0/12", ".svc", ".near.test"] {
        assert!(direct.split(',').any(|it| it == entry), "{entry} is not in {direct}");
    }
    let apt = stage.on("cp1", "apt-config dump");
    assert!(apt.contains("Acquire::http::Proxy \"http://10.77.0.1:3128\";"), "{apt}");
    assert!(apt.contains("Acquire::http::Proxy::10.77.0.1 \"DIRECT\";"), "{apt}");
}

/// Another number each time that a file system is made.
fn made(stage: &Stage) -> String {
    stage.on("cp1", "blkid -p -o value -s UUID /dev/hoist-test")
}

fn refused(stage: &Stage) {
    let before = made(stage);
    stage.on("cp1", "umount /var/lib/longhorn");
    let other = "disks: [{device: /dev/disk/by-id/hoist-test, filesystem: xfs, format: true}]";
    inventory(stage, OUTSIDE, &[("disks: [{device: /dev/disk/by-id/hoist-test}]", other)]);
    stage.hoist(&["plan"]).exits(2).says("is not empty: a file system (ext4)");
    inventory(stage, OUTSIDE, &[]);
    stage.hoist(&["apply"]).exits(0).says("1 node ready");
    assert_eq!(stage.on("cp1", "cat /var/lib/longhorn/kept"), "kept\n");
    assert_eq!(made(stage), before, "it is the file system from before");
    unchanged(stage);
}

/// Starts a pod of an image that has to be pulled.
fn start(stage: &Stage, name: &str, image: &str) {
    let image = format!("--image={image}");
    let run =
        ["run", name, image.as_str(), "--image-pull-policy=Always", "--restart=Never", "--", "/", "8080"];
    until("the namespace's account is there", 30, || {
        stage.kubectl(&["get", "serviceaccount", "default"]).exit == Some(0)
    });
    stage.kubectl(&run).exits(0);
}

#[track_caller]
fn ready(stage: &Stage, name: &str) {
    let pod = format!("pod/{name}");
    stage.kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=90s"]).exits(0);
}

fn pull(stage: &Stage) {
    let pushed = format!("{GATEWAY}:5000/pulled:1");
    stage.on(
        "cp1",
        &format!(
            "ctr -n k8s.io images tag hoist.local/static-server:1 {pushed} && \
             ctr -n k8s.io images push --plain-http {pushed} && ctr -n k8s.io images rm {pushed}"
        ),
    );
    start(stage, "pulled", "registry.test/pulled:1");
    ready(stage, "pulled");
}

fn proxy(stage: &Stage) {
    let mut command = stage.command(&["lab", "exec", "--", "busybox", "nc", "-l", "-p", "3128"]);
    let mut listener = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let answer = BufReader::new(listener.0.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        answer.lines().map_while(Result::ok).take(1).for_each(|line| drop(sender.send(line)))
    });
    start(stage, "far", "far.test/x:1");
    let asked = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(asked, "CONNECT far.test:443 HTTP/1.1");
    drop(listener);
    stage.kubectl(&["delete", "pod", "far", "--now"]).exits(0);
}

/// Archives as the projects release them, of the programs that the node's distribution has.
fn archives(stage: &Stage, more: &str) {
    let work = stage.path(&format!("release-{more}"));
    let bin = work.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let (node, to) = (cache().join("lab/node.tar"), text(&work).to_string());
    output_of(
        "tar",
        &[
            "-xf",
            text(&node),
            "-C",
            &to,
            "./usr/bin/containerd",
            "./usr/bin/containerd-shim-runc-v2",
            "./usr/bin/ctr",
            "./usr/sbin/runc",
            "./usr/lib/cni",
        ],
    );
    for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        fs::rename(work.join("usr/bin").join(name), bin.join(name)).unwrap();
    }
    fs::write(bin.join(more), more).unwrap();
    let packed = |name: &str, from: &Path, what: &str| {
        let path = work.join(name);
        output_of("tar", &["-I", "gzip -1", "-cf", text(&path), "-C", text(from), what]);
        path
    };
    let extra = |name: &str, path: PathBuf, version: &str| {
        let bytes = fs::read(&path).unwrap();
        File {
            name: name.into(),
            sha256: sha256(&bytes),
            size: bytes.len() as u64,
            path,
            version: version.into(),
        }
    };
    // Its paths are absolute: the big ones stay in the cache.
    let mut index = Index::load(&cache().join("artifacts"), KUBERNETES).unwrap();
    index.extras = vec![
        extra("containerd", packed("containerd.tar.gz", &work, "bin"), "1.7.24"),
        extra("runc", work.join("usr/sbin/runc"), "1.1.15"),
        extra("cni-plugins", packed("cni-plugins.tgz", &work.join("usr/lib/cni"), "."), "1.1.1"),
    ];
    let home = Index::home(&stage.path("artifacts"), KUBERNETES);
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("index.yaml"), serde_yaml::to_string(&index).unwrap()).unwrap();
}

fn with_archives(stage: &Stage, outside: &str) {
    let (from, to) = (cache().join("artifacts"), stage.path("artifacts"));
    let from = format!("folder: {}", text(&from));
    inventory(stage, outside, &[(&from, &format!("folder: {}", text(&to)))]);
}

fn runs_from_its_release(stage: &Stage) {
    let program = stage.on("cp1", "readlink /proc/$(systemctl show -P MainPID containerd)/exe");
    assert_eq!(program, "/usr/local/bin/containerd\n");
    // The pod from before is the same one and was not restarted.
    let path = "jsonpath={.status.containerStatuses[0].restartCount} {.status.phase}";
    assert_eq!(stage.kubectl(&["get", "pod", "pulled", "-o", path]).exits(0).stdout, "0 Running");
    unchanged(stage);
}

fn release(stage: &Stage) {
    archives(stage, "first");
    with_archives(stage, OUTSIDE);
    let plan = stage.hoist(&["plan", "--diff"]).exits(2).says("unpack containerd.tar.gz into /usr/local");
    plan.says("interrupts containerd").says("+ bin_dir = \"/opt/cni/bin\"");
    stage.hoist(&["apply"]).exits(0).says("1 node ready");
    runs_from_its_release(stage);
    // A new pod needs the shim, runc and the network plugins from there.
    start(stage, "after", "registry.test/pulled:1");
    ready(stage, "after");
    assert!(stage.holds_on("cp1", "pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 '"));
    assert!(stage.holds_on("cp1", "[ -x /opt/cni/bin/bridge ] && [ -x /usr/local/sbin/runc ]"));
    // A damaged program is put back.
    stage.on("cp1", "echo broken > /opt/cni/bin/portmap");
    stage.hoist(&["apply"]).exits(0).says("1 change, 1 node ready");
    unchanged(stage);
}

fn another(stage: &Stage) {
    archives(stage, "second");
    assert!(stage.holds_on("cp1", "[ -e /usr/local/bin/first ]"));
    stage
        .hoist(&["plan"])
        .exits(2)
        .says("unpack containerd.tar.gz into /usr/local")
        .says("restart containerd.service");
    stage.hoist(&["apply"]).exits(0).says("1 node ready");
    assert!(stage.holds_on("cp1", "[ ! -e /usr/local/bin/first ] && [ -e /usr/local/bin/second ]"));
    runs_from_its_release(stage);
}

fn inside(stage: &Stage) {
    // What somebody else wrote stays.
    stage.on("cp1", "mkdir -p /etc/containerd/certs.d/own.test && echo '# own' > /etc/containerd/certs.d/own.test/hosts.toml");
    with_archives(stage, "");
    stage
        .hoist(&["plan"])
        .exits(2)
        .says("remove file /etc/systemd/system/containerd.service.d/hoist-proxy.conf")
        .says("restart containerd.service");
    stage.hoist(&["apply"]).exits(0).says("1 node ready");
    assert_eq!(stage.on("cp1", "ls /etc/containerd/certs.d"), "own.test\n");
    assert!(stage.holds_on(
        "cp1",
        "! tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID containerd)/environ | grep -q PROXY"
    ));
    assert!(stage.holds_on("cp1", "! apt-config dump | grep -q Proxy"));
    unchanged(stage);
}

/// A disk with an ext4 and a file on it, made on this machine; a node sees it as a device of its own.
struct Disk {
    device: String,
}

impl Disk {
    fn new(file: &Path) -> Disk {
        fs::File::create(file).unwrap().set_len(64 << 20).unwrap();
        let kept = file.with_extension("content");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("kept"), "kept\n").unwrap();
        output_of("mkfs.ext4", &["-q", "-d", text(&kept), text(file)]);
        let device = output_of("losetup", &["--find", "--show", text(file)]).trim().to_string();
        Disk { device }
    }

    fn give(&self, stage: &Stage, node: &str) {
        let number = output_of("stat", &["-c", "%Hr %Lr", &self.device]);
        stage.on(
            node,
            &format!("mkdir -p /dev/disk/by-id && mknod /dev/hoist-test b {} && ln -s ../../hoist-test /dev/disk/by-id/", number.trim()),
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes when the node's mount of it goes.
        Command::new("losetup").args(["--detach", &self.device]).status().ok();
    }
}

/// A program that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Debian's `docker-registry`, in the lab's network.
struct Registry {
    _child: Ended,
}

impl Registry {
    fn start(stage: &Stage) -> Registry {
        let file = stage.path("registry.yml");
        let data = stage.path("registry");
        let config = format!(
            "{{version: 0.1, log: {{level: error}}, storage: {{filesystem: {{rootdirectory: {}}}}}, http: {{addr: '{GATEWAY}:5000'}}}}",
            text(&data)
        );
        fs::write(&file, config).unwrap();
        let mut command = stage.command(&["lab", "exec", "--", "docker-registry", "serve", text(&file)]);
        let child = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let url = format!("http://{GATEWAY}:5000/v2/");
        until("the registry answers", 20, || {
            let mut ask = stage.command(&["lab", "exec", "--", "curl", "-sf", &url]);
            ask.stdout(Stdio::null()).status().unwrap().success()
        });
        Registry { _child: child }
    }
}
