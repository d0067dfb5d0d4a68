//! What `kubeadm_once` does when kubeadm fails, in the shells that hosts have, with a kubeadm that only writes down what it
//! is called with.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use hoist::{
    cluster::{Observed, targets},
    engine::{Library, Templates, compile},
    facts::Facts,
    inventory,
    task::{Act, Observations, Task},
};

use super::bed::{METAL, index, late};

const JOIN: &str = "join --config /dev/stdin --ignore-preflight-errors=ImagePull";
const RESET: &str = "reset --force";

/// Outcomes of kubeadm. `$etc` and `$lib` stand for `/etc/kubernetes` and `/var/lib`.
const JOINED: &str = "mkdir -p $etc && touch $etc/kubelet.conf";
const BUSY: &str = "echo '[preflight] Running pre-flight checks'\n\
    echo 'error execution phase kubelet-start: etcdserver: leader changed' >&2\n\
    echo 'To see the stack trace of this error execute with --v=5 or higher' >&2; exit 3";
const REFUSED: &str = "echo 'error execution phase preflight: [preflight] Some fatal errors occurred:' >&2\n\
    printf '\\t[ERROR Port-10250]: Port 10250 is in use\\n' >&2; exit 1";
const KILLED: &str = "mkdir -p $etc && touch $etc/kubelet.conf; kill -9 0";

/// kubeadm, and what is asked when it fails.
const PROGRAMS: [(&str, &str); 5] = [
    (
        "kubeadm",
        "echo \"$*\" >> $root/calls\n\
         case $1 in\n\
         reset) rm -rf $etc/*.conf $etc/manifests $etc/pki/* $lib/kubelet; echo '[reset] Stopping the kubelet'; exit ;;\n\
         init) [ \"$2\" != phase ] || { . $root/own; exit; } ;;\n\
         join) cat > $root/input.$(ls $root/outcomes | head -n 1) ;;\n\
         esac\n\
         next=$root/outcomes/$(ls $root/outcomes | head -n 1)\n\
         mv $next $root/outcome && . $root/outcome\n",
    ),
    ("date", "[ -e $root/now ] && cat $root/now || exec /bin/date \"$@\"\n"),
    ("systemctl", "echo 'kubelet.service loaded'\n"),
    ("crictl", ":\n"),
    ("journalctl", "echo 'what the kubelet said'\n"),
];

/// A root folder for one host, whose step is run by one shell.
struct Bed {
    root: tempfile::TempDir,
    shell: &'static str,
    text: String,
    input: Option<String>,
}

/// The step of a host at which it becomes a node, and what it reads.
fn step(etcd: &str, host: &str) -> (String, Option<String>) {
    let text = format!(
        "cluster: {{name: once, kubernetes: \"1.36.2\", etcd: {etcd}, endpoint: {{address: api.example.lan}}, \
         ignore_preflight_errors: [ImagePull]}}\n\
         hosts:\n  cp1: {{address: 10.0.0.1, roles: [control-plane{role}]}}\n  \
         cp2: {{address: 10.0.0.2, roles: [control-plane{role}]}}\n  cp3: {{address: 10.0.0.3, roles: [control-plane{role}]}}\n  \
         w1: {{address: 10.0.0.9, roles: [worker]}}\n",
        role = if etcd == "external" { ", etcd" } else { "" }
    );
    let inventory = inventory::parse("once.yaml", &text).unwrap().inventory;
    let facts: Observed = inventory.hosts.keys().map(|host| (host.clone(), Facts::parse(METAL))).collect();
    let templates = Templates::new(Library::default());
    let target = targets(&inventory, &facts, Some(&index()), None).into_iter().find(|own| own.name == host);
    let roles = compile(&Library::default(), &templates, &target.unwrap()).unwrap();
    let found = roles.iter().find_map(|role| {
        let is_it = |task: &Task| matches!(task, Task::Command(own) if own.run.contains("\nkubeadm_once "));
        Some((role, role.steps.iter().find(|step| is_it(&step.task))?))
    });
    let (role, step) = found.unwrap();
    let [Act::Script { text, stdin, .. }] = &step.task.acts(&Observations::default())[..] else { panic!() };
    let mut context = role.context.clone();
    let mut values = late();
    for file in values["pki"].as_object_mut().unwrap().values_mut() {
        *file = "S0VZ".into();
    }
    context.set("late", values);
    (text.clone(), stdin.as_ref().map(|stdin| templates.file(&stdin.template, &context).unwrap()))
}

/// What a control plane is made of, as its settings would have it and, beside `kubeadm`, as it was made.
fn manifests(apiserver: &str) -> String {
    format!(
        "mkdir -p $etc/manifests && echo '{apiserver}' > $etc/manifests/kube-apiserver.yaml && \
         echo same > $etc/manifests/kube-scheduler.yaml"
    )
}

fn each_shell(etcd: &str, host: &str, outcomes: &[&str], then: impl Fn(&Bed)) {
    let shells = ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists());
    for shell in shells {
        let (text, input) = step(etcd, host);
        let root = tempfile::tempdir().unwrap();
        let bed = Bed { root, shell, text, input };
        fs::create_dir_all(bed.path("outcomes")).unwrap();
        fs::create_dir_all(bed.path("bin")).unwrap();
        for (index, outcome) in outcomes.iter().enumerate() {
            fs::write(bed.path(&format!("outcomes/{}", index + 1)), outcome).unwrap();
        }
        for (name, text) in PROGRAMS {
            let path = bed.path("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nroot={0} etc={0}/etc lib={0}/lib\n{text}", bed.root()))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        then(&bed);
    }
}

impl Bed {
    fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn run(&self) -> Output {
        let text = self
            .text
            .replace("/etc/kubernetes", &format!("{}/etc", self.root()))
            .replace("/var/lib/", &format!("{}/lib/", self.root()));
        let mut child = Command::new(self.shell)
            .arg0("sh")
            .args(["-c", &text])
            .env("PATH", format!("{}/bin:/usr/bin:/bin", self.root()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A step that is killed reads no further.
        let _ = stdin.write_all(self.input.as_deref().unwrap_or_default().as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap().lines().map(str::to_owned).collect()
    }

    fn is_marked(&self) -> bool {
        self.path("lib/hoist/kubeadm-at-work").exists()
    }

    /// Whether a file is left there in which kubeadm's input stands, other than those in which it was written down.
    fn keeps_the_token(&self) -> bool {
        let found = Command::new("grep").args(["-rl", "TOKEN", self.root()]).output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        found.lines().any(|path| !path.starts_with(self.path("input").to_str().unwrap()))
    }
}

/// Lines of both streams, in the order in which they are shown.
fn shown(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    text.lines().map(str::to_owned).collect()
}

/// What kubeadm does first when it joins a control plane: a certificate with these names.
fn certified(names: &str) -> String {
    format!(
        "mkdir -p $etc/pki && openssl req -x509 -newkey rsa:2048 -nodes -keyout $etc/pki/apiserver.key \
         -out $etc/pki/apiserver.crt -subj /CN=kube-apiserver -addext subjectAltName={names} -days 1 2>/dev/null\n"
    )
}

#[test]
fn a_certificate_that_has_its_names_is_not_made_anew() {
    let names = "DNS:api.example.lan,DNS:api.example.com,IP:192.0.2.1";
    for (has, wanted, applied) in [
        (names, "api.example.com\n192.0.2.1\n", true),
        (names, "\n", true),
        (names, "api.example.com\n192.0.2.2\n", false),
        (names, "api.example.org\n", false),
    ] {
        let joined = format!("{}{JOINED} $etc/admin.conf", certified(has));
        each_shell("external", "cp2", &[&joined], |bed| {
            fs::create_dir_all(bed.path("etc")).unwrap();
            fs::write(bed.path("etc/api-names"), wanted).unwrap();
            assert!(bed.run().status.success());
            assert_eq!(bed.path("etc/api-names.applied").exists(), applied, "{wanted}");
        });
    }
}

#[test]
fn who_joins_at_once_is_left_alone() {
    for (etcd, host) in [("stacked", "w1"), ("external", "w1"), ("stacked", "cp2"), ("external", "cp2")] {
        each_shell(etcd, host, &[JOINED], |bed| {
            let output = bed.run();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(bed.calls(), [JOIN]);
            assert!(!bed.path("lib/hoist").exists(), "nothing is left of the attempt");
            assert!(bed.path("etc/kubelet-settings.applied").exists());
            assert_eq!(
                bed.path("etc/security.applied").exists(),
                host == "cp2",
                "its API server has just begun"
            );
            assert!(!bed.keeps_the_token());
        });
    }
}

#[test]
fn settings_that_a_control_plane_joined_with_are_not_carried_over_again() {
    let (same, failing) = (manifests("as the cluster"), manifests("as the cluster") + "\nexit 1");
    for (own, applied) in [(&same, true), (&manifests("another"), false), (&failing, false)] {
        let joined = format!("{}\n{JOINED} $etc/admin.conf", manifests("as the cluster"));
        each_shell("external", "cp2", &[&joined], |bed| {
            fs::write(bed.path("own"), own).unwrap();
            let output = bed.run();
            assert!(output.status.success(), "{output:?}");
            let phase = format!("init phase control-plane all --config {}/etc/kubeadm.yaml", bed.root());
            if nix::unistd::Uid::effective().is_root() {
                assert_eq!(bed.calls(), [JOIN, &phase]);
            }
            // Without root there is no mount namespace, and its turn will come.
            let applied = applied && nix::unistd::Uid::effective().is_root();
            assert_eq!(bed.path("etc/kubeadm.applied").exists(), applied, "{own}");
            // Until its turn has come it stays as it was made.
            let manifest = fs::read_to_string(bed.path("etc/manifests/kube-apiserver.yaml")).unwrap();
            assert_eq!(manifest, "as the cluster\n");
            assert!(!bed.path("lib/hoist").exists(), "nothing is left of the comparison");
        });
    }
}

#[test]
fn what_fails_to_join_is_undone_and_tried_once_more_with_the_same_input() {
    for (etcd, host) in [("stacked", "w1"), ("stacked", "cp2"), ("external", "cp2")] {
        each_shell(etcd, host, &[BUSY, JOINED], |bed| {
            let output = bed.run();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(bed.calls(), [JOIN, RESET, JOIN]);
            let [first, second] =
                ["input.1", "input.2"].map(|name| fs::read_to_string(bed.path(name)).unwrap());
            assert_eq!(first, second);
            assert!(
                first.contains("token: \"TOKEN\"") && first.contains("kind: JoinConfiguration"),
                "{first}"
            );
            assert!(!bed.path("lib/hoist").exists());
            // The keys come before the document, and reset takes them away.
            let keys = bed.path("etc/pki/ca.key").exists();
            assert_eq!(keys, host == "cp2");
            assert!(!first.contains("ca.key"), "they are not kubeadm's to read: {first}");
        });
    }
}

#[test]
fn who_fails_twice_says_both_and_keeps_the_mark() {
    each_shell("stacked", "w1", &[BUSY, &BUSY.replace("leader changed", "timed out"), JOINED], |bed| {
        let output = bed.run();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(bed.calls(), [JOIN, RESET, JOIN]);
        assert!(bed.is_marked() && !bed.keeps_the_token());
        let trace = "To see the stack trace of this error execute with --v=5 or higher";
        let first = "error execution phase kubelet-start: etcdserver: leader changed";
        assert_eq!(
            shown(&output),
            [
                "[preflight] Running pre-flight checks",
                first,
                trace,
                "kubeadm is undone and tried once more",
                "[reset] Stopping the kubelet",
                "[preflight] Running pre-flight checks",
                "error execution phase kubelet-start: etcdserver: timed out",
                trace,
                "The first attempt had ended with:",
                "[preflight] Running pre-flight checks",
                first,
                trace,
                "kubelet.service loaded",
                "what the kubelet said",
            ]
        );
        // The next run begins with what this one left.
        assert!(bed.run().status.success());
        assert_eq!(bed.calls()[3..], [RESET, JOIN]);
        assert!(!bed.path("lib/hoist").exists());
    });
}

#[test]
fn one_attempt_is_enough_where_another_could_not_help_or_would_harm() {
    let minutes = format!("echo 1180 > $root/now\n{BUSY}");
    let known = format!("touch $etc/kubelet.conf\n{BUSY}");
    // The member of etcd may be there already; kubeadm writes these two before.
    let begun = format!("mkdir -p $lib/kubelet && touch $lib/kubelet/config.yaml $etc/admin.conf\n{BUSY}");
    for (etcd, host, outcome, again) in [
        ("stacked", "w1", REFUSED, false),
        ("stacked", "w1", &minutes, false),
        ("stacked", "w1", &known, false),
        ("stacked", "cp2", &begun, false),
        ("external", "cp2", &begun, true),
    ] {
        each_shell(etcd, host, &[outcome, JOINED], |bed| {
            fs::write(bed.path("now"), "1000\n").unwrap();
            fs::create_dir_all(bed.path("etc")).unwrap();
            let output = bed.run();
            assert_eq!(output.status.success(), again, "{outcome}: {output:?}");
            assert_eq!(bed.calls().len(), if again { 3 } else { 1 }, "{outcome}");
            assert_eq!(bed.is_marked(), !again);
            assert_eq!(shown(&output).last().unwrap() == "what the kubelet said", !again, "{output:?}");
        });
    }
}

#[test]
fn a_failure_that_could_not_be_written_down_is_none_the_less_one() {
    each_shell("external", "w1", &[&format!("rm -r $lib/hoist\n{BUSY}")], |bed| {
        let output = bed.run();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(bed.calls(), [JOIN]);
    });
}

#[test]
fn what_was_killed_is_undone_by_the_next_run() {
    for (etcd, host) in [("stacked", "w1"), ("stacked", "cp2"), ("external", "cp2")] {
        each_shell(etcd, host, &[KILLED, JOINED], |bed| {
            assert_eq!(bed.run().status.code(), None, "it was killed");
            assert!(bed.is_marked());
            assert!(bed.run().status.success());
            assert_eq!(bed.calls(), [JOIN, RESET, JOIN]);
            assert!(!bed.is_marked());
        });
    }
}

#[test]
fn keys_that_etcd_knows_outlive_what_is_undone() {
    // Another authority could not read what the API server has written to etcd on hosts of its own.
    let wrote = format!("mkdir -p $etc/manifests && touch $etc/manifests/kube-apiserver.yaml\n{KILLED}");
    for (etcd, kept) in [("external", true), ("stacked", false)] {
        let looks = "[ -e $etc/pki/ca.key ] || exit 1; mkdir -p $etc && touch $etc/admin.conf";
        each_shell(
            etcd,
            "cp1",
            &[&format!("mkdir -p $etc/pki && touch $etc/pki/ca.key\n{wrote}"), looks],
            |bed| {
                assert_eq!(bed.run().status.code(), None);
                fs::create_dir_all(bed.path("lib/etcd/member")).unwrap();
                let output = bed.run();
                assert_eq!(output.status.success(), kept, "{output:?}");
                // What fails to initialise is not tried again.
                let init = "init --config /etc/kubernetes/kubeadm.yaml --ignore-preflight-errors=ImagePull";
                let init = init.replace("/etc/kubernetes", &format!("{}/etc", bed.root()));
                assert_eq!(bed.calls(), [init.as_str(), RESET, &init]);
                assert_eq!(bed.is_marked(), !kept);
                assert_eq!(bed.path("lib/etcd/member").exists(), kept);
                for applied in ["kubeadm", "api-names", "security"] {
                    assert_eq!(bed.path(&format!("etc/{applied}.applied")).exists(), kept, "{applied}");
                }
            },
        );
    }
}
