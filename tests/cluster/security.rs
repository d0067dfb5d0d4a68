//! The defences of a cluster, seen at work; and a cluster without them.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::stage::{Stage, text, until};

const LAB: &str = "security";
const NODES: &str = "cp1=10.77.0.11,w1=10.77.0.12";
/// What the Secret says that is looked for everywhere.
const WORD: &str = "swordfish-4711";
const OFF: &str = "  security: {encryption: false, audit: {enabled: false}, kubelet_certificates: false, \
    kernel_defaults: false, benchmark: false}\n";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn security() {
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    inventory(&stage, "");
    stage.step("a cluster with everything on", || {
        let seen = arguments_while(|| begin(&stage));
        no_secret(&stage, &seen);
    });
    stage.step("a second apply changes nothing", || again(&stage));
    stage.step("a Secret is encrypted in etcd", || {
        make_secret(&stage);
        assert_eq!(in_etcd(&stage, WORD), 0, "in the clear");
        assert!(in_etcd(&stage, "k8s:enc:secretbox:v1:key1:") > 0);
        let read = stage.kubectl(&["get", "secret", "probe", "-o", "jsonpath={.data.word}"]).exits(0).stdout;
        assert_eq!(read, "c3dvcmRmaXNoLTQ3MTE=");
    });
    stage.step("the audit log says who, and no Secret", || audit_log(&stage));
    stage.step("kubelets serve with certificates of the cluster", || kubelets(&stage));
    stage.step("a request that disagrees with the inventory is not approved", || requests(&stage));
    stage.step("the limited context may look, and no more", || limited(&stage));
    stage.step("an application runs", || {
        stage.hoist(&["sample"]).exits(0).says("answers through w1");
    });
    stage.step("status says all of it, to programs too", || status(&stage));
    stage.step("certificates are renewed by one command", || renew(&stage));
    stage.step("the API server reads anew what the audit log says", || read_anew(&stage));
    stage.step("a cluster that has encrypted Secrets is not left without its key", || {
        let off = edited(&stage, "off.yaml", OFF);
        let ran = stage.hoist(&["apply", "-i", text(&off)]).exits(1);
        ran.says("without the key of its Secrets");
        stage.kubectl(&["get", "secret", "probe"]).exits(0);
        // The worker had gone on with what it does alone.
        stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
        again(&stage);
    });
    stage.hoist(&["lab", "down"]).exits(0);

    inventory(&stage, OFF);
    stage.step("a cluster with everything off", || begin(&stage));
    stage.step("there, a Secret is in the clear, and nothing else is made", || {
        make_secret(&stage);
        assert!(in_etcd(&stage, WORD) > 0, "the search finds what is there");
        stage.on("cp1", "! ls /etc/kubernetes/security/* /var/log/kubernetes/audit 2>/dev/null");
        stage.kubectl(&["-n", "kube-system", "logs", "--tail=1", "kube-apiserver-cp1"]).exits(0);
        again(&stage);
    });
}

/// The lab's inventory for two nodes, with more for the cluster.
fn inventory(stage: &Stage, security: &str) {
    edited(stage, "inventory.yaml", security);
}

fn edited(stage: &Stage, name: &str, security: &str) -> std::path::PathBuf {
    stage.inventory(
        name,
        &[
            ("  w2: {address: 10.77.0.13, roles: [worker]}\n", ""),
            ("  kube_proxy:\n", &format!("{security}  kube_proxy:\n")),
        ],
    )
}

fn begin(stage: &Stage) {
    stage.hoist(&["lab", "up", "--nodes", NODES]).exits(0);
    stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
    stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
}

fn again(stage: &Stage) {
    stage.hoist(&["apply"]).exits(0).says("0 changes, 2 nodes ready");
    stage.hoist(&["plan"]).exits(0).says("Nothing to change");
}

/// What all processes of this machine, those in the nodes included, were started with while something happens.
fn arguments_while(happens: impl FnOnce()) -> BTreeSet<String> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    // Most of what is there is no process, and some have ended since.
                    let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                    seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                }
                thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        // A failure must end the watching, too.
        let happened = catch_unwind(AssertUnwindSafe(happens));
        done.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        happened.map(|()| seen).unwrap_or_else(|failure| resume_unwind(failure))
    })
}

/// Neither in arguments, nor printed, nor in a journal, nor in a log: the key, tokens, the administrator's key.
fn no_secret(stage: &Stage, arguments: &BTreeSet<String>) {
    let script = "sed -n 's/.*secret: \\([^}]*\\)}.*/\\1/p' /etc/kubernetes/security/encryption.yaml; \
        base64 -w 0 /etc/kubernetes/security/encryption.yaml; echo; \
        kubeadm token list | awk 'NR > 1 { split($1, part, \".\"); print part[2] }'; \
        awk '$1 == \"client-key-data:\" { print $2 }' /etc/kubernetes/admin.conf";
    let secrets: Vec<String> = stage.on("cp1", script).lines().map(str::to_owned).collect();
    assert!(secrets.len() >= 4 && secrets.iter().all(|it| it.len() >= 16), "{} secrets", secrets.len());
    let found = |text: &str| secrets.iter().filter(|secret| text.contains(secret.as_str())).count();

    assert!(arguments.iter().any(|line| line.starts_with("kubeadm init")), "arguments were looked at");
    assert_eq!(arguments.iter().map(|line| found(line)).sum::<usize>(), 0, "in an argument");
    assert_eq!(found(&stage.heard()), 0, "printed");
    let journals = contents(&stage.path("state"));
    assert!(journals.contains("the key of the cluster's Secrets is made"), "the journals are there");
    assert_eq!(found(&journals), 0, "in a journal");
    for node in ["cp1", "w1"] {
        let logs =
            stage.on(node, "journalctl -q --no-pager; cat /var/log/kubernetes/audit/*.log 2>/dev/null; true");
        assert!(logs.contains("kubelet"), "the logs of {node} are there");
        assert_eq!(found(&logs), 0, "in a log of {node}");
    }
}

/// The contents of all files of a folder.
fn contents(folder: &Path) -> String {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside
        .map(|path| if path.is_dir() { contents(&path) } else { fs::read_to_string(path).unwrap() })
        .collect()
}

fn make_secret(stage: &Stage) {
    stage.kubectl(&["create", "secret", "generic", "probe", &format!("--from-literal=word={WORD}")]).exits(0);
}

/// How many lines of etcd's own files have this in them.
fn in_etcd(stage: &Stage, what: &str) -> u32 {
    let count = format!(
        "sync; cat /var/lib/etcd/member/snap/db /var/lib/etcd/member/wal/*.wal | grep -acF '{what}' || :"
    );
    stage.on("cp1", &count).trim().parse().unwrap()
}

fn audit_log(stage: &Stage) {
    let log = stage.on("cp1", "cat /var/log/kubernetes/audit/audit.log");
    let made: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|event: &Value| event["objectRef"]["name"] == "probe" && event["verb"] == "create")
        .collect();
    assert_eq!(made.len(), 1, "who made the Secret is there");
    assert_eq!(made[0]["user"]["username"], "kubernetes-admin");
    assert_eq!((&made[0]["requestObject"], &made[0]["responseObject"]), (&Value::Null, &Value::Null));
    assert!(!log.contains(WORD) && !log.contains("c3dvcmRmaXNoLTQ3MTE="), "a Secret's body");
    assert_eq!(stage.on("cp1", "stat -c %a /var/log/kubernetes/audit"), "700\n");
}

fn kubelets(stage: &Stage) {
    let flags = stage.on("cp1", "cat /etc/kubernetes/manifests/kube-apiserver.yaml");
    assert!(flags.contains("--kubelet-certificate-authority="), "the API server looks at them");
    for (pod, node) in [("kube-apiserver-cp1", "cp1"), ("", "w1")] {
        let found = format!("jsonpath={{.items[?(@.spec.nodeName==\"{node}\")].metadata.name}}");
        let name = match pod {
            "" => stage.kubectl(&["-n", "kube-system", "get", "pods", "-o", &found]).exits(0).stdout,
            name => name.to_owned(),
        };
        stage.kubectl(&["-n", "kube-system", "logs", "--tail=1", &name]).exits(0);
    }
    stage
        .kubectl(&["-n", "kube-system", "exec", "kube-apiserver-cp1", "--", "kube-apiserver", "--version"])
        .exits(0)
        .says("Kubernetes v1.20");
    // What comes from nobody is refused there.
    let ask = "printf 'GET /pods HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect 127.0.0.1:10250 2>/dev/null | head -n 1";
    assert!(stage.on("cp1", ask).contains("401"), "an anonymous question");
    // For everybody to read is what everybody must, and marks that are empty.
    let open = "find /etc/kubernetes /var/lib/kubelet/config.yaml /var/lib/kubelet/pki -type f ! -name '*.crt' ! -name '*.pub' ! -name '*.applied' -perm /077";
    for node in ["cp1", "w1"] {
        assert_eq!(stage.on(node, open), "", "{node}");
    }
}

/// As the node w1, which may ask for whatever it likes.
fn requests(stage: &Stage) {
    for (name, node, names, reason) in [
        ("fine", "w1", "DNS:w1,IP:10.77.0.12", None),
        ("other-address", "w1", "DNS:w1,IP:10.77.0.11", Some("it is for DNS:w1, IP Address:10.77.0.11")),
        ("more-names", "w1", "DNS:w1,DNS:kubernetes,IP:10.77.0.12", Some("it is for DNS:w1, DNS:kubernetes")),
        ("other-node", "cp1", "DNS:cp1,IP:10.77.0.11", Some("its subject is CN=system:node:cp1")),
    ] {
        let make = format!(
            "cd /run && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout forged.key \
             -subj '/O=system:nodes/CN=system:node:{node}' -addext 'subjectAltName={names}' 2>/dev/null | base64 -w 0"
        );
        let request = stage.on("cp1", &make);
        let manifest = format!(
            "{{\"apiVersion\": \"certificates.k8s.io/v1\", \"kind\": \"CertificateSigningRequest\", \
             \"metadata\": {{\"name\": \"{name}\"}}, \"spec\": {{\"request\": \"{request}\", \
             \"signerName\": \"kubernetes.io/kubelet-serving\", \
             \"usages\": [\"digital signature\", \"key encipherment\", \"server auth\"]}}}}"
        );
        stage.on(
            "w1",
            &format!("echo '{manifest}' | kubectl --kubeconfig /etc/kubernetes/kubelet.conf create -f -"),
        );
        let said = stage.on("cp1", "/usr/local/sbin/approve-kubelet-certificates 2>&1");
        match reason {
            None => assert!(said.contains(&format!("{name} approved")), "{said}"),
            Some(reason) => {
                assert!(
                    said.contains(&format!("{name} of system:node:w1 is not approved: {reason}")),
                    "{said}"
                );
                assert!(!said.contains(&format!("{name} approved")), "{said}");
            }
        }
    }
    stage.hoist(&["status"]).exits(0).says("other-address system:node:w1 kubernetes.io/kubelet-serving");
    stage.kubectl(&["delete", "csr", "--all"]).exits(0);
}

fn limited(stage: &Stage) {
    let limited = |arguments: &[&str]| stage.kubectl(&[&["--context", "lab-limited"], arguments].concat());
    limited(&["get", "pods", "-A"]).exits(0).says("kube-apiserver-cp1");
    limited(&["get", "nodes"]).exits(0).says("w1");
    limited(&["-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-proxy"]).exits(0);
    for refused in [
        &["get", "secrets", "-A"][..],
        &["get", "secret", "probe"],
        &["delete", "node", "w1"],
        &["label", "node", "w1", "mine=yes"],
        &["create", "namespace", "mine"],
        &["-n", "kube-system", "exec", "kube-apiserver-cp1", "--", "kube-apiserver", "--version"],
    ] {
        limited(refused).exits(1).says("Forbidden");
    }
    // For somebody else, alone in its file, and by name in the log.
    let file = stage.path("ada");
    let ran = stage.hoist(&["kubeconfig", "--context", "limited", "--user", "ada", "--file", text(&file)]);
    assert_eq!(ran.exits(0).stdout, "");
    let config: Value = serde_yaml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        (config["users"].as_array().unwrap().len(), &config["users"][0]["name"]),
        (1, &"lab-ada".into())
    );
    fs::copy(stage.path("kubeconfig"), stage.path("both")).unwrap();
    fs::copy(&file, stage.path("kubeconfig")).unwrap();
    stage.kubectl(&["get", "secrets"]).exits(1).says("User \"ada\" cannot list resource \"secrets\"");
    fs::copy(stage.path("both"), stage.path("kubeconfig")).unwrap();
    // This kubeadm makes certificates for a year.
    stage.hoist(&["kubeconfig", "--days", "7"]).exits(1).says("leave --days out");
}

fn status(stage: &Stage) {
    let answer = stage.hoist(&["status", "--output", "json"]).exits(0).stdout;
    let status: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&status["healthy"], &status["cluster"]), (&Value::Bool(true), &"lab".into()));
    assert_eq!(status["control_planes"][0]["version"], "v1.20.2");
    assert_eq!(status["etcd"][0]["healthy"], true);
    assert_eq!(status["nodes"].as_array().unwrap().len(), 2);
    let days: Vec<i64> =
        status["certificates"].as_array().unwrap().iter().map(|it| it["days"].as_i64().unwrap()).collect();
    assert!(days.len() >= 15 && days.iter().all(|days| (363..3651).contains(days)), "{days:?}");
    // Without the worker the rest is still told.
    stage.hoist(&["lab", "stop", "w1"]).exits(0);
    let answer = stage.hoist(&["status", "--output", "json"]).exits(69).stdout;
    let status: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&status["unreached"][0]["host"], &status["healthy"]), (&"w1".into(), &Value::Bool(false)));
    assert_eq!(status["control_planes"][0]["healthy"], true);
    stage.hoist(&["lab", "start", "w1"]).exits(0);
}

fn renew(stage: &Stage) {
    let serial = "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt; \
        openssl s_client -connect 10.77.0.11:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial";
    let serials = || -> Vec<String> { stage.on("cp1", serial).lines().map(str::to_owned).collect() };
    let before = serials();
    assert_eq!(before[0], before[1]);
    stage.hoist(&["certificates", "renew"]).exits(0).says("1 change");
    let after = serials();
    assert!(
        after[0] != before[0] && after[1] == after[0],
        "what is served is what is new: {before:?} {after:?}"
    );
    let journals = contents(&stage.path("state"));
    assert!(
        journals.contains("\"role\":\"renewal\",\"step\":\"the certificates are new\""),
        "it is journalled"
    );
    stage.hoist(&["certificates", "show"]).exits(0).says("CN=kube-apiserver");
    // The administrator's old ones are good as long as they last.
    stage.kubectl(&["get", "nodes"]).exits(0);
    again(stage);
}

/// This release has no `PodSecurity`; it reads the policy of its audit log in the same way, and only when it starts.
fn read_anew(stage: &Stage) {
    let process = || stage.on("cp1", "pidof kube-apiserver || :");
    let make = |name: &str| drop(stage.kubectl(&["create", "configmap", name]).exits(0));
    let logged = |name: &str| {
        stage.holds_on("cp1", &format!("grep -q '\"{name}\"' /var/log/kubernetes/audit/audit.log"))
    };
    // As another hoist could have left it.
    let before = process();
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n";
    stage.on(
        "cp1",
        &format!(
            "printf '{policy}' > /etc/kubernetes/security/audit-policy.yaml && kill $(pidof kube-apiserver)"
        ),
    );
    until("an API server with that policy serves", 180, || {
        !process().is_empty()
            && process() != before
            && stage.kubectl(&["get", "--raw", "/readyz"]).exit == Some(0)
    });
    make("left-out");
    stage
        .hoist(&["plan"])
        .exits(2)
        .says("write /etc/kubernetes/security/audit-policy.yaml")
        .says("interrupts this host's API server");
    let before = process();
    stage.hoist(&["apply"]).exits(0).says("2 nodes ready");
    assert_ne!(process(), before, "another API server");
    make("written-down");
    until("it is in the log", 10, || logged("written-down"));
    assert!(!logged("left-out"));
    again(stage);
    // What another hoist made has no mark, and goes on as it is.
    let before = process();
    stage.on("cp1", "rm /etc/kubernetes/security.applied");
    stage.hoist(&["apply"]).exits(0).says("1 change, 2 nodes ready");
    assert_eq!(process(), before, "it had read all of it");
    again(stage);
}
