//! Every kind against observations, against recorded answers, and for real on a shell of this machine.

use std::collections::BTreeSet;

use super::{probe::PathState, *};
use crate::transport::{Host, Local, Script, Transfer};

const FILE: u32 = 0o100000;

fn probes(tasks: &[Task]) -> BTreeSet<Probe> {
    tasks.iter().flat_map(Task::probes).collect()
}

fn file(path: &str, content: &str) -> Task {
    let root = || "root".to_string();
    let (path, content) = (path.to_string(), content.to_string());
    Task::File(File { path, content, mode: Mode(0o640), owner: root(), group: root(), secret: false })
}

fn directory(path: &str, mode: u32) -> Task {
    let root = || "root".to_string();
    Task::Directory(Directory { path: path.to_string(), mode: Mode(mode), owner: root(), group: root() })
}

fn service() -> Service {
    let restart_after = vec!["/etc/a.conf".to_string()];
    Service { unit: "a.service".into(), enabled: true, running: true, restart_after, disrupts: None }
}

/// Reads the host as a plan does.
async fn observe(host: &Local, tasks: &[Task]) -> Observations {
    let probes = probes(tasks);
    let output = host.run(Script::new(probe_script(&probes))).await.unwrap();
    assert_eq!(output.status, 0, "{}", String::from_utf8_lossy(&output.stderr));
    Observations::parse(&probes, &String::from_utf8_lossy(&output.stdout))
}

/// Makes one statement true and gives the status and the complaint of the first act that failed.
async fn apply(host: &Local, task: &Task) -> Result<(), String> {
    let seen = observe(host, std::slice::from_ref(task)).await;
    for act in task.acts(&seen) {
        match act {
            Act::Script { text, timeout, .. } => {
                let output = host.run(Script::new(text).timeout(timeout)).await.unwrap();
                if output.status != 0 {
                    return Err(String::from_utf8_lossy(&output.stderr).into_owned());
                }
            }
            Act::Send { source, destination, sha256, mode } => {
                let transfer = Transfer { source: source.into(), destination, sha256, mode: mode.0 };
                host.send(&transfer, &|_| {}).await.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

async fn converges(host: &Local, task: &Task) {
    apply(host, task).await.unwrap();
    assert_eq!(task.diff(&observe(host, std::slice::from_ref(task)).await), None, "{task:?}");
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[tokio::test]
async fn files_have_exactly_their_content() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let large = "0123456789abcdef".repeat(1 << 16);
    let contents = [
        "",
        "no end",
        "it's \"quoted\"\n",
        "$HOME `id` $(id) \\n %s\\\n",
        "-n -e\n",
        "zoë\n\n\t漢字\n",
        &large,
    ];
    for (index, content) in contents.iter().enumerate() {
        let path = folder.path().join(format!("new folder/it's {index}\\x"));
        let task = file(path.to_str().unwrap(), content);
        converges(&host, &task).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), *content);
    }
    let left = std::fs::read_dir(folder.path().join("new folder")).unwrap().count();
    assert_eq!(left, contents.len(), "nothing temporary stays");
}

#[tokio::test]
async fn what_is_in_the_place_of_a_file() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::create_dir(path("directory")).unwrap();
    for (link, to) in [("to-file", "other"), ("to-nothing", "none"), ("to-directory", "directory")] {
        std::fs::write(path("other"), "untouched").unwrap();
        std::os::unix::fs::symlink(path(to), path(link)).unwrap();
        converges(&host, &file(&path(link), "new")).await;
        assert!(std::fs::symlink_metadata(path(link)).unwrap().is_file(), "{link}");
    }
    assert_eq!(std::fs::read_to_string(path("other")).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(path("directory")).unwrap().count(), 0);
    let refused = apply(&host, &file(&path("directory"), "new")).await.unwrap_err();
    assert!(refused.contains("a directory is in its place"), "{refused}");
    let refused = apply(&host, &file(&path("other/below"), "new")).await.unwrap_err();
    assert!(!refused.is_empty());
    // Reading a pipe would never end.
    nix::unistd::mkfifo(path("pipe").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    converges(&host, &file(&path("pipe"), "new")).await;
}

#[tokio::test]
async fn directories_modes_and_absence() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    // Set-id bits are set, are inherited, and go again.
    for (name, mode) in [("a", 0o2755), ("a/b", 0o755), ("a", 0o700), ("c", 0o1777)] {
        converges(&host, &directory(&path(name), mode)).await;
    }
    std::os::unix::fs::symlink(path("c"), path("link")).unwrap();
    converges(&host, &directory(&path("link"), 0o750)).await;
    assert!(std::fs::symlink_metadata(path("link")).unwrap().is_symlink());
    let Task::File(mut program) = file(&path("program"), "#!/bin/sh\n") else { unreachable!() };
    program.mode = Mode(0o4755);
    converges(&host, &Task::File(program)).await;
    assert!(apply(&host, &directory(&path("program"), 0o755)).await.is_err());
    for name in ["program", "link", "never there"] {
        converges(&host, &Task::Absent(Absent { path: path(name) })).await;
    }
    assert!(apply(&host, &Task::Absent(Absent { path: path("c") })).await.is_err(), "directories stay");
}

#[tokio::test]
async fn artifacts_commands_and_waits() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("source"), "binary").unwrap();
    let artifact =
        |sha256| Artifact { source: path("source"), sha256, path: path("sent"), mode: Mode(0o755) };
    converges(&host, &Task::Artifact(artifact(sha256(b"binary")))).await;
    assert!(apply(&host, &Task::Artifact(artifact(sha256(b"other")))).await.is_err());
    let command = |run: String, unless: String| Command {
        run,
        unless: Some(unless),
        creates: None,
        stdin: None,
        timeout: 5,
        disrupts: None,
        known_after: None,
    };
    let made = quote(&path("made"));
    converges(&host, &Task::Command(command(format!("touch {made}"), format!("[ -e {made} ]")))).await;
    let wait = |check: String| {
        let explain = Some("echo because".to_string());
        Task::Wait(Wait { until: "it's made".into(), check, explain, timeout: 0 })
    };
    converges(&host, &wait(format!("[ -e {made} ]"))).await;
    let complaint = apply(&host, &wait("false".into())).await.unwrap_err();
    assert_eq!(complaint, "waited 0 s in vain until it's made\nbecause\n");
    // A check that is no valid sh says no and leaves the other answers alone.
    let tasks = [wait("if then (".into()), wait("exit 3".into()), wait("cd /; true".into())];
    let seen = observe(&host, &tasks).await;
    let passed: Vec<bool> = tasks.iter().map(|task| task.diff(&seen).is_none()).collect();
    assert_eq!(passed, [false, false, true]);
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
        #swap\nactive /dev/dm-1\nfstab\n\
        #images\nREF TYPE DIGEST SIZE PLATFORMS LABELS\n\
        k8s.gcr.io/pause:3.2 application/vnd.oci.image.manifest.v1+json sha256:ab 1.0 MiB linux/amd64 -\n\
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
    assert_eq!((seen.swaps.as_slice(), seen.swap_in_fstab), (["/dev/dm-1".to_string()].as_slice(), true));
    assert_eq!(seen.images["k8s.gcr.io/pause:3.2"], "sha256:ab");
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

#[test]
fn packages_images_swap_and_parameters() {
    let mut seen = Observations::default();
    let package = Task::Package(Package { names: vec!["runc".into(), "socat".into()] });
    seen.packages.insert("runc".into(), "1".into());
    assert_eq!(package.diff(&seen).unwrap().summary, "install socat");
    seen.packages.insert("socat".into(), "1".into());
    assert_eq!(package.diff(&seen), None);

    let (reference, digest) = ("a:1".to_string(), "sha256:aa".to_string());
    let image = Task::Image(Image { reference, digest, source: "/x".into(), sha256: "00".into() });
    for (there, differs) in [(None, true), (Some("sha256:bb"), true), (Some("sha256:aa"), false)] {
        seen.images = there.map(|digest| ("a:1".to_string(), digest.to_string())).into_iter().collect();
        assert_eq!(image.diff(&seen).is_some(), differs, "{there:?}");
    }

    let swap = Task::SwapOff(SwapOff {});
    assert_eq!((swap.diff(&seen), swap.acts(&seen)), (None, vec![]));
    seen.swaps.push("/dev/sda2".into());
    assert_eq!(swap.acts(&seen), [Act::quick("swapoff -a".into())]);

    let values = [("net.ipv4.tcp_rmem".to_string(), "1 2  3".to_string())].into();
    let sysctl = Task::Sysctl(Sysctl { file: "/etc/sysctl.d/x.conf".into(), values });
    assert_eq!(sysctl.acts(&seen).len(), 2);
    seen.sysctls.insert("net.ipv4.tcp_rmem".into(), "1 2 3".into());
    assert_eq!(sysctl.acts(&seen).len(), 1, "only the file is missing");
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
