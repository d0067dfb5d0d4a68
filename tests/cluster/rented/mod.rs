//! When the machines have no room left: a pod that waits becomes a claim, an instance, a node; and when nobody needs it,
//! nothing is left of it. EC2 is an emulator whose instances are nodes of the lab; machines and instances meet at the gateway
//! alone, as by default.

mod controller;
mod ec2;
mod image;
mod internet;
mod metadata;

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use controller::{Controller, Foreground, Pods};
use ec2::{Ec2, REGION, ZONE};
use internet::{GATEWAYS, LAN, SERVER, VPC, WORKERS};

use crate::stage::{Stage, cache, text};

const LAB: &str = "cluster-rented";
const TYPE: &str = "m5.large";

/// Of Cilium the lab has no image: a bridge stands in for it on the rented node, and `cilium_is_ready` for its agent. The machines
/// keep the lab's own bridge, but look for plugins where Cilium's are.
const NETWORK: &str = r#"description: Stands in for Cilium.
needs: [kubernetes]
tasks:
  - name: pods are on a bridge
    file:
      path: /etc/cni/net.d/10-bridge.conflist
      content: |
        {"cniVersion": "0.4.0", "name": "bridge", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
          "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.200.0/24"}]]}}]}
  - name: the plugins are where containerd looks
    command:
      run: mkdir -p /opt/cni/bin && ln -sf /usr/lib/cni/* /opt/cni/bin/
      creates: /opt/cni/bin/bridge
"#;

/// What that role does, on machines.
const PLUGINS: &str = "mkdir -p /opt/cni/bin && ln -sf /usr/lib/cni/* /opt/cni/bin/";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn rented() {
    let stage = Stage::new(LAB, include_str!("../../../inventory/lab.yaml"));
    eprintln!();
    stage.step("two machines and a cluster behind a virtual address", || {
        let machines = stage.inventory("inventory.yaml", &EDITS);
        stage.hoist(&["lab", "up", "-i", text(&machines)]).exits(0);
        stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    });
    let ec2 = Ec2::start(LAB).unwrap();
    write_inventory(&stage, &ec2);
    stage.step("the machines get keys, and EC2 a network", || prepare(&stage, &ec2));
    let _files = serve_artifacts(&stage);
    let pods = stage.step("the controller becomes two pods, of which one leads", || install(&stage, &ec2));
    stage.step("the machines dial a gateway", || dial(&stage, &ec2, &pods));
    stage.step("a pod that waits becomes a node, and runs on it", || rent(&stage, &ec2, &pods));
    stage.step("the node is what it should be", || as_it_should_be(&stage, &ec2));
    stage.step("the pod that leads is deleted: the other one leads", || other_leads(&stage, &ec2, &pods));
    stage.step("the gateway dies: another one takes its place, and the pod stays", || {
        gateway_dies(&stage, &ec2, &pods);
    });
    stage.step("the pods give the lease back, and the administrator's machine goes on", || pods.end());
    let controller = Foreground::start(&stage, &ec2);
    stage.step("EC2 takes it back: the pod runs on another", || taken_back(&stage, &ec2, &controller));
    stage.step("the node is given back when nothing runs on it, and nothing is left", || {
        give_back(&stage, &ec2, &controller);
    });
    drop(controller);
    stage.step("destroy ends the gateway, and the machines their tunnels", || {
        assert_eq!(ec2.running(), 1, "the gateway is there as long as somebody keeps it");
        aws(&stage, &ec2, &["burst", "destroy", "--yes"]).exits(0).says("nothing is left");
        assert_eq!(ec2.running(), 0);
        for machine in MACHINES {
            stage.on(machine, "systemctl start hoist-tunnel.service");
            assert!(!stage.holds_on(machine, "ip link show hoist"), "{machine} dials nobody");
        }
        stage.hoist(&["plan", "--only", "tunnel"]).exits(0);
    });
}

const MACHINES: [&str; 2] = ["cp1", "w1"];
const EDITS: [(&str, &str); 4] = [
    ("  w2: {address: 10.77.0.13, roles: [worker]}\n", ""),
    ("endpoint: {address: 10.77.0.11, port: 6443}", "endpoint: {vip: 10.77.0.100}"),
    // A site, so that the lab can cut its links to EC2.
    ("hosts:\n", "sites: [office]\n\nhosts:\n"),
    ("]}\n", "], site: office}\n"),
];

fn write_inventory(stage: &Stage, ec2: &Ec2) {
    let burst = format!(
        "burst:\n  region: {REGION}\n  zones: [{ZONE}]\n  lan: [{LAN}]\n  vpc: {VPC}\n  subnets: [{WORKERS}]\n  \
         gateway_subnets: [{GATEWAYS}]\n  gateway_type: t3.nano\n  instances: {{types: [{TYPE}]}}\n  image: {{amd64: {}}}\n  prices: {{{TYPE}: 0.115}}\n  labels: {{team: web}}\n  after_seconds: 2\n  \
         idle_minutes: 1\n  max_instances: 2\n  monthly_budget: 10\nvars:\n",
        ec2.image()
    );
    let mirror = format!("artifacts:\n  url: http://{SERVER}:8000\n");
    let mirror = ("artifacts:\n", mirror.as_str());
    let more = [mirror, ("plugin: bridge", "plugin: cilium"), ("vars:\n", burst.as_str())];
    stage.inventory("inventory.yaml", &[&EDITS[..], &more].concat());
    let role = stage.path("library/roles/cilium/role.yaml");
    fs::create_dir_all(role.parent().unwrap()).unwrap();
    fs::write(role, NETWORK).unwrap();
    stage.hoist(&["check"]).exits(0);
}

/// The artifacts by HTTP, as a company's mirror has them: rented nodes fetch what they need themselves.
fn serve_artifacts(stage: &Stage) -> Process {
    let folder = cache().join("artifacts");
    let mut server = stage.command(&["lab", "exec", "--", "python3", "-m", "http.server", "8000"]);
    server.args(["--bind", SERVER, "--directory", text(&folder)]).stdout(Stdio::null()).stderr(Stdio::null());
    Process(server.spawn().unwrap())
}

/// A process that ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_aws(mut command: Command, ec2: &Ec2) -> Command {
    command.env("AWS_ENDPOINT_URL", &ec2.url).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", "tests").env("AWS_SECRET_ACCESS_KEY", "tests");
    command
}

fn aws(stage: &Stage, ec2: &Ec2, arguments: &[&str]) -> crate::stage::Ran {
    stage.run(with_aws(stage.command(arguments), ec2))
}

fn prepare(stage: &Stage, ec2: &Ec2) {
    // Only this: the network of their pods is not the one that rented nodes have.
    stage.hoist(&["apply", "--only", "tunnel"]).exits(0);
    stage.hoist(&["plan", "--only", "tunnel"]).exits(0);
    aws(stage, ec2, &["burst", "up", "--yes"]).exits(0).says("203.0.113.7");
    let made = aws(stage, ec2, &["burst", "up", "--output", "json"]).exits(0).stdout;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["outcome"], "nothing");
    let gateway = made["network"]["gateway"]["private_address"].as_str().unwrap();
    ec2.has_gateway_at(gateway);
    internet::open(LAB, gateway);
}

fn install<'a>(stage: &'a Stage, ec2: &Ec2) -> Pods<'a> {
    for machine in MACHINES {
        stage.on(machine, PLUGINS);
    }
    image::supply(stage, &MACHINES);
    let pods = Pods::install(stage, &internet::forward(LAB, &ec2.url));
    let both = || pods.running().len() == 2 && pods.leader().is_some();
    wait("two pods run, and one of them leads", 120, stage, ec2, &pods, both);
    pods
}

/// Another pod takes the place of the one that led, at home, though a rented node is there.
fn other_leads(stage: &Stage, ec2: &Ec2, pods: &Pods) {
    let first = pods.leader().unwrap();
    let begun = Instant::now();
    pods.delete(&first);
    let other = || pods.leader().is_some_and(|leader| leader != first);
    wait("the other leads", 60, stage, ec2, pods, other);
    eprint!("{:.1} s: ", begun.elapsed().as_secs_f64());
    wait("there are two again", 90, stage, ec2, pods, || pods.running().len() == 2);
    for (name, address) in pods.running() {
        assert!(["10.77.0.11", "10.77.0.12"].contains(&address.as_str()), "{name} is on {address}");
    }
}

fn dial(stage: &Stage, ec2: &Ec2, controller: &dyn Controller) {
    for machine in MACHINES {
        let answers = "wg show hoist latest-handshakes | grep -Eq '[1-9][0-9]*$'";
        wait("it answers", 180, stage, ec2, controller, || stage.holds_on(machine, answers));
    }
    assert!(ec2.workers().is_empty(), "nothing is rented for nobody");
}

/// EC2 ends it, as when its host fails. Nobody touches a machine or a worker.
fn gateway_dies(stage: &Stage, ec2: &Ec2, controller: &dyn Controller) {
    let [first] = ec2.gateways().try_into().unwrap();
    let (node, before) = (runs_on(stage), ec2.workers().len());
    ec2.lose(&first.id);
    let begun = Instant::now();
    let worker = ec2.workers()[0].address.clone();
    let reached = || stage.holds_on("w1", &format!("ping -q -c 1 -W 1 {worker}"));
    wait("it is gone", 60, stage, ec2, controller, || !reached());
    wait("the worker is reached through another", 240, stage, ec2, controller, reached);
    eprint!("{:.1} s: ", begun.elapsed().as_secs_f64());
    assert_eq!((ec2.gateways().len(), ec2.workers().len()), (2, before));
    assert_eq!(runs_on(stage), node, "its pod was not moved");
    let restarts = "jsonpath={.items[0].status.containerStatuses[0].restartCount}";
    let restarts = stage.kubectl(&["get", "pods", "-l", "app=overflow", "-o", restarts]).stdout;
    assert_eq!(restarts, "0");
}

/// A Deployment of one pod that only a rented node takes.
const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: overflow}
spec:
  replicas: 1
  selector: {matchLabels: {app: overflow}}
  template:
    metadata: {labels: {app: overflow}}
    spec:
      nodeSelector: {node.kubernetes.io/instance-type: m5.large}
      tolerations: [{key: hoist.dev/burst, operator: Exists}]
      containers:
        - name: web
          image: hoist.local/static-server:1
          resources: {requests: {cpu: 500m, memory: 64Mi}}
"#;

/// Waits until something is so, with all that is known of the rented machines if it never is.
#[track_caller]
fn wait(
    what: &str,
    limit: u64,
    stage: &Stage,
    ec2: &Ec2,
    controller: &dyn Controller,
    so: impl Fn() -> bool,
) {
    let begun = Instant::now();
    while !so() {
        cilium_is_ready(stage);
        if controller.has_ended() || begun.elapsed() > Duration::from_secs(limit) {
            let nodes = stage.kubectl(&["describe", "nodes", "-l", "hoist.dev/claim"]).stdout;
            let machines: Vec<String> =
                ec2.workers().iter().map(|it| format!("{it:?}\n{}", it.console)).collect();
            panic!("not within {limit} s: {what}\n{}\n{nodes}\n{}", controller.said(), machines.join("\n"));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What Cilium's agent does on a node as soon as it is up.
fn cilium_is_ready(stage: &Stage) {
    let key = "node.cilium.io/agent-not-ready";
    stage.kubectl(&["taint", "nodes", "-l", "hoist.dev/claim", &format!("{key}-")]);
}

/// Where the pod runs; nowhere, while it does not.
fn runs_on(stage: &Stage) -> Option<String> {
    let path = "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.status.hostIP} {.metadata.deletionTimestamp}{end}";
    let said = stage.kubectl(&["get", "pods", "-l", "app=overflow", "-o", path]).stdout;
    Some(said.trim().to_owned()).filter(|address| !address.is_empty() && !address.contains(' '))
}

fn rent(stage: &Stage, ec2: &Ec2, controller: &dyn Controller) {
    let manifest = stage.path("deployment.yaml");
    fs::write(&manifest, DEPLOYMENT).unwrap();
    let begun = Instant::now();
    stage.kubectl(&["apply", "-f", text(&manifest)]).exits(0);
    wait("the pod runs", 300, stage, ec2, controller, || runs_on(stage).is_some());
    let running = Instant::now();
    let machines = ec2.workers();
    let [machine] = machines.as_slice() else { panic!("one pod, one instance: {machines:?}") };
    let (booted, (joined, well)) = (machine.booted.unwrap(), machine.joined.unwrap());
    assert!(well, "{}", machine.console);
    let between = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
    eprint!(
        "{:.1} s to the instance, {:.1} s to boot, {:.1} s of its user data, {:.1} s to the pod: ",
        between(begun, machine.seen),
        between(machine.seen, booted),
        between(booted, joined),
        between(joined, running)
    );
    eprint!("{}; ", by_the_cluster(stage));
    let own = own_share(stage, ec2);
    eprint!("{own:.1} s of hoist's own until EC2 was asked, {} to sign: ", signed(stage));
    // The target is 3 s; two cores run the cluster, the emulator and the nodes besides.
    let late = format!("{own:.1} s until EC2 was asked, beside what pods are to wait");
    assert!(own < 5.0, "{late}\n{}", controller.said());
}

/// What that inventory says that a pod is to wait, and that others are waited for.
const WAIT: f64 = 4.0;

/// Seconds from the first look at the pod that waits until EC2 was asked, without what they are to wait.
fn own_share(stage: &Stage, ec2: &Ec2) -> f64 {
    let status = aws(stage, ec2, &["burst", "status", "--output", "json"]).exits(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let time =
        |name: &str| -> jiff::Timestamp { status["nodes"][0][name].as_str().unwrap().parse().unwrap() };
    time("asked").duration_since(time("demanded")).as_secs_f64() - WAIT
}

/// When Kubernetes got the first request of the node for a certificate, and when it was signed, in whole seconds.
fn signed(stage: &Stage) -> String {
    let times = "jsonpath={range .items[*]}{.metadata.creationTimestamp} \
                 {.status.conditions[?(@.type==\"Approved\")].lastUpdateTime} {.spec.signerName}{\"\\n\"}{end}";
    let said = stage.kubectl(&["get", "csr", "--sort-by", "metadata.creationTimestamp", "-o", times]).stdout;
    let mut of_kubelets = said.lines().filter(|line| line.ends_with("kube-apiserver-client-kubelet"));
    let words = of_kubelets.next_back().unwrap_or_default().split_whitespace().take(2);
    words.filter_map(|word| word.split('T').nth(1)).collect::<Vec<_>>().join(" ")
}

/// What Kubernetes itself says of the last of it: when the node was there, and ready, and when the pod was given to it, and ran.
fn by_the_cluster(stage: &Stage) -> String {
    let node = "jsonpath={.items[0].metadata.creationTimestamp} \
                {.items[0].status.conditions[?(@.type==\"Ready\")].lastTransitionTime}";
    let node = stage.kubectl(&["get", "nodes", "-l", "hoist.dev/claim", "-o", node]).stdout;
    let pod = "jsonpath={.items[0].status.conditions[?(@.type==\"PodScheduled\")].lastTransitionTime} \
               {.items[0].status.containerStatuses[0].state.running.startedAt}";
    let pod = stage.kubectl(&["get", "pods", "-l", "app=overflow", "-o", pod]).stdout;
    let words = format!("{node} {pod}");
    let times: Vec<&str> = words.split_whitespace().filter_map(|word| word.split('T').nth(1)).collect();
    format!("node, ready, bound, runs: {}", times.join(" "))
}

fn as_it_should_be(stage: &Stage, ec2: &Ec2) {
    let machine = &ec2.workers()[0];
    let node = stage.kubectl(&["get", "nodes", "-l", "hoist.dev/claim", "-o", "yaml"]).exits(0).stdout;
    for said in [
        &format!("providerID: aws:///{ZONE}/{}", machine.id),
        &format!("address: {}", machine.address),
        "topology.kubernetes.io/zone: eu-central-1a",
        "topology.kubernetes.io/region: eu-central-1",
        "node.kubernetes.io/instance-type: m5.large",
        "hoist.dev/capacity-type: spot",
        "team: web",
        "key: hoist.dev/burst",
        "node.kubernetes.io/exclude-from-external-load-balancers",
    ] {
        assert!(node.contains(said), "{said} is not in {node}");
    }
    // The API server reaches its kubelet, by its own address, and no machine reaches it in another way.
    stage.kubectl(&["logs", "-l", "app=overflow"]).exits(0);
    stage.on("w1", &format!("ip route get {} | grep -q 'dev hoist src 10.77.0.12'", machine.address));
    stage.on(&machine.node, "ip route get 10.77.0.12 | grep -q 'via 10.77.0.'");
    // It finds the API server at the virtual address, which it has itself.
    stage.on(&machine.node, "ip -4 -o address show dev lo | grep -q ' 10.77.0.100/32 '");
    stage.on(&machine.node, "ss -Hltn 'sport = :6443' | grep -q '10.77.0.100:6443'");
    stage.on(&machine.node, "systemctl -q is-active hoist-node-alone.timer hoist-node-notice.service");
    assert!(!stage.holds_on(&machine.node, "[ -e /run/hoist/join ]"), "its token is gone");
    let status = aws(stage, ec2, &["burst", "status"]).exits(0);
    status.says("ready").says(TYPE).says("203.0.113.7:51820, lets in 2");
}

fn taken_back(stage: &Stage, ec2: &Ec2, controller: &dyn Controller) {
    let first = ec2.workers()[0].clone();
    let begun = Instant::now();
    ec2.notice(&first.address);
    let elsewhere = || runs_on(stage).is_some_and(|address| address != first.address);
    wait("the pod runs on another node", 240, stage, ec2, controller, elsewhere);
    eprint!("{:.1} s: ", begun.elapsed().as_secs_f64());
    let off = || ec2.workers().iter().any(|machine| machine.id == first.id && machine.off.is_some());
    wait("the first is ended", 120, stage, ec2, controller, off);
    assert_eq!(ec2.workers().len(), 2, "one took its place");
}

fn give_back(stage: &Stage, ec2: &Ec2, controller: &Foreground) {
    stage.kubectl(&["delete", "deployment", "overflow"]).exits(0);
    let begun = Instant::now();
    let only_the_gateway = || ec2.running() == 1;
    wait("EC2 has ended it", 180, stage, ec2, controller, only_the_gateway);
    eprint!("{:.1} s: ", begun.elapsed().as_secs_f64());
    let left =
        |words: &[&str]| stage.kubectl(&[words, &["-l", "hoist.dev/claim", "-o", "name"]].concat()).stdout;
    wait("its node is gone", 60, stage, ec2, controller, || left(&["get", "nodes"]).is_empty());
    let tokens = ["-n", "kube-system", "get", "secrets"];
    wait("its token is gone", 60, stage, ec2, controller, || left(&tokens).is_empty());
    let off = || ec2.workers().iter().all(|machine| machine.off.is_some());
    wait("its power is off", 60, stage, ec2, controller, off);
    let decided = controller.told(": is drained, because nothing has run on it").unwrap();
    // One before it is gone, too.
    let gone = || controller.told(": is gone").filter(|gone| *gone >= decided);
    wait("that it is gone is told", 60, stage, ec2, controller, || gone().is_some());
    eprint!("{:.0} s of it from the decision: ", gone().unwrap().duration_since(decided).as_secs_f64());
    assert_eq!(ec2.workers().len(), 2, "nothing was launched for nobody");
}
