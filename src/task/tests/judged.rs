//! What is judged from observations alone.

use super::{probe::PathState, *};

const FILE: u32 = 0o100000;

fn service() -> Service {
    let restart_after = vec!["/etc/a.conf".to_string()];
    let reload_after = vec!["/etc/b.conf".to_string()];
    let unit = "a.service".to_string();
    Service {
        unit,
        enabled: Some(true),
        running: Some(true),
        restart_after,
        reload_after,
        disrupts: None,
        one_at_a_time: None,
        well: None,
    }
}

#[test]
fn recorded_answers() {
    let asked = ["alias.service", "bad@.service", "containerd.service", "gone.service"];
    let mut probes: BTreeSet<Probe> = asked.iter().map(|name| Probe::Unit(name.to_string())).collect();
    probes.extend([Probe::Path("/etc/a".into()), Probe::Package("runc".into()), Probe::Swap, Probe::Images]);
    let answer = "#paths\n81a4 root root 3 1795232400.123456789 /etc/a\n\
        a1ff root root 32 1795232401.000000001 /run/systemd/units/invocation:containerd.service\n\
        #digests\n\\abc  /etc/a\n\
        #packages\ninstalled runc 1.1.15+ds1-2\nnot-installed socat \nconfig-files ebtables 2.0.11\n\
        #units\nId=containerd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=yes\n\n\
        Id=gone.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\n\
        #sysctls\n/proc/sys/net/ipv4/ip_forward:1\n/proc/sys/net/ipv4/tcp_rmem:4096\t131072\t6291456\n\
        /proc/sys/net/ipv4/conf/eth0.100/rp_filter:2\n\
        #swap\nactive /dev/dm-1\nmasked\nunit zramswap.service\n\
        #images\nREF TYPE DIGEST SIZE PLATFORMS LABELS\n\
        k8s.gcr.io/pause:3.2 application/vnd.oci.image.manifest.v1+json sha256:ab 1.0 MiB linux/amd64 -\n\
        a:1 application/vnd.oci.image.manifest.v1+json sha256:cd 1.0 MiB linux/amd64 io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned\n\
        #module overlay\n";
    let seen = Observations::parse(&probes, answer);
    let containerd = &seen.units["containerd.service"];
    assert_eq!((containerd.active.as_str(), containerd.stale), ("active", true));
    assert_eq!(containerd.started.as_deref(), Some("1795232401.000000001"));
    assert_eq!(seen.units["gone.service"].load, "not-found");
    assert_eq!(seen.units.len(), 2);
    assert_eq!(seen.paths["/etc/a"].sha256.as_deref(), Some("abc"));
    assert_eq!(seen.packages.keys().collect::<Vec<_>>(), ["runc"]);
    assert_eq!(seen.sysctls["net.ipv4.tcp_rmem"], "4096 131072 6291456");
    assert_eq!(seen.sysctls["net.ipv4.conf.eth0/100.rp_filter"], "2");
    assert_eq!((&*seen.swaps, seen.swap_masked), (&["/dev/dm-1".to_string()][..], true));
    assert_eq!(seen.swap_units, ["zramswap.service"]);
    let image = |digest: &str, pinned| ImageState { digest: digest.to_owned(), pinned };
    assert_eq!(seen.images["k8s.gcr.io/pause:3.2"], image("sha256:ab", false));
    assert_eq!(seen.images["a:1"], image("sha256:cd", true));
    assert!(seen.modules.contains("overlay"));
}

#[test]
fn a_service_restarts_when_what_it_reads_is_newer() {
    let table = [
        ("100.000000000", "100.000000001", None),
        ("100.000000001", "100.000000001", None),
        ("100.000000002", "100.000000001", Some("restart a.service")),
        ("99.900000000", "100.000000000", None),
        ("1000.0", "999.999999999", Some("restart a.service")),
    ];
    for (modified, started, expected) in table {
        let mut seen = Observations::default();
        let state = PathState { mode: FILE, modified: modified.into(), ..PathState::default() };
        seen.paths.insert("/etc/a.conf".into(), state);
        let unit = UnitState {
            load: "loaded".into(),
            active: "active".into(),
            file: "enabled".into(),
            stale: false,
            started: Some(started.into()),
        };
        seen.units.insert("a.service".into(), unit);
        let change = Task::Service(service()).diff(&seen);
        assert_eq!(change.map(|change| change.summary).as_deref(), expected, "{modified} {started}");
    }
}

/// systemd says so only until anybody has it read all units anew, which restarts none.
#[test]
fn a_service_restarts_when_its_own_file_is_newer_whatever_systemd_has_read() {
    let (file, link, folder) = (FILE, 0o120000, 0o040000);
    // what, its kind, when it changed -> what is done
    let table = [
        ("", file, "99", None),
        ("", file, "101", Some("restart a.service")),
        ("", link, "101", None),
        (".d", folder, "99", None),
        (".d", folder, "101", Some("restart a.service")),
    ];
    let task = Task::Service(service());
    for (what, mode, modified, expected) in table {
        let path = format!("/etc/systemd/system/a.service{what}");
        assert!(task.probes().contains(&Probe::Path(path.clone())));
        let mut seen = Observations::default();
        let state = PathState { mode, modified: modified.into(), ..PathState::default() };
        seen.paths.insert(path.clone(), state);
        let [load, active, file] = ["loaded", "active", "enabled"].map(str::to_string);
        let unit = UnitState { load, active, file, stale: false, started: Some("100".into()) };
        seen.units.insert("a.service".into(), unit);
        let change = task.diff(&seen);
        assert_eq!(change.as_ref().map(|change| &*change.summary), expected, "{path} {mode:o} {modified}");
        assert!(change.is_none_or(|change| format!("{:?}", change.details).contains(&path)));
    }
}

/// An invocation has the name of the unit itself.
#[tokio::test]
async fn a_unit_that_is_asked_for_by_an_alias_has_been_started_when_its_own_name_has() {
    let folder = tempfile::tempdir().unwrap();
    let (systemctl, invocations) = (folder.path().join("systemctl"), folder.path().join("invocation:"));
    let answer = "#!/bin/sh\nprintf 'Id=ssh.service\\nLoadState=loaded\\nActiveState=active\\n'\n";
    std::fs::write(&systemctl, answer).unwrap();
    std::process::Command::new("chmod").arg("+x").arg(&systemctl).status().unwrap();
    std::fs::write(format!("{}ssh.service", invocations.display()), "").unwrap();
    let probes = BTreeSet::from([Probe::Unit("sshd.service".to_string())]);
    let (path, own) = (folder.path().display(), "/run/systemd/units/invocation:");
    let script = probe_script(&probes).replace(own, &invocations.display().to_string());
    for shell in ["/bin/dash", "/bin/bash"] {
        let host = Local::with_shell("here", &[shell]).await.unwrap();
        let output = host.run(Script::new(format!("PATH={path}:$PATH\n{script}"))).await.unwrap();
        let answer =
            String::from_utf8(output.stdout).unwrap().replace(&invocations.display().to_string(), own);
        let seen = Observations::parse(&probes, &answer);
        assert!(seen.units["sshd.service"].started.is_some(), "{answer}");
    }
}

#[test]
fn a_service_reloads_when_neither_a_start_nor_a_reload_has_read_what_it_reads() {
    // when it started, was reloaded, and its files were changed -> what is done
    let table = [
        (None, "4", "1", Some("reload")),
        (None, "2", "1", None),
        (Some("5"), "4", "1", None),
        (Some("5"), "6", "1", Some("reload")),
        // A restart reads everything.
        (Some("5"), "6", "4", Some("restart")),
        // A reload before the last start tells nothing.
        (Some("2"), "3.5", "1", Some("reload")),
    ];
    for (reloaded, loads, starts, verb) in table {
        let mut seen = Observations::default();
        let mut change = |path: &str, modified: &str| {
            let state = PathState { mode: FILE, modified: modified.into(), ..PathState::default() };
            seen.paths.insert(path.into(), state);
        };
        change("/etc/a.conf", starts);
        change("/etc/b.conf", loads);
        if let Some(time) = reloaded {
            change("/run/hoist/reloaded:a.service", time);
        }
        let [load, active, file] = ["loaded", "active", "enabled"].map(str::to_string);
        let unit = UnitState { load, active, file, stale: false, started: Some("3".into()) };
        seen.units.insert("a.service".into(), unit);
        let task = Task::Service(service());
        let summary = task.diff(&seen).map(|change| change.summary);
        assert_eq!(summary, verb.map(|verb| format!("{verb} a.service")), "{reloaded:?} {loads} {starts}");
        if let Some(verb) = verb {
            let [Act::Script { text, .. }] = &task.acts(&seen)[..] else { panic!("one script") };
            assert!(text.contains(&format!("systemctl {verb} 'a.service'")), "{text}");
            assert_eq!(text.contains("/run/hoist/"), verb == "reload", "{text}");
            assert_eq!(task.diff(&seen).unwrap().disrupts.is_some(), verb == "restart");
        }
    }
    assert!(Task::Service(service()).probes().contains(&Probe::Path("/run/hoist/reloaded:a.service".into())));
}

#[test]
fn the_state_of_a_unit_decides() {
    // load, active, file, stale -> what the script does
    let table = [
        ("not-found", "inactive", "", false, Some("start")),
        ("masked", "inactive", "masked", false, Some("unmask")),
        ("loaded", "failed", "enabled", false, Some("start")),
        ("loaded", "active", "disabled", false, Some("enable")),
        ("loaded", "active", "enabled", true, Some("restart")),
        ("loaded", "active", "static", false, None),
    ];
    for (load, active, file, stale, verb) in table {
        let mut seen = Observations::default();
        let unit =
            UnitState { load: load.into(), active: active.into(), file: file.into(), stale, started: None };
        seen.units.insert("a.service".into(), unit);
        let task = Task::Service(service());
        assert_eq!(task.diff(&seen).is_some(), verb.is_some(), "{load} {active}");
        if let Some(verb) = verb {
            let [Act::Script { text, .. }] = &task.acts(&seen)[..] else { panic!("one script") };
            assert!(text.contains(&format!("{verb} 'a.service'")), "{verb}: {text}");
        }
    }
}

/// What interrupts takes its turn.
#[test]
fn a_restart_or_a_stop_has_a_turn() {
    // active, stale, running -> whether it has
    let table = [
        ("active", true, true, true),
        ("active", false, false, true),
        ("active", false, true, false),
        ("failed", true, true, false),
        ("inactive", false, false, false),
    ];
    for (active, stale, running, has) in table {
        let (load, file) = ("loaded".to_string(), "enabled".to_string());
        let mut seen = Observations::default();
        let unit = UnitState { load, active: active.into(), file, stale, started: None };
        seen.units.insert("a.service".into(), unit);
        for (name, turn) in [(Some("door"), has.then_some("door")), (Some(""), None), (None, None)] {
            let (running, one_at_a_time) = (Some(running), name.map(String::from));
            let task = Task::Service(Service { running, one_at_a_time, ..service() });
            assert_eq!(task.turn(&seen), turn, "{active} {stale} {running:?} {name:?}");
        }
    }
}

#[test]
fn a_unit_is_taken_down_or_left_alone() {
    let (no, any) = (Some(false), None);
    // load, active, file, enabled, running -> the summary, and what the script does
    let table = [
        ("loaded", "active", "enabled", no, no, Some("stop"), &["disable", "stop"][..]),
        ("loaded", "activating", "disabled", no, no, Some("stop"), &["stop"]),
        ("loaded", "inactive", "enabled-runtime", no, no, Some("disable"), &["disable"]),
        ("masked", "active", "masked", no, no, Some("stop"), &["stop"]),
        ("loaded", "active", "enabled", no, Some(true), Some("disable"), &["disable", "start"]),
        ("loaded", "active", "enabled", Some(true), no, Some("stop"), &["enable", "stop"]),
        // What is enabled in /run is not after the next boot.
        (
            "loaded",
            "active",
            "enabled-runtime",
            Some(true),
            Some(true),
            Some("bring up"),
            &["enable", "start"],
        ),
        ("loaded", "failed", "disabled", no, no, None, &[]),
        ("loaded", "inactive", "static", no, no, None, &[]),
        ("masked", "inactive", "masked", no, no, None, &[]),
        ("not-found", "inactive", "", no, no, None, &[]),
        ("loaded", "active", "disabled", any, any, None, &[]),
        ("loaded", "inactive", "disabled", Some(true), any, Some("bring up"), &["enable"]),
        ("loaded", "active", "enabled", Some(true), any, None, &[]),
        ("loaded", "active", "enabled", any, no, Some("stop"), &["stop"]),
    ];
    for (load, active, file, enabled, running, summary, verbs) in table {
        let [load, active, file] = [load, active, file].map(str::to_string);
        let unit = UnitState { load, active, file, stale: false, started: Some("3".into()) };
        let case = format!("{unit:?} {enabled:?} {running:?}");
        let mut seen = Observations::default();
        seen.units.insert("a.service".into(), unit);
        let task = Task::Service(Service { enabled, running, ..service() });
        let change = task.diff(&seen);
        let expected = summary.map(|verb| format!("{verb} a.service"));
        assert_eq!(change.as_ref().map(|change| &change.summary), expected.as_ref(), "{case}");
        let stops = change.is_some_and(|change| change.disrupts.is_some());
        assert_eq!(stops, verbs.contains(&"stop"), "{case}: what stops is said to be disrupted");
        let [Act::Script { text, .. }] = &task.acts(&seen)[..] else { panic!("one script") };
        for verb in ["enable", "disable", "start", "stop", "unmask"] {
            let does = text.contains(&format!(" {verb} 'a.service'"));
            assert!(does == verbs.contains(&verb) || summary.is_none(), "{case}: {verb}: {text}");
        }
    }
    let unit: Service = serde_json::from_value(json!({"unit": "a.service"})).unwrap();
    assert_eq!((unit.enabled, unit.running), (Some(true), Some(true)));
    let left: Service = serde_json::from_value(json!({"unit": "a.service", "running": null})).unwrap();
    assert_eq!((left.enabled, left.running), (Some(true), None));
}

#[test]
fn packages_images_swap_and_parameters() {
    let mut seen = Observations::default();
    let package = Task::Package(Package { names: vec!["runc".into(), "socat".into()], files: None });
    seen.packages.insert("runc".into(), "1".into());
    assert_eq!(package.diff(&seen).unwrap().summary, "install socat");
    seen.packages.insert("socat".into(), "1".into());
    assert_eq!(package.diff(&seen), None);

    let (reference, digest) = ("a:1".to_string(), "sha256:aa".to_string());
    let image = Task::Image(Image {
        reference,
        digest,
        source: "/x".into(),
        url: String::new(),
        sha256: "00".into(),
    });
    for (there, expected, acts) in [
        (None, Some("import image a:1"), 2),
        (Some(("sha256:bb", true)), Some("import image a:1"), 2),
        // Nothing is sent for what is there.
        (Some(("sha256:aa", false)), Some("keep image a:1 from being removed"), 1),
        (Some(("sha256:aa", true)), None, 1),
    ] {
        let state = there.map(|(digest, pinned)| ImageState { digest: digest.to_owned(), pinned });
        seen.images = state.into_iter().map(|state| ("a:1".to_owned(), state)).collect();
        assert_eq!(image.diff(&seen).map(|change| change.summary).as_deref(), expected, "{there:?}");
        assert_eq!(image.acts(&seen).len(), acts, "{there:?}");
    }

    let swap = Task::SwapOff(SwapOff {});
    assert_eq!(swap.acts(&seen), [Act::quick("systemctl -q mask swap.target".into())]);
    seen.swap_masked = true;
    assert_eq!((swap.diff(&seen), swap.acts(&seen)), (None, vec![]));
    seen.swaps.push("/dev/sda2".into());
    let [Act::Script { text, timeout, .. }] = &swap.acts(&seen)[..] else { panic!("one script") };
    assert_eq!((text.as_str(), timeout.as_secs(), swap.is_quick()), ("swapoff -a", 1800, false));

    let values = [("net.ipv4.tcp_rmem".to_string(), "1 2  3".to_string())].into();
    let sysctl = Task::Sysctl(Sysctl { file: "/etc/sysctl.d/x.conf".into(), values });
    assert_eq!(sysctl.acts(&seen).len(), 2);
    seen.sysctls.insert("net.ipv4.tcp_rmem".into(), "1 2 3".into());
    assert_eq!(sysctl.acts(&seen).len(), 1, "only the file is missing");
}

#[test]
fn a_device_is_known_by_its_number_or_its_name() {
    let mount = |source: &str| {
        task(
            "mount",
            json!({"source": source, "path": "/srv/my data", "fstype": "ext4", "options": "noatime"}),
        )
    };
    let sources = ["UUID=12", "/dev/disk/by-id/x", "/dev/sdc1", "/dev/gone"].map(mount);
    let answer = "#texts\n#mounts\n\
        30 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n\
        31 1 9:9 / /srv/my\\040data rw,noatime shared:1 - tmpfs tmpfs rw\n\
        31 1 253:17 / /srv/my\\040data rw,noatime shared:1 - ext4 /dev/mapper/data rw\n\
        31 1 8:33 / /srv/my\\040data\\040too rw - xfs /dev/sdc1 rw\n\
        #device fd:11 /dev/dm-17 UUID=12\n\
        #device 0:0 /dev/mapper/data /dev/disk/by-id/x\n\
        #device 8:21 /dev/sdc1 /dev/sdc1\n";
    let seen = Observations::parse(&probes(&sources), answer);
    let refused = |mount: &Task| matches!(&mount.acts(&seen)[..], [Act::Script { text, .. }] if text.contains("unmount it first"));
    assert_eq!(sources.each_ref().map(refused), [false, false, true, true]);
}

#[test]
fn a_secret_leaves_no_trace_in_a_change() {
    let Task::File(mut secret) = file("/etc/key", "marker-secret") else { unreachable!() };
    secret.secret = true;
    let task = Task::File(secret);
    let mut seen = Observations::default();
    let absent = format!("{:?}", task.diff(&seen));
    let state = PathState { mode: FILE | 0o640, sha256: Some("00".into()), ..PathState::default() };
    seen.paths.insert("/etc/key".into(), state);
    let differs = format!("{:?}", task.diff(&seen));
    for text in [absent, differs] {
        assert!(!text.contains("marker") && !text.contains(&sha256(b"marker-secret")[..8]), "{text}");
    }
    assert_eq!(task.text_path(), None);
}
