//! Whole files, directories, artifacts and commands, on a shell of this machine.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use super::*;

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
async fn a_content_that_is_not_valid_never_takes_its_place() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = folder.path().join("it's.conf");
    let checked = |content: &str| {
        let Task::File(file) = file(path.to_str().unwrap(), content) else { unreachable!() };
        // It may do to its shell what it likes.
        let validate = "cd /; grep -q good \"$1\" || { echo 'not good'; exit 3; }";
        Task::File(File { validate: Some(validate.into()), ..file })
    };
    converges(&host, &checked("good")).await;
    let refused = apply(&host, &checked("bad")).await.unwrap_err();
    assert!(refused.contains("not good"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "good");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary stays");
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
    let absent = Task::Absent(Absent { path: path("c") });
    let change = absent.diff(&observe(&host, std::slice::from_ref(&absent)).await).unwrap();
    let refused = apply(&host, &absent).await.unwrap_err();
    assert_eq!(change.summary, format!("refuse: {}", refused.trim_end()));
    assert!(refused.contains("is a directory, and hoist removes none"), "{refused}");
}

#[tokio::test]
async fn links_of_others_lead_root_nowhere() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let untouched = || {
        assert_eq!(std::fs::read_to_string(path("target")).unwrap(), "untouched");
        let owner = std::fs::metadata(path("target")).unwrap();
        assert_eq!((owner.uid(), owner.mode() & 0o7777), (0, 0o600));
        assert_eq!(std::fs::metadata(path("of-root")).unwrap().mode() & 0o7777, 0o700);
    };
    std::fs::write(path("target"), "untouched").unwrap();
    std::fs::set_permissions(path("target"), Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(path("of-root")).unwrap();
    std::fs::set_permissions(path("of-root"), Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(path("home")).unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(path(to), path(name)).unwrap();
        std::os::unix::fs::lchown(path(name), Some(65534), Some(65534)).unwrap();
    };
    std::os::unix::fs::chown(path("home"), Some(65534), Some(65534)).unwrap();
    for shell in [&["/bin/sh"][..], &["/bin/bash"]] {
        let host = Local::with_shell("here", shell).await.unwrap();
        // Where the new content is written at first; and one that is put there again while it is written.
        link("target", "home/.rc.hoist");
        let Task::File(mut rc) = file(&path("home/rc"), &format!("of {}", shell[0])) else { unreachable!() };
        (rc.owner, rc.group, rc.mode) = ("daemon".into(), "daemon".into(), Mode(0o4755));
        converges(&host, &Task::File(rc.clone())).await;
        untouched();
        rc.content.push('!');
        let rc = Task::File(rc);
        let [Act::Script { text, .. }] = &rc.acts(&observe(&host, std::slice::from_ref(&rc)).await)[..]
        else {
            panic!("one script")
        };
        let again = format!("ln -sf {} {}; umask", quote(&path("target")), quote(&path("home/.rc.hoist")));
        let output = host.run(Script::new(text.replacen("umask", &again, 1))).await.unwrap();
        assert_ne!(output.status, 0);
        untouched();
        // In the place of a directory.
        link("of-root", "home/own");
        let own = directory(&path("home/own"), 0o777);
        let change = own.diff(&observe(&host, std::slice::from_ref(&own)).await).unwrap();
        let refused = apply(&host, &own).await.unwrap_err();
        assert_eq!(change.summary, format!("refuse: {}", refused.trim_end()));
        let [Act::Script { text, .. }] = &own.acts(&Observations::default())[..] else {
            panic!("one script")
        };
        let output = host.run(Script::new(text.clone())).await.unwrap();
        assert_ne!(output.status, 0, "one that came since it was looked at");
        untouched();
        std::fs::remove_file(path("home/own")).unwrap();
    }
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
        |sha256| task("artifact", json!({"source": path("source"), "sha256": sha256, "path": path("sent")}));
    converges(&host, &artifact(sha256(b"binary"))).await;
    assert!(apply(&host, &artifact(sha256(b"other"))).await.is_err());
    let made = quote(&path("made"));
    let command = json!({"run": format!("touch {made}"), "unless": format!("[ -e {made} ]"), "timeout": 5});
    converges(&host, &task("command", command)).await;
    let fails = json!({"run": "cat; echo what >&2; exit 3", "creates": path("never"), "explain": "cat; echo why; exit 9"});
    let complaint = apply(&host, &task("command", fails)).await.unwrap_err();
    assert_eq!(complaint, "what\nwhy\n");
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

#[tokio::test]
async fn a_wrong_mode_alone_leaves_the_file_as_old_as_it_is() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "same").unwrap();
    let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let before = modified();
    let task = file(path.to_str().unwrap(), "same");
    let seen = observe(&host, std::slice::from_ref(&task)).await;
    assert_eq!(task.diff(&seen).unwrap().summary, format!("change {}", path.display()));
    let mut foreseen = seen.clone();
    task.foresee(&mut foreseen);
    assert_eq!(foreseen, seen, "no unit restarts because of it");
    converges(&host, &task).await;
    assert_eq!(modified(), before);
    converges(&host, &file(path.to_str().unwrap(), "other")).await;
    assert_ne!(modified(), before);
}

#[tokio::test]
async fn copies_are_the_same_byte_for_byte() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let every: Vec<u8> = (0..=255).collect();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("text", b"it's\n".to_vec()),
        ("binary", every.repeat(16)),
        ("large", every.repeat(1024)),
    ] {
        let source = folder.path().join(format!("{name}.source"));
        std::fs::write(&source, &bytes).unwrap();
        let payload = Payload::new(bytes.clone(), Some(source));
        assert_eq!(matches!(payload, Payload::Local(_)), name == "large");
        let copy = Task::Copy(Copy {
            path: path(name),
            sha256: sha256(&bytes),
            payload,
            mode: Mode(0o600),
            owner: "daemon".into(),
            group: "daemon".into(),
            secret: false,
        });
        assert_eq!(
            (copy.is_quick(), copy.text_path().is_some()),
            (name != "large", name == "text" || name == "empty")
        );
        converges(&host, &copy).await;
        assert_eq!(std::fs::read(path(name)).unwrap(), bytes, "{name}");
        std::fs::write(path(name), "drifted").unwrap();
        converges(&host, &copy).await;
        assert_eq!(std::fs::read(path(name)).unwrap(), bytes, "{name} again");
    }
}

#[tokio::test]
async fn a_command_runs_again_when_what_it_reads_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let host = Local::open("here").await.unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let runs = || std::fs::read_to_string(path("runs")).unwrap_or_default().lines().count();
    std::fs::write(path("input"), "1").unwrap();
    let command = |run: &str| {
        task(
            "command",
            json!({
                "run": format!("cd {}; {run}", quote(&path(""))),
                "after": [path("input"), path("never there")],
                "stamp": path("stamps/it's")
            }),
        )
    };
    // A failure leaves no stamp, and says its own status.
    assert!(apply(&host, &command("echo broken >&2; exit 7")).await.unwrap_err().contains("broken"));
    assert!(!folder.path().join("stamps/it's").exists());
    converges(&host, &command("echo x >> runs")).await;
    assert_eq!(runs(), 1);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::open(path("input")).unwrap().set_modified(later).unwrap();
    let seen = observe(&host, &[command("echo x >> runs")]).await;
    assert!(command("").diff(&seen).is_some());
    // A file that changes while the command runs counts as newer than the stamp.
    apply(&host, &command("echo x >> runs")).await.unwrap();
    assert!(command("").diff(&observe(&host, &[command("")]).await).is_some());
    std::fs::File::open(path("input")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    converges(&host, &command("echo x >> runs")).await;
    assert_eq!(std::fs::read_dir(path("stamps")).unwrap().count(), 1, "nothing temporary stays");
    let planned = file(&path("input"), "2");
    let mut seen = observe(&host, &[planned.clone(), command("")]).await;
    assert_eq!(command("").diff(&seen), None);
    planned.foresee(&mut seen);
    assert!(command("").diff(&seen).is_some(), "a plan that writes the file shows the command as well");
}
