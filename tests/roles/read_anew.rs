//! When an API server is ended because of files that it reads only when it starts, in the shells that hosts have, with a
//! containerd that only writes down what it is told.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use hoist::{
    engine::{HostPlan, RoleSteps},
    task::{Observations, PathState, Task},
};

use super::bed::compiled;

const STEP: &str = "the API server has read what pods may ask for and what is logged";
const POLICY: &str = "/etc/kubernetes/security/audit-policy.yaml";
const STAMP: &str = "/etc/kubernetes/security.applied";
/// When the kernel began, and the API server 50 s later.
const KERNEL: u64 = 1_000_000;
const BEGAN: u64 = KERNEL + 50;

/// `$root/id` holds the container that runs, whose process is 4242.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "ctr",
        r#"shift 2
case "$*" in
"containers list"*) echo stopped; cat $root/id ;;
"tasks list") printf 'TASK PID STATUS\nother 1 RUNNING\nstopped 7 STOPPED\n'; echo "$(cat $root/id) 4242 RUNNING" ;;
"tasks kill"*) echo "$*" >> $root/calls; echo anew > $root/id ;;
esac
"#,
    ),
    ("kubectl", "echo \"$*\" >> $root/calls\n"),
    ("sleep", ":\n"),
];

fn control_plane() -> Vec<RoleSteps> {
    compiled("lab.yaml").remove(0).1
}

fn task(roles: &[RoleSteps], is_it: impl Fn(&Task, &str) -> bool) -> Task {
    let steps = roles.iter().flat_map(|role| &role.steps);
    steps.filter(|step| is_it(&step.task, &step.name)).map(|step| step.task.clone()).next().unwrap()
}

/// Runs it where the policy was written at this time, in seconds; `None` where there is none.
fn run(shell: &str, text: &str, written: Option<u64>) -> (Output, String) {
    let root = tempfile::tempdir().unwrap();
    let path = |path: &str| -> PathBuf { root.path().join(path) };
    for folder in ["bin", "etc/security", "proc/4242"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    for (name, program) in PROGRAMS {
        fs::write(path("bin").join(name), format!("#!/bin/sh\nroot={}\n{program}", root.path().display()))
            .unwrap();
        fs::set_permissions(path("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(path("id"), "old\n").unwrap();
    fs::write(path("proc/stat"), format!("cpu 1 2\nbtime {KERNEL}\nprocesses 9\n")).unwrap();
    let fields = (4..22).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
    fs::write(path("proc/4242/stat"), format!("4242 (kube ) apiserver) S {fields} 5099 23 24\n")).unwrap();
    if let Some(written) = written {
        let file = fs::File::create(path("etc/security/audit-policy.yaml")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(written)).unwrap();
    }
    let text = text
        .replace("/etc/kubernetes", path("etc").to_str().unwrap())
        .replace("/proc/", &format!("{}/", path("proc").display()));
    let programs = format!("{}:/usr/bin:/bin", path("bin").display());
    let output = Command::new(shell).args(["-c", &text]).env("PATH", programs).output().unwrap();
    let calls = fs::read_to_string(path("calls")).unwrap_or_default();
    (output, calls.replace(root.path().to_str().unwrap(), ""))
}

#[test]
fn an_api_server_is_ended_only_where_it_began_before_what_it_reads() {
    let Task::Command(command) = task(&control_plane(), |_, name| name == STEP) else { panic!() };
    let ready = "--kubeconfig /etc/admin.conf --server https://10.77.0.11:6443 get --raw /readyz\n";
    let ended = format!("tasks kill --signal SIGTERM old\n{ready}");
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        for (written, expected) in [
            (Some(BEGAN - 1), ready),
            // It may have been before or after.
            (Some(BEGAN), &ended),
            (Some(BEGAN + 1000), &ended),
            (None, ready),
        ] {
            let (output, calls) = run(shell, &command.run, written);
            assert!(output.status.success(), "{shell} {written:?}: {output:?}");
            assert_eq!(calls, expected, "{shell} {written:?}: {output:?}");
        }
    }
}

#[test]
fn a_plan_that_writes_what_the_api_server_reads_shows_that_it_is_interrupted() {
    let roles = control_plane();
    let of = |path: &'static str| move |task: &Task, _: &str| matches!(task, Task::File(file) if file.path == path);
    let Task::File(policy) = task(&roles, of(POLICY)) else { panic!() };
    let steps = roles.iter().map(|role| {
        let steps = role.steps.iter().filter(|step| step.name == STEP || of(POLICY)(&step.task, ""));
        RoleSteps { steps: steps.cloned().collect(), ..role.clone() }
    });
    let roles: Vec<RoleSteps> = steps.collect();
    let planned = |content: &str, stamp: Option<&str>| {
        let mut seen = Observations::default();
        let mut add = |path: &str, content: &str, modified: &str| {
            let state = PathState {
                mode: 0o100600,
                owner: "root".into(),
                group: "root".into(),
                size: content.len() as u64,
                modified: modified.into(),
                sha256: Some(hoist::task::sha256(content.as_bytes())),
            };
            seen.paths.insert(path.to_owned(), state);
        };
        add(POLICY, content, "100.5");
        if let Some(stamp) = stamp {
            add(STAMP, "", stamp);
        }
        let changes = HostPlan::new("cp1", &roles, &seen).changes.into_iter();
        changes.map(|change| (change.step, change.change.disrupts.is_some())).collect::<Vec<_>>()
    };
    let written = ("what the audit log says".to_owned(), false);
    let read = || (STEP.to_owned(), true);
    assert_eq!(planned(&policy.content, Some("101.0")), []);
    assert_eq!(planned("rules: []\n", Some("101.0")), [written, read()]);
    // A run was killed between the two; or nothing is known of an API server that an older hoist made.
    assert_eq!(planned(&policy.content, Some("99.0")), [read()]);
    assert_eq!(planned(&policy.content, None), [read()]);
}
