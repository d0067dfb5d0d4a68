//! How containerd gets new settings on nodes that work, in the shells that hosts have.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use hoist::{
    cluster::{Observed, targets},
    engine::{Library, Templates, compile},
    facts::Facts,
    inventory,
    task::{Act, Observations, PathState, Service, Task, UnitState},
};

use super::bed::{METAL, index};

/// `$root/looks` is how often the node is not ready after the restart; `$root/before` is there where it was not before.
/// Each look at the clock takes 30 s.
const PROGRAMS: [(&str, &str); 6] = [
    ("systemctl", "case $* in 'restart containerd.service') echo restarted >> $root/calls ;; esac\n"),
    ("crictl", "[ \"$*\" = info ]\n"),
    (
        "kubectl",
        r#"case "$*" in *"kubelet.conf"*"get node w1"*) ;; *) exit 9 ;; esac
if [ ! -e $root/calls ]; then [ -e $root/before ] && echo False || echo True; exit; fi
left=$(cat $root/looks)
echo looked >> $root/calls
[ "$left" -gt 0 ] && echo $((left - 1)) > $root/looks && echo False || echo True
"#,
    ),
    ("date", "now=$(($(cat $root/now) + 30)); echo $now > $root/now; echo $now\n"),
    ("journalctl", "echo what containerd said\n"),
    ("sleep", ":\n"),
];

/// The unit on a host that is a node already, or is none yet.
fn containerd(joined: bool) -> Service {
    let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
    let joined = if joined { "kubernetes.joined=yes\n" } else { "" };
    let facts: Observed =
        lab.hosts.keys().map(|name| (name.clone(), Facts::parse(&format!("{METAL}{joined}")))).collect();
    let library = Library::default();
    let target = targets(&lab, &facts, Some(&index()), None).into_iter().find(|target| target.name == "w1");
    let roles = compile(&library, &Templates::new(library.clone()), &target.unwrap()).unwrap();
    let steps = roles.into_iter().flat_map(|role| role.steps);
    let mut units = steps.filter_map(|step| match step.task {
        Task::Service(service) if service.unit == "containerd.service" => Some(service),
        _ => None,
    });
    units.next().unwrap()
}

/// What a host shows whose configuration is newer than its containerd, or where that does not run.
fn seen(active: &str) -> Observations {
    let mut seen = Observations::default();
    let unit = UnitState {
        load: "loaded".into(),
        active: active.into(),
        file: "enabled".into(),
        stale: false,
        started: Some("5.0".into()),
    };
    seen.units.insert("containerd.service".into(), unit);
    let file = PathState { modified: "9.0".into(), ..PathState::default() };
    seen.paths.insert("/etc/containerd/config.toml".into(), file);
    seen
}

#[test]
fn nodes_restart_it_one_after_the_other_and_new_hosts_at_once() {
    let (node, new) = (Task::Service(containerd(true)), Task::Service(containerd(false)));
    assert_eq!(node.turn(&seen("active")), Some("containerd"));
    assert_eq!(new.turn(&seen("active")), None);
    // What does not run interrupts nothing, and control planes that are all down need each other to get well.
    assert_eq!(node.turn(&seen("failed")), None);
    let text = |task: &Task| match &task.acts(&seen("active"))[..] {
        [Act::Script { text, .. }] => text.clone(),
        other => panic!("{other:?}"),
    };
    assert!(text(&node).contains("node_is_well w1") && !text(&new).contains("is_well"));
}

#[test]
fn a_node_that_was_ready_has_to_be_so_again_before_the_next_one() {
    let task = Task::Service(containerd(true));
    let [Act::Script { text, .. }] = &task.acts(&seen("active"))[..] else { panic!("one script") };
    for shell in ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists()) {
        let run = |looks: u32, before: bool| -> (Output, String) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            fs::create_dir(root.join("bin")).unwrap();
            for (name, text) in PROGRAMS {
                let path = root.join("bin").join(name);
                fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", root.display())).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::write(root.join("looks"), looks.to_string()).unwrap();
            fs::write(root.join("now"), "1000").unwrap();
            if !before {
                fs::write(root.join("before"), "").unwrap();
            }
            let path = format!("{}/bin:/usr/bin:/bin", root.display());
            let output = Command::new(shell).args(["-c", text]).env("PATH", path).output().unwrap();
            (output, fs::read_to_string(root.join("calls")).unwrap())
        };
        let (output, calls) = run(2, true);
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(calls, "restarted\nlooked\nlooked\nlooked\n", "{shell}");
        let (output, _) = run(100, true);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shell}: {said}");
        assert!(
            said.contains("not well 120 s after its restart") && said.contains("what containerd said"),
            "{said}"
        );
        // The restart may be what mends it.
        let (output, calls) = run(100, false);
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(calls, "restarted\n", "{shell}");
    }
}
